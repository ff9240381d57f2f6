"""Rows of a source as a program receives them, in blocks of one shape, and their summary.

A first pass counts the rows and sums their moments (Chan, Golub and LeVeque (1983), Algorithms for
computing the sample variance). A second pass takes a sample of rows, in which EM looks for starts:
of up to ``SAME_SAMPLE`` rows it is the sample that a fit in memory takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from jax import Array, random

from ppl_models.data.blocks.ahead import ahead
from ppl_models.data.blocks.source import ONCE, Blocks
from ppl_models.data.blocks.spread import SpreadBlocks
from ppl_models.data.kinds import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.data.summary import Summary
from ppl_models.errors import InputError
from ppl_models.models._scale import unit_of_data
from ppl_models.program.reading import read_data
from ppl_models.program.runtime.precision import cast

SEED_ROWS = 10_000  #: rows that starts are looked for among, in memory and in blocks
SAME_SAMPLE = 5_000_000  #: rows up to which they are those that a fit in memory takes
SPACED = 1000  #: rows, evenly spaced, among which repeated values are looked for


@dataclass(frozen=True)
class RowBlocks:
    """All rows of a program's data, block by block.

    Args:
        function: the program.
        blocks: the source.
        site: the program's data parameter.
        like: labels of the columns.
        precision: of the numbers.
        summary: number, moments and levels of all rows, from two passes.
        shape: of a row.
    """

    function: Callable
    blocks: Blocks
    site: str
    like: Mapping[str, list]
    precision: str
    summary: Summary
    shape: tuple[int, ...]

    def of_size(self, size: int) -> Iterator[tuple[np.ndarray, int]]:
        """Blocks of one size, read ahead, and the number of rows of each that are no padding.

        Args:
            size: rows of a block.
        """
        return ahead(lambda: self._of_size(size))

    def over(self, of_block: Callable[[np.ndarray], Any]) -> Iterator[Any]:
        """The answers of ``of_block`` to every block's rows, in the order of the blocks.

        Args:
            of_block: a function of a module, or a partial of one, which is sent to the workers.
        """
        return _over(
            self.blocks, Reading(self.function, self.site, self.like, self.precision), of_block
        )

    def _of_size(self, size: int) -> Iterator[tuple[np.ndarray, int]]:
        pending: list[np.ndarray] = []
        held = seen = 0
        reading = Reading(self.function, self.site, self.like, self.precision)
        for array in (a for p in self.blocks if (a := reading(p)) is not None):
            if array.shape[1:] != self.shape:
                raise InputError(
                    f"{self.blocks.name} has blocks of rows of shapes {self.shape} and "
                    f"{array.shape[1:]}: give all of them the same columns"
                )
            pending.append(array)
            held += len(array)
            seen += len(array)
            while held >= size:
                joined = np.concatenate(pending) if len(pending) > 1 else pending[0]
                yield joined[:size], size
                pending, held = [joined[size:]], held - size
        if seen != self.summary.rows:
            raise InputError(
                f"{self.blocks.name} had {self.summary.rows:,} rows when it was first read and "
                f"has {seen:,} now: every pass must give the same rows"
            )
        if held:
            rest = np.concatenate(pending)
            yield np.concatenate([rest, np.repeat(rest[:1], size - held, 0)]), held


def _read(
    function: Callable, piece: Any, site: str, like: Mapping[str, list] | None
) -> Observed | None:
    if not len(piece):
        return None
    return read_data(function, {site: piece}, like, fresh=False)[site]


def read_blocks(
    function: Callable, blocks: Blocks, site: str, precision: str, key: Array
) -> tuple[RowBlocks, Observed]:
    """Pass over the rows twice: the summary of all rows, and a sample as it was read.

    Args:
        function: the program.
        blocks: the source.
        site: the program's data parameter.
        precision: of the numbers.
        key: random key that the rows of the sample are drawn by.

    Raises:
        InputError: no rows, or blocks that cannot be read as the program's data.
    """
    first = next((o for p in blocks if (o := _read(function, p, site, None)) is not None), None)
    if first is None:
        raise InputError(f"{blocks.name} has no rows")
    if first.dims[0] != "row":
        raise InputError(
            f"only single rows are read in blocks, and {blocks.name} is read as {first.dims[0]}s: "
            "fit them in memory"
        )
    if "level" in first.coords:
        first = _with_all_levels(function, blocks, site, first)
    like = {n: np.asarray(v).tolist() for n, v in first.coords.items() if n != "row"}
    reading = Reading(function, site, like, precision)
    counts, missing, moments = [], False, _Moments()
    for size, gaps, own in _over(blocks, reading, _moments_of):
        counts.append(size)
        missing |= gaps
        moments.add(*own)
    count = sum(counts)
    if count < 2:
        raise InputError(f"{blocks.name} has {count} row: give more")
    wanted = _chosen(key, count)
    spaced = np.arange(0, count, max(count // SPACED, 1))
    sampled: list[np.ndarray] = []
    regular: list[np.ndarray] = []
    places = [_within(begin, size, wanted, spaced) for begin, size in _begins(counts)]
    for one, other in _over(blocks, reading, _rows_at, places):
        sampled.append(one)
        regular.append(other)
    summary = Summary(
        count, moments.mean, moments.deviation, _unit(np.concatenate(regular)), missing
    )
    sample = np.concatenate(sampled)
    coords = dict(first.coords) | {"row": wanted}
    observed = replace(
        first,
        values=sample,
        coords=coords,
        arguments={**first.arguments, "rows": len(sample)}
        if "rows" in first.arguments
        else first.arguments,
        refusal=_constant(summary, site),
    )
    return RowBlocks(function, blocks, site, like, precision, summary, sample.shape[1:]), observed


def _chosen(key: Array, count: int) -> np.ndarray:
    """Rows of the sample, in their order."""
    if count <= SEED_ROWS:
        return np.arange(count)
    if count <= SAME_SAMPLE:
        return np.sort(np.asarray(random.choice(key, count, (SEED_ROWS,), replace=False)))
    generator = np.random.default_rng(np.asarray(random.key_data(key)))
    return np.sort(generator.choice(count, SEED_ROWS, replace=False, shuffle=False))


def _unit(rows: np.ndarray) -> np.ndarray:
    """The unit that numbers are rounded to."""
    return np.asarray(unit_of_data(rows.astype(np.result_type(rows.dtype, np.float32))))


def _constant(summary: Summary, site: str) -> InputError | None:
    if (summary.deviation > 0).all():
        return None
    return InputError(f"'{site}' has a column in which all rows are equal: leave it out")


@dataclass(frozen=True)
class Reading:
    """How a block is read as the program's data."""

    function: Callable
    site: str
    like: Mapping[str, list]
    precision: str

    def __call__(self, piece: Any) -> np.ndarray | None:
        """The rows of a block; None where it has none."""
        observed = _read(self.function, piece, self.site, self.like)
        return None if observed is None else cast(observed.values, self.precision)


