"""Rows of numbers from hidden clusters, measured with errors of known covariance."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.distributions import FullGaussian
from ppl_models.errors import InputError
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights


def extreme_deconvolution(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    errors: Annotated[Any, Reals, FEATURE_AXIS] = None,
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
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of numbers from hidden clusters, measured with errors of known covariance.

        π ~ Dirichlet(concentration)                         how large the clusters are
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)               where they lie
        r_d ~ Gamma(5/2, 5 / (2 scale_rate_mean_d)), kept off 0  how tight clusters are
        Σ_k ~ InverseWishart(degrees_of_freedom, diag(r))    how they scatter without errors
        z_n ~ Categorical(π)                                 which cluster row n is from
        x_n | z_n = k ~ Normal(μ_k, Σ_k + S_n)               S_n is the errors' covariance of row n

    Gaps in a row are summed out with their part of S_n. Bovy, Hogg and Roweis (2011).

    Args:
        x: ``(row, feature)``; gaps are NaN; None generates a row for every row of ``errors``.
        errors: variances of the errors, ``(row, feature)``, or their covariances written row by
            row, ``(row, feature * feature)``.
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
        features: number of features where there are no data (default: the columns of ``errors``).
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows.

    Raises:
        InputError: ``errors`` have another number of columns or are no covariances, or too few
            degrees of freedom.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(extreme_deconvolution, random.key(0))
    >>> program(errors=jnp.full((5, 3), 0.1), clusters=2).shape
    (5, 3)
    """
    if x is not None:
        features = jnp.shape(x)[1]
    rows, columns = jnp.shape(errors)
    features = columns if features is None else features
    noise = _covariances(errors, features)
    weights = mixture_weights(clusters, concentration, weight_prior)
    scale, zeros = data_scale(x, row_weights), jnp.zeros(features)
    mean = scale.mean if loc_mean is None else loc_mean
    spread = 2 * scale.deviation if loc_scale is None else loc_scale
    scatter = Scatter(
        scale,
        features,
        clusters ** (-2 / features),
        unit_of_data(x, row_weights) if resolution is None else resolution,
        row_count(rows, row_weights) / clusters,
        2.0,
        None,
        scale_rate_mean,
        degrees_of_freedom,
        scale_matrix,
    ).prior("full")
    with numpyro.plate("cluster", clusters):
        where = dist.Normal(mean + zeros, spread + zeros).to_event(1)
        loc = numpyro.sample("loc", where, infer={"event_dims": ["feature"]})
        axes = ["feature", "feature_other"]
        covariance = numpyro.sample("covariance", scatter, infer={"event_dims": axes})
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = FullGaussian(loc[z], covariance[z] + noise)
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})


def _covariances(errors: Any, features: int) -> Any:
    """Covariances ``(row, feature, feature)`` of variances or of flat covariances."""
    traced = isinstance(errors, jax.core.Tracer)
    xp: Any = jnp if traced else np
    rows, columns = jnp.shape(errors)
    if columns not in (features, features**2):
        raise InputError(
            f"errors has {columns} columns and x has {features} features: give {features} "
            f"variances or {features**2} cells of a covariance for each row"
        )
    cells = xp.asarray(errors)
    if columns == features:
        noise = cells[:, :, None] * xp.eye(features)
    else:
        noise = cells.reshape(rows, features, features)
    if not traced:
        _refuse_no_covariances(noise)
    return noise


def _refuse_no_covariances(noise: np.ndarray) -> None:
    """Refuse gaps, cells that are not symmetric, and negative variances in some direction."""
    finite = np.isfinite(noise).all((1, 2))
    known = np.where(finite[:, None, None], noise, 0)
    size = np.abs(known).max((1, 2), initial=0)
    rounding = 1e-6 * size  # of single precision, or of covariances written with few digits
    symmetric = np.abs(known - np.swapaxes(known, 1, 2)).max((1, 2), initial=0) <= rounding
    positive = np.linalg.eigvalsh(known)[:, 0] >= -rounding
    wrong = np.flatnonzero(~(finite & symmetric & positive))
    if len(wrong):
        raise InputError(
            f"errors of row {wrong[0]} are no variances or covariance: without them the row has no "
            "density. Give numbers that are not negative, or a symmetric matrix without negative "
            "eigenvalues; leave out rows whose errors are not known"
        )


def report_tables(tree: xr.DataTree) -> Tables:
    """Where the clusters lie and how they scatter, the errors of the rows being taken out."""
    loc = samples(tree, "loc", "cluster", "feature")
    covariance = samples(tree, "covariance", "cluster", "feature", "feature_other")
    if loc is None or covariance is None:
        return {}
    clusters, features = (names(tree, "loc", dim) for dim in ("cluster", "feature"))
    deviation = np.sqrt(np.einsum("skdd->skd", covariance))
    correlation = covariance / (deviation[..., None] * deviation[..., None, :])
    lines = {}
    for k, cluster in enumerate(clusters):
        for d, feature in enumerate(features):
            lines[cluster, feature] = {
                "mean": with_interval(loc[:, k, d]),
                "standard deviation": with_interval(deviation[:, k, d]),
                **{
                    f"correlation with {features[e]}": with_interval(correlation[:, k, d, e])
                    if e < d
                    else "–"
                    for e in range(len(features) - 1)
                },
            }
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(lines), names=["cluster", "feature"])
    text = f"Means and scatter of the clusters without the errors of the rows.{of_interval(tree)}"
    return {"Where do the clusters lie, errors taken out?": (text, table)}


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "x": [[0.0, 1.0], [1.0, 3.0], [5.0, 5.5], [6.0, 4.0], [7.0, 7.0], [0.5, 0.0]],
        "errors": [[0.1, 0.2], [0.2, 0.1], [0.1, 0.1], [0.3, 0.2], [0.1, 0.4], [0.2, 0.2]],
    }
