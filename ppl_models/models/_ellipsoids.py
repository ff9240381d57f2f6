"""The covariances of Gaussian clusters by volume, shape and orientation: mclust's models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from ppl_models.data.missing import missing_cells
from ppl_models.data.summary import current
from ppl_models.distributions.exponential.gaussian_axes import AxesGaussian, ShapedGaussian
from ppl_models.distributions.priors.axis_shape import AxisShape
from ppl_models.distributions.priors.orientation import UniformRotation
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.models._scale import DataScale

#: what four of mclust's models are called here
NAMES = {"VII": "spherical", "VVI": "diagonal", "EEE": "tied", "VVV": "full"}
#: those with a site for the shape
SHAPED = ("VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")
OTHERS = ("EII", "EEI", *SHAPED)
EQUAL = tuple(model for model in OTHERS if model[0] == "E")  #: in volume
LEAST = 1e-6  #: least variance of an axis of the data, in parts of their mean


def of_one_feature(model: str) -> str:
    """The model with the same volumes: of one number there are no shapes and orientations."""
    return "EII" if model in EQUAL else "spherical"


def principal_variances(x: Any, row_weights: Any = None) -> Any:
    """Eigenvalues of the data's covariance, the largest first; gaps are filled with means.

    They are in no unit, and none is next to nothing beside the others.

    Raises:
        UnsupportedError: data in blocks, of which covariances are not known.

    >>> principal_variances(np.array([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0], [4.0, 5.0]])).round(2)
    array([6.38, 0.06])
    """
    if current() is not None:
        raise UnsupportedError(
            "the prior of the clusters' shape depends on the covariance of all data, which is not "
            "known for data in blocks: give shape_centre=, the relative variances along the axes"
        )
    traced = isinstance(x, jax.core.Tracer) or isinstance(row_weights, jax.core.Tracer)
    xp: Any = jnp if traced else np
    values = xp.asarray(x, float)
    counts = xp.ones(len(values)) if row_weights is None else xp.asarray(row_weights, float)
    seen = ~missing_cells(values)
    total = xp.maximum((counts[:, None] * seen).sum(0), np.finfo(float).tiny)
    known = xp.where(seen, values, 0)
    centred = xp.where(seen, known - (counts[:, None] * known).sum(0) / total, 0)
    covariance = (counts[:, None] * centred).T @ centred / counts.sum()
    lengths = xp.linalg.eigvalsh(covariance)[::-1]
    least = LEAST * lengths.mean()
    return xp.where(least > 0, xp.maximum(lengths, least), 1.0)


def default_centre(model: str, x: Any, scale: DataScale, row_weights: Any) -> Any:
    """Variances of the data, of the features or along their principal axes."""
    if x is None:
        return 1.0
    return scale.deviation**2 if model[2] == "I" else principal_variances(x, row_weights)


def shaped(
    model: str,
    cluster: Any,
    features: Any,
    loc: Any,
    scale_prior: Any,
    centre: Any,
    concentration: float,
) -> Callable[[Any], Any]:
    """Sample the sites of one of the ``SHAPED``; returns the emission of the rows' clusters.

    In the order in which EM raises them: that of the axes and of what lies along them.

    Args:
        model: by three letters.
        cluster: the plate of the clusters.
        features: D.
        loc: locations of the clusters.
        scale_prior: of the square root of the volume.
        centre: of the prior of the shape, of each axis.
        concentration: of the prior of the shape, in rows.

    Raises:
        InputError: a centre of the shape or a concentration that is none.
    """
    size, form, axes = tuple(model)
    if np.shape(centre) not in ((), (features,)) or not concentration > 0:
        raise InputError(
            f"shape_centre has shape {np.shape(centre)} and shape_concentration is "
            f"{concentration}: give {features} positive relative variances and a positive number"
        )

    def sampled(name: str, prior: Any, own: bool, *dims: str) -> Callable[[Any], Any]:
        if not own:
            value = numpyro.sample(name, prior, infer={"event_dims": list(dims)})
            return lambda z: value
        with cluster:
            each = numpyro.sample(name, prior, infer={"event_dims": list(dims)})
        return lambda z: each[z]

    along = axes == "I"
    prior = AxisShape(centre + jnp.zeros(features), concentration, falling=not along)
    if along:
        shape = sampled("axis_shape", prior, form == "V", "feature")
        scale = sampled("scale", scale_prior, size == "V")
        return lambda z: ShapedGaussian(loc[z], shape(z), scale(z))
    turned = sampled("orientation", UniformRotation(features), axes == "V", "feature", "axis")
    shape = sampled("axis_shape", prior, form == "V", "axis")
    scale = sampled("scale", scale_prior, size == "V")
    return lambda z: AxesGaussian(loc[z], turned(z), shape(z), scale(z))
