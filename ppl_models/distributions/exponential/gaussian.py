"""Gaussian emissions that factorise over features: univariate, spherical and diagonal.

Cancellation is avoided by a shift: the family is invariant when data and locations move together,
so both are taken relative to a point amid the data before squares are expanded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import Distribution, Normal, constraints

from ppl_models.distributions.conditionals import InverseGammaScaleConditional, NormalConditional
from ppl_models.distributions.described import means_in_words
from ppl_models.distributions.exponential.family import (
    StackedFamily,
    Statistics,
    broadcast_batch,
    observed_cells,
    ones,
    stack,
)
from ppl_models.distributions.priors import InverseGammaScale

LOG_TWO_PI = float(np.log(2 * np.pi))
FLOOR = 1e-6  #: least scale under a flat prior, relative to the data's standard deviation


@jax.jit
def location_centre(value: Array) -> Array:
    """Mean of some rows spread over the data, without missing cells: ``(feature,)`` or ``()``."""
    rows = value[:: max(1, value.shape[0] // 64)].astype(jnp.result_type(value, float))
    observed = ~jnp.isnan(rows)
    total = jnp.where(observed, rows, 0).sum(0)
    return total / jnp.clip(observed.sum(0), 1)


class FactorisedGaussian(StackedFamily):
    """What the three families share; ``loc (..., feature)``, ``scale`` broadcast to it."""

    parameter_dims = {"loc": 1, "scale": 1}
    component_picture = "ellipses"
    parameter_axes = {"loc": ("feature",), "scale": ("feature",)}
    reparametrized_params: ClassVar[list[str]] = ["loc", "scale"]

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The locations, and the squared scales on the diagonal."""
        loc, scale = np.asarray(parameters["loc"]), np.asarray(parameters["scale"])
        if cls.parameter_dims["loc"] == 0:
            loc = loc[..., None]
        if cls.parameter_dims["scale"] == 0:
            scale = scale[..., None]
        variance = np.broadcast_to(scale**2, loc.shape)
        return loc, variance[..., None] * np.eye(loc.shape[-1])

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """Mean and standard deviation of every feature."""
        mean, covariance = cls.component_moments(parameters)
        return means_in_words(
            mean[component], None if covariance is None else covariance[component], features
        )

    def _matrix(self, value: Array) -> Array:
        return value

    def _parameters(self) -> tuple[Array, Array]:
        """Location and scale as ``(component, feature)``."""
        return self.loc, self.scale

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """``x`` and ``x²`` of every cell, and which are observed (or one 1: all are)."""
        x = self._matrix(value - centre)
        if missing:
            x, mask = observed_cells(x)
            return stack(x, x**2, mask)
        return stack(x, x**2, ones(x, x.dtype))

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """``μ/σ²``, ``-1/2σ²`` and what is constant in ``x``."""
        linear, precision, constant = self._natural_cells(centre)
        if not missing:
            constant = constant.sum(-1, keepdims=True)
        return jnp.concatenate([linear, -0.5 * precision, constant], -1)

    def _natural_cells(self, centre: Array) -> tuple[Array, Array, Array]:
        """``μ/σ²``, ``1/σ²`` and the constant of every component and feature."""
        loc, scale = self._parameters()
        mu = loc - jnp.atleast_1d(centre)
        scale = jnp.broadcast_to(scale, mu.shape)
        precision = scale**-2
        return precision * mu, precision, -0.5 * (precision * mu**2 + LOG_TWO_PI) - jnp.log(scale)

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """``count``, ``first`` and ``second`` moments, each ``(component, feature)``."""
        dimension = self._parameters()[0].shape[-1]
        first, second, count = jnp.split(sums, [dimension, 2 * dimension], axis=-1)
        return {"count": count, "first": first, "second": second}

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        return self._cells(value).sum(-1)

    def _cells(self, value: Array) -> Array:
        """Log-density of every cell, zero where it is missing."""
        x, mask = observed_cells(value)  # not even the gradient may meet a NaN
        z = (x - self.loc) / self.scale
        return mask * (-0.5 * (z**2 + LOG_TWO_PI) - jnp.log(self.scale))

    def _squares(self, statistics: Statistics, mu: Array) -> Array:
        """Weighted squared distances from ``mu``, per component and feature."""
        s = statistics
        squares = s["second"] - 2 * mu * s["first"] + s["count"] * mu**2
        return jnp.clip(squares, 0)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        loc, scale = self._parameters()
        squares = self._squares(statistics, loc - jnp.atleast_1d(centre))
        normaliser = statistics["count"] * (0.5 * LOG_TWO_PI + jnp.log(scale))
        return (-0.5 * squares / scale**2 - normaliser).sum(-1)

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        """Squares and counts that share one scale (diagonal: none are shared)."""
        return squares, jnp.broadcast_to(count, squares.shape)

    def _like_loc(self, mean: Array) -> Array:
        return mean

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, inverse-gamma for the squared scale."""
        loc, scale = self._parameters()
        if parameter == "loc":
            return _location(prior, scale, statistics, centre, shared, self._like_loc)
        if prior is not None and not isinstance(prior, InverseGammaScale):
            return None
        squares = self._squares(statistics, loc - jnp.atleast_1d(centre))
        squares, count = self._pool_scale(squares, statistics["count"])
        if shared:
            squares, count = squares.sum(0), count.sum(0)
        if prior is None:  # no prior keeps a component off a single row, so a floor must
            squares = jnp.maximum(squares, count * self._floor(statistics))
            return InverseGammaScaleConditional(0.5 * count - 0.5, 0.5 * squares)
        return InverseGammaScaleConditional(
            prior.concentration + 0.5 * count, prior.rate + 0.5 * squares
        )

    def _floor(self, statistics: Statistics) -> Array:
        """A variance far below that of all rows together, in the shape of one scale."""
        pooled = {name: value.sum(0, keepdims=True) for name, value in statistics.items()}
        count = jnp.clip(pooled["count"], 1)
        squares = self._squares(pooled, pooled["first"] / count)
        squares, count = self._pool_scale(squares, pooled["count"])
        return FLOOR**2 * squares[0] / jnp.clip(count[0], 1)

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component's scale is next to nothing beside the data's: ``(component,)``."""
        _, scale = self._parameters()
        relative = jnp.broadcast_to(scale, self._parameters()[0].shape) / jnp.atleast_1d(deviation)
        return (relative < 10 * FLOOR).any(-1)

    def centre(self, value: Array) -> Array:
        """A point amid the data."""
        return location_centre(value)


