"""Where point methods start: rows spread by k-means++, or taken at random, as seeds of clusters.

Answers in categories have few distinct rows, so that clusters seeded by one row each are all of a
kind: from random rows three starts in a hundred led to the maximum of four latent classes (1,202
rows, 33 of them distinct), from probabilities that were drawn themselves one in three. So a quarter
of the starts is by k-means++ there, and three quarters are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, by_length
from ppl_models.inference.statistics.e_step import Expectations, hard
from ppl_models.inference.statistics.m_step import maximise
from ppl_models.program.compiling import QUICK
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameter_map import ParameterLink
from ppl_models.program.structure import Structure

SEED_ROWS = 10_000  #: rows that seeds are looked for among
LONG = 2.0  #: of sequences, so many times the mean length: what is beyond is left out there
SMOOTHING = 0.1  #: share of each row that is spread over all clusters at the start
SWEEPS = 3
WIDTHS = (0, 3, 8)  #: steps to both sides over which starts of hidden chains average, in turn
ROUNDS = 8  #: of k-means on these means


def seed_points(problem: Problem, key: Array) -> tuple[Array, dict[str, Array]]:
    """Rows as standardised points, at most ``SEED_ROWS`` of them, and the same rows' data.

    Where rows hide paths the points are their steps; where such rows are assigned to clusters, mean
    and standard deviation of their steps.
    """
    rows = problem.structure.rows
    data: Mapping[str, Any] = problem.model.data
    if rows > SEED_ROWS:
        chosen = np.sort(np.asarray(random.choice(key, rows, (SEED_ROWS,), replace=False)))
        data = {name: np.asarray(value)[chosen] for name, value in data.items()}
    if problem.states:
        data = {name: _not_too_long(problem, name, np.asarray(v)) for name, v in data.items()}
    arrays = {name: jnp.asarray(data[name]) for name in problem.families}
    points = [
        f.start_points(arrays[n]) if problem.states or not f.latent else _step_moments(f, arrays[n])
        for n, f in problem.families.items()
    ]
    return _standardise(jnp.concatenate(points, -1)), arrays


def _step_moments(family: ExponentialFamily, value: Array) -> Array:
    """Mean and standard deviation of the steps of every sequence, ``(sequence, coordinate)``."""
    points = family.start_points(value)
    steps = points.astype(jnp.result_type(points, float)).reshape(-1, len(value), points.shape[-1])
    return jnp.concatenate([jnp.nanmean(steps, 0), jnp.nanstd(steps, 0)], -1)


def _not_too_long(problem: Problem, name: str, value: np.ndarray) -> np.ndarray:
    """Sequences without what is beyond most of them, where all would mostly be padding."""
    family = problem.families[name]
    if len(by_length({name: family}, {name: value})) == 1:
        return value
    lengths = family.lengths(value)
    return value[:, : math.ceil(LONG * lengths.mean())] if lengths is not None else value


def _find_seeds(
    problem: Problem, key: Array, points: Array, arrays: Mapping[str, Array], starts: int
) -> Array:
    """Seeds ``(start, cluster)`` among the points that were observed."""
    count = seed_count(problem)
    if count == 1:  # one seed has all the rows, whichever it is
        return jnp.zeros((starts, 1), int)
    if not problem.states:
        return seeds(key, points, count, starts)
    masks = [f.observed_points(arrays[n]) for n, f in problem.families.items()]
    observed = np.flatnonzero(np.all([np.asarray(mask) for mask in masks], axis=0))
    return jnp.asarray(observed)[seeds(key, points[observed], count, starts)]


def seed_count(problem: Problem) -> int:
    """Seeds of a start: a cluster's, or a hidden state's where the rows hide paths."""
    if problem.structure.assignment is not None:
        return problem.structure.clusters
    return max((f.states or 1 for f in problem.families.values()), default=1)


@jax.jit
def _standardise(points: Array) -> Array:
    points = points.astype(jnp.result_type(points, float))
    spread = jnp.nanstd(points, 0)
    points = (points - jnp.nanmean(points, 0)) / jnp.where(spread > 0, spread, 1)
    return jnp.nan_to_num(points)


@partial(jax.jit, static_argnames=("clusters",))
def plus_plus(key: Array, points: Array, clusters: int) -> Array:
    """Seeds by k-means++ (Arthur and Vassilvitskii 2007): indices ``(cluster,)`` of rows."""
    keys = random.split(key, clusters)  # kept whole: each taken out is an operation to compile
    first = random.randint(keys[0], (), 0, points.shape[0])

    def squared(row: Array) -> Array:
        return ((points - points[row]) ** 2).sum(-1)

    def choose(nearest: Array, key: Array) -> tuple[Array, Array]:
        far = jnp.where(nearest.sum() > 0, nearest, 1)  # all rows equal: any will do
        row = random.categorical(key, jnp.log(far))
        return jnp.minimum(nearest, squared(row)), row

    if clusters == 1:
        return first[None]
    _, rest = lax.scan(choose, squared(first), keys[1:])
    return jnp.append(first, rest)


@partial(jax.jit, static_argnames=("clusters", "starts"), compiler_options=QUICK)
def seeds(key: Array, points: Array, clusters: int, starts: int) -> Array:
    """Seeds of several starts ``(start, cluster)``: the first half by k-means++, then random."""
    keys = random.split(key, starts)
    spread = (starts + 1) // 2
    # one after another: side by side they take twice as long to compile, and no less to run
    found = [lax.map(lambda k: plus_plus(k, points, clusters), keys[:spread])]
    if starts > spread:
        replace = clusters > points.shape[0]
        pick = partial(random.choice, a=points.shape[0], shape=(clusters,), replace=replace)
        found.append(jax.vmap(pick)(keys[spread:]))
    return jnp.concatenate(found)


def starting_values(
    problem: Problem,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    key: Array,
    starts: int,
    *,
    flat: bool,
    active: Array | None = None,
) -> tuple[Globals, list[str]]:
    """Global sites of several starts, ``(start, ...)``, and what kind of start each is.

    Args:
        problem: program and data.
        links: sites with a closed form.
        free: sites without.
        key: random key.
        starts: number of starts.
        flat: leave the priors out.
        active: ``(start, cluster)``, the clusters that each start may use (default: all).
    """
    pick_key, seed_key, value_key = random.split(key, 3)
    points, arrays = seed_points(problem, pick_key)
    chosen = _find_seeds(problem, seed_key, points, arrays, starts)
    values = _from_seeds(
        problem.model,
        arrays,
        points,
        chosen,
        problem.chunks.centres,
        value_key,
        structure=problem.structure,
        links=links,
        free=free,
        flat=flat,
        missing=problem.chunks.missing,
        usable=active,
        widths=jnp.asarray([WIDTHS[i % len(WIDTHS)] for i in range(starts)]),
        averaged=bool(problem.states),
        rounds=ROUNDS if problem.states else 0,
    )
    spread = (starts + 1) // 2
    if not any(family.starts_from_rows for family in problem.families.values()):
        spread = (starts + 3) // 4
        own_key = random.fold_in(value_key, starts)
        values = _drawn_parameters(problem, links, own_key, values, spread, active)
    return values, ["k-means++"] * spread + ["random"] * (starts - spread)


def _window_means(points: Array, sequences: int, width: Array) -> Array:
    """Means of the points ``(position × sequence, coordinate)`` from so many steps around each.

    A single step of categories is one of few points; what is near to it tells states that last
    apart.
    """
    steps = points.reshape(-1, sequences, points.shape[-1])
    sums = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps, 0)])
    place = jnp.arange(len(steps))
    last = jnp.minimum(place + width + 1, len(steps))
    first = jnp.maximum(place - width, 0)
    means = (sums[last] - sums[first]) / (last - first)[:, None, None]
    return means.reshape(points.shape)


def _drawn_parameters(
    problem: Problem,
    links: tuple[ParameterLink, ...],
    key: Array,
    values: Globals,
    first: int,
    active: Array | None,
) -> Globals:
    """From a first start on, parameters that the families draw, and equal weights."""
    values = dict(values)
    for link in links:
        old = values[link.site]
        if link.emission == problem.structure.assignment:
            used = jnp.ones_like(old) if active is None else active.astype(old.dtype)
            drawn = (used / used.sum(-1, keepdims=True))[first:]
        elif link.shared:
            continue
        else:
            key, own = random.split(key)
            family = problem.families[link.emission]
            drawn = _draw_start(family, own, old[first:], parameter=link.parameter)
        values[link.site] = jnp.concatenate([old[:first], drawn])
    return values


@partial(jax.jit, static_argnames=("parameter",), compiler_options=QUICK)
def _draw_start(family: ExponentialFamily, key: Array, like: Array, *, parameter: str) -> Array:
    return family.draw_start(parameter, key, like)


def _seeded_chains(
    key: Array, family: Any, weights: Array, value: Array, *, missing: bool, centre: Array
) -> Statistics:
    """Statistics of hidden chains, one a cluster, whose steps go to the nearest of drawn seeds.

    From values that are next to equal for all states EM would hardly get away.

    Args:
        key: random key.
        family: hidden chains, one a component.
        weights: of the sequences, ``(cluster, sequence)``.
        value: the sequences.
        missing: whether steps are missing in part.
        centre: the shift of the rows.
    """
    points, seen = _standardise(family.start_points(value)), family.observed_points(value)
    shape = (len(weights), family.states)
    chosen = random.choice(key, len(points), shape, p=seen / seen.sum())
    one = family.replace(
        **{
            name: getattr(family, name)[:1]
            for name in family.parameter_dims
            if name not in family.shared_parameters
        }
    )

    def of_cluster(chosen: Array, share: Array) -> Statistics:
        centres_at = points[chosen]
        distance = (centres_at**2).sum(-1)[:, None] - matmul(2 * centres_at, points.T)
        states, _ = hard(-distance, jnp.ones(len(points), points.dtype))
        states = (1 - SMOOTHING) * states + SMOOTHING / len(chosen)
        states = states * jnp.tile(share, len(points) // len(share))
        return one.seed_statistics(states, value, missing=missing, centre=centre)

    # the leading axis is the component's, or that of all states of all components
    by_cluster = jax.vmap(of_cluster)(chosen, weights)
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), by_cluster)


@partial(
    jax.jit,
    static_argnames=("structure", "links", "free", "flat", "missing", "averaged", "rounds"),
    compiler_options=QUICK,
)
def _from_seeds(
    model: Model,
    arrays: dict[str, Array],
    points: Array,
    chosen: Array,
    centres: dict[str, Array],
    key: Array,
    usable: Array | None = None,
    widths: Array | None = None,
    *,
    averaged: bool,
    rounds: int,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    flat: bool,
    missing: tuple[tuple[str, bool], ...],
) -> Globals:
    """Assign every row to its nearest seed, softened, and maximise.

    Where ``averaged``, steps are replaced by means of so many ``widths`` around them. The seeds are
    improved by ``rounds`` of k-means.
    """
    rows = points.shape[0]
    gaps = dict(missing)
    chunks = Chunks((), jnp.arange(rows), centres, missing)

    def one(key: Array, chosen: Array, active: Array | None, width: Array | None) -> Globals:
        near = points
        if averaged and width is not None:
            near = _window_means(points, len(next(iter(arrays.values()))), width)

        def nearest(centres_at: Array) -> Array:
            distance = (centres_at**2).sum(-1)[:, None] - matmul(2 * centres_at, near.T)
            if active is not None:
                distance = jnp.where(active[:, None], distance, jnp.inf)
            # not by equality with the minimum: a compiled distance may differ from itself in a bit
            return hard(-distance, jnp.ones(rows, points.dtype))[0]

        def moved(_: int, centres_at: Array) -> Array:
            weights = nearest(centres_at)
            counts = weights.sum(-1, keepdims=True)
            means = matmul(weights, near) / jnp.maximum(counts, 1)
            return jnp.where(counts > 0, means, centres_at)

        centres_at = near[chosen]
        if rounds:
            improved = lax.fori_loop(0, rounds, moved, centres_at)
            # of single steps the seeds stay as they are: starts differ more that way
            use = jnp.asarray(True) if not averaged or width is None else width > 0
            centres_at = jnp.where(use, improved, centres_at)
        weights = nearest(centres_at)
        weights = (1 - SMOOTHING) * weights + SMOOTHING / len(chosen)
        if active is not None:
            weights = jnp.where(active[:, None], weights, 0)
        values = structure.initial(key, radius=0.1)

        def improve(_: int, values: Globals) -> Globals:
            families = model.pieces(values, structure).families()
            by_state = structure.assignment is None
            statistics = {}
            for name, family in families.items():
                given: dict[str, Any] = {"missing": gaps[name], "centre": chunks.centres[name]}
                if by_state:
                    found = family.seed_statistics(weights, arrays[name], **given)
                elif family.latent:
                    found = _seeded_chains(key, family, weights, arrays[name], **given)
                else:
                    found = family.expected_statistics(weights, arrays[name], **given)
                statistics[name] = found
            counts = weights.sum(-1)
            if by_state:
                counts = counts.sum(keepdims=True)
            expected = Expectations(jnp.zeros(()), counts, statistics)
            return maximise(model, structure, links, free, values, expected, chunks, flat=flat)

        return lax.fori_loop(0, SWEEPS, improve, values)

    keys = random.split(key, chosen.shape[0])
    return lax.map(lambda given: one(*given), (keys, chosen, usable, widths))
