"""Hidden Markov models of counts with hmmlearn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions import PoissonVector
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.hmm.base import HiddenMarkov
from ppl_models.sklearn.hmm.passes import PathExpectations


class PoissonHMM(HiddenMarkov):
    """Hidden Markov model with counts, with hmmlearn's interface.

    As ``hmmlearn.hmm.PoissonHMM``. Cells may be missing (NaN). Zucchini and MacDonald (2009).

    Args:
        n_components: number of states.
        startprob_prior: concentration of the Dirichlet prior of ``startprob_``.
        transmat_prior: that of the rows of ``transmat_``.
        lambdas_prior: shape of the gamma prior of the rates, in counts.
        lambdas_weight: its rate, in steps.
        algorithm: of `decode`, "viterbi" or "map".
        random_state: seed, or generator.
        n_iter: maximum number of iterations.
        tol: gain of the log-likelihood below which iterations stop.
        verbose: print the log-likelihoods.
        params: which parameters are fitted: s(tartprob), t(ransmat), l(ambdas).
        init_params: which get initial values; others are those that are set.
        implementation: as hmmlearn's; both are the same here.

    Attributes:
        startprob_: ``(state,)``.
        transmat_: ``(state, state)``.
        lambdas_: rates, ``(state, feature)``.
        monitor_: the course of the log-likelihood.

    >>> X = np.array([1, 2, 1, 0, 2, 1, 20, 22, 19, 21, 18, 1, 0, 2])[:, None]
    >>> model = PoissonHMM(2, random_state=1, n_iter=50).fit(X)
    >>> sorted(model.lambdas_.round(1).ravel().tolist())
    [1.1, 20.0]
    """

    _letters = {"s": "startprob_", "t": "transmat_", "l": "lambdas_"}

    def __init__(
        self,
        n_components: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        lambdas_prior: Any = 0.0,
        lambdas_weight: Any = 0.0,
        algorithm: str = "viterbi",
        random_state: Any = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "stl",
        init_params: str = "stl",
        implementation: str = "log",
    ):
        self.n_components = n_components
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.lambdas_prior = lambdas_prior
        self.lambdas_weight = lambdas_weight
        self.algorithm = algorithm
        self.random_state = random_state
        self.n_iter = n_iter
        self.tol = tol
        self.verbose = verbose
        self.params = params
        self.init_params = init_params
        self.implementation = implementation

    @property
    def n_features(self) -> int:
        """Number of features."""
        return np.shape(self.lambdas_)[1]

    def _steps(self, X: Any, *, reset: bool) -> np.ndarray:
        return checks.counts(super()._steps(X, reset=reset), type(self).__name__)

    def _begin(self, x: np.ndarray, random: np.random.RandomState) -> None:
        if self._needs_init("l"):
            mean, variance = max(float(np.nanmean(x)), 1e-6), max(float(np.nanvar(x)), 1e-6)
            size = (self.n_components, x.shape[1])
            self.lambdas_ = random.gamma(mean**2 / variance, variance / mean, size) + 1e-6

    def _check_emission(self) -> None:
        self.lambdas_ = np.atleast_2d(np.asarray(self.lambdas_, float))
        if len(self.lambdas_) != self.n_components or not self.lambdas_.size:
            raise InputError(
                f"lambdas_ must have the shape ({self.n_components}, feature), but has "
                f"{self.lambdas_.shape}"
            )
        if (self.lambdas_ < 0).any():
            raise InputError("lambdas_ must be at least 0")

    def _family(self) -> Any:
        return PoissonVector(np.asarray(self.lambdas_, float), validate_args=False)

    def _emission_m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        if "l" not in self.params:
            return
        total, seen = expected.statistics["total"], expected.statistics["count"]
        weight = self.lambdas_weight + seen
        moved = (self.lambdas_prior + total) / np.where(weight > 0, weight, 1)
        self.lambdas_ = np.where(weight > 0, moved, self.lambdas_)

    def _emission_scalars(self) -> dict[str, int]:
        return {"l": int(np.size(self.lambdas_))}

    def _draw(self, states: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        return random.poisson(np.asarray(self.lambdas_, float)[states])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.categorical = True  # whole numbers: what scikit-learn's checks then give
        return tags
