"""Many groups in one compiled run, where the program and the method allow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random

from ppl_models import memory
from ppl_models.data.derived import derived_arguments
from ppl_models.data.missing import columns_vary
from ppl_models.inference.capabilities import require
from ppl_models.inference.many.buckets import Bucket, in_buckets
from ppl_models.inference.many.em import Points, densities, em_of_bucket
from ppl_models.inference.many.gibbs import Draws, Plan, densities_of_draws, gibbs_of_bucket
from ppl_models.inference.many.known import dependence, priors_of_groups
from ppl_models.inference.method import declaration
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.e_step import hard, soft
from ppl_models.inference.suitability import refuse_priors, unresolved, unsuitable
from ppl_models.many.outcome import Outcome
from ppl_models.many.request import Request
from ppl_models.posterior.labels.methods import CLEAR_ROWS
from ppl_models.posterior.labels.permutations import (
    best_permutations,
    cheapest_changes,
    compose,
    permute,
    within_classes,
)
from ppl_models.program.parameters.label_symmetry import LabelSymmetry
from ppl_models.program.rows.rounding import rounding_loss
from ppl_models.program.runtime.precision import cast

TEMPLATE_ROWS = 64  #: rows that a program is read on, of all groups
KEPT_DRAWS = 100  #: draws of a chain at which densities and responsibilities are evaluated, at most

NO_DENSITY = "no start came where the data have a density"
NO_BOUND = (
    "a prior is infinite at the edge of its support, where it ran, so that there is no mode: give "
    "concentrations of at least 1, or priors='flat'"
)


def template(request: Request) -> Problem:
    """The program read on a fixed number of rows of all groups."""
    return request.problem(template_places(request))[0]


def template_places(request: Request) -> np.ndarray:
    """The rows that a program is read on, evenly spaced among all."""
    total = len(next(iter(request.observed.values())).values)
    count = max(TEMPLATE_ROWS, 2 * int(request.arguments.get("clusters") or 1))
    return np.linspace(0, total - 1, count).astype(int)


def why_not(request: Request, problem: Problem, groups: Sequence[int]) -> str | None:
    """Why groups are fitted one by one; None if they are fitted side by side.

    Args:
        request: what is asked.
        problem: the program read on some rows.
        groups: healthy ones.
    """
    structure = problem.structure
    if not declaration(request.method).many:
        return f"method '{request.method}' fits one group at a time"
    if request.options.get("keep_assignments"):
        return "assignments of every draw are kept for one group at a time"
    plain = structure.assignment is not None and problem.sums_rows_up and not problem.latent
    plain = plain and not structure.computed and not structure.sources and not structure.combined
    if not plain or problem.scales or structure.locals or structure.factors:
        return "the program's rows are not summed up by statistics of exponential families alone"
    if not structure.sites or any(s.support.is_discrete for s in structure.sites):
        return "the program's sites are not all continuous"
    if any(f.keeps_rows for f in problem.families.values()):
        return "an emission keeps its rows"
    if derived_arguments(request.function) or set(request.observed) != set(structure.emissions):
        return "the program takes data that it does not emit"
    sizes = [len(request.rows[g]) for g in groups]
    others = {groups[int(np.argmin(sizes))], groups[int(np.argmax(sizes))]}
    read = [request.problem(request.rows[g])[0] for g in sorted(others)]
    return dependence(problem, [(p.model, p.structure) for p in read])


def healthy(request: Request, problem: Problem) -> np.ndarray:
    """Which groups pass all checks of data, ``(group,)``; the others are fitted one by one."""
    fine = np.zeros(len(request.rows), bool)
    least = max(2, int(request.arguments.get("clusters") or 1))
    refused = _outside(request, problem)
    for group, places in enumerate(request.rows):
        if len(places) < least or refused[group]:
            continue
        fine[group] = all(columns_vary(o.values[places]) for o in request.observed.values())
        if fine[group] and request.precision == "float32":
            fine[group] = rounding_loss(request.observed_of(places)) is None
    return fine


def _outside(request: Request, problem: Problem) -> np.ndarray:
    """Whether a group has values outside the support of an emission, or rows that stay out."""
    complete, refused = {}, np.zeros(len(request.rows), bool)
    for name, observed in request.observed.items():
        complete[name] = cast(observed.values, request.precision)
    if unsuitable(problem.on_data(problem.model.with_data(complete), problem.chunks)) is None:
        return refused
    for group, places in enumerate(request.rows):
        own = {n: v[places] for n, v in complete.items()}
        one = problem.on_data(problem.model.with_data(own), problem.chunks)
        refused[group] = unsuitable(one) is not None
    return refused


def fitted_side_by_side(
    request: Request, problem: Problem, groups: np.ndarray
) -> dict[int, Outcome]:
    """Outcomes of groups by number.

    Args:
        request: what is asked.
        problem: the program read on some rows.
        groups: the numbers of those that are fitted.
    """
    require(request.method, problem)
    refuse_priors(problem)
    names = problem.structure.emissions
    data = [
        {n: cast(request.observed[n].values[request.rows[g]], request.precision) for n in names}
        for g in groups
    ]
    known = priors_of_groups(problem, data)
    key = random.key(request.seed)
    outcomes: dict[int, Outcome] = {}
    for bucket in in_buckets(problem, data, known):
        # groups' own numbers, so that a group's random numbers do not depend on the others
        own = Bucket(groups[bucket.members], bucket.sizes, bucket.length, bucket.groups)
        if declaration(request.method).kind == "draws":
            fitted = _drawn(request, problem, own, key)
        else:
            fitted = _points(request, problem, own, key)
        outcomes.update(fitted)
    _refuse_coarse(request, problem, outcomes)
    return outcomes


def _points(request: Request, problem: Problem, bucket: Bucket, key: Any) -> dict[int, Outcome]:
    options = request.options
    is_hard = declaration(request.method).assignments == "hard"
    points = em_of_bucket(
        problem,
        bucket,
        key,
        starts=options["starts"],
        iterations=options["iterations"],
        tolerance=options["tolerance"],
        flat=options["priors"] == "flat",
        assign=hard if is_hard else soft,
    )
    density, responsibilities, _ = densities(problem, bucket, points.values, hard=is_hard)
    outcomes = {}
    for place, group in enumerate(bucket.members):
        rows, facts = bucket.sizes[place], _facts(points, place)
        if not np.isfinite(facts["objective"]):
            without = bool(points.unbounded[place])
            outcomes[int(group)] = Outcome(failure=NO_BOUND if without else NO_DENSITY)
            continue
        outcomes[int(group)] = Outcome(
            {n: v[place][None, None] for n, v in points.values.items()},
            np.full((1, 1), facts["objective"]),
            density[place, None, None, :rows],
            1,
            responsibilities[place, :, :rows].T,
            problem.structure.clusters,
            facts,
        )
    return outcomes


def _facts(points: Points, group: int) -> dict[str, Any]:
    best = points.best[group]
    height = points.objective[group]
    top = height[best]
    return {
        "converged": bool(points.converged[group, best]),
        "iterations": int(points.iterations[group, best]),
        "collapsed": bool(points.collapsed[group, best]),
        "objective": float(top),
        "starts_at_best": int((height > top - 1e-4 * (1 + abs(top))).sum()),
    }


def _drawn(request: Request, problem: Problem, bucket: Bucket, key: Any) -> dict[int, Outcome]:
    options = request.options
    plan = Plan(*(int(options[n]) for n in ("chains", "warmup", "draws", "thinning")))
    draws = gibbs_of_bucket(
        problem, bucket, key, plan, dispersion=options["dispersion"], starts=options["starts"]
    )
    values, unclear = relabelled(problem.labels, draws, _weights_of(problem))
    total = sum(len(rows) for rows in request.rows)
    most = max(1, memory.KEPT_LOG_LIKELIHOOD // (plan.chains * total))
    every = math.ceil(plan.draws / max(1, min(most, KEPT_DRAWS)))
    thinned = {n: v[:, :, ::every] for n, v in values.items()}
    flat = {n: v.reshape(len(v), -1, *v.shape[3:]) for n, v in thinned.items()}
    density, responsibilities = densities_of_draws(problem, bucket, flat)
    density = density.reshape(len(density), plan.chains, -1, density.shape[-1])
    outcomes = {}
    for place, group in enumerate(bucket.members):
        rows = bucket.sizes[place]
        facts = {**_facts(draws.mode, place), "unclear": float(unclear[place])}
        own = {n: v[place] for n, v in values.items()}
        if not all(np.isfinite(v).all() for v in (*own.values(), draws.lp[place])):
            why = "the data have no density at some draws"
            outcomes[int(group)] = Outcome(failure=why)
            continue
        outcomes[int(group)] = Outcome(
            own,
            draws.lp[place],
            density[place, :, :, :rows],
            every,
            responsibilities[place, :, :rows].T,
            problem.structure.clusters,
            facts,
        )
    return outcomes


def _weights_of(problem: Problem) -> str | None:
    """The site of the clusters' weights, where they may change places."""
    links = [w for w in problem.parameter_map.links if w.emission == problem.structure.assignment]
    return links[0].site if links and problem.exchangeable else None


