"""Bounds by NumPyro's own distributions: lifetimes that had not ended, numbers cut off at zero."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import logsumexp

from ppl_models import fit, generate, log_density, predict
from ppl_models.data import Bits, Reals
from ppl_models.program.model import Model

DRAW = np.random.default_rng(0)
PARALLEL = {"enumerate": "parallel"}


def lifetimes(
    time: Annotated[Any, Reals] = None, ended: Annotated[Any, Bits] = None, *, clusters, rows=None
):
    """Lifetimes of several kinds; of those that had not ended, how long they had lasted."""
    rows = rows if time is None else len(time)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 2.0))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        lifetime = dist.RightCensoredDistribution(dist.Exponential(rate[z]), 1 - ended)
        numpyro.sample("time", lifetime, obs=time)


def truncated(x: Annotated[Any, Reals] = None, *, clusters, rows=None):
    """Numbers of which only those above zero were kept."""
    rows = rows if x is None else len(x)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        numpyro.sample("x", dist.TruncatedNormal(loc[z], 1.0, low=0.0), obs=x)


def test_censored_lifetimes_count_by_their_survival():
    complete = DRAW.exponential(2.0, size=30)
    data = {"time": np.minimum(complete, 2.5), "ended": (complete < 2.5).astype(int)}
    options = {"method": "em", "starts": 1, "clusters": 1, "seed": 0, "predictive": 0}
    tree = fit(lifetimes, data, fixed={"weights": [1.0]}, **options)
    # Gamma(2 + events, 2 + time at risk)
    mode = (1 + data["ended"].sum()) / (2 + data["time"].sum())
    rate = tree["posterior"]["rate"].values.item()
    np.testing.assert_allclose(rate, mode, rtol=1e-6)
    by_hand = np.where(data["ended"] == 1, np.log(rate), 0) - rate * data["time"]
    np.testing.assert_allclose(log_density(tree, data), by_hand, rtol=1e-6)
    drawn = generate(tree, 2, seed=0, covariates={"ended": [1, 0]})["time"]
    assert (drawn > 0).all()


def _densities(values, x):
    """Of numbers above zero in two clusters, ``(cluster, row)``."""
    weights, loc = values["weights"], values["loc"]
    bounded = stats.truncnorm(-loc, np.inf, loc, 1.0)
    return np.log(weights)[:, None] + bounded.logpdf(x[:, None]).T


X = np.abs(np.r_[DRAW.normal(0.2, 1, 20), DRAW.normal(6, 1, 20)])


@pytest.mark.usefixtures("double_precision")
def test_truncated_numbers_have_a_density_above_the_bound():
    model = Model(truncated, {"x": X}, {"clusters": 2}, {})
    values = {"weights": np.array([0.3, 0.7]), "loc": np.array([-0.5, 5.0])}
    actual = model.logits({n: jnp.asarray(v) for n, v in values.items()}, model.structure())
    np.testing.assert_allclose(actual, _densities(values, X), rtol=1e-9)


@pytest.mark.long
def test_truncated_numbers_are_clustered_and_drawn_above_the_bound():
    tree = fit(truncated, X, method="em", starts=1, clusters=2, seed=0, predictive=0)
    parts = _densities({n: tree["posterior"][n].values[0, 0] for n in ("weights", "loc")}, X)
    total = logsumexp(parts, axis=0)
    np.testing.assert_allclose(log_density(tree), total, rtol=1e-6)
    np.testing.assert_allclose(predict(tree).values, np.exp(parts - total).T, atol=1e-6)
    assert (generate(tree, 50, seed=1)["x"] > 0).all()
