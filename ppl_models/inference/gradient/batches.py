"""Rows in mini-batches: of few shapes, so that few are compiled, and few cells are wasted.

Rows that end (sequences) are sorted into buckets by length, each as wide as its longest; the edges
are those that waste the fewest cells. Every batch has rows of every bucket, in the proportion of
all rows: with batches of one length each, the parameters that say where sequences end would
oscillate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.lengths import edges
from ppl_models.program.rows.order import ADVICE, PLACES, SEVERAL_CELLS

BUCKETS = 4  #: most widths
FEWEST = 16  #: rows of a bucket that a batch should have to be worth a width of its own
RUN = 16  #: most steps that are taken in one call


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length: data by site, cut to the longest of them; how often each counts."""

    data: dict[str, Array]
    rows: int
    weights: Array | None = None


@dataclass(frozen=True)
class Run:
    """Steps that one call takes.

    ``rows`` are ``(RUN, rows of a batch)`` for every bucket; only the first ``count`` are meant.
    """

    rows: tuple[np.ndarray, ...]
    count: int


@dataclass(frozen=True)
class Batches:
    """Buckets, and how their rows are drawn.

    Args:
        buckets: the rows.
        size: rows of a batch, about.
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
    def row_count(self) -> float:
        """Rows of all buckets, each counted as often as it weighs."""
        each = (b.rows if b.weights is None else float(b.weights.sum()) for b in self.buckets)
        return sum(each)

    @property
    def rows_per_bucket(self) -> tuple[int, ...]:
        """Rows of every bucket in a batch."""
        return tuple(max(1, round(self.size * b.rows / self.rows)) for b in self.buckets)

    def runs(self, first: int, last: int) -> Iterator[Run]:
        """The runs of steps ``first`` to ``last``, the same steps wherever one begins."""
        for begin in range(first, last, RUN):
            steps = range(begin, min(begin + RUN, last))
            runs = []
            for index, batch_rows in enumerate(self.rows_per_bucket):
                rows = np.zeros((RUN, batch_rows), np.int32)
                for place, step in enumerate(steps):
                    rows[place] = self._rows(index, step * batch_rows, batch_rows)
                runs.append(rows)
            yield Run(tuple(runs), len(steps))

    def _rows(self, index: int, first: int, count: int) -> np.ndarray:
        """Rows of a bucket: all of them in one order, then all in another, and so on."""
        rows, positions = self.buckets[index].rows, []
        if count == rows:
            return np.arange(rows)
        while count:
            epoch, offset = divmod(first, rows)
            piece = _order(self.seed, index, epoch, rows)[offset : offset + count]
            positions.append(piece)
            first, count = first + len(piece), count - len(piece)
        return np.concatenate(positions)


@lru_cache(maxsize=2 * BUCKETS)
def _order(seed: int, index: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng([seed, index, epoch]).permutation(rows)


_OF_ROWS = "site '{}' has a value a row, all of which are fitted together"


def whole_passes(problem: Problem) -> list[str]:
    """A note where every step passes over all rows and ``batch_size`` has no effect."""
    if not problem.row_order:
        return []
    if sites := problem.structure.given_locals:
        return [f"{_OF_ROWS.format(sites[0])}, so that every step passed over all rows"]
    if problem.structure.indexed:
        return [f"{SEVERAL_CELLS}, so that every step passed over all and batch_size was not used"]
    return [f"{PLACES}, so that every step passed over all rows and batch_size was not used"]


def make_batches(problem: Problem, chosen: np.ndarray, size: int, seed: int) -> Batches:
    """Sort rows into buckets.

    Args:
        problem: program and data.
        chosen: indices of the rows that are meant.
        size: rows of a batch, about.
        seed: of the order in which they are drawn.
    """
    size, weights = min(size, len(chosen)), None
    if problem.model.weights is not None:
        weights = jnp.asarray(np.asarray(problem.model.weights)[chosen])
    if problem.structure.own_axes and len(chosen) == problem.structure.rows:
        arrays = {n: jnp.asarray(v) for n, v in problem.model.data.items()}
        return Batches((Bucket(arrays, len(chosen), weights),), len(chosen), seed)
    if problem.row_order:
        if len(chosen) < problem.structure.rows:
            if sites := problem.structure.given_locals:
                raise InputError(
                    f"{_OF_ROWS.format(sites[0])}, so that none can be left out for validation: "
                    "leave validation_fraction out"
                )
            why = SEVERAL_CELLS if problem.structure.indexed else PLACES
            raise InputError(f"{why}, so that none can be left out for validation: {ADVICE}")
        size = len(chosen)
    data = {n: np.asarray(v)[chosen] for n, v in problem.model.data.items()}
    ragged = {
        name: emission.tokens for name, emission in problem.autoregressive.items() if emission.ends
    }
    most = min(BUCKETS, size // FEWEST) if size < len(chosen) else 1
    if not ragged or most < 2:
        return Batches((_bucket(data, np.arange(len(chosen)), ragged, weights),), size, seed)
    lengths = np.max([_lengths(data[n], end) for n, end in ragged.items()], axis=0)
    place = np.searchsorted(edges(lengths, most), lengths)
    members = [np.flatnonzero(place == i) for i in range(place.max() + 1)]
    buckets = (_bucket(data, m, ragged, weights) for m in members if len(m))
    return Batches(tuple(buckets), size, seed)


def _lengths(value: np.ndarray, end: int) -> np.ndarray:
    """Positions of every row, one ``<end>`` included."""
    return np.minimum((value != end).sum(1) + 1, value.shape[1])


def _bucket(
    data: Mapping[str, Any],
    members: np.ndarray,
    ragged: Mapping[str, int],
    weights: Array | None,
) -> Bucket:
    arrays = {}
    for name, value in data.items():
        value = value[members]
        if name in ragged:
            value = value[:, : _lengths(value, ragged[name]).max()]
        arrays[name] = jnp.asarray(value)
    return Bucket(arrays, len(members), None if weights is None else weights[members])
