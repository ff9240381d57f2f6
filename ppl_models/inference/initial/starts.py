"""Where point methods start: rows spread by k-means++, or taken at random, as seeds of clusters.

Answers in categories have few distinct rows, so that clusters seeded by one row each are all of a
kind: from random rows three starts in a hundred led to the maximum of four latent classes (1,202
rows, 33 of them distinct), from probabilities that were drawn themselves one in three. So a quarter
of the starts is by k-means++ there, and three quarters are drawn. A sequence, or a step of a hidden
chain, says little by itself: there the seeds are improved by k-means on the points.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.initial.from_weights import Update, smoothed, values_from_weights
from ppl_models.inference.initial.known import sampled_rows, seeds_beside_known, settled
from ppl_models.inference.initial.points import seed_points, window_means
from ppl_models.inference.initial.seeds import (
    find_seeds,
    has_noise,
    seed_count,
    seeds_within,
    shells,
)
from ppl_models.inference.prior_places import at_prior_means
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import hard
from ppl_models.inference.statistics.m_step import prior_means
from ppl_models.program.block_rows import SEED_ROWS
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.rows.known_clusters import known_clusters
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import fold_in, split_apart

WIDTHS = (0, 3, 8)  #: steps to both sides over which starts of hidden chains average, in turn
ROUNDS = 8  #: of k-means that improve seeds
NOISE = (0.05, 0.2, 0.5)  #: shares of the rows that are noise in the starts, in turn
SHELLS = 4  #: starts from which on the last is of shells about the mean


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
    pick_key, seed_key, value_key = split_apart(key, 3)
    points, arrays, weights = seed_points(problem, pick_key)
    known = known_clusters(problem.model)
    if known is None:
        # (of hidden states among the steps that were observed, whose number the host alone knows)
        chosen = find_seeds(problem, seed_key, points, arrays, starts, weights)
    else:
        sample = sampled_rows(problem, pick_key, SEED_ROWS)
        known = known if sample is None else known[sample]
        count = seed_count(problem)
        chosen = jnp.asarray(seeds_beside_known(seed_key, points, count, starts, known, weights))
    within = None if chosen is not None else (seed_count(problem), starts)
    families = problem.families.values()
    noise = has_noise(problem)
    uncertain = bool(problem.states) or any(family.points_on_one_scale for family in families)
    nested = (
        starts >= SHELLS
        and known is None
        and not problem.states
        and seed_count(problem) > 1
        and any(family.may_be_nested for family in families)
    )
    values = _from_seeds(
        problem.model,
        arrays,
        points,
        chosen,
        seed_key,
        problem.chunks.centres,
        value_key,
        usable=active,
        counted=weights,
        widths=np.array([WIDTHS[i % len(WIDTHS)] for i in range(starts)]),
        shares=noise_shares(starts) if noise else None,
        known=None if known is None else jnp.asarray(known),
        at_means=None if known is None else jnp.arange(starts) < (starts + 1) // 2,
        nested=np.arange(starts) == starts - 1 if nested else None,
        update=Update(problem.structure, links, free, flat, problem.chunks.missing),
        seeding=within,
        averaged=bool(problem.states),
        rounds=ROUNDS if uncertain or noise else 0,
        noise=noise,
    )
    spread = (starts + 1) // 2
    if not any(family.starts_from_rows for family in families):
        spread = (starts + 3) // 4
        own_key = fold_in(value_key, starts)
        values = drawn_parameters(problem, links, own_key, values, spread, active)
    kinds = ["k-means++"] * spread + ["random"] * (starts - spread)
    return values, [*kinds[:-1], "shells"] if nested else kinds


def drawn_parameters(
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
            key, own = split_apart(key)
            family = problem.families[link.emission]
            if isinstance(old, jax.core.Tracer):  # within a compiled function already
                drawn = family.draw_start(link.parameter, own, old[first:])
            else:
                drawn = _draw_start(family, own, old[first:], parameter=link.parameter)
        values[link.site] = jnp.concatenate([old[:first], drawn])
    return values


@quickly(static=("parameter",))
def _draw_start(family: ExponentialFamily, key: Array, like: Array, *, parameter: str) -> Array:
    return family.draw_start(parameter, key, like)


@quickly(static=("update", "seeding", "averaged", "rounds", "noise"))
def _from_seeds(
    model: Model,
    arrays: dict[str, Array],
    points: Array,
    chosen: Array | None,
    seed_key: Array,
    centres: dict[str, Array],
    key: Array,
    usable: Array | None = None,
    widths: Array | None = None,
    counted: Array | None = None,
    known: Array | None = None,
    at_means: Array | None = None,
    nested: Array | None = None,
    shares: Array | None = None,
    *,
    update: Update,
    seeding: tuple[int, int] | None,
    averaged: bool,
    rounds: int,
    noise: bool = False,
) -> Globals:
    """Assign every row to its nearest seed, softened, and maximise.

    Where ``averaged``, steps are replaced by means of so many ``widths`` around them. The seeds are
    improved by ``rounds`` of k-means. Where there is ``noise``, such ``shares`` of the rows that
    are farthest from their seeds are that. Rows whose clusters are ``known`` are there;
    ``at_means`` of starts that have the means of those rows for seeds; ``nested`` those of shells
    about the mean.
    Seeds that are not given are looked for here, so many of so many starts: ``seeding``.
    """
    if chosen is None:
        assert seeding is not None
        chosen = seeds_within(seed_key, points, *seeding, counted, noise=noise)
    rows = points.shape[0]
    once = jnp.ones(rows, points.dtype)
    if counted is not None:  # of sequences, every step as often as its sequence
        once = jnp.tile(counted, rows // len(counted)).astype(points.dtype)

    def one(
        key: Array,
        chosen: Array,
        active: Array | None,
        width: Array | None,
        at_means: Array | None,
        nested: Array | None,
        noise_fraction: Array | None,
    ) -> Globals:
        near = points
        if averaged and width is not None:
            near = window_means(points, len(next(iter(arrays.values()))), width)

        def nearest(centres_at: Array) -> Array:
            distance = (centres_at**2).sum(-1)[:, None] - matmul(2 * centres_at, near.T)
            if active is not None:
                distance = jnp.where(active[: len(distance), None], distance, jnp.inf)
            # not by equality with the minimum: a compiled distance may differ from itself in a bit
            weights = hard(-distance, once)[0]
            if noise_fraction is not None:
                weights = weights * ~farthest(
                    distance.min(0) + (near**2).sum(-1), once, noise_fraction
                )
            return settled(weights, known, once)

        def moved(_: int, centres_at: Array) -> Array:
            weights = nearest(centres_at)
            counts = weights.sum(-1, keepdims=True)
            means = matmul(weights, near) / jnp.where(counts > 0, counts, 1)
            return jnp.where(counts > 0, means, centres_at)

        centres_at = near[chosen]
        if nested is not None:
            distances, middles = shells(points, len(chosen), once, active)
            near = jnp.where(nested, distances, near)
            centres_at = jnp.where(nested, middles, centres_at)
        if known is not None and at_means is not None:
            told = settled(jnp.zeros((len(chosen), rows), near.dtype), known, once)
            counts = told.sum(-1, keepdims=True)
            means = matmul(told, near) / jnp.where(counts > 0, counts, 1)
            centres_at = jnp.where(at_means & (counts > 0), means, centres_at)
        if rounds:
            improved = lax.fori_loop(0, rounds, moved, centres_at)
            # of single steps the seeds stay as they are: starts differ more that way
            use = jnp.asarray(True) if not averaged or width is None else width > 0
            centres_at = jnp.where(use, improved, centres_at)
        weights = nearest(centres_at)
        soft = smoothed(weights, once) if noise_fraction is None else beside_noise(weights, once)
        weights = settled(soft, known, once)
        if active is not None:
            weights = jnp.where(active[:, None], weights, 0)
        values = update.structure.initial(key, radius=0.1)
        values = prior_means(model, update.structure, update.links, values)
        values = at_prior_means(model, update.structure, values, update.free)
        return values_from_weights(model, update, arrays, centres, values, weights, key)

    keys = random.split(key, chosen.shape[0])
    by_start = keys, chosen, usable, widths, at_means, nested, shares
    return lax.map(lambda arguments: one(*arguments), by_start)


def noise_shares(starts: int) -> np.ndarray:
    """Shares of the rows that are noise in so many starts, ``(start,)``."""
    return np.array([NOISE[i % len(NOISE)] for i in range(starts)])


def beside_noise(weights: Array, counted: Array) -> Array:
    """Weights of clusters and of noise, ``(cluster + 1, point)``: all that no cluster has.

    Those of the clusters are smoothed among these alone: rows far out would widen them all.

    Args:
        weights: of the clusters, ``(cluster, point)``.
        counted: how often each point counts, ``(point,)``.
    """
    inside = weights.sum(0)
    return jnp.concatenate([smoothed(weights, inside), (counted - inside)[None]])


def farthest(distance: Array, counted: Array, noise_fraction: Array) -> Array:
    """Which points are among the farthest, a fraction of all, ``(point,)``.

    Args:
        distance: of every point, ``(point,)``.
        counted: how often each counts.
        noise_fraction: of the points.
    """
    order = jnp.argsort(-distance)
    before = jnp.cumsum(counted[order]) - counted[order]
    return jnp.zeros(len(distance), bool).at[order].set(before < noise_fraction * counted.sum())
