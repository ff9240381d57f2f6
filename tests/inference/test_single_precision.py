"""float32: matrices that rounding leaves askew still have a density."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import fit


@pytest.mark.usefixtures("quick_compilation")
def test_correlated_features_climb_in_single_precision():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(2, 6)) * 3
    x = centres[generator.integers(0, 2, 3000)] + generator.normal(size=(3000, 6))
    options = {"seed": 0, "clusters": 2, "covariance": "full", "starts": 1, "predictive": 0}
    single = fit("gaussian_mixture", x, method="em", precision="float32", **options)
    double = fit("gaussian_mixture", x, method="em", **options)
    assert single["starts/iterations"].values.min() > 2
    a, b = (t["sample_stats/lp"].values.item() for t in (single, double))
    assert abs(a - b) < 1e-5 * abs(b)
