"""k-means over rows in blocks: a pass of Lloyd's algorithm (1982) is a pass over the source.

Sums and numbers of rows add up over blocks, here or on the workers of a cluster.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.inference.kmeans.hamerly import HamerlyResult
from ppl_models.inference.problem import Problem
from ppl_models.program.runtime.checkpoint import StatesOfRun


def lloyd_over_blocks(
    problem: Problem, centres: np.ndarray, iterations: int
) -> tuple[HamerlyResult, np.ndarray]:
    """k-means from given centres; the course, and the rows of every cluster at its end.

    Args:
        problem: whose rows are in blocks.
        centres: ``(cluster, feature)``.
        iterations: most passes.
    """
    assert problem.blocks is not None
    shift = np.asarray(problem.blocks.summary.mean, np.float64).reshape(-1)
    current = np.asarray(centres, np.float64) - shift
    course, counts = HamerlyResult(), np.zeros(len(centres))
    before: np.ndarray | None = None
    states = StatesOfRun(problem.checkpoint)
    if (saved := states.last()) is not None:
        current, before, counts = saved["current"], saved["before"], saved["counts"]
        course.centres, course.objective = list(saved["centres"]), saved["objective"].tolist()
        course.converged = bool(saved["converged"])
    with (
        states.interruptible(),
        progress_bar(iterations, "kmeans", problem.progress) as bar,
    ):
        bar.update(len(course.objective))
        for _ in range(len(course.objective), 0 if course.converged else iterations):
            sums, counts, inertia = np.zeros_like(current), np.zeros(len(current)), 0.0
            for added, rows, squares in problem.blocks.over(
                partial(sums_of_rows, centres=current, shift=shift)
            ):
                sums, counts, inertia = sums + added, counts + rows, inertia + squares
            course.centres.append(current + shift)
            course.objective.append(inertia)
            bar.update(1)
            # (the sums tell which rows are whose: equal ones, that no row has changed its centre)
            course.converged = before is not None and np.array_equal(before, sums)
            filled = counts > 0
            if not course.converged:
                current = np.where(filled[:, None], sums / np.maximum(counts, 1)[:, None], current)
            before = sums
            ended = course.converged or len(course.objective) == iterations
            state = {n: v for n, v in vars(course).items() if n != "labels"}
            state |= {"current": current, "before": before, "counts": counts}
            states.keep(state, ended=ended)
            if course.converged:
                break
    return course, counts


def sums_of_rows(
    array: np.ndarray, *, centres: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Sums ``(cluster, feature)`` and numbers of the rows nearest to each centre, and J.

    Args:
        array: rows.
        centres: measured from ``shift``.
        shift: a point amid the rows, for squared distances are expanded into products.

    >>> sums, counts, inertia = sums_of_rows(
    ...     np.array([[0.0], [1.0], [9.0]]), centres=np.array([[0.0], [8.0]]), shift=np.zeros(1)
    ... )
    >>> sums.tolist(), counts.tolist(), inertia
    ([[1.0], [9.0]], [2.0, 1.0], 2.0)
    """
    sums, counts, inertia = np.zeros_like(centres), np.zeros(len(centres)), 0.0
    lengths = (centres**2).sum(1)
    for first in range(0, len(array), memory.DISTANCE_ROWS):
        rows = array[first : first + memory.DISTANCE_ROWS]
        rows = rows.reshape(len(rows), -1).astype(np.float64) - shift
        nearest = (lengths - 2 * rows @ centres.T).argmin(1)
        chosen = (nearest[:, None] == np.arange(len(centres))).astype(np.float64)
        sums += chosen.T @ rows
        counts += chosen.sum(0)
        inertia += float(((rows - centres[nearest]) ** 2).sum())
    return sums, counts, inertia
