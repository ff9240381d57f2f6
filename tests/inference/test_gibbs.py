"""Gibbs on sufficient statistics: the same posterior as NUTS, as a kernel and as a block."""

from __future__ import annotations

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro.infer import MCMC, NUTS, Gibbs

from ppl_models import fit
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_clusters
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    generator = np.random.default_rng(3)
    return np.concatenate([generator.normal(-2, 0.7, 40), generator.normal(2, 1.0, 60)])


OPTIONS = {"seed": 0, "clusters": 2, "predictive": 0, "starts": 0}


@pytest.fixture(scope="module")
def gibbs(rows):
    return fit("gaussian_mixture", rows, method="gibbs", keep_assignments=True, **OPTIONS)


def partly_conjugate(x=None, *, rows=None):
    """A program whose scales and hyper-parameter have no closed form."""
    middle = numpyro.sample("middle", dist.Normal(0, 2))
    with numpyro.plate("component", 2):
        loc = numpyro.sample("loc", dist.Normal(middle, 3))
        scale = numpyro.sample("scale", dist.HalfNormal(2))
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("row", rows if x is None else x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)


def agree(one, other, names) -> None:
    """Means of two fits within five standard errors of both."""
    for name in names:
        a, b = one["posterior"][name], other["posterior"][name]
        ess = [az.ess(t["posterior"].dataset[[name]])[name].values for t in (one, other)]
        assert min(e.min() for e in ess) > 150
        spread = [v.std(("chain", "draw")).values for v in (a, b)]
        error = np.hypot(spread[0] / np.sqrt(ess[0]), spread[1] / np.sqrt(ess[1]))
        gap = (a.mean(("chain", "draw")) - b.mean(("chain", "draw"))).values
        assert (np.abs(gap) < 5 * error).all(), (name, gap, error)
        # a standard deviation has about sd / sqrt(2 ess) of error
        assert np.allclose(spread[0], spread[1], rtol=5 / np.sqrt(min(e.min() for e in ess)))


@pytest.mark.long
def test_agrees_with_nuts_where_not_conjugate(rows):
    options = {"seed": 0, "predictive": 0, "starts": 0}
    gibbs = fit(partly_conjugate, rows, method="gibbs", draws=2000, **options)
    nuts = fit(partly_conjugate, rows, method="nuts", warmup=300, draws=500, **options)
    agree(gibbs, nuts, ["weights", "loc", "scale", "middle"])
    assert 0.5 < float(gibbs["sample_stats/acceptance_rate"].mean()) <= 1


@pytest.mark.long
def test_a_block_of_numpyros_gibbs_gives_the_same_posterior(rows, gibbs):
    with scope("float64"):
        model = Model(gaussian_mixture, {"x": rows}, {"clusters": 2}, {})
        problem = Problem(model, model.structure())

        def program():
            gaussian_mixture(rows, clusters=2)

        kernel = Gibbs(
            [
                (StatisticsGibbs(problem, sites=("weights", "loc")), ("weights", "loc")),
                (NUTS(program), ("scale", "scale_rate")),
            ]
        )
        sampler = MCMC(kernel, num_warmup=200, num_samples=1500, progress_bar=False)
        sampler.run(random.key(0))
        block = np.sort(np.asarray(sampler.get_samples()["loc"]), axis=1)
    reference = np.sort(gibbs["posterior/loc"].values.reshape(-1, 2), axis=1)
    ess = min(float(az.ess(block[None, :, k])) for k in range(2))
    assert ess > 100
    error = reference.std(0) / np.sqrt(ess)
    assert (np.abs(block.mean(0) - reference.mean(0)) < 5 * np.hypot(error, error)).all()


def test_drawn_clusters_have_the_shares_of_the_logits():
    proportions = np.array([0.1, 0.0, 0.6, 0.3])
    logits = jnp.log(jnp.tile(jnp.asarray(proportions)[:, None], (1, 100_000))) + 50.0
    drawn = np.asarray(draw_clusters(random.key(1), logits))
    actual = np.bincount(drawn, minlength=4) / len(drawn)
    assert actual[1] == 0
    assert np.all(
        np.abs(actual - proportions)
        < 5 * np.sqrt(proportions * (1 - proportions) / len(drawn)) + 1e-12
    )


@pytest.mark.long
def test_gaps_of_correlated_features_are_drawn_too():
    generator = np.random.default_rng(0)
    x = generator.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], 150)
    x[:40, 1] = np.nan
    tree = fit(
        "gaussian_mixture",
        x,
        method="gibbs",
        seed=0,
        clusters=1,
        predictive=0,
        loc_scale=10.0,
        chains=2,
        warmup=100,
        draws=500,
        starts=0,
        relabel=None,
    )
    drawn = tree["posterior/loc"].values.reshape(-1, 2)
    # complete-data regression gives the likelihood's answer for the second mean
    seen = x[40:]
    slope = np.cov(seen.T)[0, 1] / np.var(seen[:, 0], ddof=1)
    expected = seen[:, 1].mean() + slope * (x[:, 0].mean() - seen[:, 0].mean())
    assert abs(drawn[:, 1].mean() - expected) < 0.03


def test_assignments_are_kept_on_request(gibbs):
    assignment = gibbs["posterior/assignment"]
    assert assignment.dims == ("chain", "draw", "row")
    proportion = (assignment == 0).mean(("chain", "draw")).values
    expected = gibbs["responsibilities/responsibilities"].sel(cluster=0).values
    assert np.abs(proportion - expected).max() < 5 * 0.5 / np.sqrt(100)


def test_one_sweep_is_traced_once(rows):
    with scope("float64"):
        model = Model(gaussian_mixture, {"x": rows}, {"clusters": 2}, {})
        kernel = StatisticsGibbs(Problem(model, model.structure()))
        state = kernel.init(random.key(0), 10, None, (), {})
        count = []

        def e_step(state):
            count.append(1)
            return kernel.sample(state, (), {})

        compiled = jax.jit(e_step)
        for _ in range(3):
            state = compiled(state)
    assert len(count) == 1
