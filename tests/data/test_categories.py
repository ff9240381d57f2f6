"""Levels of all kinds, in the order in which they ought to be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ppl_models.data import Categories
from ppl_models.data.kinds.categories import known_levels
from ppl_models.errors import InputError

LEVELS = pd.CategoricalDtype(["mid", "low", "high"], ordered=True)

# (build, levels, codes)
CASES: dict[str, tuple[Callable[[], object], list[str], list]] = {
    "text": (lambda: ["b", "a", "b"], ["a", "b"], [1, 0, 1]),
    "text with gaps": (lambda: ["b", "", None, "a"], ["a", "b"], [1, np.nan, np.nan, 0]),
    "integers": (lambda: [10, 2, 1, 2], ["1", "2", "10"], [2, 1, 0, 1]),
    "whole floats": (lambda: [2.0, np.nan, 1.0], ["1", "2"], [1, np.nan, 0]),
    "large whole floats": (lambda: [1e15, 1.0], ["1", "1000000000000000"], [1, 0]),
    "booleans": (lambda: [True, False, True], ["False", "True"], [1, 0, 1]),
    "booleans with gaps": (lambda: [True, None, False], ["False", "True"], [1, np.nan, 0]),
    "bytes": (lambda: np.array([b"b", b"a"]), ["a", "b"], [1, 0]),
    "numbers before text": (lambda: ["x", 10, 9], ["9", "10", "x"], [2, 1, 0]),
    "a number and its text": (lambda: [1, "1", 2], ["1", "2"], [0, 0, 1]),
    "Int64": (lambda: pd.Series([2, pd.NA, 1], dtype="Int64"), ["1", "2"], [1, np.nan, 0]),
    "string": (lambda: pd.Series(["b", None, "a"], dtype="string"), ["a", "b"], [1, np.nan, 0]),
    "categorical": (
        lambda: pd.Series(["low", "mid", "low"], dtype=LEVELS),
        ["mid", "low", "high"],
        [1, 0, 1],
    ),
    "categorical with gaps": (
        lambda: pd.Series(["low", None], dtype=LEVELS),
        ["mid", "low", "high"],
        [1, np.nan],
    ),
    "intervals": (
        lambda: pd.Series(pd.cut([0.5, 2.5], [0, 1, 2, 3])),
        ["(0, 1]", "(1, 2]", "(2, 3]"],
        [0, 2],
    ),
    "polars enumeration": (
        lambda: pl.Series(["low", None, "mid"], dtype=pl.Enum(["mid", "low", "high"])),
        ["mid", "low", "high"],
        [1, np.nan, 0],
    ),
    "polars categorical": (
        lambda: pl.Series(["b", "a", None], dtype=pl.Categorical),
        ["a", "b"],
        [1, 0, np.nan],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_levels_and_codes(case: str) -> None:
    build, levels, codes = CASES[case]
    read = Categories.read(build())
    name = read.coords["feature"][0]
    assert read.coords["level"].tolist() == [f"{name}={level}" for level in levels]
    assert read.arguments == {"rows": len(codes), "features": 1, "levels": (len(levels),)}
    np.testing.assert_array_equal(read.values, codes)
    assert read.values.dtype == (np.float64 if read.has_missing else np.int32)
    assert read.dims == ("row",)


def test_levels_of_all_features_one_after_the_other() -> None:
    read = Categories.read(pd.DataFrame({"A": [1, 2, 3], "B": ["n", "y", "n"]}))
    assert read.coords["level"].tolist() == ["A=1", "A=2", "A=3", "B=n", "B=y"]
    assert read.arguments["levels"] == (3, 2)
    assert read.values.tolist() == [[0, 0], [1, 1], [2, 0]]


def test_codes_give_the_labels_back() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({name: generator.choice(list("uvwxyz"), 200) for name in "abc"})
    read = Categories.read(frame)
    sizes = read.arguments["levels"]
    assert isinstance(sizes, tuple)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    labels = read.coords["level"][read.values + starts]
    expected = np.array(
        [[f"{name}={cell}" for name, cell in row.items()] for _, row in frame.iterrows()]
    )
    np.testing.assert_array_equal(labels, expected)


def test_new_rows_get_the_codes_of_the_fit() -> None:
    first = Categories.read({"A": [1, 2, 3], "B": ["n", "y", "n"]})
    new = Categories.read({"B": ["y", ""], "A": [3.0, 2.0]}, like=first.coords, fresh=False)
    np.testing.assert_array_equal(new.values, [[2, 1], [1, np.nan]])
    assert new.arguments["levels"] == (3, 2)
    text = Categories.read([["3", "y"]], like=first.coords, fresh=False)
    assert text.values.tolist() == [[2, 1]]


def test_levels_alone_tell_the_features() -> None:
    like = {"level": ["A=1", "A=2", "B=n", "B=y"]}
    read = Categories.read({"B": ["y"], "A": [1]}, like=like, fresh=False)
    assert read.coords["feature"].tolist() == ["A", "B"] and read.values.tolist() == [[0, 1]]


def test_names_with_an_equals_sign() -> None:
    read = Categories.read({"x=y": ["p=1", "q"], "x": ["p", "q"]})
    assert known_levels(read.coords) == {"x=y": ["p=1", "q"], "x": ["p", "q"]}
    with pytest.raises(InputError, match="of x are ambiguous, as in 'a=1=2'"):
        Categories.read({"a": ["1=2", "u"], "a=1": ["p", "q"]})


@pytest.mark.parametrize("values", [["a", "c"], [None, "c"]])
def test_an_unseen_level_is_refused(values: list) -> None:
    like = {"feature": ["A"], "level": ["A=a", "A=b"]}
    message = "^column 'A' of x holds 'c' at row 1, a level that the fit has not seen: its levels"
    with pytest.raises(InputError, match=message + " are 'a', 'b'$"):
        Categories.read({"A": values}, like=like, fresh=False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"A": ["u", "v"], "B": ["w", "w"]}, "^column 'B' of x has the single level 'w': drop it$"),
        ({"A": ["u", "v"], "B": ["w", None]}, "column 'B' of x has the single level 'w'"),
        ({"A": ["u", "v"], "B": ["", None]}, "column 'B' of x is all missing"),
        ({"A": [1, 2.5]}, "^column 'A' of x holds 2.5 at row 1: categories are text or whole"),
        ([[1, np.inf], [2, 1]], "^column '1' of x holds inf at row 0: categories"),
    ],
)
def test_refusals(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Categories.read(data)


def test_a_single_level_is_fine_where_more_are_declared_or_known() -> None:
    declared = Categories.read(pd.Series(["low", "low"], dtype=LEVELS))
    assert declared.arguments["levels"] == (3,)
    like = {"feature": ["A"], "level": ["A=u", "A=v"]}
    assert Categories.read({"A": ["v"]}, like=like, fresh=False).values.tolist() == [1]


def test_a_code_of_minus_one_is_doubted():
    """pandas writes it for a missing level; a scale from -1 to 1 is one."""
    with pytest.warns(UserWarning, match="holds -1, which counts as a level"):
        assert Categories.read([0, 1, 2, -1, 1, 0]).arguments["levels"] == (4,)
    assert Categories.read([0, 1, -1, 0]).values.tolist() == [1, 2, 0, 1]
