"""Mixtures beside scikit-learn's, with gaps, weights and pieces."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from scipy.stats import multivariate_normal
from sklearn.base import clone

from ppl_models.data import old_faithful
from ppl_models.errors import InputError
from ppl_models.sklearn import (
    BayesianGaussianMixture,
    BernoulliMixture,
    GaussianMixture,
    LatentClassModel,
    PoissonMixture,
)

COVARIANCES = ("full", "tied", "diag", "spherical")


@pytest.fixture(scope="module")
def geyser() -> np.ndarray:
    return old_faithful().to_numpy()


@pytest.mark.parametrize("kind", COVARIANCES)
def test_maximum_likelihood_is_scikit_learns(geyser: np.ndarray, kind: str) -> None:
    arguments = {"covariance_type": kind, "tol": 1e-8, "max_iter": 500, "random_state": 0}
    ours = GaussianMixture(2, **arguments).fit(geyser)
    theirs = sklearn.mixture.GaussianMixture(2, **arguments).fit(geyser)
    order, other = ours.means_[:, 0].argsort(), theirs.means_[:, 0].argsort()
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        mine, wanted = getattr(ours, name), getattr(theirs, name)
        if len(mine) == 2 and not (kind == "tied" and name not in ("weights_", "means_")):
            mine, wanted = mine[order], wanted[other]
        np.testing.assert_allclose(mine, wanted, rtol=1e-6)
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, rel=1e-10)
    assert ours.bic(geyser) == pytest.approx(theirs.bic(geyser))
    assert ours.aic(geyser) == pytest.approx(theirs.aic(geyser))
    np.testing.assert_allclose(
        ours.predict_proba(geyser)[:, order], theirs.predict_proba(geyser)[:, other], atol=1e-6
    )


@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("kind", COVARIANCES)
def test_variational_bayes_is_scikit_learns(geyser: np.ndarray, kind: str, prior: str) -> None:
    """One component has one start, so that all that follows is the same."""
    arguments = {"covariance_type": kind, "weight_concentration_prior_type": prior, "tol": 1e-9}
    ours = BayesianGaussianMixture(n_components=1, **arguments).fit(geyser)
    theirs = sklearn.mixture.BayesianGaussianMixture(n_components=1, **arguments).fit(geyser)
    assert ours.lower_bound_ == pytest.approx(np.squeeze(theirs.lower_bound_), rel=1e-10)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.covariances_, theirs.covariances_)
    np.testing.assert_allclose(ours.score_samples(geyser), theirs.score_samples(geyser))


def test_missing_cells_are_integrated_out(geyser: np.ndarray) -> None:
    gaps = geyser.copy()
    gaps[::3, 0], gaps[1::7, 1] = np.nan, np.nan
    model = GaussianMixture(2, random_state=0, tol=1e-10, max_iter=500).fit(gaps)
    row = [np.nan, 80.0]
    parts = [
        w * multivariate_normal(m[1], c[1, 1]).pdf(80.0)
        for w, m, c in zip(model.weights_, model.means_, model.covariances_, strict=True)
    ]
    assert model.score_samples([row])[0] == pytest.approx(np.log(sum(parts)))
    np.testing.assert_allclose(model.predict_proba([row])[0], np.array(parts) / sum(parts))
    # a maximum: no small step is better (the prior of variances, reg_covar, is next to nothing)
    best = model.score(gaps)
    for name, step in itertools.product(("means_", "covariances_"), (-1e-3, 1e-3)):
        moved = clone(model).fit(gaps)
        setattr(moved, name, getattr(moved, name) * (1 + step))
        assert moved.score(gaps) < best


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_a_weight_is_so_many_rows(geyser: np.ndarray, kind: str) -> None:
    weights = np.arange(len(geyser)) % 3
    model = GaussianMixture(2, covariance_type=kind, random_state=0)
    weighted = clone(model).fit(geyser, sample_weight=weights)
    repeated = clone(model).fit(np.repeat(geyser, weights, axis=0)[::-1])
    np.testing.assert_allclose(weighted.means_, repeated.means_)
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_)


@pytest.mark.parametrize("model", [PoissonMixture(2), LatentClassModel(2), BernoulliMixture(2)])
def test_a_weight_is_so_many_rows_of_whole_numbers(model: Any) -> None:
    """scikit-learn's check of this draws fractions, which are no counts and no shared levels."""
    random = np.random.default_rng(0)
    x = random.binomial(1, np.repeat([[0.2], [0.9]], 20, axis=0), size=(40, 6)).astype(float)
    weights = random.integers(0, 4, 40)
    model = clone(model).set_params(random_state=0, tol=1e-8)
    weighted = clone(model).fit(x, sample_weight=weights)
    repeated = clone(model).fit(np.repeat(x, weights, axis=0)[::-1])
    np.testing.assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), atol=1e-3)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-6)
    unweighted = clone(model).fit(x)
    assert abs(unweighted.lower_bound_ - repeated.lower_bound_) > 1e-3


