"""Checks that all data kinds share, and the wording of their locations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from ppl_models.data.containers.tables import Table, as_table
from ppl_models.data.kinds.observed import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


def read_table(
    data: object, *, site: str, like: Mapping[str, ArrayLike] | None, fresh: bool
) -> Table:
    """A table with at least one row and one column, and the features of `like`."""
    table = aligned(as_table(data, site=site), like, site)
    if not table.values_by_column:
        raise InputError(f"{site} has no columns: give at least one")
    if len(table.row_labels) == 0:
        wanted = "data to fit" if fresh else "new rows"
        raise InputError(f"{site} has no rows: give {wanted}")
    return table


def aligned(table: Table, like: Mapping[str, ArrayLike] | None, site: str) -> Table:
    """The table with the features of an earlier reading, by name or, without names, in order.

    Raises:
        InputError: a feature is missing, unknown, or, without names, the number differs.
    """
    if like is None or "feature" not in like:
        return table
    expected = [str(name) for name in np.asarray(like["feature"]).ravel()]
    columns = list(table.values_by_column)
    if columns == expected:
        return table
    anonymous = expected == [str(d) for d in range(len(expected))]
    if not table.named or (table.was_one_dimensional and (anonymous or len(expected) != 1)):
        return _renamed(table, expected, site)
    for name in expected:
        if name not in table.values_by_column:
            raise InputError(
                f"{site} lacks the column '{name}' that the fit has: add it, or give an array "
                f"whose columns stand for {shown(expected)}"
            )
    for name in columns:
        if name not in expected:
            raise InputError(
                f"{site} has a column '{name}' that the fit does not know: drop it (on the "
                "command line: --drop)"
            )
    values = {name: table.values_by_column[name] for name in expected}
    return replace(table, values_by_column=values, block=None)


def _renamed(table: Table, expected: list[str], site: str) -> Table:
    columns = table.values_by_column
    if len(columns) != len(expected):
        shape = (
            f"is one-dimensional: give rows and columns, one row as shape (1, {len(expected)}),"
            if table.was_one_dimensional
            else f"has {len(columns)} columns: give {len(expected)},"
        )
        raise InputError(f"{site} {shape} for the fit's features are {shown(expected)}")
    new_name = dict(zip(columns, expected, strict=True))
    levels = {new_name[name]: levels for name, levels in table.levels_by_column.items()}
    values = {new_name[name]: values for name, values in columns.items()}
    return replace(table, values_by_column=values, levels_by_column=levels)


def numeric_matrix(table: Table, *, site: str, remedy: str) -> np.ndarray:
    """The cells as float64 (row, feature) with NaN where one is missing.

    Raises:
        InputError: a cell is not a number; `remedy` says what to do about the column.
    """
    if table.block is not None:
        return np.ascontiguousarray(table.block, dtype=np.float64)
    return np.column_stack(
        [
            _as_numbers(values, where=place(table, name, site), labels=table.row_labels, do=remedy)
            for name, values in table.values_by_column.items()
        ]
    )


def _as_numbers(values: np.ndarray, *, where: str, labels: np.ndarray, do: str) -> np.ndarray:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind in "Mm":
        position = int(np.argmax(~np.isnat(values)))
        example = f"{values[position]!s:.19} at {row(labels, position)}"
        raise InputError(f"{where} holds dates or durations ({example}): {do}")
    wrong = [
        position
        for position, cell in enumerate(values)
        if not (cell is None or isinstance(cell, Real | Decimal | np.bool))
    ]
    if wrong:
        # one word makes a whole column of a file text: name the word, not the numbers before it
        position = next((p for p in wrong if not _reads_as_number(values[p])), wrong[0])
        cell = values[position]
        held = "text" if isinstance(cell, str | bytes) else f"values of type {type(cell).__name__}"
        value = f"{cell!r}" if isinstance(cell, str | bytes) else f"{cell}"
        if held == "text" and len(wrong) == len(values) == len(set(values)) > 1:
            do += "; if it names the rows, say so by --id on the command line, or by set_index"
        elif held == "text":
            do += "; on the command line --drop leaves it out, and mixed_mixture takes text too"
        raise InputError(f"{where} holds {held} ({value} at {row(labels, position)}): {do}")
    return np.array([np.nan if cell is None else float(cell) for cell in values])


def _reads_as_number(cell: object) -> bool:
    try:
        return isinstance(cell, str) and np.isfinite(float(cell))
    except ValueError:
        return False


def refuse_cells(wrong: np.ndarray, matrix: np.ndarray, table: Table, site: str, do: str) -> None:
    """Raise an InputError that names the first cell marked as wrong (row, feature), if any."""
    if not wrong.any():
        return
    position, feature = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    name = list(table.values_by_column)[int(feature)]
    raise InputError(
        f"{place(table, name, site)} holds {number(matrix[position, feature])} at "
        f"{row(table.row_labels, int(position))}: {do}"
    )


def refuse_empty_columns(matrix: np.ndarray, table: Table, site: str) -> None:
    """Refuse a column without a single observed cell."""
    empty = missing_cells(matrix).all(axis=0)
    if empty.any():
        name = list(table.values_by_column)[int(np.argmax(empty))]
        raise InputError(f"{place(table, name, site)} is all missing: drop it or fill it in")


def constant_column(
    matrix: np.ndarray, table: Table, site: str, *, covariate: bool
) -> InputError | None:
    """Why a program cannot emit a column of one value, which has no scale; None without one.

    Args:
        matrix: numbers (row, column), NaN where missing.
        table: whose columns they are.
        site: of the data, for messages.
        covariate: whether they may be a covariate.

    Raises:
        InputError: data of a single row; a constant column that is no covariate.
    """
    if len(matrix) == 1:
        raise InputError(f"{site} has a single row, which has no spread: give at least two rows")
    constant = np.fmin.reduce(matrix, axis=0) == np.fmax.reduce(matrix, axis=0)
    if not constant.any():
        return None
    feature = int(np.argmax(constant))
    name = list(table.values_by_column)[feature]
    value = number(np.fmin.reduce(matrix[:, feature]))
    refusal = InputError(
        f"{place(table, name, site)} is constant (always {value}): drop it, since it carries no "
        "information about the latent variables"
    )
    if not covariate:
        raise refusal
    return refusal


def observed(values: np.ndarray, table: Table, refusal: InputError | None = None) -> Observed:
    """Label the values (row, feature); a single column loses its axis."""
    names = list(table.values_by_column)
    rows, features = values.shape
    univariate = features == 1
    return Observed(
        values=values[:, 0] if univariate else values,
        dims=("row",) if univariate else ("row", "feature"),
        coords={"row": table.row_labels, "feature": np.array(names, dtype=str)},
        arguments={"rows": rows, "features": features},
        refusal=refusal,
    )


def place(table: Table, name: str, site: str) -> str:
    """Words for a column: its name, or only the site where it has no column names."""
    if table.was_one_dimensional and not table.named:
        return site
    return f"column '{name}' of {site}"


def row(labels: np.ndarray, position: int) -> str:
    """Words for a row.

    Example:
        >>> row(np.array(["Anna", "Bert"]), 1)
        "row 'Bert'"
    """
    label = labels[position]
    return f"row {label}" if labels.dtype.kind in "iufM" else f"row {str(label)!r}"


def number(value: float) -> str:
    """A number without a needless fraction.

    Example:
        >>> number(3.0), number(-0.5)
        ('3', '-0.5')
    """
    value = float(value)
    integer = value.is_integer() and abs(value) < 2**53
    return str(int(value)) if integer else f"{value:.12g}"


def shown(names: Sequence[str], most: int = 8) -> str:
    """The first few names, quoted.

    Example:
        >>> shown(["a", "b", "c"], most=2)
        "'a', 'b', ... (3 in all)"
    """
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return listed if len(names) <= most else f"{listed}, ... ({len(names)} in all)"
