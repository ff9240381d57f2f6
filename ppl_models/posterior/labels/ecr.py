"""Equivalence class representatives: permute each draw to agree best with a pivot.

Papastamoulis, P. and Iliopoulos, G. (2010), An artificial allocations based solution to the label
switching problem, Journal of Computational and Graphical Statistics 19, 313-331; the iterative
version is algorithm "ECR-ITERATIVE-1" of the R package label.switching (Papastamoulis 2016). The
number of agreeing rows is a sum over a contingency table, so a draw costs one table and one
optimal assignment, never a walk over all K! relabellings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.posterior.labels.permutations import (
    best_permutations,
    identity,
    map_assignments,
    permute,
    total_cost,
    within_classes,
)

#: The iterative versions end when nothing changes, or after so many rounds.
ROUNDS = 100


def agreement(assignments: np.ndarray, clusters: int, pivot: np.ndarray) -> np.ndarray:
    """Rows that the pivot puts into ``j`` and a draw into ``k``: ``(draw, cluster, cluster)``.

    Args:
        assignments: integers ``(draw, row)``.
        clusters: how many components there are.
        pivot: integers ``(row)``.

    Raises:
        InputError: when an assignment or the pivot is not in ``0..clusters-1``, or the numbers of
            rows differ.
    """
    _check(assignments, clusters, pivot)
    draws, rows = assignments.shape
    tables = np.empty((draws, clusters * clusters))
    offset = pivot.astype(np.int64) * clusters
    for draw in range(draws):
        tables[draw] = np.bincount(offset + assignments[draw], minlength=clusters * clusters)
    return tables.reshape(draws, clusters, clusters)


def soft_agreement(
    blocks: Iterable[np.ndarray], pivot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected agreement with the pivot, from responsibilities, by matrix products.

    Args:
        blocks: responsibilities ``(draw, row, cluster)``, some draws at a time.
        pivot: integers ``(row)``.

    Returns:
        The agreement ``(draw, cluster, cluster)`` and the expected rows ``(draw, cluster)``.
    """
    tables = []
    for block in blocks:
        indicator = np.eye(block.shape[-1], dtype=block.dtype)[pivot]
        tables.append(np.matmul(indicator.T, block))
    table = np.concatenate(tables).astype(np.float64)
    return table, table.sum(axis=1)


def ecr(assignments: np.ndarray, clusters: int, pivot: np.ndarray) -> np.ndarray:
    """Permutations ``(draw, cluster)`` under which draws agree with the pivot on most rows.

    Args:
        assignments: integers ``(draw, row)``.
        clusters: how many components there are.
        pivot: integers ``(row)``, usually the assignments of the draw of highest density.

    Raises:
        InputError: when an assignment or the pivot is not in ``0..clusters-1``, or the numbers of
            rows differ.

    Example:
        >>> ecr(np.array([[1, 1, 0], [0, 0, 1]]), 2, pivot=np.array([0, 0, 1]))
        array([[1, 0],
               [0, 1]])
    """
    return best_permutations(-agreement(assignments, clusters, pivot))


def ecr_soft(
    blocks: Iterable[np.ndarray], pivot: np.ndarray, classes: np.ndarray | None = None
) -> np.ndarray:
    """:func:`ecr` from responsibilities, given in blocks ``(draw, row, cluster)``.

    Example:
        >>> block = np.array([[[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]], dtype=np.float32)
        >>> ecr_soft([block], pivot=np.array([0, 0, 1]))
        array([[1, 0]])
    """
    return best_permutations(within_classes(-soft_agreement(blocks, pivot)[0], classes))


