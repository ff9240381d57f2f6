"""An outcome of each row that its cluster decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale

OUTCOMES = ("none", "gaussian", "bernoulli", "poisson")


def distal_outcome(
    family: str, clusters: int, outcome: Any, mean: Any, scale: Any, row_weights: Any = None
) -> Callable[[Any], dist.Distribution] | None:
    """The outcome's distribution by cluster; its sites are "outcome_mean" and "outcome_scale".

    Args:
        family: one of OUTCOMES.
        clusters: K.
        outcome: ``(row,)``, or None.
        mean: prior mean (default: the data's).
        scale: prior deviation (default: the data's).
        row_weights: how often each row counts, ``(row,)``.

    Raises:
        InputError: an unknown family, or an outcome without one.
    """
    if family not in OUTCOMES:
        raise InputError(f"distal is {family!r}: choose one of {', '.join(OUTCOMES)}")
    if family == "none":
        if outcome is not None:
            raise InputError(
                "an outcome is given and distal='none': choose distal='gaussian', 'bernoulli' or "
                "'poisson', or leave the outcome out"
            )
        return None
    of_data = data_scale(None if outcome is None else jnp.asarray(outcome, float), row_weights)
    if family == "poisson" and mean is None:
        mean = 1.0 if outcome is None else jnp.clip(of_data.mean, 0.1)
    centre = of_data.mean if mean is None else mean
    spread = of_data.deviation if scale is None else scale
    if family == "gaussian":
        noise = numpyro.sample("outcome_scale", dist.HalfNormal(2 * spread))
    with numpyro.plate("cluster", clusters):
        if family == "gaussian":
            loc = numpyro.sample("outcome_mean", dist.Normal(centre, 2 * spread))
            return lambda z: dist.Normal(loc[z], noise)
        if family == "bernoulli":
            prior_scale = 1 + 0.5 / clusters
            loc = numpyro.sample("outcome_mean", dist.Beta(prior_scale, prior_scale))
            return lambda z: dist.Bernoulli(loc[z])
        loc = numpyro.sample("outcome_mean", dist.Gamma(1.5, 1.5 / centre))
        return lambda z: dist.Poisson(loc[z])
