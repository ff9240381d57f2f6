"""E-step and M-step of programs without sufficient statistics.

The E-step gives every row's weights of the clusters, the M-step raises the expected log joint
density Σ_n Σ_k γ_nk log p(z_n = k, x_n | θ) + log p(θ) by a Newton step on the rows: the
EM gradient algorithm of Lange (1995), Journal of the Royal Statistical Society B 57, which near an
optimum is as fast as EM with whole M-steps. It never lowers the objective. The
weights of the clusters keep their closed form where all rows share them under a Dirichlet prior,
and so do tables of probabilities that rows are looked up in, see :mod:`.tables`, and locations and
covariances of rows that are measured with known errors, see :mod:`.known_errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, lax

from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.newton import FARTHEST, minimise, promised_fall, rounding
from ppl_models.inference.prior_places import reaches
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.known_errors import KnownErrors, find_known_errors, modes
from ppl_models.inference.rowwise.tables import Table, find_tables, table_counts
from ppl_models.inference.statistics.e_step import Assign, hard
from ppl_models.program.chains import chain_densities
from ppl_models.program.densities import pair_passes
from ppl_models.program.densities.units import cell_weights, expected_log_density, weighted
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure

STEPS = 1  #: of Newton's method in an M-step: as good as the mode near an optimum (Lange 1995)
SAMPLE = 2_000  #: rows that Hessians are taken of where there are many
MANY = 4  #: times as many rows are worth a sample


@dataclass(frozen=True)
class RowwisePlan:
    """Which sites an M-step moves, and how.

    Args:
        weights: the site of the clusters' weights, whose mode has a closed form; or None.
        free: the sites that Newton's method moves.
        sample: rows that Hessians are taken of; 0 for all.
        tables: the sites of probabilities, whose mode has a closed form.
        errors: locations and covariances of rows with known errors, whose mode has one; or None.
        differences: whether Hessians are taken from differences of slopes, see ``minimise``.
    """

    weights: str | None
    free: tuple[str, ...]
    sample: int = 0
    tables: tuple[Table, ...] = ()
    errors: KnownErrors | None = None
    differences: bool = False


def rowwise_plan(problem: Problem, *, flat: bool = False) -> RowwisePlan:
    """How the sites of a program are moved.

    Args:
        problem: program and data.
        flat: whether the priors are left out.
    """
    if flat not in problem.rowwise_plans:
        problem.rowwise_plans[flat] = _plan(problem, flat=flat)
    return problem.rowwise_plans[flat]


def take_differences(problem: Problem, *, flat: bool) -> bool:
    """From now on take Hessians from differences of slopes; whether that is new.

    For programs whose density has no finite second derivative, see ``newton.minimise``.
    """
    plan = None if problem.sums_rows_up else rowwise_plan(problem, flat=flat)
    if plan is None or plan.differences:
        return False
    problem.rowwise_plans[flat] = replace(plan, differences=True)
    return True


def _plan(problem: Problem, *, flat: bool) -> RowwisePlan:
    structure, names = problem.structure, problem.structure.names
    weights = None
    log_weights = problem.example.log_weights
    counted = structure.assignment not in problem.example.scales and not structure.factors
    counted &= not structure.undrawable  # which may depend on the weights
    if log_weights is not None and log_weights.shape[1] == 1 and counted:
        for link in problem.parameter_map.of(structure.assignment or ""):
            prior = problem.example.priors[link.site]
            shape = (structure.clusters,)
            if flat or isinstance(plain_prior(prior, shape), dist.Dirichlet):
                weights = link.site
    others = tuple(n for n in names if n != weights)
    if structure.locals:
        return RowwisePlan(weights, others)
    many = structure.rows > MANY * SAMPLE and not problem.row_order
    sample = SAMPLE if many else 0
    tables = find_tables(problem, others, expected_log_joint, flat=flat)
    counted_sites = {table.name for table in tables}
    free = tuple(n for n in others if n not in counted_sites)
    errors = find_known_errors(problem, free, flat=flat)
    if errors is not None:
        free = tuple(n for n in free if n not in (errors.loc, errors.covariance))
    return RowwisePlan(weights, free, sample, tables, errors)


def row_weights(
    model: Model,
    structure: Structure,
    values: Globals,
    assign: Assign,
    active: Array | None = None,
) -> tuple[Array, Array]:
    """Every row's weights of the clusters, ``(cluster, row)``, and the summed log-normaliser.

    Of a chain the weights of pairs of states, ``(series, step, states before, state)``.
    """
    if structure.chain is not None:
        find = chain_densities.best_pairs if assign is hard else chain_densities.pair_probabilities
        return find(model, values, structure)
    logits = model.logits(values, structure)
    if active is not None:
        logits = jnp.where(active[:, None], logits, -jnp.inf)
    once = jnp.ones(logits.shape[1], logits.dtype)
    weights, normaliser = assign(logits, once if model.weights is None else model.weights)
    return weights, normaliser.sum()


def expected_log_joint(
    model: Model,
    structure: Structure,
    values: Globals,
    weights: Array,
    *,
    flat: bool,
    cells: Mapping[str, Array] | None = None,
) -> Array:
    """The expected log joint density of globals, assignments and rows.

    Args:
        model: the program with data.
        structure: what was read off it.
        values: of the global sites.
        weights: of the clusters, ``(cluster, row)``.
        flat: leave the priors out.
        cells: those of cells, see ``program.units``, where they are known.
    """
    # the weights say what clusters rows are of; a density of -inf would make no number of a zero
    model = model.without_labels()
    if structure.locals:  # which the densities of the rows integrate out, given their clusters
        total = weighted(weights, model.logits(values, structure))
    elif structure.coupled:
        tables = pair_passes.tables_of(model, values, structure)
        total = pair_passes.expected(tables, pair_passes.pairs_of(model), weights).sum()
    elif structure.indexed:
        of_cells = cell_weights(model, structure, weights) if cells is None else cells
        total = expected_log_density(model, values, structure, weights, of_cells)
    elif structure.chain is not None:
        pairs = weights if weights.ndim == 4 else chain_densities.as_pairs(structure.chain, weights)
        total = weighted(pairs, chain_densities.chain_factors(model, values, structure))
    else:
        total = weighted(weights, model.logits(values, structure))
    return total if flat else total + model.log_prior(values, structure)


def maximise(
    model: Model,
    structure: Structure,
    plan: RowwisePlan,
    values: Globals,
    weights: Array,
    *,
    flat: bool,
    steps: int = STEPS,
    known: Mapping[str, Any] | None = None,
) -> Globals:
    """Raise the expected log joint density, never lower it.

    Args:
        model: the program with data.
        structure: what was read off it.
        plan: see :func:`rowwise_plan`.
        values: of the global sites.
        weights: of the clusters, ``(cluster, row)``.
        flat: leave the priors out.
        steps: of Newton's method.
        known: priors that do not depend on other sites.
    """
    values = dict(values)
    if plan.weights is not None:
        prior = None
        if not flat:
            priors = model.pieces(values, structure, known).priors
            prior = plain_prior(priors[plan.weights], jnp.shape(values[plan.weights]))
        concentration = 1.0 if prior is None else prior.concentration
        mode = DirichletConditional(concentration + weights.sum(-1)).mode()
        values[plan.weights] = jnp.where(jnp.isfinite(mode), mode, values[plan.weights])
    by_cell = structure.indexed and not structure.coupled and not structure.locals
    cells = cell_weights(model, structure, weights) if by_cell else None
    if plan.tables:
        rows = partial(expected_log_joint, model, structure, weights=weights, flat=True)
        counts = table_counts(lambda v: rows(values=v, cells=cells), values, plan.tables)
        priors = {} if flat else model.pieces(values, structure, known).priors
        for table in plan.tables:
            mode = table.conditional(priors.get(table.name), counts[table.name]).mode()
            values[table.name] = jnp.where(jnp.isfinite(mode), mode, values[table.name])
    if plan.errors is not None:
        priors = {} if flat else model.pieces(values, structure, known).priors
        of_rows = partial(expected_log_joint, model, structure, weights=weights, flat=True)
        density, sites = (lambda v: of_rows(values=v)), plan.errors

        def improved(_: int, values: Globals) -> Globals:
            return values | modes(density, sites, values, weights, priors)

        # a partition's own mode is where that of the true values given the last one stands still
        times = 1 if steps == STEPS else steps
        values = improved(0, values) if times == 1 else lax.fori_loop(0, times, improved, values)
    if not plan.free:
        return values
    space = structure.space.of(plan.free)
    number = model.row_count(structure)
    loss = _loss_of(model, structure, plan, values, weights, flat=flat, cells=cells)
    start = space.ravel(space.unconstrain(values))
    curvature = None
    if plan.sample:
        chosen = np.sort(np.random.default_rng(0).permutation(structure.rows)[: plan.sample])
        few = model.with_data({n: jnp.asarray(v)[chosen] for n, v in model.data.items()})
        of_few = replace(structure, rows=plan.sample)
        more = weights[:, chosen] * (structure.rows / plan.sample)

        def curvature(vector: Array) -> Array:
            trial = {**values, **space.constrain(space.unravel(vector))}
            return -expected_log_joint(few, of_few, trial, more, flat=flat) / number

    priors = model.pieces(values, structure, known).priors
    farthest = space.ravel(reaches(priors, space.sites, FARTHEST))
    minimum = minimise(loss, start, steps, curvature, farthest, differences=plan.differences)
    # values that do not move come back as they are, not through a round trip of the transform
    moved, same = space.constrain(space.unravel(minimum)), (minimum == start).all()
    return values | {n: jnp.where(same, values[n], moved[n]) for n in plan.free}


def _loss_of(
    model: Model,
    structure: Structure,
    plan: RowwisePlan,
    values: Globals,
    weights: Array,
    *,
    flat: bool,
    cells: Mapping[str, Array] | None,
) -> Callable[[Array], Array]:
    """What the M-step lowers, of the free sites in the unconstrained space: nats a row."""
    space = structure.space.of(plan.free)
    number = model.row_count(structure)

    def loss(vector: Array) -> Array:
        trial = {**values, **space.constrain(space.unravel(vector))}
        height = expected_log_joint(model, structure, trial, weights, flat=flat, cells=cells)
        return -height / number

    return loss


def left_to_gain(
    model: Model,
    structure: Structure,
    plan: RowwisePlan,
    values: Globals,
    weights: Array,
    *,
    flat: bool,
) -> Array:
    """How many nats another M-step promises by the sites that Newton's method moves.

    Infinite where it is not known, for want of a finite Hessian; rounding is none.

    Args:
        model: the program with data.
        structure: what was read off it.
        plan: see :func:`rowwise_plan`.
        values: of the global sites.
        weights: of the clusters, ``(cluster, row)``.
        flat: leave the priors out.
    """
    space = structure.space.of(plan.free)
    loss = _loss_of(model, structure, plan, values, weights, flat=flat, cells=None)
    place = space.ravel(space.unconstrain(values))
    farthest = space.ravel(reaches(model.pieces(values, structure).priors, space.sites, FARTHEST))
    fall = promised_fall(loss, place, farthest=farthest, differences=plan.differences)
    return jnp.where(fall <= rounding(loss(place)), 0.0, fall * model.row_count(structure))
