"""Bounded alternating minimisation: the same steps as Lloyd's, and scikit-learn's answer."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from ppl_models.data import blobs
from ppl_models.inference.kmeans.hamerly import hamerly


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
    result = hamerly(x, start, 200)
    assert result.converged
    steps = list(lloyd(x, start, len(result.centres)))
    for mine, (theirs, _) in zip(result.centres, steps, strict=True):
        assert np.allclose(mine, theirs, atol=1e-9)
    assert (result.labels == steps[-1][1]).all()
    assert (np.diff(result.objective) <= 1e-9 * result.objective[0]).all()
    direct = ((x - result.centres[-1][result.labels]) ** 2).sum()
    assert np.isclose(result.objective[-1], direct, rtol=1e-9)


def test_equals_scikit_learn_from_the_same_start():
    x, _ = blobs(3, 3000, clusters=6, features=4)
    x = x.to_numpy()
    start = x[:6]
    peer = KMeans(6, init=start, n_init=1, algorithm="lloyd", tol=0, max_iter=500).fit(x)
    result = hamerly(x, start, 500)
    assert np.abs(result.centres[-1] - peer.cluster_centers_).max() < 1e-6
    assert abs(result.objective[-1] - peer.inertia_) < 1e-10 * peer.inertia_
    assert (result.labels == peer.labels_).all()


def test_single_precision_finds_the_double_answer():
    x, _ = blobs(7, 20_000, clusters=5, features=3)
    x = x.to_numpy()
    one = hamerly(x, x[:5], 300)
    other = hamerly(x.astype(np.float32), x[:5].astype(np.float32), 300)
    assert np.isclose(one.objective[-1], other.objective[-1], rtol=1e-5)
