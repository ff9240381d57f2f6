"""Choosing the number of clusters: nested mixtures fitted at once equal separate fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from ppl_models import fit
from ppl_models.data import latent_classes, old_faithful
from ppl_models.errors import InputError
from ppl_models.evaluation.choose_clusters import choose_clusters


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return choose_clusters(
        "gaussian_mixture",
        old_faithful(),
        range(1, 5),
        seed=0,
        over={"covariance": ["full"]},
        heldout=0.0,
    )


def test_rows_are_the_maximum_likelihood_fits_of_their_own(table):
    row = table[table.clusters == 2].iloc[0]
    tree = fit(
        "gaussian_mixture",
        old_faithful(),
        method="em",
        seed=1,
        clusters=2,
        priors="flat",
        predictive=0,
        starts=8,  # as of the same fit in the tests of em
    )
    own = float(tree["log_likelihood/x"].sum())
    assert abs(row.log_likelihood - own) < 1e-4
    assert row.parameters == tree.attrs["parameters"]
    # one cluster has a closed form
    x = old_faithful().to_numpy()
    own = multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x).sum()
    assert abs(table[table.clusters == 1].iloc[0].log_likelihood - own) < 1e-4


def test_criteria_follow_from_likelihood_and_parameters(table):
    rows = len(old_faithful())
    assert np.allclose(table.bic, -2 * table.log_likelihood + table.parameters * np.log(rows))
    assert np.allclose(table.aic, -2 * table.log_likelihood + 2 * table.parameters)
    assert (table.icl >= table.bic - 1e-9).all()
    assert table.attrs["best"] == {"covariance": "full", "clusters": 2}
    # mclust's published log-likelihoods of one and two full covariances (one-sided)
    by_clusters = table.set_index("clusters").log_likelihood
    assert by_clusters[1] > -1289.79675 - 1e-3 and by_clusters[2] > -1130.26407 - 1e-3
    assert by_clusters.sort_index().is_monotonic_increasing


@pytest.mark.long
def test_latent_classes_are_counted_right():
    probs = [np.array([[0.9, 0.1], [0.2, 0.8]])] * 5
    data, _ = latent_classes(0, 400, weights=[0.5, 0.5], probs=probs)
    chosen = choose_clusters("categorical_mixture", data, range(1, 4), seed=0)
    assert chosen.attrs["best"] == {"clusters": 2}


def test_held_out_density_is_that_of_rows_not_seen():
    chosen = choose_clusters(
        "gaussian_mixture", old_faithful(), (1, 2), seed=0, heldout=0.25, criterion="heldout"
    )
    assert chosen.attrs["best"] == {"clusters": 2}
    assert chosen.heldout.between(-6, -3).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "wisdom"}, "choose one of"),
        ({"criterion": "heldout"}, "heldout="),
        ({"criterion": "loo"}, "needs draws"),
        ({"method": "gibbs"}, "needs draws"),
        ({"clusters": []}, "from 1 up"),
        ({"method": "map"}, "compares maxima of the likelihood"),
    ],
)
def test_what_cannot_be_compared_is_refused(options, message):
    arguments = {"clusters": (1, 2), "seed": 0} | options
    with pytest.raises(InputError, match=message):
        choose_clusters("gaussian_mixture", old_faithful(), **arguments)


@pytest.mark.long
def test_draws_are_compared_by_leave_one_out():
    data = old_faithful().iloc[:80, 1].to_numpy()
    chosen = choose_clusters(
        "gaussian_mixture",
        data,
        (1, 2),
        seed=0,
        criterion="loo",
        method="gibbs",
        chains=2,
        draws=300,
        warmup=100,
        starts=0,
    )
    assert chosen.attrs["best"] == {"clusters": 2}
    assert chosen.loc["K=1", "elpd_diff"] < -10
    assert np.isclose(chosen.weight.sum(), 1)
