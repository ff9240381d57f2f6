"""Hidden Markov models of Gaussian rows with hmmlearn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions import DiagonalGaussian, FullGaussian, TiedGaussian
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.hmm.base import HiddenMarkov
from ppl_models.sklearn.hmm.passes import PathExpectations
from ppl_models.sklearn.seeds import kmeans

COVARIANCES = ("spherical", "diag", "full", "tied")


class GaussianHMM(HiddenMarkov):
    """Hidden Markov model with Gaussian states, with hmmlearn's interface.

    As ``hmmlearn.hmm.GaussianHMM``: the same arguments, attributes and M-step. Cells of steps may
    be missing (NaN), and are left out exactly. Rabiner (1989).

    Args:
        n_components: number of states.
        covariance_type: "spherical", "diag", "full" or "tied".
        min_covar: added to the variances of the initial values.
        startprob_prior: concentration of the Dirichlet prior of ``startprob_``.
        transmat_prior: that of the rows of ``transmat_``.
        means_prior: prior means of the means.
        means_weight: their weights, in steps.
        covars_prior: of the inverse gamma or inverse Wishart prior of the covariances.
        covars_weight: of the same.
        algorithm: of `decode`, "viterbi" or "map".
        random_state: seed, or generator.
        n_iter: maximum number of iterations.
        tol: gain of the log-likelihood below which iterations stop.
        verbose: print the log-likelihoods.
        params: which parameters are fitted: s(tartprob), t(ransmat), m(eans), c(ovars).
        init_params: which get initial values; others are those that are set.
        implementation: as hmmlearn's; both are the same here.

    Attributes:
        startprob_: ``(state,)``.
        transmat_: ``(state, state)``.
        means_: ``(state, feature)``.
        covars_: ``(state, feature, feature)``.
        monitor_: the course of the log-likelihood.

    >>> X = np.concatenate([np.linspace(0, 1, 20), np.linspace(9, 10, 20)])[:, None]
    >>> model = GaussianHMM(2, random_state=0).fit(X)
    >>> states = model.predict(X)
    >>> len(set(states[:20])), len(set(states[20:])), bool(states[0] != states[-1])
    (1, 1, True)
    """

    _letters = {"s": "startprob_", "t": "transmat_", "m": "means_", "c": "_covars_"}

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "diag",
        min_covar: float = 1e-3,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        means_prior: Any = 0,
        means_weight: Any = 0,
        covars_prior: Any = 1e-2,
        covars_weight: Any = 1,
        algorithm: str = "viterbi",
        random_state: Any = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "stmc",
        init_params: str = "stmc",
        implementation: str = "log",
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.min_covar = min_covar
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.means_prior = means_prior
        self.means_weight = means_weight
        self.covars_prior = covars_prior
        self.covars_weight = covars_weight
        self.algorithm = algorithm
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol
        self.verbose = verbose
        self.params = params
        self.init_params = init_params
        self.implementation = implementation

    @property
    def n_features(self) -> int | None:
        """Number of features."""
        held = self.__dict__.get("_n_features")
        return np.shape(self.means_)[1] if held is None else held

    @n_features.setter
    def n_features(self, value: int | None) -> None:
        self._n_features = value

    @property
    def covars_(self) -> np.ndarray:
        """Covariance matrices, ``(state, feature, feature)``."""
        held, count, features = self._covars_, self.n_components, np.shape(self.means_)[1]
        if self.covariance_type == "full":
            return held
        if self.covariance_type == "tied":
            return np.tile(held, (count, 1, 1))
        wide = np.broadcast_to(np.reshape(held, (count, -1)), (count, features))
        return wide[:, :, None] * np.eye(features)

    @covars_.setter
    def covars_(self, value: Any) -> None:
        array = np.array(value, float)
        if self.covariance_type in ("spherical", "diag"):
            if array.ndim == 0 or len(array) != self.n_components or not (array > 0).all():
                raise InputError(
                    f"covars_ of covariance_type '{self.covariance_type}' must be positive, with "
                    f"n_components={self.n_components} rows"
                )
        elif array.ndim < 2 or not _positive_definite(array):
            raise InputError(
                f"covars_ of covariance_type '{self.covariance_type}' must be symmetric, "
                "positive-definite"
            )
        self._covars_ = array

    def _begin(self, x: np.ndarray, random: np.random.RandomState) -> None:
        checks.one_of(self, "covariance_type", COVARIANCES)
        checks.real(self, "min_covar")
        complete = checks.filled(x)
        self.__dict__.pop("_n_features", None)
        if self._needs_init("m"):
            weights = np.ones(len(x))
            self.means_ = kmeans(complete, weights, self.n_components, random, starts=10).centres
        if self._needs_init("c"):
            spread = np.atleast_2d(np.cov(complete.T)) if len(x) > 1 else np.zeros(2 * x.shape[1:])
            spread = spread + self.min_covar * np.eye(x.shape[1])
            count = self.n_components
            self.covars_ = {
                "full": np.tile(spread, (count, 1, 1)),
                "tied": spread,
                "diag": np.tile(np.diag(spread), (count, 1)),
                "spherical": np.full(count, spread.mean()),
            }[self.covariance_type]

    def _check_emission(self) -> None:
        checks.one_of(self, "covariance_type", COVARIANCES)
        self.means_ = np.asarray(self.means_, float)
        if self.means_.ndim != 2 or len(self.means_) != self.n_components:
            raise InputError(
                f"means_ must have the shape ({self.n_components}, feature), but has "
                f"{self.means_.shape}"
            )

    def _family(self) -> Any:
        means, held = np.asarray(self.means_, float), np.asarray(self._covars_, float)
        if self.covariance_type == "full":
            return FullGaussian(means, held, validate_args=False)
        if self.covariance_type == "tied":
            return TiedGaussian(means, held, validate_args=False)
        variance = np.broadcast_to(held.reshape(len(means), -1), means.shape)
        return DiagonalGaussian(means, np.sqrt(variance), validate_args=False)

    def _emission_m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        s, weight = expected.statistics, self.means_weight
        diagonal = self.covariance_type in ("spherical", "diag")
        # of diagonal covariances the cells that are known, of others the steps
        count = np.asarray(s["count"]) if diagonal else s["count"][:, None]
        safe = np.where(count + weight > 0, count + weight, 1)
        if "m" in self.params:
            pull = weight * (np.asarray(self.means_prior, float) - centre)
            moved = centre + (pull + s["first"]) / safe
            self.means_ = np.where(count + weight > 0, moved, self.means_)
        if "c" not in self.params:
            return
        offset = self.means_ - centre
        from_prior = self.means_ - self.means_prior
        if diagonal:
            squares = s["second"] - 2 * offset * s["first"] + offset**2 * count
            squares = np.clip(squares, 0, None) + weight * from_prior**2
            total = np.maximum(np.maximum(self.covars_weight - 1, 0) + count, 1e-5)
            variance = (self.covars_prior + squares) / total
            if self.covariance_type == "spherical":
                variance = np.tile(variance.mean(1)[:, None], (1, variance.shape[1]))
            self._covars_ = variance
            return
        freedom = np.maximum(self.covars_weight - self.means_.shape[1], 0)
        outer = weight * from_prior[:, :, None] * from_prior[:, None, :]
        if self.covariance_type == "tied":
            cross = s["first"].T @ offset
            inside = (s["count"][:, None] * offset).T @ offset
            scatter = s["second"] - cross - cross.T + inside + outer.sum(0)
            covariance = (self.covars_prior + scatter) / (freedom + s["count"].sum())
            self._covars_ = _made_definite(covariance[None], self.min_covar)[0]
            return
        cross = s["first"][:, :, None] * offset[:, None, :]
        inside = s["count"][:, None, None] * offset[:, :, None] * offset[:, None, :]
        scatter = s["second"] - cross - np.swapaxes(cross, 1, 2) + inside + outer
        total = np.maximum(freedom + s["count"], 1e-5)[:, None, None]
        self._covars_ = _made_definite((self.covars_prior + scatter) / total, self.min_covar)

    def _emission_scalars(self) -> dict[str, int]:
        count, features = np.shape(self.means_)
        pairs = features * (features + 1) // 2
        covariances = {
            "spherical": count,
            "diag": count * features,
            "full": count * pairs,
            "tied": pairs,
        }[self.covariance_type]
        return {"m": count * features, "c": covariances}

    def _draw(self, states: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        means = np.asarray(self.means_, float)
        factors = np.linalg.cholesky(self.covars_)
        noise = random.standard_normal((len(states), means.shape[1]))
        return means[states] + np.einsum("nij,nj->ni", factors[states], noise)


def _made_definite(covariances: np.ndarray, least: float) -> np.ndarray:
    """Covariances, with ``least`` added to the variances of those that have no inverse.

    The prior, one number for all cells, is a matrix of rank one, which does not keep a state with
    few steps off a plane.
    """
    covariances = (covariances + np.swapaxes(covariances, 1, 2)) / 2
    lengths = np.linalg.eigvalsh(covariances)
    flat = lengths[:, 0] <= 1e-12 * np.maximum(lengths[:, -1], 1e-300)
    return covariances + flat[:, None, None] * max(least, 1e-12) * np.eye(covariances.shape[-1])


def _positive_definite(matrices: np.ndarray) -> bool:
    symmetric = np.allclose(matrices, np.swapaxes(matrices, -1, -2))
    return bool(symmetric and (np.linalg.eigvalsh(matrices) > 0).all())
