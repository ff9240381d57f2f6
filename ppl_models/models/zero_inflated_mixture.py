"""Rows of counts from hidden regimes, with zeros that no count explains."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import xarray as xr

from ppl_models.data.kinds import Counts
from ppl_models.models._over_dispersion import cluster_counts, is_vector
from ppl_models.models._report_tables import Tables, zeros_and_rates
from ppl_models.models._weights import mixture_weights


def zero_inflated_mixture(
    x: Annotated[Any, Counts] = None,
    *,
    clusters: int,
    base: str = "poisson",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    size_concentration: float = 2.0,
    size_rate: float = 0.2,
    gate_ones: float = 1.0,
    gate_zeros: float = 1.0,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of counts from hidden regimes, with zeros that are none of the counts.

        π ~ Dirichlet(concentration)                                     how common the regimes are
        λ_kd ~ Gamma(rate_concentration, rate_concentration / rate_mean_d)   the mean counts
        s_kd ~ Gamma(size_concentration, size_rate)                      sizes (negative binomial)
        g_kd ~ Beta(gate_ones, gate_zeros)                               how often a zero is forced
        z_n ~ Categorical(π)                                             which regime row n is from
        x_nd | z_n = k is 0 with probability g_kd, else
            ~ Poisson(λ_kd) or NegativeBinomial(mean λ_kd, size s_kd)

    With one feature the data are a vector, and parameters one number a cluster. Lambert (1992).

    Args:
        x: ``(row, feature)`` or ``(row,)`` of counts; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        base: "poisson", or "negative_binomial" where counts scatter more.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        rate_concentration: shape of the gamma prior of the rates.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        size_concentration: shape of the gamma prior of the sizes.
        size_rate: rate of the gamma prior of the sizes.
        gate_ones: first parameter of the beta prior of the gates.
        gate_zeros: second parameter of the beta prior of the gates.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: an unknown base.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(zero_inflated_mixture, random.key(0))(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    vector = is_vector(x, features)
    if x is not None:
        rows, features = jnp.shape(x)[0], None if vector else jnp.shape(x)[1]
    weights = mixture_weights(clusters, concentration, weight_prior)
    axes = {} if vector else {"event_dims": ["feature"]}
    with numpyro.plate("cluster", clusters):
        rate, size = cluster_counts(
            base,
            clusters,
            x,
            None if vector else features,
            rate_concentration,
            rate_mean,
            size_concentration,
            size_rate,
            row_weights=row_weights,
        )
        prior = dist.Beta(gate_ones, gate_zeros)
        prior = prior if vector else prior.expand((features,)).to_event(1)
        gate = numpyro.sample("gate", prior, infer=axes)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        if size is None:
            emission = dist.ZeroInflatedPoisson(gate[z], rate[z])
        else:
            emission = dist.ZeroInflatedNegativeBinomial2(rate[z], size[z], gate=gate[z])
        return numpyro.sample("x", emission if vector else emission.to_event(1), obs=x, infer=axes)


def report_tables(tree: xr.DataTree) -> Tables:
    """How often there is nothing, and how large the counts are else."""
    return zeros_and_rates(tree, "probability of a forced zero", "mean of the other counts")
