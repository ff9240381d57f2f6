"""float32: matrices that rounding leaves askew still have a density."""

from __future__ import annotations

import numpy as np
from scipy.stats import multivariate_normal

from ppl_models import fit


def test_correlated_features_climb_in_single_precision():
    generator = np.random.default_rng(0)
    centres, kind = generator.normal(size=(2, 6)) * 3, generator.integers(0, 2, 3000)
    x = centres[kind] + generator.normal(size=(3000, 6))
    tree = fit(
        "gaussian_mixture", x, method="em", seed=0, precision="float32", clusters=2,
        covariance="full", starts=1, predictive=0,
    )  # fmt: skip
    assert tree["starts/iterations"].values.min() > 2
    fitted = tree["log_likelihood/x"].values.astype(float).sum()
    densities = [multivariate_normal.logpdf(x, centre, np.eye(6)) for centre in centres]
    truth = (np.logaddexp(*densities) - np.log(2)).sum()
    # 55 parameters gain half a chi-squared of as many degrees of freedom
    assert 0 < fitted - truth < 55
