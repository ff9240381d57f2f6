"""Floating-point precision of one call: nothing outside the call is switched.

Products in single precision have all its bits: a GPU takes them in TF32, with 10 bits of fraction,
unless it is told otherwise. The emissions of this package tell it wherever they are run (see
``distributions/contraction.py``); within a call so do a program's own products, and those of
NumPyro's distributions, unless ``jax_default_matmul_precision`` is set.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from ppl_models import compilation_cache
from ppl_models.errors import InputError

PRECISIONS = ("float64", "float32")


@contextmanager
def scope(precision: str) -> Any:
    """Precision for as long as a call takes; nothing outside is switched.

    The first such call has compiled programs kept on disk, see ``compilation_cache``.

    Raises:
        InputError: unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if not compilation_cache.decided:
        compilation_cache.keep()
    chosen = jax.config.jax_default_matmul_precision
    with (
        jax.enable_x64(precision == "float64"),
        jax.default_matmul_precision("highest" if chosen is None else chosen),
    ):
        yield


def cast(values: np.ndarray, precision: str) -> np.ndarray:
    """Floating-point data in the precision of the fit, integers as they are."""
    return values.astype(precision) if values.dtype.kind == "f" else values
