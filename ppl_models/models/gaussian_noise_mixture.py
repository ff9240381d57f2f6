"""Rows of numbers from hidden Gaussian clusters, and rows from none of them."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data import FEATURE_AXIS, Reals
from ppl_models.data.derived import FromData
from ppl_models.distributions.exponential.noise import (
    DiagonalGaussianWithNoise,
    FullGaussianWithNoise,
    SphericalGaussianWithNoise,
    WithNoise,
)
from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights

EMISSIONS: dict[str, type[WithNoise]] = {
    "spherical": SphericalGaussianWithNoise,
    "diagonal": DiagonalGaussianWithNoise,
    "full": FullGaussianWithNoise,
}


def _box(x: Any = None, row_weights: Any = None) -> np.ndarray:
    """Least and greatest value of every feature, ``(2, feature)``, of rows that count."""
    if x is None:
        return np.zeros((2, 0))
    values = np.asarray(x, float)
    if row_weights is not None:
        values = values[np.asarray(row_weights) > 0]
    return np.stack([np.nanmin(values, 0), np.nanmax(values, 0)])


def cluster_names(*, clusters: int, **_: Any) -> dict[int, str]:
    """What the component beyond the clusters is called in a fit.

    >>> cluster_names(clusters=3)
    {3: 'noise'}
    """
    return {clusters: "noise"}


def gaussian_noise_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    covariance: str = "full",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    volume: float | None = None,
    box: Annotated[Any, FromData(_box)] = None,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of numbers from hidden Gaussian clusters, and noise anywhere among them.

        π ~ Dirichlet(concentration)                      shares of the K clusters and of the noise
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)            where clusters lie
        σ_k, σ_kd or Σ_k ~ as in gaussian_mixture         how they scatter, K of them
        z_n ~ Categorical(π)                              K + 1 values, the last one noise
        x_n | z_n = k ~ Normal(μ_k, σ_k² or Σ_k),   x_n | noise ~ 1 / V

    V is the volume of the smallest box that holds all fitted rows; ``log_volume`` says it. Rows
    beyond the box have the same density, so that what lies far off is noise; ``generate`` draws
    noise within the box. In a fit the last cluster is called "noise". Banfield and Raftery (1993);
    Fraley and Raftery (1998), whose mclust takes the smaller one of this box and that along the
    principal axes: give that ``volume`` for its numbers.

    Args:
        x: ``(row, feature)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K, without the noise.
        covariance: "spherical", "diagonal" or "full".
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K + 1 clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        scale_concentration: a of the inverse gamma.
        scale_rate_mean: prior mean of how far clusters scatter, as in ``gaussian_mixture``
            (default: the data's variance / K^(2/D)).
        resolution: the unit that the data are rounded to (default: the least distance between
            two values of a feature).
        volume: V (default: that of the box).
        box: least and greatest values ``(2, feature)`` of the fitted rows; ``fit`` computes it.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: unknown covariance.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(gaussian_noise_mixture, random.key(0))
    >>> program(clusters=2, rows=5, features=3).shape
    (5, 3)
    """
    if covariance not in EMISSIONS:
        raise InputError(f"covariance is {covariance!r}: choose one of {', '.join(EMISSIONS)}")
    if x is not None:
        rows, features = jnp.shape(x)
    features = features or 1
    if box is None or np.size(box) == 0:
        box = np.stack([-np.ones(features), np.ones(features)]) if x is None else _box(x)
    low, high = jnp.asarray(box)[0], jnp.asarray(box)[1]
    log_volume = jnp.log(high - low).sum()
    narrower = 1.0 if volume is None else jnp.exp((jnp.log(volume) - log_volume) / features)
    middle, half = (low + high) / 2, narrower * (high - low) / 2
    numpyro.deterministic("log_volume", log_volume if volume is None else jnp.log(volume))
    scale = data_scale(x, row_weights)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    weights = mixture_weights(clusters + 1, concentration, weight_prior)
    scatter = Scatter(
        scale,
        features,
        clusters ** (-2 / features),
        unit_of_data(x, row_weights) if resolution is None else resolution,
        row_count(rows, row_weights) / clusters,
        scale_concentration,
        rate_mean=scale_rate_mean,
    ).prior(covariance)
    name, axes = ("covariance", ["feature", "feature_other"]) if covariance == "full" else (
        "scale", ["feature"] if covariance == "diagonal" else []
    )  # fmt: skip
    zeros = jnp.zeros(features)
    with numpyro.plate("gaussian", clusters):
        where = dist.Normal(mean + zeros, spread + zeros).to_event(1)
        loc = numpyro.sample("loc", where, infer={"event_dims": ["feature"]})
        own = numpyro.sample(name, scatter, infer={"event_dims": axes})
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        k = jnp.minimum(z, clusters - 1)
        emission = EMISSIONS[covariance](
            loc=loc[k],
            **{name: own[k]},
            low=middle - half,
            high=middle + half,
            noise=z == clusters,
        )
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})
