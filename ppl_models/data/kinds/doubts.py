"""Warnings about suspicious columns: identifiers, codes for missing cells.

A column that cannot be data is refused; one that may be is read as it stands, with a warning that
names it and says how to keep it or how to leave it out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ppl_models.data.containers.tables import Table
from ppl_models.data.kinds import checks
from ppl_models.data.missing import MISSING_TEXTS, has_missing, missing_cells
from ppl_models.errors import InputError

LEAST_ROWS = 10  #: fewer rows say nothing about what a column is
IDENTIFIER_NAMES = {"id", "index", "row", "rowid", "row_id", "uid", "uuid", "key", "nr", "no"}
#: what questionnaires write for "not answered", beside what a file's missing cells are
CODES_OF_MISSING = (-9, -99, -999, -9999, -99999, 99, 999, 9999, 99999)
LEVELS_OF_MISSING = {"?", ".", "-", "-9", "-99", "-999", "-9999", "NULL", "null", *MISSING_TEXTS}


def refuse_identifier(codes: np.ndarray, labels: Sequence[str], where: str) -> None:
    """Refuse a column of categories in which (almost) every row has a level of its own.

    Such a column holds nothing about what rows have in common, and each of its levels would be a
    parameter. A type that declares its levels (pandas.CategoricalDtype) is taken at its word.

    Args:
        codes: (row,), -1 where missing.
        labels: of the levels.
        where: words for the column.

    Raises:
        InputError: ten rows or more, and levels for nine tenths of them.
    """
    rows = int((~missing_cells(codes)).sum())
    if rows >= LEAST_ROWS and len(labels) >= 0.9 * rows:
        raise InputError(
            f"{where} has {len(labels)} levels in {rows} rows, like an identifier ('{labels[0]}', "
            f"'{labels[1]}', ...): drop it (--drop), or make it the row labels (--id; in Python "
            "data.set_index(...)); to keep it, declare its levels by pandas.CategoricalDtype"
        )


def warn_of_missing_levels(labels: Sequence[str], where: str) -> None:
    """Warn of a level that commonly encodes a missing cell."""
    doubtful = [label for label in labels if label in LEVELS_OF_MISSING]
    if doubtful:
        _warn(
            f"{where} has {checks.shown(doubtful)} among its levels, which count as answers: "
            "leave the cell empty (None) where the answer is missing"
        )


def warn_of_missing_codes(labels: Sequence[str], where: str) -> None:
    """Warn of the code -1 among consecutive codes, which pandas uses for missing.

    Answers from -1 to 1 are taken for a scale.
    """
    if labels[0] != "-1" or len(labels) < 3 or not all(n.isdigit() for n in labels[1:]):
        return
    numbers = [int(label) for label in labels[1:]]
    if numbers[0] in {0, 1} and numbers[-1] > 1:
        _warn(
            f"{where} holds -1, which counts as a level: leave the cell empty (None) where the "
            "level is missing, as -1 means in pandas' codes"
        )


def warn_of_numbers(matrix: np.ndarray, table: Table, site: str) -> None:
    """Warn of columns that count or name the rows, and of codes for missing cells.

    Args:
        matrix: numbers (row, column), NaN where missing.
        table: whose columns they are.
        site: of the data, for messages.
    """
    if len(matrix) < LEAST_ROWS:
        return
    for name, column in zip(table.values_by_column, matrix.T, strict=True):
        where = checks.place(table, name, site)
        if table.named and _is_identifier(name, column):
            _warn(
                f"{where} looks like an identifier of the rows ({checks.number(column[0])}, "
                f"{checks.number(column[1])}, ...), and is read as a measurement: drop it "
                "(--drop), or make it the row labels (--id; in Python data.set_index(...))"
            )
        code = _code_of_missing(column)
        if code is not None:
            _warn(
                f"{where} holds {checks.number(code)} in {int((column == code).sum())} rows, far "
                "from all its other values, and is used as a number: write NaN (an empty cell) "
                "where the value is missing"
            )


def _is_identifier(name: str, column: np.ndarray) -> bool:
    """Whether whole numbers count the rows, or are all different under an identifier's name."""
    if has_missing(column) or (column != np.floor(column)).any():
        return False
    counts = len(column) >= 2 * LEAST_ROWS and column[0] in {0, 1}
    if counts and (np.diff(column) == 1).all():
        return True
    lower = name.lower()
    named = lower in IDENTIFIER_NAMES or lower.endswith(("_id", " id", ".id"))
    return named and len(np.unique(column)) == len(column)


def _code_of_missing(column: np.ndarray) -> float | None:
    """A code for missing cells that repeats, farther from all other values than these reach."""
    seen = column[~missing_cells(column)]
    for code in CODES_OF_MISSING:
        others = seen[seen != code]
        if len(seen) - len(others) < 2 or len(np.unique(others)) < 2:
            continue
        low, high = float(others.min()), float(others.max())
        beyond = low - code if code < low else code - high
        if beyond > high - low and (code > high or low >= 0):
            return float(code)
    return None


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=3)