def ecr_iterative(
    assignments: np.ndarray,
    clusters: int,
    *,
    start: np.ndarray | None = None,
    classes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """ECR whose pivot is the most frequent relabelled assignment of each row, until it is stable.

    Args:
        assignments: integers ``(draw, row)``.
        clusters: how many components there are.
        start: permutations ``(draw, cluster)`` to start from; default: as drawn.
        classes: see :func:`within_classes`.

    Returns:
        The permutations ``(draw, cluster)`` and the pivot ``(row)``.

    Example:
        >>> permutation, pivot = ecr_iterative(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 1]]), 2)
        >>> permutation.tolist(), pivot.tolist()
        ([[1, 0], [0, 1], [0, 1]], [0, 0, 1])
    """

    def costs(pivot: np.ndarray) -> np.ndarray:
        return within_classes(-agreement(assignments, clusters, pivot), classes)

    def consensus(permutation: np.ndarray) -> np.ndarray:
        return most_frequent(assignments, permutation)

    if start is None:
        start = identity(len(assignments), clusters)
    return _alternate(costs, consensus, start)


def ecr_iterative_soft(
    blocks: Iterable[np.ndarray], *, start: np.ndarray, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`ecr_iterative` from responsibilities; ``blocks`` is iterated over several times.

    Args:
        blocks: a re-iterable (a list, not a generator) of ``(draw, row, cluster)``.
        start: permutations ``(draw, cluster)`` to start from.
        classes: see :func:`within_classes`.
    """

    def costs(pivot: np.ndarray) -> np.ndarray:
        return within_classes(-soft_agreement(blocks, pivot)[0], classes)

    def consensus(permutation: np.ndarray) -> np.ndarray:
        return mean_responsibilities(blocks, permutation).argmax(axis=-1)

    return _alternate(costs, consensus, start)


def most_frequent(assignments: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """The most frequent relabelled assignment of every row, the lowest where they tie."""
    draws, rows = assignments.shape
    clusters = permutation.shape[1]
    counts = np.zeros(rows * clusters, dtype=np.int64)
    cells = np.arange(rows) * clusters
    block = max(1, memory.LABEL_BYTES // (16 * rows))
    for start in range(0, draws, block):
        part = slice(start, start + block)
        relabelled = map_assignments(assignments[part], permutation[part])
        counts += np.bincount((cells + relabelled).ravel(), minlength=rows * clusters)
    return counts.reshape(rows, clusters).argmax(axis=-1)


def mean_responsibilities(blocks: Iterable[np.ndarray], permutation: np.ndarray) -> np.ndarray:
    """The mean over relabelled draws, ``(row, cluster)``, of responsibilities given in blocks."""
    total: np.ndarray | None = None
    done = 0
    for block in blocks:
        part = permute(block, permutation[done : done + len(block)], axis=2)
        added = part.sum(axis=0, dtype=np.float64)
        total = added if total is None else total + added
        done += len(block)
    if total is None:
        raise InputError("There are no draws to average responsibilities over.")
    return total / done


def _alternate(
    costs: Callable[[np.ndarray], np.ndarray],
    consensus: Callable[[np.ndarray], np.ndarray],
    permutation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate consensus and best permutations while the total agreement increases."""
    pivot = consensus(permutation)
    best = np.inf
    for _ in range(ROUNDS):
        cost = costs(pivot)
        candidate = best_permutations(cost)
        value = total_cost(cost, candidate).sum()
        if not value < best:
            break
        best, permutation = value, candidate
        new_pivot = consensus(permutation)
        if np.array_equal(new_pivot, pivot):
            break
        pivot = new_pivot
    return permutation, pivot


def _check(assignments: np.ndarray, clusters: int, pivot: np.ndarray) -> None:
    """Labels in range, rows alike."""
    if assignments.ndim != 2 or assignments.shape[1:] != pivot.shape:
        raise InputError(
            f"Assignments (draw, row) of shape {assignments.shape} do not go with a pivot (row) of "
            f"shape {pivot.shape}: give both for the same rows."
        )
    for name, labels in (("assignments", assignments), ("pivot", pivot)):
        if labels.size and not (labels.min() >= 0 and labels.max() < clusters):
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InputError(
                f"The {name} hold the label {wrong}, outside 0..{clusters - 1}: give the number of "
                "clusters that the labels were drawn from."
            )
