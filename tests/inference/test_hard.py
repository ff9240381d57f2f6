"""The limit of hard assignment: it never steps back, and ends where nothing would move."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from ppl_models import fit, predict


def _steps(tree):
    objective = tree["starts/objective"].values
    return np.diff(objective, axis=1), 1e-9 * (1 + np.abs(objective[:, 1:]))


def test_never_steps_back(mixture, fitted):
    tree = fitted(mixture, "hard", starts=4)
    steps, slack = _steps(tree)
    assert ((steps >= -slack) | np.isnan(steps)).all()
    proportion = tree["responsibilities/responsibilities"].values
    assert set(np.unique(proportion)) <= {0.0, 1.0}
    assert (proportion.sum(1) == 1).all()
    np.testing.assert_array_equal(predict(tree).values, proportion)


def test_bernoulli_ends_at_a_fixed_point_by_hand(built_ins, fitted):
    row = built_ins["bernoulli_mixture"]
    tree = fitted(row, "hard", starts=4)
    weights, probs = (tree["posterior"][n].values[0, 0] for n in ("weights", "probs"))
    x, alpha = row.data, row.interior["concentration"]
    ones, zeros = row.interior["ones"], row.interior["zeros"]
    logits = x @ np.log(probs).T + (1 - x) @ np.log(1 - probs).T + np.log(weights)
    proportion = np.eye(2)[logits.argmax(1)]
    np.testing.assert_array_equal(tree["responsibilities/responsibilities"].values, proportion)
    counts = proportion.sum(0)
    np.testing.assert_allclose(weights, (counts + alpha - 1) / (len(x) + 2 * (alpha - 1)))
    expected = (proportion.T @ x + ones - 1) / (counts[:, None] + ones + zeros - 2)
    np.testing.assert_allclose(probs, expected)


def test_temperature_zero_is_never_above_temperature_one(built_ins, fitted):
    """The best assignment is one term of the sum over all."""
    for label in ("gaussian_mixture full", "bernoulli_mixture", "poisson_mixture"):
        soft = fitted(built_ins[label], "em", starts=4, tolerance=1e-13)
        hard = fitted(built_ins[label], "hard", starts=4)
        assert float(hard["starts/final"].max()) <= float(soft["starts/final"].max()) + 1e-9


def test_what_was_never_seen_gets_no_probability_and_stops_nothing():
    """All sequences begin in one state; under flat Dirichlets the other's share is 0 exactly."""
    generator = np.random.default_rng(0)
    state = np.arange(24) // 6 % 2
    x = [np.where(state, 5.0, -5.0) + generator.normal(size=24) for _ in range(3)]
    tree = fit("hidden_markov", x, method="hard", seed=0, states=2, starts=2, predictive=0)
    posterior = tree["posterior"].isel(chain=0, draw=0)
    assert sorted(posterior["initial"].values) == [0, 1]
    steps, slack = _steps(tree)
    assert np.isfinite(steps[:, 0]).all() and ((steps >= -slack) | np.isnan(steps)).all()
    assert tree["starts/converged"].values.all()
    rows = np.concatenate([row[state == state[0]] for row in x])
    first = posterior["loc"].values.ravel()[posterior["initial"].values.argmax()]
    assert abs(first - rows.mean()) < 0.02  # a wide prior, 36 steps
    moves = posterior["transition"].values[posterior["initial"].values.argmax()]
    np.testing.assert_allclose(sorted(moves), [2 / 12, 10 / 12])  # 10 of 12 steps stay


def test_hard_clusters_of_hidden_chains_go_by_their_best_paths(own):
    """Cluster 0 has 2^T paths of equal density, of which the best is one: summed, it wins."""
    steps = 6
    x = np.zeros((5, steps)) + np.linspace(-0.1, 0.1, 5)[:, None]
    tree = fit(own.chains_of_many_paths, x, method="hard", seed=0, starts=2, predictive=0)
    weights = tree["posterior/weights"].values[0, 0]
    emitted = norm.logpdf(x[:, None, :], np.array([0.0, 0.6])[:, None]).sum(-1)
    summed = np.log(weights) + emitted
    best = summed + np.array([steps * np.log(0.5), 0.0])
    assert (summed.argmax(1) != best.argmax(1)).any()
    np.testing.assert_array_equal(tree["posterior/assignment"].values[0, 0], best.argmax(1))
    proportion = tree["responsibilities/responsibilities"].values
    np.testing.assert_array_equal(proportion.argmax(1), best.argmax(1))
