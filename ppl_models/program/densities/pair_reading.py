"""Which two rows each cell of a network belongs to, read off the program.

A cell that depends on the clusters of two rows (an edge on both its nodes) has no one row. The
rows are given another cluster one after the other, and the cells whose densities change are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models.errors import UnsupportedError
from ppl_models.program.densities.units import assigned_parts
from ppl_models.program.trace.structure import Structure

MOST_DENSITIES = 2e9  #: of cells, that are evaluated to find their rows
CHECKS = 3  #: assignments at random by which the rows are checked


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Pairs:
    """The two rows of every cell, and the cells of every row.

    Args:
        first: one of a cell's rows, ``(cell,)``; the cells of all coupled emissions in their order.
        second: the other, or the same one.
        digit: the lowest binary digit in which the numbers of the two rows differ, ``(cell,)``;
            -1 where they do not.
        cells: cells of every row that have another one too, ``(row, entry)``.
        other: that other row, ``(row, entry)``.
        turned: whether the row is the second of that cell's, ``(row, entry)``.
        present: whether there is such an entry, ``(row, entry)``.
        sizes: emission and number of its cells; static.
    """

    first: Array
    second: Array
    digit: Array
    cells: Array
    other: Array
    turned: Array
    present: Array
    sizes: tuple[tuple[str, int], ...] = field(metadata={"static": True})

    @property
    def digits(self) -> int:
        """How many binary digits tell the rows of a network apart."""
        return max(1, (len(self.cells) - 1).bit_length())


def read_pairs(
    model: Any, structure: Structure, values: Mapping[str, Array], names: tuple[str, ...]
) -> Pairs | None:
    """The rows of cells that depend on two of them; None where they depend on more.

    Args:
        model: the program with its data.
        structure: what was read off the program.
        values: of the global sites, at which they are looked for.
        names: of emissions.

    Raises:
        UnsupportedError: a network with too many rows and cells.
    """
    shapes = jax.eval_shape(partial(_cells, structure=structure, names=names), model, values)
    sizes = tuple((n, int(np.prod(shapes[n].shape))) for n in names)
    count, rows = sum(size for _, size in sizes), structure.rows
    if count * rows * (structure.clusters - 1) > MOST_DENSITIES:
        raise UnsupportedError(
            f"the network has {rows:,} rows and {count:,} cells, too many to determine the two "
            "rows of each cell: fit a part of it, or list only the edges that are known"
        )
    lowest, highest, number = (
        np.asarray(v) for v in _found_rows(model, values, structure=structure, names=names)
    )
    if (number > 2).any():
        return None
    first, second = np.where(number > 0, lowest, 0), np.where(number > 0, highest, 0)
    pairs = _sorted(first.astype(np.int32), second.astype(np.int32), rows, sizes)
    return pairs if _agrees(model, values, structure, names, pairs) else None


def _sorted(
    first: np.ndarray, second: np.ndarray, rows: int, sizes: tuple[tuple[str, int], ...]
) -> Pairs:
    """With the cells of every row."""
    differ = first ^ second
    lowest = differ & -differ
    digit = np.where(differ > 0, np.log2(np.maximum(lowest, 1)).astype(np.int32), -1)
    edges = np.flatnonzero(differ)
    ends = np.concatenate([first[edges], second[edges]])
    others = np.concatenate([second[edges], first[edges]])
    turned = np.repeat([False, True], len(edges))
    order = np.argsort(ends, kind="stable")
    degree = np.bincount(ends, minlength=rows)
    place = np.arange(len(ends)) - np.repeat(np.cumsum(degree) - degree, degree)
    most = max(1, int(degree.max(initial=1)))

    def table(entries: np.ndarray) -> Array:
        padded = np.zeros((rows, most), entries.dtype)
        padded[ends[order], place] = entries[order]
        return jnp.asarray(padded)

    return Pairs(
        jnp.asarray(first),
        jnp.asarray(second),
        jnp.asarray(digit.astype(np.int32)),
        table(np.concatenate([edges, edges]).astype(np.int32)),
        table(others.astype(np.int32)),
        table(turned),
        table(np.ones(len(ends), bool)),
        sizes,
    )


def densities_of_cells(
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    names: tuple[str, ...],
    assignment: Array,
) -> Array:
    """Log-densities of all cells of some emissions with the rows in given clusters, ``(cell,)``."""
    _, cells = assigned_parts(model, values, structure, assignment, names)
    return jnp.concatenate([cells[n] for n in names])


def _cells(
    model: Any, values: Mapping[str, Array], *, structure: Structure, names: tuple[str, ...]
) -> dict[str, Array]:
    zeros = jnp.zeros(structure.assignment_shape, int)
    return assigned_parts(model, values, structure, zeros, names)[1]


@partial(jax.jit, static_argnames=("structure", "names"))
def _found_rows(
    model: Any, values: Mapping[str, Array], *, structure: Structure, names: tuple[str, ...]
) -> tuple[Array, Array, Array]:
    """The lowest and highest row that makes a difference to each cell, and how many do."""
    drawn = _with_drawn(model, values, structure, names)
    zeros = jnp.zeros(structure.rows, int)
    plain = densities_of_cells(drawn, values, structure, names, zeros)
    count = plain.shape[0]

    def of_row(state: tuple[Array, Array, Array], row: Array) -> tuple[Any, None]:
        lowest, highest, number = state

        def differs(cluster: Array) -> Array:
            moved = zeros.at[row].set(cluster)
            cells = densities_of_cells(drawn, values, structure, names, moved)
            close = 1e-9 if cells.dtype == jnp.float64 else 1e-5
            return ~jnp.isclose(cells, plain, rtol=close, atol=close, equal_nan=True)

        here = jax.vmap(differs)(jnp.arange(1, structure.clusters)).any(0)
        lowest = jnp.where(here, jnp.minimum(lowest, row), lowest)
        highest = jnp.where(here, jnp.maximum(highest, row), highest)
        return (lowest, highest, number + here), None

    start = (jnp.full(count, structure.rows), jnp.zeros(count, int), jnp.zeros(count, int))
    return lax.scan(of_row, start, jnp.arange(structure.rows))[0]


def _with_drawn(
    model: Any, values: Mapping[str, Array], structure: Structure, names: tuple[str, ...]
) -> Any:
    """The program whose missing cells hold a value, so that they have rows too."""
    data = dict(model.data)
    for name in names:
        value = jnp.asarray(data[name]) if name in data else None
        if value is not None and jnp.issubdtype(value.dtype, jnp.floating):
            seen = jnp.isfinite(value)
            some = jnp.where(seen, value, -jnp.inf).max()
            data[name] = jnp.where(seen, value, some)
    return model.with_data(data)


def _agrees(
    model: Any,
    values: Mapping[str, Array],
    structure: Structure,
    names: tuple[str, ...],
    pairs: Pairs,
) -> bool:
    """Whether cells have the densities that their two rows' clusters give them."""
    numbers = np.random.default_rng(0)
    asked = jnp.asarray(numbers.integers(0, structure.clusters, (CHECKS, structure.rows)))
    tables, cells = _compared(model, values, asked, pairs, structure=structure, names=names)
    first, second = (np.asarray(asked)[:, np.asarray(v)] for v in (pairs.first, pairs.second))
    expected = np.asarray(tables)[first, second, np.arange(first.shape[1])]
    tolerance = 1e-4 if expected.dtype == np.float32 else 1e-7
    return np.allclose(np.asarray(cells), expected, rtol=tolerance, atol=tolerance, equal_nan=True)