def relabelled(
    labels: LabelSymmetry, draws: Draws, weights: str | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draws ``(group, chain, draw, ...)`` under one labelling, and the share that is not clear.

    Each draw takes the labels under which it agrees most with the assignments at the mode; the
    clusters of a group then come by the mean of their weights.

    Args:
        labels: which clusters may change places.
        draws: of all groups.
        weights: the site of the weights.
    """
    shape = draws.agreement.shape[:3]
    if not labels.classes:
        return draws.values, np.zeros(shape[0])
    clusters = draws.agreement.shape[-1]
    table = draws.agreement.reshape(-1, clusters, clusters).swapaxes(1, 2).astype(np.float64)
    cost = within_classes(-table, labels.class_of())
    order = best_permutations(cost)
    sizes = permute(table.sum(1), order)
    doubtful = (sizes >= 1) & (cheapest_changes(cost, order) < CLEAR_ROWS * np.sqrt(sizes))
    unclear = doubtful.any(1).reshape(shape[0], -1).mean(1)
    if weights is not None:
        drawn = draws.values[weights].reshape(len(order), -1)
        mean = np.take_along_axis(drawn, order, 1).reshape(shape[0], -1, clusters).mean(1)
        first = np.argsort(-mean, axis=1, kind="stable")
        order = compose(order, np.repeat(first, shape[1] * shape[2], 0))
    values = dict(draws.values)
    for name, places in labels.axes.items():
        for axis, start in places if name in values else ():
            value = values[name].reshape(len(order), *values[name].shape[3:])
            at = np.tile(np.arange(value.shape[axis + 1]), (len(order), 1))
            count = min(at.shape[1], clusters - start)
            at[:, :count] = order[:, start : start + count] - start
            at = at.reshape(len(order), *[-1 if i == axis else 1 for i in range(value.ndim - 1)])
            values[name] = np.take_along_axis(value, at, axis + 1).reshape(values[name].shape)
    return values, unclear


def _refuse_coarse(request: Request, problem: Problem, outcomes: dict[int, Outcome]) -> None:
    if jnp.result_type(float) == jnp.float64:
        return
    method = declaration(request.method)
    for group, outcome in outcomes.items():
        if outcome.failure:
            continue
        result = Result(outcome.values, method, {})
        fault = unresolved(problem, result, request.observed_of(request.rows[group]))
        if fault is not None:
            outcomes[group] = Outcome(failure=fault)
