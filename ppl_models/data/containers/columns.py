"""One column of cells from any container, as numbers or as objects.

Neither polars nor xarray is imported: an object can only be one of theirs if somebody else
has imported them.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd


def is_a(data: object, module: str, name: str) -> bool:
    """Whether data is an instance of a class of a module that need not be imported."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(data, getattr(loaded, name))


def labels_from_index(index: pd.Index) -> np.ndarray:
    """Row labels that a file can hold; positions instead of labels that repeat or are missing.

    Positions come with a warning: to join by them would give rows the results of others, as of
    frames that were concatenated and count their rows from 0 each.
    """
    if isinstance(index, pd.MultiIndex):
        index = pd.Index([", ".join(map(str, label)) for label in index], dtype=object)
    if index.hasnans:
        return _positions(index, "a label is missing in it")
    if not index.is_unique:
        return _positions(index, f"{index[index.duplicated()][0]!s} is in it twice")
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in "iufM":
        return index.to_numpy()
    if pd.api.types.is_integer_dtype(index.dtype):  # of pandas' or Arrow's own, without gaps
        return index.to_numpy(dtype=np.int64)
    labels = np.array([str(label) for label in index], dtype=str)
    if len(np.unique(labels)) == len(labels):
        return labels
    return _positions(index, "two of its labels are written alike")


def _positions(index: pd.Index, what: str) -> np.ndarray:
    warnings.warn(
        f"the index does not identify the rows ({what}): rows are numbered from 0 instead, and "
        "results cannot be joined on the index: give data.reset_index(drop=True), or unique labels",
        UserWarning,
        stacklevel=2,
    )
    return np.arange(len(index))


def plain(array: np.ndarray) -> np.ndarray:
    """A 1-D array as numbers with NaN where that loses nothing, else as objects with None.

    Example:
        >>> plain(np.array([1, None], dtype=object))
        array([ 1., nan])
    """
    if isinstance(array, np.ma.MaskedArray):
        array = _without_mask(array)
    if array.dtype.kind in "biufcMm":
        return array
    values = array.astype(object)
    missing = np.asarray(pd.isna(values))
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred == "boolean" and not missing.any():
        return values.astype(bool)
    if inferred in {"integer", "floating", "mixed-integer-float", "empty"}:
        return _numbers(values, missing, integers=inferred == "integer")
    values[missing] = None
    return values


def _without_mask(array: np.ma.MaskedArray) -> np.ndarray:
    masked = np.ma.getmaskarray(array)
    if not masked.any():
        return np.asarray(array.data)
    if array.dtype.kind in "Mm":
        filled, missing = array.data.copy(), np.array("NaT", dtype=array.dtype)
    elif array.dtype.kind in "iuf":
        filled, missing = array.data.astype(np.float64), np.array(np.nan)
    else:
        filled, missing = array.data.astype(object), np.array(None)
    filled[masked] = missing
    return filled


def _numbers(values: np.ndarray, missing: np.ndarray, *, integers: bool) -> np.ndarray:
    if integers and not missing.any():
        limits = np.iinfo(np.int64)
        fits = limits.min <= min(values) and max(values) <= limits.max
        return values.astype(np.int64 if fits else np.float64)
    return np.where(missing, np.nan, values).astype(np.float64)


def plain_column(values: Any) -> tuple[np.ndarray, tuple[object, ...] | None]:
    """One column's plain values, and its levels where its type declares them."""
    if isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        levels = None
        if isinstance(values.dtype, pd.CategoricalDtype):
            levels = tuple(values.dtype.categories)
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "biufcMm":
            return np.asarray(values), None
        return plain(np.asarray(values, dtype=object)), levels
    if is_a(values, "polars", "Series"):
        is_enumeration = is_a(values.dtype, "polars", "Enum")
        levels = tuple(values.dtype.categories) if is_enumeration else None
        return plain(values.to_numpy()), levels
    if isinstance(values, np.ndarray):
        return plain(values), None
    if isinstance(values, list | tuple):
        return plain(objects(values)), None
    return plain(np.asarray(values)), None


def objects(cells: list | tuple) -> np.ndarray:
    """A list as a 1-D object array."""
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values
