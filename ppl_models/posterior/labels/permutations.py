"""Permutations of components, one a draw: optimal ones, composition, application, margins.

Everywhere in this package ``permutation[d, j]`` is the component of draw ``d`` that becomes the
new component ``j``, so that new values are ``values[d, permutation[d, j]]``; an assignment is
mapped by the inverse.
"""

from __future__ import annotations

import numpy as np

from ppl_models import memory


def identity(draws: int, clusters: int) -> np.ndarray:
    """The permutation ``(draw, cluster)`` that changes nothing."""
    return np.tile(np.arange(clusters), (draws, 1))


def invert(permutation: np.ndarray) -> np.ndarray:
    """The inverse of ``permutation (draw, cluster)``: the new name of every old component."""
    return np.argsort(permutation, axis=-1, kind="stable")


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One permutation ``(draw, cluster)`` that does ``first`` and then ``second``.

    Example:
        >>> compose(np.array([[1, 2, 0]]), np.array([[1, 2, 0]]))
        array([[2, 0, 1]])
    """
    return np.take_along_axis(first, second, axis=-1)


def permute(values: np.ndarray, permutation: np.ndarray, axis: int = 1) -> np.ndarray:
    """``values (draw, ...)`` with the components on ``axis`` permuted, draw by draw.

    Example:
        >>> permute(np.array([[10.0, 20.0, 30.0]]), np.array([[2, 0, 1]]))
        array([[30., 10., 20.]])
    """
    shape = [1] * values.ndim
    shape[0], shape[axis] = permutation.shape
    return np.take_along_axis(values, permutation.reshape(shape), axis=axis)


def map_assignments(assignments: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """``assignments (draw, row)`` under the new names; a negative one (no component) is kept.

    Example:
        >>> map_assignments(np.array([[0, 2, -1]]), np.array([[2, 0, 1]]))
        array([[ 1,  0, -1]])
    """
    names = invert(permutation).astype(assignments.dtype)
    mapped = np.empty_like(assignments)
    block = max(1, memory.LABEL_BYTES // (24 * max(1, assignments.shape[1])))
    for start in range(0, len(assignments), block):
        part = slice(start, start + block)
        old = assignments[part]
        new = np.take_along_axis(names[part], np.maximum(old, 0), axis=1)
        mapped[part] = np.where(old < 0, old, new)
    return mapped


def within_classes(cost: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Costs that keep every component within its class: all others are infinite.

    Args:
        cost: ``(draw, cluster, cluster)``.
        classes: a number for every component; None: all are of one class.

    >>> within_classes(np.zeros((1, 2, 2)), np.array([0, 1])).tolist()
    [[[0.0, inf], [inf, 0.0]]]
    """
    if classes is None or len(set(classes.tolist())) == 1:
        return cost
    return np.where(classes[:, None] == classes[None, :], cost, np.inf)


def best_permutations(cost: np.ndarray) -> np.ndarray:
    """The cheapest permutation ``(draw, cluster)`` of every draw.

    A draw whose cheapest old component differs for every new one needs no search; the others go
    through the optimal assignment of SciPy.

    Args:
        cost: ``(draw, cluster, cluster)``, the cost of making old component ``k`` the new ``j``
            at ``[draw, j, k]``.

    Example:
        >>> best_permutations(np.array([[[5.0, 1.0], [0.0, 3.0]]]))
        array([[1, 0]])
    """
    from scipy.optimize import linear_sum_assignment

    clusters = cost.shape[-1]
    best = cost.argmin(axis=-1)
    unclear = (np.sort(best, axis=-1) != np.arange(clusters)).any(axis=-1)
    for draw in np.flatnonzero(unclear):
        best[draw] = linear_sum_assignment(cost[draw])[1]
    return best


def total_cost(cost: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """The cost ``(draw)`` of ``permutation`` under ``cost (draw, cluster, cluster)``."""
    return np.take_along_axis(cost, permutation[..., None], axis=-1)[..., 0].sum(axis=-1)


def cheapest_changes(cost: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Least increase of the cost if a component is assigned otherwise: ``(draw, cluster)``.

    Two assignments differ by cycles: ``i`` takes the component of ``j``, ``j`` that of another,
    until ``i``'s is taken. In the graph whose edge ``i -> j`` costs ``c[i, p(j)] - c[i, p(i)]`` no
    cycle is negative when ``p`` is optimal, so the shortest way from ``i`` back to ``i`` (Floyd
    and Warshall, all draws together) is exact, and its minimum over ``i`` is the difference
    between the best and the second-best assignment. With one cluster it is infinite.

    Args:
        cost: ``(draw, cluster, cluster)`` as in :func:`best_permutations`.
        permutation: the optimal ``(draw, cluster)``.

    Example:
        >>> cheapest_changes(np.array([[[0.0, 2.0], [3.0, 0.0]]]), np.array([[0, 1]]))
        array([[5., 5.]])
    """
    draws, clusters = permutation.shape
    result = np.empty((draws, clusters))
    block = max(1, memory.LABEL_BYTES // (16 * clusters * clusters))
    for start in range(0, draws, block):
        part = slice(start, start + block)
        result[part] = _shortest_cycles(permute(cost[part], permutation[part], axis=2))
    return result


def _shortest_cycles(cost: np.ndarray) -> np.ndarray:
    """Least cost of a cycle through each node, for costs whose optimum is on the diagonal."""
    diagonal = np.arange(cost.shape[-1])
    distance = cost - cost[:, diagonal, diagonal][:, :, None]
    distance = distance.astype(np.float64)
    distance[:, diagonal, diagonal] = np.inf
    for middle in diagonal:
        through = distance[:, :, middle, None] + distance[:, None, middle, :]
        np.minimum(distance, through, out=distance)
    return np.maximum(distance[:, diagonal, diagonal], 0.0)
