"""Mixtures of Gaussians by maximum likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from ppl_models.data.missing import missing_cells
from ppl_models.distributions import DiagonalGaussian, FullGaussian, SphericalGaussian, TiedGaussian
from ppl_models.errors import InputError
from ppl_models.inference.statistics.running import averaged, step_size
from ppl_models.sklearn import checks
from ppl_models.sklearn.mixture import Mixture
from ppl_models.sklearn.passes import Expectations, Rows

COVARIANCES = ("full", "tied", "diag", "spherical")
#: of a second moment, what rounding leaves of a variance of zero
ROUNDING = 32 * np.finfo(float).eps


class GaussianBase(Mixture):
    """Components that are Gaussian: emission, moments, draws."""

    covariance_type: str
    reg_covar: float
    _allow_missing = True

    def _shape(self, features: int) -> tuple[int, ...]:
        """Of the covariances."""
        return {
            "full": (self.n_components, features, features),
            "tied": (features, features),
            "diag": (self.n_components, features),
            "spherical": (self.n_components,),
        }[self.covariance_type]

    def _begin(self, rows: Rows) -> None:
        known = ~missing_cells(rows.value)
        deviation = np.where(known, rows.value - rows.centre, 0)
        total = np.clip(rows.weights @ known, 1e-300, None)
        variance = rows.weights @ deviation**2 / total
        variance = np.where(variance > 0, variance, 1) + self.reg_covar
        count, features = self.n_components, rows.value.shape[1]
        self._set(weights_=np.full(count, 1 / count), means_=np.tile(rows.centre, (count, 1)))
        spread = {
            "full": np.tile(np.diag(variance), (count, 1, 1)),
            "tied": np.diag(variance),
            "diag": np.tile(variance, (count, 1)),
            "spherical": np.full(count, variance.sum() / features),
        }[self.covariance_type]
        self._set_covariances(spread)

    def _family(self) -> Any:
        means = np.asarray(self.means_, float)
        covariances = np.asarray(self.covariances_, float)
        if self.covariance_type == "full":
            return FullGaussian(means, covariances, validate_args=False)
        if self.covariance_type == "tied":
            return TiedGaussian(means, covariances, validate_args=False)
        family = DiagonalGaussian if self.covariance_type == "diag" else SphericalGaussian
        return family(means, np.sqrt(covariances), validate_args=False)

    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        weights, means, covariances = self._moments(
            expected.counts, expected.statistics, rows.centre
        )
        self._set(weights_=weights, means_=means)
        self._set_covariances(covariances)

    def _moments(
        self, counts: np.ndarray, statistics: dict[str, np.ndarray], centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and covariances from expected statistics about the centre."""
        counts = counts + 10 * np.finfo(float).eps
        first, second = statistics["first"], statistics["second"]
        # of features that are independent, of the cells that are known
        known = statistics["count"]
        by_cell = self.covariance_type in ("diag", "spherical") and known.shape == first.shape
        cells = known + 10 * np.finfo(float).eps if by_cell else counts[:, None]
        offset = first / cells
        regular, features = self.reg_covar, first.shape[1]
        if self.covariance_type == "full":
            moments = second / counts[:, None, None]
            spread = _resolved(moments - offset[:, :, None] * offset[:, None, :], moments)
            spread = spread + regular * np.eye(features)
        elif self.covariance_type == "tied":
            moments = second / counts.sum()
            between = (counts[:, None] * offset).T @ offset / counts.sum()
            spread = _resolved(moments - between, moments) + regular * np.eye(features)
        elif self.covariance_type == "diag":
            moments = second / cells
            spread = np.where(moments - offset**2 > ROUNDING * moments, moments - offset**2, 0.0)
            spread = spread + regular
        else:
            total = (cells * np.ones_like(first)).sum(1)
            moments = second.reshape(len(first), -1).sum(1) / total
            between = (cells * offset**2).sum(1) / total
            inside = moments - between
            spread = np.where(inside > ROUNDING * moments, inside, 0.0) + regular
        return counts / counts.sum(), offset + centre, spread

    def _set_covariances(self, covariances: np.ndarray) -> None:
        factors = _precision_factors(covariances, self.covariance_type)
        self._set(covariances_=covariances, precisions_cholesky_=factors)

    def _finish(self, rows: Rows) -> None:
        factor = self.precisions_cholesky_
        if self.covariance_type in ("full", "tied"):
            self.precisions_ = factor @ np.swapaxes(factor, -1, -2)
        else:
            self.precisions_ = factor**2

    def component_covariance(self, component: int) -> np.ndarray:
        """The covariance of one component, ``(feature, feature)``."""
        covariances, features = np.asarray(self.covariances_, float), self.means_.shape[1]
        if self.covariance_type == "tied":
            return covariances
        own = covariances[component]
        return own if self.covariance_type == "full" else np.eye(features) * own

    def _n_parameters(self) -> int:
        count, features = self.means_.shape
        pairs = features * (features + 1) // 2
        of_covariances = {
            "full": count * pairs,
            "tied": pairs,
            "diag": count * features,
            "spherical": count,
        }[self.covariance_type]
        return of_covariances + count * features + count - 1

    def _draw(self, labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        means = np.asarray(self.means_, float)
        covariances = np.asarray(self.covariances_, float)
        noise = random.standard_normal((len(labels), means.shape[1]))
        if self.covariance_type == "full":
            factors = np.linalg.cholesky(covariances)
            noise = np.einsum("nij,nj->ni", factors[labels], noise)
        elif self.covariance_type == "tied":
            noise = noise @ np.linalg.cholesky(covariances).T
        elif self.covariance_type == "diag":
            noise = noise * np.sqrt(covariances)[labels]
        else:
            noise = noise * np.sqrt(covariances)[labels, None]
        return means[labels] + noise


class GaussianMixture(GaussianBase):
    """Gaussian mixture by expectation-maximisation, with scikit-learn's interface.

    As ``sklearn.mixture.GaussianMixture``: the same arguments, attributes and results. Beyond it,
    cells may be missing (NaN; left out exactly, not filled in), rows may have weights, data may
    come in pieces (`partial_fit`), and `sample_posterior` draws from the posterior of the same
    mixture. Dempster, Laird and Rubin (1977); Bishop (2006) §9.2.

    Args:
        n_components: number of components K.
        covariance_type: "full", "tied", "diag" or "spherical".
        tol: gain of the mean log-likelihood below which iterations stop.
        reg_covar: added to the variances.
        max_iter: maximum number of iterations per start.
        n_init: number of starts.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: initial weights ``(component,)``.
        means_init: initial means ``(component, feature)``.
        precisions_init: initial precisions, in the shape of ``precisions_``.
        random_state: seed, or generator, of the starts and of `sample`.
        warm_start: go on from where the last fit ended.
        verbose: 1 prints iterations, 2 what they gain.
        verbose_interval: iterations between lines.

    Attributes:
        weights_: ``(component,)``.
        means_: ``(component, feature)``.
        covariances_: ``(component, feature, feature)``, "tied" ``(feature, feature)``, "diag"
            ``(component, feature)``, "spherical" ``(component,)``.
        precisions_: their inverses.
        precisions_cholesky_: factors of these.
        converged_: whether the best start converged.
        n_iter_: its iterations.
        lower_bound_: its mean log-likelihood.
        lower_bounds_: that of every iteration.
        tree_: draws from the posterior, after `sample_posterior`.

    >>> X = np.array([[1.0, 2.0], [1.0, np.nan], [1.0, 0.0], [10.0, 2.0], [10.0, 4.0], [10.0, 0.0]])
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> sorted(model.means_[:, 0].round(6).tolist())
    [1.0, 10.0]
    >>> (model.predict([[0.0, 0.0]]) == model.predict(X[:1])).tolist()
    [True]
    """

    _fitted = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    _running: dict[str, np.ndarray]
    _pieces: int
    _point: np.ndarray

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
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
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def _check_options(self, x: np.ndarray) -> None:
        super()._check_options(x)
        checks.real(self, "reg_covar")
        checks.one_of(self, "covariance_type", COVARIANCES)
        features = x.shape[1]
        if self.weights_init is not None:
            checks.initial_weights(self.weights_init, self.n_components)
        if self.means_init is not None:
            checks.parameter(self.means_init, (self.n_components, features), "means")
        if self.precisions_init is not None:
            check_precisions(
                self.precisions_init,
                self._shape(features),
                self.covariance_type,
                f"{self.covariance_type} precision",
            )

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixture:
        """Go on with more rows, by an online step of expectation-maximisation.

        The first piece is fitted as by `fit`; the expected statistics of later ones enter a running
        average with weight (t + 2)^-0.6 after t steps (Cappé and Moulines 2009).

        Args:
            X: a piece of the data, ``(row, feature)``.
            y: ignored.
            sample_weight: weights of rows.
        """
        if not hasattr(self, "_running"):
            return self.fit(X, sample_weight=sample_weight)
        x = checks.rows_of(self, X, reset=False, allow_missing=True)
        rows = Rows(np.asarray(x, float), checks.weights_of(x, sample_weight), self._point)
        expected = rows.expectations(self._family, self._offsets())
        new, old = _of_one_row(rows, expected), self._running
        if any(old[name].shape != value.shape for name, value in new.items()):
            new, old = _by_cell(new), _by_cell(old)
        self._running = averaged(old, new, step_size(self._pieces + 1))
        self._pieces += 1
        counts = self._running["counts"]
        self._m_step(
            rows, Expectations(expected.log_density, None, expected.entropy, counts, self._running)
        )
        self._finish(rows)
        return self

    def _remember(self, rows: Rows, expected: Expectations) -> None:
        self._running, self._pieces, self._point = _of_one_row(rows, expected), 0, rows.centre

    def sample_posterior(self, X: Any, *, seed: int = 0, **arguments: Any) -> GaussianMixture:
        """Draw the parameters of the mixture from their posterior, into ``tree_``.

        Args:
            X: ``(row, feature)``.
            seed: of all random numbers.
            **arguments: of `ppl_models.fit` with the program ``gaussian_mixture``, such as
                ``method="nuts"`` (default: "gibbs") or ``draws``.

        Returns:
            The estimator; its maximum-likelihood parameters stay as they are.
        """
        from ppl_models.fitting import fit

        x = checks.rows_of(self, X, reset=not hasattr(self, "means_"), allow_missing=True)
        kind = "diagonal" if self.covariance_type == "diag" else self.covariance_type
        own: dict[str, Any] = {"method": "gibbs", "clusters": self.n_components, "covariance": kind}
        self.tree_ = fit("gaussian_mixture", x, seed=seed, **(own | arguments))
        return self

    def _needs_start(self) -> bool:
        return any(v is None for v in (self.weights_init, self.means_init, self.precisions_init))

    def _take_given(self) -> None:
        if self.weights_init is not None:
            self._set(weights_=self.weights_init)
        if self.means_init is not None:
            self._set(means_=self.means_init)
        if self.precisions_init is not None:
            precisions = np.asarray(self.precisions_init, float)
            self._set_covariances(_inverse(precisions, self.covariance_type))


def _of_one_row(rows: Rows, expected: Expectations) -> dict[str, np.ndarray]:
    """Expected statistics of an average row."""
    total = rows.weights.sum()
    statistics = {"counts": expected.counts} | expected.statistics
    return {name: value / total for name, value in statistics.items()}


def _by_cell(statistics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Statistics whose counts are of cells: pieces without gaps count rows."""
    count, first = statistics["count"], statistics["first"]
    return statistics | {"count": np.broadcast_to(count, first.shape)}


def _resolved(matrix: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Covariances, with variances that are nothing but rounding at zero."""
    matrix = (matrix + np.swapaxes(matrix, -1, -2)) / 2
    variance = np.diagonal(matrix, axis1=-2, axis2=-1)
    scale = np.diagonal(moments, axis1=-2, axis2=-1)
    real = variance > ROUNDING * scale
    return np.where(real[..., :, None] & real[..., None, :], matrix, 0)


COLLAPSED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)


def _precision_factors(covariances: np.ndarray, kind: str) -> np.ndarray:
    """Upper triangular factors U with U Uᵀ = Σ⁻¹; of variances, 1 / standard deviation.

    Raises:
        InputError: covariances that are not positive definite.
    """
    if kind in ("diag", "spherical"):
        if not (covariances > 0).all():
            raise InputError(COLLAPSED)
        return 1 / np.sqrt(covariances)
    if kind == "tied":
        return _precision_factors(covariances[None], "full")[0]
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise InputError(COLLAPSED) from None
    if not np.isfinite(lower).all():
        raise InputError(COLLAPSED)
    eye = np.eye(covariances.shape[-1])
    return np.stack([solve_triangular(each, eye, lower=True).T for each in lower])


def _inverse(precisions: np.ndarray, kind: str) -> np.ndarray:
    return 1 / precisions if kind in ("diag", "spherical") else np.linalg.inv(precisions)


def check_precisions(value: Any, shape: tuple[int, ...], kind: str, name: str) -> None:
    """Refuse matrices that are not positive definite, and numbers that are not positive.

    Args:
        value: precisions or covariances.
        shape: that they should have.
        kind: the type of the covariances.
        name: of the parameter, for the message.

    Raises:
        InputError: another shape, or what is not positive.
    """
    precisions = checks.parameter(value, shape, name)
    if kind in ("diag", "spherical"):
        if not (precisions > 0).all():
            raise InputError(f"'{kind} precision' should be positive")
        return
    symmetric = np.allclose(precisions, np.swapaxes(precisions, -1, -2))
    if not symmetric or not (np.linalg.eigvalsh(precisions) > 0).all():
        raise InputError(f"'{kind} precision' should be symmetric, positive-definite")
