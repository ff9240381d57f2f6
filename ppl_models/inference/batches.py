"""Rows in mini-batches: of few shapes, so that few are compiled, and none longer than it needs.

Rows that end (sequences) are sorted into buckets by length, each as wide as its longest; the edges
are those that waste the fewest cells. A batch has rows of one bucket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..distributions.autoregressive import Autoregressive
from .problem import Problem

BUCKETS = 6  #: most widths
CANDIDATES = 64  #: most lengths that are tried as edges
FEWEST = 4  #: batches that a bucket should hold to be worth a compilation
RUN = 16  #: most steps that are taken in one call
GROUP = 4  #: batches of a bucket that come one after the other, so that calls are few


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length: data by site, cut to the longest of them."""

    data: dict[str, Array]
    rows: int


@dataclass(frozen=True)
class Run:
    """Steps that one call takes, all in one bucket.

    ``rows`` and ``weights`` are ``(RUN, batch)``; a weight of 0 marks padding, and only the first
    ``count`` batches are meant.
    """

    bucket: int
    rows: np.ndarray
    weights: np.ndarray
    count: int


@dataclass(frozen=True)
class Batches:
    """Buckets, and how their rows are drawn.

    Args:
        buckets: the rows.
        size: rows of a batch.
        seed: of the order.
    """

    buckets: tuple[Bucket, ...]
    size: int
    seed: int

    @property
    def rows(self) -> int:
        """Rows of all buckets."""
        return sum(bucket.rows for bucket in self.buckets)

    @property
    def an_epoch(self) -> int:
        """Batches in which all rows come once."""
        return sum(-(-bucket.rows // self.size) for bucket in self.buckets)

    def runs(self, first: int, last: int) -> Iterator[Run]:
        """The runs of steps ``first`` to ``last``."""
        together: list[np.ndarray] = []
        current = -1
        for bucket, rows in islice(self._from(first), last - first):
            if together and (bucket != current or len(together) == RUN):
                yield self._run(current, together)
                together = []
            current = bucket
            together.append(rows)
        if together:
            yield self._run(current, together)

    def _from(self, step: int) -> Iterator[tuple[int, np.ndarray]]:
        """Batches ``(bucket, rows)`` from a step on, the same wherever one begins."""
        epoch, offset = divmod(step, self.an_epoch)
        for number in count(epoch):
            yield from self._epoch(number)[offset:]
            offset = 0

    def _epoch(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """Batches ``(bucket, rows)`` of an epoch; a few of a bucket come one after the other."""
        if self.an_epoch == 1:
            return [(0, np.arange(self.rows))]
        generator = np.random.default_rng([self.seed, epoch])
        runs = []
        for index, bucket in enumerate(self.buckets):
            order = generator.permutation(bucket.rows)
            cuts = [order[i : i + self.size] for i in range(0, bucket.rows, self.size)]
            runs += [[(index, c) for c in cuts[i : i + GROUP]] for i in range(0, len(cuts), GROUP)]
        generator.shuffle(runs)
        return [batch for run in runs for batch in run]

    def _run(self, bucket: int, batches: list[np.ndarray]) -> Run:
        rows = np.zeros((RUN, self.size), np.int32)
        weights = np.zeros((RUN, self.size), np.float32)
        for place, batch in enumerate(batches):
            rows[place, : len(batch)] = batch
            weights[place, : len(batch)] = 1
        return Run(bucket, rows, weights, len(batches))


def make_batches(problem: Problem, chosen: np.ndarray, size: int, seed: int) -> Batches:
    """Sort rows into buckets.

    Args:
        problem: program and data.
        chosen: indices of the rows that are meant.
        size: rows of a batch.
        seed: of the order in which they are drawn.
    """
    data = {n: np.asarray(v)[chosen] for n, v in problem.model.data.items()}
    size = min(size, len(chosen))
    ragged = {
        name: emission.tokens
        for name, emission in problem.example.emissions.items()
        if isinstance(emission, Autoregressive) and emission.ends
    }
    most = min(BUCKETS, len(chosen) // (FEWEST * size))
    if not ragged or most < 2:
        return Batches((_bucket(data, np.arange(len(chosen)), ragged),), size, seed)
    lengths = np.max([_lengths(data[n], end) for n, end in ragged.items()], axis=0)
    place = np.searchsorted(edges(lengths, most), lengths)
    members = [np.flatnonzero(place == i) for i in range(place.max() + 1)]
    return Batches(tuple(_bucket(data, m, ragged) for m in members if len(m)), size, seed)


def _lengths(value: np.ndarray, end: int) -> np.ndarray:
    """Positions of every row, one ``<end>`` included."""
    return np.minimum((value != end).sum(1) + 1, value.shape[1])


def _bucket(data: Mapping[str, Any], members: np.ndarray, ragged: Mapping[str, int]) -> Bucket:
    found = {}
    for name, value in data.items():
        value = value[members]
        if name in ragged:
            value = value[:, : _lengths(value, ragged[name]).max()]
        found[name] = jnp.asarray(value)
    return Bucket(found, len(members))


def edges(lengths: np.ndarray, most: int) -> np.ndarray:
    """Widths of at most ``most`` buckets that together have the fewest cells.

    Args:
        lengths: of the rows.
        most: buckets.

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
