"""What mixtures of features that are independent given the component share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.sklearn import checks
from ppl_models.sklearn.mixture import Mixture
from ppl_models.sklearn.passes import Rows


class Smoothed(Mixture):
    """A mixture whose components share ``alpha`` observations that nobody made."""

    def __init__(
        self,
        n_components: int = 1,
        *,
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
        self.n_components = n_components
        self.alpha = alpha
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def _check_options(self, x: np.ndarray) -> None:
        super()._check_options(x)
        checks.real(self, "alpha")
        if self.weights_init is not None:
            checks.initial_weights(self.weights_init, self.n_components)

    def _take_given(self) -> None:
        if self.weights_init is not None:
            self._set(weights_=self.weights_init)


class Independent(Smoothed):
    """A mixture of features that are independent given the component, each with one parameter."""

    def _begin(self, rows: Rows) -> None:
        known = ~missing_cells(rows.value)
        seen = rows.weights @ known
        total = rows.weights @ np.where(known, rows.value, 0)
        self._mean = total / np.where(seen > 0, seen, 1)
        count = self.n_components
        self._set(weights_=np.full(count, 1 / count))
        self._set_parameter(np.tile(self._mean, (count, 1)))

    @abstractmethod
    def _set_parameter(self, means: np.ndarray) -> None:
        """Set the parameter, the mean of every cell, ``(component, feature)``."""

    def _weights_from(self, counts: np.ndarray) -> None:
        self._set(weights_=counts / counts.sum())

    def _n_parameters(self) -> int:
        return self.n_components * self.n_features_in_ + self.n_components - 1
