"""Mixtures of independent bits with scikit-learn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.distributions import BernoulliVector
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.independent import Independent
from ppl_models.sklearn.passes import Expectations, Rows


class BernoulliMixture(Independent):
    """Mixture of independent bits by expectation-maximisation.

    Bishop (2006) §9.3.3. Cells may be missing (NaN), and are left out exactly.

    Args:
        n_components: number of components K.
        binarize: cells above it are ones (default: cells must be 0 or 1).
        alpha: observations that are added to every feature, in equal parts to all components
            and to zeros and ones, so that nothing is impossible; 0 is maximum likelihood.
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
        probs_: probabilities of ones, ``(component, feature)``.

    >>> X = np.array([[1, 1, 0, 0]] * 5 + [[0, 0, 1, 1]] * 5)
    >>> BernoulliMixture(2, random_state=0).fit(X).weights_.round(3)
    array([0.5, 0.5])
    """

    _fitted = ("weights_", "probs_")

    def __init__(
        self,
        n_components: int = 1,
        *,
        binarize: float | None = None,
        alpha: float = 1.0,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        super().__init__(
            n_components,
            alpha=alpha,
            tol=tol,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
        )
        self.binarize = binarize

    def _read(self, x: Any, *, reset: bool) -> np.ndarray:
        values = super()._read(x, reset=reset)
        if self.binarize is not None:
            checks.real(self, "binarize", minimum=-np.inf)
            bits = (values > self.binarize).astype(values.dtype)
            return np.where(missing_cells(values), np.nan, bits).astype(values.dtype)
        wrong = ~(missing_cells(values) | (values == 0) | (values == 1))
        if wrong.any():
            row, column = (int(place[0]) for place in np.nonzero(wrong))
            raise InputError(
                f"row {row}, column {column} of X is {values[row, column]:g}, neither 0 nor 1: "
                "give binarize, above which a cell is a one"
            )
        return values

    def _set_parameter(self, means: np.ndarray) -> None:
        self._set(probs_=np.clip(means, 0, 1))

    def _family(self) -> Any:
        return BernoulliVector(np.asarray(self.probs_, float), validate_args=False)

    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        ones, seen = expected.statistics["ones"], expected.statistics["count"]
        more = self.alpha / self.n_components
        seen = seen + more + 1e-300
        self._weights_from(expected.counts)
        self._set_parameter((ones + more / 2) / seen)

    def _draw(self, labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        probs = np.asarray(self.probs_, float)[labels]
        return (random.uniform(size=probs.shape) < probs).astype(float)
