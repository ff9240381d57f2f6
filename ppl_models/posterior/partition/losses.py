"""Distances between partitions and their posterior expectation, from contingency tables.

Both losses have the same form. With n_c and m_k the cluster sizes of two partitions of N rows and
n_ck their contingency table,

    loss = sum_c f(n_c) + sum_k f(m_k) - 2 sum_ck f(n_ck),

    variation of information (Meila 2007), in bits:   f(n) = n log2(n) / N
    Binder's loss (1978), both errors alike:          f(n) = n**2 / N**2

the latter being the share of ordered pairs of rows on which the partitions disagree. The
expectation over draws is a plain mean of these: no matrix of pairs, and none of the lower bounds
by which the expected variation of information is often replaced.
"""

from __future__ import annotations

import numpy as np

from ppl_models.errors import InputError

LOSSES = ("vi", "binder")


def size_terms(loss: str, rows: int) -> np.ndarray:
    """f(0), ..., f(rows), the terms that a loss is made of.

    Raises:
        InputError: for an unknown loss.
    """
    sizes = np.arange(rows + 1, dtype=np.float64)
    if loss == "vi":
        return sizes * np.log2(np.maximum(sizes, 1)) / rows
    if loss == "binder":
        return sizes**2 / rows**2
    raise InputError(f"There is no loss {loss!r} between partitions: use 'vi' or 'binder'.")


def compact(assignments: np.ndarray) -> np.ndarray:
    """The same partitions ``(draw, row)`` with labels 0, 1, ... without gaps in every draw.

    Raises:
        InputError: when the array does not hold integers ``(draw, row)``, or is empty.

    Example:
        >>> compact(np.array([[7, 7, 2], [0, 1, 7]]))
        array([[1, 1, 0],
               [0, 1, 2]], dtype=int32)
    """
    if assignments.ndim != 2 or 0 in assignments.shape or assignments.dtype.kind not in "iub":
        raise InputError(
            f"Assignments must be integers (draw, row), at least one of each, but they are "
            f"{assignments.dtype} of shape {assignments.shape}: convert them."
        )
    low, high = int(assignments.min()), int(assignments.max())
    if high - low > max(1000, assignments.shape[1]):
        values, inverse = np.unique(assignments, return_inverse=True)
        assignments, low, high = inverse.reshape(assignments.shape), 0, len(values) - 1
    result = np.empty(assignments.shape, dtype=np.int32)
    present = np.zeros(high - low + 1, dtype=bool)
    for draw, labels in enumerate(assignments):
        shifted = labels.astype(np.int64) - low
        present[:] = False
        present[shifted] = True
        result[draw] = (np.cumsum(present) - 1)[shifted]
    return result


def distances(partition: np.ndarray, assignments: np.ndarray, *, loss: str = "vi") -> np.ndarray:
    """The loss ``(draw)`` between one partition ``(row)`` and every draw of ``(draw, row)``.

    Raises:
        InputError: for an unknown loss, or when the numbers of rows differ.

    Example:
        >>> distances(np.array([0, 0, 1, 1]), np.array([[5, 5, 3, 3], [0, 0, 0, 0]]))
        array([0., 1.])
    """
    assignments = np.asarray(assignments)
    partition = np.asarray(partition)
    if partition.ndim != 1 or partition.shape != assignments.shape[1:]:
        raise InputError(
            f"A partition (row) of shape {partition.shape} does not go with assignments "
            f"(draw, row) of shape {assignments.shape}: give both for the same rows."
        )
    terms = size_terms(loss, len(partition))
    own = compact(partition[None])[0].astype(np.int64)
    clusters = int(own.max()) + 1
    result = np.full(len(assignments), terms[np.bincount(own)].sum())
    for draw, labels in enumerate(compact(assignments)):
        table = np.bincount(labels.astype(np.int64) * clusters + own)
        result[draw] += terms[np.bincount(labels)].sum() - 2 * terms[table].sum()
    return np.maximum(result, 0.0)


def expected_loss(partition: np.ndarray, assignments: np.ndarray, loss: str = "vi") -> float:
    """The posterior expected loss of a partition ``(row)``: the mean over draws ``(draw, row)``.

    Example:
        >>> expected_loss(np.array([0, 0, 1, 1]), np.array([[0, 0, 1, 1], [0, 0, 0, 0]]))
        0.5
    """
    return float(distances(partition, assignments, loss=loss).mean())


def by_size(partition: np.ndarray) -> np.ndarray:
    """The same partition ``(row)``, labels 0, 1, ... from the largest cluster to the smallest.

    Example:
        >>> by_size(np.array([4, 9, 9, 4, 9]))
        array([1, 0, 0, 1, 0])
    """
    _, first, inverse, counts = np.unique(
        partition, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -counts))
    return np.argsort(order, kind="stable")[inverse]
