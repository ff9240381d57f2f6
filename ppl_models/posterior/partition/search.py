"""The partition that minimises the posterior expected loss, the number of clusters left free.

A greedy search with many starts, after Dahl, Johnson and Mueller (2022), Search algorithms and
loss functions for Bayesian clustering, Journal of Computational and Graphical Statistics 31,
1189-1201 (the R package salso): rows are placed one after another, in random order, where they
cost least; sweeps move every row to where it costs least until none moves ("sweetening"); zealous
updates dissolve a whole cluster and place its rows anew. Otherwise than there, clusters are also
merged when that gains, and a start that is not greedy takes a draw's partition, for a random one
never came out first; the best of some draws is one more start.

With many rows the starts run on a subsample; the best of them are then extended to all rows and
swept to their end. With many draws the search looks at evenly spaced ones; the expected losses
that decide between finalists, and are reported, come from all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.posterior.partition.losses import by_size, compact, expected_loss, size_terms
from ppl_models.posterior.partition.state import State, allocate, merge, reassign

#: Rows that the starts work on, at most.
ROWS_USED = 2000
#: Draws that the search looks at, at most.
DRAWS_USED = 1000
#: Sweeps of one start, at most.
SWEEPS = 100
#: Clusters dissolved at the end of one start.
ZEALOUS = 10
#: Starts that are extended to all rows.
FINALISTS = 3
#: Draws that are tried as a partition, and draws that they are judged by.
CANDIDATES = 50
JUDGES = 200
#: Merging looks at all pairs of clusters, when there are no more than this.
MERGED_CLUSTERS = 50


@dataclass(frozen=True)
class PointPartition:
    """Result of :func:`point_partition`.

    Attributes:
        labels: ``(row)``, 0 for the largest cluster.
        expected_loss: of the posterior, over all draws.
        clusters: how many.
        loss: ``"vi"`` (in bits) or ``"binder"`` (share of ordered pairs).
        start_losses: ``(start)``, the expected loss that every start ended with, on the rows and
            draws that the search looked at.
        starts_agreeing: how many starts ended with the least of them.
    """

    labels: np.ndarray
    expected_loss: float
    clusters: int
    loss: str
    start_losses: np.ndarray
    starts_agreeing: int


def point_partition(
    assignments: np.ndarray,
    *,
    loss: str = "vi",
    starts: int = 16,
    max_clusters: int | None = None,
    seed: int,
) -> PointPartition:
    """Search the partition of least posterior expected loss.

    Args:
        assignments: integers ``(draw, row)``.
        loss: ``"vi"`` or ``"binder"``.
        starts: how many searches.
        max_clusters: as many clusters as the partition may have; default: as many as any draw
            has, as in salso. The number of rows sets no limit, at a price: the optimum under
            Binder's loss then often has many clusters of a single row.
        seed: of the random orders and starts.

    Raises:
        InputError: for an unknown loss, no starts, no clusters, or assignments that are not
            integers.

    Example:
        >>> draws = np.array([[0, 0, 1, 1], [3, 3, 2, 2], [0, 0, 1, 0]])
        >>> point_partition(draws, seed=0).labels
        array([0, 0, 1, 1])
    """
    if starts < 1 or (max_clusters is not None and max_clusters < 1):
        raise InputError(
            f"starts is {starts} and max_clusters {max_clusters}: both must be at least 1."
        )
    generator = np.random.default_rng(seed)
    draws = compact(np.asarray(assignments))
    max_clusters = int(draws.max()) + 1 if max_clusters is None else max_clusters
    seen = _thinned(draws)
    rows = np.arange(draws.shape[1])
    if len(rows) > ROWS_USED:
        rows = np.sort(generator.choice(len(rows), ROWS_USED, replace=False))
    search = _Search(compact(seen[:, rows]), loss, max_clusters, generator)
    results = [search.run(start) for start in range(starts)]
    results.append(search.finish(search.from_best_draw()))
    losses = np.array([value for value, _ in results])
    finalists = _different([results[index] for index in np.argsort(losses, kind="stable")])
    if len(rows) < draws.shape[1]:
        everything = _Search(seen, loss, max_clusters, generator)
        finalists = [everything.extend(rows, labels) for labels in finalists]
    judged = [expected_loss(labels, draws, loss) for labels in finalists]
    best = by_size(finalists[int(np.argmin(judged))])
    agreeing = int((losses <= losses.min() + 1e-9).sum())
    return PointPartition(best, min(judged), int(best.max()) + 1, loss, losses, agreeing)


class _Search:
    """Searches on one set of rows and draws."""

    def __init__(
        self,
        draws: np.ndarray,
        loss: str,
        max_clusters: int,
        generator: np.random.Generator,
    ) -> None:
        self.draws, self.loss, self.max_clusters = draws, loss, max_clusters
        self.terms = size_terms(loss, draws.shape[1])
        self.generator = generator

    def empty(self) -> State:
        """A state without rows."""
        return State(self.draws, self.terms, self.max_clusters)

    def order(self) -> np.ndarray:
        """All rows in random order."""
        return self.generator.permutation(self.draws.shape[1])

    def run(self, start: int) -> tuple[float, np.ndarray]:
        """One start: three of four allocate rows greedily, one takes a random draw's partition."""
        state = self.empty()
        if start % 4 < 3:
            allocate(state, self.order())
        else:
            state.fill(self.within_limit(self.generator.choice(self.draws)))
        return self.finish(state)

    def within_limit(self, labels: np.ndarray) -> np.ndarray:
        """Labels with the last clusters merged down to the allowed number."""
        return np.minimum(labels, self.max_clusters - 1)

    def from_best_draw(self) -> State:
        """The draw of least expected loss among some, as a state."""
        draws = self.draws
        candidates = self.within_limit(draws[_spaced(len(draws), CANDIDATES)])
        judges = draws[_spaced(len(draws), JUDGES)]
        losses = [expected_loss(labels, judges, self.loss) for labels in candidates]
        state = self.empty()
        state.fill(candidates[int(np.argmin(losses))])
        return state

    def finish(self, state: State) -> tuple[float, np.ndarray]:
        """Reassign rows, merge and dissolve clusters; the final loss and labels."""
        self.sweeten(state)
        value = state.value()
        for _ in range(ZEALOUS):
            saved = state.copy()
            used = np.flatnonzero(state.sizes)
            members = np.flatnonzero(state.labels == self.generator.choice(used))
            for row in members:
                state.remove(int(row))
            allocate(state, self.generator.permutation(members))
            if state.value() < value - 1e-12:
                self.sweeten(state)
                value = state.value()
            else:
                state.restore(saved)
        return value, state.labels.copy()

    def sweeten(self, state: State) -> None:
        """Sweeps until no row moves and no pair of clusters is better merged."""
        for _ in range(SWEEPS):
            if reassign(state, self.order()):
                continue
            if (state.sizes > 0).sum() > MERGED_CLUSTERS or not merge(state):
                return

    def extend(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The partition of some rows extended to all, and sweetened."""
        state = self.empty()
        while labels.max() >= len(state.sizes):
            state.widen()
        for row, label in zip(rows, labels, strict=True):
            state.place(row, int(label), state.base + state.draws_by_row[row])
        rest = np.setdiff1d(np.arange(self.draws.shape[1]), rows)
        allocate(state, self.generator.permutation(rest))
        self.sweeten(state)
        return state.labels.copy()


def _thinned(draws: np.ndarray) -> np.ndarray:
    """Evenly spaced draws, as many as the search uses."""
    most = max(1, min(DRAWS_USED, memory.PARTITION_NUMBERS // draws.shape[1]))
    return draws[_spaced(len(draws), most)]


def _spaced(count: int, most: int) -> np.ndarray:
    """At most ``most`` evenly spaced indices below ``count``."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _different(results: list[tuple[float, np.ndarray]]) -> list[np.ndarray]:
    """The labels of the first few partitions that are not the same."""
    chosen: dict[bytes, np.ndarray] = {}
    for _, labels in results:
        named = by_size(labels)
        chosen.setdefault(named.tobytes(), named)
        if len(chosen) == FINALISTS:
            break
    return list(chosen.values())
