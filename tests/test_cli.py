"""The command line gives what the calls from Python give, in files that can be read again."""

from __future__ import annotations

import inspect
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_line import spoken

import ppl_models
from ppl_models import catalogue
from ppl_models.cli import main, process
from ppl_models.data import graphs_text, old_faithful, read_file
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.tables import TINY

QUICK = ["--method", "em", "--set", "starts=2", "--set", "predictive=0"]
MAP = ["--method", "map", "--set", "steps=5", "--set", "predictive=0"]
#: for programs whose posterior has a closed form
EXACT = ["--method", "exact", "--set", "draws=4", "--set", "chains=1", "--set", "predictive=0"]
BY_COUNTS = ["--method", "kneser_ney", "--set", "predictive=0"]
#: A program or more for every kind of data, which is what files are read and written by, and for
#: every way to fit one; how it is fitted. What all programs generate, `posterior` tests.
WAYS = {
    "bernoulli_mixture": QUICK, "categorical_mixture": QUICK, "gaussian_mixture": QUICK,
    "graph_chain": EXACT, "hidden_markov": QUICK, "markov_chain": EXACT,
    "pitman_yor_chain": BY_COUNTS, "pixel_logistic": MAP, "poisson_mixture": QUICK,
}  # fmt: skip

ROWS = 20  #: that are generated


@pytest.fixture(scope="module")
def faithful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "faithful.csv"
    old_faithful().iloc[:60].to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(faithful: Path) -> Path:
    out = faithful.with_suffix(".nc")
    words = [
        "fit",
        "gaussian_mixture",
        faithful,
        "--clusters",
        2,
        "--seed",
        3,
        "--out",
        out,
        "--quiet",
        *QUICK,
    ]
    assert main([str(word) for word in words]) == 0
    return out


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"]], ids=" ".join)
def test_help_answers_in_a_third_of_a_second(words: list[str]) -> None:
    best = np.inf
    for _ in range(20):  # the machine may be busy: one quick answer shows that it can be quick
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "ppl_models", *words], capture_output=True)
        best = min(best, time.perf_counter() - began)
        assert done.returncode == 0 and done.stdout.startswith(b"usage: ppl-models")
        if best < 0.3:
            break
    assert best < 0.3


def test_help_tells_the_process_wide_switches(capsys: pytest.CaptureFixture[str]) -> None:
    said = spoken(capsys, "--help")
    assert "MPLBACKEND=Agg" in said and "PPL_MODELS_CACHE_DIR" in said


def test_switches_leave_what_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "pdf")
    process.prepare()
    assert os.environ["MPLBACKEND"] == "pdf"


def test_rows_of_a_large_file_are_shared_between_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "cores", lambda: 7)
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    small.write_text("a\n1\n")
    large.write_text("a\n" + "0.25\n" * 100_000)
    process.set_device_count(None, str(small))
    assert "JAX_NUM_CPU_DEVICES" not in os.environ
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")  # and is restored after the test
    process.set_device_count(None, str(large))
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "3"
    del os.environ["JAX_NUM_CPU_DEVICES"]
    process.set_device_count(None, str(large))
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "7"
    process.set_device_count(2, str(small))
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "2"


def test_list_names_every_program_and_method(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split(maxsplit=1) for line in spoken(capsys, "list").splitlines() if line]
    described = {words[0]: words[1] for words in lines if len(words) == 2}
    for name in catalogue.model_names():
        assert described[name] == catalogue.summary("models", name)
    for name in catalogue.method_names():
        assert described[name] == catalogue.summary("inference/methods", name)


def test_list_of_one_name_shows_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    lines = spoken(capsys, "list", "gaussian_mixture").splitlines()
    assert "  clusters (required)" in lines and "  covariance='full'" in lines
    assert "  starts=16" in spoken(capsys, "list", "em").splitlines()


