"""k-means with weights of rows, and starts of mixtures.

All draws are made from the weighted distribution of distinct rows, in an order of their own, so
that a weight of 2 is the same as the row twice, and the order of rows does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.inference.kmeans.search import greedy_kmeans_plus_plus


@dataclass
class Distinct:
    """Distinct rows in order, with the sums of their weights.

    Args:
        rows: ``(distinct row, feature)``.
        weights: ``(distinct row,)``, all positive.
        place: of every row its distinct row; -1: a row of weight 0.
    """

    rows: np.ndarray
    weights: np.ndarray
    place: np.ndarray


def distinct_rows(x: np.ndarray, weights: np.ndarray) -> Distinct:
    """The distinct rows that have weight.

    >>> distinct_rows(np.array([[1.0], [0.0], [1.0]]), np.array([1.0, 2.0, 3.0])).weights.tolist()
    [2.0, 4.0]
    """
    used = np.flatnonzero(weights > 0)
    order = used[np.lexsort(x[used].T[::-1])]
    ordered = x[order]
    new = np.ones(len(order), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    group = np.cumsum(new) - 1
    place = np.full(len(x), -1)
    place[order] = group
    return Distinct(ordered[new], np.bincount(group, weights=weights[order]), place)


def squared_distances(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances ``(row, centre)``, which do not cancel far from zero."""
    shift = centres.mean(0)
    x, centres = x - shift, centres - shift
    squares = (x**2).sum(1)[:, None] - 2 * x @ centres.T + (centres**2).sum(1)
    return np.clip(squares, 0, None)


def spread_rows(held: Distinct, clusters: int, random: np.random.RandomState) -> np.ndarray:
    """Distinct rows chosen by greedy k-means++, ``(cluster,)``: indices.

    Args:
        held: the rows with their weights.
        clusters: number of rows to choose.
        random: of the random numbers.
    """
    generator = np.random.default_rng(random.randint(np.iinfo(np.int32).max))
    # about their mean, for squares cancel far from zero
    rows = held.rows - held.weights @ held.rows / held.weights.sum()
    return greedy_kmeans_plus_plus(generator, rows, clusters, held.weights)


def _drawn(weights: np.ndarray, count: int, random: np.random.RandomState) -> np.ndarray:
    cumulative = np.cumsum(weights)
    places = np.searchsorted(cumulative, random.uniform(size=count) * cumulative[-1], side="right")
    return np.minimum(places, len(weights) - 1)


@dataclass
class Partition:
    """What k-means ends with.

    Args:
        centres: ``(cluster, feature)``.
        labels: ``(row,)``.
        inertia: weighted sum of squared distances.
        iterations: of the best start.
        converged: whether centres stood still.
    """

    centres: np.ndarray
    labels: np.ndarray
    inertia: float
    iterations: int
    converged: bool


def lloyd(
    x: np.ndarray, weights: np.ndarray, centres: np.ndarray, iterations: int, tolerance: float
) -> Partition:
    """Alternating minimisation (Lloyd 1982) from the given centres.

    A cluster that loses all rows takes the row that is farthest from its centre.

    Args:
        x: rows ``(row, feature)``.
        weights: ``(row,)``.
        centres: where to start.
        iterations: maximum number of iterations.
        tolerance: least squared movement of the centres.
    """
    count, converged, steps = len(centres), False, 0
    labels, nearest = assigned(x, centres)
    for _ in range(iterations):
        steps += 1
        totals = np.bincount(labels, weights=weights, minlength=count)
        empty = np.flatnonzero(totals == 0)
        if len(empty):
            far = np.argsort(-(weights * nearest), kind="stable")[: len(empty)]
            labels[far] = empty[: len(far)]
            totals = np.bincount(labels, weights=weights, minlength=count)
        sums = np.stack(
            [np.bincount(labels, weights=weights * c, minlength=count) for c in x.T], axis=1
        )
        filled = totals > 0
        moved = np.where(filled[:, None], sums / np.where(filled, totals, 1)[:, None], centres)
        shift, centres, before = float(((moved - centres) ** 2).sum()), moved, labels
        labels, nearest = assigned(x, centres)
        if (labels == before).all() or shift <= tolerance:
            converged = True
            # scikit-learn counts the iteration that finds every row where it was
            steps += shift > tolerance and steps < iterations
            break
    return Partition(centres, labels, float(weights @ nearest), steps, converged)


