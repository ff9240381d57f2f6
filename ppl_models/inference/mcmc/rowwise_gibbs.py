"""Gibbs sampling where no statistics sum the rows up, as a NumPyro kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, random
from numpyro.infer.mcmc import MCMCKernel

from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.inference.mcmc.hmc_step import HmcState, hmc_step
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import rowwise_plan
from ppl_models.inference.statistics.m_step import plain_prior
from ppl_models.program.model import Globals


class RowwiseState(NamedTuple):
    """Global sites, the adaptation of those without a closed form, and assignments if kept."""

    z: Globals
    hmc: HmcState | None
    accept_prob: Array
    assignment: Array | None
    i: Array
    rng_key: Array


class RowwiseGibbs(MCMCKernel):
    """Draw every row's assignment, then the global sites given the assignments.

    The weights of the clusters are drawn from their Dirichlet conditional where they have one; all
    other sites move together by a few Hamiltonian steps on the density of the rows as assigned,
    which costs a row of one cluster and not of all. Neal (2011); Diebolt and Robert (1994).

    Args:
        problem: program and data.
        keep_assignments: put every sweep's assignments into the state.
    """

    sample_field = "z"

    def __init__(self, problem: Problem, *, keep_assignments: bool = False):
        self.problem, self.keep_assignments = problem, keep_assignments
        plan = rowwise_plan(problem)
        self.weights, self.free = plan.weights, plan.free

    def init(
        self,
        rng_key: Array,
        num_warmup: int,
        init_params: Any,
        model_args: Any,
        model_kwargs: Any,
    ) -> RowwiseState:
        """Start at ``init_params`` (constrained values), or at random."""
        start_key, hmc_key, rng_key = random.split(rng_key, 3)
        structure = self.problem.structure
        values = {**structure.initial(start_key), **(init_params or {})}
        hmc = None
        self._hmc_init, self._hmc_step = hmc_step(num_warmup)
        if self.free:
            space = structure.space.of(self.free)
            hmc = self._hmc_init(hmc_key, space.ravel(space.unconstrain(values)))
        rows = jnp.zeros(structure.rows, jnp.int32)
        return RowwiseState(
            values,
            hmc,
            jnp.ones(()),
            rows if self.keep_assignments else None,
            jnp.zeros((), jnp.int32),
            rng_key,
        )

    def sample(self, state: RowwiseState, model_args: Any, model_kwargs: Any) -> RowwiseState:
        """One sweep."""
        model, structure = self.problem.model, self.problem.structure
        key, assign_key, weights_key, hmc_key = random.split(state.rng_key, 4)
        values = dict(state.z)
        assignment = None
        if structure.assignment is not None:
            logits = model.logits(values, structure)
            assignment = random.categorical(assign_key, logits, axis=0).astype(jnp.int32)
        if self.weights is not None:
            assert assignment is not None
            counts = jnp.bincount(assignment, length=structure.clusters)
            prior = model.pieces(values, structure).priors[self.weights]
            concentration = plain_prior(prior, (structure.clusters,)).concentration
            posterior = DirichletConditional(concentration + counts)
            old = values[self.weights]
            values[self.weights] = posterior.sample(weights_key).astype(old.dtype)
        hmc, accept = state.hmc, state.accept_prob
        if self.free:
            space = structure.space.of(self.free)

            def log_density(vector: Array) -> Array:
                moved, volume = space.constrain_with_volume(space.unravel(vector))
                trial = {**values, **moved}
                return model.log_joint_given(trial, structure, assignment) + volume

            vector = space.ravel(space.unconstrain(values))
            hmc, vector = self._hmc_step(hmc_key, state.hmc, vector, log_density, state.i)
            values.update(space.constrain(space.unravel(vector)))
            accept = hmc.accept_prob
        kept = assignment if self.keep_assignments else None
        return RowwiseState(values, hmc, accept, kept, state.i + 1, key)

    @property
    def default_fields(self) -> tuple[str, ...]:
        """What ``MCMC`` collects."""
        return ("z", "assignment") if self.keep_assignments else ("z",)

    def get_diagnostics_str(self, state: RowwiseState) -> str:
        """Acceptance of the Hamiltonian steps, where there are any."""
        return f"acc. prob={jnp.mean(state.accept_prob):.2f}" if self.free else "exact draws"
