"""Rows of numbers from hidden clusters with heavy tails."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.models._cluster_matrices import cluster_matrices
from ppl_models.models._weights import mixture_weights


def student_t_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    tail_concentration: float = 2.0,
    tail_rate: float = 0.1,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of numbers from hidden clusters with heavy tails.

        π ~ Dirichlet(concentration)                             how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                   where they lie
        Σ_k ~ InverseWishart(degrees_of_freedom, scale_matrix)   how they scatter
        ν_k ~ Gamma(tail_concentration, tail_rate)               how light the tails are
        z_n ~ Categorical(π)                                     which cluster row n is from
        x_n | z_n = k ~ StudentT(ν_k, μ_k, Σ_k)

    Rows that lie far out count for little, so that outliers move no cluster. Peel and McLachlan
    (2000); the prior of ν is that of Juárez and Steel (2010).

    Args:
        x: ``(row, feature)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        degrees_of_freedom: of the inverse Wishart of Σ (default: D + 2).
        scale_matrix: of the inverse Wishart (default: the data's variances / K^(2/D)).
        tail_concentration: shape of the gamma prior of ν.
        tail_rate: rate of the gamma prior of ν.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: too few degrees of freedom of the inverse Wishart.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(student_t_mixture, random.key(0))
    >>> program(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)
    shares = mixture_weights(clusters, concentration, weight_prior)
    loc, covariance = cluster_matrices(
        x,
        clusters,
        1 if features is None else features,
        loc_mean,
        loc_scale,
        degrees_of_freedom,
        scale_matrix,
        row_weights,
    )
    with numpyro.plate("cluster", clusters):
        tail = numpyro.sample("tail", dist.Gamma(tail_concentration, tail_rate))
    factor = jnp.linalg.cholesky(covariance)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(shares), infer={"enumerate": "parallel"})
        emission = dist.MultivariateStudentT(tail[z], loc[z], factor[z])
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})
