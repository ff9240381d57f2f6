"""The no-U-turn sampler on networks, whose clusters are drawn node by node between trajectories.

No sum over the clusters of a network's nodes gives a density (see
:mod:`~ppl_models.program.densities.pair_passes`), so that the sampler's target is the joint density
of global sites and clusters: a sweep of Gibbs sampling draws the clusters given the global sites,
and a trajectory moves these given the clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array, random
from numpyro import handlers
from numpyro.infer import NUTS
from numpyro.infer.hmc import HMCState

from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks, sweep_block
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.pair_passes import draw_given
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.keys import split
from ppl_models.program.trace.structure import Structure

ASSIGNED_FACTOR = ".assigned"  #: name of the log joint density, which no site of a program has


class NetworkState(NamedTuple):
    """A trajectory's end, the clusters of the nodes ``(row,)``, and a random key."""

    hmc: HMCState
    assignment: Array
    rng_key: Array


class NetworkNUTS:
    """A sweep over the nodes' clusters, then a trajectory of the global sites given the clusters.

    Args:
        model: program and data, which may be traced.
        structure: what was read off the program.
        warmup: steps in which the step size and the mass matrix adapt.
        **tuning: of NumPyro's ``NUTS``.
    """

    def __init__(self, model: Model, structure: Structure, warmup: int, **tuning: Any) -> None:
        self.model, self.structure, self.warmup = model, structure, warmup
        self.kernel = NUTS(self._program, **tuning)

    def _program(self, assignment: Array) -> None:
        """The global sites in the unconstrained space, and their density given the clusters."""
        space = self.structure.space
        free = {
            site.name: numpyro.sample(
                site.name, dist.ImproperUniform(dist.constraints.real, (), site.unconstrained_shape)
            )
            for site in space.sites
        }
        values, volume = space.constrain_with_volume(free)
        with handlers.block():  # the program is run again, whose sites are no others
            density = self.model.log_joint_given(values, self.structure, assignment)
        numpyro.factor(ASSIGNED_FACTOR, density + volume)

    def init(self, key: Array, free: Globals) -> NetworkState:
        """Start from unconstrained values of the global sites."""
        assign_key, hmc_key, key = random.split(key, 3)
        values = self.structure.space.constrain(free)
        assignment = draw_given(assign_key, self.model, values, self.structure)
        hmc = self.kernel.init(hmc_key, self.warmup, free, (), {"assignment": assignment})
        return NetworkState(hmc, assignment, key)

    def sample(self, state: NetworkState) -> NetworkState:
        """One sweep and one trajectory."""
        key, assign_key = random.split(state.rng_key)
        values = self.structure.space.constrain(state.hmc.z)
        assignment = draw_given(assign_key, self.model, values, self.structure, state.assignment)
        conditions = {"assignment": assignment}
        hmc = self.kernel.sample(self.kernel.refresh(state.hmc, (), conditions), (), conditions)
        return NetworkState(hmc, assignment, key)


class _Plan(NamedTuple):
    """What a chain does, without data; static, so that equal ones share a compiled block."""

    structure: Structure
    warmup: int
    fields: tuple[tuple[str, str], ...]
    tuning: tuple[tuple[str, Any], ...]

    def kernel(self, model: Model) -> NetworkNUTS:
        return NetworkNUTS(model, self.structure, self.warmup, **dict(self.tuning))


def run_network_nuts(
    problem: Problem,
    key: Array,
    initial: Globals,
    lengths: Lengths,
    *,
    fields: Mapping[str, str],
    tuning: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Draws of the global sites by name, ``.assignment (chain, draw, row)``, and what is recorded.

    Args:
        problem: program and data of a network.
        key: random key.
        initial: where each chain starts in the unconstrained space, ``(chain, ...)``.
        lengths: of the run.
        fields: name -> attribute of NumPyro's states that is recorded, under ``.name``.
        tuning: of NUTS.
    """
    keys = split(key, len(next(iter(initial.values()))))
    plan = _Plan(
        problem.structure, lengths.warmup, tuple(fields.items()), tuple(sorted(tuning.items()))
    )
    model = jax.device_put(problem.model)
    state = _begin(model, keys, dict(initial), plan=plan)

    def block(state: NetworkState, sweeps: Any, draws: Any) -> Any:
        return _block(model, state, sweeps, draws, plan=plan)

    return run_in_blocks(problem, block, state, lengths, "nuts")[1]


@partial(jax.jit, static_argnames=("plan",))
def _begin(model: Model, keys: Array, initial: Globals, *, plan: _Plan) -> NetworkState:
    return jax.vmap(plan.kernel(model).init)(keys, initial)


@partial(jax.jit, static_argnames=("plan",))
def _block(model: Model, state: NetworkState, sweeps: Any, draws: Any, *, plan: _Plan) -> Any:
    kernel = plan.kernel(model)
    first = jax.tree.map(lambda v: v[0], state)
    # NumPyro's kernel knows how it moves once it has begun; what it begins with here is not used
    kernel.init(first.rng_key, first.hmc.z)

    def read(state: NetworkState) -> dict[str, Array]:
        sites = jax.vmap(plan.structure.space.constrain)(state.hmc.z)
        recorded = {f".{n}": attrgetter(field)(state.hmc) for n, field in plan.fields}
        recorded[".assignment"] = state.assignment
        return {n: sites[n] for n in plan.structure.names} | recorded

    return sweep_block(jax.vmap(kernel.sample), read, state, sweeps, draws)


def log_joint_at_draws(
    model: Model, values: Mapping[str, Any], assignments: np.ndarray, *, structure: Structure
) -> np.ndarray:
    """Log joint density of global sites, drawn clusters and data, ``(chain, draw)``."""
    shape = assignments.shape[:2]
    flat = {n: jnp.asarray(v).reshape(-1, *v.shape[2:]) for n, v in values.items()}
    drawn = jnp.asarray(assignments.reshape(-1, assignments.shape[-1]).astype(np.int32))
    log_joints = _log_joints(model, flat, drawn, structure=structure)
    return np.asarray(log_joints, np.float64).reshape(shape)


@partial(jax.jit, static_argnames=("structure",))
def _log_joints(
    model: Model, values: Globals, assignments: Array, *, structure: Structure
) -> Array:
    def one(each: tuple[Globals, Array]) -> Array:
        return model.log_joint_given(each[0], structure, each[1])

    return jax.lax.map(one, (values, assignments))
