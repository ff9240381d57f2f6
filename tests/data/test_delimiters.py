"""Tables as other countries write them, and tables that can be read in two ways."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ppl_models.cli import main
from ppl_models.data import Categories, Counts, Graphs, Kind, Reals, Tokens, read_file
from ppl_models.errors import InputError

EXPECTED = pd.DataFrame({"a": [1.5, -2.0, np.nan], "b": [1234.25, 10.0, 7.0]})


def read(folder: Path, text: str, kind: type[Kind] = Reals, name: str = "t.csv", **options):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_file(path, kind=kind, **options)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("t.csv", "a;b\n1.5;1234.25\n-2;10\n;7\n", {}),
        ("t.csv", "a;b\n1,5;1234,25\n-2;10\n;7\n", {}),
        ("t.csv", "\ufeffa;b\r\n1,5;1.234,25\r\n-2,0;10\r\nNA;7\r\n", {}),
        ("t.csv", 'a;"b"\n"1,5";"1234,25"\n-2;10\n;7\n', {}),
        ("t.csv", "a\tb\n1,5\t1234,25\n-2\t10\n\t7\n", {}),
        ("t.csv", "a|b\n1.5|1234.25\n-2|10\n|7\n", {}),
        ("t.tsv", "a\tb\n1,5\t1234,25\n-2\t10\n\t7\n", {}),
        ("t.tsv", "a,b\n1.5,1234.25\n-2,10\n,7\n", {}),
        ("t.csv", 'a,b\n"1,5","1234,25"\n-2,10\n,7\n', {"decimal": ","}),
        ("t.csv", "a:b\n1.5:1234.25\n-2:10\n:7\n", {"separator": ":"}),
    ],
)
def test_the_same_table_in_other_dialects(tmp_path, name, text, options) -> None:
    pd.testing.assert_frame_equal(read(tmp_path, text, name=name, **options), EXPECTED,
                                  check_dtype=False)  # fmt: skip


def test_semicolons_of_answers_sequences_and_edges(tmp_path) -> None:
    answers = read(tmp_path, "q1;q2\nyes;no\nno;yes\n", Categories)
    assert Categories.read(answers).coords["feature"].tolist() == ["q1", "q2"]
    edges = read(tmp_path, "graph;from;to\n1;a;b\n1;b;c\n", Graphs)
    assert [sorted(graph.edges) for graph in edges] == [[("a", "b"), ("b", "c")]]
    with pytest.raises(InputError, match="has 2 columns: give one column"):
        read(tmp_path, "name;sex\nanna;f\n", Tokens)
    # what only some cells hold is no delimiter
    assert read(tmp_path, "name\nan;na\nbo\n", Tokens) == ["an;na", "bo"]
    notes = read(tmp_path, 'note,"a;b"\n"x;y",u\nz,v\n', Categories)
    assert notes.columns.tolist() == ["note", "a;b"] and notes.iloc[0].tolist() == ["x;y", "u"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b;c\n1,2;3\n", {}, "split at every comma and at every semicolon: choose one with sep"),
        ("a;b\n1,234;2\n5,678;3\n", {}, "column 'a' of .* holds '1,234', whose comma may be a de"),
        ('a,b\n"1,5",2\n"2,5",3\n', {}, "column 'a' of .* holds '1,5', whose comma may be"),
        ("a;b\n1,5;2.25\n2,5;3.5\n", {}, "column 'b' of .* holds '2.25' where .* the comma"),
        ("a,b\n1,2\n", {"separator": "ab"}, "separator is 'ab': give one character"),
        ("a,b\n1,2\n", {"decimal": "x"}, r"decimal is 'x': give '.' or ','"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, text, options, message) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text, **options)


def test_the_ways_out_that_the_refusals_name_work(tmp_path) -> None:
    assert read(tmp_path, "a,b;c\n1,2;3\n", separator=";").columns.tolist() == ["a,b", "c"]
    assert read(tmp_path, "a,b;c\n1,2;3\n", separator=",").columns.tolist() == ["a", "b;c"]
    commas = "a;b\n1,234;2\n5,678;3\n"
    assert read(tmp_path, commas, decimal=",")["a"].tolist() == [1.234, 5.678]
    with pytest.raises(InputError, match="holds text"):
        Reals.read(read(tmp_path, commas, decimal="."))
    several = read(tmp_path, 'a,b\n"1,3",2\n"2",3\n', Categories, decimal=".")
    assert several["a"].tolist() == ["1,3", "2"]


def test_answers_without_a_line_of_names_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"first line of .* \(yes, low\) looks like the data"):
        read(tmp_path, "yes,low\nno,high\nyes,low\nno,low\n", Categories)
    with pytest.raises(InputError, match="two columns named 'yes': rename one, or add a line"):
        read(tmp_path, "yes,yes\nno,yes\n", Categories)


def test_codes_with_leading_zeros_stay_apart(tmp_path) -> None:
    codes = Categories.read(read(tmp_path, "code,plain\n01,1\n1,2.0\n10,1\n", Categories))
    assert codes.coords["level"].tolist() == [
        "code=01", "code=1", "code=10", "plain=1", "plain=2"
    ]  # fmt: skip
    large = f"id\n{2**53}\n{2**53 + 1}\nNA\n{2**53}\n"
    assert Categories.read(read(tmp_path, large, Categories)).arguments["levels"] == (2,)


NAMES = [f"person {number:03}" for number in range(120)]


@pytest.mark.parametrize("levels", [NAMES, [*NAMES[:110], *NAMES[:10]], list(range(120))])
def test_an_identifier_among_the_answers_is_refused(levels: list) -> None:
    answers = ["yes", "no", "no"] * 40
    with pytest.raises(
        InputError, match="column 'who' of x has 1.0 levels in 120 rows, like an ident"
    ):
        Categories.read({"who": levels, "answer": answers})


def test_an_identifier_labels_rows_or_is_kept_by_its_type(tmp_path) -> None:
    rows = "".join(f"{name},{'yn'[i % 2]}\n" for i, name in enumerate(NAMES))
    labelled = Categories.read(read(tmp_path, f"rownames,answer\n{rows}", Categories))
    assert labelled.coords["row"].tolist() == NAMES and labelled.arguments["levels"] == (2,)
    declared = pd.DataFrame({"who": pd.Categorical(NAMES), "answer": ["y", "n"] * 60})
    assert Categories.read(declared).arguments["levels"] == (120, 2)


GENERATOR = np.random.default_rng(0)
SIZES = GENERATOR.normal(10, 1, 40).round(1)


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        (Reals, {"size": SIZES, "nr": np.arange(40)}, r"column 'nr' of x looks like .* \(0, 1"),
        (Counts, {"n": np.arange(1, 41)}, "column 'n' of x looks like an identifier"),
        (Reals, {"size": SIZES, "user_id": GENERATOR.permutation(40) + 500}, "column 'user_id'"),
        (Reals, {"size": np.where(np.arange(40) < 3, -999, SIZES)}, "holds -999 in 3 rows, far"),
        (Counts, {"n": np.where(np.arange(40) < 3, 99, np.arange(40) % 5)}, "holds 99 in 3 rows"),
        (Categories, {"root": list("ab?b")}, r"column 'root' of x has '\?' among its levels"),
        (Categories, {"root": ["a", "NA", "b"]}, "column 'root' of x has 'NA' among its levels"),
    ],
)
def test_columns_that_are_probably_something_else_are_named(kind, columns, message) -> None:
    frame = pd.DataFrame(columns)
    with pytest.warns(UserWarning, match=message):
        read = kind.read(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kind.read(frame, like=read.coords, fresh=False).has_missing is False


def test_measurements_get_no_word() -> None:
    years = np.arange(1900, 1940)
    far = np.where(np.arange(40) < 3, -999, np.linspace(-900, 900, 40))
    for columns in ({"year": years}, {"size": SIZES}, {"far": far}, {"id": np.repeat([1, 2], 20)}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = Reals.read(pd.DataFrame(columns))
        assert not read.has_missing


def test_the_command_line_names_the_options_that_settle_it_and_has_them(tmp_path, capsys) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("calls,all;odd\n1,0;2\n2,0;1\n9,0;8\n", encoding="utf-8")
    fit = ["fit", "poisson_mixture", str(path), "--clusters", "1", "--method", "em", "--quiet"]
    fit += ["--out", str(tmp_path / "fit.nc")]
    assert main(fit) == 2 and "(--separator)" in capsys.readouterr().err
    assert main([*fit, "--separator", ";", "--decimal", "."]) == 2  # the cells are text then
    assert "column 'calls,all' of" in (said := capsys.readouterr().err) and "1,0" in said
    assert main([*fit, "--separator", ";"]) == 0  # no cell can be anything but a decimal comma
