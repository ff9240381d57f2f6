"""Split data into groups: all rows in one table, and the group of each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


class Split(NamedTuple):
    """Rows of all groups.

    Args:
        data: as ``fit`` takes them.
        group: the number of every row's group, ``(row,)``.
        labels: of the groups, in the order in which they first appear.
    """

    data: Any
    group: np.ndarray
    labels: np.ndarray


def split(data: Any, by: Any = None, *, columns: bool = False) -> Split:
    """Split data into groups.

    Args:
        data: a table with a column of labels, an AnnData, a dict of data by label, a list of data,
            or a table each of whose columns is a data set.
        by: name of the column of labels, or the labels ``(row,)``.
        columns: whether every column of a table is a data set; cells that are missing are none.

    Raises:
        InputError: no groups, a row without a label, or a column that is not there.
    """
    if columns:
        if by is not None:
            raise InputError(
                "give by= or columns=True: either rows have labels, or columns are groups"
            )
        return _of_columns(data)
    if by is None:
        return _of_several(data)
    rest, labels = _labelled(data, by)
    labels = np.asarray(labels)
    gone = np.array([v is None or v != v for v in labels.tolist()], bool)
    if gone.any():
        raise InputError(
            f"row {int(gone.argmax())} has no group label: give it one, or leave the row out"
        )
    count = _rows(rest)
    if labels.ndim != 1 or len(labels) != count:
        raise InputError(
            f"by has the shape {labels.shape}: give one label for each of {count} rows"
        )
    return Split(rest, *_numbered(labels))


def _rows(data: Any) -> int:
    if isinstance(data, Mapping):
        return _rows(next(iter(data.values())))
    shape = getattr(data, "shape", None)
    return int(shape[0]) if shape else len(data)


def _numbered(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the labels in the order of their first rows, and the labels."""
    numbers: dict[Any, int] = {}
    group = np.array([numbers.setdefault(v, len(numbers)) for v in labels.tolist()], int)
    kind = None if labels.dtype.kind != "O" else object
    named = np.array(list(numbers), dtype=kind)
    if named.dtype == object and all(isinstance(v, str) for v in named):
        named = named.astype(str)
    return group, named


def _labelled(data: Any, by: Any) -> tuple[Any, Any]:
    """The data without their labels, and the labels."""
    if not isinstance(by, str):
        return _frame_of_annotated(data), by
    if hasattr(data, "obs") and hasattr(data, "X"):
        known = list(data.obs.columns)
        if by in known:
            return _frame_of_annotated(data), data.obs[by].to_numpy()
    elif isinstance(data, Mapping):
        if by in data:
            return {n: v for n, v in data.items() if n != by}, data[by]
        known = list(data)
    elif hasattr(data, "columns"):
        known = list(data.columns)
        if by in known:
            rest = data.drop(by) if hasattr(data, "get_columns") else data.drop(columns=[by])
            return rest, data[by].to_numpy()
    else:
        raise InputError(
            f"by is {by!r}, and {type(data).__name__} has no named columns: give a data frame, or "
            "the labels themselves"
        )
    raise InputError(f"there is no column {by!r}: there are {', '.join(map(str, known))}")


def _frame_of_annotated(data: Any) -> Any:
    """The cells of an AnnData as a data frame; anything else as it is."""
    if not (hasattr(data, "obs") and hasattr(data, "X")):
        return data
    import pandas as pd

    cells = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    return pd.DataFrame(cells, index=data.obs_names.astype(str), columns=data.var_names.astype(str))


def _of_columns(data: Any) -> Split:
    labels = np.asarray(data.columns) if hasattr(data, "columns") else None
    cells = np.asarray(_frame_of_annotated(data) if labels is None else data)
    if labels is None and hasattr(data, "var_names"):
        labels = np.asarray(data.var_names.astype(str))
    if cells.ndim != 2 or cells.dtype.kind not in "iufb":
        raise InputError(
            "columns=True takes a table of numbers with two axes: every column a group"
        )
    labels = np.arange(cells.shape[1]) if labels is None else labels
    seen = ~missing_cells(cells).T
    group = np.repeat(np.arange(cells.shape[1]), seen.sum(1))
    return Split(cells.T[seen], group, labels)


def _of_several(data: Any) -> Split:
    if isinstance(data, Mapping):
        labels, parts = list(data), list(data.values())
    elif isinstance(data, list | tuple) and data and all(np.ndim(_first(v)) > 0 for v in data):
        labels, parts = list(range(len(data))), list(data)
    else:
        raise InputError(
            "these are no groups: give by= (the column of labels), a dict of data by label, a list "
            "of arrays, or columns=True where every column is a group"
        )
    if not parts:
        raise InputError("there are no groups: give at least one")
    sizes = [len(v) for v in parts]
    group = np.repeat(np.arange(len(parts)), sizes)
    names, count = np.array(labels), len(labels)
    if names.shape != (count,):
        names = np.array([str(v) for v in labels])
    return Split(_joined(parts), group, names)


def _first(value: Any) -> Any:
    return value if hasattr(value, "shape") or isinstance(value, list | tuple) else 0


def _joined(parts: list[Any]) -> Any:
    if all(hasattr(v, "iloc") for v in parts):
        import pandas as pd

        return pd.concat(parts, ignore_index=True)
    if all(hasattr(v, "shape") for v in parts):
        widths = {np.shape(v)[1:] for v in parts}
        if len(widths) > 1:
            raise InputError(
                f"groups have rows of different shapes, {sorted(widths)}: give all the same columns"
            )
        return np.concatenate([np.asarray(v) for v in parts])
    return [row for part in parts for row in part]