def _over(
    blocks: Blocks, reading: Reading, of_block: Callable, each: Sequence[Any] = ()
) -> Iterator[Any]:
    """The answers of ``of_block`` to every block that has rows, in the order of the blocks.

    Args:
        blocks: here, or on the workers of a cluster.
        reading: how a block is read.
        of_block: ``(rows, [one of each]) -> answer``.
        each: one a block that has rows.
    """
    if isinstance(blocks, SpreadBlocks):
        arguments = blocks.client.submit(loaded, portable((reading, of_block)), pure=False)
        own = list(each)
        if each:  # blocks without rows have none
            sizes = blocks.ask(len)
            left = iter(each)
            own = [next(left) if size else None for size in sizes]
        answers = blocks.ask(_answer_of, arguments, each=own)
        yield from (answer for answer in answers if answer is not None)
        return
    arrays = ahead(lambda: (a for p in blocks if (a := reading(p)) is not None))
    if each:
        yield from _answers(arrays, of_block, each, blocks.name)
    else:
        yield from (of_block(array) for array in arrays)


def _answers(
    arrays: Iterator[np.ndarray], of_block: Callable, each: Sequence[Any], name: str
) -> Iterator[Any]:
    nothing = object()
    for array, one in zip_longest(arrays, each, fillvalue=nothing):
        if array is nothing or one is nothing:
            raise InputError(f"{name} gives different blocks in its second pass: {ONCE}")
        yield of_block(array, one)


