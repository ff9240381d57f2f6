"""Estimators with scikit-learn's interface: mixtures, k-means, hidden Markov models, imputation.

They are fitted by maximum likelihood, as scikit-learn's and hmmlearn's are, on this package's
emissions; missing cells (NaN) are left out exactly, and rows may have weights. What a posterior is
wanted of, `Estimator` fits by any method of :func:`ppl_models.fit`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl_models.sklearn.gaussian import GaussianMixture

_PLACES = {
    "GaussianMixture": "gaussian",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_PLACES)
