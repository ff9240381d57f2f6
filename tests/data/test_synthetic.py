"""Drawn data have the parameters that they were drawn from, and are hard where they should be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from ppl_models.data import (
    Bits,
    Categories,
    Reals,
    blobs,
    gaussian_clusters,
    latent_classes,
    oddly_shaped,
    overlapping,
    unequal,
)
from ppl_models.errors import InputError

Draw = Callable[..., tuple[pd.DataFrame, np.ndarray]]
PICTURES = [blobs, overlapping, unequal, oddly_shaped]


@pytest.mark.parametrize("draw", PICTURES)
def test_the_seed_decides(draw: Draw) -> None:
    x, cluster = draw(seed=3, rows=50)
    again, cluster_again = draw(seed=3, rows=50)
    other, _ = draw(seed=4, rows=50)
    pd.testing.assert_frame_equal(x, again)
    np.testing.assert_array_equal(cluster, cluster_again)
    assert not np.allclose(x, other)
    assert list(x) == ["x1", "x2"] and cluster.shape == (50,)
    assert Reals.read(x).values.shape == (50, 2)


def test_gaussian_clusters_have_their_moments() -> None:
    loc = np.array([[0.0, 10.0], [50.0, -5.0]])
    covariance = np.array([[[2.0, 0.9], [0.9, 1.0]], [[0.5, -0.3], [-0.3, 4.0]]])
    rows = 40_000
    x, cluster = gaussian_clusters(0, rows, weights=[3, 1], loc=loc, covariance=covariance)
    proportion = (cluster == 0).mean()
    assert abs(proportion - 0.75) < 5 * np.sqrt(0.75 * 0.25 / rows)
    for k in range(2):
        part = x.to_numpy()[cluster == k]
        error = np.sqrt(np.diag(covariance[k]) / len(part))
        assert (np.abs(part.mean(axis=0) - loc[k]) < 5 * error).all()
        # Var of a sample covariance of Gaussians: (s_ii s_jj + s_ij²) / n.
        diagonal = np.diag(covariance[k])
        spread = np.sqrt((np.outer(diagonal, diagonal) + covariance[k] ** 2) / len(part))
        assert (np.abs(np.cov(part.T) - covariance[k]) < 5 * spread).all()


def test_latent_classes_have_their_probabilities() -> None:
    probs = [np.array([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]]), np.array([[0.1, 0.9], [0.7, 0.3]])]
    x, hidden = latent_classes(0, 20_000, weights=[0.3, 0.7], probs=probs)
    assert list(x) == ["item_1", "item_2"]
    for item, table in enumerate(probs):
        for k in range(2):
            codes = x.to_numpy()[hidden == k, item]
            counts = np.bincount(codes, minlength=table.shape[1])
            possible = table[k] > 0
            assert counts[~possible].sum() == 0
            expected = table[k][possible] * len(codes)
            assert chisquare(counts[possible], expected).pvalue > 1e-4
    assert Categories.read(x).arguments["levels"] == (3, 2)
    assert Bits.read(x[["item_2"]]).values.shape == (20_000,)


@pytest.mark.parametrize("draw", [overlapping, unequal, oddly_shaped])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_k_means_fails_where_a_mixture_does_not(draw: Draw, seed: int) -> None:
    x, cluster = draw(seed=seed)
    hard = KMeans(3, n_init=5, random_state=0).fit_predict(x)
    soft = GaussianMixture(3, n_init=5, random_state=0).fit_predict(x)
    gain = adjusted_rand_score(cluster, soft) - adjusted_rand_score(cluster, hard)
    assert gain > 0.15


@pytest.mark.parametrize(("clusters", "features"), [(1, 2), (2, 2), (4, 2), (5, 7)])
def test_blobs_are_what_k_means_is_made_for(clusters: int, features: int) -> None:
    x, cluster = blobs(0, 300, clusters=clusters, features=features)
    assert x.shape == (300, features) and len(np.unique(cluster)) == clusters
    predicted = KMeans(clusters, n_init=5, random_state=0).fit_predict(x)
    assert adjusted_rand_score(cluster, predicted) > 0.99


def test_neighbouring_blobs_are_as_far_apart_as_asked() -> None:
    x, cluster = blobs(0, 8_000, clusters=4, separation=20.0)
    centres = np.array([x.to_numpy()[cluster == k].mean(axis=0) for k in range(4)])
    neighbours = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=1)
    assert (np.abs(neighbours - 20) < 5 * np.sqrt(2 / 1_800)).all()


SURE = np.eye(2)
REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: blobs(0, 0), "rows is 0: give a whole number from 1 up"),
    (lambda: blobs(0, 5, features=1), "4 clusters in 1 features"),
    (lambda: blobs(0, 5, clusters=0), "0 clusters in 2 features"),
    (lambda: latent_classes(0, 5, weights=[], probs=[]), "the weights .* cannot be used"),
    (lambda: latent_classes(0, 5, weights=[1, -1], probs=[SURE]), "cannot be used"),
    (lambda: latent_classes(0, 5, weights=[0, 0], probs=[SURE]), "cannot be used"),
    (lambda: latent_classes(0, 5, weights=[1, np.nan], probs=[SURE]), "cannot be used"),
    (lambda: latent_classes(0, 5, weights=[1, 1, 1], probs=[SURE]), r"item 1 has .* \(2, 2\)"),
    (lambda: latent_classes(0, 5, weights=[1, 1], probs=[SURE, SURE / 2]), "item 2 do not add up"),
    (
        lambda: gaussian_clusters(0, 5, weights=[1], loc=[[0.0, 1.0]], covariance=[[[1.0]]]),
        r"1 weights, centres \(1, 2\) and covariances \(1, 1, 1\) do not fit",
    ),
    (
        lambda: gaussian_clusters(0, 5, weights=[1, 1], loc=[[0.0]], covariance=[[[1.0]]]),
        "2 weights, .* do not fit",
    ),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_refusals(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()