@partial(jax.jit, static_argnames=("structure", "names"))
def _compared(
    model: Any,
    values: Mapping[str, Array],
    asked: Array,
    pairs: Pairs,
    *,
    structure: Structure,
    names: tuple[str, ...],
) -> tuple[Array, Array]:
    def cells(assignment: Array) -> Array:
        return densities_of_cells(model, values, structure, names, assignment)

    return pair_tables(model, values, structure, pairs), lax.map(cells, asked)


def pair_tables(
    model: Any, values: Mapping[str, Array], structure: Structure, pairs: Pairs
) -> Array:
    """Log-density of every cell with its rows in every two clusters, ``(cluster, cluster, cell)``.

    Rows are parted by each binary digit of their numbers, one part in cluster k and the other in l:
    every cell has its rows in both parts for some digit.
    """
    names = tuple(name for name, _ in pairs.sizes)
    rows, clusters = jnp.arange(structure.rows), jnp.arange(structure.clusters)

    def run(digit: Array, one: Array, other: Array) -> Array:
        assignment = jnp.where((rows >> digit) & 1 == 1, other, one)
        return densities_of_cells(model, values, structure, names, assignment)

    def of_digit(total: Array, digit: Array) -> tuple[Array, None]:
        in_two = jax.vmap(jax.vmap(run, (None, None, 0)), (None, 0, None))
        by_pair = in_two(digit, clusters, clusters)
        # a cell's first row has a 1 there: then it is in the other part
        turned = ((pairs.first >> digit) & 1 == 1)[None, None]
        oriented = jnp.where(turned, by_pair.swapaxes(0, 1), by_pair)
        mine = (pairs.digit == digit) | ((pairs.digit < 0) & (digit == 0))
        return jnp.where(mine, oriented, total), None

    blank = jnp.zeros((structure.clusters, structure.clusters, len(pairs.first)))
    tables, _ = lax.scan(of_digit, blank, jnp.arange(pairs.digits))
    # a cell of one row alone has that row in one cluster
    alone = jnp.diagonal(tables, axis1=0, axis2=1).T
    return jnp.where(pairs.digit < 0, alone[:, None], tables)
