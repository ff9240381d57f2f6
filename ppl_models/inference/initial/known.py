"""Starts where the clusters of some rows are known: seeds and partitions that agree with them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.inference.problem import Problem
from ppl_models.program.rows.known_clusters import known_clusters

MOST_KNOWN = 0.5  #: most of a sample of rows that are those whose clusters are known


def settled(weights: Array, known: Any, counted: Any = 1.0) -> Array:
    """Weights ``(cluster, row)``, with weight 1 in the known cluster of every row that has one.

    Args:
        weights: of the clusters.
        known: cluster of every row, negative where it is not known; None: of no row.
        counted: how often each row counts.
    """
    if known is None:
        return weights
    one_hot = known == jnp.arange(weights.shape[0])[:, None]
    return jnp.where(known >= 0, one_hot * counted, weights)


def sampled_rows(problem: Problem, key: Array, most: int) -> np.ndarray | None:
    """At most so many rows, in their order; None for all. Half may be rows of known clusters."""
    rows = problem.structure.rows
    if rows <= most:
        return None
    if problem.model.padding:  # of the rows alone: so that they are those of rows in blocks
        rows = int(np.flatnonzero(np.asarray(problem.model.weights))[-1]) + 1
        if rows <= most:
            return np.arange(most)
    known = known_clusters(problem.model)
    if known is None:
        return np.sort(np.asarray(random.choice(key, rows, (most,), replace=False)))
    order = np.asarray(random.permutation(key, rows))
    told, rest = order[known[order] >= 0], order[known[order] < 0]
    first = told[: max(int(MOST_KNOWN * most), most - len(rest))]
    return np.sort(np.concatenate([first, rest[: most - len(first)]]))


def seeds_beside_known(
    key: Array,
    points: Any,
    clusters: int,
    starts: int,
    known: np.ndarray,
    weights: Any = None,
) -> np.ndarray:
    """Seeds ``(start, cluster)``: of a known cluster one of its rows, of others by k-means++.

    Basu, Banerjee and Mooney (2002), Semi-supervised clustering by seeding. The second half of the
    starts takes the other seeds at random.

    Args:
        key: random key.
        points: rows as points ``(row, coordinate)``.
        clusters: number of clusters.
        starts: number of starts.
        known: cluster of every row, -1 where it is not known.
        weights: how often each row counts (default: once).

    >>> points = np.array([[0.0], [1.0], [50.0], [51.0]])
    >>> chosen = seeds_beside_known(random.key(0), points, 2, 2, np.array([-1, -1, 0, -1]))
    >>> chosen[:, 0].tolist(), bool((points[chosen[0, 1]] < 2).all())
    ([2, 2], True)
    """
    generator = np.random.default_rng(np.asarray(random.key_data(key)))
    points = np.asarray(points, float)
    counted = np.ones(len(points)) if weights is None else np.asarray(weights, float)
    seeds = np.zeros((starts, clusters), int)
    for start in range(starts):
        spread = start < (starts + 1) // 2
        nearest, others = np.full(len(points), np.inf), []
        for k in range(clusters):
            mine = np.flatnonzero((known == k) & (counted > 0))
            if not len(mine):
                others.append(k)
                continue
            seeds[start, k] = generator.choice(mine)
            centre = points[mine].mean(0) if spread else points[seeds[start, k]]
            nearest = np.minimum(nearest, ((points - centre) ** 2).sum(1))
        for k in others:
            far = np.where(np.isfinite(nearest), nearest, 1.0) if spread else np.ones(len(points))
            probabilities = far * counted * (known < 0)
            probabilities = probabilities if probabilities.sum() > 0 else counted
            seeds[start, k] = generator.choice(len(points), p=probabilities / probabilities.sum())
            away = ((points - points[seeds[start, k]]) ** 2).sum(1)
            nearest = np.minimum(nearest, away)
    return seeds
