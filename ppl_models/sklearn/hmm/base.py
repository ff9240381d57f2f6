"""What hidden Markov models share, with hmmlearn's interface."""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from collections import deque
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.hmm.passes import PathExpectations, Sequences

log = logging.getLogger(__name__)
DECODERS = ("viterbi", "map")


class ConvergenceMonitor:
    """The course of the log-likelihood.

    Attributes:
        history: of the last two iterations.
        iter: number of iterations.
    """

    def __init__(self, tol: float, n_iter: int, verbose: bool):
        self.tol, self.n_iter, self.verbose = tol, n_iter, verbose
        self.history: deque[float] = deque(maxlen=2)
        self.iter = 0

    def report(self, value: float) -> None:
        """Take in the log-likelihood of one more iteration."""
        if self.verbose:
            gain = value - self.history[-1] if self.history else np.nan
            print(f"{self.iter + 1:>10d} {value:>16.8f} {gain:>+16.8f}", file=sys.stderr)
        self.history.append(value)
        self.iter += 1

    @property
    def converged(self) -> bool:
        """Whether the last iteration was the last allowed, or gained less than ``tol``."""
        gains = np.diff(self.history)
        return self.iter == self.n_iter or (len(gains) == 1 and bool(gains[0] < self.tol))


class HiddenMarkov(BaseEstimator):
    """A hidden Markov model, fitted by expectation-maximisation (Baum-Welch).

    A subclass says what a state emits: its family, its M-step, its initial values.
    """

    n_components: int
    startprob_prior: Any
    transmat_prior: Any
    algorithm: str
    random_state: Any
    n_iter: int
    tol: float
    verbose: bool
    params: str
    init_params: str
    startprob_: np.ndarray
    transmat_: np.ndarray

    #: letters of the parameters -> their attributes
    _letters: dict[str, str]

    # ---- what a subclass writes --------------------------------------------------------------

    @abstractmethod
    def _family(self) -> Any:
        """The emission of all states."""

    @abstractmethod
    def _emission_m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        """Set the parameters of the emission."""

    @abstractmethod
    def _begin(self, x: np.ndarray, random: np.random.RandomState) -> None:
        """Set initial values of the emission, of those that are wanted."""

    @abstractmethod
    def _check_emission(self) -> None:
        """Refuse parameters of the emission that are none."""

    @abstractmethod
    def _emission_scalars(self) -> dict[str, int]:
        """Letter of each parameter of the emission -> how many numbers it has."""

    @abstractmethod
    def _draw(self, states: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """Steps that the states emit, ``(step, feature)``."""

    def _steps(self, X: Any, *, reset: bool) -> np.ndarray:
        known = not reset and hasattr(self, "n_features_in_")
        return checks.rows_of(self, X, reset=not known, allow_missing=True)

    def _centre(self, x: np.ndarray) -> np.ndarray:
        return checks.filled(x).mean(0)

    # ---- fitting -----------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, lengths: Any = None) -> Any:
        """Fit by expectation-maximisation.

        Args:
            X: steps of all sequences, one sequence after another, ``(step, feature)``.
            y: ignored, as by all of scikit-learn; lengths, as by hmmlearn, where it cannot be
                labels of the steps, because there are fewer.
            lengths: steps of every sequence (default: one sequence).
        """
        x = np.asarray(self._steps(X, reset=True), float)
        lengths = _lengths(x, y, lengths)
        self._init(x, lengths)
        self._check()
        self.monitor_ = ConvergenceMonitor(self.tol, self.n_iter, bool(self.verbose))
        centre = self._centre(x)
        sequences = Sequences(x, lengths, centre)
        for iteration in range(self.n_iter):
            expected = self._expectations(sequences)
            if not np.isfinite(expected.log_likelihood).all():
                number = int((~np.isfinite(expected.log_likelihood)).argmax())
                where = f"after {iteration} iterations" if iteration else "at the initial values"
                raise InputError(
                    f"sequence {number} has probability zero {where}: give other initial values, "
                    "or leave them to init_params"
                )
            self._m_step(expected, centre)
            self.monitor_.report(float(expected.log_likelihood.sum()))
            if self.monitor_.converged:
                break
        return self

    def _expectations(self, sequences: Sequences) -> PathExpectations:
        return sequences.expectations(
            self._family, np.asarray(self.startprob_, float), np.asarray(self.transmat_, float)
        )

    def _m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        if "s" in self.params:
            raised = np.maximum(self.startprob_prior - 1 + expected.start, 0)
            raised = np.where(self.startprob_ == 0, 0, raised)
            self.startprob_ = _normalised(raised, np.asarray(self.startprob_))
        if "t" in self.params:
            raised = np.maximum(self.transmat_prior - 1 + expected.transitions, 0)
            raised = np.where(self.transmat_ == 0, 0, raised)
            self.transmat_ = _normalised(raised, np.asarray(self.transmat_))
        self._emission_m_step(expected, centre)

    def _init(self, X: Any, lengths: Any = None) -> None:
        """Set initial values of all parameters that are wanted."""
        checks.whole_numbers(self, "n_components")
        checks.whole_numbers(self, "n_iter", minimum=0)
        x, random = np.asarray(X, float), check_random_state(self.random_state)
        flat = np.full(self.n_components, 1 / self.n_components)
        if self._needs_init("s"):
            self.startprob_ = random.dirichlet(flat)
        if self._needs_init("t"):
            self.transmat_ = random.dirichlet(flat, size=self.n_components)
        self._begin(x, random)
        wanted = sum(n for letter, n in self._scalars().items() if letter in self.params)
        if x.size < wanted:
            log.warning(
                "Fitting a model with %d free scalar parameters with only %d data points will "
                "result in a degenerate solution.",
                wanted,
                x.size,
            )

    def _needs_init(self, letter: str) -> bool:
        name = self._letters[letter]
        if letter in self.init_params:
            if getattr(self, name, None) is not None and not hasattr(self, "monitor_"):
                log.warning(
                    "%s was set, but will be overwritten by an initial value, because init_params "
                    "has '%s'",
                    name,
                    letter,
                )
            return True
        return getattr(self, name, None) is None

    def _check(self) -> None:
        """Refuse parameters that are none."""
        count = self.n_components
        self.startprob_ = np.asarray(self.startprob_, float)
        self.transmat_ = np.asarray(self.transmat_, float)
        for name, shape in (("startprob_", (count,)), ("transmat_", (count, count))):
            value = getattr(self, name)
            if value.shape != shape:
                raise InputError(f"{name} must have the shape {shape}, but has {value.shape}")
            if (value < 0).any() or not np.allclose(value.sum(-1), 1):
                raise InputError(f"{name} must be probabilities that sum to 1 (got {value})")
        checks.one_of(self, "algorithm", DECODERS)
        self._check_emission()

    def _scalars(self) -> dict[str, int]:
        """Letter of each parameter -> how many free numbers it has."""
        count = self.n_components
        return {"s": count - 1, "t": count * (count - 1)} | self._emission_scalars()

    # ---- after the fit -----------------------------------------------------------------------

    def _sequences(self, X: Any, lengths: Any) -> Sequences:
        check_is_fitted(self, "startprob_")
        self._check()
        x = np.asarray(self._steps(X, reset=False), float)
        return Sequences(x, _lengths(x, None, lengths), self._centre(x))

    def score_samples(self, X: Any, lengths: Any = None) -> tuple[float, np.ndarray]:
        """Log-likelihood of all sequences, and posteriors of the states, ``(step, state)``."""
        expected = self._expectations(self._sequences(X, lengths))
        if np.isneginf(expected.log_likelihood).any():
            number = int(np.isneginf(expected.log_likelihood).argmax())
            raise InputError(
                f"sequence {number} has probability zero under the model, so that its states have "
                "no posterior"
            )
        return float(expected.log_likelihood.sum()), expected.posteriors

    def score(self, X: Any, y: Any = None, lengths: Any = None) -> float:
        """Log-likelihood of all sequences; see `fit` for the arguments."""
        check_is_fitted(self, "startprob_")
        lengths = _lengths(np.asarray(X), y, lengths)
        return float(self._expectations(self._sequences(X, lengths)).log_likelihood.sum())

    def predict_proba(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Posterior probabilities of the states at every step, ``(step, state)``."""
        return self.score_samples(X, lengths)[1]

    def decode(
        self, X: Any, lengths: Any = None, algorithm: str | None = None
    ) -> tuple[float, np.ndarray]:
        """The most probable states.

        Args:
            X: steps of all sequences.
            lengths: steps of every sequence.
            algorithm: "viterbi", the most probable path (Viterbi 1967), or "map", the most
                probable state of every step by itself (default: the estimator's).

        Returns:
            The log joint density of paths and data ("map": the sum of the probabilities of the
            states, as by hmmlearn), and the states, ``(step,)``.
        """
        algorithm = algorithm or self.algorithm
        if algorithm not in DECODERS:
            raise InputError(f"algorithm is {algorithm!r}: choose one of {', '.join(DECODERS)}")
        if algorithm == "map":
            posteriors = self.predict_proba(X, lengths)
            return float(posteriors.max(1).sum()), posteriors.argmax(1)
        sequences = self._sequences(X, lengths)
        density, states = sequences.best_paths(
            self._family, np.asarray(self.startprob_), np.asarray(self.transmat_)
        )
        return float(density.sum()), states

    def predict(self, X: Any, lengths: Any = None) -> np.ndarray:
        """The most probable states, ``(step,)``; see `decode`."""
        return self.decode(X, lengths)[1]

    def sample(
        self, n_samples: int = 1, random_state: Any = None, currstate: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw one sequence.

        Args:
            n_samples: number of steps.
            random_state: seed, or generator (default: the estimator's).
            currstate: the first state.

        Returns:
            Steps ``(step, feature)``, and their states.
        """
        check_is_fitted(self, "startprob_")
        self._check()
        random = check_random_state(self.random_state if random_state is None else random_state)
        starts, moves = np.cumsum(self.startprob_), np.cumsum(self.transmat_, axis=1)
        uniform = random.uniform(size=n_samples)
        last = self.n_components - 1
        states = np.empty(n_samples, int)
        for t, u in enumerate(uniform):
            if t == 0 and currstate is not None:
                states[0] = currstate
                continue
            edges = starts if t == 0 else moves[states[t - 1]]
            states[t] = min(int(np.searchsorted(edges, u * edges[-1], side="right")), last)
        return self._draw(states, random), states

    def get_stationary_distribution(self) -> np.ndarray:
        """The distribution of the states in the long run, ``(state,)``."""
        check_is_fitted(self, "startprob_")
        count = self.n_components
        system = np.vstack([np.asarray(self.transmat_).T - np.eye(count), np.ones(count)])
        return np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]

    def _n_parameters(self) -> int:
        return sum(n for letter, n in self._scalars().items() if letter in self.params)

    def aic(self, X: Any, lengths: Any = None) -> float:
        """Akaike's information criterion, the lower the better."""
        return -2 * self.score(X, lengths=lengths) + 2 * self._n_parameters()

    def bic(self, X: Any, lengths: Any = None) -> float:
        """Bayesian information criterion, the lower the better."""
        likelihood = self.score(X, lengths=lengths)
        return float(-2 * likelihood + self._n_parameters() * np.log(len(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _lengths(x: np.ndarray, y: Any, lengths: Any) -> np.ndarray:
    """Steps of every sequence, checked."""
    if lengths is None and y is not None:
        numbers = np.asarray(y)
        if numbers.ndim == 1 and len(numbers) == len(x) > 1 and (numbers == 1).all():
            raise InputError(
                "the second argument is ones: say lengths= if these are sequences of one step"
            )
        if numbers.ndim == 0 or len(numbers) != len(x):
            lengths = numbers
    if lengths is None:
        return np.array([len(x)])
    counts = np.atleast_1d(np.asarray(lengths))
    if counts.dtype.kind not in "iu" or (counts < 1).any() or counts.sum() != len(x):
        raise InputError(
            f"lengths must be whole numbers from 1 up that sum to the {len(x)} rows of X, but "
            f"sum to {counts.sum()}"
        )
    return counts.astype(int)


def _normalised(values: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Probabilities; those of a state that was never left are as they were."""
    total = values.sum(-1, keepdims=True)
    return np.where(total > 0, values / np.where(total > 0, total, 1), before)
