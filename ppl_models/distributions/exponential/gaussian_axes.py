"""Gaussian emissions by the volume, the shape and the orientation of their ellipsoids.

A covariance is ``scale² Q diag(axis_shape) Q'``: the volume ``scale² = |Σ|^(1/D)``, the relative
variances of the axes, with product 1, and the axes themselves, a rotation. Which of them components
share is the program's choice: the models of Banfield and Raftery (1993) and of Celeux and Govaert
(1995). Given the others each has a closed form, so that EM raises them in turn, which never lowers
the likelihood, and Gibbs sampling draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions import constraints

from ppl_models.distributions.conditionals import InverseGammaScaleConditional
from ppl_models.distributions.contraction import einsum, matmul
from ppl_models.distributions.exponential.factorised import FactorisedFamily
from ppl_models.distributions.exponential.family import (
    Statistics,
    broadcast_batch,
    real,
)
from ppl_models.distributions.exponential.gaussian import FactorisedGaussian
from ppl_models.distributions.exponential.gaussian_full import SeparateGaussian
from ppl_models.distributions.exponential.gaussian_matrix import MatrixGaussian
from ppl_models.distributions.exponential.squares.located import about
from ppl_models.distributions.priors.axis_shape import AxisShape, AxisShapeConditional, unit_product
from ppl_models.distributions.priors.orientation import (
    RotationConditional,
    UniformRotation,
    rotation,
)
from ppl_models.distributions.priors.scales_and_blocks import InverseGammaScale


class ShapedGaussian(FactorisedGaussian):
    """Rows of independent normals with the variances ``scale² axis_shape``.

    Celeux and Govaert (1995), Gaussian parsimonious clustering models (VEI and EVI of mclust).

    Args:
        loc: ``batch + (feature,)``.
        axis_shape: relative variances, of product 1, ``batch + (feature,)``.
        scale: square root of the volume, ``batch``.

    >>> emission = ShapedGaussian(jnp.zeros((3, 1, 2)), jnp.array([4.0, 0.25]), jnp.ones((3, 1)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "axis_shape": unit_product,
        "scale": constraints.positive,
    }
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "axis_shape": (AxisShape,),
        "scale": (InverseGammaScale,),
    }
    reparametrized_params: ClassVar[list[str]] = ["loc", "axis_shape", "scale"]
    support = constraints.real_vector

    def __init__(self, loc: Any, axis_shape: Any, scale: Any, *, validate_args: bool | None = None):
        FactorisedFamily.__init__(self, loc, axis_shape, scale, validate_args=validate_args)

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The locations, and the variances on the diagonal."""
        loc, shape, scale = (np.asarray(parameters[n]) for n in ("loc", "axis_shape", "scale"))
        variance = np.broadcast_to(scale[..., None] ** 2 * shape, loc.shape)
        return loc, variance[..., None] * np.eye(loc.shape[-1])

    @property
    def _cell_scale(self) -> Array:
        return self.scale[..., None] * jnp.sqrt(self.axis_shape)

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, inverse-gamma for the volume, and the shape's conditional."""
        if parameter == "loc":
            return super().conjugate_update(parameter, prior, statistics, centre, shared=shared)
        squares = self._squares(statistics, self.loc - about(statistics, centre))
        count = jnp.broadcast_to(statistics["count"], squares.shape)
        if prior is None:  # no prior keeps a component off a single row, so a floor must
            squares = jnp.maximum(squares, count * self._floor(statistics, centre))
        update = _shape if parameter == "axis_shape" else _scale
        return update(prior, squares, count, self.axis_shape, self.scale, shared)


