"""Sequences from the command line: by words or characters, and the states along hidden paths."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import spoken
from hand_made import point

import ppl_models
from ppl_models.cli import main
from ppl_models.posterior.density.sequences import of_words

QUICK = ["--method", "em", "--set", "starts=2", "--set", "predictive=0"]


@pytest.mark.parametrize(
    ("program", "name", "text"),
    [
        ("hidden_markov", "x.csv", "height,sequence\n0.1,b\n0.2,b\n8.5,b\n9.0,b\n8.8,a\n0.3,a\n"),
        # (tokens go the way of rows of numbers, and come from files in the tests below)
        pytest.param("hidden_token_chain", "x.txt", "aab\nb\n", marks=pytest.mark.long),
    ],
)
def test_predict_writes_hidden_paths(
    program: str, name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, fit = tmp_path / name, tmp_path / "fit.nc"
    data.write_text(text)
    spoken(capsys, "fit", program, data, "--set=states=2", "--out", fit, "--quiet", *QUICK)
    table = pd.read_csv(io.StringIO(spoken(capsys, "predict", fit, data)))
    tree = ppl_models.load(fit)
    paths, proportions = ppl_models.best_paths(tree), ppl_models.state_probabilities(tree)
    inside = paths.values >= 0
    labels = paths["sequence"].values.repeat(inside.sum(1))
    assert table["sequence"].tolist() == labels.tolist()
    assert table["position"].tolist() == np.nonzero(inside)[1].tolist()
    assert table["state"].tolist() == paths.values[inside].tolist()
    columns = ["probability_0", "probability_1"]
    np.testing.assert_allclose(table[columns], proportions.values[inside], atol=1e-9)


def test_what_was_fitted_by_words_is_read_and_written_by_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, fit, new = tmp_path / "clicks.txt", tmp_path / "fit.nc", tmp_path / "new.txt"
    data.write_text("home news sport\nhome shop cart pay\nhome  news\n")
    words = ["--words", "--unknown", "<other>", "--min-count", 2, "--quiet"]
    spoken(capsys, "fit", "chain_mixture", data, "--clusters=2", "--out", fit, *words, *QUICK)
    assert ppl_models.load(fit)["posterior"]["token"].values.tolist() == ["home", "news", "<other>"]
    spoken(capsys, "generate", fit, "--rows", 5, "--prefix", "home news", "--out", new)
    lines = new.read_text().splitlines()
    assert len(lines) == 5 and all(line.startswith("home news") for line in lines)
    assert set(" ".join(lines).split()) <= {"home", "news", "<other>"}
    for file, count in ((new, 5), (data, 3)):
        table = pd.read_csv(io.StringIO(spoken(capsys, "predict", fit, file)))
        assert len(table) == count
    read = [line.split() for line in data.read_text().splitlines()]
    expected = ppl_models.predict(ppl_models.load(fit), read).values
    np.testing.assert_allclose(table[["probability_0", "probability_1"]], expected, atol=1e-12)


def test_words_of_one_character_are_words_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, fit = tmp_path / "x.txt", tmp_path / "fit.nc"
    data.write_text("a b\nb b a\n")
    spoken(capsys, "fit", "markov_chain", data, "--words", "--out", fit, "--quiet", *QUICK[:2])
    said = spoken(capsys, "generate", fit, "--rows", 3, "--prefix", "a b").splitlines()
    assert all(line.startswith("a b") and set(line) == {"a", "b", " "} for line in said)


def test_characters_are_said_to_be_read_where_words_may_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "x.txt"
    data.write_text("a b\nb b a\n")
    assert (
        main(["fit", "markov_chain", str(data), "--out", str(tmp_path / "f.nc"), *QUICK[:2]]) == 0
    )
    assert (
        "note: the tokens are single characters, spaces included: --words"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("labels", "attributes", "expected"),
    [
        ({"token": ["a", "b"]}, {}, False),
        ({"token": ["a", "b"]}, {"words": 1}, True),
        ({"token": ["a", "bc"]}, {}, True),
        ({"token": ["a", "<unk>"], "unknown_token": ["<unk>"]}, {}, False),
        ({"feature": ["height"]}, {}, False),
    ],
)
def test_words_are_told_by_the_fit(
    labels: dict[str, list[str]], attributes: dict[str, int], expected: bool
) -> None:
    tree = point()
    tree.attrs |= {"coordinate_labels": json.dumps(labels), **attributes}
    assert of_words(tree) is expected
