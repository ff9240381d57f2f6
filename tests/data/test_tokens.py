"""Sequences of tokens: codes against a loop that nobody can misread, and refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

from ppl_models.data import Tokens, decode
from ppl_models.errors import InputError


def by_hand(sequences: list) -> tuple[list[str], list[list[int]]]:
    """Tokens and padded codes of lists of strings, one token at a time."""
    tokens = sorted({token for sequence in sequences for token in sequence})
    longest = max(len(sequence) for sequence in sequences)
    codes = []
    for sequence in sequences:
        row = [tokens.index(token) for token in sequence]
        codes.append(row + [len(tokens)] * (longest + 1 - len(row)))
    return tokens, codes


def random_words(seed: int, count: int, alphabet: str) -> list[str]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 12, count)
    return ["".join(generator.choice(list(alphabet), length)) for length in lengths]


@pytest.mark.parametrize("alphabet", ["ab", "abcdefghij", "aé∀🎲 \n"])
def test_characters_against_a_loop(alphabet: str) -> None:
    words = random_words(0, 50, alphabet)
    tokens, codes = by_hand(words)
    read = Tokens.read(words)
    assert read.coords["token"].tolist() == tokens
    assert read.coords["next_token"].tolist() == [*tokens, "<end>"]
    assert read.values.tolist() == codes
    assert read.values.dtype == np.int16
    assert read.dims == ("sequence", "position")
    sizes = {"vocabulary": len(tokens), "sequences": 50, "positions": len(codes[0])}
    assert read.arguments == sizes
    assert decode(read.values, tokens) == words


def test_lists_of_text_against_a_loop() -> None:
    lists = [word.split("b") for word in random_words(1, 40, "abc")]
    lists = [[token or "_" for token in tokens] for tokens in lists]
    tokens, codes = by_hand(lists)
    read = Tokens.read(lists)
    assert read.coords["token"].tolist() == tokens
    assert read.values.tolist() == codes
    assert decode(read.values, read.coords["next_token"]) == lists


def test_whole_numbers_are_sorted_by_size() -> None:
    read = Tokens.read([[10, 2], [2, 2, 1]])
    assert read.coords["token"].tolist() == ["1", "2", "10"]
    assert read.values.tolist() == [[2, 1, 3, 3], [1, 1, 0, 3]]


SAME: dict[str, Callable[[], object]] = {
    "list of strings": lambda: ["ab", "b"],
    "tuple of strings": lambda: ("ab", "b"),
    "array of strings": lambda: np.array(["ab", "b"]),
    "array of objects": lambda: np.array(["ab", "b"], dtype=object),
    "series": lambda: pd.Series(["ab", "b"]),
    "one-column frame": lambda: pd.DataFrame({"name": ["ab", "b"]}),
    "polars series": lambda: pl.Series(["ab", "b"]),
    "polars frame": lambda: pl.DataFrame({"name": ["ab", "b"]}),
    "list of lists": lambda: [["a", "b"], ["b"]],
    "list of tuples": lambda: [("a", "b"), ("b",)],
    "list of arrays": lambda: [np.array(["a", "b"]), np.array(["b"])],
    "polars lists": lambda: pl.Series([["a", "b"], ["b"]]),
    "text and lists": lambda: ["ab", ["b"]],
}


@pytest.mark.parametrize("container", SAME)
def test_all_containers_mean_the_same(container: str) -> None:
    read = Tokens.read(SAME[container]())
    assert read.values.tolist() == [[0, 1, 2], [1, 2, 2]]
    assert read.coords["token"].tolist() == ["a", "b"]
    assert read.coords["sequence"].tolist() == [0, 1]


def test_ragged_arrays_of_numbers() -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.array([3, 1]), np.array([3])]
    assert Tokens.read(ragged).values.tolist() == [[1, 0, 2], [1, 2, 2]]


def test_labels_of_a_series() -> None:
    read = Tokens.read(pd.Series(["ab", "b"], index=["u", "v"]))
    assert read.coords["sequence"].tolist() == ["u", "v"]


def test_codes_of_an_earlier_vocabulary() -> None:
    like = Tokens.read(["abc"]).coords
    assert Tokens.read(["c", "ca"], like=like).values.tolist() == [[2, 3, 3], [2, 0, 3]]
    numbers = Tokens.read([[1, 2, 10]]).coords
    assert Tokens.read([[10]], like=numbers).values.tolist() == [[2, 3]]
    assert Tokens.read([["10"]], like=numbers).values.tolist() == [[2, 3]]
    assert Tokens.read(["c"], like={"token": like["next_token"]}).values.tolist() == [[2, 3]]


def test_many_tokens_need_wider_codes() -> None:
    read = Tokens.read([list(range(32_767))])
    assert read.values.dtype == np.int32 and read.values[0, -1] == 32_767
    read = Tokens.read([list(range(32_766))])
    assert read.values.dtype == np.int16 and read.values[0, -1] == 32_766


def test_a_million_characters_and_many_names() -> None:
    names = random_words(2, 1_000, "abcdefghijklmnopqrstuvwxyz") * 32
    read = Tokens.read(names)
    assert read.values.shape == (32_000, 12) and decode(read.values, read.coords["token"]) == names
    text = "to be, or not to be\n" * 50_000
    read = Tokens.read([text])
    assert read.values.shape == (1, 1_000_001) and decode(read.values, read.coords["token"]) == [
        text
    ]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: [], "^x holds no sequences: give at least one"),
    (lambda: pd.Series([], dtype=str), "^x holds no sequences"),
    (lambda: "text", r"^x is a single string: give a list of strings, .* as in \[text\]$"),
    (lambda: ["ab", "", "c"], "^sequence 1 of x is empty: drop it"),
    (lambda: [["a"], []], "^sequence 1 of x is empty"),
    (lambda: pd.Series(["a", ""], index=["u", "v"]), "^sequence v of x is empty"),
    (lambda: [1, 2], r"^sequence 0 of x is 1 \(int\), not a sequence"),
    (lambda: ["a", None], r"^sequence 1 of x is None \(NoneType\), not a sequence"),
    (lambda: pd.Series(["a", None]), "^sequence 1 of x is (nan|None)"),
    (lambda: [b"ab"], "^sequence 0 of x is b'ab'"),
    (lambda: [np.ones((2, 2))], "^sequence 0 of x is array"),
    (lambda: [{"a", "b"}], "^sequence 0 of x is {.*not a sequence"),
    (
        lambda: [["a", "b"], ["a", 1.5]],
        r"^sequence 1 of x holds 1.5 \(float\): tokens are all",
    ),
    (lambda: [["a"], ["b", 1]], r"^sequence 1 of x holds 1 \(int\)"),
    (lambda: [[1, 2], [1.5]], r"^sequence 1 of x holds 1.5 \(float\)"),
    (lambda: [[True]], r"^sequence 0 of x holds True \(bool\)"),
    (lambda: [[1], [2, True]], r"^sequence 1 of x holds True \(bool\)"),
    (
        lambda: [["a", "<end>"]],
        "^sequence 0 of x holds '<end>', which is appended automatically: remove it",
    ),
    (lambda: ["ab", "a<end>"], "^sequence 1 of x holds '<end>'"),
    (lambda: [["a", ""]], "^sequence 0 of x holds an empty token"),
    (lambda: 3, "^x is a int: give a list of strings"),
    (lambda: np.array("ab"), "^x is a ndarray: give a list of strings"),
    (lambda: {"a": ["b"]}, "^x is a dict"),
    (lambda: pd.DataFrame({"a": ["b"], "c": ["d"]}), "^x has 2 columns: give the one with seq"),
    (lambda: xr.DataArray([[0, 1]]), "^x is an xarray object: .* `decode` turns codes into them"),
    (
        lambda: ["a" * 1_500_000, *["a"] * 1_500],
        "^x would need 1,501 × 1,500,001 cells: .* 0, into",
    ),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_refusals(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tokens.read(build())


def test_end_inside_is_not_seen_across_two_strings() -> None:
    assert Tokens.read(["a<en", "d>"]).arguments["sequences"] == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["ab", "bz"], "^sequence 1 of x holds the unknown token 'z': the known ones"),
        ([["a"], ["b", "<b>"]], "^sequence 1 of x holds the unknown token '<b>'"),
        ([[1]], "^sequence 0 of x holds the unknown token '1': the known ones are 'a', 'b'$"),
    ],
)
def test_unknown_tokens_are_refused(data: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tokens.read(data, like={"token": ["a", "b"]}, fresh=False)


def test_none_is_a_token_that_is_not_known() -> None:
    read = Tokens.read([["a", None, "b"], ["b"]])
    assert read.values.tolist() == [[0, -1, 1, 2], [1, 2, 2, 2]]
    with pytest.raises(InputError, match="no known token"):
        Tokens.read([[None]])