class AxesGaussian(SeparateGaussian):
    """Rows of correlated normals with the covariances ``scale² Q diag(axis_shape) Q'``.

    Celeux and Govaert (1995), Gaussian parsimonious clustering models; Browne and McNicholas
    (2014), Estimating common principal components in high dimensions.

    Args:
        loc: ``batch + (feature,)``.
        orientation: Q, a rotation whose columns are the axes, ``batch + (feature, axis)``.
        axis_shape: relative variances of the axes, of product 1, ``batch + (axis,)``.
        scale: square root of the volume, ``batch``.

    >>> axes, shape = jnp.eye(2), jnp.array([4.0, 0.25])
    >>> emission = AxesGaussian(jnp.zeros((3, 1, 2)), axes, shape, jnp.ones((3, 1)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    parameter_axes = {
        "loc": ("feature",),
        "orientation": ("feature", "axis"),
        "axis_shape": ("axis",),
    }
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "orientation": rotation,
        "axis_shape": unit_product,
        "scale": constraints.positive,
    }
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "orientation": (UniformRotation,),
        "axis_shape": (AxisShape,),
        "scale": (InverseGammaScale,),
    }

    def __init__(
        self,
        loc: Any,
        orientation: Any,
        axis_shape: Any,
        scale: Any,
        *,
        validate_args: bool | None = None,
    ):
        self.loc, self.orientation = real(loc), real(orientation)
        self.axis_shape, self.scale = real(axis_shape), real(scale)
        pairs = [(self.loc, 1), (self.orientation, 2), (self.axis_shape, 1), (self.scale, 0)]
        batch = broadcast_batch(*pairs)
        super(MatrixGaussian, self).__init__(
            batch, self.loc.shape[-1:], validate_args=validate_args
        )

    @property
    def covariance(self) -> Array:  # type: ignore[override]
        """``batch + (feature, feature)``."""
        root = self.orientation * (self.scale[..., None] * jnp.sqrt(self.axis_shape))[..., None, :]
        return matmul(root, jnp.swapaxes(root, -1, -2))

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The locations and covariances."""
        axes = np.asarray(parameters["orientation"])
        deviation = np.asarray(parameters["scale"])[..., None] * np.sqrt(parameters["axis_shape"])
        root = axes * deviation[..., None, :]
        loc = np.asarray(parameters["loc"])
        return loc, np.broadcast_to(root @ np.swapaxes(root, -1, -2), (*loc.shape, loc.shape[-1]))

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, and the conditionals of axes, shape and volume."""
        if parameter == "loc":
            return super().conjugate_update(parameter, prior, statistics, centre, shared=shared)
        scatter, count = self._scatter(statistics, centre), statistics["count"]
        if prior is None:  # no prior keeps a component off a subspace, so a floor must
            scatter = scatter + count[:, None, None] * self._floor(statistics, centre)
        if parameter == "orientation":
            group = (lambda array: array[None]) if shared else (lambda array: array[:, None])
            matrices = group(scatter / self.scale[:, None, None] ** 2)
            current = self.orientation[:1] if shared else self.orientation
            return RotationConditional(matrices, group(1 / self.axis_shape), current, shared)
        squares = einsum("kia,kij,kja->ka", self.orientation, scatter, self.orientation)
        count = jnp.broadcast_to(count[:, None], squares.shape)
        update = _shape if parameter == "axis_shape" else _scale
        return update(prior, squares, count, self.axis_shape, self.scale, shared)


def _shape(
    prior: Any, squares: Array, count: Array, shape: Array, scale: Array, shared: bool
) -> AxisShapeConditional:
    """Of squares and numbers of cells along the axes, ``(component, axis)``."""
    rate = squares / scale[:, None] ** 2
    if shared:
        rate, count, shape = rate.sum(0), count.sum(0), shape[0]
    return AxisShapeConditional(count, rate if prior is None else rate + prior.rate, shape)


def _scale(
    prior: Any, squares: Array, count: Array, shape: Array, scale: Array, shared: bool
) -> InverseGammaScaleConditional:
    squares, count = (squares / shape).sum(-1), count.sum(-1)
    if shared:
        squares, count = squares.sum(0), count.sum(0)
    if prior is None:
        return InverseGammaScaleConditional(0.5 * count - 0.5, 0.5 * squares)
    return InverseGammaScaleConditional(
        prior.concentration + 0.5 * count, prior.rate + 0.5 * squares
    )
