"""Data and parameters of estimators, checked."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight, validate_data

from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError


def whole_numbers(estimator: Any, *names: str, minimum: int = 1) -> None:
    """Refuse parameters that are no whole numbers from ``minimum`` up."""
    for name in names:
        value = getattr(estimator, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
            raise _wrong(estimator, name, f"a whole number from {minimum} up")


def real(estimator: Any, *names: str, minimum: float = 0.0) -> None:
    """Refuse parameters that are no numbers from ``minimum`` up."""
    for name in names:
        value = getattr(estimator, name)
        if isinstance(value, bool) or not isinstance(value, Real) or not float(value) >= minimum:
            raise _wrong(estimator, name, f"a number from {minimum:g} up")


def one_of(estimator: Any, name: str, choices: Sequence[Any]) -> None:
    """Refuse a parameter that is none of the choices."""
    value = getattr(estimator, name)
    if not isinstance(value, str) or value not in choices:
        raise _wrong(estimator, name, f"one of {', '.join(map(repr, choices))}")


def _wrong(estimator: Any, name: str, wanted: str) -> InputError:
    value = f"{getattr(estimator, name)!r:.40}"
    kind = type(estimator).__name__
    return InputError(f"The '{name}' parameter of {kind} must be {wanted}. Got {value} instead.")


def rows_of(
    estimator: Any, x: Any, *, reset: bool, allow_missing: bool, minimum: int = 1, **options: Any
) -> np.ndarray:
    """Data as ``(row, feature)`` in floating point, names of columns checked.

    Args:
        estimator: what is fitted, or was.
        x: array of any library, or data frame.
        reset: whether it is being fitted.
        allow_missing: whether cells may be NaN.
        minimum: fewest rows.
        **options: of scikit-learn's ``validate_data``.
    """
    return validate_data(
        estimator,
        as_numpy(x),
        reset=reset,
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan" if allow_missing else True,
        ensure_min_samples=minimum,
        **options,
    )


def as_numpy(x: Any) -> Any:
    """An array of another library (JAX, PyTorch on the CPU, ...) as NumPy's; all else as it is.

    scikit-learn does this itself unless ``array_api_dispatch`` is on, where it hands the array on.
    """
    if isinstance(x, np.ndarray) or not hasattr(x, "__array_namespace__"):
        return x
    return np.asarray(x)


def weights_of(x: np.ndarray, sample_weight: Any) -> np.ndarray:
    """Weights of rows, ``(row,)``, in double precision.

    Raises:
        ValueError: negative weights, none above 0, or not one a row.
    """
    weights = _check_sample_weight(
        as_numpy(sample_weight), x, dtype=np.float64, ensure_non_negative=True
    )
    if not weights.sum() > 0:
        raise InputError("sample_weight is zero in every row: give some row a weight above 0")
    return weights


def filled(x: np.ndarray) -> np.ndarray:
    """Rows with missing cells at the mean of their column."""
    missing = missing_cells(x)
    if not missing.any():
        return x
    seen = (~missing).sum(0)
    means = np.where(missing, 0, x).sum(0) / np.clip(seen, 1, None)
    return np.where(missing, means, x)


def parameter(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """An initial value of a parameter, as an array of the right shape.

    Raises:
        InputError: another shape.
    """
    array = np.asarray(value, float)
    if array.shape != shape:
        raise InputError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    return array


def initial_weights(value: Any, count: int) -> np.ndarray:
    """Initial weights of components, checked.

    Raises:
        InputError: what are no weights.
    """
    weights = parameter(value, (count,), "weights")
    if (weights < 0).any() or (weights > 1).any():
        raise InputError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.min():.5f}, min value {weights.max():.5f}"
        )
    if not np.isclose(weights.sum(), 1, atol=1e-6):
        raise InputError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{weights.sum():.5f}"
        )
    return weights


def counts(values: np.ndarray, name: str) -> np.ndarray:
    """Counts, checked.

    Raises:
        InputError: negative numbers or fractions.
    """
    if (values < 0).any():
        row, column = (int(place[0]) for place in np.nonzero(values < 0))
        raise InputError(
            f"Negative values in data passed to {name}: row {row}, column {column} of X is "
            f"{values[row, column]:g}, and counts are whole numbers from 0 up"
        )
    wrong = ~(missing_cells(values) | (values % 1 == 0))
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong))
        raise InputError(
            f"row {row}, column {column} of X is {values[row, column]:g}: counts are whole "
            "numbers from 0 up"
        )
    return values
