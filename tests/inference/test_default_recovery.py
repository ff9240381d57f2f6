"""What default fits find: no new row is impossible."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ppl_models import fit, log_density

POINT = {"seed": 0, "starts": 1, "predictive": 0}


@pytest.mark.parametrize("method", ["em", "hard"])
def test_many_clusters_of_sparse_bits_keep_new_rows_possible(method: str) -> None:
    generator = np.random.default_rng(3)
    probs = generator.beta(0.1, 1.0, (20, 40))
    bits = generator.binomial(1, probs[generator.integers(20, size=600)])
    tree = fit("bernoulli_mixture", bits[:400], method=method, clusters=100, **POINT)
    found = tree["posterior/probs"].values
    assert found.min() > 0 and found.max() < 1
    assert np.isfinite(log_density(tree, bits[400:]).values).all()


def test_a_combination_of_levels_that_was_never_seen_is_possible() -> None:
    levels = [["a", "b"], ["a", "b", "c"], ["a", "b", "c", "d"]]
    seen = pd.DataFrame([["a", "b", "c"], ["b", "c", "a"]] * 30)
    for column, names in enumerate(levels):
        seen[column] = pd.Categorical(seen[column], names)
    tree = fit("categorical_mixture", seen, method="em", clusters=2, **POINT)
    rare, usual = log_density(tree, [["a", "a", "d"], ["a", "b", "c"]]).values
    # one observation a feature, shared out among two classes and the levels
    own = [(30 + 1 / (2 * m)) / (30 + 1 / 2) for m in (2, 3, 4)]
    other = [1 / (2 * m) / (30 + 1 / 2) for m in (2, 3, 4)]
    first = [own[0], other[1], other[2]]
    second = [other[0], other[1], other[2]]
    np.testing.assert_allclose(
        rare, np.log(0.5 * np.prod(first) + 0.5 * np.prod(second)), rtol=1e-6
    )
    np.testing.assert_allclose(usual, np.log(0.5 * np.prod(own) + 0.5 * np.prod(other)), rtol=1e-6)
