"""Data of parameters without a declared kind: integers stay integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ppl_models.data.kinds.observed import Observed
from ppl_models.rectangular import rectangular


def as_given(observed: Observed, value: Any) -> Observed:
    """The data with integers and booleans kept, as bare NumPyro would receive them.

    An index array of floating-point numbers would index nothing.

    Args:
        observed: the same data as numbers.
        value: what a person gave.

    >>> from ppl_models.data import Reals
    >>> as_given(Reals.read([0, 2, 1]), [0, 2, 1]).values.dtype.kind
    'i'
    """
    kind = _dtype_kind(value)
    if kind not in ("i", "b") or observed.has_missing:
        return observed
    return replace(observed, values=observed.values.astype(np.int64 if kind == "i" else bool))


def as_before(values: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Values of new rows, as integers where the fitted rows had integers.

    >>> as_before(np.array([1.0, 0.0]), np.array([0, 2])).dtype.kind
    'i'
    """
    if values.dtype.kind != "f" or fitted.dtype.kind not in "ib":
        return values
    integral = np.isfinite(values).all() and (values == np.floor(values)).all()
    return values.astype(fitted.dtype) if integral else values


def _dtype_kind(value: Any) -> str | None:
    """Of all cells: "i" of whole numbers, "b" of truth values, otherwise another letter or None."""
    if isinstance(value, pd.DataFrame):
        kinds = {getattr(dtype, "kind", "O") for dtype in value.dtypes}
        return kinds.pop().replace("u", "i") if len(kinds) == 1 else None
    array = rectangular(value) if isinstance(value, list | tuple) else value
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    return None if kind is None else str(kind).replace("u", "i")
