"""Default concentrations of the beta and Dirichlet priors of probabilities."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


def pseudo_count(value: Any, components: int, levels: int) -> Any:
    """The concentration of a Dirichlet prior: as given, or 1 + 1 / (components · levels).

    The default adds one observation to each variable, in equal parts to all components (clusters
    or states) and levels. A posterior mode then has no probability of exactly 0 or 1, so that no
    new row is impossible; a flat prior, whose mode is the maximum of the likelihood, has a
    concentration of 1. These are the Bayes constants of Latent GOLD (Vermunt and Magidson 2016,
    Technical Guide for Latent GOLD, §7.3; Galindo Garre and Vermunt 2006), with equal parts in
    place of observed shares, of which one is 0 where a level was never seen.

    Args:
        value: what the user asks for, or None.
        components: number of clusters or states that have a distribution of their own.
        levels: number of levels of the variable.

    >>> pseudo_count(None, 2, 5), pseudo_count(3.0, 2, 5)
    (1.1, 3.0)
    """
    return 1 + 1 / (components * levels) if value is None else value


def pseudo_counts(value: Any, components: int, levels: tuple[int, ...]) -> Array:
    """The same of the levels of several variables, side by side: ``(level,)``.

    >>> pseudo_counts(None, 1, (1, 2)).tolist()
    [2.0, 1.5, 1.5]
    """
    own = [pseudo_count(value, components, count) for count in levels]
    if value is None:
        return jnp.asarray(np.repeat(own, levels))
    return jnp.asarray(value) + jnp.zeros(sum(levels))
