"""Wrong input ends in one sentence on standard error and status 2: what, where, what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr

from ppl_models.cli import main
from ppl_models.errors import InputError
from ppl_models.program.arguments.text import checked, read_settings

GOOD = "a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(12))
BITS = "a,b\n1,0\n0,1\n1,1\n"
FILES = {
    "good.csv": GOOD,
    "bits.csv": BITS,
    "names.txt": "ab\nba\nb\n",
    "empty.csv": "",
    "header.csv": "a,b\n",
    "text.csv": "a,b\n1,2\n3,high\n5,6\n",
    "infinite.csv": "a,b\n1,2\ninf,4\n5,6\n",
    "missing.csv": "a,b\n1,\n2,\n3,\n",
    "constant.csv": "a,b\n1,4\n2,4\n3,4\n",
    "twos.csv": "a,b\n1,0\n2,1\n",
    "negative.csv": "a,b\n1,4\n-2,3\n",
    "fractions.csv": "a,b\n1,4\n2.5,3\n",
    "numbers.csv": "7,2\n3,4\n5,6\n",
    "ragged.csv": "a,b\n1,2\n3,4,5\n6,7\n",
    "blank.txt": "ab\n\nba\n",
    "empty.txt": "",
    "binary.csv": "a,b\n\udcff\udcfe,1\n",
    "unknown.txt": "ab\nazb\n",
    "other.csv": "a,c\n1,2\n3,5\n",
    "ends.txt": "ab\nb<end>a\n",
    "no_ends.csv": "text\nab\n\nba\n",
    "grey.csv": "top,bottom\n0,0.5\n1,0.25\n",
    "graphs.g6": "Bo\nBw\nCF\n",
    "wrong.g6": "Bo\nab\n",
    "apart.g6": "Bo\nC`\n",
    "single.g6": "Bo\n@\n",
    "loop.csv": "graph,from,to\n0,a,b\n0,b,b\n",
    "twice.csv": "graph,from,to\n0,a,b\n1,a,b\n1,b,a\n",
    "notes.nc": "not a fit",
    "programs.py": """
import numpyro
import numpyro.distributions as dist
def silent(x=None):
    numpyro.sample("level", dist.Normal(0.0, 1.0))
def dataless(*, clusters):
    pass
def raising(x=None):
    raise ValueError("no luck")
