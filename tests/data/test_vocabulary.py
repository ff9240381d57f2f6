"""The tokeniser: there and back, as a file, and what it does not take."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from ppl_models.data import Vocabulary, characters, decode, words
from ppl_models.errors import InputError


def test_there_and_back() -> None:
    vocabulary = Vocabulary.from_sequences(["hello", "world"])
    assert vocabulary.tokens == tuple("dehlorw") and len(vocabulary) == 7
    for sequences in (["hello", "world"], ["we", "d"], ["dehlorw" * 9]):
        assert vocabulary.decode(vocabulary.encode(sequences)) == sequences


def test_every_row_ends_at_the_end() -> None:
    codes = Vocabulary(("a", "b")).encode(["ab", "b"])
    assert (codes[:, -1] == 2).all() and codes.shape == (2, 3)


def test_decode_stops_at_the_first_end() -> None:
    assert decode([[0, 2, 1], [0, 1, 0], [2, 0, 0]], ["a", "b"]) == ["a", "aba", ""]
    assert decode([0, 1, 2], ["a", "b", "<end>"]) == ["ab"]
    assert decode(np.array([[0.0, 2.0]]), ["a", "b"]) == ["a"]


def test_decode_runs_through_leading_axes() -> None:
    codes = np.array([[[0, 2], [1, 2]], [[1, 1], [2, 2]]])
    assert decode(codes, ["a", "b"]) == ["a", "b", "bb", ""]
    assert decode(codes, ["no", "b"]) == [["no"], ["b"], ["b", "b"], []]
    assert decode(np.zeros((0, 4), dtype=int), ["a"]) == []


@pytest.mark.parametrize("wrong", [-1, 3, 0.5, np.nan])
def test_codes_of_no_token_are_refused(wrong: float) -> None:
    with pytest.raises(
        InputError, match=f"^the code {wrong} belongs to no token: codes are 0 to 2$"
    ):
        decode([[0, wrong]], ["a", "b"])


def test_splitters() -> None:
    assert characters("né 1") == ["n", "é", " ", "1"]
    assert words("Don't stop—now!  O’Hara’s 2 cents.") == [
        *["Don't", "stop", "—", "now", "!", "O’Hara’s", "2", "cents", "."]
    ]
    text = "to be or not"
    vocabulary = Vocabulary.from_sequences([words(text)])
    assert vocabulary.tokens == ("be", "not", "or", "to")
    assert vocabulary.decode(vocabulary.encode([words(text)])) == [words(text)]


@pytest.mark.parametrize("tokens", [("a", "b"), ("été", "🎲", "\n"), ("\ud800",)])
def test_saved_and_loaded(tmp_path: Path, tokens: tuple[str, ...]) -> None:
    vocabulary = Vocabulary(tokens)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


def test_what_is_no_saved_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    with pytest.raises(InputError, match="vocabulary.json cannot be read: No such file"):
        Vocabulary.load(path)
    for content in ("no JSON", "[1]", "{}", '{"tokens": 3}'):
        path.write_text(content)
        with pytest.raises(InputError, match="is not a vocabulary that `save` wrote"):
            Vocabulary.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not a vocabulary that `save` wrote"):
        Vocabulary.load(path)


def test_unknown_tokens_have_a_token_only_where_asked_for(tmp_path: Path) -> None:
    sequences = ["abba", "ac"]
    vocabulary = Vocabulary.from_sequences(sequences, unknown="<unk>", min_count=2)
    assert vocabulary.tokens == ("a", "b", "<unk>") and vocabulary.unknown == "<unk>"
    assert vocabulary.encode(["abc", "xa"]).tolist() == [[0, 1, 2, 3], [2, 0, 3, 3]]
    assert vocabulary.decode([[0, 2, 3]]) == [["a", "<unk>"]]
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    assert Vocabulary.from_sequences(sequences, unknown="?").tokens == ("a", "b", "c", "?")
    gaps = Vocabulary.from_sequences([["a", None, "a"]], unknown="?", min_count=2)
    assert gaps.encode([[None, "z", "a"]]).tolist() == [[-1, 1, 0, 2]]  # not known is not unknown
    with pytest.raises(InputError, match="sequence 1 of x holds the unknown token 'x'"):
        Vocabulary.from_sequences(sequences).encode(["a", "ax"])


def test_a_token_for_unknown_ones_must_be_one_of_its_own() -> None:
    with pytest.raises(
        InputError, match="min_count is 2, and the tokens left out need a replacement"
    ):
        Vocabulary.from_sequences(["ab"], min_count=2)
    with pytest.raises(InputError, match="holds the token 'a' that unknown= reserves"):
        Vocabulary.from_sequences(["ab"], unknown="a")
    with pytest.raises(InputError, match="unknown= is '[?]', which the vocabulary lacks"):
        Vocabulary(("a", "b"), "?")


@pytest.mark.parametrize("empty", [["ab", ""], [["a"], []]])
def test_empty_sequences_are_refused(empty: list) -> None:
    with pytest.raises(InputError, match="sequence 1 of x is empty: drop it"):
        Vocabulary.from_sequences(["ab"]).encode(empty)


@pytest.mark.parametrize("tokens", [(), ("a", "a"), ("a", ""), ("<end>",), ("a", 1)])
def test_tokens_that_cannot_be_told_apart_are_refused(tokens: tuple) -> None:
    with pytest.raises(InputError, match="a vocabulary (has no tokens|holds )"):
        Vocabulary(tokens)


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Vocabulary(("a",)).tokens = ("b",)  # type: ignore[misc]
