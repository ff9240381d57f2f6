"""Logarithms of probabilities that may be zero, with gradients that stay finite."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def safe_log(probability: Array) -> Array:
    """Logarithm with the smallest positive number in place of zero, so that 0 · log 0 = 0."""
    return jnp.log(jnp.clip(probability, jnp.finfo(probability.dtype).tiny))


def is_log_of_zero(logarithm: Array) -> Array:
    """Whether :func:`safe_log` was given no probability at all."""
    return logarithm <= jnp.log(jnp.finfo(logarithm.dtype).tiny)
