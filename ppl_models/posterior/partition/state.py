"""A partition during the search, with contingency tables that give the cost of each move.

Adding a row to a cluster of n rows changes ``f(n)`` of the loss (see :mod:`.losses`) by
``g(n) = f(n + 1) - f(n)``. So with the contingency tables of the partition with all draws, the
cost of putting a row into cluster c is, up to a constant,

    g(n_c) - 2 mean_d g(n_d[c, z_d]),

z_d being the row's cluster in draw d. Both ``n_d`` and ``g(n_d)`` are kept, so that looking at a
row is one gather of (draw, cluster) numbers, and moving it touches two columns.
"""

from __future__ import annotations

import numpy as np

#: A move must gain more than this.
LEAST_GAIN = 1e-12


class State:
    """Labels of all rows (-1: not yet allocated), and the tables from which costs are computed.

    Attributes:
        labels: ``(row)``.
        sizes: ``(cluster)``.
        tables: counts ``(draw * draw's cluster, cluster)``.
    """

    def __init__(self, draws: np.ndarray, terms: np.ndarray, max_clusters: int) -> None:
        """Start empty.

        Args:
            draws: compact assignments ``(draw, row)``.
            terms: f(0), ..., f(rows) of the loss.
            max_clusters: as many clusters as the partition may have.
        """
        count, rows = draws.shape
        self.draws_by_row = np.ascontiguousarray(draws.T)
        gains = np.diff(terms)
        self.terms, self.gains = terms, np.append(gains, gains[-1])
        span = int(draws.max()) + 1
        self.base = np.arange(count) * span
        self.mean = np.full(count, 2.0 / count)
        self.limit = min(rows, max_clusters)
        width = min(self.limit, span + 4)
        self.labels = np.full(rows, -1)
        self.sizes = np.zeros(width, dtype=np.int64)
        self.tables = np.zeros((count * span, width), dtype=np.int32)
        self.table_gains = np.full((count * span, width), self.gains[0])
        weights = self.terms[self._draw_sizes(draws, span)].sum()
        self.constant = weights / count

    @staticmethod
    def _draw_sizes(draws: np.ndarray, span: int) -> np.ndarray:
        """Cluster sizes ``(draw, cluster)`` of the draws themselves."""
        return np.array([np.bincount(labels, minlength=span) for labels in draws])

    def copy(self) -> tuple[np.ndarray, ...]:
        """A copy for :meth:`restore`."""
        return (
            self.labels.copy(),
            self.sizes.copy(),
            self.tables.copy(),
            self.table_gains.copy(),
        )

    def restore(self, saved: tuple[np.ndarray, ...]) -> None:
        """Go back to a copy."""
        self.labels, self.sizes, self.tables, self.table_gains = saved

    def value(self) -> float:
        """The expected loss of the partition of all rows."""
        pairs = self.terms[self.tables].sum() * self.mean[0]
        return float(self.constant + self.terms[self.sizes].sum() - pairs)

    def price(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Cost ``(cluster)`` of having the row there, and where the tables hold it."""
        where = self.base + self.draws_by_row[row]
        cost = self.gains[self.sizes] - self.mean @ self.table_gains.take(where, axis=0)
        home = self.labels[row]
        if home >= 0:
            without = self.gains[self.tables[where, home] - 1]
            cost[home] = self.gains[self.sizes[home] - 1] - self.mean @ without
        return cost, where

    def place(self, row: int, cluster: int, where: np.ndarray) -> None:
        """Put the row into a cluster, out of the one where it is."""
        home = self.labels[row]
        if home >= 0:
            self._count(home, where, -1)
        self._count(cluster, where, 1)
        self.labels[row] = cluster
        if self.sizes.min() > 0:
            self.widen()

    def remove(self, row: int) -> None:
        """Take the row out."""
        where = self.base + self.draws_by_row[row]
        self._count(self.labels[row], where, -1)
        self.labels[row] = -1

    def _count(self, cluster: int, where: np.ndarray, change: int) -> None:
        """Add or take away one row of a cluster in all tables."""
        counts = self.tables[where, cluster] + change
        self.tables[where, cluster] = counts
        self.table_gains[where, cluster] = self.gains[counts]
        self.sizes[cluster] += change

    def widen(self) -> None:
        """Make room for more clusters, once every column is in use."""
        more = min(self.limit, 2 * len(self.sizes)) - len(self.sizes)
        if more > 0:
            pad = ((0, 0), (0, more))
            self.sizes = np.pad(self.sizes, (0, more))
            self.tables = np.pad(self.tables, pad)
            self.table_gains = np.pad(self.table_gains, pad, constant_values=self.gains[0])

    def fill(self, labels: np.ndarray) -> None:
        """Place all rows by given labels, of an empty state."""
        while labels.max() >= len(self.sizes):
            self.widen()
        rows = len(labels)
        width = len(self.sizes)
        self.labels = labels.astype(np.int64)
        self.sizes = np.bincount(self.labels, minlength=width)
        cells = np.zeros(self.tables.size, dtype=np.int32)
        for draw, base in enumerate(self.base):
            where = (base + self.draws_by_row[:, draw]) * width + self.labels
            low = base * width
            counts = np.bincount(where - low)
            cells[low : low + len(counts)] = counts
        assert cells.sum() == rows * len(self.base)
        self.tables = cells.reshape(self.tables.shape)
        self.table_gains = self.gains[self.tables]
        if self.sizes.min() > 0:
            self.widen()


def allocate(state: State, order: np.ndarray) -> None:
    """Allocate rows one after another to the cluster of least cost."""
    for row in order:
        cost, where = state.price(row)
        state.place(row, int(cost.argmin()), where)


def reassign(state: State, order: np.ndarray) -> int:
    """Move every row to its cluster of least cost; the number of rows that moved."""
    moved = 0
    for row in order:
        cost, where = state.price(row)
        best = int(cost.argmin())
        if cost[best] < cost[state.labels[row]] - LEAST_GAIN:
            state.place(row, best, where)
            moved += 1
    return moved


def merge(state: State) -> bool:
    """Merge the pair of clusters that lowers the expected loss most, if one does."""
    used = np.flatnonzero(state.sizes)
    best, pair = -LEAST_GAIN, None
    terms, tables = state.terms, state.tables
    alone = terms[tables].sum(axis=0) * state.mean[0]
    for index, one in enumerate(used[:-1]):
        others = used[index + 1 :]
        joint = terms[tables[:, one, None] + tables[:, others]].sum(axis=0) * state.mean[0]
        sizes = terms[state.sizes[one] + state.sizes[others]]
        change = sizes - terms[state.sizes[one]] - terms[state.sizes[others]]
        change -= joint - alone[one] - alone[others]
        if change.min() < best:
            best, pair = change.min(), (one, others[change.argmin()])
    if pair is None:
        return False
    one, other = pair
    state.labels[state.labels == other] = one
    state.sizes[one] += state.sizes[other]
    tables[:, one] += tables[:, other]
    state.sizes[other] = 0
    tables[:, other] = 0
    state.table_gains[:, one] = state.gains[tables[:, one]]
    state.table_gains[:, other] = state.gains[0]
    return True
