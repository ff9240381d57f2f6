"""Which row each cell of a program's data belongs to, read off the program.

Rows are given two clusters by the binary digits of their numbers, as many runs of the program as a
number has digits; each cell's density then spells its row's number. It is checked by runs with
clusters at random: a cell that depends on several rows (an edge on both its nodes) has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models.errors import UnsupportedError
from ppl_models.program.densities.pair_reading import read_pairs
from ppl_models.program.densities.units import Units, all_parts
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.structure import Structure

CHECKS = 3  #: assignments at random by which the rows of the cells are checked
FEWER = 0.5  #: share of cells that differ, up to which those alone are computed


def with_units(model: Any, structure: Structure) -> Any:
    """The program with the rows of its cells, where it has any.

    Raises:
        UnsupportedError: a cell that depends on the clusters of several rows.
    """
    if not structure.indexed:
        return model
    values = structure.initial(make_key(6))
    known = dict(structure.unit_axes)
    shapes = _cell_shapes(model, structure, values)
    rows = {n: _along(shapes[n], known[n]) for n in known}
    asked = tuple(n for n in structure.indexed if n not in known)
    if asked:
        rows |= _probed(model, structure, values, asked)
        several = _of_several(model, structure, values, rows, asked)
        if several is not None:
            return _with_pairs(model, structure, values, several)
    ordered = tuple(n for n, place in rows.items() if (np.diff(place) >= 0).all())
    units = Units({n: jnp.asarray(v) for n, v in rows.items()}, ordered=ordered)
    return replace(model, units=_without_repeats(model, structure, values, units))


def _cell_shapes(
    model: Any, structure: Structure, values: Mapping[str, Array]
) -> dict[str, tuple[int, ...]]:
    shapes = {}

    def trace(model: Any, values: Mapping[str, Array]) -> None:
        assignment = jnp.zeros(structure.assignment_shape, int)
        sites = model.trace_at(values, structure, assignment=assignment)
        shapes.update({n: sites[n]["fn"].batch_shape for n in structure.indexed})

    jax.eval_shape(trace, model, values)
    return shapes


def _along(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Every cell's place along an axis; 0 where there is one row."""
    if axis < 0:
        return np.zeros(int(np.prod(shape)), np.int32)
    place = np.arange(shape[axis], dtype=np.int32).reshape(-1, *[1] * (len(shape) - axis - 1))
    return np.broadcast_to(place, shape).reshape(-1)


