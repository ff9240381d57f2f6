"""Hard fits predict as they were fitted: every cluster of hidden chains by its best path."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from ppl_models import fit, predict


def test_hidden_chains_are_predicted_by_their_best_paths(own):
    """Cluster 0 has 2^T paths of equal density, of which the best is one: summed, it wins."""
    steps = 6
    x = np.zeros((5, steps)) + np.linspace(-0.1, 0.1, 5)[:, None]
    tree = fit(own.chains_of_many_paths, x, method="hard", seed=0, starts=2, predictive=0)
    new = x[:3] + 0.02
    weights = tree["posterior/weights"].values[0, 0]
    emitted = norm.logpdf(new[:, None, :], np.array([0.0, 0.6])[:, None]).sum(-1)
    summed = np.log(weights) + emitted
    best = summed + np.array([steps * np.log(0.5), 0.0])
    assert (summed.argmax(1) != best.argmax(1)).any()
    expected = np.eye(2)[best.argmax(1)]
    np.testing.assert_array_equal(predict(tree, new).values, expected)
    np.testing.assert_array_equal(
        predict(tree).values.argmax(1), tree["posterior/assignment"].values[0, 0]
    )