def _location(
    prior: Distribution | None,
    scale: Array,
    statistics: Statistics,
    centre: Array,
    shared: bool,
    shape_like: Any,
) -> NormalConditional | None:
    """Normal posterior of a location given scales that broadcast to (component, feature)."""
    if prior is not None and not isinstance(prior, Normal):
        return None
    first, precision = statistics["first"] * scale**-2, statistics["count"] * scale**-2
    precision = jnp.broadcast_to(precision, first.shape)
    if shared:
        first, precision = first.sum(0), precision.sum(0)
    first, precision = shape_like(first), shape_like(precision)
    if prior is not None:
        prior_precision = prior.scale**-2
        first = first + (prior.loc - centre) * prior_precision
        precision = precision + prior_precision
    return NormalConditional(first / precision + centre, precision)


class DiagonalGaussian(FactorisedGaussian):
    """Rows of independent normals.

    Args:
        loc: ``batch + (feature,)``.
        scale: standard deviations, ``batch + (feature,)``.

    >>> emission = DiagonalGaussian(jnp.zeros((3, 1, 2)), jnp.ones((3, 1, 2)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None):
        self.loc, self.scale = jnp.asarray(loc), jnp.asarray(scale)
        batch = broadcast_batch((self.loc, 1), (self.scale, 1))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        noise = random.normal(key, self.shape(sample_shape), jnp.result_type(self.loc, float))
        return self.loc + self.scale * noise

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The squared scale."""
        return jnp.broadcast_to(self.scale**2, self.shape())


