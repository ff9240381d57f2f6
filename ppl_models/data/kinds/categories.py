"""The kind whose cells are names of levels, with its own number of levels in every column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ppl_models.data.containers.tables import Table
from ppl_models.data.kinds import checks, doubts
from ppl_models.data.kinds.observed import Kind, Observed
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


class Categories(Kind):
    """Answers out of a few: codes from 0, int32 (row, feature), or (row,) of one column.

    Where one is missing they are float64, with NaN.
    """

    @classmethod
    def read(
        cls,
        data: object,
        *,
        site: str = "x",
        like: Mapping[str, ArrayLike] | None = None,
        fresh: bool = True,
        covariate: bool = False,
    ) -> Observed:
        """Read text, booleans, whole numbers or declared categories.

        A column's levels are its distinct values, sorted, or those that its type declares, in
        their order; None, NaN and "" are missing.  ``coords["level"]`` runs over the levels of
        all features, ``arguments["levels"]`` counts them.

        Raises:
            InputError: fractional numbers, no rows or columns, other features than those of
                `like` or a level that it lacks; of data to fit also all-missing columns, columns
                of a single level, and identifiers: columns with a level for almost every row.

        Example:
            >>> read = Categories.read({"wet": ["yes", "no", ""], "size": [1, 3, 2]})
            >>> read.coords["level"].tolist(), read.arguments["levels"]
            (['wet=no', 'wet=yes', 'size=1', 'size=2', 'size=3'], (2, 3))
            >>> read.values.tolist()
            [[1.0, 0.0], [0.0, 2.0], [nan, 1.0]]
        """
        known = None if like is None else known_levels(like)
        if like is not None and known and "feature" not in like:
            like = {**like, "feature": list(known)}
        table = checks.read_table(data, site=site, like=like, fresh=fresh)
        codes, levels = [], {}
        for name in table.values_by_column:
            column, levels[name] = _read_column(table, name, site, known, fresh=fresh)
            codes.append(column)
        matrix = np.column_stack(codes)
        missing = missing_cells(matrix)
        values = np.where(missing, np.nan, matrix) if missing.any() else matrix
        result = checks.observed(values, table)
        names = [f"{name}={label}" for name, labels in levels.items() for label in labels]
        sizes = tuple(len(labels) for labels in levels.values())
        coords = {**result.coords, "level": np.array(names, dtype=str)}
        if known_levels(coords) != levels:
            raise InputError(
                f"names of columns and levels of {site} are ambiguous, as in "
                f"{checks.shown(names, 4)}: remove '=' from the column names"
            )
        return replace(result, coords=coords, arguments={**result.arguments, "levels": sizes})


def known_levels(like: Mapping[str, ArrayLike]) -> dict[str, list[str]] | None:
    """Labels by feature, taken apart again from coordinates such as "A=1", "A=2", "B=1".

    Example:
        >>> known_levels({"level": ["A=1", "A=2", "B=1"]})
        {'A': ['1', '2'], 'B': ['1']}
    """
    if "level" not in like:
        return None
    features = [str(name) for name in np.asarray(like.get("feature", [])).ravel()]
    labels: dict[str, list[str]] = {name: [] for name in features}
    for level in map(str, np.asarray(like["level"]).ravel()):
        # A feature's name may itself contain "=": the longest name that fits is the feature.
        fitting = [name for name in features if level.startswith(f"{name}=")]
        name = max(fitting, key=len) if fitting else level.partition("=")[0]
        labels.setdefault(name, []).append(level[len(name) + 1 :])
    return labels


def _read_column(
    table: Table, name: str, site: str, known: Mapping[str, list[str]] | None, *, fresh: bool
) -> tuple[np.ndarray, list[str]]:
    """Codes (row,), -1 where missing, and the labels of the levels."""
    where = checks.place(table, name, site)
    values = table.values_by_column[name]
    positions, distinct = pd.factorize(values)
    _refuse_fractions(positions, distinct, table, where, declared=name in table.levels_by_column)
    present = [_label(value) for value in distinct]
    if known is not None:
        labels = known[name]
    elif name in table.levels_by_column:
        labels = [_label(level) for level in table.levels_by_column[name]]
    else:
        labels = list(dict.fromkeys(_label(value) for value in sorted(distinct, key=_order)))
    labels = [label for label in labels if label != ""]
    code_of = {label: code for code, label in enumerate(labels)}
    unseen = np.array([label != "" and label not in code_of for label in present] + [False])
    if unseen.any():
        position = int(np.argmax(unseen[positions]))
        raise InputError(
            f"{where} holds '{_label(values[position])}' at "
            f"{checks.row(table.row_labels, position)}, a level that the fit has not seen: "
            f"its levels are {checks.shown(labels)}"
        )
    # The last entry stands for the missing: pd.factorize marks them by -1.
    code_of_distinct = np.array([code_of.get(label, -1) for label in present] + [-1])
    codes = code_of_distinct[positions].astype(np.int32)
    if fresh:
        _refuse_uninformative(codes, labels, where)
        if name not in table.levels_by_column:
            doubts.refuse_identifier(codes, labels, where)
            doubts.warn_of_missing_levels(labels, where)
            doubts.warn_of_missing_codes(labels, where)
    return codes, labels


def _refuse_fractions(
    positions: np.ndarray, distinct: np.ndarray, table: Table, where: str, *, declared: bool
) -> None:
    if declared:
        return
    for number, value in enumerate(distinct):
        if isinstance(value, Real | np.floating) and float(value) % 1 != 0:
            label = checks.row(table.row_labels, int(np.argmax(positions == number)))
            raise InputError(
                f"{where} holds {checks.number(float(value))} at {label}: categories are text or "
                "whole numbers, so drop the column or bin it"
            )


def _refuse_uninformative(codes: np.ndarray, labels: list[str], where: str) -> None:
    if missing_cells(codes).all():
        raise InputError(f"{where} is all missing: drop it or fill it in")
    if len(labels) == 1:
        raise InputError(f"{where} has the single level '{labels[0]}': drop it")


def _label(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, bool | np.bool) or not isinstance(value, Real):
        return str(value)
    return checks.number(float(value)) if isinstance(value, float | np.floating) else str(value)


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size, then everything else by its text."""
    if isinstance(value, Real | np.bool):
        return (0, float(value), "")
    return (1, 0.0, _label(value))
