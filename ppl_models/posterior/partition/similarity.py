"""Co-assignment of rows: the posterior probability that two rows belong to the same component.

It does not know labels. It is summed over blocks of draws by products of indicator matrices, a
band of rows at a time, so that only the result itself is ever of the size row x row.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import DTypeLike

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.posterior.partition.losses import compact

#: Rows of the result that one product fills.
BAND = 1024


def similarity(
    assignments: np.ndarray | Iterable[np.ndarray], *, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Share of draws ``(row, row)`` in which two rows have the same assignment.

    Args:
        assignments: integers ``(draw, row)``, or an iterator over blocks of them.
        dtype: of the result; counts up to 2**24 draws are exact in float32.

    Raises:
        InputError: when there are no draws, or they are not integers.

    Example:
        >>> similarity(np.array([[0, 0, 1], [0, 1, 1]]))
        array([[1. , 0.5, 0. ],
               [0.5, 1. , 0.5],
               [0. , 0.5, 1. ]], dtype=float32)
    """
    blocks = [assignments] if isinstance(assignments, np.ndarray) else assignments
    total, draws = None, 0
    for block in blocks:
        for indicators in _indicators(compact(block), dtype):
            total = _add(total, indicators)
        draws += len(block)
    return _finished(total, draws)


def soft_similarity(blocks: Iterable[np.ndarray], *, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Co-assignment ``(row, row)`` from responsibilities in blocks ``(draw, row, cluster)``.

    Given the parameters of a draw rows are independent, so two different rows agree with
    probability ``sum_k r_ik r_jk``: the same expectation as by drawn assignments, with less noise.

    Example:
        >>> soft_similarity([np.array([[[1.0, 0.0], [0.5, 0.5]]])])
        array([[1. , 0.5],
               [0.5, 1. ]], dtype=float32)
    """
    total, draws = None, 0
    for block in blocks:
        size = max(1, memory.LABEL_BYTES // (4 * block.shape[1] * block.shape[2]))
        for start in range(0, len(block), size):
            part = np.asarray(block[start : start + size], dtype=dtype)
            total = _add(total, part.transpose(1, 0, 2).reshape(part.shape[1], -1))
        draws += len(block)
    result = _finished(total, draws)
    np.fill_diagonal(result, 1)
    return result


def _indicators(assignments: np.ndarray, dtype: DTypeLike) -> Iterable[np.ndarray]:
    """Blocks ``(row, draw * cluster)`` of zeros and ones."""
    draws, rows = assignments.shape
    clusters = int(assignments.max()) + 1
    size = max(1, memory.LABEL_BYTES // (4 * rows * clusters))
    for start in range(0, draws, size):
        part = assignments[start : start + size]
        block = np.zeros((rows, len(part) * clusters), dtype=dtype)
        columns = part + np.arange(len(part))[:, None] * clusters
        block[np.arange(rows), columns] = 1
        yield block


def _add(total: np.ndarray | None, factor: np.ndarray) -> np.ndarray:
    """``total + factor factor^T``, the upper triangle in bands."""
    rows = len(factor)
    if total is None:
        total = np.zeros((rows, rows), dtype=factor.dtype)
    for start in range(0, rows, BAND):
        band = slice(start, start + BAND)
        total[band, start:] += factor[band] @ factor[start:].T
    return total


def _finished(total: np.ndarray | None, draws: int) -> np.ndarray:
    """The mean over draws, both triangles."""
    if total is None:
        raise InputError("There are no draws to compare rows by.")
    total /= draws
    for start in range(0, len(total), BAND):
        stop = start + BAND
        square = total[start:stop, start:stop]
        square[:] = np.triu(square) + np.triu(square, 1).T
        total[stop:, start:stop] = total[start:stop, stop:].T
    return total
