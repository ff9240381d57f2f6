"""Hidden Markov models of categories with hmmlearn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions import CategoricalVector
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.hmm.base import HiddenMarkov
from ppl_models.sklearn.hmm.passes import PathExpectations


class CategoricalHMM(HiddenMarkov):
    """Hidden Markov model whose states emit one of several symbols, with hmmlearn's interface.

    As ``hmmlearn.hmm.CategoricalHMM``. The data are one column of codes from 0 up; a missing one
    is NaN. Rabiner (1989).

    Args:
        n_components: number of states.
        startprob_prior: concentration of the Dirichlet prior of ``startprob_``.
        transmat_prior: that of the rows of ``transmat_``.
        emissionprob_prior: that of the rows of ``emissionprob_``.
        n_features: number of symbols (default: one more than the largest code).
        algorithm: of `decode`, "viterbi" or "map".
        random_state: seed, or generator.
        n_iter: maximum number of iterations.
        tol: gain of the log-likelihood below which iterations stop.
        verbose: print the log-likelihoods.
        params: which parameters are fitted: s(tartprob), t(ransmat), e(missionprob).
        init_params: which get initial values; others are those that are set.
        implementation: as hmmlearn's; both are the same here.

    Attributes:
        startprob_: ``(state,)``.
        transmat_: ``(state, state)``.
        emissionprob_: ``(state, symbol)``.
        monitor_: the course of the log-likelihood.

    >>> model = CategoricalHMM(2)
    >>> model.startprob_, model.transmat_ = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.4, 0.6]])
    >>> model.emissionprob_ = np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
    >>> density, states = model.decode([[0], [1], [2]])
    >>> round(float(np.exp(density)), 5), states.tolist()
    (0.01344, [1, 0, 0])
    """

    _letters = {"s": "startprob_", "t": "transmat_", "e": "emissionprob_"}

    def __init__(
        self,
        n_components: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        *,
        emissionprob_prior: Any = 1.0,
        n_features: int | None = None,
        algorithm: str = "viterbi",
        random_state: Any = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "ste",
        init_params: str = "ste",
        implementation: str = "log",
    ):
        self.n_components = n_components
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.emissionprob_prior = emissionprob_prior
        self.n_features = n_features
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
        """Number of symbols, as it was given or found in the data."""
        n_features = self.__dict__["_given_features"]
        if n_features is not None or not hasattr(self, "emissionprob_"):
            return n_features
        return np.atleast_2d(self.emissionprob_).shape[1]

    @n_features.setter
    def n_features(self, value: int | None) -> None:
        self._given_features = value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the constructor."""
        return super().get_params(deep) | {"n_features": self._given_features}

    def _steps(self, X: Any, *, reset: bool) -> np.ndarray:
        x = checks.counts(super()._steps(X, reset=reset), type(self).__name__)
        if x.shape[1] != 1:
            raise InputError(f"X has {x.shape[1]} columns: give one column of codes")
        symbols = self._given_features if reset else self.n_features
        if symbols is not None and np.nanmax(x, initial=0) >= symbols:
            raise InputError(
                f"X has the code {np.nanmax(x):g}, and there are {symbols} symbols, from 0 up"
            )
        return x

    def _centre(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(())

    def _begin(self, x: np.ndarray, random: np.random.RandomState) -> None:
        if self._needs_init("e"):
            symbols = self._given_features or int(np.nanmax(x)) + 1
            raised = random.uniform(size=(self.n_components, symbols))
            self.emissionprob_ = raised / raised.sum(1, keepdims=True)

    def _check_emission(self) -> None:
        self.emissionprob_ = value = np.atleast_2d(np.asarray(self.emissionprob_, float))
        wanted = (self.n_components, self._given_features or value.shape[1])
        if value.shape != wanted or not value.size:
            raise InputError(f"emissionprob_ must have the shape {wanted}, but has {value.shape}")
        if (value < 0).any() or not np.allclose(value.sum(1), 1):
            raise InputError("emissionprob_ must be probabilities that sum to 1 in every row")

    def _family(self) -> Any:
        probs = np.asarray(self.emissionprob_, float)
        return CategoricalVector(probs, levels=(probs.shape[1],), validate_args=False)

    def _emission_m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        if "e" not in self.params:
            return
        raised = np.maximum(self.emissionprob_prior - 1 + expected.statistics["counts"], 0)
        total = raised.sum(1, keepdims=True)
        shares = raised / np.where(total > 0, total, 1)
        self.emissionprob_ = np.where(total > 0, shares, self.emissionprob_)

    def _emission_scalars(self) -> dict[str, int]:
        count, symbols = np.shape(self.emissionprob_)
        return {"e": count * (symbols - 1)}

    def _draw(self, states: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        edges = np.cumsum(self.emissionprob_, axis=1)[states]
        below = random.uniform(size=(len(states), 1)) * edges[:, -1:] >= edges
        return np.minimum(below.sum(1), edges.shape[1] - 1)[:, None]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.categorical = True  # whole numbers: what scikit-learn's checks then give
        return tags
