"""Command and call that are said to make a fit again do so, or words say what they lack."""

from __future__ import annotations

import json
import shlex
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hand_made import point

import ppl_models
from ppl_models import catalogue
from ppl_models.cli.parser import build_parser
from ppl_models.data import Categories, Vocabulary, read_file
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.arguments.text import checked, column_types, read_settings
from ppl_models.report.sections.reproduction import (
    command_line,
    fit_arguments,
    plain,
    python_call,
    reproduce,
)

WORDS = ["abba", "ab", "ba"]


def made(program: str, method: str, arguments: dict, configuration: dict, **more: Any):
    """A point of no site, with what is said of how it was made."""
    fit = more.pop("fit", {"predictive": 100, "relabel": "ecr"})
    names = [*arguments, *configuration]
    tree = point(**configuration)
    tree.attrs |= {
        "program": program, "method": method, "seed": 3, "arguments": to_json(arguments),
        "fit_options": to_json({"names": names, **fit}), **more,
    }  # fmt: skip
    return tree


def read_by_the_shell(tree: xr.DataTree) -> dict[str, Any]:
    """All that the command tells ``fit``, as the command line reads it."""
    parsed = build_parser().parse_args(shlex.split(command_line(tree))[1:])
    assert (parsed.program, parsed.method) == (tree.attrs["program"], tree.attrs["method"])
    assert (parsed.seed, parsed.precision) == (3, tree.attrs.get("precision", "float64"))
    method = getattr(catalogue.method(parsed.method), parsed.method)
    settings = read_settings(parsed.settings, parsed.clusters)
    return checked(settings, catalogue.program(parsed.program), method, ppl_models.fit)


def called(tree: xr.DataTree) -> dict[str, Any]:
    """All that the call tells ``fit`` by name."""
    names = {"np": np, "data": None, "ppl_models": Stand}
    return eval(python_call(tree), names)  # noqa: S307


class Stand:
    """In place of the package: gives back what its ``fit`` is called with."""

    data = ppl_models.data

    @staticmethod
    def fit(program: str, data: Any, **named: Any) -> dict[str, Any]:
        return named


CASES = [
    made("gaussian_mixture", "em", {"clusters": 3, "covariance": "full", "loc_mean": np.ones(2)},
         {"starts": 4, "priors": "flat", "tolerance": 1e-7}, precision="float32"),
    made("hidden_markov", "nuts", {"states": 2, "emission": "categorical", "levels": (3, 2)},
         {"chains": 2, "draws": 30}, fit={"predictive": 5, "relabel": None}),
    made("recurrent_chain", "svi", {"hidden": 4, "cell": "lstm"},
         {"sites": ("output", "output_bias"), "steps": 10, "checkpoint": "run.npz"}),
    made("gaussian_mixture", "em", {"clusters": 1}, {}, fixed=to_json({"scale": np.array(2.0)})),
]  # fmt: skip


@pytest.mark.parametrize("tree", CASES, ids=lambda tree: tree.attrs["program"])
def test_command_and_call_hold_all_that_was_given(tree):
    wanted = fit_arguments(tree)
    assert set(read_by_the_shell(tree)) == set(wanted) and wanted
    in_python = called(tree)
    assert set(in_python) == {*wanted, "method", "seed"} | {"precision"} & set(tree.attrs)
    for name, value in wanted.items():
        for actual in (read_by_the_shell(tree)[name], in_python[name]):
            assert plain(actual) == plain(value)
    (block,) = reproduce(tree)
    assert block.code == f"{command_line(tree)}\n\n{python_call(tree)}"


def test_the_levels_of_categories_are_read_as_whole_numbers():
    assert read_by_the_shell(CASES[1])["levels"] == (3, 2)


@pytest.mark.parametrize("unknown", [None, "?"])
def test_a_vocabulary_that_was_given_is_said_in_words_and_written_in_python(unknown):
    vocabulary = Vocabulary(("b", "a", "?"), unknown)
    tree = ppl_models.fit("markov_chain", WORDS, method="em", seed=3, vocabulary=vocabulary,
                          predictive=0)  # fmt: skip
    (block,) = reproduce(tree)
    assert "cannot pass `vocabulary`" in block.text and "ppl-models fit" not in block.code
    assert called(tree)["vocabulary"] == vocabulary


