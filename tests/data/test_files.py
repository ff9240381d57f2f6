"""Files as people have them, and the ones that cannot be used."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppl_models.data import Bits, Categories, Kind, Reals, Tokens, read_file
from ppl_models.errors import InputError


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.csv", "a,b\n1,2.5\n3,\n"),
        ("data.csv", "\ufeffa,b\r\n1,2.5\r\n3,NA\r\n"),
        ("data.csv", '"a", "b"\n1, 2.5\n3, NaN\n'),
        ("data.csv", "a,b\n1,2.5,\n3,,\n"),
        ("data.tsv", "a\tb\n1\t2.5\n3\t\n"),
        ("data.csv.gz", gzip.compress(b"a,b\n1,2.5\n3,\n", mtime=0)),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str | bytes) -> None:
    frame = read_file(written(tmp_path, content, name), kind=Reals)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["a", "b"] and frame.index.tolist() == [0, 1]
    np.testing.assert_array_equal(Reals.read(frame, fresh=False).values, [[1, 2.5], [3, np.nan]])


@pytest.mark.parametrize(
    ("name", "content"),
    [("data.txt", "home  news\nb\tcart\n"), ("data.csv", "x\nhome news\nb cart\n")],
)
def test_words_stand_between_spaces(tmp_path: Path, name: str, content: str) -> None:
    read = read_file(written(tmp_path, content, name), kind=Tokens, words=True)
    assert read == [["home", "news"], ["b", "cart"]]


@pytest.mark.parametrize("first", ["", '""', "rownames", "Unnamed: 0"])
def test_a_first_column_without_a_name_labels_the_rows(tmp_path: Path, first: str) -> None:
    path = written(tmp_path, f"{first},a,b\nAnna,1,2\nBert,3,4\n")
    read = Reals.read(read_file(path, kind=Reals))
    assert read.coords["row"].tolist() == ["Anna", "Bert"]
    assert read.coords["feature"].tolist() == ["a", "b"]


def test_what_pandas_wrote_comes_back(tmp_path: Path) -> None:
    frame = pd.DataFrame([[0.5, 2.0], [1.5, 3.0]])
    for named, index in ((frame, True), (frame.rename(columns={0: "a", 1: "b"}), False)):
        named.to_csv(tmp_path / "frame.csv", index=index)
        read = Reals.read(read_file(tmp_path / "frame.csv", kind=Reals))
        assert read.coords["feature"].tolist() == [str(c) for c in named.columns]
        assert read.values.tolist() == frame.to_numpy().tolist()


def test_none_can_be_an_answer(tmp_path: Path) -> None:
    frame = read_file(written(tmp_path, "pain\nNone\nsome\nNA\n\nsome\n"), kind=Categories)
    read = Categories.read(frame)
    assert read.coords["level"].tolist() == ["pain=None", "pain=some"]
    np.testing.assert_array_equal(read.values, [0, 1, np.nan, 1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.txt", "anna\nnan\nbo\n"),
        ("names.txt", "\ufeffanna\r\nnan\r\nbo"),
        ("names", "anna\nnan\nbo\n\n\n"),
        ("names.csv", "name\nanna\nnan\nbo\n"),
        ("names.tsv", "name\nanna\nnan\nbo\n"),
    ],
)
def test_sequences(tmp_path: Path, name: str, content: str) -> None:
    assert read_file(written(tmp_path, content, name), kind=Tokens) == ["anna", "nan", "bo"]


def test_a_line_is_kept_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, " a b \nc\x0cd\u2028e\n", "lines.txt")
    assert read_file(path, kind=Tokens) == [" a b ", "c\x0cd\u2028e"]


@pytest.mark.parametrize("kind", [Reals, Tokens])
def test_files_that_are_not_there(tmp_path: Path, kind: type[Kind]) -> None:
    with pytest.raises(InputError, match="none.csv does not exist: check the name"):
        read_file(tmp_path / "none.csv", kind=kind)
    with pytest.raises(InputError, match="is a directory: give a file"):
        read_file(tmp_path, kind=kind)


REFUSED: list[tuple[type[Kind], str, str | bytes, str]] = [
    (Reals, "data.csv", "", "data.csv is empty: give a file with data"),
    (Reals, "data.csv", "\n\n", "data.csv is empty"),
    (Reals, "data.csv", "a,b\n", "data.csv has no rows below the line of column names"),
    (Reals, "data.csv", ",a\n", "data.csv has no rows below"),
    (Reals, "data.csv", b"a,b\n1,\xff\xfe\n", "data.csv is not text in UTF-8"),
    (Reals, "data.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "data.csv is not text in UTF-8"),
    (Reals, "data.csv", "a,b\n1,2\n3,4,5\n", "data.csv cannot be read as a table: .*line 3, saw 3"),
    (Reals, "data.csv", "a,b\n1,2.5\n3\n", "row '3' of data.csv has 1 cell where .* 2 names"),
    (Reals, "data.csv", 'a,b\n1,"2\n', "data.csv cannot be read as a table"),
    (Reals, "data.csv", "a,a\n1,2\n", "data.csv has two columns named 'a': rename one"),
    (
        Reals,
        "data.csv",
        "3.6,79\n1.8,54\n",
        r"the first line of data.csv holds numbers \(3.6, 79\)",
    ),
    (Bits, "data.csv", "0,1\n1,1\n0,0\n", r"the first line of data.csv holds numbers \(0, 1\)"),
    (Reals, "data.csv", "1,2,3\n4,5,6\n", r"the first line of data.csv holds numbers \(1, 2, 3\)"),
    (Bits, "data.csv", "1,1,0\n0,1,0\n", r"the first line of data.csv holds numbers \(1, 1, 0\)"),
    (Reals, "data.csv", "a,b\n0,2,3\n1,4,5\n", "data.csv has rows with more cells than its first"),
    (Tokens, "names.csv", "name\nanna,f\n", "names.csv has rows with more cells"),
    (Reals, "data.csv.gz", b"not compressed", "data.csv.gz cannot be read"),
    (Tokens, "names.txt", "", "names.txt is empty: give a file with one sequence a line"),
    (Tokens, "names.txt", "\n \n", "names.txt is empty"),
    (Tokens, "names.txt", "a\n\nb\n", "line 2 of names.txt is an empty sequence: drop it"),
    (Tokens, "names.txt", b"\xff\xfea", "names.txt is not text in UTF-8"),
    (Tokens, "names.csv", "", "names.csv is empty"),
    (Tokens, "names.csv", "name\n", "names.csv has no rows"),
    (Tokens, "names.csv", "name,sex\nanna,f\n", "names.csv has 2 columns: give one column"),
]


@pytest.mark.parametrize(("kind", "name", "content", "message"), REFUSED)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Kind],
    name: str,
    content: str | bytes,
    message: str,
) -> None:
    written(tmp_path, content, name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as refused:
        read_file(name, kind=kind)
    assert "\n" not in str(refused.value)


def test_an_empty_line_in_a_table_of_sequences_is_an_empty_sequence(tmp_path: Path) -> None:
    lines = read_file(written(tmp_path, "name\nanna\n\nbo\n"), kind=Tokens)
    with pytest.raises(InputError, match="sequence 1 of x is empty"):
        Tokens.read(lines)
