"""Estimators with scikit-learn's interface: mixtures, k-means, hidden Markov models, imputation.

They are fitted by maximum likelihood, as scikit-learn's and hmmlearn's are, on this package's
emissions; missing cells (NaN) are left out exactly, and rows may have weights. For a posterior,
`Estimator` fits any program by any method of :func:`ppl_models.fit`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl_models.sklearn.bayesian import BayesianGaussianMixture
    from ppl_models.sklearn.bernoulli import BernoulliMixture
    from ppl_models.sklearn.gaussian import GaussianMixture
    from ppl_models.sklearn.hmm.categorical import CategoricalHMM
    from ppl_models.sklearn.hmm.gaussian import GaussianHMM
    from ppl_models.sklearn.hmm.poisson import PoissonHMM
    from ppl_models.sklearn.imputer import MixtureImputer
    from ppl_models.sklearn.kmeans import KMeans
    from ppl_models.sklearn.latent_class import LatentClassModel
    from ppl_models.sklearn.poisson import PoissonMixture
    from ppl_models.sklearn.program import Estimator

_PLACES = {
    "BayesianGaussianMixture": "bayesian",
    "BernoulliMixture": "bernoulli",
    "CategoricalHMM": "hmm.categorical",
    "Estimator": "program",
    "GaussianHMM": "hmm.gaussian",
    "GaussianMixture": "gaussian",
    "KMeans": "kmeans",
    "LatentClassModel": "latent_class",
    "MixtureImputer": "imputer",
    "PoissonHMM": "hmm.poisson",
    "PoissonMixture": "poisson",
}

__all__ = [
    "BayesianGaussianMixture",
    "BernoulliMixture",
    "CategoricalHMM",
    "Estimator",
    "GaussianHMM",
    "GaussianMixture",
    "KMeans",
    "LatentClassModel",
    "MixtureImputer",
    "PoissonHMM",
    "PoissonMixture",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
