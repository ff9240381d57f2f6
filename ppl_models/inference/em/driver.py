"""EM from several starts: their initial values, the choice of the best, and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import device
from ppl_models.errors import InputError
from ppl_models.inference.em.blocks import run_em_over_blocks
from ppl_models.inference.em.collapse import collapsed_runs, without_bound
from ppl_models.inference.em.label_order import reordered
from ppl_models.inference.em.loop import EMRuns, run_em
from ppl_models.inference.em.network import NOTE, run_network_em
from ppl_models.inference.em.polish import NATS, nats_left, polished
from ppl_models.inference.em.row_sample import best_on_sample, row_sample
from ppl_models.inference.em.search import final_objective, go_on, search
from ppl_models.inference.em.split_merge import Moves, movable
from ppl_models.inference.initial.from_weights import Update
from ppl_models.inference.initial.prior_start import prior_start
from ppl_models.inference.initial.seeds import seed_count
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.method import Method, Treatment
from ppl_models.inference.modes.unbounded import refuse_unbounded
from ppl_models.inference.newton import LARGEST
from ppl_models.inference.objective import (
    CLASSIFICATION,
    EVIDENCE_BOUND,
    LOG_JOINT,
    LOG_LIKELIHOOD,
    LOG_POSTERIOR,
)
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.rowwise.m_step import RowwisePlan, rowwise_plan, take_differences
from ppl_models.inference.rowwise.starts import rowwise_starts
from ppl_models.inference.statistics.e_step import hard, soft
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.model import Globals
from ppl_models.program.parameters.label_symmetry import Place, permute_labels
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.runtime.keys import fold_in

MANY_STARTS = 8  #: starts from which on only the best of short runs go on
MANY = 4  #: components from which on they do
SHORT_OF_LONG = 5  #: iterations of a short run where one takes a tenth of a second
ROUNDS = 3  #: times that EM and Newton's method go on by turns where a run is at no optimum
NO_DENSITY = (
    "no start came where the data have a finite density: look for a prior or an emission that "
    "excludes some rows or values"
)
#: treatment of assignments, priors -> what is maximised
OBJECTIVES = {
    ("soft", "program"): LOG_POSTERIOR,
    ("soft", "flat"): LOG_LIKELIHOOD,
    ("hard", "program"): LOG_JOINT,
    ("hard", "flat"): CLASSIFICATION,
}


def em_from_starts(
    problem: Problem, key: Array, *, wants_mode: bool = True, **options: Any
) -> Result:
    """EM from several starts, as :func:`em_with_density`, for data that must have a density.

    Args:
        problem: program and data.
        key: random key.
        wants_mode: whether there must be a mode, where priors are not left out.
        **options: of :func:`em_with_density`.

    Raises:
        InputError: options out of range, data without a density at every start's end, or a density
            without bound there.
    """
    result = em_with_density(problem, key, **options)
    if result is None:
        raise InputError(NO_DENSITY)
    flat = result.method.objective in (LOG_LIKELIHOOD, CLASSIFICATION)
    if wants_mode and not flat and result.starts["collapsed"][1].all():
        ends = {n: v[0, 0] for n, v in result.values.items()}
        refuse_unbounded(problem, ends, may_leave_out=True)
    return result


def em_with_density(
    problem: Problem,
    key: Array,
    *,
    starts: int,
    iterations: int,
    tolerance: float | None = None,
    priors: str = "program",
    assignments: Treatment = "soft",
    label: str = "em",
    run: Callable[..., EMRuns] | None = None,
) -> Result | None:
    """EM with a given treatment of the assignments (soft: EM; hard: classification EM).

    Args:
        problem: program and data.
        key: random key.
        starts: number of starts.
        iterations: maximum number of iterations per start.
        tolerance: relative gain of the objective below which iterations stop; None: by the
            precision.
        priors: "program" or "flat".
        assignments: "soft" or "hard".
        label: of progress bars.
        run: what iterates all starts, with the arguments of ``em.loop.run_em`` (default: batch EM).

    Returns:
        The best start; None where the data have no density at any start's end.

    Raises:
        InputError: options out of range.
    """
    if priors not in ("program", "flat"):
        raise InputError(f"priors is {priors!r}: choose 'program' or 'flat'")
    if priors == "flat" and problem.structure.factors:
        raise InputError(
            f"priors='flat' leaves out what is no density of data, and the program has the factor "
            f"'{problem.structure.factors[0]}': use priors='program'"
        )
    if starts < 1 or iterations < 1:
        raise InputError(f"starts ({starts}) and iterations ({iterations}) must be at least 1")
    flat = priors == "flat"
    if tolerance is None:
        tolerance = 1e-9 if jnp.result_type(float) == jnp.float64 else 1e-6
    if not problem.structure.sites:
        raise InputError("every global site is fixed: there is nothing to maximise")
    if problem.structure.coupled:
        return _of_network(problem, key, starts, iterations, tolerance, flat=flat)
    links: tuple[ParameterLink, ...] = ()
    free: tuple[str, ...] = ()
    sample: Problem | None = None
    if problem.sums_rows_up:
        links, free = conjugate_sites(
            problem.model, problem.structure, problem.parameter_map, problem.chunks, flat=flat
        )
        hiding = problem.latent or any(f.draws_hidden for f in problem.families.values())
        if problem.structure.assignment is None and not hiding:
            starts = 1
        values, initializations = starting_values(problem, links, free, key, starts, flat=flat)
    else:
        sample = row_sample(problem, fold_in(key, starts)) if starts > 1 and run is None else None
        values, initializations = rowwise_starts(sample or problem, key, starts, flat=flat)
    told = None if flat else prior_start(problem)
    if told is not None and set(told) == set(values):
        values = {n: jnp.asarray(v).at[0].set(told[n]) for n, v in values.items()}
        initializations = ["prior means", *initializations[1:]]
    assign = soft if assignments == "soft" else hard

    def run_from(values: Globals, iterations: int, problem: Problem = problem) -> EMRuns:
        batch = run_em if problem.blocks is None else run_em_over_blocks
        checkpoint = problem.checkpoint
        with nullcontext() if checkpoint is None else checkpoint.interruptible():
            return (run or batch)(
                problem,
                values,
                links=links,
                free=free,
                iterations=iterations,
                tolerance=tolerance,
                flat=flat,
                assign=assign,
                label=label,
            )

    kinds = initializations
    if problem.sums_rows_up and starts >= MANY_STARTS and seed_count(problem) >= MANY:
        update = Update(problem.structure, links, free, flat, problem.chunks.missing)
        move_key = fold_in(key, starts)
        moves = Moves(problem, update, assign, move_key) if movable(problem) else None
        runs, initializations = search(
            values,
            initializations,
            run_from,
            partial(collapsed_runs, problem, flat=flat),
            moves,
            iterations,
        )
    elif sample is None and run is None and starts >= MANY_STARTS and _is_long(problem, starts):
        ended = partial(collapsed_runs, problem, flat=flat)
        runs, initializations = search(
            values, initializations, run_from, ended, None, iterations, SHORT_OF_LONG
        )
    else:
        if sample is not None:
            values, initializations = best_on_sample(
                values,
                initializations,
                partial(run_from, problem=sample),
                partial(collapsed_runs, sample, flat=flat),
                iterations,
            )
            kinds = initializations
        runs = run_from(values, iterations)
    if assignments == "soft" and not flat and problem.blocks is None:
        better = reordered(problem, runs.values)
        if better is not None:
            runs = go_on(runs, run_from(_arrays(better), iterations))
    plan = None if problem.sums_rows_up else rowwise_plan(problem, flat=flat)
    stuck = np.zeros(len(runs.converged), bool)
    if plan is not None and assignments == "soft" and _to_polish(problem, plan):
        stopped, (runs, bends) = runs.converged, polished(problem, runs, flat=flat)
        if not bends.all() and take_differences(problem, flat=flat):
            runs, initializations = run_from(values, iterations), kinds
            stopped, (runs, _) = runs.converged, polished(problem, runs, flat=flat)
        for _ in range(ROUNDS):
            if not (stopped & ~runs.converged).any():
                break
            runs = go_on(runs, run_from(_arrays(runs.values), iterations))
            stopped, (runs, _) = runs.converged, polished(problem, runs, flat=flat)
        stuck = stopped & ~runs.converged
    elif problem.blocks is None and run is None:
        left = nats_left(problem, runs, free, assign, flat=flat)
        if not np.isfinite(left).all() and take_differences(problem, flat=flat):
            runs, initializations = run_from(values, iterations), kinds
            left = nats_left(problem, runs, free, assign, flat=flat)
        stuck = runs.converged & ~(left <= NATS)
        runs = replace(runs, converged=runs.converged & ~stuck)
    method = Method("point", assignments, OBJECTIVES[assignments, priors])
    result = best_start(problem, runs, initializations, method, stuck)
    if result is None or not problem.sums_rows_up:
        return result
    gaps = any(missing for _, missing in problem.chunks.missing)
    hiding = problem.latent or any(f.draws_hidden for f in problem.families.values())
    if problem.structure.assignment is None and not (hiding or free or gaps):
        # there is one optimum only, wherever one starts
        return replace(result, attributes={"closed_form": 1})
    return result


def _is_long(problem: Problem, starts: int) -> bool:
    """Whether so many starts, of a program with as many clusters, are not moved side by side."""
    clusters = problem.structure.clusters
    numbers = starts * clusters * problem.cells
    by_cell = bool(problem.structure.indexed)
    return by_cell and clusters >= MANY and numbers > device.starts_numbers()


def _arrays(values: Mapping[str, np.ndarray]) -> Globals:
    return {n: jnp.asarray(v) for n, v in values.items()}


def _of_network(
    problem: Problem, key: Array, starts: int, iterations: int, tolerance: float, *, flat: bool
) -> Result | None:
    """Variational EM: the objective is a lower bound."""
    runs, kinds = run_network_em(
        problem, key, starts, iterations=iterations, tolerance=tolerance, flat=flat
    )
    result = best_start(problem, runs, kinds, Method("point", "soft", EVIDENCE_BOUND))
    if result is not None:
        result.notes.append(NOTE)
    return result


def _to_polish(problem: Problem, plan: RowwisePlan) -> bool:
    """Whether Newton's method continues from where EM stopped: not for large probability tables."""
    size = sum(int(np.prod(site.shape)) for site in problem.structure.sites)
    return bool(plan.free) or plan.errors is not None or size <= LARGEST


