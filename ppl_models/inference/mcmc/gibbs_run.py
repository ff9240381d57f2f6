"""Gibbs chains side by side, the data an argument of one compiled block of sweeps.

NumPyro's ``MCMC`` compiles its loop anew for every kernel, and a kernel holds its data. Here a
second fit of data of the same shape runs the block that the first one compiled; the draws are those
of ``MCMC`` with the same key.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks, sweep_block
from ppl_models.inference.mcmc.gibbs_base import GibbsKernel, GibbsState
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.exchangeability import LabelSwaps
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import split
from ppl_models.program.trace.structure import Structure


class Swaps(NamedTuple):
    """Label swaps as a value that can be compared."""

    axes: tuple[tuple[str, tuple[int, ...]], ...]
    sticks: str | None

    @classmethod
    def of(cls, swaps: LabelSwaps | None) -> Swaps | None:
        """The swaps, if there are any."""
        if swaps is None:
            return None
        return cls(tuple(sorted((n, tuple(a)) for n, a in swaps.axes.items())), swaps.sticks)

    def label_swaps(self) -> LabelSwaps:
        """The swaps as kernels take them."""
        return LabelSwaps(dict(self.axes), self.sticks)


class Sweep(NamedTuple):
    """What a sweep does, without data; static, so that equal sweeps share a compiled block."""

    kind: type[GibbsKernel]
    structure: Structure
    settings: tuple[tuple[str, Any], ...]
    warmup: int

    @classmethod
    def of(cls, kernel: GibbsKernel, warmup: int) -> Sweep:
        """The kernel without its data.

        Args:
            kernel: not yet initialised.
            warmup: sweeps in which it adapts.
        """
        settings = kernel.settings()
        settings["moves"] = Swaps.of(settings["moves"])
        # without a site that adapts, all lengths of warm-up are one
        adapts = warmup if kernel.free else 0
        return cls(type(kernel), kernel.problem.structure, tuple(sorted(settings.items())), adapts)

    def kernel(self, model: Model, chunks: Chunks | None) -> GibbsKernel:
        """The kernel on data, which may be traced."""
        settings = dict(self.settings)
        if (moves := settings["moves"]) is not None:
            settings["moves"] = moves.label_swaps()
        problem = Problem(model, self.structure, prepared=chunks)
        return self.kind.of_settings(settings, problem, self.warmup)


def run_gibbs(
    kernel: GibbsKernel, key: Array, points: Globals, lengths: Lengths
) -> tuple[GibbsState, dict[str, np.ndarray]]:
    """The last state ``(chain, ...)``, and the draws ``(chain, draw, ...)`` by name.

    Args:
        kernel: with the problem; not yet initialised.
        key: random key.
        points: where each chain starts, ``(chain, ...)``.
        lengths: of the run.

    Returns:
        Draws of the sites by name, and under names that no site can have ``.acceptance_rate`` and,
        where they are kept, ``.assignment``.
    """
    problem = kernel.problem
    chains = len(next(iter(points.values())))
    keys = split(key, chains) if chains > 1 else key[None]
    model = jax.device_put(problem.model)
    chunks = problem.chunks if problem.sums_rows_up else None
    sweep = Sweep.of(kernel, lengths.warmup)
    state = begin(model, chunks, keys, points, sweep=sweep)

    def block(state: GibbsState, sweeps: Any, draws: Any) -> Any:
        return _block(model, chunks, state, sweeps, draws, sweep=sweep)

    return run_in_blocks(problem, block, state, lengths, "gibbs")


@quickly(static=("sweep",))
def begin(
    model: Model, chunks: Chunks | None, keys: Array, points: Globals, *, sweep: Sweep
) -> GibbsState:
    """The chains' states at their starts."""
    kernel = sweep.kernel(model, chunks)
    return jax.vmap(lambda key, start: kernel.init(key, sweep.warmup, start, (), {}))(keys, points)


@partial(jax.jit, static_argnames=("sweep",))
def _block(
    model: Model, chunks: Chunks | None, state: GibbsState, sweeps: Any, draws: Any, *, sweep: Sweep
) -> Any:
    kernel = sweep.kernel(model, chunks)

    def one(state: GibbsState) -> GibbsState:
        return kernel.sample(state, (), {})

    def step(state: GibbsState) -> GibbsState:
        if state.i.shape[0] > 1:
            # one count for all chains: what few sweeps do is computed in those alone
            count = state.i[0]
            return jax.vmap(lambda chain: one(chain._replace(i=count)))(state)
        # one chain is not mapped over: no loop more
        return jax.tree.map(lambda v: v[None], one(jax.tree.map(lambda v: v[0], state)))

    def read(state: GibbsState) -> dict[str, Array]:
        recorded = {**state.z, ".acceptance_rate": state.accept_prob}
        return (
            recorded if state.assignment is None else {**recorded, ".assignment": state.assignment}
        )

    return sweep_block(step, read, state, sweeps, draws)