def test_pieces_lead_to_where_all_rows_do(geyser: np.ndarray) -> None:
    tree = GaussianMixture(2, random_state=0).fit(geyser)
    model = GaussianMixture(2, random_state=0).fit(geyser[:100])
    before = model.means_.copy()
    for _ in range(20):
        for piece in np.array_split(geyser, 4):
            model.partial_fit(piece)
    order, other = model.means_[:, 0].argsort(), tree.means_[:, 0].argsort()
    assert not np.allclose(before, model.means_)
    np.testing.assert_allclose(model.means_[order], tree.means_[other], rtol=0.02)
    assert model.score(geyser) == pytest.approx(tree.score(geyser), abs=0.01)


def test_collapsed_components_are_refused() -> None:
    x = np.repeat([[0.0, 0.1], [1e6, 0.3]], 5, axis=0)
    for kind in COVARIANCES:
        with pytest.raises(InputError, match="ill-defined empirical covariance"):
            GaussianMixture(2, covariance_type=kind, reg_covar=0).fit(x)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_bits_against_brute_force(alpha: float) -> None:
    x = (np.random.default_rng(0).uniform(size=(200, 3)) < 0.3).astype(float)
    x[:100, :2] = 1 - x[:100, :2]
    model = BernoulliMixture(2, alpha=alpha, tol=1e-9, max_iter=2000, random_state=0).fit(x)
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    cells = np.where(rows[:, None] == 1, model.probs_, 1 - model.probs_)
    density = cells.prod(-1) @ model.weights_
    np.testing.assert_allclose(np.exp(model.score_samples(rows)), density)
    assert density.sum() == pytest.approx(1)
    gap = model.score_samples([[np.nan, 1, 0]])[0]
    assert np.exp(gap) == pytest.approx(density[[2, 6]].sum())
    with pytest.raises(InputError, match="row 1, column 0 of X is 0.5"):
        model.predict([[0, 1, 1], [0.5, 1, 1]])


def test_counts() -> None:
    random = np.random.default_rng(1)
    x = np.concatenate([random.poisson(3, (300, 2)), random.poisson(20, (100, 2))])
    model = PoissonMixture(2, random_state=0).fit(x)
    np.testing.assert_allclose(np.sort(model.rates_[:, 0]), [3, 20], rtol=0.1)
    np.testing.assert_allclose(np.sort(model.weights_), [0.25, 0.75], atol=0.02)
    with pytest.raises(InputError, match="whole numbers"):
        model.predict([[0.5, 1]])


def test_classes_of_answers_and_their_levels() -> None:
    random = np.random.default_rng(2)
    kind = random.integers(2, size=400)
    words = np.where(random.uniform(size=400) < np.where(kind, 0.9, 0.1), "yes", "no")
    marks = np.where(random.uniform(size=400) < np.where(kind, 0.8, 0.1), 3, 1)
    more = np.where(random.uniform(size=400) < np.where(kind, 0.8, 0.3), "b", "a")
    levels = pd.Categorical(more, categories=["c", "b", "a"])
    table = pd.DataFrame({"words": words, "marks": marks, "more": levels})
    model = LatentClassModel(2, random_state=0).fit(table)
    assert [each.tolist() for each in model.categories_] == [["no", "yes"], [1, 3], ["c", "b", "a"]]
    first = model.probs_[0][:, 1].argmax()
    np.testing.assert_allclose(model.probs_[0][first, 1], 0.9, atol=0.06)
    every = pd.DataFrame(
        itertools.product(["no", "yes"], [1, 3], ["c", "b", "a"]), columns=table.columns
    )
    assert np.exp(model.score_samples(every)).sum() == pytest.approx(1)
    known = model.score_samples(table.assign(words=None)[:1])
    both = model.score_samples(every[(every.marks == marks[0]) & (every.more == more[0])])
    assert np.exp(known[0]) == pytest.approx(np.exp(both).sum())
    with pytest.raises(InputError, match="'maybe', a level that the fit does not know"):
        model.predict(table.assign(words="maybe"))


def test_impossible_rows() -> None:
    model = BernoulliMixture(1, alpha=0).fit([[1, 0], [1, 1]])
    assert np.isneginf(model.score_samples([[0, 1]])).all()
    with pytest.raises(InputError, match="zero under every component"):
        model.predict_proba([[0, 1]])
