"""k-means where the clusters of some rows are known: they stay there, the others move.

The constrained k-means of Basu, Banerjee and Mooney (2002), Semi-supervised clustering by seeding,
ICML: Lloyd's algorithm whose centres start at the means of the known rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppl_models.inference.kmeans.hamerly import HamerlyResult


def constrained_kmeans(
    x: np.ndarray,
    centres: np.ndarray,
    known: np.ndarray,
    iterations: int,
    on_iteration: Callable[[int], object] = lambda _: None,
    weights: np.ndarray | None = None,
) -> HamerlyResult:
    """k-means from the given centres, rows of known clusters held there.

    Args:
        x: rows ``(row, feature)``, without gaps.
        centres: where to start, ``(cluster, feature)``.
        known: cluster of every row, -1 where it is not known.
        iterations: maximum number of iterations.
        on_iteration: called with 1 after every iteration (a progress bar).
        weights: ``(row,)``, how often each row counts (default: once).

    >>> x = np.array([[0.0], [1.0], [9.0], [11.0]])
    >>> held = np.array([-1, 0, -1, 0])
    >>> found = constrained_kmeans(x, np.array([[6.0], [9.0]]), held, 20)
    >>> found.labels.tolist(), found.centres[-1].ravel().tolist()
    ([0, 0, 1, 0], [4.0, 9.0])
    """
    counted = np.ones(len(x)) if weights is None else np.asarray(weights, float)
    centres = np.array(centres, float)
    result = HamerlyResult()
    labels = np.full(len(x), -1)
    for _ in range(iterations):
        distances = np.stack([((x - centre) ** 2).sum(-1) for centre in centres], 1)
        nearest = np.where(known >= 0, known, distances.argmin(1))
        result.centres.append(centres.copy())
        result.objective.append(float(counted @ distances[np.arange(len(x)), nearest]))
        on_iteration(1)
        if np.array_equal(nearest, labels):
            result.converged = True
            break
        labels = nearest
        for k in range(len(centres)):
            mine = counted * (labels == k)
            if mine.sum() > 0:
                centres[k] = mine @ x / mine.sum()
    result.labels = labels.astype(np.int32)
    return result
