"""Gaussian emissions that factorise over features: univariate, spherical and diagonal.

Cancellation is avoided by a shift: the family is invariant when data and locations move together,
so both are taken relative to a point amid the data before squares are expanded; in single precision
to every component's own location where these lie too far apart for one point, see
``cancellation.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import digamma
from numpyro.distributions import constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.conditionals import InverseGammaScaleConditional, NormalConditional
from ppl_models.distributions.described import means_in_words
from ppl_models.distributions.exponential.family import Statistics, spread
from ppl_models.distributions.exponential.squares.cancellation import resolved
from ppl_models.distributions.exponential.squares.located import Located, about
from ppl_models.distributions.exponential.stacked import ones, stack
from ppl_models.distributions.priors.scales_and_blocks import InverseGammaScale

LOG_TWO_PI = float(np.log(2 * np.pi))
FLOOR = 1e-6  #: least scale under a flat prior, relative to the data's standard deviation


class FactorisedGaussian(Located):
    """Base of the three families: ``loc (..., feature)``, and ``scale``, which broadcasts to it."""

    statistic_names = ("first", "second")
    location_parameters = ("loc",)
    component_picture = "ellipses"
    may_be_nested = True
    reparametrized_params: ClassVar[list[str]] = ["loc", "scale"]
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "scale": (InverseGammaScale,),
    }
    plug_in_parameters = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None):
        super().__init__(loc=loc, scale=scale, validate_args=validate_args)

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

    @property
    def _cell_scale(self) -> Array:
        """The scale of every cell, broadcast to ``loc``."""
        return self.scale

    def _parameters(self) -> tuple[Array, Array]:
        """Location and scale as ``(component, feature)``."""
        return self._columns(self.loc), self._columns(self._cell_scale)

    def sufficient_statistics(self, x: Array) -> tuple[Array, ...]:
        """``x`` and ``x²``."""
        return x, x**2

    def natural_parameters(self) -> tuple[Array, ...]:
        """``μ/σ²`` and ``-1/2σ²``."""
        precision = self._cell_scale**-2
        return precision * self.loc, -0.5 * precision

    def log_normaliser(self) -> Array:
        """``μ²/2σ² + log σ + ½ log 2π``."""
        scale = self._cell_scale
        return 0.5 * (scale**-2 * self.loc**2 + LOG_TWO_PI) + jnp.log(scale)

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula, without the squares that cancel far from zero."""
        observed = ~missing_cells(value)  # not even the gradient may meet a NaN
        z = (jnp.where(observed, value, 0) - self.loc) / self._cell_scale
        cell = observed * (-0.5 * (z**2 + LOG_TWO_PI) - jnp.log(self._cell_scale))
        return cell.sum(-1) if self.event_dim else cell

    def _squares(self, statistics: Statistics, mu: Array) -> Array:
        """Weighted squared distances from ``mu``, per component and feature."""
        s = statistics
        squares = s["second"] - 2 * mu * s["first"] + s["count"] * mu**2
        return resolved(squares, s["second"])

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        loc, scale = self._parameters()
        squares = self._squares(statistics, loc - about(statistics, centre))
        normaliser = statistics["count"] * (0.5 * LOG_TWO_PI + jnp.log(scale))
        return (-0.5 * squares / scale**2 - normaliser).sum(-1)

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        """Squares and counts that share one scale (diagonal: none are shared)."""
        return squares, jnp.broadcast_to(count, squares.shape)

    def _like_loc(self, mean: Array) -> Array:
        return mean

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, inverse-gamma for the squared scale."""
        loc, scale = self._parameters()
        if parameter == "loc":
            return _location(prior, scale, statistics, centre, shared, self._like_loc)
        squares = self._squares(statistics, loc - about(statistics, centre))
        squares, count = self._pool_scale(squares, statistics["count"])
        if shared:
            squares, count = squares.sum(0), count.sum(0)
        if prior is None:  # no prior keeps a component off a single row, so a floor must
            squares = jnp.maximum(squares, count * self._floor(statistics, centre))
            return InverseGammaScaleConditional(0.5 * count - 0.5, 0.5 * squares)
        return InverseGammaScaleConditional(
            prior.concentration + 0.5 * count, prior.rate + 0.5 * squares
        )

    def plug_in(self, parameter: str, q: Any) -> Array:
        """The mean of a location; a scale by its expected precision."""
        return q.mean if parameter == "loc" else jnp.sqrt(q.rate / q.concentration)

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """``½ (E[log τ] - log E[τ])`` of precisions τ, and ``-½ E[τ] Var(μ)`` of locations μ."""
        gap = jnp.zeros(self.batch_shape)
        if "scale" in posterior:
            order = posterior["scale"].concentration
            each = 0.5 * (digamma(order) - jnp.log(order))
            each = each if self.parameter_dims["scale"] else each[..., None]
            gap = gap + jnp.broadcast_to(each, self._wide).sum(-1)
        if "loc" in posterior:
            variance = self._location_variance(posterior["loc"])
            gap = gap - 0.5 * (self._parameters()[1] ** -2 * variance).sum(-1)
        return gap

    def statistics_under(self, posterior: Mapping[str, Any], statistics: Statistics) -> Statistics:
        """Squares about the locations' means that are the expected ones about the locations."""
        if "loc" not in posterior:
            return statistics
        added = statistics["count"] * self._location_variance(posterior["loc"])
        second = statistics["second"]
        added = added if second.shape[-1] == added.shape[-1] else added.sum(-1, keepdims=True)
        return {**statistics, "second": second + added}

    def _location_variance(self, q: NormalConditional) -> Array:
        """``(component, feature)``."""
        return jnp.broadcast_to(self._columns(1 / q.precision), self._wide)

    def _floor(self, statistics: Statistics, centre: Array) -> Array:
        """A variance far below that of all rows together, in the shape of one scale."""
        shift = about(statistics, centre) - jnp.atleast_1d(centre)
        pooled = self._recentred(statistics, shift) if "about" in statistics else statistics
        pooled = {name: value.sum(0, keepdims=True) for name, value in pooled.items()}
        count = jnp.clip(pooled["count"], 1)
        squares = self._squares(pooled, pooled["first"] / count)
        squares, count = self._pool_scale(squares, pooled["count"])
        return FLOOR**2 * squares[0] / jnp.clip(count[0], 1)

    def _recentred(self, statistics: Statistics, shift: Array) -> Statistics:
        """Statistics about a point that lies by ``shift`` before the one they were taken about."""
        first, count = statistics["first"], statistics["count"]
        cross = 2 * shift * first + count * shift**2
        if statistics["second"].shape != first.shape:
            cross = cross.sum(-1, keepdims=True)
        second = statistics["second"] + cross
        return {"first": first + count * shift, "second": second, "count": count}

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component's scale is next to nothing beside the data's: ``(component,)``."""
        _, scale = self._parameters()
        relative = jnp.broadcast_to(scale, self._parameters()[0].shape) / jnp.atleast_1d(deviation)
        return (relative < 2 * FLOOR).any(-1)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + event``."""
        noise = random.normal(key, self.shape(sample_shape), jnp.result_type(self.loc, float))
        return self.loc + self._cell_scale * noise

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The squared scale."""
        return jnp.broadcast_to(self._cell_scale**2, self.shape())


def _location(
    prior: Any | None,
    scale: Array,
    statistics: Statistics,
    centre: Array,
    shared: bool,
    shape_like: Any,
) -> NormalConditional:
    """Normal posterior of a location given scales that broadcast to (component, feature)."""
    first, precision = statistics["first"] * scale**-2, statistics["count"] * scale**-2
    precision = jnp.broadcast_to(precision, first.shape)
    point = jnp.broadcast_to(about(statistics, centre), first.shape)
    if shared:
        first = (first + precision * (point - jnp.atleast_1d(centre))).sum(0)
        precision, point = precision.sum(0), jnp.broadcast_to(jnp.atleast_1d(centre), first.shape)
    first, precision, point = shape_like(first), shape_like(precision), shape_like(point)
    if prior is not None:
        prior_precision = prior.scale**-2
        first = first + (prior.loc - point) * prior_precision
        precision = precision + prior_precision
    return NormalConditional(first / precision + point, precision)


class DiagonalGaussian(FactorisedGaussian):
    """Rows of independent normals.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.3.

    Args:
        loc: ``batch + (feature,)``.
        scale: standard deviations, ``batch + (feature,)``.

    >>> emission = DiagonalGaussian(jnp.zeros((3, 1, 2)), jnp.ones((3, 1, 2)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    numpyro_classes = ((dist.Normal, 1),)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> FactorisedGaussian:
        """Spherical where all features have one scale, by its shape."""
        loc, scale = spread(distribution.loc, event_shape), jnp.asarray(distribution.scale)
        if scale.ndim == 0:
            return SphericalGaussian(loc, scale)
        if scale.shape[-1] == 1 and event_shape[0] > 1:
            return SphericalGaussian(loc, scale[..., 0])
        return DiagonalGaussian(loc, spread(scale, event_shape))


class SphericalGaussian(FactorisedGaussian):
    """Rows of independent normals with one scale for all features.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.3 and §9.3.2.

    Args:
        loc: ``batch + (feature,)``.
        scale: one standard deviation, ``batch``.

    >>> SphericalGaussian(jnp.zeros((3, 1, 2)), jnp.ones((3, 1))).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    distance_scale = "scale"
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale": constraints.positive,
    }
    support = constraints.real_vector

    @property
    def _cell_scale(self) -> Array:
        return self.scale[..., None]

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Of complete rows ``x``, ``|x|²`` and 1; with missing cells as the diagonal family's."""
        if missing:
            return super().prepare(value, missing=True, centre=centre)
        x = value - centre
        return stack(x, (x**2).sum(-1), ones(x, x.dtype))

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """As the diagonal family's; of complete rows one precision serves all features."""
        if missing:
            return super().coefficients(missing=True, centre=centre)
        family = self._shifted(centre)
        linear, square = family.natural_parameters()
        constant = -family.log_normaliser().sum(-1, keepdims=True)
        square = jnp.broadcast_to(square, constant.shape)
        return jnp.concatenate([linear, square, constant], -1)

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """As the diagonal family's; of complete rows ``second (component, 1)`` is summed up."""
        if missing:
            return super().unstack(sums, missing=True)
        return {"first": sums[:, :-2], "second": sums[:, -2:-1], "count": sums[:, -1:]}

    def _squares_of_rows(self, x: Array, missing: bool) -> Array:
        squares = x**2
        return squares if missing else squares.sum(0, keepdims=True)

    def _squares(self, statistics: Statistics, mu: Array) -> Array:
        cross = -2 * mu * statistics["first"] + statistics["count"] * mu**2
        second = statistics["second"].sum(-1)
        return resolved(second + cross.sum(-1), second)[:, None]

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        squares = self._squares(statistics, self.loc - about(statistics, centre))[:, 0]
        cells = jnp.broadcast_to(statistics["count"], self.loc.shape).sum(-1)
        return -0.5 * squares / self.scale**2 - cells * (0.5 * LOG_TWO_PI + jnp.log(self.scale))

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        dimension = self.event_shape[0]
        return squares.sum(-1), jnp.broadcast_to(count, (count.shape[0], dimension)).sum(-1)


class UnivariateGaussian(FactorisedGaussian):
    """Rows of one number each.

    Bishop (2006), Pattern Recognition and Machine Learning, §1.2.4.

    Args:
        loc: ``batch``.
        scale: standard deviation, ``batch``.

    >>> UnivariateGaussian(jnp.zeros((3, 1)), jnp.ones((3, 1))).log_prob(jnp.zeros(5)).shape
    (3, 5)
    """

    distance_scale = "scale"
    numpyro_classes = ((dist.Normal, 0),)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Of differences from the location: its square, expanded, would cancel in part."""
        x, _, observed = prepared
        z = (x - (self.loc - centre)[:, None]) / self.scale[:, None]
        return -observed * (0.5 * (z**2 + LOG_TWO_PI) + jnp.log(self.scale)[:, None])

    def _pool_scale(self, squares: Array, count: Array) -> tuple[Array, Array]:
        return squares[..., 0], count[..., 0]

    def _like_loc(self, mean: Array) -> Array:
        return mean[..., 0]
