"""NumPyro's distributions as programs build them: of Python's numbers, of counts in the data."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax.scipy.special import logsumexp
from numpyro import handlers

from ppl_models import fit, generate, load, log_density, loo_pit, save
from ppl_models.errors import ProgramFailed, UnsupportedError
from ppl_models.program.handlers.unbounded_totals import UnboundedTotals

PARALLEL = {"enumerate": "parallel"}


def of_inverse_gammas(x=None, rows=None, *, clusters, shape):
    """Variances of a shape for which NumPyro divides Python's numbers by zero."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
        v = numpyro.sample("v", dist.InverseGamma(shape, 1.0))
    with numpyro.plate("row", rows if x is None else x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("x", dist.StudentT(8.0, mu[z], jnp.sqrt(v[z])), obs=x)


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_a_prior_may_have_no_mean_or_variance(shape):
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(-3, 1, 30), generator.normal(3, 1, 30)])
    tree = fit(of_inverse_gammas, x, method="em", seed=0, starts=2, clusters=2, shape=shape)
    np.testing.assert_allclose(np.sort(tree["posterior"]["mu"].values.ravel()), [-3, 3], atol=0.6)


def of_words(x=None, *, clusters, rows=None, words=None):
    """Totals of counts are computed from the counts."""
    rows, words = (rows, words) if x is None else x.shape
    totals = 20 if x is None else x.sum(-1)
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        p = numpyro.sample("p", dist.Dirichlet(jnp.ones(words)))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("x", dist.Multinomial(totals, p[z]), obs=x)


def of_totals(x, totals, *, clusters):
    """Totals of counts are a covariate."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        p = numpyro.sample("p", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("row", len(totals)):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("x", dist.Multinomial(totals, p[z]), obs=x)


@pytest.fixture(scope="module")
def counts():
    generator = np.random.default_rng(1)
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    return np.stack([generator.multinomial(generator.integers(5, 30), p[i % 2]) for i in range(40)])


@pytest.mark.parametrize("program", [of_words, of_totals])
@pytest.mark.parametrize("method", ["em", "nuts"])
def test_multinomial_totals_may_be_data(counts, program, method, tmp_path):
    options = {"starts": 2} if method == "em" else {"chains": 1, "warmup": 20, "draws": 20}
    data = {"x": counts, "totals": counts.sum(-1)} if program is of_totals else counts
    tree = fit(program, data, method=method, seed=0, clusters=2, predictive=5, **options)
    posterior = tree["posterior"].to_dataset()
    with jax.enable_x64(True):
        each = dist.Multinomial(counts.sum(-1), posterior["p"].values[..., None, :])
        terms = each.log_prob(counts) + jnp.log(posterior["w"].values)[..., None]
        expected = np.asarray(logsumexp(terms, axis=2))  # (chain, draw, row)
    save(tree, tmp_path / "fit.nc")
    density = log_density(load(tmp_path / "fit.nc"))
    if method == "em":
        np.testing.assert_allclose(np.ravel(density), expected.ravel(), rtol=1e-9)
    if program is of_words:  # without data it draws totals of 20; replicated data have others
        assert (generate(tree, 7, seed=1)["x"].values.sum(-1) == 20).all()
        assert "posterior_predictive" not in tree.children
        if method == "nuts":
            with pytest.raises(UnsupportedError, match="computed from the data 'x'"):
                loo_pit(tree, draws=20)
    else:
        drawn = generate(tree, len(counts), seed=1)["x"].values
        np.testing.assert_array_equal(drawn.reshape(-1, *counts.shape).sum(-1), [counts.sum(-1)])


def of_columns(x=None, *, clusters, rows=None, words=None):
    """The number of columns has a name of its own."""
    rows, words = (rows, words) if x is None else x.shape
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.3).expand([words]).to_event(1))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("x", dist.Poisson(rate[z]).to_event(1), obs=x)


def test_the_number_of_columns_may_have_any_name(counts):
    tree = fit(of_columns, counts, method="em", seed=0, starts=2, clusters=2)
    assert generate(tree, 7, seed=1)["x"].shape[-2:] == (7, 3)


def of_pairs(x=None, *, clusters, rows=None, pairs=None, words=None):
    """Two parameters each run the program without data; one draws the columns of the data."""
    rows, words = (rows, words or 2 * pairs) if x is None else x.shape
    w = numpyro.sample("w", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.3).expand([words]).to_event(1))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(w), infer=PARALLEL)
        numpyro.sample("x", dist.Poisson(rate[z]).to_event(1), obs=x)


def test_of_two_sizes_the_one_that_draws_as_many_columns_as_the_data_is_told(counts):
    tree = fit(of_pairs, counts, method="em", seed=0, starts=2, clusters=2)
    assert generate(tree, 7, seed=1)["x"].shape[-2:] == (7, 3)


@pytest.mark.parametrize(
    "kind",
    [
        lambda total: dist.Multinomial(total, probs=jnp.array([0.2, 0.3, 0.5])),
        lambda total: dist.Multinomial(total, logits=jnp.log(jnp.array([0.2, 0.3, 0.5]))),
        lambda total: dist.DirichletMultinomial(jnp.array([2.0, 3.0, 5.0]), total),
    ],
    ids=["probs", "logits", "dirichlet"],
)
def test_counts_of_traced_totals_have_the_moments_of_the_distribution(kind):
    def program(totals):
        with numpyro.plate("row", len(totals)):
            numpyro.sample("x", kind(totals))

    @jax.jit
    def drawn(key, totals):
        with UnboundedTotals():
            trace = handlers.trace(handlers.seed(program, key)).get_trace(totals)
        return trace["x"]["value"]

    totals = jnp.array([4, 9])
    draws = jax.vmap(drawn, (0, None))(jax.random.split(jax.random.key(0), 20_000), totals)
    np.testing.assert_array_equal(draws.sum(-1), jnp.broadcast_to(totals, draws.shape[:2]))
    expected = kind(totals)
    deviation = np.sqrt(np.asarray(expected.variance))
    np.testing.assert_allclose(draws.mean(0), expected.mean, atol=5 * deviation.max() / 141)
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.05)


def of_contrasts(x, *, clusters):
    """Log-odds of all clusters but the last."""
    with numpyro.plate("contrast", clusters - 1):
        odds = numpyro.sample("odds", dist.Normal(0.0, 3.0))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        logits = jnp.concatenate([odds, jnp.zeros(1)])
        z = numpyro.sample("z", dist.Categorical(logits=logits), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def test_a_plate_without_entries_is_told_with_its_sizes():
    with pytest.raises(ProgramFailed, match="plate without entries at clusters=1"):
        fit(of_contrasts, np.arange(4.0), method="em", seed=0, clusters=1)
