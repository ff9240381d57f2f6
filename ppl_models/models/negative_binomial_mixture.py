"""Rows of counts from hidden regimes, each with scatter of its own beyond Poisson."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Counts
from ppl_models.models._over_dispersion import cluster_counts, is_vector
from ppl_models.models._weights import mixture_weights


def negative_binomial_mixture(
    x: Annotated[Any, Counts] = None,
    *,
    clusters: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    size_concentration: float = 2.0,
    size_rate: float = 0.2,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of counts from hidden regimes that scatter more than Poisson's.

        π ~ Dirichlet(concentration)                                     how common the regimes are
        λ_kd ~ Gamma(rate_concentration, rate_concentration / rate_mean_d)   the mean counts
        s_kd ~ Gamma(size_concentration, size_rate)                      sizes: variance λ + λ² / s
        z_n ~ Categorical(π)                                             which regime row n is from
        x_nd | z_n = k ~ NegativeBinomial(mean λ_kd, size s_kd)

    With one feature the data are a vector, ``rate`` and ``size`` one number a cluster. Hilbe
    (2011), Negative Binomial Regression, §8; McLachlan and Peel (2000) §5.

    Args:
        x: ``(row, feature)`` or ``(row,)`` of counts; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        rate_concentration: shape of the gamma prior of the rates.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        size_concentration: shape of the gamma prior of the sizes.
        size_rate: rate of the gamma prior of the sizes.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(negative_binomial_mixture, random.key(0))
    >>> program(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    vector = is_vector(x, features)
    if x is not None:
        rows, features = jnp.shape(x)[0], None if vector else jnp.shape(x)[1]
    weights = mixture_weights(clusters, concentration, weight_prior)
    axes = {} if vector else {"event_dims": ["feature"]}
    with numpyro.plate("cluster", clusters):
        rate, size = cluster_counts(
            "negative_binomial",
            clusters,
            x,
            None if vector else features,
            rate_concentration,
            rate_mean,
            size_concentration,
            size_rate,
            row_weights=row_weights,
        )
    assert size is not None
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = dist.NegativeBinomial2(rate[z], size[z])
        return numpyro.sample("x", emission if vector else emission.to_event(1), obs=x, infer=axes)
