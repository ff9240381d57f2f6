"""Measurements, bits and counts: containers that mean the same, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

from ppl_models.data import Bits, Counts, Kind, Reals
from ppl_models.errors import InputError

EXPECTED = np.array([[1.0, 0.0], [0.0, np.nan], [1.0, 1.0]])
NAMES = ["a", "b"]
COLUMNS: dict[str, list] = {"a": [1, 0, 1], "b": [0, None, 1]}


def data_array() -> xr.DataArray:
    return xr.DataArray(EXPECTED, dims=("row", "feature"), coords={"feature": NAMES})


def masked(dtype: type) -> np.ma.MaskedArray:
    return np.ma.MaskedArray(np.nan_to_num(EXPECTED).astype(dtype), mask=np.isnan(EXPECTED))


# (build, whether the container carries column names)
CONTAINERS: dict[str, tuple[Callable[[], object], bool]] = {
    "array": (lambda: EXPECTED, False),
    "float32": (lambda: EXPECTED.astype(np.float32), False),
    "Fortran order": (lambda: np.asfortranarray(EXPECTED), False),
    "array of objects": (lambda: EXPECTED.astype(object), False),
    "masked floats": (lambda: masked(float), False),
    "masked integers": (lambda: masked(np.int8), False),
    "masked bits": (lambda: masked(bool), False),
    "structured": (
        lambda: np.array([(1, 0.0), (0, np.nan), (1, 1.0)], dtype=[("a", int), ("b", float)]),
        True,
    ),
    "list of lists": (lambda: [[1, 0], [0, None], [1, 1]], False),
    "tuple of tuples": (lambda: ((True, 0), (False, float("nan")), (1.0, 1)), False),
    "list of arrays": (lambda: list(EXPECTED), False),
    "decimals": (lambda: [[Decimal(1), 0], [0, None], [1, 1]], False),
    "dict of lists": (lambda: COLUMNS, True),
    "dict of arrays": (lambda: {"a": EXPECTED[:, 0], "b": EXPECTED[:, 1]}, True),
    "dict of series": (
        lambda: {"a": pd.Series([1, 0, 1]), "b": pl.Series([False, None, True])},
        True,
    ),
    "pandas": (lambda: pd.DataFrame(EXPECTED, columns=NAMES), True),
    "pandas Int64": (lambda: pd.DataFrame(COLUMNS, dtype="Int64"), True),
    "pandas Float32": (lambda: pd.DataFrame(COLUMNS, dtype="Float32"), True),
    "pandas boolean": (lambda: pd.DataFrame(COLUMNS, dtype="boolean"), True),
    "pandas objects": (lambda: pd.DataFrame(COLUMNS, dtype=object), True),
    "polars": (lambda: pl.DataFrame(COLUMNS), True),
    "polars lazy": (lambda: pl.LazyFrame(COLUMNS), True),
    "polars booleans": (lambda: pl.DataFrame(COLUMNS).cast(pl.Boolean), True),
    "xarray": (data_array, True),
    "xarray, turned": (lambda: data_array().transpose("feature", "row"), True),
    "xarray Dataset": (lambda: data_array().to_dataset("feature"), True),
}


@pytest.mark.parametrize("kind", [Reals, Bits, Counts])
@pytest.mark.parametrize("container", CONTAINERS)
def test_all_containers_mean_the_same(kind: type[Kind], container: str) -> None:
    build, named = CONTAINERS[container]
    read = kind.read(build())
    np.testing.assert_array_equal(read.values, EXPECTED)
    assert read.values.dtype == np.float64
    assert read.dims == ("row", "feature")
    assert read.coords["feature"].tolist() == (NAMES if named else ["0", "1"])
    assert read.coords["row"].tolist() == [0, 1, 2]
    assert read.arguments == {"rows": 3, "features": 2}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ([3, 0, 5], "0"),
        ([[3], [0], [5]], "0"),
        (np.array([3.0, 0.0, 5.0]), "0"),
        (np.array([[3], [0], [5]]), "0"),
        (pd.Series([3, 0, 5], name="n"), "n"),
        (pd.Series([3, 0, 5], dtype="UInt8"), "0"),
        (pd.DataFrame({"n": [3, 0, 5]}), "n"),
        (pl.Series("n", [3, 0, 5]), "n"),
        (xr.DataArray([3, 0, 5], dims="year", name="n"), "n"),
        (xr.Dataset({"n": ("year", [3, 0, 5])}), "n"),
    ],
)
@pytest.mark.parametrize("kind", [Reals, Counts])
def test_a_single_column_loses_its_axis(kind: type[Kind], data: object, name: str) -> None:
    read = kind.read(data)
    assert read.dims == ("row",) and read.values.tolist() == [3, 0, 5]
    assert read.coords["feature"].tolist() == [name]
    assert read.arguments == {"rows": 3, "features": 1}


def test_types_of_complete_data() -> None:
    cells = [[1, 0], [0, 1]]
    assert Reals.read(cells).values.dtype == np.float64
    assert Counts.read(cells).values.dtype == np.int32
    assert Bits.read(cells).values.dtype == np.uint8
    assert Bits.read([True, False]).values.tolist() == [1, 0]
    assert not Bits.read(cells).has_missing


@pytest.mark.parametrize(
    ("index", "labels"),
    [
        (["Anna", "Bert", "Cleo"], ["Anna", "Bert", "Cleo"]),
        ([1900, 1901, 1902], [1900, 1901, 1902]),
        (pd.array([1900, 1901, 1902], dtype="Int64"), [1900, 1901, 1902]),
        ([("u", 1), ("u", 2), ("v", 1)], ["u, 1", "u, 2", "v, 1"]),
    ],
)
def test_row_labels(index: list, labels: list) -> None:
    labelled = pd.Series([1, 2, 3], index=pd.Index(index))
    assert Reals.read(labelled).coords["row"].tolist() == labels
    assert Reals.read(labelled.to_frame("a")).coords["row"].tolist() == labels


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ([0, 1, 0], "0 is in it twice"),
        (["u", None, "v"], "a label is missing"),
        ([1, "1", 2], "written alike"),
    ],
)
def test_rows_of_labels_that_repeat_are_numbered_with_a_warning(index: list, reason: str) -> None:
    """To join on them would give rows the results of others: the frames of two files do so."""
    labelled = pd.Series([1, 2, 3], index=pd.Index(index, dtype=object))
    for data in (labelled, labelled.to_frame("a")):
        with pytest.warns(UserWarning, match=f"{reason}.* cannot be joined on the index"):
            assert Reals.read(data).coords["row"].tolist() == [0, 1, 2]


def test_labels_of_xarray_rows() -> None:
    years = xr.DataArray([1.0, 2.0], dims="year", coords={"year": [1900, 1901]})
    assert Reals.read(years).coords["row"].tolist() == [1900, 1901]
    assert Reals.read(years.to_dataset(name="a")).coords["row"].tolist() == [1900, 1901]


def test_dates_as_labels_stay_dates() -> None:
    days = pd.date_range("2020-01-01", periods=2)
    labels = Reals.read(pd.Series([1, 2], index=days)).coords["row"]
    assert labels.dtype.kind == "M"


def test_unnamed_new_rows_are_taken_in_order() -> None:
    like = {"feature": ["a", "b"]}
    read = Reals.read([[1, 2]], like=like, fresh=False)
    assert read.values.tolist() == [[1, 2]] and read.coords["feature"].tolist() == ["a", "b"]
    frame = pd.DataFrame([[1, 2]])
    assert Reals.read(frame, like=like, fresh=False).coords["feature"].tolist() == ["a", "b"]


def test_a_series_may_bring_a_name_to_a_feature_without() -> None:
    series = pd.Series([1.0], name="waiting")
    assert Reals.read(series, like={"feature": ["0"]}, fresh=False).values.tolist() == [1.0]
    with pytest.raises(InputError, match="x lacks the column 'eruptions'"):
        Reals.read(series, like={"feature": ["eruptions"]}, fresh=False)


# (kinds, build, message)
ALL = (Reals, Bits, Counts)
REFUSED: list[tuple[tuple[type[Kind], ...], Callable[[], object], str]] = [
    (
        (Reals, Counts),
        lambda: {"a": [1, 2], "species": ["setosa", "virginica"]},
        r"^column 'species' of x holds text \('setosa' at row 0\): drop it or encode it as num",
    ),
    ((Bits,), lambda: {"a": ["yes", "no"]}, r"\('yes' at row 0\): drop it or encode it as 0 and 1"),
    (ALL, lambda: [[1, 0], [0, "?"]], r"^column '1' of x holds text \('\?' at row 1\)"),
    (ALL, lambda: [1, "0"], r"^x holds text \('0' at row 1\)"),
    (
        ALL,
        lambda: np.array([["1", "0"], ["0", "1"]]),
        r"column '0' of x holds text \('1' at row 0\)",
    ),
    (
        ALL,
        lambda: pd.DataFrame({"a": [1, 0], "b": ["u", "v"]}, index=["Anna", "Bert"]),
        r"column 'b' of x holds text \('u' at row 'Anna'\)",
    ),
    (ALL, lambda: pl.DataFrame({"b": [None, "v"]}), r"column 'b' of x holds text \('v' at row 1\)"),
    (
        ALL,
        lambda: pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2020-01-02"])}),
        r"column 'day' of x holds dates or durations \(2020-01-01",
    ),
    (
        ALL,
        lambda: pd.DataFrame({"day": pd.to_datetime(["2020-01-01", None], utc=True)}),
        r"column 'day' of x holds values of type Timestamp",
    ),
    (ALL, lambda: np.array([[1 + 2j], [0]]), r"column '0' of x holds values of type complex"),
    (
        (Reals,),
        lambda: [[1, 2], [3, -np.inf]],
        "^column '1' of x holds -inf at row 1: drop the row",
    ),
    ((Bits, Counts), lambda: [[1, 0], [0, np.inf]], "column '1' of x holds inf at row 1"),
    ((Bits,), lambda: [[1, 0], [0, 2]], "^column '1' of x holds 2 at row 1: bits are 0 or 1"),
    ((Bits,), lambda: {"a": [0.5, 1]}, "column 'a' of x holds 0.5 at row 0"),
    ((Bits,), lambda: [[1, -1], [3, 0]], "column '1' of x holds -1 at row 0"),
    ((Counts,), lambda: [3, -1], "^x holds -1 at row 1: counts are whole numbers from 0 up"),
    ((Counts,), lambda: {"a": [0, None, 2.5]}, "column 'a' of x holds 2.5 at row 2"),
    ((Counts,), lambda: [1, 2**31], "^x holds 2147483648 at row 1: counts end at 2147483647"),
    (
        (Reals, Counts),
        lambda: {"a": [1, 2], "b": [4, 4]},
        r"column 'b' of x is constant \(always 4\)",
    ),
    ((Reals, Counts), lambda: {"b": [4, None, None]}, r"column 'b' of x is constant \(always 4\)"),
    ((Reals, Counts), lambda: [[1, 2]], "x has a single row, which has no spread"),
    (ALL, lambda: np.full((2, 1), np.nan), "column '0' of x is all missing"),
]


@pytest.mark.parametrize(
    ("kind", "build", "message"),
    [(kind, build, message) for kinds, build, message in REFUSED for kind in kinds],
)
def test_refusals(kind: type[Kind], build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        kind.read(build())
    assert "\n" not in str(refused.value)


def test_constant_columns_are_fine_as_bits_and_in_new_rows() -> None:
    assert Bits.read([[1, 0], [1, 1]]).values.tolist() == [[1, 0], [1, 1]]
    assert Bits.read([[1, 0]]).values.tolist() == [[1, 0]]
    for kind in (Reals, Counts):
        assert kind.read([[4, 1], [4, 2]], fresh=False).values.tolist() == [[4, 1], [4, 2]]


@pytest.mark.parametrize("kind", [Reals, Bits, Counts])
def test_bad_cells_are_refused_in_new_rows_too(kind: type[Kind]) -> None:
    with pytest.raises(InputError, match="holds inf at row 0"):
        kind.read([[np.inf, 1]], fresh=False)


def test_a_column_that_names_the_rows_is_told_from_one_of_text():
    """The first complaint that somebody meets with a file of their own says how to go on."""
    table = pd.DataFrame({"customer": ["K-1", "K-2", "K-3"], "size in cm": [1.0, 2.0, np.nan]})
    with pytest.raises(InputError, match="names the rows, say so by --id .* or by set_index"):
        Reals.read(table, site="x")
    assert Reals.read(table.set_index("customer"), site="x").values.shape[0] == 3
    with pytest.raises(InputError, match="--drop leaves it out, and mixed_mixture takes text too$"):
        Reals.read(table.assign(customer=["a", "a", "b"]), site="x")