number = 3
""",
    "broken.py": "def (:\n",
}
FIT = "--out fit.nc --method em --clusters 2"
EXACT = "--out fit.nc --method exact"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with good and bad files, in which commands run."""
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def refused(capsys: pytest.CaptureFixture[str], words: str | list[str]) -> str:
    """The one sentence by which a command is refused."""
    assert main(words.split() if isinstance(words, str) else words) == 2
    told = capsys.readouterr()
    assert told.out == "" and "Traceback" not in told.err
    assert told.err.startswith("ppl-models: ") and told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        # what is asked for
        ("", "COMMAND"),
        ("fly", "fly"),
        ("fit gaussian_mixture good.csv", "--out"),
        (f"fit gaussian_mixtur good.csv {FIT}", "there is no program 'gaussian_mixtur'"),
        ("fit gaussian_mixture good.csv --out fit.nc --method magic", "there is no method 'magic'"),
        ("experiment magic", "there is no experiment 'magic'"),
        ("list magic", "no program or method 'magic'"),
        (f"fit gaussian_mixture good.csv {FIT} --precision float16", "precision is 'float16'"),
        (f"fit gaussian_mixture good.csv {FIT} --seed -1", "--seed is -1"),
        ("fit gaussian_mixture good.csv --out fit.nc --method em", "clusters"),
        ("fit gaussian_mixture good.csv --out fit.nc --clusters two", "two"),
        # programs
        (f"fit nowhere.py:silent good.csv {FIT}", "no file 'nowhere.py'"),
        (f"fit broken.py:silent good.csv {FIT}", "could not be read as Python"),
        (f"fit programs.py:absent good.csv {FIT}", "no function 'absent'"),
        (f"fit programs.py:number good.csv {FIT}", "no function 'number'"),
        (f"fit programs.py:dataless good.csv {FIT}", "takes no data"),
        ("fit programs.py:silent good.csv --out fit.nc --method em", "no observed site"),
        ("fit programs.py:raising good.csv --out fit.nc --method em", "no luck"),
        # files
        (f"fit gaussian_mixture absent.csv {FIT}", "absent.csv does not exist"),
        (f"fit gaussian_mixture folder {FIT}", "directory"),
        (f"fit gaussian_mixture empty.csv {FIT}", "empty.csv is empty"),
        (f"fit gaussian_mixture header.csv {FIT}", "no rows"),
        (f"fit gaussian_mixture numbers.csv {FIT}", "not column names"),
        (f"fit gaussian_mixture ragged.csv {FIT}", "ragged.csv"),
        (f"fit gaussian_mixture binary.csv {FIT}", "UTF-8"),
        # cells
        (f"fit gaussian_mixture text.csv {FIT}", "column 'b' of x holds text ('high' at row 1)"),
        (f"fit gaussian_mixture infinite.csv {FIT}", "column 'a' of x holds inf at row 1"),
        (f"fit gaussian_mixture missing.csv {FIT}", "column 'b' of x is all missing"),
        (f"fit gaussian_mixture constant.csv {FIT}", "column 'b' of x is constant"),
        (f"fit bernoulli_mixture twos.csv {FIT}", "column 'a' of x holds 2 at row 1"),
        (f"fit poisson_mixture negative.csv {FIT}", "column 'a' of x holds -2 at row 1"),
        (f"fit poisson_mixture fractions.csv {FIT}", "column 'a' of x holds 2.5 at row 1"),
        (f"fit markov_chain blank.txt {EXACT}", "line 2 of blank.txt"),
        (f"fit markov_chain empty.txt {EXACT}", "empty.txt is empty"),
        (f"fit markov_chain ends.txt {EXACT}", "sequence 1 of tokens holds '<end"),
        (f"fit markov_chain no_ends.csv {EXACT}", "sequence 1 of tokens is empty"),
        (f"fit bernoulli_mixture grey.csv {FIT}", "column 'bottom' of x holds 0.5 at row 0: bits"),
        ("fit pixel_logistic grey.csv --out fit.nc --method map", "compare grey values with a thr"),
        # graphs
        (f"fit graph_chain absent.g6 {EXACT}", "absent.g6 does not exist"),
        (f"fit graph_chain empty.txt {EXACT}", "empty.txt is empty"),
        (f"fit graph_chain wrong.g6 {EXACT}", "line 2 of wrong.g6 is no graph6"),
        (f"fit graph_chain names.txt {EXACT}", "line 1 of names.txt is no graph6"),
        (f"fit graph_chain good.csv {EXACT}", "good.csv has the columns a, b"),
        (f"fit graph_chain loop.csv {EXACT}", "line 3 of loop.csv is an edge of"),
        (f"fit graph_chain twice.csv {EXACT}", "line 4 of twice.csv gives the ed"),
        (f"fit graph_chain apart.g6 {EXACT}", "graph 1 of x (line 2) is not con"),
        (f"fit graph_chain single.g6 {EXACT}", "graph 1 of x (line 2) has one no"),
        ("fit graph_chain graphs.g6 --out fit.nc --clusters 2", "no argument 'clusters'"),
        ("fit gaussian_mixture bits.csv --out fit.nc --clusters 4", "3 rows and 4 clusters"),
        ("fit gaussian_mixture good.csv --out fit.nc --clusters 0", "clusters is 0"),
        # arguments
        (f"fit gaussian_mixture good.csv {FIT} --set magic=1", "no argument 'magic'"),
        (f"fit gaussian_mixture good.csv {FIT} --set clusters=3", "'clusters' is given twice"),
        (f"fit gaussian_mixture good.csv {FIT} --set starts=many", "starts is \"many\""),
        (f"fit gaussian_mixture good.csv {FIT} --set starts=0", "starts (0)"),
        (f"fit gaussian_mixture good.csv {FIT} --set covariance=round", "covariance is 'round'"),
        (f"fit gaussian_mixture good.csv {FIT} --set concentration=-1", "concentration=[-1.0"),
        (f"fit gaussian_mixture good.csv {FIT} --set fixed={{\"zz\":1}}", "not a site"),
        (f"fit gaussian_mixture good.csv {FIT} --set fixed={{\"weights\":[1,0,0]}}", "shape (3,)"),
        (f"fit gaussian_mixture good.csv {FIT} --set fixed={{\"weights\":[2,2]}}", "outside"),
        (f"fit gaussian_mixture good.csv {FIT} --set seed=1", "use --seed"),
        (f"fit gaussian_mixture good.csv {FIT} --set starts", "name=value"),
        # what a method cannot do
        ("fit markov_chain names.txt --out fit.nc --method kmeans", "assigns nothing"),
        (f"fit bernoulli_mixture bits.csv {FIT.replace('em', 'exact')}", "site 'z' is hidden"),
        # tokens
        (f"fit gaussian_mixture good.csv {FIT} --words", "--words is for sequences of tokens"),
        (f"fit graph_chain graphs.g6 {EXACT} --unknown x", "--unknown is for sequences of tokens"),
        (f"fit markov_chain names.txt {EXACT} --min-count 2", "give --unknown"),
        (f"fit markov_chain names.txt {EXACT} --min-count 0", "--min-count is 0: give a whole"),
        (f"fit markov_chain names.txt {EXACT} --unknown <unk>", "give one character (or --words)"),
        (f"fit markov_chain names.txt {EXACT} --unknown a", "'a' that unknown= reserves"),
        (f"fit markov_chain names.txt {EXACT} --unknown _ --set vocabulary=3", "--set vocabulary="),
        # fits
        ("report absent.nc", "absent.nc does not exist"),
        ("report notes.nc", "notes.nc"),
        ("generate notes.nc --rows 3", "notes.nc"),
        ("predict notes.nc good.csv", "notes.nc"),
        ("report folder", "folder"),
        ("generate notes.nc --rows 0", "--rows is 0"),
        ("generate notes.nc --rows 3 --out nowhere/new.csv", "no folder nowhere"),
        # outputs
        ("fit gaussian_mixture good.csv --clusters 2 --out nowhere/fit.nc", "no folder nowhere"),
        ("fit gaussian_mixture good.csv --clusters 2 --out folder", "folder is a folder"),
        ("fit gaussian_mixture good.csv --clusters 2 --out bits.csv", "bits.csv exists"),
        ("fit gaussian_mixture good.csv --clusters 2 --out good.csv --overwrite", "what is read"),
        ("report notes.nc --out bits.csv", "bits.csv exists"),
    ],
)  # fmt: skip
def test_refusals(
    folder: Path, command: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert said in refused(capsys, command)
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_new_rows_must_fit_the_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--set", "predictive=0", "--quiet"]
    fit = ["fit", "gaussian_mixture", "good.csv", "--clusters", "1", "--out", "g.nc"]
    assert main([*fit, "--method", "em", "--set", "covariance=diagonal", *quick]) == 0
    assert "lacks the column 'b'" in refused(capsys, "predict g.nc other.csv")
    assert "holds text" in refused(capsys, "predict g.nc text.csv")
    assert "no rows" in refused(capsys, "predict g.nc header.csv")
    assert "what is read" in refused(capsys, "predict g.nc good.csv --out g.nc --overwrite")
    chain = ["fit", "markov_chain", "names.txt", "--method", "em", "--out", "m.nc"]
    assert main([*chain, *quick]) == 0
    assert "unknown token 'z'" in refused(capsys, "predict m.nc unknown.txt")
    assert "assigns rows to no clusters" in refused(capsys, "predict m.nc names.txt")


def test_new_graphs_must_fit_the_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = "fit graph_chain graphs.g6 --method em --out g.nc --quiet --set predictive=0"
    assert main(fit.split()) == 0
    assert "--prefix is for sequences of tokens" in refused(
        capsys, "generate g.nc --rows 2 --prefix a"
    )
    assert "--top-k is for" in refused(capsys, "generate g.nc --rows 2 --top-k 3")
    assert "nodes is 1: give a whole number from 2 up" in refused(
        capsys, "generate g.nc --rows 2 --length 1"
    )
    assert "temperature is -1" in refused(capsys, "generate g.nc --rows 2 --temperature -1")
    assert "assigns rows to no clusters" in refused(capsys, "predict g.nc graphs.g6")
    assert "line 2 of wrong.g6" in refused(capsys, "predict g.nc wrong.g6")


def test_output_is_looked_at_before_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def long_work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("ppl_models.fitting.fit", long_work)
    monkeypatch.setattr("ppl_models.load", long_work, raising=False)
    refused(capsys, "fit gaussian_mixture good.csv --clusters 2 --out bits.csv")
    refused(capsys, "report notes.nc --out bits.csv")
    refused(capsys, "generate notes.nc --rows 2 --out bits.csv")
    refused(capsys, "predict notes.nc good.csv --out bits.csv")


def test_what_cannot_be_written_whole_is_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(tree: xr.DataTree, path: Path, **_: object) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    words = "fit gaussian_mixture good.csv --method em --clusters 1 --set predictive=0"
    before = sorted(os.listdir())
    assert "No space left" in refused(capsys, f"{words} --out fit.nc")
    assert "No space left" in refused(capsys, f"{words} --out notes.nc --overwrite")
    assert sorted(os.listdir()) == before and Path("notes.nc").read_text() == "not a fit"


def test_values_are_json_or_text() -> None:
    texts = ["a=1", "b=1.5", "c=true", "d=null", "e=[1, 2]", "f=full", 'g="3"', "h=NaN", "i=x=y"]
    assert read_settings(texts, None) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": [1, 2], "f": "full", "g": "3", "h": "NaN",
        "i": "x=y",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3), (int, 3.0, 3), (int, 3.5, None), (int, True, None), (int, "3", None),
        (float, 3, 3.0), (float, "NaN", None), (float, [1, 2], [1.0, 2.0]), (float, [[1], 2], None),
        (float | None, None, None), (float | None, "x", None), (str, "full", "full"),
        (str, 3, None), (bool, True, True), (bool, 1, None), ("Any", {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_values_are_what_parameters_take(
    annotation: object, value: object, expected: object
) -> None:
    def program(x: object = None, *, argument: object = 0) -> None: ...

    if annotation != "Any":
        program.__annotations__["argument"] = annotation
    arguments = {"argument": value}
    if expected is None and value is not None:
        with pytest.raises(InputError, match="it takes"):
            checked(arguments, program, lambda: None, lambda: None)
        return
    actual = checked(arguments, program, lambda: None, lambda: None)["argument"]
    if isinstance(expected, list):
        assert actual.tolist() == expected
    else:
        assert actual == expected and type(actual) is type(expected)
