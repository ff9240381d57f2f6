"""Columns of one table dealt out by their types."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ppl_models.data import Bits, Categories, Counts, Reals
from ppl_models.data.by_type import deal, type_of
from ppl_models.errors import InputError

MARKED = {"numbers": Reals, "counts": Counts, "categories": Categories, "bits": Bits}
COLUMNS = {
    "normal": [
        [1.5, 2.0, 3.0],
        [-1, 2, 3],
        [23, 41, 67, 38, 29],
        [np.nan, np.nan],
    ],
    "poisson": [
        [0, 3, 1, 0, 7],
        [0.0, 2.0, np.nan],
        list(range(1, 12)) * 9,  # eleven different ones
        [1, 2, 3, 4],  # too few rows to tell codes
    ],
    "categorical": [
        ["a", "b", None],
        [1, 2, 3] * 5,
        [4.0, 6.0, 8.0, np.nan] * 5,
        ["0", "1"],
    ],
    "bernoulli": [
        [True, False],
        [0, 1, 1],
        [0.0, np.nan, 1.0],
        [True, None, False],
    ],
}


@pytest.mark.parametrize("expected", COLUMNS)
def test_the_type_of_a_column_is_that_of_its_cells(expected):
    for cells in COLUMNS[expected]:
        dealt = deal({"a": cells}, MARKED)
        place = dict(zip(("normal", "poisson", "categorical", "bernoulli"), MARKED, strict=True))
        assert list(dealt) == [place[expected]], cells


def test_declared_levels_are_categories_and_are_kept():
    column = pd.Categorical([0.5, 1.5, 0.5], categories=[0.5, 1.5, 2.5])
    frame = pd.DataFrame({"a": column, "b": [1.5, 2.5, 0.1]}, index=["x", "y", "z"])
    dealt = deal(frame, MARKED)
    assert list(dealt) == ["numbers", "categories"]
    assert dealt["categories"]["a"].cat.categories.tolist() == [0.5, 1.5, 2.5]
    assert dealt["categories"].index.tolist() == ["x", "y", "z"]


def test_types_say_otherwise():
    table = pd.DataFrame({"a": [0, 3, 1], "b": [1.5, 2.5, 3.5], "c": ["u", "v", "w"]})
    dealt = deal(table, MARKED, {"a": "normal", "c": "skip"})
    assert {n: list(t) for n, t in dealt.items()} == {"numbers": ["a", "b"]}
    for types, said in (
        ({"d": "normal"}, "names the column 'd'.*a, b, c"),
        ({"a": "gamma"}, "'a' the type 'gamma'.*normal, poisson, categorical, bernoulli, skip"),
        (dict.fromkeys("abc", "skip"), "no column of the table is left"),
        ("a=normal", "give a dict"),
    ):
        with pytest.raises(InputError, match=said):
            deal(table, MARKED, types)


def test_columns_without_a_type_are_refused_and_may_be_skipped():
    table = pd.DataFrame({"a": [1.5, 2.5], "day": pd.to_datetime(["2020-01-01", "2020-01-02"])})
    with pytest.raises(InputError, match=r"'day' holds dates.*types=\{'day': 'skip'\}"):
        deal(table, MARKED)
    assert list(deal(table, MARKED, {"day": "skip"})["numbers"]) == ["a"]
    with pytest.raises(InputError, match="'b' is categorical, and the program takes no such"):
        deal({"b": ["u", "v"]}, {"numbers": Reals})
    assert type_of(np.array([1 + 1j])) is None


def test_new_rows_go_where_the_fitted_columns_went():
    """Whatever they look like: all zeros, say, or empty."""
    like = {"numbers_feature": ["age"], "counts_feature": ["visits"], "row": [0]}
    rows = pd.DataFrame({"other": ["x"], "visits": [1], "age": [np.nan]})
    dealt = deal(rows, MARKED, None, like)
    assert {n: list(t) for n, t in dealt.items()} == {"numbers": ["age"], "counts": ["visits"]}
    with pytest.raises(InputError, match="lacks the column 'age'"):
        deal(rows[["visits"]], MARKED, None, like)
