"""Clusters with heavy tails: maxima of the likelihood, outliers, gaps, weights, draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpyro import handlers
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_t

from ppl_models import fit, generate, impute, log_density, predict
from ppl_models.errors import InputError
from ppl_models.models.student_t_mixture import student_t_mixture
from ppl_models.plots import plot_clusters

_g = np.random.default_rng(4)
CENTRES = np.array([[0.0, 0.0], [7.0, 3.0]])
KIND = np.arange(120) % 2
ROWS = CENTRES[KIND] + _g.standard_t(3.0, size=(120, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]])


def _log_likelihood(weights, loc, scatter, df, rows=ROWS):
    each = [
        multivariate_t(m, s, df=v).logpdf(rows) for m, s, v in zip(loc, scatter, df, strict=True)
    ]
    return logsumexp(np.log(weights)[:, None] + each, axis=0).sum()


def _unpacked(vector):
    proportion = 1 / (1 + np.exp(-vector[0]))
    loc, lower = vector[1:5].reshape(2, 2), vector[5:11].reshape(2, 3)
    factor = np.zeros((2, 2, 2))
    factor[:, 0, 0], factor[:, 1, 1] = np.exp(lower[:, 0]), np.exp(lower[:, 1])
    factor[:, 1, 0] = lower[:, 2]
    scatter = factor @ factor.swapaxes(1, 2)
    return np.array([proportion, 1 - proportion]), loc, scatter, np.exp(vector[11:])


@pytest.fixture(scope="module")
def tree():
    return fit("student_t_mixture", ROWS, method="em", seed=0, clusters=2, starts=2, priors="flat",
               tolerance=1e-13)  # fmt: skip


def test_em_reaches_the_maximum_of_the_likelihood(tree):
    """By a general optimiser on SciPy's density, from the true parameters."""
    start = np.r_[0.0, CENTRES.ravel(), np.zeros(6), np.log([4.0, 4.0])]
    best = minimize(lambda v: -_log_likelihood(*_unpacked(v)), start, tol=1e-9)
    point = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    actual = _log_likelihood(point["weights"], point["loc"], point["scatter"], point["df"])
    assert abs(actual + best.fun) < 1e-5
    np.testing.assert_allclose(log_density(tree).sum(), actual, rtol=1e-10)
    assert (predict(tree).values.argmax(1) == KIND).mean() in (
        pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.05)
    )  # fmt: skip


def test_pictures_are_of_student_t(tree):
    """The curve that holds nine rows in ten does, where a normal's would hold fewer."""
    drawn = plot_clusters(tree, probabilities=(0.9,))
    lines = [drawn.viz["ellipses"]["shown"].sel(cluster=k).item() for k in range(2)]
    point = tree["posterior"].isel(chain=0, draw=0)
    for line, loc, scatter, df in zip(
        lines, point["loc"].values, point["scatter"].values, point["df"].values, strict=True
    ):
        corners = line.get_segments()[0] - loc
        square = np.einsum("ni,ij,nj->n", corners, np.linalg.inv(scatter), corners)
        rows = multivariate_t(np.zeros(2), scatter, df=df, seed=0).rvs(20_000)
        inside = np.einsum("ni,ij,nj->n", rows, np.linalg.inv(scatter), rows) < square[0]
        np.testing.assert_allclose(square, square[0])
        assert abs(inside.mean() - 0.9) < 5 * np.sqrt(0.09 / 20_000)


def test_degrees_of_freedom_that_are_none_are_refused():
    for wrong in (0.0, [1.0, 2.0, 3.0], [1.0, np.nan]):
        with pytest.raises(InputError, match="df is"):
            handlers.seed(student_t_mixture, 0)(clusters=2, rows=3, features=2, df=wrong)


@pytest.mark.long
def test_degrees_of_freedom_may_be_held():
    arguments = {"method": "em", "seed": 0, "clusters": 2, "starts": 2, "priors": "flat"}
    held = fit("student_t_mixture", ROWS, df=4.0, **arguments)
    assert "df" not in held["posterior"]
    point = {n: v.values[0, 0] for n, v in held["posterior"].data_vars.items()}
    actual = _log_likelihood(point["weights"], point["loc"], point["scatter"], [4.0, 4.0])
    np.testing.assert_allclose(log_density(held).sum(), actual, rtol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("priors", ["flat", "program"])
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_em_never_falls(priors, gaps):
    rows = ROWS.copy()
    if gaps:
        rows[::7, 0] = rows[3::11, 1] = np.nan
    tree = fit("student_t_mixture", rows, method="em", seed=0, clusters=3, starts=3, priors=priors,
               predictive=0)  # fmt: skip
    path = tree["starts/objective"].values
    assert not (np.diff(path, axis=1) < -1e-9 * (1 + np.abs(path[:, 1:]))).any()
    if gaps:
        assert np.isfinite(impute(tree, seed=0)["x"].values).all()


@pytest.mark.long
def test_rows_with_weights_are_the_repeated_rows():
    counts = np.arange(120) % 3
    arguments = {"method": "em", "seed": 0, "clusters": 2, "starts": 2, "tolerance": 1e-13}
    one = fit("student_t_mixture", ROWS, weights=counts, resolution=0.01, **arguments)
    complete = fit(
        "student_t_mixture", np.repeat(ROWS, counts, axis=0), resolution=0.01, **arguments
    )
    for name in ("loc", "scatter", "weights", "df"):
        np.testing.assert_allclose(
            np.sort(one["posterior"][name].values.ravel()),
            np.sort(complete["posterior"][name].values.ravel()),
            rtol=1e-5,
            err_msg=name,
        )


@pytest.mark.long
@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_gibbs_and_nuts_agree(gaps):
    rows = ROWS.copy()
    if gaps:
        rows[::5, 0] = rows[3::6, 1] = np.nan
    arguments = {"seed": 0, "clusters": 2, "chains": 2, "predictive": 0}
    gibbs = fit("student_t_mixture", rows, method="gibbs", warmup=500, draws=8000, **arguments)
    nuts = fit("student_t_mixture", rows, method="nuts", warmup=500, draws=2000, **arguments)
    import arviz as az

    for name in ("loc", "scatter", "df", "weights"):
        both = []
        for tree in (gibbs, nuts):
            sites = tree["posterior"].dataset[[name]]
            sites = np.log(sites) if name == "df" else sites
            ess = az.ess(sites)[name].values
            drawn = sites[name]
            assert (ess > 200).all(), (name, ess)
            mean, sd = (getattr(drawn, of)(["chain", "draw"]).values for of in ("mean", "std"))
            both.append((mean, sd / np.sqrt(ess)))
        (one, error), (other, its) = both
        assert (np.abs(one - other) < 5 * np.hypot(error, its)).all(), name


@pytest.mark.long
def test_generated_rows_have_the_tails():
    tree = fit("student_t_mixture", ROWS, method="em", seed=0, clusters=2, starts=2, df=2.0)
    drawn = generate(tree, 4000, seed=0)["x"].values.reshape(-1, 2)
    assert np.abs(drawn).max() > 25
