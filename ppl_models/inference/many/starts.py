"""Where EM starts on many data sets: seeds by k-means++ or at random, as ``initial.starts`` has it.

The padding of a group is never a seed and weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.distributions.contraction import matmul
from ppl_models.inference.initial.from_weights import Update, smoothed, values_from_weights
from ppl_models.inference.initial.seeds import at_random, plus_plus, shells
from ppl_models.inference.initial.starts import ROUNDS, SHELLS, drawn_parameters
from ppl_models.inference.many.buckets import Groups
from ppl_models.inference.many.known import GroupModel
from ppl_models.inference.prior_places import at_prior_means
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import hard
from ppl_models.inference.statistics.m_step import prior_means
from ppl_models.program.model import Globals, Model


@dataclass(frozen=True)
class Starting:
    """How starts are found; static."""

    update: Update
    starts: int
    one_scale: tuple[tuple[str, bool], ...]
    rounds: int
    from_rows: bool
    nested: bool


def starting_of(problem: Problem, update: Update, starts: int) -> Starting:
    """How starts of a program are found."""
    families = problem.families
    scales = {n: f.points_on_one_scale for n, f in families.items()}
    return Starting(
        update,
        starts,
        tuple(scales.items()),
        ROUNDS if any(scales.values()) else 0,
        any(f.starts_from_rows for f in families.values()),
        starts >= SHELLS
        and problem.structure.clusters > 1
        and any(f.may_be_nested for f in families.values()),
    )


def starting_values(
    problem: Problem, model: Model, groups: Groups, keys: Array, starting: Starting
) -> Globals:
    """Global sites of every start of every group, ``(group, start, ...)``.

    Args:
        problem: the program with the data of one group.
        model: the same program.
        groups: the data.
        keys: of every group.
        starting: how they are found.
    """

    def one(groups: Groups, key: Array) -> Globals:
        return _of_group(problem, GroupModel.of(model, groups.known), groups, key, starting)

    return jax.vmap(one)(groups, keys)


def _of_group(
    problem: Problem, model: GroupModel, groups: Groups, key: Array, starting: Starting
) -> Globals:
    present = groups.chunks.parts[0].present[0]
    families = problem.families
    points = []
    for name, one_scale in starting.one_scale:
        own = families[name].start_points(groups.arrays[name])
        own = own.astype(jnp.result_type(own, float))
        points.append(_scaled(own, present, one_scale))
    near = jnp.concatenate(points, -1)
    seed_key, value_key = random.split(key)
    clusters = problem.structure.clusters
    keys = random.split(seed_key, starting.starts)
    spread = (starting.starts + 1) // 2
    counted = present.astype(near.dtype)
    chosen = jax.vmap(lambda key: plus_plus(key, near, clusters, counted))(keys[:spread])
    if starting.starts > spread:
        pick = partial(at_random, counted, len(near), clusters)
        chosen = jnp.concatenate([chosen, jax.vmap(pick)(keys[spread:])])
    update = starting.update

    def start(key: Array, chosen: Array, nested: Array) -> Globals:
        centres_at, points = near[chosen], near
        if starting.nested:
            distances, middles = shells(near, clusters, present)
            points = jnp.where(nested, distances, near)
            centres_at = jnp.where(nested, middles, centres_at)

        def nearest(centres_at: Array) -> Array:
            distance = (centres_at**2).sum(-1)[:, None] - matmul(2 * centres_at, points.T)
            return hard(-distance, present.astype(near.dtype))[0]

        def moved(_: int, centres_at: Array) -> Array:
            weights = nearest(centres_at)
            counts = weights.sum(-1, keepdims=True)
            means = matmul(weights, points) / jnp.maximum(counts, 1)
            return jnp.where(counts > 0, means, centres_at)

        if starting.rounds:
            centres_at = lax.fori_loop(0, starting.rounds, moved, centres_at)
        weights = smoothed(nearest(centres_at)) * present
        values = update.structure.initial(key, radius=0.1)
        values = prior_means(model, update.structure, update.links, values)
        values = at_prior_means(model, update.structure, values, update.free)
        centres = groups.chunks.centres
        return values_from_weights(model, update, groups.arrays, centres, values, weights, key)

    last = jnp.arange(starting.starts) == starting.starts - 1
    values = jax.vmap(start)(random.split(value_key, starting.starts), chosen, last)
    if not starting.from_rows:
        first = (starting.starts + 3) // 4
        own_key = random.fold_in(value_key, starting.starts)
        values = drawn_parameters(problem, update.links, own_key, values, first, None)
    return values


def _scaled(points: Array, present: Array, one_scale: bool) -> Array:
    """Points of a group about their mean, in units of their spread; what is missing is 0."""
    points = jnp.where(present[:, None], points, jnp.nan)
    if one_scale:
        points = points - jnp.nanmean(points, 0)
        spread = jnp.sqrt(jnp.nanmean(points**2))
    else:
        spread = jnp.nanstd(points, 0)
        points = points - jnp.nanmean(points, 0)
    return jnp.nan_to_num(points / jnp.where(spread > 0, spread, 1))


def keys_of(key: Array, members: np.ndarray) -> Array:
    """A random key for every group, by its number, whatever bucket it is in."""
    return jax.vmap(lambda i: random.fold_in(key, i))(jnp.asarray(members))
