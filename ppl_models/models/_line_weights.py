"""Weights of the lines of data, in programs whose rows have several lines."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from typing import Any

import jax.numpy as jnp
from numpyro import handlers


def as_often(line_weights: Any) -> AbstractContextManager:
    """A context whose sites' densities are raised to the power of the lines' weights.

    Args:
        line_weights: how often each line counts, ``(line,)``, from 0 up; None where each counts
            once.

    >>> import numpyro
    >>> import numpyro.distributions as dist
    >>> def program():
    ...     with numpyro.plate("line", 2), as_often([3.0, 0.0]):
    ...         numpyro.sample("x", dist.Normal(0.0, 1.0), obs=jnp.zeros(2))
    >>> from numpyro.infer.util import log_density
    >>> round(float(log_density(program, (), {}, {})[0]), 4)  # 3 log N(0 | 0, 1)
    -2.7568
    """
    context = ExitStack()
    if line_weights is not None:
        weights = jnp.asarray(line_weights, float)
        # NumPyro takes no scale of 0
        context.enter_context(handlers.mask(mask=weights > 0))
        context.enter_context(handlers.scale(scale=jnp.where(weights > 0, weights, 1.0)))
    return context
