"""Gibbs chains side by side, the data an argument of one compiled loop.

NumPyro's ``MCMC`` compiles its loop anew for every kernel, and a kernel holds its data. Here a
second fit of data of the same shape runs the loop that the first one compiled; the draws are those
of ``MCMC`` with the same key.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, random

from ppl_models.inference.mcmc.gibbs_base import GibbsKernel, GibbsState
from ppl_models.inference.problem import Problem
from ppl_models.inference.simulated_data import Plan, run_chain
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.program.exchangeability import LabelSwaps
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure


class _Moves(NamedTuple):
    """Label swaps as a value that can be compared."""

    axes: tuple[tuple[str, tuple[int, ...]], ...]
    sticks: str | None


class Sweep(NamedTuple):
    """What a sweep does, without data; static, so that equal sweeps share a compiled loop."""

    kind: type[GibbsKernel]
    structure: Structure
    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, kernel: GibbsKernel) -> Sweep:
        """The kernel without its data."""
        held = {n: v for n, v in vars(kernel).items() if n != "problem"}
        moves = held["moves"]
        if moves is not None:
            axes = tuple(sorted((n, tuple(a)) for n, a in moves.axes.items()))
            held["moves"] = _Moves(axes, moves.sticks)
        return cls(type(kernel), kernel.problem.structure, tuple(sorted(held.items())))

    def kernel(self, model: Model, chunks: Chunks | None) -> GibbsKernel:
        """The kernel on data, which may be traced."""
        kernel = self.kind.__new__(self.kind)
        kernel.__dict__.update(self.settings)
        moves = kernel.moves
        if moves is not None:
            kernel.moves = LabelSwaps(dict(moves.axes), moves.sticks)
        kernel.problem = Problem(model, self.structure, prepared=chunks)
        return kernel


def run_gibbs(
    kernel: GibbsKernel, key: Array, points: Globals, *, warmup: int, draws: int, thinning: int
) -> GibbsState:
    """States after every kept draw, ``(chain, draw, ...)``.

    Args:
        kernel: with the problem; not yet initialised.
        key: random key.
        points: where each chain starts, ``(chain, ...)``.
        warmup: sweeps that are not kept.
        draws: draws that are kept.
        thinning: sweeps a kept draw.
    """
    problem = kernel.problem
    chains = len(next(iter(points.values())))
    keys = random.split(key, chains) if chains > 1 else key[None]
    model = jax.tree.map(jnp.asarray, problem.model)
    chunks = problem.chunks if problem.sums_rows_up else None
    return _run(
        model,
        chunks,
        keys,
        points,
        sweep=Sweep.of(copy.copy(kernel)),
        lengths=(warmup, draws, thinning),
    )


@partial(jax.jit, static_argnames=("sweep", "lengths"))
def _run(
    model: Model,
    chunks: Chunks | None,
    keys: Array,
    points: Globals,
    *,
    sweep: Sweep,
    lengths: tuple[int, int, int],
) -> GibbsState:
    kernel = sweep.kernel(model, chunks)
    warmup, draws, thinning = lengths
    plan = Plan(kernel.problem, draws, warmup, thinning)

    def chain(key: Array, start: Globals) -> GibbsState:
        state = kernel.init(key, warmup, start, (), {})

        def read(state: GibbsState) -> GibbsState:
            return state._replace(hmc=None)

        return run_chain(lambda s: kernel.sample(s, (), {}), state, plan, read)

    if len(keys) == 1:  # one chain is not mapped over: no loop more
        return jax.tree.map(lambda v: v[None], chain(keys[0], {n: v[0] for n, v in points.items()}))
    return jax.vmap(chain)(keys, points)
