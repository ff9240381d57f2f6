"""Locations and matrices of scatter of clusters, with priors set by the data's own scale."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale


def cluster_matrices(
    x: Any,
    clusters: int,
    features: int,
    loc_mean: Any,
    loc_scale: Any,
    degrees_of_freedom: float | None,
    scale_matrix: Any,
    row_weights: Any,
) -> tuple[Array, Array]:
    """Sites ``loc (cluster, feature)`` and ``covariance (cluster, feature, feature)``.

    The default scale matrix is that of Fraley and Raftery (2007): the data's variances, shared out
    among the clusters.

    Raises:
        InputError: too few degrees of freedom.
    """
    scale, zeros = data_scale(x, row_weights), jnp.zeros(features)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    freedom = features + 2.0 if degrees_of_freedom is None else float(degrees_of_freedom)
    if not freedom > features - 1:
        raise InputError(
            f"degrees_of_freedom is {freedom:g}: with {features} features an inverse Wishart "
            f"needs more than {features - 1}"
        )
    if scale_matrix is None:
        matrix = jnp.diag(scale.deviation**2 * clusters ** (-2 / features) + zeros)
    else:
        matrix = jnp.asarray(scale_matrix)
    with numpyro.plate("cluster", clusters):
        where = dist.Normal(mean + zeros, spread + zeros).to_event(1)
        loc = numpyro.sample("loc", where, infer={"event_dims": ["feature"]})
        covariance = numpyro.sample(
            "covariance",
            dist.InverseWishart(freedom, scale_matrix=matrix),
            infer={"event_dims": ["feature", "feature_other"]},
        )
    return loc, covariance
