"""Rows of bits from hidden types."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Bits
from ppl_models.distributions import BernoulliVector
from ppl_models.models._pseudo_counts import pseudo_count
from ppl_models.models._weights import mixture_weights


def bernoulli_mixture(
    x: Annotated[Any, Bits, FEATURE_AXIS] = None,
    *,
    clusters: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    ones: float | None = None,
    zeros: float | None = None,
    rows: int | None = None,
    features: int | None = None,
) -> Any:
    """Rows of bits from hidden types.

        π ~ Dirichlet(concentration)          how common the types are
        θ_kd ~ Beta(ones, zeros)              how often feature d is a one in type k
        z_n ~ Categorical(π)                  which type row n is of
        x_nd | z_n = k ~ Bernoulli(θ_kd)

    By default a posterior mode has no probability of 0 or 1, so that no new row is impossible; with
    ``ones=1, zeros=1`` the prior is flat. Bishop (2006) §9.3.3.

    Args:
        x: ``(row, feature)`` of zeros and ones; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        ones: pseudo-count of ones, a number or ``(feature,)`` (default: 1 + 1 / (2K)).
        zeros: pseudo-count of zeros, a number or ``(feature,)`` (default: 1 + 1 / (2K)).
        rows: number of rows where there are no data.
        features: number of features where there are no data.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(bernoulli_mixture, random.key(0))(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)
    weights = mixture_weights(clusters, concentration, weight_prior)
    ones, zeros = (
        pseudo_count(prior, clusters, 2) + jnp.zeros(features) for prior in (ones, zeros)
    )
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample(
            "probs", dist.Beta(ones, zeros).to_event(1), infer={"event_dims": ["feature"]}
        )
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample(
            "x", BernoulliVector(probs[z]), obs=x, infer={"event_dims": ["feature"]}
        )
