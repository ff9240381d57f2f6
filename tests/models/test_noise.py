"""Gaussian clusters beside noise: densities in closed form, what is noise, what it is called."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from ppl_models import choose_clusters, fit, generate, impute, log_density, predict
from ppl_models.evaluation.choose_each import identified
from ppl_models.models.gaussian_noise_mixture import gaussian_noise_mixture
from ppl_models.program.reading import read_data, read_program

DRAW = np.random.default_rng(0)
ROWS = np.r_[
    DRAW.normal(0, 0.5, (25, 2)), DRAW.normal(6, 0.5, (25, 2)), DRAW.uniform(-10, 16, (12, 2))
]
ROWS[3, 1] = np.nan


def test_densities_are_those_of_the_parts(double_precision):
    observed = read_data(gaussian_noise_mixture, ROWS)
    model, structure = read_program(
        gaussian_noise_mixture, observed, {"clusters": 2}, {}, "float64"
    )
    values = structure.initial(random.key(1))
    actual = np.asarray(model.logits(values, structure))
    width = np.nanmax(ROWS, 0) - np.nanmin(ROWS, 0)
    weights, loc, covariance = (np.asarray(values[n]) for n in ("weights", "loc", "covariance"))
    for k in range(2):
        complete = multivariate_normal(loc[k], covariance[k])
        first = multivariate_normal(loc[k, 0], covariance[k, 0, 0])
        expected = np.where(np.isnan(ROWS[:, 1]), first.logpdf(ROWS[:, 0]),
                            complete.logpdf(np.nan_to_num(ROWS)))  # fmt: skip
        np.testing.assert_allclose(actual[k], np.log(weights[k]) + expected, rtol=1e-9)
    noise = np.where(np.isnan(ROWS), 0, -np.log(width)).sum(1)
    np.testing.assert_allclose(actual[2], np.log(weights[2]) + noise, rtol=1e-9)


@pytest.fixture(scope="module")
def tree():
    return fit(
        "gaussian_noise_mixture", ROWS, method="em", seed=0, clusters=2, starts=4, predictive=3
    )


def test_what_no_cluster_explains_is_called_noise(tree):
    predicted = predict(tree)
    assert predicted["cluster"].values[2] == "noise"
    called = predicted.idxmax("cluster").values
    assert (called[50:] == "noise").mean() > 0.9
    assert (called[:50] == "noise").mean() < 0.1
    # beyond all rows too, and measured by the fitted box whatever rows are asked about
    far = [[500.0, -500.0]]
    assert predict(tree, far).idxmax("cluster").item() == "noise"
    width = np.nanmax(ROWS, 0) - np.nanmin(ROWS, 0)
    log_volume = np.log(width).sum()
    np.testing.assert_allclose(tree["posterior"]["log_volume"].item(), log_volume)
    proportion = tree["posterior"]["weights"].values[0, 0, 2]
    np.testing.assert_allclose(
        log_density(tree, far).item(), np.log(proportion) - log_volume, rtol=1e-9
    )


def test_rows_are_drawn_within_the_box_and_gaps_filled(tree):
    drawn = generate(tree, 200, seed=0)["x"].values
    assert drawn.min() > np.nanmin(ROWS) - 3
    assert drawn.max() < np.nanmax(ROWS) + 3
    assert abs(impute(tree, seed=0, draws=20)["x"].values[:, 3, 1]).min() < 2


def test_em_climbs_to_where_a_step_by_hand_stays():
    """Maximum likelihood, as mclust has it beside noise of a given volume."""
    rows, box = ROWS[~np.isnan(ROWS).any(1)], 400.0
    options = {"clusters": 2, "priors": "flat", "volume": box, "starts": 3, "predictive": 0}
    tree = fit("gaussian_noise_mixture", rows, method="em", seed=0, **options)
    heights = tree["starts"]["objective"].values
    assert (np.diff(heights, axis=1)[~np.isnan(np.diff(heights, axis=1))] > -1e-9).all()
    point = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    normal = [
        multivariate_normal(mean, matrix).pdf(rows)
        for mean, matrix in zip(point["loc"], point["covariance"], strict=True)
    ]
    joint = point["weights"][:, None] * np.array([*normal, np.full(len(rows), 1 / box)])
    np.testing.assert_allclose(heights[heights == heights].max(), np.log(joint.sum(0)).sum())
    proportion = joint / joint.sum(0)
    np.testing.assert_allclose(proportion.mean(1), point["weights"], atol=1e-4)
    for k in range(2):
        mean = proportion[k] @ rows / proportion[k].sum()
        np.testing.assert_allclose(mean, point["loc"][k], atol=1e-3)
        scatter = (proportion[k] * (rows - mean).T) @ (rows - mean) / proportion[k].sum()
        np.testing.assert_allclose(scatter, point["covariance"][k], atol=1e-3)


def test_the_number_of_clusters_beside_noise_is_chosen():
    rng = np.random.default_rng(1)
    rows = np.r_[rng.normal(-4, 0.5, 40), rng.normal(4, 0.5, 40), rng.uniform(-12, 12, 8)]
    table = choose_clusters("gaussian_noise_mixture", rows[:, None], [1, 2], seed=0, starts=3)
    assert table.attrs["best"] == {"clusters": 2}
    # a share, a location and a variance of every cluster: the noise has what is left
    assert dict(zip(table["clusters"], table["parameters"], strict=True)) == {1: 3, 2: 6}


def test_parameters_of_clusters_far_from_all_rows_are_counted(double_precision):
    """At the point that is drawn the noise has all rows, and the clusters' gradients vanish."""
    x, species = load_iris(return_X_y=True)
    observed = read_data(gaussian_noise_mixture, x)
    model, structure = read_program(
        gaussian_noise_mixture, observed, {"clusters": 2}, {}, "float64"
    )
    values = {
        "weights": np.array([0.5, 0.3, 0.2]),
        "loc": np.array([x[species == k].mean(0) for k in (0, 1)]),
        "covariance": np.array([np.cov(x[species == k].T) for k in (0, 1)]),
        "scale_diagonal": np.ones(4),
    }
    values = {name: jnp.asarray(value) for name, value in values.items()}
    assert identified(model, structure, values) == 2 + 2 * 4 + 2 * 10
