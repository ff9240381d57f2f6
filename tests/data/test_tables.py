"""From containers to columns: types of cells, names, and what is no table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

from ppl_models.data import as_table
from ppl_models.data.containers.columns import labels_from_index, plain
from ppl_models.errors import InputError


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        ([1, 2], np.int64, [1, 2]),
        ([1, 2.5], np.float64, [1.0, 2.5]),
        ([1, None], np.float64, [1.0, np.nan]),
        ([None, None], np.float64, [np.nan, np.nan]),
        ([True, False], np.bool_, [True, False]),
        ([True, None], object, [True, None]),
        (["a", np.nan], object, ["a", None]),
        (["a", pd.NA], object, ["a", None]),
        (["a", pd.NaT], object, ["a", None]),
        ([1, "a"], object, [1, "a"]),
        ([2**70, 1], np.float64, [2.0**70, 1.0]),
    ],
)
def test_plain_cells(cells: list, dtype: type, expected: list) -> None:
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    result = plain(values)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.array(expected, dtype=dtype))


def test_plain_leaves_the_given_array_alone() -> None:
    values = np.array(["a", np.nan], dtype=object)
    plain(values)
    assert isinstance(values[1], float)
    cells = np.ma.MaskedArray([1.0, 2.0], mask=[True, False])
    plain(cells)
    assert cells.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ma.MaskedArray([1, 2], mask=[False, True]), [1.0, np.nan]),
        (np.ma.MaskedArray([1, 2], mask=[False, False]), [1, 2]),
        (np.ma.MaskedArray(["u", "v"], mask=[False, True]), ["u", None]),
        (np.ma.MaskedArray([True, False], mask=[True, False]), [None, False]),
    ],
)
def test_masked_cells_are_missing(values: np.ma.MaskedArray, expected: list) -> None:
    np.testing.assert_array_equal(plain(values), np.array(expected))


def test_masked_dates_stay_dates() -> None:
    days = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    result = plain(np.ma.MaskedArray(days, mask=[True, False]))
    assert result.dtype.kind == "M" and np.isnat(result).tolist() == [True, False]


def test_names_that_came_with_the_data_are_told_from_made_up_ones() -> None:
    assert as_table(pd.DataFrame({"a": [1]})).named
    assert not as_table(pd.DataFrame([[1, 2]])).named
    assert not as_table(np.ones((2, 2))).named
    assert list(as_table(np.ones((2, 2))).values_by_column) == ["0", "1"]
    assert as_table(pd.Series([1], name="a")).named
    assert not as_table(pd.Series([1])).named


def test_one_dimension() -> None:
    for data in ([1, 2], (1, 2), np.array([1, 2]), pd.Series([1, 2]), pl.Series([1, 2])):
        table = as_table(data)
        assert table.was_one_dimensional
        assert table.values_by_column["0"].tolist() == [1, 2]
    assert not as_table([[1], [2]]).was_one_dimensional


def test_names_are_text() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("u", 1), ("v", 2)]))
    assert list(as_table(frame).values_by_column) == ["u, 1", "v, 2"]
    assert list(as_table({1: [0], 2: [0]}).values_by_column) == ["1", "2"]


def test_whatever_numpy_can_turn_into_an_array() -> None:
    class Wrapped:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return np.array([[1.0, 2.0]])

    assert as_table(Wrapped()).values_by_column["1"].tolist() == [2.0]


def test_labels_of_categorical_index() -> None:
    assert labels_from_index(pd.CategoricalIndex(["u", "v"])).tolist() == ["u", "v"]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: [[1, 2], [3]], "^row 1 of x has 1 cells where row 0 has 2: give rows of one length"),
    (lambda: [[1, 2], 3], "^row 1 of x is not a list as other rows are"),
    (lambda: [[1, [2]], [3, 4]], "^row 0 of x holds lists in its cells"),
    (lambda: [{"a": 1}], "^x is a list of dict objects: give an array, a list of rows"),
    (lambda: {"a": 1}, "^column 'a' of x is a single value: give one per row"),
    (lambda: {"a": "text"}, "^column 'a' of x is a single value"),
    (lambda: {"a": np.array(3)}, "^column 'a' of x is a single value"),
    (
        lambda: {"a": np.ones((2, 2))},
        r"^column 'a' of x has shape \(2, 2\): give one value per row",
    ),
    (lambda: {"a": [1, 2], "b": [1]}, "^column 'b' of x has 1 rows where 'a' has 2"),
    (lambda: {1: [1], "1": [2]}, "^x has two columns named '1': rename one"),
    (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "^x has two columns named 'a'"),
    (lambda: xr.Dataset({"a": (("u", "v"), np.ones((2, 2)))}), "^variable 'a' of x has dimensions"),
    (lambda: xr.Dataset({"a": ("u", [1]), "b": ("v", [1])}), r"^x has variables over \['u', 'v'\]"),
    (lambda: xr.DataArray(np.ones((1, 1, 2))), "^x has 3 dimensions"),
    (lambda: np.float64(1.0), "^x is a single value: give an array"),
    (lambda: {1, 2}, "^x is a set, not data"),
    (lambda: iter([1, 2]), "^x is a list_iterator, not data"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_refusals(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_table(build())
