"""Any container of rows as a plain `Table`, before cells are interpreted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ppl_models.data.containers.columns import is_a, labels_from_index, objects, plain, plain_column
from ppl_models.errors import InputError

CONTAINERS = (
    "an array, a list of rows, a dict of columns, or a pandas, polars, Arrow, AnnData, sparse or "
    "xarray object"
)


@dataclass(frozen=True)
class Table:
    """Columns of equal length with names, and labels of the rows.

    Attributes:
        values_by_column: 1-D arrays (row,).  A missing cell is NaN in a column of numbers and
            None in a column of objects.
        row_labels: labels (row,), distinct: integers, floats, dates or strings.
        was_one_dimensional: the container had no axis for columns.
        named: the column names came with the data, rather than being "0", "1", ...
        levels_by_column: distinct values in their order, of columns that declare them.
        block: the columns as one array of numbers (row, column), where the container had one.

    Example:
        >>> table = as_table({"a": [1, None]})
        >>> table.values_by_column, table.named
        ({'a': array([ 1., nan])}, True)
    """

    values_by_column: dict[str, np.ndarray]
    row_labels: np.ndarray
    was_one_dimensional: bool = False
    named: bool = False
    levels_by_column: dict[str, tuple[object, ...]] = field(default_factory=dict)
    block: np.ndarray | None = None


def as_table(data: Any, *, site: str = "x") -> Table:
    """Turn a container into a `Table`.

    Args:
        data: numpy array (1-D, 2-D, masked or structured), pandas or polars frame or series,
            Arrow table, AnnData (its X), SciPy sparse matrix, xarray DataArray (rows first) or
            Dataset (a variable is a column), dict of column name to 1-D array, list of rows, or
            anything numpy can turn into an array.
        site: name for the data in messages.

    Raises:
        InputError: an unknown container, more than two dimensions, or unequal lengths.

    Example:
        >>> as_table([[1, "a"], [2, None]]).values_by_column["1"]
        array(['a', None], dtype=object)
    """
    if isinstance(data, pd.DataFrame):
        return _from_frame(data, site)
    if isinstance(data, pd.Series):
        return _from_series(data)
    if is_a(data, "polars", "LazyFrame"):
        data = data.collect()
    if is_a(data, "polars", "DataFrame"):
        return _from_mapping({name: data[name] for name in data.columns}, site)
    if is_a(data, "polars", "Series"):
        column, levels = plain_column(data)
        return _single(column, data.name or None, levels)
    if is_a(data, "pyarrow", "Table"):
        return _from_frame(data.to_pandas(), site)
    if is_a(data, "anndata", "AnnData"):
        return _from_anndata(data, site)
    if is_a(data, "scipy.sparse", "spmatrix") or is_a(data, "scipy.sparse", "sparray"):
        return _from_array(data.toarray(), site)  # zeros are values: counts of nothing
    if is_a(data, "xarray", "DataArray"):
        return _from_data_array(data, site)
    if is_a(data, "xarray", "Dataset"):
        return _from_dataset(data, site)
    if isinstance(data, Mapping):
        return _from_mapping(data, site)
    if isinstance(data, list | tuple):
        return _from_list(data, site)
    if hasattr(data, "__array__"):
        return _from_array(data if isinstance(data, np.ndarray) else np.asarray(data), site)
    more = "; of blocks of rows, open_blocks(...)" if isinstance(data, Iterable) else ""
    raise InputError(f"{site} is a {type(data).__name__}, not data: give {CONTAINERS}{more}")


def _single(column: np.ndarray, name: object, levels: tuple[object, ...] | None) -> Table:
    key = "0" if name is None else str(name)
    return Table(
        {key: column},
        np.arange(len(column)),
        was_one_dimensional=True,
        named=name is not None,
        levels_by_column={} if levels is None else {key: levels},
    )


def _from_series(series: pd.Series) -> Table:
    column, levels = plain_column(series)
    table = _single(column, series.name, levels)
    return replace(table, row_labels=labels_from_index(series.index))


def _from_frame(frame: pd.DataFrame, site: str) -> Table:
    names = [
        ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
        for name in frame.columns
    ]
    _refuse_repeated(names, site)
    columns = {name: frame.iloc[:, position] for position, name in enumerate(names)}
    labels = labels_from_index(frame.index)
    return _from_columns(columns, labels, named=not isinstance(frame.columns, pd.RangeIndex))


def _from_columns(columns: Mapping[str, Any], labels: np.ndarray, *, named: bool) -> Table:
    values, levels_by_column = {}, {}
    for name, column in columns.items():
        values[name], levels = plain_column(column)
        if levels is not None:
            levels_by_column[name] = levels
    return Table(values, labels, named=named, levels_by_column=levels_by_column)


def _from_mapping(mapping: Mapping, site: str) -> Table:
    columns = {str(name): column for name, column in mapping.items()}
    _refuse_repeated([str(name) for name in mapping], site)
    lengths = {}
    for name, column in columns.items():
        shape = np.shape(column) if hasattr(column, "shape") else None
        if isinstance(column, str | bytes) or not hasattr(column, "__len__") or shape == ():
            raise InputError(f"column '{name}' of {site} is a single value: give one per row")
        if shape is not None and len(shape) != 1:
            raise InputError(f"column '{name}' of {site} has shape {shape}: give one value per row")
        lengths[name] = len(column)
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise InputError(
                f"column '{name}' of {site} has {length} rows where '{first}' has "
                f"{lengths[first]}: give columns of one length"
            )
    return _from_columns(columns, np.arange(lengths.get(first, 0)), named=True)


def _from_list(rows: list | tuple, site: str) -> Table:
    nested = [_is_listlike(row) for row in rows]
    if not any(nested):
        if rows and isinstance(rows[0], Mapping | pd.Series | pd.DataFrame | set):
            raise InputError(
                f"{site} is a list of {type(rows[0]).__name__} objects: give {CONTAINERS}"
            )
        return _single(plain(objects(rows)), None, None)
    if not all(nested):
        raise InputError(f"row {nested.index(False)} of {site} is not a list as other rows are")
    width = len(rows[0])
    for position, row in enumerate(rows):
        if len(row) != width:
            raise InputError(
                f"row {position} of {site} has {len(row)} cells where row 0 has {width}: "
                "give rows of one length, None for a missing cell"
            )
        if any(map(_is_listlike, row)):
            raise InputError(f"row {position} of {site} holds lists in its cells: give one value")
    columns = {str(d): [row[d] for row in rows] for d in range(width)}
    return _from_columns(columns, np.arange(len(rows)), named=False)


def _is_listlike(value: object) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _from_array(array: np.ndarray, site: str, names: list[str] | None = None) -> Table:
    if array.dtype.names is not None and array.ndim == 1:
        return _from_mapping({name: array[name] for name in array.dtype.names}, site)
    if array.ndim == 1:
        return _single(plain(array), None, None)
    if array.ndim == 0:
        raise InputError(f"{site} is a single value: give {CONTAINERS}")
    if array.ndim != 2:
        raise InputError(
            f"{site} has {array.ndim} dimensions (shape {array.shape}): give rows and columns"
        )
    keys = [str(d) for d in range(array.shape[1])] if names is None else names
    _refuse_repeated(keys, site)
    masked = isinstance(array, np.ma.MaskedArray)
    array = array if masked else np.asarray(array)
    block = array if array.dtype.kind in "biuf" and not masked else None
    values = {key: plain(array[:, d]) for d, key in enumerate(keys)}
    labels = np.arange(array.shape[0])
    return Table(values, labels, named=names is not None, block=block)


def _from_anndata(data: Any, site: str) -> Table:
    """The matrix X, with the names of observations and variables."""
    if data.X is None:
        raise InputError(f"{site} is an AnnData without X: give adata.layers[...] or adata.to_df()")
    matrix = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    table = _from_array(matrix, site, [str(name) for name in data.var_names])
    return replace(table, row_labels=labels_from_index(data.obs_names))


def _from_data_array(data: Any, site: str) -> Table:
    if data.ndim == 2 and (data.dims[1] == "row" or data.dims[0] == "feature"):
        data = data.transpose()
    names = None
    if data.ndim == 2 and data.dims[1] in data.indexes:
        names = [str(name) for name in data.indexes[data.dims[1]]]
    table = _from_array(data.values, site, names)
    if data.ndim == 1 and data.name is not None:
        table = replace(table, values_by_column={str(data.name): table.values_by_column["0"]})
    index = data.indexes.get(data.dims[0])
    return table if index is None else replace(table, row_labels=labels_from_index(index))


def _from_dataset(data: Any, site: str) -> Table:
    for name, variable in data.data_vars.items():
        if variable.ndim != 1:
            raise InputError(
                f"variable '{name}' of {site} has dimensions {variable.dims}: "
                "give variables over rows alone"
            )
    dimensions = sorted({str(variable.dims[0]) for variable in data.data_vars.values()})
    if len(dimensions) > 1:
        raise InputError(f"{site} has variables over {dimensions}: give variables over one")
    table = _from_mapping({name: v.values for name, v in data.data_vars.items()}, site)
    index = data.indexes.get(dimensions[0]) if dimensions else None
    return table if index is None else replace(table, row_labels=labels_from_index(index))


def _refuse_repeated(names: list[str], site: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{site} has two columns named '{name}': rename one")
        seen.add(name)
