"""Mixtures of Gaussians by variational Bayes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln

from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.gaussian import COVARIANCES, GaussianBase, check_precisions
from ppl_models.sklearn.mixture import Mixture
from ppl_models.sklearn.passes import Expectations, Rows

WEIGHT_PRIORS = ("dirichlet_process", "dirichlet_distribution")


class BayesianGaussianMixture(GaussianBase):
    """Gaussian mixture by variational Bayes, with scikit-learn's interface.

    As ``sklearn.mixture.BayesianGaussianMixture``: the same arguments, attributes and results;
    rows may have weights. Bishop (2006) §10.2; Blei and Jordan (2006).

    Args:
        n_components: most components.
        covariance_type: "full", "tied", "diag" or "spherical".
        tol: gain of the lower bound below which iterations stop.
        reg_covar: added to the variances.
        max_iter: maximum number of iterations per start.
        n_init: number of starts.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weight_concentration_prior_type: "dirichlet_process" (stick-breaking), or
            "dirichlet_distribution".
        weight_concentration_prior: of the prior of the weights (default: 1 / n_components).
        mean_precision_prior: of the prior of the means, in rows (default: 1).
        mean_prior: prior mean of the means (default: that of the data).
        degrees_of_freedom_prior: of the Wishart prior of the precisions (default: features).
        covariance_prior: of the Wishart prior (default: the data's covariance).
        random_state: seed, or generator.
        warm_start: go on from where the last fit ended.
        verbose: 1 prints iterations, 2 what they gain.
        verbose_interval: iterations between lines.

    >>> X = np.array([[1.0, 2.0], [1.0, 4.0], [1.0, 0.0], [4.0, 2.0], [12.0, 4.0], [10.0, 7.0]])
    >>> model = BayesianGaussianMixture(n_components=2, random_state=42).fit(X)
    >>> len(set(model.predict([[0.0, 0.0], [9.0, 3.0]])))
    2
    """

    _fitted = (
        "weight_concentration_",
        "mean_precision_",
        "degrees_of_freedom_",
        "weights_",
        "means_",
        "covariances_",
        "precisions_cholesky_",
    )

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    weight_concentration_: Any
    _allow_missing = False  # an expected log-density of a row in part has other terms

    def _check_options(self, x: np.ndarray) -> None:
        Mixture._check_options(self, x)
        checks.real(self, "reg_covar")
        checks.one_of(self, "covariance_type", COVARIANCES)
        checks.one_of(self, "weight_concentration_prior_type", WEIGHT_PRIORS)
        features = x.shape[1]
        for name in ("weight_concentration_prior", "mean_precision_prior"):
            if getattr(self, name) is not None:
                checks.real(self, name, minimum=np.finfo(float).tiny)
        freedom = self.degrees_of_freedom_prior
        if freedom is not None and not freedom > features - 1:
            raise InputError(
                "The parameter 'degrees_of_freedom_prior' should be greater than "
                f"{features - 1}, but got {freedom:.3f}."
            )
        if self.mean_prior is not None:
            checks.parameter(self.mean_prior, (features,), "means")
        if self.covariance_prior is not None:
            name, shape = f"{self.covariance_type} covariance_prior", self._shape(features)
            if self.covariance_type in ("full", "diag"):
                shape = shape[1:]
            if self.covariance_type == "spherical":
                shape = ()
            check_precisions(self.covariance_prior, shape, self.covariance_type, name)

    def _begin(self, rows: Rows) -> None:
        self._set_prior(rows)
        super()._begin(rows)

    def _set_prior(self, rows: Rows) -> None:
        x, weights = rows.value, rows.weights
        features, total = x.shape[1], rows.weights.sum()
        mean = weights @ x / total
        deviation = (x - mean) * np.sqrt(weights / max(total - 1, 1))[:, None]
        if self.covariance_prior is not None:
            spread = np.asarray(self.covariance_prior, float)
        elif self.covariance_type in ("full", "tied"):
            spread = deviation.T @ deviation
        else:
            spread = (deviation**2).sum(0)
            spread = spread if self.covariance_type == "diag" else spread.mean()
        concentration, precision = self.weight_concentration_prior, self.mean_precision_prior
        freedom = self.degrees_of_freedom_prior
        default = 1.0 / self.n_components
        self.weight_concentration_prior_ = default if concentration is None else concentration
        self.mean_precision_prior_ = 1.0 if precision is None else precision
        self.degrees_of_freedom_prior_ = features if freedom is None else freedom
        self._set(
            mean_prior_=mean if self.mean_prior is None else self.mean_prior,
            covariance_prior_=spread,
        )

    def _needs_start(self) -> bool:
        return True

    def _take_given(self) -> None:
        pass

    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        _, means, spread = self._moments(expected.counts, expected.statistics, rows.centre)
        counts = expected.counts + 10 * np.finfo(float).eps
        self._set_weights(counts)
        strength, location = self.mean_precision_prior_, np.asarray(self.mean_prior_, float)
        precision = strength + counts
        self._set(
            mean_precision_=precision,
            means_=(strength * location + counts[:, None] * means) / precision[:, None],
        )
        self._set_scatter(counts, means - location, spread, precision)

    def _set_weights(self, counts: np.ndarray) -> None:
        prior = self.weight_concentration_prior_
        if self.weight_concentration_prior_type == "dirichlet_process":
            after = np.hstack((np.cumsum(counts[::-1])[-2::-1], 0))
            first, second = 1.0 + counts, prior + after
            self.weight_concentration_ = (first, second)
            left = np.hstack((1, np.cumprod((second / (first + second))[:-1])))
            weights = first / (first + second) * left
        else:
            self.weight_concentration_ = weights = prior + counts
        self._set(weights_=weights / weights.sum())

    def _set_scatter(
        self,
        counts: np.ndarray,
        offset: np.ndarray,
        spread: np.ndarray,
        precision: np.ndarray,
    ) -> None:
        prior, components = np.asarray(self.covariance_prior_, float), self.n_components
        pull = counts * self.mean_precision_prior_ / precision
        freedom: Any = self.degrees_of_freedom_prior_ + counts
        if self.covariance_type == "full":
            outer = offset[:, :, None] * offset[:, None, :]
            total = prior + counts[:, None, None] * spread + pull[:, None, None] * outer
            scale = freedom[:, None, None]
        elif self.covariance_type == "tied":
            freedom = scale = self.degrees_of_freedom_prior_ + counts.sum() / components
            between = (pull[:, None] * offset).T @ offset / components
            total = prior + spread * counts.sum() / components + between
        elif self.covariance_type == "diag":
            total = prior + counts[:, None] * spread + pull[:, None] * offset**2
            scale = freedom[:, None]
        else:
            total = prior + counts * spread + pull * (offset**2).mean(1)
            scale = freedom
        self._set(degrees_of_freedom_=freedom)
        self._set_covariances(total / scale)

    def _offsets(self) -> np.ndarray:
        """Expected log-weights, and what the expected log-determinant adds."""
        features = self.means_.shape[1]
        freedom = np.asarray(self.degrees_of_freedom_, float)
        halves = 0.5 * (freedom - np.arange(features).reshape(-1, *[1] * freedom.ndim))
        determinant = features * np.log(2.0) + digamma(halves).sum(0)
        precision = np.asarray(self.mean_precision_, float)
        more = 0.5 * (determinant - features * np.log(freedom) - features / precision)
        return self._expected_log_weights() + more

    def _expected_log_weights(self) -> np.ndarray:
        if self.weight_concentration_prior_type == "dirichlet_process":
            first, second = self.weight_concentration_
            both = digamma(first + second)
            left = np.hstack((0, np.cumsum(digamma(second) - both)[:-1]))
            return digamma(first) - both + left
        concentration = self.weight_concentration_
        return digamma(concentration) - digamma(concentration.sum())

    def _initialise(self, rows: Rows, random: np.random.RandomState) -> None:
        # the first pass takes responsibilities that are given: any concentrations serve
        count = self.n_components
        self.mean_precision_, self.degrees_of_freedom_ = np.ones(count), np.ones(count)
        super()._initialise(rows, random)

    def _lower_bound(self, rows: Rows, expected: Expectations) -> float:
        """The evidence lower bound but for constants, after the M-step."""
        features = self.means_.shape[1]
        freedom = np.asarray(self.degrees_of_freedom_, float)
        factor = np.asarray(self.precisions_cholesky_, float)
        if self.covariance_type in ("full", "tied"):
            log_root = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
        elif self.covariance_type == "diag":
            log_root = np.log(factor).sum(1)
        else:
            log_root = features * np.log(factor)
        log_root = log_root - 0.5 * features * np.log(freedom)
        halves = 0.5 * (freedom - np.arange(features).reshape(-1, *[1] * freedom.ndim))
        norm = freedom * (log_root + 0.5 * features * np.log(2.0)) + gammaln(halves).sum(0)
        repeats = self.n_components if self.covariance_type == "tied" else 1
        log_wishart = -repeats * np.sum(norm)
        if self.weight_concentration_prior_type == "dirichlet_process":
            log_weights = -betaln(*self.weight_concentration_).sum()
        else:
            concentration = self.weight_concentration_
            log_weights = gammaln(concentration.sum()) - gammaln(concentration).sum()
        entropy = float(rows.weights @ expected.entropy)
        precisions = float(np.log(self.mean_precision_).sum())
        return float(entropy - log_wishart - log_weights - 0.5 * features * precisions)
