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
    SphericalGaussian,
    TiedGaussian,
    UnivariateGaussian,
)
from ppl_models.errors import InputError
from ppl_models.models import _ellipsoids as ellipsoids
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import COVARIANCES, Scatter
from ppl_models.models._weights import mixture_weights

CHOICES = [*COVARIANCES, *ellipsoids.OTHERS]
FAMILIES = {
    "EII": SphericalGaussian,
    "spherical": SphericalGaussian,
    "EEI": DiagonalGaussian,
    "diagonal": DiagonalGaussian,
    "tied": TiedGaussian,
    "full": FullGaussian,
}


def gaussian_mixture(
    x: Annotated[Any, Reals] = None,
    *,
    clusters: int,
    covariance: str = "full",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate: Any = None,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    shape_centre: Any = None,
    shape_concentration: float = 1.0,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of numbers from hidden clusters.

        π ~ Dirichlet(concentration)                                   how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                         where they lie
        r_d ~ Gamma(5/2, 5 / (2 scale_rate_mean_d)), kept off 0        how tight clusters are
        spherical: σ_k, diagonal: σ_kd, squares ~ InverseGamma(scale_concentration, r_d)
        tied: Σ, full: Σ_k ~ InverseWishart(degrees_of_freedom, diag(r))
        others: Σ_k = σ_k² Q_k diag(a_k) Q_k', σ_k² ~ InverseGamma(scale_concentration, r),
                a_k ~ AxisShape(shape_centre, shape_concentration), Q_k ~ uniform rotations
        z_n ~ Categorical(π)                                           which cluster row n is from
        x_n | z_n = k ~ Normal(μ_k, σ_k² or Σ_k)

    With one feature the data are a vector, ``loc`` one number a cluster and ``scale`` one number a
    cluster or, tied, one for all. Bishop (2006) §9.2. How tight clusters are the data say, by the
    rate r (Richardson and Green 1997): a site called ``scale_rate`` or, of matrices,
    ``scale_diagonal``, one number for all features of spherical clusters. Its prior mean is the
    scale of Fraley and Raftery (2007), the variance shared out among the clusters. It keeps off 0,
    so that no cluster shrinks onto a repeated value beyond what rounding to ``resolution`` leaves:
    p(r) ∝ r^(3/2) exp(-5r / (2 scale_rate_mean) - B / r) with B = (resolution N / K)² / 48.

    The fourteen models of mclust say by three letters which of volume σ², shape a (the relative
    variances of the axes, of product 1) and orientation Q (the axes) clusters share: E equal, V
    varying, I the features' axes, or a sphere. VII is "spherical", VVI "diagonal", EEE "tied" and
    VVV "full", the same programs under either name. Celeux and Govaert (1995).

    Args:
        x: ``(row, feature)`` or ``(row,)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        covariance: "spherical", "diagonal", "tied" or "full", or one of mclust's fourteen models,
            EII, VII, EEI, VEI, EVI, VVI, EEE, VEE, EVE, VVE, EEV, VEV, EVV and VVV.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        scale_concentration: a of the inverse gamma.
        scale_rate: rate of the inverse gamma, held (default: r, a site).
        scale_rate_mean: prior mean of r (default: the data's variance / K^(2/D), of models with a
            shape the geometric mean of their variances along its axes / K^(2/D)).
        resolution: the unit that the data are rounded to (default: the least distance between
            two values of a feature).
        degrees_of_freedom: ν of the inverse Wishart (default: D + 2).
        scale_matrix: Ψ of the inverse Wishart, held (default: diag(r), r a site).
        shape_centre: most probable relative variances, of the features or along the axes (default:
            the data's, along their principal axes).
        shape_concentration: rows that the prior of the shape counts as.
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

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
    kind = ellipsoids.NAMES.get(covariance, covariance)
    if kind not in CHOICES:
        raise InputError(
            f"covariance is {covariance!r}: choose one of {', '.join(CHOICES)}, VII, VVI, EEE, VVV"
        )
    if x is not None:
        rows, features = jnp.shape(x)[0], (jnp.shape(x)[1] if jnp.ndim(x) == 2 else None)
    vector = features is None or (x is None and features == 1)
    if features in (None, 1) and kind in ellipsoids.OTHERS:
        kind = ellipsoids.of_one_feature(kind)
    scale = data_scale(x, row_weights)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    weights = mixture_weights(clusters, concentration, weight_prior)
    fraction, equal = clusters ** (-2 / (features or 1)), kind == "tied" or kind in ellipsoids.EQUAL
    if kind in ellipsoids.SHAPED:
        centre = shape_centre
        if centre is None:
            centre = ellipsoids.default_centre(kind, x, scale, row_weights)
        if scale_rate_mean is None:
            scale_rate_mean = jnp.exp(jnp.log(jnp.asarray(centre)).mean()) * fraction
    scatter = Scatter(
        scale,
        None if vector else features,
        fraction,
        unit_of_data(x, row_weights) if resolution is None else resolution,
        row_count(rows, row_weights) / (1 if equal else clusters),
        scale_concentration,
        scale_rate,
        scale_rate_mean,
        degrees_of_freedom,
        scale_matrix,
    )
    dims: tuple[str, ...] = () if vector else ("feature",)
    where = dist.Normal(mean, spread) if vector else _each(mean, spread, features)
    cluster = numpyro.plate("cluster", clusters)
    if kind in ellipsoids.SHAPED:
        prior = scatter.prior("spherical")
        with cluster:
            loc = numpyro.sample("loc", where, infer={"event_dims": list(dims)})
        emission = ellipsoids.shaped(
            kind, cluster, features, loc, prior, centre, shape_concentration
        )
    else:
        prior = scatter.prior({"EII": "spherical", "EEI": "diagonal"}.get(kind, kind))
        name, axes = "scale", dims if kind in ("diagonal", "EEI") else ()
        if not vector and kind in ("tied", "full"):
            name, axes = "covariance", ("feature", "feature_other")
        if equal:
            tied = numpyro.sample(name, prior, infer={"event_dims": list(axes)})
        with cluster:
            loc = numpyro.sample("loc", where, infer={"event_dims": list(dims)})
            if not equal:
                own = numpyro.sample(name, prior, infer={"event_dims": list(axes)})
        family = UnivariateGaussian if vector else FAMILIES[kind]

        def emission(z: Any) -> dist.Distribution:
            return family(loc[z], tied if equal else own[z])

    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("x", emission(z), obs=x, infer={"event_dims": list(dims)})


def _each(mean: Any, spread: Any, features: int | None) -> dist.Distribution:
    """Independent normals of all features."""
    shape = jnp.zeros(features)
    return dist.Normal(mean + shape, spread + shape).to_event(1)
