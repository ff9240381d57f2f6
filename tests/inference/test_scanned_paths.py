"""Paths of continuous states by scan: local levels, autoregressions, several series of them."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan
from scipy.stats import multivariate_normal

from ppl_models import diagnose, fit, generate, impute, log_density, loo
from ppl_models.data import Counts, Reals
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope


def trend(y: Annotated[Any, Reals] = None):
    """A level and a slope, which both walk (a local linear trend)."""
    q = numpyro.sample("q", dist.HalfNormal(1.0))
    r = numpyro.sample("r", dist.HalfNormal(1.0))

    def move(before, now):
        level, slope = before
        slope = numpyro.sample("slope", dist.Normal(slope, 0.1 * q))
        level = numpyro.sample("level", dist.Normal(level + slope, q))
        numpyro.sample("y", dist.Normal(level, r), obs=now)
        return (level, slope), None

    scan(move, (0.0, 0.0), y)


def shops(y: Annotated[Any, Reals] = None):
    """Series side by side, each with an autoregressive state of its own."""
    q = numpyro.sample("q", dist.HalfNormal(1.0))
    phi = numpyro.sample("phi", dist.Uniform(-1.0, 1.0))

    def move(before, now):
        with numpyro.plate("shop", y.shape[1]):
            state = numpyro.sample("state", dist.Normal(phi * before, q))
            numpyro.sample("y", dist.Normal(state, 0.5), obs=now)
        return state, None

    scan(move, jnp.zeros(y.shape[1]), y)


def counts(y: Annotated[Any, Counts] = None):
    """Counts whose rate walks."""
    q = numpyro.sample("q", dist.HalfNormal(1.0))

    def move(level, now):
        level = numpyro.sample("level", dist.Normal(level, q))
        numpyro.sample("y", dist.Poisson(jnp.exp(level)), obs=now)
        return level, None

    scan(move, 1.0, y)


def autoregression(y: Annotated[Any, Reals] = None):
    """A series that depends on its own last value: nothing is hidden."""
    phi = numpyro.sample("phi", dist.Uniform(-1.0, 1.0))
    r = numpyro.sample("r", dist.HalfNormal(1.0))

    def move(before, now):
        y_now = numpyro.sample("y", dist.Normal(phi * before, r), obs=now)
        return y_now, None

    scan(move, 0.0, y)


def read(program, y):
    return read_program(program, read_data(program, y), {}, {}, "float64")


def test_local_trend_is_integrated_exactly():
    """Against the covariance of the sums that the series is."""
    y = np.cumsum(np.random.default_rng(0).normal(size=12))
    with scope("float64"):
        model, structure = read(trend, y)
        actual = float(model.logits({"q": jnp.array(0.7), "r": jnp.array(0.4)}, structure).sum())
    ones = np.tril(np.ones((12, 12)))
    cov = 0.7**2 * ones @ ones.T + 0.07**2 * (ones @ ones) @ (ones @ ones).T + 0.16 * np.eye(12)
    assert structure.gaussian_locals and structure.unit_count == 1
    assert actual == pytest.approx(multivariate_normal.logpdf(y, np.zeros(12), cov), rel=1e-9)


def ar_covariance(phi, q, steps):
    transfer = np.array(
        [[phi ** (i - j) if i >= j else 0.0 for j in range(steps)] for i in range(steps)]
    )
    return q**2 * transfer @ transfer.T


def test_series_are_units_of_their_own():
    y = np.random.default_rng(1).normal(size=(9, 3))
    y[4, 1] = np.nan
    with scope("float64"):
        model, structure = read(shops, y)
        values = {"q": jnp.array(0.8), "phi": jnp.array(0.6)}
        actual = np.asarray(model.logits(values, structure))
    cov = ar_covariance(0.6, 0.8, 9) + 0.25 * np.eye(9)
    for n in range(3):
        seen = ~np.isnan(y[:, n])
        exact = multivariate_normal.logpdf(
            y[seen, n], np.zeros(seen.sum()), cov[np.ix_(seen, seen)]
        )
        assert actual[0, n] == pytest.approx(exact, rel=1e-9)
    assert structure.plate == "shop" and structure.rows == 3


def test_counts_by_importance_sampling():
    """Against a filter on a fine grid."""
    y = np.random.default_rng(2).poisson(3.0, size=8)
    with scope("float64"):
        model, structure = read(counts, y)
        actual = float(model.logits({"q": jnp.array(0.4)}, structure).sum())
    grid = np.linspace(-4, 6, 2001)
    width = grid[1] - grid[0]
    step = np.exp(-0.5 * ((grid[:, None] - grid) / 0.4) ** 2) / (0.4 * np.sqrt(2 * np.pi))
    density, total = np.exp(-0.5 * ((grid - 1.0) / 0.4) ** 2) / (0.4 * np.sqrt(2 * np.pi)), 0.0
    for count in y:
        likelihood = np.exp(count * grid - np.exp(grid) - np.sum(np.log(np.arange(1, count + 1))))
        joint = density * likelihood
        norm = joint.sum() * width
        total, density = total + np.log(norm), (joint / norm) @ step * width
    assert not structure.gaussian_locals
    assert actual == pytest.approx(total, abs=0.02)


@pytest.fixture(scope="module")
def many():
    random = np.random.default_rng(3)
    state, rows = np.zeros(6), []
    for _ in range(15):
        state = 0.8 * state + 0.7 * random.normal(size=6)
        rows.append(state + 0.5 * random.normal(size=6))
    y = np.array(rows)
    options = {"chains": 2, "warmup": 150, "draws": 150, "predictive": 5}
    return y, fit(shops, y, method="nuts", seed=0, **options)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_after_a_fit(many):
    y, tree = many
    assert tree["posterior"]["state"].dims == ("chain", "draw", "step", "shop")
    assert log_density(tree).dims == ("shop",) and log_density(tree, y[:5, :2]).shape == (2,)
    assert loo(tree).n_data_points == 6
    assert diagnose(tree) is not None
    assert generate(tree, 4, seed=0)["y"].size
    gaps = np.concatenate([y, np.full((3, 6), np.nan)])  # the next three steps
    ahead = impute(tree, gaps, draws=200, seed=0)["y"].values[:, -3:]
    spread = ahead.std(0).mean(1)
    assert spread[0] < spread[2] * 1.1 and np.isfinite(ahead).all()


def test_em_integrates_the_states_out(many):
    """At its maximum of the likelihood no draw is more likely."""
    y, draws = many
    options = {"method": "em", "seed": 0, "priors": "flat", "starts": 2, "predictive": 0}
    tree = fit(shops, y, **options)
    of_draws = draws["log_likelihood/y"].sum("shop").values
    assert float(tree["log_likelihood/y"].sum()) > of_draws.max()


def test_nothing_hidden():
    y = np.random.default_rng(4).normal(size=40)
    tree = fit(autoregression, y, method="map", seed=0, steps=500, predictive=0)
    phi, r = (tree["posterior"][n].item() for n in ("phi", "r"))
    before = np.concatenate([[0.0], y[:-1]])
    exact = -0.5 * (((y - phi * before) / r) ** 2).sum() - 40 * np.log(r) - 20 * np.log(2 * np.pi)
    assert float(log_density(tree)[0]) == pytest.approx(exact, rel=1e-9)
