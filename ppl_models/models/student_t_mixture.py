"""Rows of numbers from hidden clusters with heavy tails."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.distributions.exponential.student_t import FullStudentT
from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights


def student_t_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    df: Any = None,
    df_concentration: float = 2.0,
    df_rate: float = 0.1,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of numbers from hidden clusters with heavy tails.

        π ~ Dirichlet(concentration)                             how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                   where they lie
        r_d ~ Gamma(5/2, 5 / (2 scale_rate_mean_d)), kept off 0  how tight clusters are
        Σ_k ~ InverseWishart(degrees_of_freedom, diag(r))        their scale matrices
        ν_k ~ Gamma(df_concentration, df_rate)                   how light their tails are
        z_n ~ Categorical(π)                                     which cluster row n is from
        x_n | z_n = k ~ StudentT(ν_k, μ_k, Σ_k)

    Rows that lie far out count for little, so that outliers move no cluster: given the precision
    u_n ~ Gamma(ν/2, ν/2) that it hides, row n is Normal(μ, Σ / u_n). The covariance of a cluster is
    Σ ν / (ν - 2), where ν is above 2. Peel and McLachlan (2000), Robust mixture modelling using the
    t distribution; the prior of ν is that of Juárez and Steel (2010).

    Args:
        x: ``(row, feature)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        scale_rate_mean: prior mean of r (default: the data's variance / K^(2/D)).
        resolution: the unit that the data are rounded to (default: the least distance between
            two values of a feature).
        degrees_of_freedom: of the inverse Wishart of Σ (default: D + 2).
        scale_matrix: of the inverse Wishart, held (default: diag(r), r a site).
        df: degrees of freedom ν, held; a number, or ``(cluster,)`` (default: a site).
        df_concentration: shape of the gamma prior of ν.
        df_rate: rate of the gamma prior of ν.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: degrees of freedom that are not positive, or too few of the inverse Wishart.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(student_t_mixture, random.key(0))
    >>> program(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)
    width = 1 if features is None else features
    scale = data_scale(x, row_weights)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    weights = mixture_weights(clusters, concentration, weight_prior)
    scatter = Scatter(
        scale,
        width,
        clusters ** (-2 / width),
        unit_of_data(x, row_weights) if resolution is None else resolution,
        row_count(rows, row_weights) / clusters,
        2.0,
        None,
        scale_rate_mean,
        degrees_of_freedom,
        scale_matrix,
    ).prior("full")
    zeros = jnp.zeros(width)
    with numpyro.plate("cluster", clusters):
        where = dist.Normal(mean + zeros, spread + zeros).to_event(1)
        loc = numpyro.sample("loc", where, infer={"event_dims": ["feature"]})
        axes = ["feature", "feature_other"]
        matrix = numpyro.sample("scatter", scatter, infer={"event_dims": axes})
        if df is None:
            freedom = numpyro.sample("df", dist.Gamma(df_concentration, df_rate))
        else:
            freedom = _held(df, clusters)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = FullStudentT(loc[z], matrix[z], freedom[z])
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})


def _held(df: Any, clusters: int) -> Any:
    """Degrees of freedom ``(cluster,)`` that are given."""
    freedom = np.asarray(df, float)
    if freedom.shape not in ((), (clusters,)) or not bool((freedom > 0).all()):
        raise InputError(
            f"df is {df}: give a positive number of degrees of freedom, or one for each of the "
            f"{clusters} clusters"
        )
    return jnp.broadcast_to(freedom, (clusters,))
