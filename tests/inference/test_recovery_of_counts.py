"""Default fits of the mixtures of counts, bits and categories recover two clear groups."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import fit, predict

ROWS = 60  #: of each of two groups
FEATURES = 8
SAMPLES = {"chains": 2, "warmup": 50, "draws": 50}


def _drawn(name: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two groups, and the mean of every group's features."""
    generator = np.random.default_rng(2)
    if name == "poisson_mixture":
        rate = np.array([[5.0], [5.0 * strength]]) * np.ones(FEATURES)
        x = generator.poisson(rate[:, None], (2, ROWS, FEATURES))
    else:
        high = generator.integers(0, 2, FEATURES)
        probs = np.where(np.stack([high, 1 - high]), strength, 1 - strength)
        x = (generator.random((2, ROWS, FEATURES)) < probs[:, None]).astype(int)
    return x.reshape(2 * ROWS, FEATURES), x.mean(1)


@pytest.mark.parametrize(
    "name, strength, method, precision",
    [
        pytest.param("poisson_mixture", 3.0, "em", "float64", marks=pytest.mark.long),
        pytest.param("poisson_mixture", 3_000.0, "em", "float64", marks=pytest.mark.long),
        ("poisson_mixture", 3.0, "em", "float32"),
        ("poisson_mixture", 3_000.0, "em", "float32"),
        ("poisson_mixture", 3_000.0, "gibbs", "float32"),
        ("bernoulli_mixture", 0.9, "em", "float32"),
        ("categorical_mixture", 0.9, "em", "float32"),
    ],
)
def test_two_groups_are_recovered(name, strength, method, precision):
    x, means = _drawn(name, strength)
    options = SAMPLES if method == "gibbs" else {"starts": 4}
    tree = fit(
        name, x, method=method, seed=0, clusters=2, precision=precision, predictive=0, **options
    )
    chosen = np.asarray(predict(tree, x)).reshape(len(x), 2).argmax(1)
    group = np.repeat([0, 1], ROWS)
    agreeing = (chosen == group).mean()
    assert max(agreeing, 1 - agreeing) > 0.97
    if name != "categorical_mixture":
        site = "rate" if name == "poisson_mixture" else "probs"
        fitted = tree["posterior"][site].mean(("chain", "draw")).values
        order = np.argsort(fitted[:, 0]), np.argsort(means[:, 0])
        allowed = {"rtol": 0.15} if site == "rate" else {"atol": 0.1}
        np.testing.assert_allclose(fitted[order[0]], means[order[1]], **allowed)
