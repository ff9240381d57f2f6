"""Any program and method of inference as an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ppl_models.errors import InputError
from ppl_models.fitting import fit
from ppl_models.posterior.density.prediction import log_density, predict
from ppl_models.posterior.result.schema import facts_of
from ppl_models.posterior.simulate.generate import generate
from ppl_models.sklearn import checks

PREFIX = "arguments__"


class Estimator(DensityMixin, BaseEstimator):
    """A program of NumPyro, fitted by any method of `fit`, with scikit-learn's interface.

    Args:
        program: a built-in program's name, ``path/to/file.py:function``, or the function; its data
            are one table of numbers.
        method: of inference: "em", "gibbs", "nuts", ...
        arguments: of the program and the method, by name. A search over them takes
            ``arguments__NAME``.
        random_state: seed, or generator.

    Attributes:
        tree_: the result of `fit`, which everything in this package takes.

    The columns of a data frame keep their names in ``tree_``.

    >>> X = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])[:, None]
    >>> model = Estimator("gaussian_mixture", arguments={"clusters": 2, "starts": 2}).fit(X)
    >>> len(set(model.predict([[0.0], [10.0]])))
    2
    """

    def __init__(
        self,
        program: Any = "gaussian_mixture",
        *,
        method: str = "em",
        arguments: dict[str, Any] | None = None,
        random_state: Any = 0,
    ):
        self.program = program
        self.method = method
        self.arguments = arguments
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters; if ``deep``, each of ``arguments`` as ``arguments__NAME`` too."""
        parameters = super().get_params(deep=False)
        if deep and isinstance(self.arguments, Mapping):
            parameters |= {PREFIX + name: value for name, value in self.arguments.items()}
        return parameters

    def set_params(self, **params: Any) -> Estimator:
        """Set parameters; ``arguments__NAME`` sets one of ``arguments``."""
        nested = {n: params.pop(n) for n in list(params) if n.startswith(PREFIX)}
        super().set_params(**params)
        if nested:
            own = dict(self.arguments or {})
            self.arguments = own | {n.removeprefix(PREFIX): v for n, v in nested.items()}
        return self

    def fit(self, X: Any, y: Any = None) -> Estimator:
        """Fit the program to rows ``(row, feature)``; missing cells are NaN."""
        x = checks.rows_of(self, X, reset=True, allow_missing=True, minimum=2)
        if not (self.arguments is None or isinstance(self.arguments, Mapping)):
            raise InputError(f"arguments is {self.arguments!r:.40}: give a dict by name")
        arguments = dict(self.arguments or {})
        for name in ("seed", "method"):
            if name in arguments:
                raise InputError(f"arguments has '{name}': give it to the Estimator itself")
        if not arguments and self.program == "gaussian_mixture":
            arguments = {"clusters": 2}
        seed = self.random_state
        if not isinstance(seed, (int, np.integer)):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        rows = self._named(x)
        self.tree_ = fit(self.program, rows, method=self.method, seed=int(seed), **arguments)
        self._dtype = x.dtype
        return self

    def _named(self, x: np.ndarray) -> np.ndarray | pd.DataFrame:
        """The rows under the names of their columns, which tables and pictures show."""
        names = getattr(self, "feature_names_in_", None)
        return x if names is None else pd.DataFrame(x, columns=names)

    def _rows(self, X: Any) -> np.ndarray | pd.DataFrame:
        check_is_fitted(self)
        return self._named(checks.rows_of(self, X, reset=False, allow_missing=True))

    def score_samples(self, X: Any) -> np.ndarray:
        """Log-density of every row under the posterior, ``(row,)``."""
        rows = self._rows(X)
        return np.asarray(log_density(self.tree_, rows).values)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: Any) -> np.ndarray:
        """Posterior probabilities of the clusters, ``(row, cluster)``."""
        rows = self._rows(X)
        return np.asarray(predict(self.tree_, rows).values)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable cluster of every row, ``(row,)``."""
        return self.predict_proba(X).argmax(1)

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draw rows from the posterior predictive distribution, ``(row, feature)``."""
        check_is_fitted(self)
        random = check_random_state(self.random_state)
        drawn = generate(self.tree_, n_samples, seed=int(random.randint(2**31 - 1)))
        return drawn[facts_of(self.tree_).emission.site].values.reshape(n_samples, -1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
