"""Sequences grouped by length, so that padding is small."""

from __future__ import annotations

import numpy as np

CANDIDATES = 64  #: most lengths that are tried as edges


def edges(lengths: np.ndarray, most: int) -> np.ndarray:
    """Widths of at most ``most`` parts that together have the fewest cells.

    Args:
        lengths: of the rows.
        most: parts.

    Returns:
        Increasing widths, the last the longest row's.

    >>> edges(np.array([3, 3, 3, 4, 9, 10]), 2).tolist()
    [4, 10]
    """
    candidates = np.unique(np.quantile(lengths, np.linspace(0, 1, CANDIDATES), method="higher"))
    rows = np.searchsorted(np.sort(lengths), candidates, side="right")
    count = len(candidates)
    # cells[i, j]: of a bucket that holds what is longer than candidate i - 1, up to candidate j
    before = np.concatenate([[0], rows[:-1]])
    cells = (rows[None, :] - before[:, None]) * candidates[None, :].astype(float)
    cells[np.tri(count, k=-1, dtype=bool)] = np.inf
    best, origin = cells[0].copy(), np.zeros((1, count), int)
    for _ in range(1, min(most, count)):
        total = np.concatenate([[0.0], best[:-1]])[:, None] + cells
        origin = np.vstack([origin, total.argmin(0)])
        best = total.min(0)
    widths, place = [], count - 1
    for level in range(len(origin) - 1, -1, -1):
        if place < 0:
            break
        widths.append(candidates[place])
        place = origin[level][place] - 1
    return np.array(widths[::-1])