def best_start(
    problem: Problem,
    runs: EMRuns,
    initializations: list[str],
    method: Method,
    stuck: np.ndarray | None = None,
) -> Result | None:
    """The best start that did not collapse, its clusters in order of weight.

    None where the data have no density at any start's end.

    Args:
        problem: program and data.
        runs: EM from every start.
        initializations: how each was found.
        method: the declaration of the method that asks.
        stuck: those that stand still at no optimum, ``(start,)`` (default: none).
    """
    final = final_objective(runs)
    if np.isneginf(final).all():
        return None
    flat = method.objective in (LOG_LIKELIHOOD, CLASSIFICATION)
    collapsed = collapsed_runs(problem, runs, flat=flat)
    if not flat:
        collapsed = without_bound(problem, runs, final, collapsed)
    best = int(np.argmax(final if collapsed.all() else np.where(collapsed, -np.inf, final)))
    ends = {n: v[best] for n, v in runs.values.items()}
    order = cluster_order(problem, ends)
    axes = problem.labels.axes
    values = permute_labels(ends, axes, order)
    longest = int(runs.iterations.max())
    starts = {
        "objective": (("start", "iteration"), runs.objective[:, :longest]),
        "final": (("start",), final),
        "iterations": (("start",), runs.iterations),
        "converged": (("start",), runs.converged),
        "collapsed": (("start",), collapsed),
        "best": (("start",), np.arange(len(final)) == best),
        "initialization": (("start",), np.array(initializations)),
    }
    return Result(
        {n: v[None, None] for n, v in values.items()},
        method,
        {"lp": np.full((1, 1), final[best])},
        starts,
        _path_of(runs, best, axes, order),
        notes=_notes(
            collapsed,
            bool(runs.converged[best]),
            stuck=stuck is not None and bool(stuck[best]),
            flat=flat,
        ),
    )


