"""Rows of counts from hidden regimes."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Counts
from ppl_models.distributions import PoissonVector
from ppl_models.models._scale import data_scale
from ppl_models.models._weights import mixture_weights


def poisson_mixture(
    x: Annotated[Any, Counts] = None,
    *,
    clusters: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of counts from hidden regimes.

        π ~ Dirichlet(concentration)                                     how common the regimes are
        λ_kd ~ Gamma(rate_concentration, rate_concentration / rate_mean_d)   the mean counts
        z_n ~ Categorical(π)                                             which regime row n is from
        x_nd | z_n = k ~ Poisson(λ_kd)

    With one feature the data are a vector and ``rate`` is one number a cluster. McLachlan and Peel
    (2000) §5.

    Args:
        x: ``(row, feature)`` or ``(row,)`` of counts; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        rate_concentration: shape of the gamma prior; above 1 keeps the rates off zero.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(poisson_mixture, random.key(0))(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)[0], (jnp.shape(x)[1] if jnp.ndim(x) == 2 else None)
    univariate = features is None or (x is None and features == 1)
    mean: Any = rate_mean
    if mean is None:
        mean = 1.0
        if x is not None:
            mean = jnp.clip(data_scale(jnp.asarray(x, float), row_weights).mean, 0.1)
    weights = mixture_weights(clusters, concentration, weight_prior)
    prior = dist.Gamma(rate_concentration, rate_concentration / jnp.asarray(mean))
    with numpyro.plate("cluster", clusters):
        if univariate:
            rate = numpyro.sample("rate", prior)
        else:
            rate = numpyro.sample(
                "rate", prior.expand((features,)).to_event(1), infer={"event_dims": ["feature"]}
            )
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = PoissonVector(rate[z], univariate=univariate)
        dims = {} if univariate else {"event_dims": ["feature"]}
        return numpyro.sample("x", emission, obs=x, infer=dims)
