"""Hidden Markov models of categories with hmmlearn's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppl_models.data.missing import missing_cells
from ppl_models.distributions import CategoricalVector
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.hmm.base import HiddenMarkov
from ppl_models.sklearn.hmm.passes import PathExpectations


class CategoricalHMM(HiddenMarkov):
    """Hidden Markov model whose states emit one of several symbols, with hmmlearn's interface.

    As ``hmmlearn.hmm.CategoricalHMM`` for one column of codes from 0 up. Besides, codes may be
    missing (NaN), may be whole numbers in floating point, and may have several columns, which are
    independent given the state, each with symbols of its own. Rabiner (1989).

    Args:
        n_components: number of states.
        startprob_prior: concentration of the Dirichlet prior of ``startprob_``.
        transmat_prior: that of the rows of ``transmat_``.
        emissionprob_prior: that of the rows of ``emissionprob_``; of several columns a number, or
            a list with one prior a column.
        n_features: number of symbols, of every column or a sequence with one number a column
            (default: one more than the largest code of the column).
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
        emissionprob_: ``(state, symbol)``; of several columns a list with one such table a column.
        monitor_: the course of the log-likelihood.

    >>> model = CategoricalHMM(2)
    >>> model.startprob_, model.transmat_ = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0.4, 0.6]])
    >>> model.emissionprob_ = np.array([[0.1, 0.4, 0.5], [0.6, 0.3, 0.1]])
    >>> density, states = model.decode([[0], [1], [2]])
    >>> round(float(np.exp(density)), 5), states.tolist()
    (0.01344, [1, 0, 0])

    Two columns, of three and of two symbols:

    >>> X = [[0, 0], [0, 0], [1, 0], [2, 1], [2, 1], [1, 1]]
    >>> model = CategoricalHMM(2, random_state=0).fit(X)
    >>> model.n_features, [table.shape for table in model.emissionprob_]
    ((3, 2), [(2, 3), (2, 2)])
    """

    _letters = {"s": "startprob_", "t": "transmat_", "e": "emissionprob_"}

    def __init__(
        self,
        n_components: int = 1,
        startprob_prior: Any = 1.0,
        transmat_prior: Any = 1.0,
        *,
        emissionprob_prior: Any = 1.0,
        n_features: int | Sequence[int] | None = None,
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
    def n_features(self) -> Any:
        """Number of symbols, as it was given or found in the data; of several columns, of each."""
        n_features = self.__dict__["_given_features"]
        if n_features is not None or not hasattr(self, "emissionprob_"):
            return n_features
        symbols = tuple(table.shape[1] for table in self._tables())
        return symbols if len(symbols) > 1 else symbols[0]

    @n_features.setter
    def n_features(self, value: Any) -> None:
        self._given_features = value

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the constructor."""
        return super().get_params(deep) | {"n_features": self._given_features}

    def _tables(self) -> list[np.ndarray]:
        """Probabilities of the symbols of every column, each ``(state, symbol)``."""
        value = self.emissionprob_
        several = len(value) > 0 and np.ndim(value[0]) == 2
        return [
            np.atleast_2d(np.asarray(table, float)) for table in (value if several else [value])
        ]

    def _keep(self, tables: list[np.ndarray]) -> None:
        self.emissionprob_: Any = tables if len(tables) > 1 else tables[0]

    def _given_symbols(self, columns: int) -> list[int] | None:
        """Number of symbols of every column, where it was given."""
        asked = self._given_features
        if asked is None:
            return None
        counts: list[Any] = [asked] * columns if np.isscalar(asked) else list(asked)
        wrong = any(
            isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in counts
        )
        if wrong or len(counts) != columns:
            raise InputError(
                f"The 'n_features' parameter of {type(self).__name__} must be the number of "
                f"symbols, a whole number from 1 up, or a sequence of one a column ({columns}). "
                f"Got {asked!r} instead."
            )
        return counts

    def _steps(self, X: Any, *, reset: bool) -> np.ndarray:
        x = checks.counts(super()._steps(X, reset=reset), type(self).__name__)
        if not reset:
            self._refuse_others(x)
        elif (symbols := self._given_symbols(x.shape[1])) is not None:
            _refuse_codes(x, symbols)
        return x

    def _refuse_others(self, x: np.ndarray) -> None:
        """Refuse data of other columns or codes than ``emissionprob_`` has."""
        tables = self._tables()
        if len(tables) != x.shape[1]:
            raise InputError(
                f"X has {x.shape[1]} columns, and emissionprob_ is of {len(tables)}: set one table "
                "(state, symbol), or a list of one such table a column"
            )
        _refuse_codes(x, [table.shape[1] for table in tables])

    def _centre(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(())

    def _begin(self, x: np.ndarray, random: np.random.RandomState) -> None:
        if not self._needs_init("e"):
            self._check_emission()
            self._refuse_others(x)
            return
        tables = []
        for symbols in self._given_symbols(x.shape[1]) or _symbols_in(x):
            raised = random.uniform(size=(self.n_components, symbols))
            tables.append(raised / raised.sum(1, keepdims=True))
        self._keep(tables)

    def _check_emission(self) -> None:
        tables = self._tables()
        symbols = self._given_symbols(len(tables))
        for j, table in enumerate(tables):
            name = "emissionprob_" if len(tables) == 1 else f"emissionprob_[{j}]"
            wanted = (self.n_components, symbols[j] if symbols else table.shape[1])
            if table.shape != wanted or not table.size:
                raise InputError(f"{name} must have the shape {wanted}, but has {table.shape}")
            if not (table >= 0).all() or not np.allclose(table.sum(1), 1):
                raise InputError(f"{name} must be probabilities that sum to 1 in every row")
        self._keep(tables)

    def _family(self) -> Any:
        tables = self._tables()
        levels = tuple(table.shape[1] for table in tables)
        return CategoricalVector(np.concatenate(tables, 1), levels=levels, validate_args=False)

    def _emission_m_step(self, expected: PathExpectations, centre: np.ndarray) -> None:
        if "e" not in self.params:
            return
        tables, prior = self._tables(), self.emissionprob_prior
        if len(tables) == 1 or np.isscalar(prior):
            prior = [prior] * len(tables)
        if len(prior) != len(tables):
            raise InputError(
                f"emissionprob_prior has {len(prior)} priors, and X has {len(tables)} columns: "
                "give a number, or a list with one prior a column"
            )
        edges = np.cumsum([table.shape[1] for table in tables])[:-1]
        moved = []
        counts = np.split(expected.statistics["counts"], edges, axis=1)
        for table, concentration, count in zip(tables, prior, counts, strict=True):
            raised = np.maximum(np.asarray(concentration, float) - 1 + count, 0)
            total = raised.sum(1, keepdims=True)
            moved.append(np.where(total > 0, raised / np.where(total > 0, total, 1), table))
        self._keep(moved)

    def _emission_scalars(self) -> dict[str, int]:
        return {"e": sum(len(table) * (table.shape[1] - 1) for table in self._tables())}

    def _draw(self, states: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        columns = []
        for table in self._tables():
            edges = np.cumsum(table, axis=1)[states]
            below = random.uniform(size=(len(states), 1)) * edges[:, -1:] >= edges
            columns.append(np.minimum(below.sum(1), edges.shape[1] - 1))
        return np.stack(columns, axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.categorical = True  # whole numbers: what scikit-learn's checks then give
        return tags


def _symbols_in(x: np.ndarray) -> list[int]:
    """One more than the largest code of every column."""
    empty = missing_cells(x).all(0)
    if empty.any():
        raise InputError(
            f"column {int(empty.argmax())} of X has no value: leave it out, or say by n_features "
            "how many symbols it has"
        )
    return [int(largest) + 1 for largest in np.nanmax(x, axis=0)]


def _refuse_codes(x: np.ndarray, symbols: list[int]) -> None:
    beyond = x >= np.asarray(symbols)
    if beyond.any():
        row, column = (int(place[0]) for place in np.nonzero(beyond))
        raise InputError(
            f"row {row}, column {column} of X has the code {x[row, column]:g}, and there are "
            f"{symbols[column]} symbols, from 0 up"
        )