def test_what_the_data_determine_is_not_given_again():
    tree = ppl_models.fit("markov_chain", WORDS, method="em", seed=3, predictive=0)
    assert fit_arguments(tree) == {"predictive": 0}
    assert command_line(tree).startswith("ppl-models fit markov_chain DATA.txt --method em")


def test_words_are_asked_for_again():
    clicks = [["home", "cart"], ["home", "home"]]
    tree = ppl_models.fit("markov_chain", clicks, method="em", seed=0, predictive=0)
    assert "DATA.txt --words --method em" in command_line(tree)


def test_long_arrays_and_programs_of_no_file_are_told_in_words():
    tree = made("kinds:mine", "em", {"ones": np.linspace(0, 1, 90)}, {})
    (block,) = reproduce(tree)
    assert "`ones` is the array of shape (90,)" in block.text and "ones=ones" in block.code
    assert "does not find `kinds:mine`" in block.text and "ppl-models fit" not in block.code


def test_a_fit_of_before_names_were_kept_says_all(fits):
    tree = fits.as_point(fits.gaussian_fit(rows=30, draws=8))
    tree.attrs["arguments"] = json.dumps({"clusters": 3, "covariance": "full"})
    assert fit_arguments(tree) == {"clusters": 3, "covariance": "full", "starts": 6}
    assert "--clusters 3" in command_line(tree) and "covariance=full" in command_line(tree)


def test_columns_of_one_table_are_given_by_their_types_again(tmp_path):
    """Also those that are of another type than they look, and a column that labels the rows."""
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 2
    frame = pd.DataFrame(
        {
            "number": [f"n{row}" for row in range(60)],
            "visits": rng.poisson(4 + 5 * kind),
            "town": np.where(kind, "Ulm", "Bonn"),
            "note": "none",
        }
    )
    frame.to_csv(tmp_path / "DATA.csv", index=False)
    types = {"visits": "normal", "note": "skip"}
    tree = ppl_models.fit("mixed_mixture", frame.set_index("number"), method="em", seed=3,
                          clusters=2, types=types, predictive=0, starts=2)  # fmt: skip
    (block,) = reproduce(tree)
    assert "use Python" not in block.text and "`n0`, `n1`, ..." in block.text
    types = {"visits": "normal", "town": "categorical", "note": "skip"}
    assert called(tree)["types"] == types
    options = build_parser().parse_args(shlex.split(command_line(tree))[1:])
    assert options.index == "COLUMN"
    table = read_file(tmp_path / "DATA.csv", kind=Categories, index="number")
    types = column_types(options.types)
    named = read_by_the_shell(tree)
    again = ppl_models.fit("mixed_mixture", table, method="em", seed=3, types=types, **named)
    np.testing.assert_array_equal(again["posterior"]["loc"], tree["posterior"]["loc"])


def test_a_column_with_a_comma_is_named_in_python_only():
    frame = pd.DataFrame({"length, mm": [1.5, 2.5, 3.5], "kind": ["a", "b", "a"]})
    tree = ppl_models.fit("mixed_mixture", frame, method="em", seed=3, clusters=1, predictive=0)
    (block,) = reproduce(tree)
    assert "cannot pass `types`" in block.text and "ppl-models fit" not in block.code
    assert called(tree)["types"] == {"length, mm": "normal", "kind": "categorical"}


def test_what_a_program_computes_from_its_data_is_not_among_them():
    links = np.triu(np.random.default_rng(0).integers(0, 2, (8, 8)), 1)
    tree = ppl_models.fit("stochastic_block_model", links + links.T, method="em", seed=3,
                          clusters=2, starts=1, predictive=0)  # fmt: skip
    (block,) = reproduce(tree)
    assert "adjacency" not in block.text and "ppl-models fit stochastic_block_model" in block.code
