"""Seeds of clusters: points spread by k-means++, or taken at random; or shells about the mean."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.inference.problem import Problem
from ppl_models.program.runtime.compiling import quickly


def find_seeds(
    problem: Problem,
    key: Array,
    points: Array,
    arrays: Mapping[str, Array],
    starts: int,
    weights: Array | None = None,
) -> Array | None:
    """Seeds ``(start, cluster)`` among the points that were observed, as often as rows count.

    None where all points were, among which :func:`seeds` looks for them.
    """
    count = seed_count(problem)
    if count == 1:  # one seed has all the rows, whichever it is
        return np.zeros((starts, 1), np.int32)  # type: ignore[return-value]
    if not problem.states:
        return None
    masks = [f.observed_points(arrays[n]) for n, f in problem.families.items()]
    observed = np.flatnonzero(np.all([np.asarray(mask) for mask in masks], axis=0))
    of_steps = None
    if weights is not None:
        of_steps = jnp.tile(weights, len(points) // len(weights))[observed]
    return jnp.asarray(observed)[seeds(key, points[observed], count, starts, of_steps)]


def seed_count(problem: Problem) -> int:
    """Seeds of a start: a cluster's, or a hidden state's where the rows hide paths.

    Noise beside the clusters has none.
    """
    if problem.structure.assignment is not None:
        return problem.structure.clusters - has_noise(problem)
    return max((f.states or 1 for f in problem.families.values()), default=1)


def has_noise(problem: Problem) -> bool:
    """Whether the last component takes in what lies far from all clusters."""
    return any(family.last_is_noise for family in problem.families.values())


@partial(jax.jit, static_argnames=("clusters", "noise"))
def plus_plus(
    key: Array, points: Array, clusters: int, weights: Array | None = None, *, noise: bool = False
) -> Array:
    """Seeds by k-means++ (Arthur and Vassilvitskii 2007): indices ``(cluster,)`` of rows.

    Beside ``noise`` the points far out are no likelier seeds than others of the far half.
    """
    keys = random.split(key, clusters)  # kept whole: each taken out is an operation to compile
    # (by one number a point, so that points that count for nothing change no draw of the others)
    weights = jnp.ones(points.shape[0], points.dtype) if weights is None else weights
    first = random.categorical(keys[0], jnp.log(weights))

    def squared(row: Array) -> Array:
        return ((points - points[row]) ** 2).sum(-1)

    def choose(nearest: Array, key: Array) -> tuple[Array, Array]:
        far = jnp.minimum(nearest, jnp.median(nearest)) if noise else nearest
        far = far * weights
        far = jnp.where(far.sum() > 0, far, weights)  # all rows equal: any will do
        row = random.categorical(key, jnp.log(far))
        return jnp.minimum(nearest, squared(row)), row

    if clusters == 1:
        return first[None]
    _, rest = lax.scan(choose, squared(first), keys[1:])
    return jnp.append(first, rest)


def seeds_within(
    key: Array,
    points: Array,
    clusters: int,
    starts: int,
    weights: Array | None = None,
    *,
    noise: bool = False,
) -> Array:
    """Seeds of several starts ``(start, cluster)``: the first half by k-means++, then random."""
    keys = random.split(key, starts)
    spread = (starts + 1) // 2
    # one after another: side by side they take twice as long to compile, and no less to run
    one = partial(plus_plus, points=points, clusters=clusters, weights=weights, noise=noise)
    seeds_of_starts = [lax.map(one, keys[:spread])]
    if starts > spread:
        seeds_of_starts.append(
            jax.vmap(partial(at_random, weights, len(points), clusters))(keys[spread:])
        )
    return jnp.concatenate(seeds_of_starts)


#: :func:`seeds_within` by itself
seeds = quickly(static=("clusters", "starts"))(seeds_within)


def at_random(weights: Array | None, points: int, clusters: int, key: Array) -> Array:
    """Points ``(cluster,)`` drawn without return, those of weight 0 where there are no others.

    The largest of one Gumbel number a point: points that count for nothing change no draw.
    """
    log_weight = jnp.zeros(points) if weights is None else jnp.log(weights)
    order = jnp.argsort(-(log_weight + random.gumbel(key, (points,))))
    return order[jnp.arange(clusters) % points]


def shells(points: Array, clusters: int, counted: Array, active: Array | None = None) -> Any:
    """Points and seeds of clusters that lie within each other: what tells them apart is distance.

    Components of one location and different scatters are found from no two seeds among the points,
    which cut the data into sides. Shells about the mean, with as many points each, are.

    Args:
        points: standardised, ``(point, coordinate)``.
        clusters: number of seeds.
        counted: how often each point counts, ``(point,)``.
        active: ``(cluster,)``, the clusters that are used (default: all).

    Returns:
        Every point's distance from the mean in the first coordinate, ``(point, coordinate)``, and
        the seeds among these, ``(cluster, coordinate)``.
    """
    distance = jnp.sqrt((points**2).sum(-1))
    used = jnp.ones(clusters, bool) if active is None else active
    middles = (jnp.cumsum(used) - 0.5) / jnp.maximum(used.sum(), 1)
    order = jnp.argsort(distance)
    below = jnp.cumsum(counted[order].astype(points.dtype))
    radii = distance[order][jnp.searchsorted(below, middles * below[-1])]
    return tuple(
        jnp.zeros((len(v), points.shape[1]), v.dtype).at[:, 0].set(v) for v in (distance, radii)
    )