def test_fit_is_the_call_from_python(fitted: Path, faithful: Path) -> None:
    tree = ppl_models.load(fitted)
    same = ppl_models.fit(
        "gaussian_mixture",
        pd.read_csv(faithful),
        method="em",
        seed=3,
        clusters=2,
        starts=2,
        predictive=0,
    )
    xr.testing.assert_identical(tree["posterior"].to_dataset(), same["posterior"].to_dataset())
    for name in ("program", "method", "seed", "precision", "arguments", "configuration"):
        assert tree.attrs[name] == same.attrs[name]


def test_fit_says_whether_it_can_be_trusted(
    faithful: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fit.nc"
    said = spoken(
        capsys,
        "fit",
        "gaussian_mixture",
        faithful,
        "--clusters",
        1,
        "--out",
        out,
        "--precision",
        "float32",
        "--set",
        "covariance=diagonal",
        *QUICK,
    )
    assert said.splitlines()[0] == str(out)
    assert "trust" in said or "with care" in said
    tree = ppl_models.load(out)
    assert tree.attrs["precision"] == "float32"
    assert tree["posterior"]["scale"].sizes["feature"] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_report_stands_beside_the_fit(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = fitted.with_suffix(".html")
    assert spoken(capsys, "report", fitted).strip() == str(page)
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    spoken(capsys, "report", fitted, status=2)
    spoken(capsys, "report", fitted, "--overwrite")


def test_columns_are_left_out_of_fit_and_of_prediction(
    faithful: Path, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file's other columns need no other file: the same fit as without them."""
    frame = pd.read_csv(faithful)
    wide, out = tmp_path / "wide.csv", tmp_path / "wide.nc"
    frame.assign(town=["Ulm", "Bonn"] * 30, note="x").to_csv(wide, index=False)
    fit = ["fit", "gaussian_mixture", wide, "--clusters", 2, "--seed", 3, "--quiet", *QUICK]
    assert main([str(word) for word in [*fit, "--out", out]]) == 2
    assert "--drop leaves it out" in capsys.readouterr().err
    drop = ["--drop", "town", "--drop", "note"]
    spoken(capsys, *fit, *drop, "--out", out)
    xr.testing.assert_equal(ppl_models.load(out)["posterior"], ppl_models.load(fitted)["posterior"])
    assert main(["predict", str(out), str(wide)]) == 2
    assert "--drop" in capsys.readouterr().err
    rows = spoken(capsys, "predict", out, wide, *drop)
    assert rows == spoken(capsys, "predict", fitted, faithful)
    assert main(["predict", str(out), str(wide), "--drop", "towns"]) == 2
    assert "--drop names the column 'towns'" in capsys.readouterr().err


def test_predict_is_the_call_from_python(
    fitted: Path, faithful: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(io.StringIO(spoken(capsys, "predict", fitted, faithful)))
    expected = ppl_models.predict(ppl_models.load(fitted), pd.read_csv(faithful)).values
    np.testing.assert_allclose(table[["probability_0", "probability_1"]], expected, atol=1e-12)
    assert table["cluster"].tolist() == expected.argmax(1).tolist()
    assert table["row"].tolist() == list(range(60))


def test_generate_is_the_call_from_python(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ppl_models.generate(ppl_models.load(fitted), ROWS, seed=5)["x"]
    said = spoken(capsys, "generate", fitted, "--rows", ROWS, "--seed", 5)
    table = pd.read_csv(io.StringIO(said))
    assert list(table.columns) == expected["feature"].values.tolist()
    np.testing.assert_allclose(table, expected.values, rtol=1e-12)
    out = tmp_path / "new.csv"
    words = ["generate", fitted, "--rows", ROWS, "--seed", 5, "--out", out]
    assert spoken(capsys, *words) == f"{out}\n"
    assert out.read_text() == said
    spoken(capsys, *words, status=2)
    assert out.read_text() == said


def test_no_kind_of_data_is_left_out() -> None:
    kinds = [
        {kind for name in names for kind in data_parameters(catalogue.program(name)).values()}
        for names in (WAYS, catalogue.model_names())
    ]
    assert kinds[0] == kinds[1]


#: bits and tokens of another program too
LIKE_OTHERS = ("pixel_logistic", "pitman_yor_chain")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n in LIKE_OTHERS else n for n in WAYS],
)
def test_every_kind_of_data_is_read_as_it_was_generated(
    name: str, fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = data_parameters(catalogue.program(name))
    ((site, kind),) = kinds.items()
    if name == "gaussian_mixture":  # which the other tests have fitted
        fit, suffix = fitted, ".csv"
    else:
        fit, suffix = fitted_to_few(name, kind, tmp_path, capsys)
    like = {
        n: list(v) for n, v in json.loads(ppl_models.load(fit).attrs["coordinate_labels"]).items()
    }
    for new in (tmp_path / f"new{suffix}", tmp_path / "new table.csv"):
        spoken(capsys, "generate", fit, "--rows", ROWS, "--out", new)
        if name == "pitman_yor_chain":  # which may write an empty line, and that is no data
            continue
        read = kind.read(read_file(new, kind=kind), site=site, like=like, fresh=False)
        assert len(read.values) == ROWS
        for dim in ("feature", "level", "token", "offset"):
            assert list(map(str, read.coords.get(dim, []))) == list(map(str, like.get(dim, [])))


def fitted_to_few(
    name: str, kind: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str]:
    """A fit to a file of a few rows of that kind, and the ending of the file's name."""
    rows = TINY[kind.__name__]
    if kind.__name__ == "Tokens":
        data = tmp_path / "data.txt"
        data.write_text("".join(f"{row}\n" for row in rows))
    elif kind.__name__ == "Graphs":
        data = tmp_path / "data.g6"
        data.write_text(graphs_text([nx.from_numpy_array(np.array(row)) for row in rows]))
    elif kind.__name__ == "Series":
        data = tmp_path / "data.csv"
        steps = [(*step, label) for label, piece in zip("ab", rows, strict=True) for step in piece]
        pd.DataFrame(steps, columns=["left", "right", "sequence"]).to_csv(data, index=False)
    else:
        data = tmp_path / "data.csv"
        columns = [f"column {i}" for i in range(len(rows[0]))]
        pd.DataFrame(rows, columns=columns).to_csv(data, index=False)
    parameters = inspect.signature(catalogue.program(name)).parameters
    clusters = [f"--set={n}=1" for n in ("clusters", "states") if n in parameters]
    fit = tmp_path / "fit.nc"
    spoken(capsys, "fit", name, data, *clusters, "--out", fit, "--quiet", *WAYS[name])
    return fit, data.suffix


def test_cores_are_counted_from_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "x.csv"
    data.write_text("a\n1\n2\n5\n")
    words = ["fit", "gaussian_mixture", str(data), "--out", str(tmp_path / "fit.nc")]
    assert main([*words, "--devices", "0"]) == 2
    assert "--devices is 0" in capsys.readouterr().err


def test_ctrl_c_ends_even_what_does_not_listen(tmp_path: Path) -> None:
    program = tmp_path / "sleeper.py"
    program.write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(60)\n"
    )
    (tmp_path / "data.csv").write_text("a,b\n1,2\n3,5\n")
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ppl_models",
            "fit",
            f"{program}:none",
            "data.csv",
            "--out",
            "fit.nc",
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)
    assert running.returncode == 130 and said == "ppl-models: stopped\n"
    assert not (tmp_path / "fit.nc").exists()


def test_a_reader_that_goes_away_is_no_error(fitted: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "ppl_models", "generate", fitted, "--rows", str(ROWS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()  # before the first row is ready
        said = running.stderr.read()
    assert running.returncode == 141 and said == ""


def test_a_defect_is_one_sentence_unless_asked(
    faithful: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of\nours")

    monkeypatch.setattr("ppl_models.fitting.fit", broken)
    words = ["fit", "gaussian_mixture", str(faithful), "--out", str(tmp_path / "fit.nc")]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "unexpected ZeroDivisionError: of ours" in said
    assert main(["--debug", *words]) == 1
    assert "Traceback" in capsys.readouterr().err