def _path_of(
    runs: EMRuns, start: int, axes: Mapping[str, tuple[Place, ...]], order: np.ndarray
) -> dict[str, np.ndarray]:
    """Global sites and objective of one start at each iteration; empty where not recorded."""
    length = int(runs.iterations[start])
    path = permute_labels(
        {n: v[start, :length] for n, v in runs.path.items()}, axes, order, leading=1
    )
    return path | {"objective": runs.objective[start, :length]} if path else {}


def _notes(collapsed: np.ndarray, converged: bool, *, stuck: bool, flat: bool) -> list[str]:
    notes = []
    if collapsed.all():
        notes.append(
            "every start collapsed a component onto too few rows, or ran into a prior without a "
            "mode: use fewer clusters, "
            + ("priors='program', " if flat else "")
            + "or concentrations of at least 1"
        )
    elif collapsed.any():
        notes.append(
            f"{collapsed.sum()} of {len(collapsed)} starts collapsed a component onto too few "
            "rows, or ran into a prior without a mode, and were set aside"
        )
    if stuck:
        digits = jnp.finfo(jnp.result_type(float)).bits < 64
        notes.append(
            "the best start did not converge: it stands still where the objective still rises, so "
            "its estimates are no optimum: raise starts"
            + (", or give precision='float64'" if digits else "")
        )
    elif not converged:
        notes.append("the best start did not converge: raise iterations")
    return notes


def cluster_order(problem: Problem, values: dict[str, np.ndarray]) -> np.ndarray:
    """Clusters in descending order of weight, where they may change places."""
    link = [w for w in problem.parameter_map.links if w.emission == problem.structure.assignment]
    if not link or not problem.exchangeable:
        return np.arange(problem.structure.clusters)
    weights, places = values[link[0].site], problem.labels.axes.get(link[0].site)
    axis = places[0][0] if places else -1
    others = tuple(i for i in range(weights.ndim) if i != axis % weights.ndim)
    return np.argsort(-weights.sum(others), kind="stable")  # (of groups, those of all of them)
