"""Fits in single precision find what fits in double precision find, or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import fit
from ppl_models.errors import InputError

ROWS = 100  #: of each of two groups
EDGES = {"clusters": 2, "predictive": 0, "seed": 0}


def _groups(distance: float, features: int, narrow: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(1)
    two = generator.normal(size=(2, ROWS, features)) * [[[1.0]], [[narrow]]]
    two[1] += distance
    return two.reshape(-1, features) if features > 1 else two.reshape(-1)


def _scales(tree) -> np.ndarray:
    """Standard deviation of every cluster and feature, averaged over draws, by location."""
    posterior = tree["posterior"].mean(("chain", "draw"))
    if "scale" in posterior:
        return np.sort(posterior["scale"].values.ravel())
    variance = np.diagonal(posterior["covariance"].values, axis1=-2, axis2=-1)
    return np.sort(np.sqrt(variance).ravel())


@pytest.mark.parametrize(
    "covariance", ["diagonal", pytest.param("tied", marks=pytest.mark.long), "full"]
)
def test_tight_groups_far_apart_are_found(covariance):
    x = _groups(9_999.0, 2)
    own = {"scale_matrix": np.eye(2)} if covariance in ("tied", "full") else {"scale_rate": 1.0}
    tree = fit(
        "gaussian_mixture", x, method="em", precision="float32", covariance=covariance,
        starts=2, **own, **EDGES,
    )  # fmt: skip
    groups = x.reshape(2, ROWS, 2)
    each = groups.std(1) if covariance != "tied" else np.sqrt(groups.var(1).mean(0))
    # the prior is worth a few rows of a hundred
    np.testing.assert_allclose(_scales(tree), np.sort(each.ravel()), rtol=0.08)
    density = tree["log_likelihood/x"].values.astype(float).mean()
    assert abs(density - (-np.log(2) - 1 - np.log(2 * np.pi))) < 0.3


# (such groups by EM: test_tight_groups_far_apart_are_found)
@pytest.mark.long
def test_gibbs_finds_narrow_and_far_groups():
    x = _groups(3_000.0, 1, narrow=0.03)
    tree = fit(
        "gaussian_mixture", x, method="gibbs", precision="float32", chains=2, warmup=50,
        draws=100, scale_rate=1e-3, **EDGES,
    )  # fmt: skip
    each = np.sort(x.reshape(2, ROWS).std(1))
    # a scale of a hundred rows has a posterior deviation of 7 %, its mean of 200 draws 0.5 %
    np.testing.assert_allclose(_scales(tree), each, rtol=0.05)


def test_hidden_states_far_apart():
    generator = np.random.default_rng(0)
    state = (np.arange(200) // 10) % 2
    x = (9_999.0 * state + generator.normal(size=200)).reshape(2, 100)
    tree = fit(
        "hidden_markov", x[..., None], method="em", precision="float32", states=2, starts=2,
        scale_rate=1.0, seed=0, predictive=0,
    )  # fmt: skip
    scales = _scales(tree)
    assert ((0.8 < scales) & (scales < 1.2)).all(), scales


def test_values_that_single_precision_merges_are_refused_and_the_way_out_works():
    stamps = 1.7e9 + _groups(30.0, 1)
    with pytest.raises(InputError, match=r"'x' has values near 1\.7e\+09 .* precision='float64'"):
        fit("gaussian_mixture", stamps, method="em", precision="float32", **EDGES)
    assert (_scales(fit("gaussian_mixture", stamps, method="em", **EDGES)) < 2).all()
    less = fit("gaussian_mixture", stamps - 1.7e9, method="em", precision="float32", **EDGES)
    assert (_scales(less) < 2).all()


def test_few_rows_that_single_precision_merges_are_refused_after_the_fit():
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(size=200) * 1e4, 1e7 + generator.normal(size=8)])
    arguments = {"method": "em", "scale_rate": 1.0, "starts": 2, **EDGES}
    with pytest.raises(InputError, match=r"component of 'x' lies at 1e\+07 .* precision='float64'"):
        fit("gaussian_mixture", x, precision="float32", **arguments)
    assert _scales(fit("gaussian_mixture", x, **arguments))[0] < 2
