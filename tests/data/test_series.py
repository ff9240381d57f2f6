"""Sequences of numbers, of any length, and what is refused of them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from ppl_models import memory
from ppl_models.data.kinds.series import Series, as_sequences
from ppl_models.errors import InputError


def test_sequences_of_any_length_come_back_as_they_were_given():
    values = [np.array([[1.0, 2.0], [np.nan, 3.0]]), np.array([[4.0, 5.0]])]
    read = Series.read(values)
    assert read.values.shape == (2, 2, 2)
    assert read.arguments == {"sequences": 2, "positions": 2, "features": 2}
    for one, other in zip(as_sequences(read.values), values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_steps_at_the_end_that_are_missing_altogether_are_not_there():
    read = Series.read([[1.0, np.nan, 2.0, np.nan], [3.0, 1.0]])
    np.testing.assert_array_equal(read.values[..., 0], [[1, np.nan, 2], [3, 1, np.nan]])


def test_a_table_says_which_sequence_a_row_belongs_to():
    table = pd.DataFrame({"sequence": ["b", "a", "b"], "height": [1.0, 5.0, 2.0]})
    read = Series.read(table)
    assert read.coords["sequence"].tolist() == ["b", "a"]
    assert read.coords["feature"].tolist() == ["height"]
    np.testing.assert_array_equal(read.values[..., 0], [[1, 2], [5, np.nan]])


def _one_long(short: int, long: int) -> list[np.ndarray]:
    return [np.arange(1.0, 1 + long), *[np.array([1.0, 2.0])] * short]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "x has no sequences: give at least one"),
        ([[1.0, 2.0], [np.nan, np.nan]], "sequence 1 of x has no observed step: drop it"),
        ([[1.0, 2.0], [np.inf, 1.0]], "sequence 1 of x"),
        ([[[1.0, 2.0]], [[1.0, 2.0, 3.0]]], "sequence 1 of x has the features"),
        (_one_long(1_500, 100_000), "the data would need 1,501 × 100,000 × 1 cells: split the "),
    ],
    ids=["none", "nothing seen", "infinite", "other features", "one far longer than the others"],
)
def test_what_cannot_be_used_is_said(values, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Series.read(values)


def test_one_long_sequence_alone_is_read():
    steps = memory.DATA_PADDING // 1_000
    assert Series.read(_one_long(2, steps)).values.shape == (3, steps, 1)
