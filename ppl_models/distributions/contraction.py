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

from ppl_models import device, memory

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


def sum_over_rows(left: Array, right: Array) -> Array:
    """``left @ right.T`` of ``(a, row)`` and ``(b, row)``, rows being many and a and b few.

    Where the device is wide, pieces of the rows are summed side by side: few sums of many terms
    would leave most of it idle. What is added is as exact, or more so.

    >>> sum_over_rows(jnp.ones((2, 3)), jnp.arange(3.0)[None]).tolist()
    [[3.0], [3.0]]
    """
    rows = left.shape[1]
    if rows < 2 * memory.WIDE_ROWS or not device.is_wide():
        # this order of the factors is the faster one on CPUs
        return dot_general(left, right, (((1,), (1,)), ((), ())))
    lacking = -rows % memory.WIDE_ROWS
    if lacking:
        left, right = (jnp.pad(v, ((0, 0), (0, lacking))) for v in (left, right))
    left, right = (v.reshape(len(v), -1, memory.WIDE_ROWS) for v in (left, right))
    return dot_general(left, right, (((2,), (2,)), ((1,), (1,)))).sum(0)
