"""Lloyd's algorithm for k-means with the distance bounds of Hamerly (2010), exact.

Each iteration assigns every row to its nearest centre and moves every centre to the mean of its
rows (Lloyd 1982). Each row has an upper bound on the distance to its own centre and a lower bound
on the distance to all others, which are loosened by how far the centres moved; while they do not
cross, the assignment cannot have changed and no distance is computed. Sums are updated by the rows
whose assignment changed. Late iterations cost a few passes over two numbers a row instead of a
matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import memory

LOOK_AHEAD = 8  #: iterations of the present step size for which rows near a border are listed


@dataclass
class HamerlyResult:
    """Iterations of one start.

    Args:
        centres: ``(iteration, cluster, feature)``, as they were when the rows were assigned.
        objective: J at each iteration.
        labels: the last assignment, ``(row,)``.
        converged: whether no row changed its centre at the end.
    """

    centres: list[np.ndarray] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    converged: bool = False


def hamerly(
    x: np.ndarray,
    centres: np.ndarray,
    iterations: int,
    on_iteration: Callable[[int], object] = lambda _: None,
    weights: np.ndarray | None = None,
) -> HamerlyResult:
    """k-means from the given centres, until no assignment changes.

    Args:
        x: rows ``(row, feature)``, without gaps.
        centres: where to start, ``(cluster, feature)``.
        iterations: maximum number of iterations.
        on_iteration: called with 1 after every iteration (a progress bar).
        weights: ``(row,)``, how often each row counts (default: once).

    >>> x = np.array([[0.0], [1.0], [9.0], [11.0]])
    >>> found = hamerly(x, np.array([[0.0], [1.0]]), 20)
    >>> found.labels.tolist(), found.objective[-1], found.converged
    ([0, 0, 1, 1], 2.5, True)
    """
    shift = x.mean(0, dtype=np.float64).astype(x.dtype)
    rows = _Rows(x - shift, weights)
    current = np.asarray(centres, np.float64) - shift.astype(np.float64)
    course = HamerlyResult()
    for step in range(iterations):
        changed = rows.assign(current)
        course.centres.append((current + shift).astype(x.dtype))
        course.objective.append(rows.objective(current))
        on_iteration(1)
        if step and not changed:
            course.converged = True
            break
        current = rows.means(current)
    course.labels = rows.labels
    return course


class _Rows:
    """Centred rows with their labels, bounds and sums."""

    def __init__(self, x: np.ndarray, weights: np.ndarray | None = None):
        self.x = np.ascontiguousarray(x)
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.norms = np.einsum("nd,nd->n", self.x, self.x)
        self.total, self.least = float(self.norms.sum(dtype=np.float64)), 0.5
        if self.weights is not None:
            self.total = float(self.norms @ self.weights)
            # a cluster with less is one without rows, whose count is rounding
            self.least = 1e-9 * float(self.weights.sum())
        # what rounding may do to a squared distance that is expanded into products
        self.slack = 8 * np.finfo(x.dtype).eps * float(self.norms.max(initial=0))
        self.margin = 8 * np.finfo(x.dtype).eps * float(np.sqrt(self.norms.max(initial=0)))
        self.labels = np.zeros(0, np.int32)
        self.previous: np.ndarray | None = None

    def assign(self, centres: np.ndarray) -> int:
        """Assign every row to its nearest centre; the number of assignments that changed."""
        if self.previous is None:
            self._first(centres)
            self.previous = centres.copy()
            return len(self.x)
        moved = np.sqrt(((centres - self.previous) ** 2).sum(1))
        self.previous = centres.copy()
        self._loosen(moved)
        rows = self._candidates(centres)
        labels, upper, lower = self._nearest(rows, centres)
        changed = labels != self.labels[rows]
        self._update_sums(rows[changed], labels[changed])
        self.labels[rows] = labels
        self._set_bounds(rows, upper, lower)
        return int(changed.sum())

    def _first(self, centres: np.ndarray) -> None:
        self.labels, self.upper, self.lower = self._nearest(None, centres)
        self.gap = self.lower - self.upper
        self.own, self.other = np.zeros(len(centres)), np.zeros(len(centres))
        self.horizon, self.age = np.full(len(centres), -np.inf), 0
        clusters = len(centres)
        self.counts = np.bincount(self.labels, self.weights, clusters).astype(np.float64)
        self.sums = _sums(self.labels, self.x, clusters, self.weights)

    def _loosen(self, moved: np.ndarray) -> None:
        """Loosen the bounds by how far the centres moved.

        A row's bounds are stored less the total movement of its own centre (``own``) and the
        largest of the others (``other``) since the first iteration, so that an iteration updates
        these totals, one a cluster, and no row.
        """
        most = int(moved.argmax())
        rest = float(np.delete(moved, most).max(initial=0))
        others = np.full(len(moved), moved[most])
        others[most] = rest  # a row's own centre does not come nearer to it as another
        self.own += moved
        self.other += others
        self.step = moved + others

    def _set_bounds(self, rows: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> None:
        """Bounds of rows as they are now."""
        labels = self.labels[rows]
        self.upper[rows] = upper - self.own[labels]
        self.lower[rows] = lower + self.other[labels]
        self.gap[rows] = self.lower[rows] - self.upper[rows]

    def _crossed(self) -> np.ndarray:
        """Rows whose upper bound is no longer below their lower bound.

        Few rows come near to it in one iteration: those that could within ``LOOK_AHEAD`` of them
        are listed, and the others are skipped until the centres have moved that far.
        """
        moved = self.own + self.other + self.margin
        self.age += 1
        if self.age > LOOK_AHEAD or (moved > self.horizon).any():
            self.age = 0
            self.horizon = moved + LOOK_AHEAD * self.step.max(initial=0)
            limit = self.horizon.astype(self.x.dtype)[self.labels]
            self.near_border = np.flatnonzero(self.gap <= limit)
        return self.near_border[self.gap[self.near_border] <= moved[self.labels[self.near_border]]]

    def _candidates(self, centres: np.ndarray) -> np.ndarray:
        """Rows whose nearest centre may have changed."""
        gaps = ((centres[:, None] - centres[None]) ** 2).sum(-1)
        np.fill_diagonal(gaps, np.inf)
        half = 0.5 * np.sqrt(gaps.min(1))
        rows = self._crossed()
        if len(rows) == 0:
            return rows
        labels = self.labels[rows]
        offset = self.x[rows] - centres.astype(self.x.dtype)[labels]
        exact = np.sqrt(np.einsum("nd,nd->n", offset, offset) + self.slack)
        # no other centre is nearer than it is to the row's own, less the row's distance to that
        lower = np.maximum(self.lower[rows] - self.other[labels], 2 * half[labels] - exact)
        self._set_bounds(rows, exact, lower)
        return rows[exact + self.margin >= lower]

    def _nearest(
        self, rows: np.ndarray | None, centres: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, upper and lower bounds of rows, by one matrix product a block of rows."""
        count = len(self.x) if rows is None else len(rows)
        labels = np.empty(count, np.int32)
        best, second = np.empty(count, self.x.dtype), np.empty(count, self.x.dtype)
        near = jnp.asarray(centres.astype(self.x.dtype))
        running = []
        for first in range(0, count, memory.DISTANCE_ROWS):
            part = slice(first, min(first + memory.DISTANCE_ROWS, count))
            block = self.x[part] if rows is None else self.x[rows[part]]
            size = len(block)
            if size < memory.DISTANCE_ROWS:  # few sizes, hence few compilations
                full = 1 << max(8, (size - 1).bit_length())
                block = np.concatenate(
                    [block, np.zeros((full - size, block.shape[1]), block.dtype)]
                )
            running.append((part, size, _two_nearest(block, near)))
        for part, size, (label, one, two) in running:
            labels[part] = np.asarray(label)[:size]
            best[part], second[part] = np.asarray(one)[:size], np.asarray(two)[:size]
        norms = self.norms if rows is None else self.norms[rows]
        upper = np.sqrt(np.clip(best + norms, 0, None) + self.slack)
        lower = np.sqrt(np.clip(second + norms - self.slack, 0, None))
        return labels, upper.astype(self.x.dtype), lower.astype(self.x.dtype)

    def _update_sums(self, rows: np.ndarray, labels: np.ndarray) -> None:
        """Move changed rows from their old cluster's sums to their new one's."""
        clusters = len(self.counts)
        block, old = self.x[rows], self.labels[rows]
        own = None if self.weights is None else self.weights[rows]
        self.sums += _sums(labels, block, clusters, own) - _sums(old, block, clusters, own)
        self.counts += np.bincount(labels, own, clusters)
        self.counts -= np.bincount(old, own, clusters)

    def objective(self, centres: np.ndarray) -> float:
        """J of the current labels and given centres, from the sums."""
        cross = (centres * self.sums).sum()
        return float(self.total - 2 * cross + (self.counts * (centres**2).sum(1)).sum())

    def means(self, centres: np.ndarray) -> np.ndarray:
        """Means of the clusters' rows; a cluster without rows stays where it is."""
        filled = self.counts > self.least
        safe = np.where(filled, self.counts, 1)
        return np.where(filled[:, None], self.sums / safe[:, None], centres)


def _sums(
    labels: np.ndarray, x: np.ndarray, clusters: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Sum of the rows of every cluster, in double precision, each as often as it counts."""
    counted = (column if weights is None else column * weights for column in x.T)
    columns = [np.bincount(labels, weights=column, minlength=clusters) for column in counted]
    return np.stack(columns, axis=1)


@jax.jit
def _two_nearest(x: Array, centres: Array) -> tuple[Array, Array, Array]:
    """Nearest centre, and squared distances of the two nearest less the row's own norm."""
    distance = (centres**2).sum(-1)[:, None] - 2 * centres @ x.T
    best = distance[0]
    second = jnp.full_like(best, jnp.inf)
    label = jnp.zeros(best.shape, jnp.int32)
    for k in range(1, distance.shape[0]):
        here = distance[k]
        nearer = here < best
        second = jnp.where(nearer, best, jnp.minimum(second, here))
        label = jnp.where(nearer, k, label)
        best = jnp.where(nearer, here, best)
    return label, best, second