class SphericalGaussian(FactorisedGaussian):
    """Rows of independent normals with one scale for all features.

    Args:
        loc: ``batch + (feature,)``.
        scale: one standard deviation, ``batch``.

    >>> SphericalGaussian(jnp.zeros((3, 1, 2)), jnp.ones((3, 1))).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    parameter_dims = {"loc": 1, "scale": 0}
    parameter_axes = {"loc": ("feature",), "scale": ()}
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale": constraints.positive,
    }
    support = constraints.real_vector

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None):
        self.loc, self.scale = jnp.asarray(loc), jnp.asarray(scale)
        batch = broadcast_batch((self.loc, 1), (self.scale, 0))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)

    def _parameters(self) -> tuple[Array, Array]:
        return self.loc, self.scale[..., None]

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Without gaps ``x``, ``|x|²`` and 1; with gaps as the diagonal family's."""
        if missing:
            return super().prepare(value, missing=True, centre=centre)
        x = value - centre
        return stack(x, (x**2).sum(-1), ones(x, x.dtype))

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """As the diagonal family's; without gaps one precision serves all features."""
        if missing:
            return super().coefficients(missing=True, centre=centre)
        linear, precision, constant = self._natural_cells(centre)
        constant = constant.sum(-1, keepdims=True)
        return jnp.concatenate([linear, -0.5 * precision[:, :1], constant], -1)

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """As the diagonal family's; without gaps ``second (component, 1)`` is summed already."""
        if missing:
            return super().unstack(sums, missing=True)
        return {"first": sums[:, :-2], "second": sums[:, -2:-1], "count": sums[:, -1:]}

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        return DiagonalGaussian(self.loc, self.scale[..., None]).pointwise(value)

    def _squares(self, statistics: Statistics, mu: Array) -> Array:
        cross = -2 * mu * statistics["first"] + statistics["count"] * mu**2
        squares = statistics["second"].sum(-1) + cross.sum(-1)
        return jnp.clip(squares, 0)[:, None]

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        squares = self._squares(statistics, self.loc - centre)[:, 0]
        cells = jnp.broadcast_to(statistics["count"], self.loc.shape).sum(-1)
        return -0.5 * squares / self.scale**2 - cells * (0.5 * LOG_TWO_PI + jnp.log(self.scale))

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        dimension = self.event_shape[0]
        return squares.sum(-1), jnp.broadcast_to(count, (count.shape[0], dimension)).sum(-1)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        noise = random.normal(key, self.shape(sample_shape), jnp.result_type(self.loc, float))
        return self.loc + self.scale[..., None] * noise

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The squared scale, for every feature."""
        return jnp.broadcast_to(self.scale[..., None] ** 2, self.shape())


class UnivariateGaussian(FactorisedGaussian):
    """Rows of one number each.

    Args:
        loc: ``batch``.
        scale: standard deviation, ``batch``.

    >>> UnivariateGaussian(jnp.zeros((3, 1)), jnp.ones((3, 1))).log_prob(jnp.zeros(5)).shape
    (3, 5)
    """

    parameter_dims = {"loc": 0, "scale": 0}
    parameter_axes = {"loc": (), "scale": ()}
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None):
        self.loc, self.scale = jnp.asarray(loc), jnp.asarray(scale)
        batch = broadcast_batch((self.loc, 0), (self.scale, 0))
        super().__init__(batch, (), validate_args=validate_args)

    def _matrix(self, value: Array) -> Array:
        return value[:, None]

    def _parameters(self) -> tuple[Array, Array]:
        return self.loc[..., None], self.scale[..., None]

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        return self._cells(value)

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        return squares[..., 0], count[..., 0]

    def _like_loc(self, mean: Array) -> Array:
        return mean[..., 0]

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch``."""
        noise = random.normal(key, self.shape(sample_shape), jnp.result_type(self.loc, float))
        return self.loc + self.scale * noise

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The squared scale."""
        return jnp.broadcast_to(self.scale**2, self.shape())
