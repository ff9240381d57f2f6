"""Bounded alternating minimisation: the same steps as Lloyd's, and scikit-learn's answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ppl_models import fit
from ppl_models.data import blobs
from ppl_models.inference.alternating import alternate


def lloyd(x, centres, iterations):
    """Every step in full."""
    centres = np.array(centres, float)
    for _ in range(iterations):
        labels = ((x[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        yield centres.copy(), labels
        for k in range(len(centres)):
            if (labels == k).any():
                centres[k] = x[labels == k].mean(0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("clusters", [1, 2, 7])
def test_every_step_is_lloyds(seed, clusters):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(400, 3)) * generator.gamma(2, size=3) + 1e3 * (seed % 2)
    start = x[generator.choice(len(x), clusters, replace=False)]
    found = alternate(x, start, 200)
    assert found.converged
    steps = list(lloyd(x, start, len(found.centres)))
    for mine, (theirs, _) in zip(found.centres, steps, strict=True):
        assert np.allclose(mine, theirs, atol=1e-9)
    assert (found.labels == steps[-1][1]).all()
    assert (np.diff(found.objective) <= 1e-9 * found.objective[0]).all()
    direct = ((x - found.centres[-1][found.labels]) ** 2).sum()
    assert np.isclose(found.objective[-1], direct, rtol=1e-9)


def test_equals_scikit_learn_from_the_same_start():
    x, _ = blobs(3, 3000, clusters=6, features=4)
    x = x.to_numpy()
    start = x[:6]
    peer = KMeans(6, init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=500).fit(x)
    tree = fit(
        "gaussian_mixture",
        x,
        method="kmeans",
        seed=0,
        clusters=6,
        covariance="spherical",
        centres=start,
        iterations=500,
        predictive=1,
    )
    order = np.argsort(-np.bincount(peer.labels_, minlength=6), kind="stable")
    centres = tree["posterior/loc"].values[0, 0]
    assert np.abs(centres - peer.cluster_centers_[order]).max() < 1e-6
    inertia = float(tree["sample_stats/inertia"].values.item())
    assert abs(inertia - peer.inertia_) < 1e-10 * peer.inertia_
    assert (np.argsort(order)[peer.labels_] == tree["posterior/assignment"].values[0, 0]).all()


def test_equals_the_hard_limit_of_the_program():
    """Flat weights and one held scale: the program itself, at temperature 0."""
    x, _ = blobs(5, 300, clusters=3, features=2)
    limit = fit(
        "gaussian_mixture",
        x,
        method="kmeans",
        seed=0,
        clusters=3,
        covariance="spherical",
        predictive=1,
    )
    hard = fit(
        "gaussian_mixture",
        x,
        method="hard",
        seed=0,
        clusters=3,
        covariance="spherical",
        priors="flat",
        predictive=1,
        fixed={"weights": np.full(3, 1 / 3), "scale": np.full(3, 1e-2)},
    )
    a = np.sort(limit["posterior/loc"].values.reshape(3, 2), axis=0)
    b = np.sort(hard["posterior/loc"].values.reshape(3, 2), axis=0)
    assert np.allclose(a, b, atol=1e-8)


def test_single_precision_finds_the_double_answer():
    x, _ = blobs(7, 20_000, clusters=5, features=3)
    x = x.to_numpy()
    one = alternate(x, x[:5], 300)
    other = alternate(x.astype(np.float32), x[:5].astype(np.float32), 300)
    assert np.isclose(one.objective[-1], other.objective[-1], rtol=1e-5)
