"""Rows of many numbers from hidden clusters, each explained by a few factors."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.distributions.exponential.factor_gaussian import (
    FactorGaussian,
    IsotropicFactorGaussian,
)
from ppl_models.errors import InputError
from ppl_models.models._loadings import aligned
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights

NOISES = ("diagonal", "isotropic")
DRAWS = 500  #: at most, whose loadings a report aligns


def factor_analysis_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    factors: int = 1,
    noise: str = "diagonal",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    loadings_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate: Any = None,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    rows: int | None = None,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of many numbers from hidden clusters, each explained by a few factors.

        π ~ Dirichlet(concentration)                              how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                    where they lie
        Λ_kdq ~ Normal(0, loadings_scale_d)                       loadings on Q factors
        r_d ~ Gamma(5/2, 5 / (2 scale_rate_mean_d)), kept off 0   how large the noise is
        σ_kd² ~ InverseGamma(scale_concentration, r_d)            noise of each feature, or one σ_k²
        z_n ~ Categorical(π)                                      which cluster row n is from
        x_n | z_n = k ~ Normal(μ_k, Λ_k Λ_k' + diag(σ_k²))

    A mixture of factor analysers: Ghahramani and Hinton (1996); with isotropic noise one of
    probabilistic principal component analysers: Tipping and Bishop (1999). One cluster is factor
    analysis, or probabilistic PCA. Loadings are known up to a rotation of the factors, and Λ Λ' is
    not: EM and Gibbs sampling return loadings whose first Q rows are lower triangular, with
    positive numbers on the diagonal; NUTS and SVI return any rotation of them.

    Args:
        x: ``(row, feature)``; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        factors: Q, at most the number of features (default: 1).
        noise: "diagonal", a variance for each feature and cluster, or "isotropic", one a cluster.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        loadings_scale: prior standard deviation of the loadings (default: the data's, / K^(1/D)).
        scale_concentration: a of the inverse gamma.
        scale_rate: rate of the inverse gamma, held (default: r, a site).
        scale_rate_mean: prior mean of r (default: the data's variance / K^(2/D)).
        resolution: the unit that the data are rounded to (default: the least distance between
            two values of a feature).
        rows: number of rows where there are no data.
        features: number of features where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: unknown noise, or more factors than features.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(factor_analysis_mixture, random.key(0))
    >>> program(clusters=2, factors=1, rows=5, features=3).shape
    (5, 3)
    """
    if noise not in NOISES:
        raise InputError(f"noise is {noise!r}: choose one of {', '.join(NOISES)}")
    if x is not None:
        rows, features = jnp.shape(x)
    width = 1 if features is None else features
    if not 1 <= factors <= width:
        raise InputError(
            f"factors is {factors}: give at least 1 and at most {width}, the number of features"
        )
    scale = data_scale(x, row_weights)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    far = scale.deviation * clusters ** (-1 / width) if loadings_scale is None else loadings_scale
    weights = mixture_weights(clusters, concentration, weight_prior)
    noise_prior = Scatter(
        scale,
        width,
        clusters ** (-2 / width),
        unit_of_data(x, row_weights) if resolution is None else resolution,
        row_count(rows, row_weights) / clusters,
        scale_concentration,
        scale_rate,
        scale_rate_mean,
        None,
        None,
    ).prior("diagonal" if noise == "diagonal" else "spherical")
    zeros = jnp.zeros(width)
    axes = ["feature"] if noise == "diagonal" else []
    with numpyro.plate("cluster", clusters):
        where = dist.Normal(mean + zeros, spread + zeros).to_event(1)
        loc = numpyro.sample("loc", where, infer={"event_dims": ["feature"]})
        each = (far + zeros)[:, None] * jnp.ones((width, factors))
        prior = dist.Normal(0.0, each).to_event(2)
        loadings = numpyro.sample("loadings", prior, infer={"event_dims": ["feature", "factor"]})
        own = numpyro.sample("scale", noise_prior, infer={"event_dims": axes})
    family = FactorGaussian if noise == "diagonal" else IsotropicFactorGaussian
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = family(loc[z], loadings[z], own[z])
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})


def report_tables(tree: xr.DataTree) -> Tables:
    """What the factors explain, which no rotation changes, and loadings that are rotated alike."""
    loadings = samples(tree, "loadings", "cluster", "feature", "factor")
    site = tree["posterior"].dataset.get("scale")
    if loadings is None or site is None:
        return {}
    dims = ("cluster", "feature") if "feature" in site.dims else ("cluster",)
    scale = samples(tree, "scale", *dims)
    assert scale is not None
    noise = np.broadcast_to(
        scale**2 if scale.ndim == 3 else scale[..., None] ** 2, loadings.shape[:3]
    )
    common = (loadings**2).sum(-1)
    clusters, features = (names(tree, "loadings", dim) for dim in ("cluster", "feature"))
    each = [(k, d) for k in range(len(clusters)) for d in range(len(features))]
    index = pd.MultiIndex.from_tuples(
        [(clusters[k], features[d]) for k, d in each], names=["cluster", "feature"]
    )
    explained = common / (common + noise)
    table = pd.DataFrame(
        {
            "variance explained": [with_interval(explained[:, k, d]) for k, d in each],
            "by factors": [with_interval(common[:, k, d]) for k, d in each],
            "uniqueness": [with_interval(noise[:, k, d]) for k, d in each],
        },
        index=index,
    )
    every = common.sum(-1) / (common + noise).sum(-1)
    total = "; ".join(
        f"cluster {name}: {with_interval(every[:, k])}" for k, name in enumerate(clusters)
    )
    told = of_interval(tree)
    thinned = loadings[np.linspace(0, len(loadings) - 1, min(len(loadings), DRAWS)).astype(int)]
    alike = np.stack([aligned(thinned[:, k]) for k in range(len(clusters))], 1)
    factors = pd.DataFrame(
        {
            f"factor {q}": [with_interval(alike[:, k, d, q]) for k, d in each]
            for q in range(loadings.shape[-1])
        },
        index=index,
    )
    return {
        "How much do the factors explain?": (
            "The share of each feature's variance within a cluster that the factors explain, that "
            f"variance, and the variance of its own (uniqueness). All features: {total}.{told}",
            table,
        ),
        "What do the factors load on?": (
            "Loadings, which are known up to a rotation: at every draw they are rotated by "
            "varimax, and the factors put in the order and signs that are nearest the mean "
            f"(Papastamoulis and Ntzoufras 2022).{told}",
            factors,
        ),
    }
