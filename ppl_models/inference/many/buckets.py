"""Data sets of like size side by side: padded to a few lengths, the padding masked.

Every pass over one data set is mapped over the groups of a bucket. A program is read once for all
of them; its priors may depend on a group's data, and are read by ``known.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models import device, memory
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.many.known import GroupModel
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, Part
from ppl_models.program.model import Model

STEP = 1.3  #: a bucket's length is so many times that of the one before
COARSE = 4.0  #: the same of small data
SMALL = 100_000  #: rows of all groups together
LEAST = 32  #: rows of the shortest bucket
MOST_LANES = 65_536
SMALLER = 4  #: where there is less to do, batches are so many times smaller
FEWEST = 8  #: entries of a batch, at least


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Groups:
    """The data of groups, an axis ``(group, ...)`` before that of every array.

    Args:
        chunks: rows as passes need them: one chunk a group.
        arrays: the rows as they are, ``(group, row, ...)``, padded with rows of the group.
        known: the priors that depend on a group's data.
        deviations: standard deviation of every feature.
    """

    chunks: Chunks
    arrays: dict[str, Any]
    known: dict[str, Any]
    deviations: dict[str, Any]

    def take(self, places: Any) -> Groups:
        """Some of the groups."""
        return jax.tree.map(lambda v: v[places], self)

    def present(self) -> Array:
        """Which rows are no padding, ``(group, row)``."""
        return self.chunks.parts[0].present[:, 0]


@dataclass(frozen=True)
class Bucket:
    """Groups of like size.

    Args:
        members: their numbers among all groups.
        sizes: rows of each.
        length: rows that each is padded to.
        groups: their data.
    """

    members: np.ndarray
    sizes: np.ndarray
    length: int
    groups: Groups


def lengths_of(sizes: np.ndarray) -> np.ndarray:
    """The length that each data set is padded to.

    Lengths are of one ladder, whatever the data, so that few are ever compiled. Small data have
    steps of 4, for another length takes longer to compile than padding to pass over.

    >>> lengths_of(np.array([5, 5, 5])).tolist()
    [5, 5, 5]
    >>> lengths_of(np.array([5, 9, 40])).tolist()
    [32, 32, 128]
    """
    if len(np.unique(sizes)) == 1:
        return sizes
    step = STEP if sizes.sum() > SMALL else COARSE
    ladder = [LEAST]
    while ladder[-1] < sizes.max():
        ladder.append(int(np.ceil(ladder[-1] * step)))
    return np.array(ladder)[np.searchsorted(ladder, sizes)]


def in_buckets(
    problem: Problem, data: Sequence[Mapping[str, np.ndarray]], known: Mapping[str, Any]
) -> Iterator[Bucket]:
    """The groups, by length.

    Args:
        problem: the program with the data of one group.
        data: of every group, by emission.
        known: priors ``(group, ...)``, see :func:`.known.priors_of_groups`.
    """
    sizes = np.array([len(next(iter(each.values()))) for each in data])
    lengths = lengths_of(sizes)
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        own = jax.tree.map(lambda v, m=members: v[m], dict(known))
        groups = stack(problem.families, [data[int(i)] for i in members], int(length), own)
        yield Bucket(members, sizes[members], int(length), groups)


def stack(
    families: Mapping[str, ExponentialFamily],
    data: Sequence[Mapping[str, np.ndarray]],
    length: int,
    known: Mapping[str, Any],
) -> Groups:
    """The data of groups, padded to one length and prepared."""
    sizes = np.array([len(next(iter(each.values()))) for each in data])
    present = np.arange(length) < sizes[:, None]
    arrays, gaps, deviations = {}, {}, {}
    for name, family in sorted(families.items()):
        like = data[0][name]
        padded = np.empty((len(data), length, *like.shape[1:]), like.dtype)
        for place, each in enumerate(data):
            padded[place] = each[name][np.arange(length) % sizes[place]]
        arrays[name] = padded
        gaps[name] = any(family.has_missing_cells(each[name]) for each in data)
        deviations[name] = _deviations(padded, present)
    missing = tuple(sorted(gaps.items()))
    prepared, centres = _prepared(dict(families), arrays, present, missing=missing)
    order = np.tile(np.arange(length, dtype=np.int32), (len(data), 1))
    chunks = Chunks((Part(prepared, present[:, None]),), order, centres, missing)  # type: ignore[arg-type]
    held = Groups(chunks, arrays, dict(known), deviations)
    # a processor takes what it needs from the host's arrays, whose number then compiles nothing
    return jax.tree.map(jnp.asarray if device.is_wide() else np.asarray, held)


def _deviations(padded: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Standard deviations over the rows that are present and cells that are seen."""
    value = np.asarray(padded, float)
    seen = ~missing_cells(value) & present.reshape(*present.shape, *[1] * (value.ndim - 2))
    count = np.maximum(seen.sum(1), 1)
    mean = np.where(seen, value, 0).sum(1) / count
    squares = np.where(seen, (value - mean[:, None]) ** 2, 0).sum(1)
    return np.asarray(np.sqrt(squares / count), jnp.result_type(float))


