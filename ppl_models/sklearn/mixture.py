"""What all mixtures share: EM from several starts, densities, criteria, draws."""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.passes import Expectations, Rows
from ppl_models.sklearn.seeds import start_responsibilities

Parameters = dict[str, Any]
STARTS = ("kmeans", "k-means++", "random", "random_from_data")


class Mixture(DensityMixin, BaseEstimator):
    """A mixture of K components, fitted by expectation-maximisation.

    A subclass says what a component is: its emission, its M-step, its initial values.
    """

    n_components: int
    tol: float
    max_iter: int
    n_init: int
    init_params: str
    random_state: Any
    warm_start: bool
    verbose: int
    verbose_interval: int
    lower_bound_: float

    #: attributes that the M-step sets, which one of several starts is remembered by
    _fitted: tuple[str, ...]
    _least_rows = 2
    _allow_missing = True  #: whether cells may be missing

    # ---- what a subclass writes --------------------------------------------------------------

    @abstractmethod
    def _family(self) -> Any:
        """The emission of all components at the present parameters."""

    @abstractmethod
    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        """Set the parameters from expected statistics."""

    @abstractmethod
    def _begin(self, rows: Rows) -> None:
        """Set parameters that rows with gaps can be passed over with, before there are any."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    @abstractmethod
    def _draw(self, labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        """Rows of the given components."""

    def _offsets(self) -> np.ndarray:
        """What is added to every component's log-density, ``(component,)``."""
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(self.weights_, float))

    def _check_options(self, x: np.ndarray) -> None:
        checks.whole_numbers(self, "n_components", "n_init", "verbose_interval")
        checks.whole_numbers(self, "max_iter", minimum=0)
        checks.real(self, "tol")
        checks.one_of(self, "init_params", STARTS)

    def _points(self, x: np.ndarray) -> np.ndarray:
        """Rows as complete points among which starts are spread."""
        return checks.filled(x)

    def _read(self, x: Any, *, reset: bool) -> np.ndarray:
        minimum = self._least_rows if reset else 1
        return checks.rows_of(
            self, x, reset=reset, allow_missing=self._allow_missing, minimum=minimum
        )

    def _centre(self, x: np.ndarray) -> np.ndarray:
        return checks.filled(x).mean(0)

    def _lower_bound(self, rows: Rows, expected: Expectations) -> float:
        """The objective: the mean log-likelihood before the M-step."""
        total = rows.weights.sum()
        seen = rows.weights > 0
        return float(rows.weights[seen] @ expected.log_density[seen] / total)

    def _needs_start(self) -> bool:
        return True

    def _take_given(self) -> None:
        """Put given initial values in the place of those of a start."""

    # ---- fitting -----------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit by expectation-maximisation, from ``n_init`` starts.

        Args:
            X: ``(row, feature)``; missing cells are NaN.
            y: ignored.
            sample_weight: weights of rows; a row of weight 2 counts as two rows.

        Returns:
            The estimator.
        """
        self.fit_predict(X, y, sample_weight)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit, and return the component of every row; see :meth:`fit`."""
        rows = self._prepared(X, sample_weight)
        random = check_random_state(self.random_state)
        begin = not (self.warm_start and hasattr(self, "converged_"))
        held: tuple[float, Parameters, int, bool, list[float]] | None = None
        for start in range(self.n_init if begin else 1):
            self._say(f"Initialization {start}", self.verbose)
            if begin:
                self._initialise(rows, random)
            before = -np.inf if begin else self.lower_bound_
            best = self._run_em(rows, before)
            if held is None or best[0] > held[0]:
                held = best
        assert held is not None
        self.lower_bound_, parameters, self.n_iter_, self.converged_, self.lower_bounds_ = held
        for name, value in parameters.items():
            setattr(self, name, value)
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, "
                "or increase max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._finish(rows)
        expected = rows.expectations(self._family, self._offsets(), every=True)
        self._remember(rows, expected)
        assert expected.log_joint is not None
        return expected.log_joint.argmax(1)

    def _prepared(self, X: Any, sample_weight: Any) -> Rows:
        x = self._read(X, reset=True)
        if len(x) < self.n_components:
            raise InputError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {len(x)}"
            )
        self._check_options(x)
        weights = checks.weights_of(x, sample_weight)
        exact = np.asarray(x, np.float64)
        self._dtype = x.dtype
        return Rows(exact, weights, self._centre(exact))

    def _initialise(self, rows: Rows, random: np.random.RandomState) -> None:
        self._begin(rows)
        if self._needs_start():
            table = start_responsibilities(
                self._points(rows.value), rows.weights, self.n_components, self.init_params, random
            )
            expected = rows.expectations(self._family, np.zeros(self.n_components), table)
            self._m_step(rows, expected)
        self._take_given()

    def _run_em(
        self, rows: Rows, before: float
    ) -> tuple[float, Parameters, int, bool, list[float]]:
        """EM iterations from the present parameters."""
        bound, bounds, converged, step = before, [], self.max_iter == 0, 0
        begun = time.perf_counter()
        for step in range(1, self.max_iter + 1):
            expected = rows.expectations(self._family, self._offsets())
            self._m_step(rows, expected)
            last, bound = bound, self._lower_bound(rows, expected)
            bounds.append(bound)
            if step % self.verbose_interval == 0:
                more = f"\t time lapse {time.perf_counter() - begun:.5f}s\t ll change "
                tail = f"{more}{bound - last:.5f}" if self.verbose > 1 else ""
                self._say(f"  Iteration {step}{tail}", self.verbose)
            if abs(bound - last) < self.tol:
                converged = True
                break
        said = "converged" if converged else "did not converge"
        self._say(f"Initialization {said}.", self.verbose)
        converged = converged and self.max_iter > 0
        return bound, self._parameters(), step, converged, bounds

    def _parameters(self) -> Parameters:
        return {name: getattr(self, name) for name in self._fitted if hasattr(self, name)}

    def _remember(self, rows: Rows, expected: Expectations) -> None:
        """Keep what later pieces of the data are added to."""

    def _finish(self, rows: Rows) -> None:
        """Set what follows from the parameters."""

    def _set(self, **values: Any) -> None:
        """Set attributes in the floating-point type of the data."""
        for name, value in values.items():
            setattr(self, name, np.asarray(value).astype(self._dtype))

    def _say(self, text: str, level: int) -> None:
        if level:
            print(text)

    # ---- after the fit -----------------------------------------------------------------------

    def _passed(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Log-densities ``(row,)`` and log joint densities ``(row, component)``."""
        check_is_fitted(self)
        x = self._read(X, reset=False)
        exact = np.asarray(x, np.float64)
        rows = Rows(exact, np.ones(len(x)), self._centre(exact))
        expected = rows.expectations(self._family, self._offsets(), every=True)
        assert expected.log_joint is not None
        return expected.log_density.astype(x.dtype), expected.log_joint

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of every row, ``(row,)``; missing cells are integrated out."""
        return self._passed(X)[0]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density of the rows."""
        density = self.score_samples(X)
        if sample_weight is None:
            return float(density.mean())
        weights = checks.weights_of(density[:, None], sample_weight)
        return float(weights @ density / weights.sum())

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of every row, ``(row,)``."""
        return self._passed(X)[1].argmax(1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the components, ``(row, component)``."""
        density, joint = self._passed(X)
        top = joint.max(1, keepdims=True)
        if np.isneginf(top).any():
            row = int(np.isneginf(top[:, 0]).argmax())
            raise InputError(
                f"row {row} has probability zero under every component, so that it has no "
                "responsibilities: fit with alpha above 0"
            )
        responsibility = np.exp(joint - top)
        return (responsibility / responsibility.sum(1, keepdims=True)).astype(density.dtype)

    def bic(self, X: Any) -> float:
        """Bayesian information criterion of the rows, the lower the better (Schwarz 1978)."""
        density = self.score_samples(X)
        return float(-2 * density.sum() + self._n_parameters() * np.log(len(density)))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion of the rows, the lower the better (Akaike 1974)."""
        return float(-2 * self.score_samples(X).sum() + 2 * self._n_parameters())

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted mixture, and the component of each."""
        check_is_fitted(self)
        if n_samples < 1:
            raise InputError(
                f"Invalid value for 'n_samples': {n_samples}. The sampling requires at least one "
                "sample."
            )
        random = check_random_state(self.random_state)
        weights = np.asarray(self.weights_, float)
        counts = random.multinomial(n_samples, weights / weights.sum())
        labels = np.repeat(np.arange(self.n_components), counts)
        return self._draw(labels, random), labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allow_missing
        return tags
