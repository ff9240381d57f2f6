"""Draws of multinomial counts with traced totals, for which NumPyro asks for a largest one."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.core import Tracer
from numpyro.primitives import Messenger

COUNTS = (dist.MultinomialProbs, dist.MultinomialLogits, dist.DirichletMultinomial)


class UnboundedTotals(Messenger):
    """Handler that draws counts of traced totals one binomial after another.

    It stands outside the handler that gives the sites their random keys.
    """

    def process_message(self, message: dict[str, Any]) -> None:
        """Draw a site's value where NumPyro could not."""
        if message["type"] != "sample" or message["value"] is not None:
            return
        base = message["fn"]
        while isinstance(base, dist.ExpandedDistribution | dist.Independent):
            base = base.base_dist
        if not isinstance(base, COUNTS) or base.total_count_max is not None:
            return
        key = message["kwargs"].get("rng_key")
        if not isinstance(base.total_count, Tracer) or key is None:
            return
        key, own = random.split(key)
        shape = message["fn"].shape(message["kwargs"].get("sample_shape", ()))
        if isinstance(base, dist.DirichletMultinomial):
            concentration = jnp.broadcast_to(base.concentration, shape)
            probabilities = random.dirichlet(own, concentration)
        else:
            probabilities = jnp.broadcast_to(base.probs, shape)
        totals = jnp.broadcast_to(base.total_count, shape[:-1])
        drawn = random.multinomial(key, totals.astype(probabilities.dtype), probabilities)
        message["value"] = drawn.astype(jnp.result_type(int))
