"""The no-U-turn sampler, several chains side by side, the data an argument of one compiled loop.

NumPyro's ``MCMC`` compiles its loop anew for every kernel, and a kernel holds its data. Here a
second fit of data of the same shape runs the loop that the first one compiled, and another process
finds it on disk; the draws are those of ``MCMC`` with the same key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from numpyro.infer import NUTS
from numpyro.infer.hmc import HMCState
from numpyro.infer.util import potential_energy

from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks, sweep_block
from ppl_models.inference.mcmc.gibbs_run import Swaps
from ppl_models.inference.mcmc.marginal_density import (
    ReferencePoint,
    RowDensity,
    marginal_program,
    row_density,
)
from ppl_models.inference.mcmc.nuts_label_swaps import LabelSwapNUTS
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.exchangeability import LabelSwaps
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import split
from ppl_models.program.trace.structure import Structure


class Trajectories(NamedTuple):
    """What a chain does, without data; static, so that equal ones share a compiled block.

    Args:
        structure: what was read off the program.
        rows: how the rows enter the density.
        swaps: of labels that are proposed after every trajectory; or None.
        tuning: of NUTS.
        warmup: draws for adaptation.
        fields: name and attribute of what is recorded of NumPyro's states.
    """

    structure: Structure
    rows: RowDensity
    swaps: Swaps | None
    tuning: tuple[tuple[str, Any], ...]
    warmup: int
    fields: tuple[tuple[str, str], ...]

    def kernel(self, model: Model, chunks: Chunks | None, reference: ReferencePoint | None) -> NUTS:
        """The kernel on data, which may be traced."""
        problem = Problem(model, self.structure, prepared=chunks)
        swaps = None if self.swaps is None else self.swaps.label_swaps()
        return _kernel(problem, reference, self.rows, swaps, dict(self.tuning))


def no_u_turns(problem: Problem, reference: ReferencePoint | None = None, **tuning: Any) -> NUTS:
    """NumPyro's kernel on the unconstrained global sites, assignments summed out."""
    return _kernel(problem, reference, row_density(problem), problem.label_swaps, tuning)


def _kernel(
    problem: Problem,
    reference: ReferencePoint | None,
    rows: RowDensity,
    swaps: LabelSwaps | None,
    tuning: dict[str, Any],
) -> NUTS:
    """The kernel, with a compiled energy.

    NumPyro evaluates the energy at the starts before it compiles anything; uncompiled, every
    operation of it would be compiled separately.
    """
    program = marginal_program(problem, reference, rows)
    energy = jax.jit(lambda free: potential_energy(program, (), {}, free))
    if swaps is None:
        return NUTS(potential_fn=energy, **tuning)
    return LabelSwapNUTS(energy, swaps, problem.structure, **tuning)


def run_nuts(
    problem: Problem,
    key: Array,
    initial: Globals,
    reference: ReferencePoint | None,
    lengths: Lengths,
    *,
    fields: Mapping[str, str],
    tuning: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Draws of the global sites by name, ``(chain, draw, ...)``, and what is recorded.

    Args:
        problem: program and data, without continuous sites of the rows.
        key: random key.
        initial: where each chain starts in the unconstrained space, ``(chain, ...)``.
        reference: point from which the rows' log-densities are differences.
        lengths: of the run.
        fields: name -> attribute of NumPyro's states that is recorded, under ``.name``, which no
            site can have.
        tuning: of NUTS.
    """
    chains = len(next(iter(initial.values())))
    # (a key a chain; of one chain its own, as NumPyro's MCMC does)
    keys = split(key, chains) if chains > 1 else key[None]
    rows = row_density(problem)
    plan = Trajectories(
        problem.structure,
        rows,
        Swaps.of(problem.label_swaps),
        tuple(sorted(tuning.items())),
        lengths.warmup,
        tuple(fields.items()),
    )
    model = jax.device_put(problem.model)
    chunks = problem.chunks if rows in ("passes", "statistics") else None
    state = _begin(model, chunks, reference, keys, dict(initial), plan=plan)

    def block(state: HMCState, sweeps: Any, draws: Any) -> Any:
        return _block(model, chunks, reference, state, sweeps, draws, plan=plan)

    return run_in_blocks(problem, block, state, lengths, "nuts")[1]


@quickly(static=("plan",))
def _begin(
    model: Model,
    chunks: Chunks | None,
    reference: ReferencePoint | None,
    keys: Array,
    initial: Globals,
    *,
    plan: Trajectories,
) -> HMCState:
    kernel = plan.kernel(model, chunks, reference)

    def begin(key: Array, start: Globals) -> HMCState:
        state: HMCState = kernel.init(key, plan.warmup, start, (), {})
        return state

    return jax.vmap(begin)(keys, initial)


@partial(jax.jit, static_argnames=("plan",))
def _block(
    model: Model,
    chunks: Chunks | None,
    reference: ReferencePoint | None,
    state: HMCState,
    sweeps: Any,
    draws: Any,
    *,
    plan: Trajectories,
) -> Any:
    kernel = plan.kernel(model, chunks, reference)
    first = jax.tree.map(lambda v: v[0], state)
    # NumPyro's kernel knows how it moves once it has begun; what it begins with here is not used
    kernel.init(first.rng_key, plan.warmup, first.z, (), {})

    def one(state: HMCState) -> HMCState:
        moved: HMCState = kernel.sample(state, (), {})
        return moved

    def step(state: HMCState) -> HMCState:
        if state.i.shape[0] > 1:
            return jax.vmap(one)(state)
        # one chain is not mapped over: no loop more
        alone = one(jax.tree.map(lambda v: v[0], state))
        return jax.tree.map(lambda v: v[None], alone)

    def read(state: HMCState) -> dict[str, Array]:
        sites = jax.vmap(plan.structure.space.constrain)(state.z)
        recorded = {f".{n}": attrgetter(field)(state) for n, field in plan.fields}
        return {n: sites[n] for n in plan.structure.names} | recorded

    return sweep_block(step, read, state, sweeps, draws)
