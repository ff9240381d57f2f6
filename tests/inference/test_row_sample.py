"""Starts that are told apart on a sample of the rows: the mode is that of all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ppl_models import catalogue, fit
from ppl_models.inference.em import row_sample
from ppl_models.inference.em.loop import EMRuns
from ppl_models.inference.problem import Problem
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.keys import make_key

DRAW = np.random.default_rng(0)
KIND = DRAW.integers(2, size=240)
ERRORS = DRAW.uniform(0.1, 0.5, (240, 1))
NUMBERS = (6 * KIND + DRAW.normal(size=240) * np.sqrt(1 + ERRORS[:, 0]))[:, None]
MEASURED = {"x": NUMBERS, "errors": ERRORS}


@pytest.fixture
def few(monkeypatch):
    """A sample is 60 rows."""
    monkeypatch.setattr(row_sample, "SEED_ROWS", 60)


def _problem(name, data, weights=None, **options):
    observed = read_data(catalogue.program(name), data)
    model, structure = read_program(catalogue.program(name), observed, options, {}, "float64")
    return Problem(replace(model, weights=weights), structure)


def test_the_two_best_optima_of_the_sample_go_on():
    """Starts whose values are where they end: optima 0, 1 and 2, two of the starts at the best."""
    ends = np.array([0.0, 2.0, 1.0, 2.0, *np.full(12, -5.0)])

    def run(values, iterations):
        at = np.asarray(values["a"])
        done = np.ones(len(at), bool)
        return EMRuns({"a": at}, at[:, None], done.astype(int), done, {})

    def none(runs):
        return np.zeros(len(runs.objective), bool)

    kinds = [f"start {i}" for i in range(16)]
    values, chosen = row_sample.best_on_sample({"a": ends}, kinds, run, none, 9)
    assert (values["a"].tolist(), chosen) == ([2.0, 1.0], ["start 1", "start 2"])
    # a component that collapsed is set aside
    values, chosen = row_sample.best_on_sample(
        {"a": ends}, kinds, run, lambda runs: runs.objective[:, 0] == 2, 9
    )
    assert (values["a"].tolist(), chosen) == ([1.0, 0.0], ["start 2", "start 0"])


# two fits are compiled, 30 CPU seconds: which starts go on is tested above
@pytest.mark.long
def test_the_mode_is_that_of_all_rows(monkeypatch):
    options = {"clusters": 2, "method": "em", "seed": 0, "starts": 8, "predictive": 0}
    tree = fit("extreme_deconvolution", MEASURED, **options)
    monkeypatch.setattr(row_sample, "SEED_ROWS", 60)
    part = fit("extreme_deconvolution", MEASURED, **options)
    assert tree["starts"].sizes["start"] == 8
    assert 1 <= part["starts"].sizes["start"] <= 2
    np.testing.assert_allclose(part["sample_stats"]["lp"], tree["sample_stats"]["lp"], rtol=1e-8)
    for name, value in tree["posterior"].items():
        np.testing.assert_allclose(part["posterior"][name], value, atol=1e-4)


def test_a_sample_has_its_rows_errors_and_weights(few):
    weights = np.arange(240.0)
    part = row_sample.row_sample(
        _problem("extreme_deconvolution", MEASURED, weights, clusters=2), make_key(0)
    )
    rows = part.model.weights.astype(int)
    assert part.structure.rows == len(np.unique(rows)) == 60
    for name, value in MEASURED.items():
        np.testing.assert_array_equal(part.model.data[name], value[rows])


def test_rows_that_cannot_be_left_out_are_all_kept(few):
    labels = {"item": KIND, "annotator": np.arange(240) % 3, "label": KIND}
    assert row_sample.row_sample(_problem("dawid_skene", labels), make_key(0)) is None
