"""Methods that draw, against closed forms and numerical integration."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
from scipy import integrate, stats

from ppl_models import fit


def _counts(tokens, vocabulary):
    """First tokens and steps, counted by hand."""
    initial, transition = np.zeros(vocabulary), np.zeros((vocabulary, vocabulary + 1))
    for row in tokens:
        initial[row[0]] += 1
        for before, after in zip(row[:-1], row[1:], strict=True):
            if before < vocabulary:
                transition[before, after] += 1
    return initial, transition


def _known(row):
    initial, transition = _counts(row.data, 3)
    return {
        "initial": initial + row.interior["initial_concentration"],
        "transition": transition + row.interior["concentration"],
    }


def _moments(concentration):
    total = concentration.sum(-1, keepdims=True)
    mean = concentration / total
    return mean, mean * (1 - mean) / (total + 1)


def assert_moments(draws, mean, variance, enough=200):
    """Mean and variance of draws ``(chain, draw, ...)``, by their own effective sizes."""
    draws = np.asarray(draws).reshape(*np.shape(draws)[:2], -1)
    pairs = zip(draws.transpose(2, 0, 1), np.ravel(mean), np.ravel(variance), strict=True)
    for each, centre, square in pairs:
        for actual, expected in ((each, centre), ((each - centre) ** 2, square)):
            ess = float(az.ess(actual, method="mean"))
            assert ess > enough
            assert abs(actual.mean() - expected) < 5 * actual.std() / np.sqrt(ess)


def test_exact_draws_have_the_dirichlet_posterior(built_ins, fitted):
    row = built_ins["markov_chain"]
    tree = fitted(row, "exact")
    for name, concentration in _known(row).items():
        draws = tree["posterior"][name].values
        assert_moments(draws, *_moments(concentration), enough=2000)
        flat = draws.reshape(-1, *draws.shape[2:])
        # independent draws: no correlation from one to the next
        column = flat.reshape(len(flat), -1)[:, 0]
        step = np.corrcoef(column[:-1], column[1:])[0, 1]
        assert abs(step) < 5 / np.sqrt(len(flat))
    rows = tree["posterior/transition"].values.sum(-1)
    np.testing.assert_allclose(rows, 1, rtol=1e-12)


@pytest.fixture(scope="module")
def proportions(own):
    """Unknown shares of two known normals: rows, and 2,000 draws."""
    generator = np.random.default_rng(4)
    x = np.where(generator.random(25) < 0.3, -1.0, 2.0) + generator.normal(0, 1.5, 25)
    tree = fit(
        own.known_places,
        x,
        method="nuts",
        seed=1,
        predictive=0,
        chains=2,
        warmup=200,
        draws=1000,
        starts=2,
    )
    return x, tree


def test_nuts_agrees_with_numerical_integration(proportions):
    x, tree = proportions
    one, two = stats.norm(-1.0, 1.5).pdf(x), stats.norm(2.0, 1.5).pdf(x)

    def density(w):
        return w * np.exp(np.log(w * one + (1 - w) * two).sum() + 40)  # prior: Beta(2, 1)

    total = integrate.quad(density, 0, 1)[0]
    mean = integrate.quad(lambda w: w * density(w), 0, 1)[0] / total
    square = integrate.quad(lambda w: w**2 * density(w), 0, 1)[0] / total
    draws = tree["posterior/weights"].values[..., 0]
    assert_moments(draws, mean, square - mean**2)
    ess = float(az.ess(draws))
    for q in (0.1, 0.5, 0.9):  # the share of draws below the true quantile
        below = _quantile(density, total, q)
        assert abs((draws < below).mean() - q) < 5 * np.sqrt(q * (1 - q) / ess)


def _quantile(density, total, q):
    grid = np.linspace(1e-6, 1 - 1e-6, 4001)
    cumulative = integrate.cumulative_simpson([density(w) for w in grid], x=grid, initial=0)
    return np.interp(q, cumulative / total, grid)


def test_nuts_reports_starts_and_statistics(proportions):
    _, tree = proportions
    assert tree["starts/chain_weights"].shape == (2, 2)
    assert (tree["starts/chain_weights"].values[0] != tree["starts/chain_weights"].values[1]).any()
    assert {"objective", "best", "converged"} <= set(tree["starts"].data_vars)
    stats_group = tree["sample_stats"]
    for name in (
        "lp",
        "diverging",
        "n_steps",
        "acceptance_rate",
        "energy",
        "step_size",
        "tree_depth",
    ):
        assert stats_group[name].dims == ("chain", "draw"), name
    assert int(stats_group["diverging"].sum()) == 0
    assert tree.attrs["kind"] == "draws"


def test_nuts_serves_rows_with_latents_of_their_own(own):
    """Normal means with normal noise: the marginal posterior of the centre is known."""
    x = np.random.default_rng(5).normal(0.7, 1.1, 20)
    tree = fit(
        own.latent_for_every_row,
        x,
        method="nuts",
        seed=0,
        predictive=0,
        chains=2,
        warmup=200,
        draws=500,
    )
    precision = 1 + len(x) / 1.25  # x_n ~ Normal(loc, sqrt(1 + 0.25)), loc ~ Normal(0, 1)
    mean, deviation = x.sum() / 1.25 / precision, precision**-0.5
    assert_moments(tree["posterior/loc"].values, mean, deviation**2, enough=100)
    assert tree["posterior/true"].sizes["row"] == 20
