"""A plugin of pytest that puts this package's estimators in the place of the tested ones."""

from __future__ import annotations

import importlib

import ppl_models.sklearn

#: module that a test imports from -> its names that this package has too
REPLACED = {
    "sklearn.mixture": ("GaussianMixture", "BayesianGaussianMixture"),
    "hmmlearn.hmm": ("GaussianHMM", "CategoricalHMM", "PoissonHMM"),
}

for place, names in REPLACED.items():
    try:
        module = importlib.import_module(place)
    except ImportError:  # hmmlearn is not installed
        continue
    for name in names:
        if name in ppl_models.sklearn.__all__:
            setattr(module, name, getattr(ppl_models.sklearn, name))