@partial(jax.jit, static_argnames=("missing",))
def _prepared(
    families: dict[str, ExponentialFamily],
    arrays: dict[str, Array],
    present: Array,
    *,
    missing: tuple[tuple[str, bool], ...],
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Rows as passes need them, ``(group, 1, ...)``, and a point amid the data of every group."""
    gaps = dict(missing)
    ready, centres = {}, {}
    for name, family in families.items():
        value = arrays[name]

        def one(value: Array, family: Any = family, name: str = name) -> tuple[Any, Array]:
            # padding repeats the rows of the group, so that the centre lies amid its data
            centre = family.centre(value)
            prepared = family.prepare(value, missing=gaps[name], centre=centre)
            return jax.tree.map(lambda v: v[None], prepared), centre

        ready[name], centres[name] = jax.vmap(one)(value)
    return ready, centres


def lanes_of(problem: Problem, length: int) -> int:
    """How many data sets are passed over side by side, so that memory is bounded.

    A power of two, so that few sizes are compiled.
    """
    cells = sum(
        f.numbers_per_row(problem.model.data[n], missing=False) for n, f in problem.families.items()
    )
    numbers = length * (cells + 6 * problem.structure.clusters)
    held = memory.WIDE_LANES_BYTES if device.is_wide() else memory.LANES_BYTES
    lanes = held // (jnp.result_type(float).itemsize * numbers)
    return 1 << int(np.clip(lanes, 8, MOST_LANES)).bit_length() - 1


class Reading:
    """A program that was read, as a static argument: two of one reading are the same.

    Args:
        problem: the program with data of any rows.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        leaves, tree = jax.tree.flatten((problem.model.arguments, problem.model.fixed))
        numbers = tuple(np.asarray(v).tobytes() for v in leaves)
        static = problem.model.tree_flatten()[1]
        links = problem.parameter_map.links
        self.read_from = (problem.structure, static, str(tree), numbers, links)

    def __hash__(self) -> int:
        return hash(self.read_from)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reading) and self.read_from == other.read_from


def of_group(problem: Problem, model: Model, groups: Groups) -> Problem:
    """The problem on the data of one group, which may be traced: nothing is read anew."""
    return problem.on_data(GroupModel.of(model, groups.known), groups.chunks)


def batches(count: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Places of batches of one size, the last filled up with places gone through before.

    Where there are few, the size is one of a few smaller ones, so that few are compiled.

    Yields:
        Places ``(size,)`` and how many of them are new.

    >>> [(places.tolist(), new) for places, new in batches(5, 3)]
    [([0, 1, 2], 3), ([3, 4, 0], 2)]
    """
    while size >= SMALLER * max(count, FEWEST):
        size //= SMALLER
    for first in range(0, count, size):
        places = np.arange(first, first + size)
        yield places % count, int((places < count).sum())


def by_batch(function: Any, size: int, count: int, *arguments: Any) -> Any:
    """A compiled function of groups, batch by batch, its results on the host.

    Args:
        function: of arrays ``(group, ...)``, and groups, some of them at a time.
        size: groups of a batch.
        count: of groups.
        *arguments: what it takes, arrays ``(group, ...)``.
    """
    results = []
    for places, new in batches(count, size):
        result = function(*jax.tree.map(lambda v, p=places: v[p], arguments))
        results.append((result, new))
    return jax.tree.map(
        lambda *parts: np.concatenate(
            [np.asarray(v)[:new] for v, (_, new) in zip(parts, results, strict=True)]
        ),
        *[result for result, _ in results],
    )