def assigned(x: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of every row, and its squared distance."""
    labels, nearest = np.empty(len(x), np.int64), np.empty(len(x))
    size = max(1, memory.DISTANCE_ROWS)
    for first in range(0, len(x), size):
        part = slice(first, min(first + size, len(x)))
        distances = squared_distances(x[part], centres)
        labels[part] = distances.argmin(1)
        nearest[part] = distances.min(1)
    return labels, nearest


def kmeans(
    x: np.ndarray,
    weights: np.ndarray,
    clusters: int,
    random: np.random.RandomState,
    *,
    starts: int = 1,
    iterations: int = 300,
    tolerance: float = 1e-4,
    init: str | np.ndarray | Callable[..., Any] = "k-means++",
) -> Partition:
    """The best of several starts of k-means on weighted rows.

    Args:
        x: complete rows ``(row, feature)``.
        weights: ``(row,)``.
        clusters: number of clusters.
        random: of the random numbers.
        starts: number of starts.
        iterations: maximum number of iterations per start.
        tolerance: least squared movement of the centres, in parts of the features' mean variance.
        init: "k-means++", "random" rows, centres, or a function of the rows, the number of
            clusters and ``random_state`` that returns centres.

    Raises:
        InputError: fewer rows with weight than clusters, or centres of another shape.
    """
    held = distinct_rows(x, weights)
    if (weights > 0).sum() < clusters:
        raise InputError(
            f"n_samples={int((weights > 0).sum())} should be >= n_clusters={clusters}: give fewer "
            "clusters"
        )
    mean = held.weights @ held.rows / held.weights.sum()
    least = tolerance * float((held.weights @ (held.rows - mean) ** 2 / held.weights.sum()).mean())
    best = None
    for _ in range(starts):
        if not isinstance(init, str):
            start = init(x, clusters, random_state=random) if callable(init) else init
            centres = _initial_centres(start, clusters, x.shape[1])
        elif init == "k-means++":
            centres = held.rows[spread_rows(held, clusters, random)]
        else:
            centres = held.rows[_without_return(held.weights, clusters, random)]
        result = lloyd(held.rows, held.weights, centres, iterations, least)
        best = result if best is None or result.inertia < best.inertia else best
    assert best is not None
    labels = best.labels[held.place]
    outside = held.place < 0
    if outside.any():
        labels[outside] = assigned(x[outside], best.centres)[0]
    best.labels = labels
    return best


def _initial_centres(start: Any, clusters: int, features: int) -> np.ndarray:
    """Centres that a start was given, checked."""
    centres = np.asarray(start, float)
    wrong = ""
    if centres.ndim != 2 or len(centres) != clusters:
        wrong = f"number of clusters {clusters}"
    elif centres.shape[1] != features:
        wrong = f"number of features of the data {features}"
    if wrong:
        raise InputError(
            f"The shape of the initial centers {centres.shape} does not match the {wrong}: give "
            "n_clusters rows of as many features as X has"
        )
    return centres


def _without_return(weights: np.ndarray, count: int, random: np.random.RandomState) -> np.ndarray:
    """Distinct rows, by weight; some twice where there are too few."""
    left, chosen = weights.astype(float).copy(), []
    for _ in range(count):
        if not left.sum() > 0:
            left = weights.astype(float).copy()
        chosen.append(int(_drawn(left, 1, random)[0]))
        left[chosen[-1]] = 0
    return np.array(chosen)


def responsibilities_of_rows(chosen: np.ndarray, rows: int) -> np.ndarray:
    """Responsibilities ``(row, component)`` that give each chosen row to a component."""
    table = np.zeros((rows, len(chosen)))
    table[chosen, np.arange(len(chosen))] = 1
    return table


def start_responsibilities(
    x: np.ndarray,
    weights: np.ndarray,
    clusters: int,
    how: str,
    random: np.random.RandomState,
) -> np.ndarray:
    """Responsibilities ``(row, component)`` to start EM from.

    Args:
        x: complete points ``(row, coordinate)``.
        weights: ``(row,)``.
        clusters: number of components.
        how: "kmeans", "k-means++", "random" or "random_from_data".
        random: of the random numbers.
    """
    if how == "kmeans":
        labels = kmeans(x, weights, clusters, random).labels
        return (labels[:, None] == np.arange(clusters)).astype(float)
    if how == "random":
        table = random.uniform(size=(len(x), clusters))
        return table / table.sum(1, keepdims=True)
    used = np.flatnonzero(weights > 0)
    if how == "random_from_data":
        return responsibilities_of_rows(random.choice(used, clusters, replace=False), len(x))
    held = distinct_rows(x, weights)
    if len(held.rows) < clusters:  # some rows are chosen twice over
        return responsibilities_of_rows(random.choice(used, clusters, replace=False), len(x))
    chosen = spread_rows(held, clusters, random)
    first = np.array([np.flatnonzero(held.place == row)[0] for row in chosen])
    return responsibilities_of_rows(first, len(x))
