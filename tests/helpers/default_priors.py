"""Default priors written out by NumPyro's own distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro
import numpyro.distributions as dist
import scipy.special


def scatter_rate(name: str, mean: Any, x: Any, clusters: int) -> Any:
    """p(r) ∝ r^(3/2) exp(-a r - b / r) by a gamma distribution and a factor.

    Args:
        name: of the site.
        mean: 5 / (2 a), one number or one a feature.
        x: data; δ is the least distance between two values of a feature, or of all.
        clusters: that have a scale of their own; b = (δ n D / 2)² / 12 for n rows of each and D
            features of one scale.
    """
    values = np.asarray(x, float).reshape(len(x), -1)
    unit = np.array([np.diff(np.unique(column[~np.isnan(column)])).min() for column in values.T])
    unit = unit if np.ndim(mean) else unit.min() * values.shape[1]
    a, b = 2.5 / np.asarray(mean), (unit * len(values) / clusters / 2) ** 2 / 12
    root = 2 * np.sqrt(a * b)
    integral = np.log(2) + 1.25 * np.log(b / a) + np.log(scipy.special.kve(2.5, root)) - root
    rate = numpyro.sample(name, dist.Gamma(2.5, a).to_event(np.ndim(a)))
    constant = scipy.special.gammaln(2.5) - 2.5 * np.log(a) - integral
    numpyro.factor(f"{name} off 0", (constant - b / rate).sum())
    return rate
