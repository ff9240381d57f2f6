"""The prior of the mixture weights, which all mixtures have in common."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.errors import InputError

WEIGHT_PRIORS = ("dirichlet", "stick_breaking")


def mixture_weights(clusters: int, concentration: Any, prior: str) -> Array:
    """Sample the mixture weights ``(cluster,)``.

    "dirichlet": π ~ Dirichlet(concentration). With a concentration well below 1 and more clusters
    than are needed the rest empty out (Rousseau and Mengersen 2011).

    "stick_breaking": a Dirichlet process cut off at K clusters (Ishwaran and James 2001):
    α ~ Gamma(concentration, 1), v_k ~ Beta(1, α), π_k = v_k Π_{j<k} (1 - v_j).

    Raises:
        InputError: unknown prior.
    """
    if prior not in WEIGHT_PRIORS:
        raise InputError(f"weight_prior is {prior!r}: choose one of {', '.join(WEIGHT_PRIORS)}")
    if prior == "dirichlet":
        shape = jnp.broadcast_to(jnp.asarray(concentration, float), (clusters,))
        return numpyro.sample("weights", dist.Dirichlet(shape), infer={"event_dims": ["cluster"]})
    strength = numpyro.sample("strength", dist.Gamma(concentration, 1.0))
    with numpyro.plate("stick", clusters - 1):
        sticks = numpyro.sample("sticks", dist.Beta(1.0, strength))
    left = jnp.cumprod(1 - sticks)
    one = jnp.ones(1, left.dtype)
    weights = jnp.append(sticks, one) * jnp.append(one, left)
    return numpyro.deterministic("weights", weights)
