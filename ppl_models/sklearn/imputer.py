"""Missing cells filled in by a mixture of Gaussians."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.gaussian import GaussianMixture

STRATEGIES = ("mean", "draw")


class MixtureImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill in missing cells from a mixture of Gaussians, given the row's other cells.

    The mixture is fitted to the rows with their gaps (Ghahramani and Jordan 1994), so that rows
    need not be complete; with one component it is a multivariate normal (Little and Rubin 2019).

    Args:
        n_components: number of components.
        covariance_type: "full", "tied", "diag" or "spherical".
        strategy: "mean" fills in the expectation; "draw" a draw from the conditional distribution,
            for multiple imputation: a transform for every random_state.
        tol: gain of the mean log-likelihood below which iterations stop.
        reg_covar: added to the variances.
        max_iter: maximum number of iterations per start.
        n_init: number of starts.
        random_state: seed, or generator.

    Attributes:
        mixture_: the fitted `GaussianMixture`.
        n_iter_: its iterations.

    >>> X = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, 5.9], [4.0, 8.0], [5.0, np.nan]])
    >>> MixtureImputer().fit_transform(X)[-1].round(0).tolist()
    [5.0, 10.0]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        strategy: str = "mean",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        random_state: Any = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.strategy = strategy
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MixtureImputer:
        """Fit the mixture to rows with gaps.

        Args:
            X: ``(row, feature)``, NaN where missing.
            y: ignored.
            sample_weight: weights of rows.

        Raises:
            InputError: a column without any value.
        """
        checks.one_of(self, "strategy", STRATEGIES)
        x = checks.rows_of(self, X, reset=True, allow_missing=True, minimum=2)
        empty = missing_cells(x).all(0)
        if empty.any():
            names = getattr(self, "feature_names_in_", np.arange(x.shape[1]))
            raise InputError(f"column {names[empty][0]} of X has no value: leave it out")
        mixture = GaussianMixture(
            self.n_components,
            covariance_type=self.covariance_type,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
            n_init=self.n_init,
            random_state=self.random_state,
        )
        self.mixture_ = mixture.fit(x, sample_weight=sample_weight)
        self.n_iter_ = self.mixture_.n_iter_
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The rows with their missing cells filled in, ``(row, feature)``."""
        check_is_fitted(self)
        x = checks.rows_of(self, X, reset=False, allow_missing=True)
        result, missing = np.array(x, float), missing_cells(x)
        gappy = np.flatnonzero(missing.any(1))
        if not len(gappy):
            return x.copy()
        responsibilities = np.asarray(self.mixture_.predict_proba(x[gappy]), float)
        random = check_random_state(self.random_state)
        chosen = None
        if self.strategy == "draw":
            edges = np.cumsum(responsibilities, axis=1)
            uniform = random.uniform(size=(len(gappy), 1)) * edges[:, -1:]
            chosen = np.minimum((uniform >= edges).sum(1), responsibilities.shape[1] - 1)
        patterns, group = np.unique(missing[gappy], axis=0, return_inverse=True)
        for number, gaps in enumerate(patterns):
            members = np.flatnonzero(group.reshape(-1) == number)
            rows = gappy[members]
            values = np.zeros((len(rows), gaps.sum()))
            for k in range(responsibilities.shape[1]):
                mean, spread = self._conditional(k, result[rows][:, ~gaps], gaps)
                if chosen is None:
                    values += responsibilities[members, k : k + 1] * mean
                else:
                    mine = chosen[members] == k
                    noise = random.standard_normal((mine.sum(), gaps.sum()))
                    values[mine] = mean[mine] + noise @ np.linalg.cholesky(spread).T
            result[np.ix_(rows, gaps)] = values
        return result.astype(x.dtype)

    def _conditional(
        self, component: int, known: np.ndarray, gaps: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Means ``(row, gap)`` and covariance of the missing cells given the known ones."""
        loc = np.asarray(self.mixture_.means_, float)[component]
        covariance = self.mixture_.component_covariance(component)
        inside, across = covariance[np.ix_(~gaps, ~gaps)], covariance[np.ix_(gaps, ~gaps)]
        slope = np.linalg.solve(inside, across.T).T if (~gaps).any() else across
        mean = loc[gaps] + (known - loc[~gaps]) @ slope.T
        return mean, covariance[np.ix_(gaps, gaps)] - slope @ across.T

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
