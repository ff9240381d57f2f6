"""Base of Gaussian emissions with correlated features, with tied or separate covariances.

Distances are computed as ``|L^-1 x - L^-1 mu|^2`` with the Cholesky factor L of the covariance,
which stays accurate for strongly correlated features where ``x' P x`` would cancel. Second moments
are taken about a point amid the data, or in single precision about every component's own location
where these lie too far apart for one point, see ``cancellation.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, lax, random
from numpyro.distributions import constraints

from ppl_models import device
from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.distributions.conditionals import (
    InverseWishartConditional,
    MultivariateNormalConditional,
)
from ppl_models.distributions.contraction import einsum, matmul, sum_over_rows
from ppl_models.distributions.described import means_in_words
from ppl_models.distributions.exponential.factorised import location_centre
from ppl_models.distributions.exponential.family import (
    ExponentialFamily,
    Statistics,
    broadcast_batch,
    real,
)
from ppl_models.distributions.exponential.gaussian import FLOOR, LOG_TWO_PI
from ppl_models.distributions.exponential.squares.cancellation import apart, resolved_matrix
from ppl_models.distributions.exponential.squares.located import about
from ppl_models.distributions.exponential.squares.moments import (
    BAND,
    by_pairs,
    inverse_factor,
    moments_about,
    row_bands,
    row_conditional,
    row_log_density,
)
from ppl_models.distributions.gap_branches import by_gaps


class MatrixGaussian(ExponentialFamily):
    """Base of the families with tied and with full covariances."""

    factorises = False
    parameter_axes = {"loc": ("feature",), "covariance": ("feature", "feature_other")}
    component_picture = "ellipses"
    may_be_nested = True
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "covariance": (dist.InverseWishart,),
    }
    support = constraints.real_vector
    covariance: Array

    def __init__(self, loc: Any, covariance: Any, *, validate_args: bool | None = None):
        self.loc, self.covariance = real(loc), real(covariance)
        batch = broadcast_batch((self.loc, 1), (self.covariance, 2))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The locations and covariances, a tied one repeated for every component."""
        loc, covariance = np.asarray(parameters["loc"]), np.asarray(parameters["covariance"])
        if "covariance" in cls.shared_parameters:
            covariance = covariance[..., None, :, :]
        return loc, np.broadcast_to(covariance, (*loc.shape, loc.shape[-1]))

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """Mean and standard deviation of every feature."""
        mean, covariance = cls.component_moments(parameters)
        return means_in_words(
            mean[component], None if covariance is None else covariance[component], features
        )

    def _each(self) -> Array:
        """Covariances ``(component, feature, feature)``."""
        dimension = self.loc.shape[-1]
        return jnp.broadcast_to(self.covariance, (*self.batch_shape, dimension, dimension))

    def pointwise(self, value: Array) -> Array:
        """Log-density by one Cholesky factor a row; of rows of one covariance, one for all."""
        outer = self.covariance.shape[:-2]
        if self.batch_shape and self.batch_shape[-1] > 1 and outer[-1:] in ((), (1,)):
            return self._about_own_locations(value)
        shape = jax.lax.broadcast_shapes(value.shape[:-1], self.batch_shape)
        dimension = self.loc.shape[-1]
        rows = jnp.broadcast_to(value, (*shape, dimension)).reshape(-1, dimension)
        loc = jnp.broadcast_to(self.loc, (*shape, dimension)).reshape(-1, dimension)
        each = jnp.broadcast_to(self.covariance, (*shape, dimension, dimension))
        each = each.reshape(-1, dimension, dimension)
        return jax.vmap(row_log_density)(rows, loc, each).reshape(shape)

    def _about_own_locations(self, value: Array) -> Array:
        """Of rows that differ in their locations alone: residuals whitened by one product."""
        residual = value - self.loc
        shape = lax.broadcast_shapes(residual.shape[:-1], self.batch_shape)
        dimension = self.loc.shape[-1]
        residual = jnp.broadcast_to(residual, (*shape, dimension))
        covariance = self.covariance
        if covariance.ndim > 2:
            covariance = covariance[..., 0, :, :]
        covariance = jnp.broadcast_to(covariance, (*shape[:-1], dimension, dimension))

        def densities(missing: bool) -> Array:
            if missing:
                each = residual.reshape(-1, *residual.shape[-2:])
                matrices = covariance.reshape(-1, dimension, dimension)
                by_row = jax.vmap(row_log_density, in_axes=(0, None, None))
                about = jnp.zeros(dimension, residual.dtype)
                return jax.vmap(by_row, (0, None, 0))(each, about, matrices).reshape(shape)
            inverse, log_determinant = inverse_factor(covariance)
            squares = (matmul(inverse, jnp.swapaxes(residual, -1, -2)) ** 2).sum(-2)
            return -0.5 * (squares + dimension * LOG_TWO_PI) - log_determinant[..., None]

        if not isinstance(value, jax.core.Tracer):
            return densities(has_missing(value))
        return by_gaps(missing_cells(value).any(), densities)

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Rows relative to the centre, ``(feature, row)``; rows with gaps as they are."""
        return value if missing else (value - centre).T

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """A band of features of every component beside the row itself."""
        features, components = value.shape[1], math.prod(self.batch_shape)
        if not device.is_wide():
            return features + components * (min(BAND, features) + 2)
        band = max(last - first for first, last in row_bands(features))
        pairs = features * (features + 1) // 2 if by_pairs(components, features) else 0
        return features + components * (2 * band + 2) + pairs

    def _contract_missing(self, value: Array, covariance: Array) -> Array:
        by_row = jax.vmap(row_log_density, in_axes=(0, None, None))
        return jax.vmap(by_row, in_axes=(None, 0, 0))(value, self.loc, covariance)

    def _moments_missing(
        self,
        weights: Array,
        value: Array,
        centre: Array,
        far: Array | None,
        counted: Array | None = None,
    ) -> tuple[Array, Array]:
        """``sum_n w x`` and ``sum_n w x x'`` per component, gaps at their expectations.

        About the centre, or where ``far`` about the locations. ``counted`` are the weights of the
        gaps' variances (default: those of the rows).
        """

        def component(arguments: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
            w, spread_w, loc, covariance = arguments
            point = centre if far is None else jnp.where(far, loc, centre)
            mean, spread = jax.vmap(row_conditional, in_axes=(0, None, None))(
                value - point, loc - point, covariance
            )
            scatter = matmul((w[:, None] * mean).T, mean) + einsum("n,nij->ij", spread_w, spread)
            return matmul(w, mean), scatter

        spread_weights = weights if counted is None else counted
        return lax.map(component, (weights, spread_weights, self.loc, self._each()))

    def _second_moments(self, weights: Array, x: Array) -> Any:
        """``sum_n w x x'`` of complete rows, as ``finalize`` takes it.

        Args:
            weights: ``(component, row)``.
            x: ``(feature, row)``.
        """
        raise NotImplementedError

    def _pooled(self, second: Array) -> Array:
        """Second moments of all components, ``(component, feature, feature)``, as they are kept."""
        return second

    def _stored(self, second: Array) -> Any:
        """Matrices in the form of :meth:`_second_moments`."""
        return second

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """``count (k,)``, ``first (k, d)`` and second moments, of complete rows as they add up."""
        far = self.apart(centre)

        def about_centre() -> tuple[Array, Any]:
            return sum_over_rows(weights, prepared), self._second_moments(weights, prepared)

        def about_locations() -> tuple[Array, Any]:
            first, second = lax.map(
                lambda of: moments_about(of[0], prepared, of[1]), (weights, self.loc - centre)
            )
            return first, self._stored(self._pooled(second))

        if missing:
            first, second = self._moments_missing(weights, prepared, centre, far)
            second = self._pooled(second)
        elif far is None:
            first, second = about_centre()
        else:
            first, second = lax.cond(far, about_locations, about_centre)
        statistics = {"count": weights.sum(-1), "first": first, "second": second}
        return statistics if far is None else statistics | {"far": far.astype(first.dtype)}

    def apart(self, centre: Array) -> Array | None:
        """Whether squares about the centre cancel, see ``cancellation.apart``."""
        deviation = jnp.sqrt(jnp.diagonal(self.covariance, axis1=-2, axis2=-1))
        return apart((self.loc - centre) / deviation)

    def _with_points(self, statistics: Statistics, far: Array | None, centre: Array) -> Statistics:
        """Statistics together with the points about which they were computed."""
        if far is None:
            return statistics
        return statistics | {"about": jnp.where(far > 0, self.loc, centre)}

    def _scatter(self, statistics: Statistics, centre: Array) -> Array:
        """Scatter about the locations, per component or in all."""
        scatter = self._about(statistics, self.loc - about(statistics, centre))
        return resolved_matrix(scatter, statistics["second"])

    def _about(self, statistics: Statistics, mu: Array) -> Array:
        """Second moments about points that lie by ``mu`` after those of the statistics."""
        s = statistics
        cross = einsum("ki,kj->kij", s["first"], mu)
        outer = einsum("k,ki,kj->kij", s["count"], mu, mu)
        return s["second"] - cross - jnp.swapaxes(cross, -1, -2) + outer

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, inverse-Wishart for the covariance."""
        if parameter == "covariance":
            dimension = self.loc.shape[-1]
            scatter = self._scatter(statistics, centre)
            count = statistics.get("rows", statistics["count"])
            if shared or scatter.ndim == 2:
                scatter, count = scatter.reshape(-1, dimension, dimension).sum(0), count.sum()
            if prior is None:  # no prior keeps a component off a subspace, so a floor must
                floor = jnp.asarray(count)[..., None, None] * self._floor(statistics, centre)
                return InverseWishartConditional(count - (dimension + 1.0), scatter + floor)
            return InverseWishartConditional(
                prior.concentration + count, prior.scale_matrix + scatter
            )
        inverse, _ = inverse_factor(self._each())
        precision = matmul(jnp.swapaxes(inverse, -1, -2), inverse)
        linear = matmul(precision, statistics["first"][..., None])[..., 0]
        precision = statistics["count"][:, None, None] * precision
        point = about(statistics, centre)
        if shared:
            shift = jnp.broadcast_to(point - centre, linear.shape)
            linear = (linear + matmul(precision, shift[..., None])[..., 0]).sum(0)
            precision, point = precision.sum(0), centre
        if prior is not None:
            prior_precision = jnp.broadcast_to(prior.scale**-2, linear.shape)
            linear = linear + (prior.loc - point) * prior_precision
            precision = precision + prior_precision[..., None] * jnp.eye(linear.shape[-1])
        return MultivariateNormalConditional(linear, precision, point)

    def plug_in(self, parameter: str, q: Any) -> Array:
        """The mean of a location; a covariance by its expected precision matrix."""
        if parameter == "loc":
            return q.mode()
        return q.scale_matrix / jnp.asarray(q.concentration)[..., None, None]

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """``½ (E[log |Λ|] - log |E[Λ]|)`` of precision matrices, and ``-½ tr E[Λ] Cov(μ)``."""
        gap, dimension = jnp.zeros(self.batch_shape), self.loc.shape[-1]
        if "covariance" in posterior:
            q = posterior["covariance"]
            logs = dimension * jnp.log(0.5 * jnp.asarray(q.concentration))
            gap = gap + 0.5 * (q.digammas() - logs)
        if "loc" in posterior:
            precision, spread = jnp.linalg.inv(self._each()), posterior["loc"].covariance()
            gap = gap - 0.5 * einsum("...ij,...ji->...", precision, spread)
        return gap

    def statistics_under(self, posterior: Mapping[str, Any], statistics: Statistics) -> Statistics:
        """Scatter about the locations' means that is the expected one about the locations."""
        if "loc" not in posterior:
            return statistics
        added = statistics["count"][:, None, None] * posterior["loc"].covariance()
        added = added.sum(0) if statistics["second"].ndim == 2 else added
        return {**statistics, "second": statistics["second"] + added}

    def _floor(self, statistics: Statistics, centre: Array) -> Array:
        """A diagonal far below the variances of all rows together."""
        count, first, total = statistics["count"], statistics["first"], statistics["count"].sum()
        second = statistics["second"].reshape(-1, *statistics["second"].shape[-2:]).sum(0)
        second = jnp.diagonal(second)
        if "about" in statistics:
            shift = statistics["about"] - centre
            second = second + (2 * shift * first + count[:, None] * shift**2).sum(0)
            first = first + count[:, None] * shift
        mean = first.sum(0) / jnp.clip(total, 1)
        variance = second / jnp.clip(total, 1) - mean**2
        return jnp.diag(FLOOR**2 * jnp.clip(variance, 0))

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component is next to flat in some direction: ``(component,)``."""
        relative = self._each() / deviation[:, None] / deviation[None, :]
        lengths = jnp.linalg.eigvalsh(relative)
        rounding = 100 * float(jnp.finfo(lengths.dtype).eps) * lengths[..., -1]
        return ~(lengths[..., 0] > jnp.maximum((2 * FLOOR) ** 2, rounding))

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing cells from the conditional Gaussian given the row's observed ones."""
        dimension = value.shape[-1]
        rows = value.reshape(-1, dimension)
        loc = jnp.broadcast_to(self.loc, value.shape).reshape(-1, dimension)
        each = jnp.broadcast_to(self.covariance, (*value.shape, dimension))
        mean, spread = jax.vmap(row_conditional)(rows, loc, each.reshape(-1, dimension, dimension))
        seen = ~missing_cells(rows)
        safe = spread + jnp.eye(dimension) * seen[:, :, None]
        factor = jnp.linalg.cholesky(safe)
        noise = random.normal(key, rows.shape, mean.dtype)
        noise = jnp.where(seen, 0, noise)
        drawn = mean + einsum("nij,nj->ni", factor, noise)
        return jnp.where(seen, rows, drawn).reshape(value.shape)

    def centre(self, value: Array) -> Array:
        """A point amid the data."""
        return location_centre(value)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        noise = random.normal(key, self.shape(sample_shape), jnp.result_type(self.loc, float))
        factor = jnp.linalg.cholesky(self.covariance)
        return self.loc + matmul(factor, noise[..., None])[..., 0]

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The diagonal of the covariance."""
        diagonal = jnp.diagonal(self.covariance, axis1=-2, axis2=-1)
        return jnp.broadcast_to(diagonal, self.shape())