def _with_all_levels(function: Callable, blocks: Blocks, site: str, first: Observed) -> Observed:
    """The first block as it is read beside the levels of all blocks.

    Raises:
        InputError: codes with leading zeros in a file, which pieces of it are read without.
    """
    import pandas as pd

    if blocks.texts is not None:
        for piece in blocks.texts():
            for name, column in piece.items():
                codes = column.astype(str).str.match(r"0\d")
                if codes.any():
                    raise InputError(
                        f"column '{name}' of {blocks.name} holds codes with leading zeros "
                        f"('{column[codes].iloc[0]}'), which are lost where a file is read in "
                        "blocks: read it into memory with read_file, or prefix the codes with a "
                        "letter"
                    )
    known: dict[Any, Any] = {}
    framed = True
    for piece in blocks:
        framed = hasattr(piece, "columns")
        frame = piece if framed else pd.DataFrame(np.asarray(piece).reshape(len(piece), -1))
        for name in frame.columns:
            column = frame[name]
            values = pd.Series(column.dropna().unique(), dtype=column.dtype, name=name)
            before = known.get(name)
            both = values if before is None else pd.concat([before, values])
            known[name] = both.drop_duplicates()
    length = max(map(len, known.values()))
    table = pd.DataFrame(
        {
            n: v.iloc[np.arange(length) % max(len(v), 1)].reset_index(drop=True)
            for n, v in known.items()
        }
    )
    levels = _read(function, table if framed else table.to_numpy(), site, None)
    return first if levels is None else levels


def _answer_of(piece: Any, *rest: Any) -> Any:
    """The answer to one block, on a worker."""
    *each, (reading, of_block) = rest
    array = reading(piece)
    return None if array is None else of_block(array, *each)


def portable(value: Any) -> bytes:
    """Arguments for workers; of a program in a file, with the file's text."""
    import cloudpickle

    for name, module in list(sys.modules.items()):
        if name.startswith("_program_"):  # which no worker can import
            cloudpickle.register_pickle_by_value(module)
    return cloudpickle.dumps(value)


def loaded(value: bytes) -> Any:
    """Inverse of :func:`portable`, on a worker."""
    import cloudpickle

    return cloudpickle.loads(value)


def _begins(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    begin = 0
    for size in counts:
        yield begin, size
        begin += size


def _within(begin: int, size: int, *places: np.ndarray) -> tuple[np.ndarray, ...]:
    """Places of all rows as places within a block."""
    return tuple(
        p[np.searchsorted(p, begin) : np.searchsorted(p, begin + size)] - begin for p in places
    )


def _rows_at(array: np.ndarray, places: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [array[p] for p in places]


def _moments_of(array: np.ndarray) -> tuple[int, bool, tuple[Any, Any, Any]]:
    """Rows of a block, whether a cell is missing, and count, mean and squares of every cell."""
    gone = missing_cells(array)
    count = (~gone).sum(0)
    values = np.where(gone, 0, array).astype(np.float64)
    mean = values.sum(0) / np.maximum(count, 1)
    squares = np.where(gone, 0, (values - mean) ** 2).sum(0)
    return len(array), bool(gone.any()), (count, mean, squares)


def summary_of(array: np.ndarray) -> Summary:
    """The summary of rows in memory, in the form of that of rows in blocks."""
    moments = _Moments()
    count, gaps, own = _moments_of(array)
    moments.add(*own)
    spaced = array[:: max(count // SPACED, 1)]
    return Summary(count, moments.mean, moments.deviation, _unit(spaced), gaps)


class _Moments:
    """Mean and standard deviation of every cell, from blocks."""

    def __init__(self) -> None:
        self.count: Any = 0
        self.mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, count: Any, mean: Any, squares: Any) -> None:
        """Take a block in."""
        total = self.count + count
        shift = mean - self.mean
        fraction = count / np.maximum(total, 1)
        self.mean = self.mean + shift * fraction
        self._squares = self._squares + squares + shift**2 * self.count * fraction
        self.count = total

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation; 0 of a constant cell."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))
