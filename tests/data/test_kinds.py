"""What all kinds promise, for every kind there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

from ppl_models.data import (
    KINDS,
    Bits,
    Categories,
    Counts,
    Graphs,
    Kind,
    Observed,
    Reals,
    Series,
    Tokens,
)
from ppl_models.errors import InputError

TABLES = [kind for kind in KINDS if kind not in (Tokens, Graphs, Series)]
SAMPLES: dict[type[Kind], object] = {
    Reals: {"a": [0.5, 1.5, -2.0], "b": [1.0, np.nan, 3.0]},
    Bits: {"a": [0, 1, 1], "b": [1, None, 0]},
    Counts: {"a": [3, 0, 7], "b": [1, None, 0]},
    Categories: {"a": ["x", "y", "x"], "b": [1, None, 3]},
    Tokens: ["ab", "b", "cab"],
    Series: [[[1.0, 0.5], [2.0, np.nan]], [[3.0, -1.0]]],
    Graphs: [[[0, 1, 0], [1, 0, 1], [0, 1, 0]], [[0, 1], [1, 0]]],
}
ALIKE = [pytest.param(kind, id=kind.__name__) for kind in KINDS]


def same(left: Observed, right: Observed) -> None:
    np.testing.assert_array_equal(left.values, right.values)
    assert left.values.dtype == right.values.dtype
    assert left.dims == right.dims and left.arguments == right.arguments
    assert left.coords.keys() == right.coords.keys()
    for name, labels in left.coords.items():
        np.testing.assert_array_equal(labels, right.coords[name])


def test_every_kind_has_a_sample() -> None:
    assert set(SAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", ALIKE)
def test_axes_are_labelled(kind: type[Kind]) -> None:
    read = kind.read(SAMPLES[kind])
    assert len(read.dims) == read.values.ndim
    for dim, size in zip(read.dims, read.values.shape, strict=True):
        assert len(read.coords[dim]) == size
    array = xr.DataArray(read.values, dims=read.dims, coords={d: read.coords[d] for d in read.dims})
    assert array.shape == read.values.shape


@pytest.mark.parametrize("kind", ALIKE)
def test_reading_again_like_the_first_time_changes_nothing(kind: type[Kind]) -> None:
    first = kind.read(SAMPLES[kind])
    same(kind.read(SAMPLES[kind], like=first.coords), first)
    same(kind.read(SAMPLES[kind], like=first.coords, fresh=False), first)


@pytest.mark.parametrize("kind", ALIKE)
def test_coordinates_may_be_data_arrays(kind: type[Kind]) -> None:
    first = kind.read(SAMPLES[kind])
    coords = xr.Dataset(coords=first.coords).coords
    same(kind.read(SAMPLES[kind], like={str(name): coords[name] for name in coords}), first)


@pytest.mark.parametrize("kind", TABLES)
def test_columns_are_put_in_order_by_name(kind: type[Kind]) -> None:
    first = kind.read(pd.DataFrame(SAMPLES[kind]))
    swapped = pd.DataFrame(SAMPLES[kind])[["b", "a"]]
    same(kind.read(swapped, like=first.coords), first)


@pytest.mark.parametrize("kind", TABLES)
def test_one_new_row_with_a_missing_cell_can_be_scored(kind: type[Kind]) -> None:
    first = kind.read(SAMPLES[kind])
    row = pd.DataFrame(SAMPLES[kind]).iloc[[1]]
    read = kind.read(row, like=first.coords, fresh=False)
    assert read.values.shape == (1, 2) and read.has_missing
    np.testing.assert_array_equal(read.values[0], first.values[1])
    assert read.coords["row"].tolist() == [1]


REFUSED_LIKE: list[tuple[object, str]] = [
    ({"a": [1, 0]}, "x lacks the column 'b' that the fit has"),
    ({"a": [1, 0], "b": [0, 1], "c": [1, 1]}, "x has a column 'c' that the fit does not know"),
    (np.ones((2, 3), dtype=int), "x has 3 columns: give 2, for the fit's features are 'a', 'b'"),
    ([1, 0], r"x is one-dimensional: give rows and columns, one row as shape \(1, 2\)"),
    (pd.Series([1, 0], name="a"), "x is one-dimensional"),
]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(("data", "message"), REFUSED_LIKE)
def test_other_features_are_refused(kind: type[Kind], data: object, message: str) -> None:
    first = kind.read(SAMPLES[kind])
    with pytest.raises(InputError, match=message):
        kind.read(data, like=first.coords, fresh=False)


REFUSED_EVERYWHERE: list[tuple[Callable[[], object], str]] = [
    (lambda: np.zeros((0, 2)), "x has no rows"),
    (lambda: [], "x has no rows"),
    (lambda: np.zeros((3, 0)), "x has no columns"),
    (lambda: pd.DataFrame(), "x has no columns"),
    (lambda: {}, "x has no columns"),
    (lambda: pl.DataFrame({"a": []}), "x has no rows"),
    (lambda: np.zeros((2, 2, 2)), r"x has 3 dimensions \(shape \(2, 2, 2\)\)"),
    (lambda: "file.csv", "x is a str, not data: give an array"),
    (lambda: None, "x is a NoneType, not data"),
]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(("build", "message"), REFUSED_EVERYWHERE)
def test_what_is_no_table_is_refused(
    kind: type[Kind], fresh: bool, build: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kind.read(build(), fresh=fresh)


@pytest.mark.parametrize("kind", TABLES)
def test_the_site_is_named(kind: type[Kind]) -> None:
    with pytest.raises(InputError, match="^answers has no rows"):
        kind.read([], site="answers")


@pytest.mark.parametrize("kind", TABLES)
def test_an_all_missing_column_is_refused_only_in_data_to_fit(kind: type[Kind]) -> None:
    data = pd.DataFrame({"a": [0, 1, 0], "b": [None, None, None]})
    with pytest.raises(InputError, match="^column 'b' of x is all missing: drop it"):
        kind.read(data)
    like = {"feature": ["a", "b"], "level": ["a=0", "a=1", "b=0", "b=1"]}
    assert np.isnan(kind.read(data, like=like, fresh=False).values[:, 1]).all()


def test_a_kind_is_an_annotation_and_not_an_object() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Kind()  # type: ignore[abstract]
