"""Columns of the data that are no features: the rows' weights or their known clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl_models.errors import InputError


def take_column(data: Any, name: str, option: str, otherwise: str) -> tuple[Any, Any]:
    """The data without a column, and the column.

    Args:
        data: as ``fit`` takes them.
        name: of the column.
        option: of ``fit`` that names it, for the message.
        otherwise: what else may be given, for the message.

    Raises:
        InputError: no such column, or one in several tables.

    >>> import pandas as pd
    >>> rest, column = take_column(pd.DataFrame({"x": [1, 2], "n": [3, 4]}), "n", "weights", "")
    >>> list(rest.columns), column.tolist()
    (['x'], [3, 4])
    """
    if isinstance(data, Mapping):
        holders = [site for site, table in data.items() if _has(table, name)]
        if len(holders) == 1:
            rest, column_values = take_column(data[holders[0]], name, option, otherwise)
            return {**data, holders[0]: rest}, column_values
    elif _has(data, name):
        others = [column for column in data.columns if column != name]
        return data[others], data[name].to_numpy()
    columns = getattr(data, "columns", None)
    there = (
        "the data are no table with columns"
        if columns is None
        else (f"the columns are {', '.join(map(str, columns))}")
    )
    raise InputError(f"{option} is {name!r}, and {there}: {otherwise}")


def _has(table: Any, name: str) -> bool:
    columns = getattr(table, "columns", None)
    return columns is not None and name in list(columns)
