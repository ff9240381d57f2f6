"""One table for a program with several data kinds: columns are assigned by their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ppl_models.data.containers.tables import Table, as_table
from ppl_models.data.kinds import Bits, Categories, Counts, Kind, Reals
from ppl_models.data.kinds.several import own_labels
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError

#: what a column's cells may be distributed as, and the kind of data that it then is
TYPES: dict[str, type[Kind]] = {
    "normal": Reals,
    "poisson": Counts,
    "categorical": Categories,
    "bernoulli": Bits,
}
SKIP = "skip"
COLUMNS = "columns by type"  #: how a fit's note begins that says which is which
MOST_CODES = 10  #: so many different whole numbers, none of which is 0, are codes
ROWS_PER_CODE = 5  #: if each is seen so often, on average
LARGE_MEAN = 20.0  #: a Poisson distribution of this mean is nearly normal


def type_of(column: np.ndarray, declared: bool = False) -> str | None:
    """The type of a column's cells; None of dates and complex numbers.

    Text, declared categories and codes (up to ten different whole numbers that begin above 0) are
    "categorical"; booleans, and zeros and ones, "bernoulli"; other whole numbers from 0 up with a
    mean below 20 "poisson"; all other numbers "normal". Missing cells say nothing.

    Args:
        column: ``(row,)``.
        declared: whether the column's type declares its levels.

    >>> [type_of(np.array(column)) for column in ([1.5, 2.0], [0, 3], [0, 1], ["a", "b"])]
    ['normal', 'poisson', 'bernoulli', 'categorical']
    """
    if declared:
        return "categorical"
    if column.dtype.kind in "mMc":
        return None
    if column.dtype.kind in "UST":
        return "categorical"
    if column.dtype.kind == "O":
        seen = [cell for cell in column if cell is not None]
        bits = len(seen) > 0 and all(isinstance(cell, bool | np.bool) for cell in seen)
        return "bernoulli" if bits else "categorical"
    numbers = column.astype(float)
    numbers = numbers[~missing_cells(numbers)]
    if len(numbers) and np.isin(numbers, (0, 1)).all():
        return "bernoulli"
    if not len(numbers) or (numbers < 0).any() or (numbers != np.floor(numbers)).any():
        return "normal"
    different = len(np.unique(numbers))
    if numbers.min() > 0 and different <= min(MOST_CODES, len(numbers) / ROWS_PER_CODE):
        return "categorical"
    return "poisson" if numbers.mean() < LARGE_MEAN else "normal"


def dealt_parameters(marked: Mapping[str, type[Kind]]) -> dict[str, str]:
    """Type -> data parameter, of those that take the columns of one table.

    >>> dealt_parameters({"x": Reals, "y": Counts})
    {'normal': 'x', 'poisson': 'y'}
    """
    return {t: n for t, kind in TYPES.items() for n, k in marked.items() if k is kind}


def deal(
    data: Any,
    marked: Mapping[str, type[Kind]],
    types: Any = None,
    like: Mapping[str, Any] | None = None,
) -> dict[str, pd.DataFrame]:
    """The columns of a table by data parameter, each as a table of its own.

    Args:
        data: any container of rows and columns.
        marked: the data parameters that take columns by their type, and the kind of each.
        types: column -> type, or "skip", where it is not to be that of its cells.
        like: coordinates of an earlier reading: columns go where they went then, others are left.

    Raises:
        InputError: no such column or type, a column of dates, or no columns left.

    >>> tables = deal({"age": [30.5, 20.0], "ill": [True, False]}, {"x": Reals, "y": Bits})
    >>> {name: list(table.columns) for name, table in tables.items()}
    {'x': ['age'], 'y': ['ill']}
    """
    table = as_table(data, site="the table")
    if like is not None:
        return _as_before(table, marked, like)
    chosen = _types(table, marked, types)
    places = dealt_parameters(marked)
    dealt = {
        place: _frame(table, [n for n, t in chosen.items() if t == name])
        for name, place in places.items()
        if name in chosen.values()
    }
    if not dealt:
        raise InputError("no column of the table is left: skip fewer of them")
    return {name: dealt[name] for name in marked if name in dealt}


def _types(table: Table, marked: Mapping[str, type[Kind]], types: Any) -> dict[str, str]:
    """Type of every column, from its cells or as declared by the user."""
    if not isinstance(types or {}, Mapping):
        raise InputError(f"types is {types!r}: give a dict, as in types={{'age': 'normal'}}")
    types_by_column = {str(name): str(called) for name, called in dict(types or {}).items()}
    allowed = [*dealt_parameters(marked), SKIP]
    for name, wanted in types_by_column.items():
        if name not in table.values_by_column:
            raise InputError(
                f"types names the column '{name}', which the table lacks: it has "
                f"{_listed(list(table.values_by_column))}"
            )
        if wanted not in allowed:
            raise InputError(
                f"types gives column '{name}' the type {wanted!r}: choose one of {_listed(allowed)}"
            )
    chosen: dict[str, str] = {}
    for name, column in table.values_by_column.items():
        called: str | None = types_by_column.get(name) or type_of(
            column, name in table.levels_by_column
        )
        if called is None:
            what = "dates or times" if column.dtype.kind in "mM" else "complex numbers"
            raise InputError(
                f"column '{name}' holds {what}, which have no type here: encode them as numbers, "
                f"or leave the column out by types={{'{name}': '{SKIP}'}}"
            )
        if called not in allowed:
            raise InputError(
                f"column '{name}' is {called}, and the program takes no such columns: choose one "
                f"of {_listed(allowed)} by types={{'{name}': ...}}"
            )
        chosen[name] = called
    return chosen


def _as_before(
    table: Table, marked: Mapping[str, type[Kind]], like: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """The columns of an earlier table, in their earlier positions."""
    dealt = {}
    for name in marked:
        if f"{name}_feature" not in like:
            continue
        columns = [str(n) for n in own_labels(like, name)["feature"]]
        for column in columns:
            if column not in table.values_by_column:
                raise InputError(
                    f"the table lacks the column '{column}' of the fit: give it too, empty (NaN) "
                    "where it is not known"
                )
        dealt[name] = _frame(table, columns)
    return dealt


def _frame(table: Table, columns: Sequence[str]) -> pd.DataFrame:
    """Some columns, with the rows' labels and the levels that they declare."""
    cells: dict[str, Any] = {}
    for name in columns:
        values, levels = table.values_by_column[name], table.levels_by_column.get(name)
        if levels is not None:
            cells[name] = pd.Categorical(values, categories=list(levels))
        elif values.dtype.kind == "O" and type_of(values) == "bernoulli":
            cells[name] = np.array([np.nan if cell is None else cell for cell in values], float)
        else:
            cells[name] = values
    return pd.DataFrame(cells, index=pd.Index(table.row_labels))


def columns_told(observed: Mapping[str, Any], marked: Mapping[str, type[Kind]]) -> str:
    """Which columns are of which type, in a sentence.

    Args:
        observed: the data by data parameter, read.
        marked: those that take columns by their type.
    """
    parts = [
        f"{called}: {', '.join(map(str, observed[name].coords[f'{name}_feature']))}"
        for called, name in dealt_parameters(marked).items()
        if name in observed
    ]
    return f"{COLUMNS}: {'; '.join(parts)} (types= of fit says otherwise)"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
