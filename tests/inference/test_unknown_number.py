"""The number of clusters as an unknown: telescoping, stick breaking, DP-means."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy.special import gammaln
from scipy.stats import chisquare, dirichlet, f, kstest

from ppl_models import fit, predict
from ppl_models.errors import InputError
from ppl_models.inference.methods.telescoping import (
    draw_components,
    draw_prior,
    log_partition,
    log_prior_components,
    log_prior_weights,
)
from ppl_models.program.runtime.precision import scope

OPTIONS = {"loc_mean": 0.0, "loc_scale": 6.0, "scale_rate": 1.0, "predictive": 0}


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    generator = np.random.default_rng(1)
    return np.concatenate([generator.normal(m, 0.5, 40) for m in (-8, 0, 8)])


def test_partition_probability_is_that_of_dirichlet_weights():
    """Sum over labelled assignments of the Dirichlet-multinomial, by brute force."""
    alpha, clusters, rows = 0.7, 3, 4
    proportion = alpha / clusters
    total = 0.0
    wanted = (0, 0, 1, 0)  # the partition {0, 1, 3}, {2}
    for labels in product(range(clusters), repeat=rows):
        same = all(
            (labels[i] == labels[j]) == (wanted[i] == wanted[j])
            for i in range(rows)
            for j in range(rows)
        )
        if not same:
            continue
        counts = np.bincount(labels, minlength=clusters)
        total += np.exp(
            gammaln(alpha)
            - gammaln(alpha + rows)
            + (gammaln(counts + proportion) - gammaln(proportion)).sum()
        )
    with scope("float64"):
        counts = jnp.array([3.0, 1.0, 0.0])
        actual = float(log_partition(counts, jnp.asarray(3.0), jnp.asarray(alpha)))
    # log_partition leaves out K!-free constants only: compare K = 3 with the exact value
    assert np.isclose(actual, np.log(total), atol=1e-10)


def test_number_of_components_is_never_below_the_filled():
    with scope("float64"):
        counts = jnp.array([5.0, 2.0, 1.0, 0.0, 0.0])

        @jax.jit
        def look(keys):
            draw = jax.vmap(lambda key: draw_components(key, counts, jnp.asarray(1.0)))
            return draw(keys), log_prior_components(5000)

        drawn, log_prior = map(np.asarray, look(random.split(random.key(0), 40)))
        prior = np.exp(log_prior)
    assert min(drawn) >= 3 and max(drawn) <= 5
    assert np.isclose(prior.sum(), 1, atol=1e-3) and (np.diff(prior) < 0).all()


@pytest.mark.long
def test_telescoping_finds_three_clusters(rows):
    tree = fit(
        "gaussian_mixture",
        rows,
        method="telescoping",
        seed=0,
        clusters=8,
        warmup=200,
        draws=400,
        chains=2,
        **OPTIONS,
    )
    filled = tree["sample_stats/filled"].values
    assert (filled == 3).mean() > 0.8
    assert "labels" not in tree.children
    assert (tree["posterior/weights"].values == 0).any()  # of clusters that are not there
    assert np.isfinite(tree["sample_stats/lp"].values).all()
    assert np.isfinite(tree["log_prior/weights"].values).all()


def test_prior_of_the_weights_is_that_of_the_clusters_that_there_are():
    alpha, weights = 1.5, np.array([0.2, 0.7, 0.1])
    expected = dirichlet.logpdf(weights, np.full(3, alpha / 3)) + f.logpdf(alpha, 6, 3)
    with scope("float64"):
        log_weights = jnp.append(jnp.log(weights), -jnp.inf)
        actual = log_prior_weights(log_weights, jnp.asarray(3), jnp.asarray(alpha))
        expected += float(log_prior_components(3)[2])
    constant = f.logpdf(1.0, 6, 3) + 4.5 * np.log(3)  # of F(6, 3), left out
    assert np.isclose(float(actual), expected - constant, atol=1e-10)


def test_draws_of_the_prior_are_those_of_its_density():
    with scope("float64"):
        draw = jax.jit(jax.vmap(lambda key: draw_prior(key, 5)))
        components, alpha, proportions = (
            np.asarray(v) for v in draw(random.split(random.key(0), 4000))
        )
        expected = np.exp(np.asarray(log_prior_components(5)))
    expected = 4000 * expected / expected.sum()  # at most five here
    assert chisquare(np.bincount(components, minlength=6)[1:], expected).pvalue > 1e-3
    assert kstest(alpha, f(6, 3).cdf).pvalue > 1e-3
    np.testing.assert_allclose(proportions.sum(1), 1)
    assert ((proportions > 0).sum(1) <= components).all()
    two = proportions[components == 2]
    # of Dirichlet(α / 2, α / 2): variance 1 / (4 (α + 1))
    standard = (two[:, 0] - 0.5) * 2 * np.sqrt(alpha[components == 2] + 1)
    assert abs((standard**2).mean() - 1) < 5 * (standard**2).std() / np.sqrt(len(two))


def test_dp_means_opens_as_many_as_the_penalty_pays_for(rows):
    tree = fit(
        "gaussian_mixture",
        rows,
        method="dp_means",
        seed=0,
        clusters=8,
        penalty=16.0,
        covariance="spherical",
        predictive=0,
    )
    assert int(tree["sample_stats/components"].values.item()) == 3
    objective = tree["starts/objective"].values[0]
    assert (np.diff(objective) <= 1e-9).all()
    labels = predict(tree).values.argmax(1)
    truth = np.repeat([0, 1, 2], 40)
    assert len({(a, b) for a, b in zip(labels, truth, strict=True)}) == 3


def test_dp_means_refuses_a_penalty_of_nothing(rows):
    with pytest.raises(InputError, match="penalty"):
        fit(
            "gaussian_mixture",
            rows,
            method="dp_means",
            seed=0,
            clusters=3,
            penalty=0.0,
            covariance="spherical",
        )


def test_a_scatter_of_all_clusters_stays_as_it_is():
    """With as many features as clusters its rows were taken for clusters."""
    x = np.random.default_rng(0).normal(size=(60, 2)) * [1, 10]
    options = {"draws": 100, "warmup": 50, "chains": 2, "predictive": 0}
    tree = fit(
        "gaussian_mixture",
        x,
        method="telescoping",
        seed=0,
        clusters=2,
        covariance="tied",
        **options,
    )
    first, second = np.diagonal(tree["posterior"]["covariance"].values.mean((0, 1)))
    assert 0.5 < first < 1.5 and 30 < second < 150
