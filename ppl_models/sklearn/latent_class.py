"""Latent class analysis with scikit-learn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from ppl_models.data.missing import missing_cells
from ppl_models.distributions import CategoricalVector
from ppl_models.errors import InputError
from ppl_models.sklearn import checks
from ppl_models.sklearn.independent import Smoothed
from ppl_models.sklearn.passes import Expectations, Rows


class LatentClassModel(Smoothed):
    """Latent class analysis: a mixture of independent categories.

    Lazarsfeld and Henry (1968); Linzer and Lewis (2011), poLCA. The columns hold numbers, text or
    pandas categories, each with levels of its own; missing cells are left out exactly.

    Args:
        n_components: number of classes K.
        alpha: observations that are added to every feature, in equal parts to all classes and
            levels, so that nothing is impossible; 0 is maximum likelihood.
        tol: gain of the mean log-likelihood below which iterations stop.
        max_iter: maximum number of iterations per start.
        n_init: number of starts.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: initial weights ``(class,)``.
        random_state: seed, or generator.
        warm_start: go on from where the last fit ended.
        verbose: 1 prints iterations, 2 what they gain.
        verbose_interval: iterations between lines.

    Attributes:
        weights_: ``(class,)``.
        categories_: the levels of every feature.
        probs_: of every feature the probabilities of its levels, ``(class, level)``.

    >>> answers = pd.DataFrame({"fish": list("yyynnn"), "meat": list("nnnyyy")})
    >>> model = LatentClassModel(2, random_state=0).fit(answers)
    >>> model.categories_[0].tolist(), model.weights_.round(2).tolist()
    (['n', 'y'], [0.5, 0.5])
    """

    _fitted = ("weights_", "probs_")

    def __init__(
        self,
        n_components: int = 2,
        *,
        alpha: float = 1.0,
        tol: float = 1e-4,
        max_iter: int = 1000,
        n_init: int = 5,
        init_params: str = "kmeans",
        weights_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        super().__init__(
            n_components,
            alpha=alpha,
            tol=tol,
            max_iter=max_iter,
            n_init=n_init,
            init_params=init_params,
            weights_init=weights_init,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            verbose_interval=verbose_interval,
        )

    def _read(self, x: Any, *, reset: bool) -> np.ndarray:
        x = checks.as_numpy(x)
        declared = _declared(x)
        least = self._least_rows if reset else 1
        values = validate_data(
            self, x, reset=reset, dtype=None, ensure_all_finite=False, ensure_min_samples=least
        )
        _refuse_infinite(values)
        names = getattr(self, "feature_names_in_", range(values.shape[1]))
        if reset and not (self.warm_start and hasattr(self, "categories_")):
            self.categories_ = [
                _levels(column, known_levels, name)
                for column, known_levels, name in zip(
                    values.T, declared or [None] * values.shape[1], names, strict=True
                )
            ]
        codes = np.empty(values.shape)
        for j, (column, levels) in enumerate(zip(values.T, self.categories_, strict=True)):
            code = pd.Index(levels).get_indexer(pd.Index(column)).astype(float)
            missing = pd.isna(column)
            unknown = (code < 0) & ~missing
            if unknown.any():
                row = int(unknown.argmax())
                level = column[row].item() if hasattr(column[row], "item") else column[row]
                raise InputError(
                    f"row {row}, column {names[j]} of X is {level!r}, a level that the fit "
                    f"does not know: its levels are {', '.join(map(str, levels))}"
                )
            codes[:, j] = np.where(missing, np.nan, code)
        return codes

    @property
    def _levels_of(self) -> tuple[int, ...]:
        return tuple(len(levels) for levels in self.categories_)

    def _centre(self, x: np.ndarray) -> np.ndarray:
        return np.zeros(())  # categories have no middle

    def _points(self, x: np.ndarray) -> np.ndarray:
        """Indicators of the levels; of a missing cell their shares."""
        return checks.filled(self._indicators(x))

    def _indicators(self, x: np.ndarray) -> np.ndarray:
        columns = [
            np.where(missing_cells(column)[:, None], np.nan, column[:, None] == np.arange(count))
            for column, count in zip(x.T, self._levels_of, strict=True)
        ]
        return np.concatenate(columns, axis=1)

    def _begin(self, rows: Rows) -> None:
        count = self.n_components
        self._set(weights_=np.full(count, 1 / count))
        self.probs_ = [np.full((count, levels), 1 / levels) for levels in self._levels_of]

    def _family(self) -> Any:
        probs = np.concatenate([np.asarray(p, float) for p in self.probs_], axis=1)
        return CategoricalVector(probs, levels=self._levels_of, validate_args=False)

    def _m_step(self, rows: Rows, expected: Expectations) -> None:
        self._set(weights_=expected.counts / expected.counts.sum())
        counts, levels = expected.statistics["counts"], self._levels_of
        parts = np.split(counts, np.cumsum(levels)[:-1], axis=1)
        probs = []
        for part in parts:
            raised = part + self.alpha / part.size
            total = raised.sum(1, keepdims=True)
            shares = raised / np.where(total > 0, total, 1)
            probs.append(np.where(total > 0, shares, 1 / part.shape[1]))
        self.probs_ = probs

    def _n_parameters(self) -> int:
        levels = sum(count - 1 for count in self._levels_of)
        return self.n_components * levels + self.n_components - 1

    def _draw(self, labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
        columns = []
        for probs, levels in zip(self.probs_, self.categories_, strict=True):
            cumulative = np.cumsum(probs, axis=1)[labels]
            below = random.uniform(size=(len(labels), 1)) * cumulative[:, -1:] >= cumulative
            columns.append(np.asarray(levels)[np.minimum(below.sum(1), len(levels) - 1)])
        kinds = {column.dtype.kind for column in columns}
        kind = None if len(kinds) == 1 else object
        return np.stack([column.astype(kind or column.dtype) for column in columns], axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _declared(x: Any) -> list[Any] | None:
    """Levels that the columns of a frame declare."""
    if not isinstance(x, pd.DataFrame):
        return None
    return (
        [
            x[name].cat.categories.to_numpy()
            if isinstance(x.dtypes[name], pd.CategoricalDtype)
            else None
            for name in x.columns
        ]
        if x.columns.is_unique
        else None
    )


def _levels(column: np.ndarray, declared: Any, name: Any) -> np.ndarray:
    """The levels of a column in order."""
    if declared is not None and len(declared):
        return declared
    present = column[~pd.isna(column)]
    if len(present) == 0:
        raise InputError(f"column {name} of X has no value: leave it out")
    try:
        return np.unique(present)
    except TypeError:
        raise InputError(
            f"column {name} of X mixes types that have no order: make them all text"
        ) from None


def _refuse_infinite(values: np.ndarray) -> None:
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise InputError("X has infinite values, which are no categories: mark gaps by NaN")
