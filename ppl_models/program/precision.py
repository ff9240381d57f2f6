"""Floating-point precision of one call: nothing outside the call is switched."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from ppl_models.errors import InputError

PRECISIONS = ("float64", "float32")


@contextmanager
def scope(precision: str) -> Any:
    """Precision for as long as a call takes; nothing outside is switched.

    Raises:
        InputError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    with jax.enable_x64(precision == "float64"):
        yield


def cast(values: np.ndarray, precision: str) -> np.ndarray:
    """Floating-point data in the precision of the fit, integers as they are."""
    return values.astype(precision) if values.dtype.kind == "f" else values
