"""Gibbs sampling where no statistics sum the rows up, as a NumPyro kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.mcmc.gibbs_base import GibbsKernel, GibbsState
from ppl_models.inference.mcmc.label_swaps import swap_labels
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import expected_log_joint, rowwise_plan
from ppl_models.inference.rowwise.tables import table_counts
from ppl_models.program.chains.chain_densities import draw_assignments
from ppl_models.program.densities.pair_passes import draw_given
from ppl_models.program.densities.units import cell_weights
from ppl_models.program.model import Globals, Model


class RowwiseGibbs(GibbsKernel):
    """Draw every row's assignment, then the global sites given the assignments.

    The weights of the clusters are drawn from their Dirichlet conditional where they have one; all
    other sites move together by a few Hamiltonian steps on the density of the rows as assigned,
    which costs a row of one cluster and not of all. Where clusters are not exchangeable, labels are
    swapped, see :mod:`.label_swaps`. Neal (2011); Diebolt and Robert (1994).

    Args:
        problem: program and data.
        keep_assignments: put every sweep's assignments into the state.
    """

    by_rows = True

    def __init__(self, problem: Problem, *, keep_assignments: bool = False):
        super().__init__(problem, None, keep_assignments)
        plan = rowwise_plan(problem)
        self.weights, self.tables = plan.weights, plan.tables
        exact = {self.weights, *(table.name for table in self.tables)}
        # all others move by Hamiltonian steps, those too of which EM has closed forms
        self.free = tuple(name for name in problem.structure.names if name not in exact)
        weights, scales = problem.example.log_weights, problem.example.scales
        by_row = weights is not None and weights.shape[1] > 1
        if by_row or problem.structure.assignment in scales:
            self.moves = None  # swaps go by counts, which do not tell what such weights come to

    def _density(self, model: Model, assignment: Array | None) -> Callable[[Globals], Array]:
        """The log joint density at given assignments, as a function of the global sites."""
        structure = self.problem.structure
        if structure.coupled or not structure.indexed:
            return lambda values: model.log_joint_given(values, structure, assignment)
        weights = self._indicators(assignment)
        cells = cell_weights(model, structure, weights)  # once, however often it is evaluated
        return lambda values: expected_log_joint(
            model, structure, values, weights, flat=False, cells=cells
        )

    def _drawn_tables(self, key: Array, values: Globals, assignment: Array | None) -> Globals:
        """Tables of probabilities given the assignments, each from its conditional."""
        model, structure = self.problem.model, self.problem.structure
        weights = self._indicators(assignment)
        by_cell = structure.indexed and not structure.coupled
        cells = cell_weights(model, structure, weights) if by_cell else None
        rows = partial(expected_log_joint, model, structure, weights=weights, flat=True)
        counts = table_counts(lambda v: rows(values=v, cells=cells), values, self.tables)
        priors = model.pieces(values, structure).priors
        drawn = {}
        for number, table in enumerate(self.tables):
            conditional = table.conditional(priors[table.name], counts[table.name])
            value = conditional.sample(random.fold_in(key, number))
            drawn[table.name] = value.astype(values[table.name].dtype)
        return drawn

    def _indicators(self, assignment: Array | None) -> Array:
        """Weights ``(cluster, row)`` of given assignments."""
        structure = self.problem.structure
        if assignment is None:
            return jnp.ones((1, structure.rows))
        clusters = jnp.arange(structure.clusters)[:, None]
        return (assignment == clusters).astype(jnp.result_type(float))

    def sample(self, state: GibbsState, model_args: Any, model_kwargs: Any) -> GibbsState:
        """One sweep."""
        model, structure = self.problem.model, self.problem.structure
        key, assign_key, weights_key, hmc_key, label_key = random.split(state.rng_key, 5)
        values = dict(state.z)
        assignment = None
        if structure.coupled:
            assignment = draw_given(assign_key, model, values, structure, state.assignment)
        elif structure.assignment is not None:
            assignment = draw_assignments(model, assign_key, values, structure)
        if self.weights is not None:
            assert assignment is not None
            counts = jnp.bincount(assignment, length=structure.clusters)
            prior = model.pieces(values, structure).priors[self.weights]
            concentration = plain_prior(prior, (structure.clusters,)).concentration
            posterior = DirichletConditional(concentration + counts)
            old = values[self.weights]
            values[self.weights] = posterior.sample(weights_key).astype(old.dtype)
        if self.tables:
            values.update(self._drawn_tables(random.fold_in(weights_key, 1), values, assignment))
        hmc, accept = state.hmc, state.accept_prob
        if self.free:
            space = structure.space.of(self.free)
            density = self._density(model, assignment)

            def log_density(vector: Array) -> Array:
                moved, volume = space.constrain_with_volume(space.unravel(vector))
                return density({**values, **moved}) + volume

            vector = space.ravel(space.unconstrain(values))
            hmc, vector = self._hmc_step(hmc_key, state.hmc, vector, log_density, state.i)
            values.update(space.constrain(space.unravel(vector)))
            accept = hmc.accept_prob
        if self.moves is not None:
            assert assignment is not None
            counts = jnp.bincount(assignment, length=structure.clusters).astype(accept.dtype)
            values, order = swap_labels(label_key, self.moves, model, structure, values, counts)
            assignment = jnp.argsort(order).astype(jnp.int32)[assignment]
        recorded = assignment if self.keep_assignments else None
        return GibbsState(values, hmc, accept, recorded, state.i + 1, key)