def _probed(
    model: Any, structure: Structure, values: Mapping[str, Array], names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The row of every cell, bit by bit of its number.

    Cells that no cluster makes a difference to belong to the row that a whole-numbered parameter
    says, else to the first.
    """
    digits = np.arange(max(1, (structure.rows - 1).bit_length()))
    bits = (np.arange(structure.rows)[None] >> digits[:, None]) & 1
    rows = {n: np.zeros(0, np.int32) for n in names}
    unknown: dict[str, np.ndarray] = {}
    for other in range(1, structure.clusters):
        plain = np.stack([np.zeros(structure.rows, int), np.full(structure.rows, other)])
        asked = np.concatenate([plain, other * bits])
        # drawn from cluster 0's distribution: cells that are missing have a row too
        cells = _cells(model, values, jnp.asarray(asked), structure=structure, names=names)
        for name in names:
            low, high, *digit = np.asarray(cells[name])
            place = np.zeros(len(low), np.int64)
            for power, value in enumerate(digit):
                place |= _nearer(value, high, low).astype(np.int64) << power
            differs = ~np.isclose(low, high, rtol=1e-6, atol=1e-9)
            here = unknown.get(name, np.ones(len(low), bool)) & differs
            if not len(rows[name]):
                rows[name] = np.zeros(len(low), np.int32)
            rows[name] = np.where(here, np.minimum(place, structure.rows - 1), rows[name])
            unknown[name] = unknown.get(name, np.ones(len(low), bool)) & ~differs
        if not any(left.any() for left in unknown.values()):
            break
    for name in names:
        if name not in unknown:  # one cluster
            shape = _cell_shapes(model, structure, values)[name]
            rows[name] = np.zeros(int(np.prod(shape)), np.int32)
            unknown[name] = np.ones(len(rows[name]), bool)
        index = _index_parameter(model, structure, rows[name], unknown[name])
        if index is not None:
            rows[name] = np.where(unknown[name], index, rows[name])
    return {n: v.astype(np.int32) for n, v in rows.items()}


def _nearer(value: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether a number is rather the one than the other; either may be infinite."""
    with np.errstate(invalid="ignore"):
        return (value == one) | (np.abs(value - one) < np.abs(value - other))


def _index_parameter(
    model: Any, structure: Structure, rows: np.ndarray, unknown: np.ndarray
) -> np.ndarray | None:
    """A parameter of whole numbers that agrees with the rows of those cells that are known."""
    if not unknown.any():
        return None
    for value in (*model.data.values(), *model.arguments.values()):
        array = np.asarray(value) if isinstance(value, np.ndarray | jax.Array) else np.zeros(0)
        if array.shape != rows.shape or array.dtype.kind not in "iu":
            continue
        inside = (array >= 0).all() and (array < structure.rows).all()
        if inside and (array == rows)[~unknown].all():
            return array
    return None


@partial(jax.jit, static_argnames=("structure", "names"))
def _cells(
    model: Any,
    values: Mapping[str, Array],
    assignments: Array,
    *,
    structure: Structure,
    names: tuple[str, ...],
) -> dict[str, Array]:
    """Log-densities of one draw of the cells with the rows in given clusters, ``(ask, cell)``."""
    first_assignment = jnp.zeros(structure.assignment_shape, int)
    first = model.trace_at(values, structure, assignment=first_assignment)
    keys = dict(zip(names, random.split(random.key(7), len(names)), strict=True))
    drawn = {n: _drawn(first[n], keys[n]) for n in names}

    def one(assignment: Array) -> dict[str, Array]:
        trace = model.trace_at(values, structure, assignment=assignment)
        return {
            n: jnp.broadcast_to(
                trace[n]["fn"].log_prob(drawn[n]), trace[n]["fn"].batch_shape
            ).reshape(-1)
            for n in names
        }

    return jax.lax.map(one, assignments)


def _drawn(site: Mapping[str, Any], key: Array) -> Array:
    """A draw; of what cannot be drawn from (a factor), what was observed."""
    try:
        drawn: Array = site["fn"].sample(key)
    except NotImplementedError:
        drawn = site["value"]
    return drawn


def _with_pairs(model: Any, structure: Structure, values: Mapping[str, Array], several: str) -> Any:
    """The program with the two rows of each of its cells.

    Raises:
        UnsupportedError: cells that depend on more than two rows, or rows with sites of their own.
    """
    sites = " and ".join(f"'{n}'" for n in structure.discrete)
    plain = not (structure.locals or structure.combined or structure.labelled or structure.lowest)
    pairs = read_pairs(model, structure, values, structure.indexed) if plain else None
    if pairs is None:
        raise UnsupportedError(
            f"a cell of site '{several}' depends on site {sites} of several rows at once, other "
            f"than on one discrete site of two rows (as an edge on its nodes): hold {sites} of "
            "all rows by fixed=, or write a program in which a cell belongs to one row"
        )
    return replace(model, pairs=pairs)


def _of_several(
    model: Any,
    structure: Structure,
    values: Mapping[str, Array],
    rows: Mapping[str, np.ndarray],
    names: tuple[str, ...],
) -> str | None:
    """A site whose cells depend on the clusters of several rows; None where none does."""
    random_numbers = np.random.default_rng(0)
    clusters = random_numbers.integers(0, structure.clusters, (CHECKS, structure.rows))
    same = np.arange(structure.clusters)[:, None] * np.ones(structure.rows, int)
    asked = jnp.asarray(np.concatenate([same, clusters]))
    cells = _cells(model, values, asked, structure=structure, names=names)
    for name in names:
        by_cluster, checked = np.split(np.asarray(cells[name]), [structure.clusters])
        chosen = clusters[:, rows[name]]
        expected = np.take_along_axis(by_cluster, chosen, axis=0)
        tolerance = 1e-4 if checked.dtype == np.float32 else 1e-7
        if not np.allclose(checked, expected, rtol=tolerance, atol=tolerance, equal_nan=True):
            return name
    return None


def _without_repeats(
    model: Any, structure: Structure, values: Mapping[str, Array], units: Units
) -> Units:
    """The units with equal lines of data computed once, where there are many of them."""
    lengths = {size for _, _, size in structure.lines}
    if len(lengths) != 1 or len(structure.lines) != len(structure.indexed):
        return units
    (count,) = lengths
    if any(len(v) != count for v in units.rows.values()):
        return units
    data = {n: np.asarray(v) for n, v in model.data.items()}
    lined = {n: v for n, v in data.items() if v.shape[:1] == (count,)}
    index = next(iter(units.rows.values()))
    columns = [
        column
        for value in lined.values()
        if not (value.shape == index.shape and np.array_equal(value, index))
        for column in value.reshape(count, -1).T
    ]
    line = _numbered(columns, int(FEWER * count))
    if line is None:
        return units
    chosen = np.unique(line, return_index=True)[1]
    few = {n: v[chosen] if n in lined else v for n, v in data.items()}
    reduced = replace(
        units,
        distinct={n: jnp.asarray(v) for n, v in few.items()},
        line=jnp.asarray(line.astype(np.int32)),
    )
    tables = attempted(
        lambda: [
            np.asarray(_table(replace(model, units=u), values, structure=structure))
            for u in (units, reduced)
        ]
    )
    if tables is None:
        return units
    full, gathered = tables
    same = np.allclose(full, gathered, rtol=1e-5, atol=1e-5, equal_nan=True)
    return reduced if same else units


@partial(jax.jit, static_argnames=("structure",))
def _table(model: Any, values: Mapping[str, Array], *, structure: Structure) -> Array:
    """Log-densities of all cells, ``(cluster, cell)``."""
    cells, line = all_parts(model, values, structure)[1], model.units.line
    return jnp.concatenate([v if line is None else v[:, line] for v in cells.values()], axis=1)


def _numbered(columns: list[np.ndarray], most: int) -> np.ndarray | None:
    """A number for every line, the same where all columns are; None where more than ``most``."""
    if not columns or most < 1:
        return None
    line = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        kinds, codes = np.unique(column, return_inverse=True)
        if len(kinds) > most:
            return None
        line = np.unique(line * len(kinds) + codes, return_inverse=True)[1]
        if line.max(initial=0) >= most:
            return None
    return line
