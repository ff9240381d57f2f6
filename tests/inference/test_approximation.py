"""Variational inference and MAP where there are several modes: the best is kept, or it is said."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import diagnose, fit
from ppl_models.diagnostics.approximation import approximation_findings
from ppl_models.inference.gradient import accuracy
from ppl_models.inference.methods import svi as svi_file

LOC = np.array([-6.0, -2.0, 2.0, 6.0])
OPTIONS = {"states": 4, "predictive": 0, "steps": 400}


@pytest.fixture(scope="module")
def steps():
    """Sequences of four states that last, far apart."""
    generator = np.random.default_rng(0)
    path = np.zeros((10, 30), int)
    for t in range(1, 30):
        moved = generator.random(10) < 0.1
        path[:, t] = np.where(moved, generator.integers(0, 4, 10), path[:, t - 1])
    return LOC[path][..., None] + 0.4 * generator.normal(size=(10, 30, 1))


@pytest.fixture(scope="module")
def approximation(steps):
    return fit("hidden_markov", steps, method="svi", seed=0, draws=50, **OPTIONS)


def test_the_approximation_is_in_ems_mode(steps, approximation):
    """From draws of the prior alone it ended 230 nats below, three times in three."""
    loc = np.sort(approximation["posterior"]["loc"].values.mean((0, 1)).ravel())
    np.testing.assert_allclose(loc, LOC, atol=0.3)
    selected = approximation["starts"].to_dataset()
    assert selected.sizes["start"] == 4 and selected["best"].values.sum() == 1
    bounds = selected["bound_of_short_run"].values
    assert selected["best"].values[bounds.argmax()]
    assert approximation.attrs["evidence_bound"] >= bounds.max() - 1
    text = str(diagnose(approximation))
    assert "best mode that is known" in text and "Pareto k" in text and "chains agree" not in text


@pytest.mark.parametrize("method", ["svi", pytest.param("map", marks=pytest.mark.long)])
def test_a_poorer_mode_is_named(monkeypatch, steps, method):
    """Where every start is thrown to one state alone, the fit is not to be trusted."""
    from ppl_models.inference.methods import map as map_file

    file = svi_file if method == "svi" else map_file

    def poor(problem, guide, start, *rest, **options):
        start = {**start, "loc": 0 * start["loc"], "scale": 5 + 0 * start["scale"]}
        return trained(problem, guide, start, *rest, **options)

    trained = file.train
    monkeypatch.setattr(file, "train", poor)
    options = {**OPTIONS, "steps": 40, "starts": 1} | ({"draws": 50} if method == "svi" else {})
    tree = fit("hidden_markov", steps, method=method, seed=0, **options)
    diagnosis = diagnose(tree)
    assert not diagnosis.trustworthy
    assert any("poorer mode" in finding.what for finding in diagnosis.of("problem"))


def test_one_start_is_said_where_em_does_not_serve(own):
    tree = fit(own.no_assignment, np.linspace(0, 1, 20), method="svi", seed=0, steps=20)
    what = [finding.what for finding in approximation_findings(tree)]
    assert any("only one start" in sentence for sentence in what)


def test_bound_of_a_guide_that_is_the_posterior():
    """Equal weights: the bound is the evidence, and there is no tail."""
    assert accuracy.bound(np.full(50, -3.0)) == -3
    assert accuracy.pareto_shape(np.full(50, -3.0)) == -np.inf
    heavy = 3 * np.random.default_rng(0).standard_cauchy(200)
    assert accuracy.pareto_shape(heavy) > 0.7
    assert accuracy.pareto_shape(np.array([0.0, np.nan])) == np.inf
