"""Codes of categories are those of the program's scale, whatever was seen of it."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest

from ppl_models.data import Categories, Counts
from ppl_models.errors import InputError
from ppl_models.program.reading import read_data


def graded(y: Annotated[Any, Categories] = None, *, levels, clusters=2):
    """Answers on one scale."""


def in_groups(group: Annotated[Any, Categories] = None, *, groups):
    """One entry a group."""


def hard_wired(y: Annotated[Any, Categories] = None):
    """Its own number of levels."""


def read(program, data, **arguments):
    name = next(iter(program.__annotations__))
    return read_data(program, data, arguments=arguments)[name]


def test_a_level_that_one_column_lacks_keeps_its_place():
    answers = np.array([[0, 0], [1, 3], [2, 1], [3, 3], [0, 0]])
    observed = read(graded, answers, levels=4)
    np.testing.assert_array_equal(observed.values, answers)
    assert observed.arguments["levels"] == (4, 4)
    assert observed.coords["level"].tolist()[4:] == ["1=0", "1=1", "1=2", "1=3"]
    again = read_data(graded, [[3, 1], [0, 2]], like=observed.coords, fresh=False)["y"]
    assert again.values.tolist() == [[3, 1], [0, 2]]


def test_levels_that_nobody_chose_keep_their_places():
    np.testing.assert_array_equal(read(graded, [1, 3, 3, 1], levels=4).values, [1, 3, 3, 1])
    with_gap = [np.nan, 3.0, 3.0, 1.0]
    np.testing.assert_array_equal(read(graded, with_gap, levels=4).values, with_gap)


def test_scales_that_count_from_one():
    answers = np.array([[1, 5], [2, 2], [4, 1], [5, 5]])
    np.testing.assert_array_equal(read(graded, answers, levels=5).values, answers - 1)


def test_entries_of_groups_without_data():
    codes = [0, 0, 1, 1, 3, 3, 4]
    np.testing.assert_array_equal(read(in_groups, codes, groups=5).values, codes)
    ids = [101, 101, 105, 105, 109]
    np.testing.assert_array_equal(read(in_groups, ids, groups=3).values, [0, 0, 1, 1, 2])


def test_levels_by_column_are_counted_by_column():
    observed = read(graded, [[0, 1], [2, 0], [2, 1]])
    assert observed.arguments["levels"] == (2, 2)
    np.testing.assert_array_equal(observed.values, [[0, 1], [1, 0], [1, 1]])


def test_moving_codes_are_told():
    with pytest.warns(UserWarning, match="level '2' of y is number 2 in column '0'"):
        read(hard_wired, [[0, 0], [1, 2], [2, 0]])
    scale = pd.CategoricalDtype([0, 1, 2])
    declared = pd.DataFrame({"a": [0, 1, 2], "b": [0, 2, 0]}).astype(scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(hard_wired, declared).values.tolist() == [[0, 0], [1, 2], [2, 0]]


def tables(x=None, k: Annotated[Any, Counts] = None, c: Annotated[Any, Categories] = None):
    """Rows of matrices."""


def test_rows_of_matrices():
    """Covariates of the alternatives of a choice, ``(row, alternative, feature)``."""
    x = np.arange(24.0).reshape(4, 3, 2)
    observed = read_data(tables, {"x": x, "k": np.ones((4, 2, 2), int)})
    np.testing.assert_array_equal(observed["x"].values, x)
    assert observed["x"].dims == ("row", "x_axis_1", "x_axis_2")
    assert observed["k"].values.dtype.kind == "i"
    like = {n: v for o in observed.values() for n, v in o.coords.items()}
    assert read_data(tables, {"x": x[:1]}, like=like, fresh=False)["x"].values.shape == (1, 3, 2)
    with pytest.raises(InputError, match=r"x has rows of shape \(2, 2\), and the fit has rows"):
        read_data(tables, {"x": x[:, :2]}, like=like, fresh=False)
    with pytest.raises(InputError, match=r"k holds 0\.5|column .* of k holds 0\.5"):
        read_data(tables, {"k": np.full((4, 2, 2), 0.5)})
    with pytest.raises(InputError, match="declare the parameter as Counts"):
        read_data(tables, {"c": np.ones((4, 2, 2), int)})
