"""Rows that depend on data which the program is given and does not emit."""

from __future__ import annotations

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import norm

from ppl_models import fit, generate, load, log_density, save
from ppl_models.errors import InputError

ROWS = 40


def line(y=None, x=None):
    """Heights over places; the rows are those of the places."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("y", dist.Normal(slope * x, scale), obs=y)


@pytest.fixture(scope="module")
def data():
    x = np.linspace(-1, 1, ROWS)
    return {"y": 50 * x + np.random.default_rng(0).normal(size=ROWS), "x": x}


@pytest.fixture(scope="module")
def tree(data):
    return fit(
        line, data, method="map", seed=0, steps=600, learning_rate=0.3, batch_size=16, predictive=20
    )


def test_what_is_not_emitted_is_constant_data(tree, data):
    assert list(tree["observed_data"].data_vars) == ["y"]
    np.testing.assert_array_equal(tree["constant_data"]["x"], data["x"])


def test_predictions_are_of_the_rows_own_places(tree, data):
    at = {n: float(v.item()) for n, v in tree["posterior"].data_vars.items()}
    assert abs(at["slope"] - 50) < 2
    predicted = tree["posterior_predictive"]["y"].values[0]
    residual = predicted - at["slope"] * data["x"]
    assert abs(residual.std() / at["scale"] - 1) < 0.15
    # the slope has its prior here, and the rows their places
    slopes = tree["prior"]["slope"].values[0]
    ends = tree["prior_predictive"]["y"].values[0][:, [0, -1]]
    assert np.corrcoef(slopes, ends[:, 1] - ends[:, 0])[0, 1] > 0.95


def test_new_rows_have_places_of_their_own(tree, data, tmp_path):
    save(tree, tmp_path / "fit.nc")
    again = load(tmp_path / "fit.nc")
    at = {n: float(v.item()) for n, v in tree["posterior"].data_vars.items()}
    new = {"y": [0.0, 100.0], "x": [0.0, 2.0]}
    expected = norm.logpdf(new["y"], at["slope"] * np.array(new["x"]), at["scale"])
    np.testing.assert_allclose(log_density(again, new), expected, rtol=1e-9)
    made = generate(again, rows=3, seed=0, covariates={"x": [-10.0, 0.0, 10.0]})["y"].values
    np.testing.assert_allclose(made, at["slope"] * np.array([-10, 0, 10]), atol=6 * at["scale"])
    fitted = generate(again, rows=ROWS, seed=0)["y"].values
    assert np.corrcoef(fitted, data["x"])[0, 1] > 0.99


def test_places_must_be_given_and_whole(tree, data):
    with pytest.raises(InputError, match="depend on x, and covariates holds nothing"):
        generate(tree, rows=3, seed=0)
    with pytest.raises(InputError, match="covariates holds 2 rows, and 3 are asked for"):
        generate(tree, rows=3, seed=0, covariates={"x": [1.0, 2.0]})
    with pytest.raises(InputError, match="'x' has a missing cell in row 1"):
        log_density(tree, {"y": [0.0, 1.0], "x": [0.0, np.nan]})
    with pytest.raises(InputError, match="x, which are not given"):
        log_density(tree, {"y": [0.0, 1.0]})
