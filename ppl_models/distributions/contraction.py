"""Matrix products that enter densities, statistics and updates: in full precision on every device.

A GPU or TPU takes single-precision products in fewer bits unless it is told otherwise (TF32 has 10
bits of fraction, which put log-densities off by 0.04 a row), and says nothing. Every product of a
distribution is therefore one of these, also where bare NumPyro runs the program. On CPUs they are
the plain ones.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

FULL = lax.Precision.HIGHEST


def matmul(left: Array, right: Array) -> Array:
    """``left @ right``.

    >>> matmul(jnp.eye(2), jnp.arange(2.0)).tolist()
    [0.0, 1.0]
    """
    return jnp.matmul(left, right, precision=FULL)


def einsum(subscripts: str, *operands: Array) -> Array:
    """``jnp.einsum``."""
    return jnp.einsum(subscripts, *operands, precision=FULL)


def dot_general(left: Array, right: Array, dimension_numbers: Any) -> Array:
    """``lax.dot_general``."""
    return lax.dot_general(left, right, dimension_numbers, precision=FULL)
