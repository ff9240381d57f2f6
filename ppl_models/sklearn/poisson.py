"""Mixtures of independent counts with scikit-learn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions import PoissonVector
from ppl_models.sklearn import checks
from ppl_models.sklearn.independent import Independent
from ppl_models.sklearn.passes import Expectations, Rows


class PoissonMixture(Independent):
    """Mixture of independent counts by expectation-maximisation.

    Karlis and Meligkotsidou (2007). Cells may be missing (NaN), and are left out exactly.

    Args:
        n_components: number of components K.
        alpha: rows at the overall mean that are added, in equal parts to all components, so that
            nothing is impossible; 0 is maximum likelihood.
        tol: gain of the mean log-likelihood below which iterations stop.
        max_iter: maximum number of iterations per start.
        n_init: number of starts.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: initial weights ``(component,)``.
        random_state: seed, or generator.
        warm_start: go on from where the last fit ended.
        verbose: 1 prints iterations, 2 what they gain.
        verbose_interval: iterations between lines.

    Attributes:
        weights_: ``(component,)``.
        rates_: mean counts, ``(component, feature)``.

    >>> X = np.array([[1], [2], [1], [20], [22], [21]])
    >>> sorted(PoissonMixture(2, alpha=0, random_state=0).fit(X).rates_.round(1).ravel().tolist())
    [1.3, 21.0]
    """

    _fitted = ("weights_", "rates_")

    def _read(self, x: Any, *, reset: bool) -> np.ndarray:
        return checks.counts(super()._read(x, reset=reset), type(self).__name__)

    def _set_parameter(self, means: np.ndarray) -> None:
        self._set(rates_=means)

    def _family(self) -> Any:
        return PoissonVector(np.asarray(self.rates_, float), validate_args=False)

    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        total, seen = expected.statistics["total"], expected.statistics["count"]
        more = self.alpha / self.n_components
        self._weights_from(expected.counts)
        self._set_parameter((total + more * self._mean) / (seen + more + 1e-300))

    def _draw(self, labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        return random.poisson(np.asarray(self.rates_, float)[labels])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.categorical = True  # whole numbers: what scikit-learn's checks then give
        return tags
