"""Rows of numbers from hidden clusters with Gaussian scatter."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Reals
from ppl_models.distributions import (
    DiagonalGaussian,
    FullGaussian,
    InverseGammaScale,
    SphericalGaussian,
    TiedGaussian,
    UnivariateGaussian,
)
from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale
from ppl_models.models._scatter import COVARIANCES, Scatter
from ppl_models.models._weights import mixture_weights


def gaussian_mixture(
    x: Annotated[Any, Reals] = None,
    *,
    clusters: int,
    covariance: str = "full",
    weights: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    rows: int | None = None,
    features: int | None = None,
) -> Any:
    """Rows of numbers from hidden clusters.

        π ~ Dirichlet(concentration)                                   how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                         where they lie
        spherical: σ_k, diagonal: σ_kd, squares ~ InverseGamma(scale_concentration, scale_rate)
        tied: Σ, full: Σ_k ~ InverseWishart(degrees_of_freedom, scale_matrix)
        z_n ~ Categorical(π)                                           which cluster row n is from
        x_n | z_n = k ~ Normal(μ_k, σ_k² or Σ_k)

    With one feature the data are a vector, ``loc`` one number a cluster and ``scale`` one number a
    cluster or, tied, one for all. Bishop (2006) §9.2; the priors of the scatter follow Fraley and
    Raftery (2007): centred on the data's variance shared out among the clusters, V / K^(2/D).

    Args:
        x: ``(row, feature)`` or ``(row,)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        covariance: "spherical", "diagonal", "tied" or "full".
        weights: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet process
            cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        scale_concentration: a of the inverse gamma.
        scale_rate: b of the inverse gamma (default: the data's variance / K^(2/D)).
        degrees_of_freedom: ν of the inverse Wishart (default: D + 2).
        scale_matrix: Ψ of the inverse Wishart (default: diagonal, the data's variances / K^(2/D)).
        rows: number of rows where there are no data.
        features: number of features where there are no data.

    Returns:
        The rows.

    Raises:
        InputError: unknown covariance, or too few degrees of freedom.

    >>> import numpy as np
    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(gaussian_mixture, random.key(0))
    >>> program(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if covariance not in COVARIANCES:
        raise InputError(f"covariance is {covariance!r}: choose one of {', '.join(COVARIANCES)}")
    if x is not None:
        rows, features = jnp.shape(x)[0], (jnp.shape(x)[1] if jnp.ndim(x) == 2 else None)
    scale = data_scale(x)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    shares = mixture_weights(clusters, concentration, weights)
    if features is None or (x is None and features == 1):
        rate = scale.deviation**2 / clusters**2 if scale_rate is None else scale_rate
        scatter = InverseGammaScale(scale_concentration, rate)
        shared = covariance == "tied"
        deviation: Any = numpyro.sample("scale", scatter) if shared else None
        with numpyro.plate("cluster", clusters):
            loc = numpyro.sample("loc", dist.Normal(mean, spread))
            deviation = deviation if shared else numpyro.sample("scale", scatter)
        with numpyro.plate("row", rows):
            z = numpyro.sample("z", dist.Categorical(shares), infer={"enumerate": "parallel"})
            emission = UnivariateGaussian(loc[z], deviation if shared else deviation[z])
            return numpyro.sample("x", emission, obs=x)

    share = clusters ** (-2 / features)
    prior = Scatter(
        scale, features, share, scale_concentration, scale_rate, degrees_of_freedom, scale_matrix
    )
    if covariance == "tied":
        tied = numpyro.sample(
            "covariance", prior.matrix(), infer={"event_dims": ["feature", "feature_other"]}
        )
    with numpyro.plate("cluster", clusters):
        full_shape = jnp.zeros(features)
        loc = numpyro.sample(
            "loc",
            dist.Normal(mean + full_shape, spread + full_shape).to_event(1),
            infer={"event_dims": ["feature"]},
        )
        if covariance == "spherical":
            deviation = numpyro.sample("scale", prior.sphere())
        elif covariance == "diagonal":
            deviation = numpyro.sample("scale", prior.axes(), infer={"event_dims": ["feature"]})
        elif covariance == "full":
            full = numpyro.sample(
                "covariance", prior.matrix(), infer={"event_dims": ["feature", "feature_other"]}
            )
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(shares), infer={"enumerate": "parallel"})
        if covariance == "spherical":
            emission = SphericalGaussian(loc[z], deviation[z])
        elif covariance == "diagonal":
            emission = DiagonalGaussian(loc[z], deviation[z])
        elif covariance == "tied":
            emission = TiedGaussian(loc[z], tied)
        else:
            emission = FullGaussian(loc[z], full[z])
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})
