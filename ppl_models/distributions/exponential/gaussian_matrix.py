"""Gaussian emissions with correlated features: one covariance for all (tied), or one each (full).

Distances are computed as ``|L^-1 x - L^-1 mu|^2`` with the Cholesky factor L of the covariance,
which stays accurate for strongly correlated features where ``x' P x`` would cancel. Second moments
are taken about a point amid the data, or in single precision about every component's own location
where these lie too far apart for one point, see ``cancellation.py``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, lax, random
from jax.scipy.linalg import solve_triangular
from numpyro.distributions import constraints

from ppl_models import device
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.conditionals import (
    InverseWishartConditional,
    MultivariateNormalConditional,
)
from ppl_models.distributions.contraction import einsum, matmul, sum_over_rows
from ppl_models.distributions.described import means_in_words
from ppl_models.distributions.exponential.cancellation import apart, resolved_matrix
from ppl_models.distributions.exponential.factorised import location_centre
from ppl_models.distributions.exponential.family import (
    ExponentialFamily,
    Statistics,
    broadcast_batch,
)
from ppl_models.distributions.exponential.gaussian import FLOOR, LOG_TWO_PI
from ppl_models.distributions.exponential.located import about

BAND = 4  #: fewest features whose products are taken together
WIDE_BAND = 16  #: the same on a wide device, where few large products are faster
BANDS = 8  #: most bands: each is a product of its own to compile


def _inverse_factor(covariance: Array) -> tuple[Array, Array]:
    """``L^-1`` of ``covariance = L L'`` and ``log |L|``."""
    factor = jnp.linalg.cholesky(covariance)
    identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    inverse = solve_triangular(factor, identity, lower=True)
    return inverse, jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)


def _bands(dimension: int) -> list[tuple[int, int]]:
    """Bands of rows that a lower triangle is computed in, so that little above it is."""
    fewest = WIDE_BAND if device.is_wide() else BAND
    edges = [*range(0, dimension, max(fewest, -(-dimension // BANDS))), dimension]
    return list(itertools.pairwise(edges))


def _whitened_squares(inverse: Array, shift: Array, x: Array) -> Array:
    """``|L^-1 x - shift|²`` of every component and row, ``(component, row)``.

    Args:
        inverse: lower triangular ``(component, feature, feature)``.
        shift: ``(component, feature)``.
        x: ``(feature, row)``.
    """
    total: Any = 0.0
    for first, last in _bands(x.shape[0]):
        band = matmul(inverse[:, first:last, :last].reshape(-1, last), x[:last])
        band = band.reshape(inverse.shape[0], last - first, -1) - shift[:, first:last, None]
        total = total + (band**2).sum(1)
    return total


def _by_pairs(components: int, features: int) -> bool:
    """Whether second moments are sums of the products of all pairs of features."""
    return device.is_wide() and features + 1 <= 2 * components


def _second_moments(weights: Array, x: Array) -> Array | tuple[Array, ...]:
    """``sum_n w x x'`` in bands, ``(feature, component, row of the band)``.

    On a wide device of many components as ``(pair of features, component)``: the pairs' products
    are fewer numbers then than weighted rows, and memory is what takes time.

    Args:
        weights: ``(component, row)``.
        x: ``(feature, row)``.
    """
    count, bands = len(weights), []
    if _by_pairs(count, len(x)):
        one, other = np.tril_indices(len(x))
        return sum_over_rows(x[one] * x[other], weights)
    for first, last in _bands(len(x)):
        weighted = (weights[:, None] * x[None, first:last]).reshape(-1, x.shape[1])
        bands.append(sum_over_rows(x[:last], weighted).reshape(last, count, last - first))
    return tuple(bands)


def _moments_about(weights: Array, x: Array, shift: Array) -> tuple[Array, Array]:
    """``sum_n w (x - shift)`` and ``sum_n w (x - shift)(x - shift)'`` of one component.

    Args:
        weights: ``(row,)``.
        x: ``(feature, row)``.
        shift: ``(feature,)``.
    """
    x = x - shift[:, None]
    return matmul(x, weights), sum_over_rows(weights * x, x)


def _in_bands(second: Array) -> Array | tuple[Array, ...]:
    """Matrices ``(component, feature, feature)`` as :func:`_second_moments` gives them."""
    count, dimension, _ = second.shape
    if _by_pairs(count, dimension):
        one, other = np.tril_indices(dimension)
        return second[:, one, other].T
    bands = _bands(dimension)
    return tuple(jnp.swapaxes(second[:, :last, first:last], 0, 1) for first, last in bands)


def _from_pairs(pairs: Array, dimension: int) -> Array:
    """The symmetric matrices of which these are the lower triangles."""
    place = np.zeros((dimension, dimension), int)
    place[np.tril_indices(dimension)] = np.arange(len(pairs))
    return pairs.T[:, np.maximum(place, place.T)]


def _from_bands(bands: tuple[Array, ...]) -> Array:
    """The symmetric matrices of which these are bands, ``(component, feature, feature)``."""
    dimension = len(bands[-1])
    wide = [jnp.pad(b, ((0, dimension - len(b)), (0, 0), (0, 0))) for b in bands]
    lower = jnp.tril(jnp.moveaxis(jnp.concatenate(wide, -1), 0, -1))
    return lower + jnp.swapaxes(jnp.tril(lower, -1), -1, -2)


def _observed_part(value: Array, loc: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Residual and covariance of one row in which missing cells are replaced by standard normals.

    The Gaussian of the observed cells then is the whole one less those cells' own densities.
    """
    seen = ~missing_cells(value)
    both = seen[:, None] & seen[None, :]
    residual = jnp.where(seen, value - loc, 0)
    return residual, jnp.where(both, covariance, jnp.eye(value.shape[0])), seen


def _row_log_density(value: Array, loc: Array, covariance: Array) -> Array:
    """Marginal log-density of the observed cells of one row."""
    residual, reduced, seen = _observed_part(value, loc, covariance)
    inverse, log_determinant = _inverse_factor(reduced)
    return (
        -0.5 * (matmul(inverse, residual) ** 2).sum()
        - log_determinant
        - 0.5 * LOG_TWO_PI * seen.sum()
    )


def _row_conditional(value: Array, loc: Array, covariance: Array) -> tuple[Array, Array]:
    """Mean and covariance of one row given its observed cells (as they are, with variance 0)."""
    residual, reduced, seen = _observed_part(value, loc, covariance)
    cross = jnp.where(seen[None, :] & ~seen[:, None], covariance, 0)
    gain = jnp.linalg.solve(reduced, cross.T).T
    mean = jnp.where(seen, value, loc + matmul(gain, residual))
    absent = ~seen[:, None] & ~seen[None, :]
    return mean, jnp.where(absent, covariance - matmul(gain, cross.T), 0)


class MatrixGaussian(ExponentialFamily):
    """What tied and full covariances share."""

    factorises = False
    parameter_axes = {"loc": ("feature",), "covariance": ("feature", "feature_other")}
    component_picture = "ellipses"
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "covariance": (dist.InverseWishart,),
    }
    support = constraints.real_vector
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "covariance": constraints.positive_definite,
    }

    def __init__(self, loc: Any, covariance: Any, *, validate_args: bool | None = None):
        self.loc, self.covariance = jnp.asarray(loc), jnp.asarray(covariance)
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
        """Log-density by one Cholesky factor a row."""
        shape = jax.lax.broadcast_shapes(value.shape[:-1], self.batch_shape)
        dimension = self.loc.shape[-1]
        rows = jnp.broadcast_to(value, (*shape, dimension)).reshape(-1, dimension)
        loc = jnp.broadcast_to(self.loc, (*shape, dimension)).reshape(-1, dimension)
        each = jnp.broadcast_to(self.covariance, (*shape, dimension, dimension))
        each = each.reshape(-1, dimension, dimension)
        return jax.vmap(_row_log_density)(rows, loc, each).reshape(shape)

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Rows relative to the centre, ``(feature, row)``; rows with gaps as they are."""
        return value if missing else (value - centre).T

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """A band of features of every component beside the row itself."""
        features, components = value.shape[1], math.prod(self.batch_shape)
        if not device.is_wide():
            return features + components * (min(BAND, features) + 2)
        band = max(last - first for first, last in _bands(features))
        pairs = features * (features + 1) // 2 if _by_pairs(components, features) else 0
        return features + components * (2 * band + 2) + pairs

    def _contract_missing(self, value: Array, covariance: Array) -> Array:
        by_row = jax.vmap(_row_log_density, in_axes=(0, None, None))
        return jax.vmap(by_row, in_axes=(None, 0, 0))(value, self.loc, covariance)

    def _moments_missing(
        self, weights: Array, value: Array, centre: Array, far: Array | None
    ) -> tuple[Array, Array]:
        """``sum_n w x`` and ``sum_n w x x'`` per component, gaps at their expectations.

        About the centre, or where ``far`` about the locations.
        """

        def component(arguments: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            w, loc, covariance = arguments
            point = centre if far is None else jnp.where(far, loc, centre)
            mean, spread = jax.vmap(_row_conditional, in_axes=(0, None, None))(
                value - point, loc - point, covariance
            )
            scatter = matmul((w[:, None] * mean).T, mean) + einsum("n,nij->ij", w, spread)
            return matmul(w, mean), scatter

        return lax.map(component, (weights, self.loc, self._each()))

    def apart(self, centre: Array) -> Array | None:
        """Whether squares about the centre cancel, see ``cancellation.apart``."""
        deviation = jnp.sqrt(jnp.diagonal(self.covariance, axis1=-2, axis2=-1))
        return apart((self.loc - centre) / deviation)

    def _with_points(self, statistics: Statistics, far: Array | None, centre: Array) -> Statistics:
        """Statistics with the points that they were taken about."""
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
            scatter, count = self._scatter(statistics, centre), statistics["count"]
            if shared or scatter.ndim == 2:
                scatter, count = scatter.reshape(-1, dimension, dimension).sum(0), count.sum()
            if prior is None:  # no prior keeps a component off a subspace, so a floor must
                floor = jnp.asarray(count)[..., None, None] * self._floor(statistics, centre)
                return InverseWishartConditional(count - (dimension + 1.0), scatter + floor)
            return InverseWishartConditional(
                prior.concentration + count, prior.scale_matrix + scatter
            )
        inverse, _ = _inverse_factor(self._each())
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
        mean, spread = jax.vmap(_row_conditional)(rows, loc, each.reshape(-1, dimension, dimension))
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


class FullGaussian(MatrixGaussian):
    """Rows of correlated normals, a covariance for every component.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.3.

    Args:
        loc: ``batch + (feature,)``.
        covariance: positive definite, ``batch + (feature, feature)``.

    >>> emission = FullGaussian(jnp.zeros((3, 1, 2)), jnp.eye(2) * jnp.ones((3, 1, 1, 1)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    numpyro_classes = ((dist.MultivariateNormal, 0),)

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> MatrixGaussian:
        """Tied where all components have one covariance, by its shape."""
        covariance = distribution.covariance_matrix
        while covariance.ndim > 2 and covariance.shape[0] == 1:
            covariance = covariance[0]
        tied = covariance.ndim == 2
        return (TiedGaussian if tied else FullGaussian)(distribution.loc, covariance)

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``: one whitening product a component."""
        if missing:
            return self._contract_missing(prepared, self.covariance)
        inverse, log_determinant = _inverse_factor(self.covariance)
        shift = matmul(inverse, (self.loc - centre)[..., None])[..., 0]
        squares = _whitened_squares(inverse, shift, prepared)
        dimension = prepared.shape[0]
        return -0.5 * (squares + dimension * LOG_TWO_PI) - log_determinant[:, None]

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """``count (k,)``, ``first (k, d)``, and second moments, of complete rows in bands."""
        far = self.apart(centre)

        def about_centre() -> tuple[Array, Any]:
            return sum_over_rows(weights, prepared), _second_moments(weights, prepared)

        def about_locations() -> tuple[Array, Any]:
            one = lambda of: _moments_about(of[0], prepared, of[1])  # noqa: E731
            first, second = lax.map(one, (weights, self.loc - centre))
            return first, _in_bands(second)

        if missing:
            first, second = self._moments_missing(weights, prepared, centre, far)
        elif far is None:
            first, second = about_centre()
        else:
            first, second = lax.cond(far, about_locations, about_centre)
        found = {"count": weights.sum(-1), "first": first, "second": second}
        return found if far is None else found | {"far": far.astype(first.dtype)}

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """``count``, ``first`` and ``second (k, d, d)``."""
        added = dict(added)
        second, far = added["second"], added.pop("far", None)
        if isinstance(second, tuple):
            second = _from_bands(second)
        elif not missing:
            second = _from_pairs(second, self.loc.shape[-1])
        return self._with_points(added | {"second": second}, far, centre)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        inverse, log_determinant = _inverse_factor(self.covariance)
        scatter = self._scatter(statistics, centre)
        squares = einsum("kij,kjl,kil->k", inverse, scatter, inverse)
        constant = log_determinant + 0.5 * self.loc.shape[-1] * LOG_TWO_PI
        return -0.5 * squares - statistics["count"] * constant


class TiedGaussian(MatrixGaussian):
    """Rows of correlated normals, one covariance for all components.

    Fraley and Raftery (2002), Model-based clustering (EEE of mclust).

    Args:
        loc: ``batch + (feature,)``.
        covariance: positive definite, ``(feature, feature)``.

    >>> TiedGaussian(jnp.zeros((3, 1, 2)), jnp.eye(2)).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    shared_parameters = ("covariance",)

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``: whiten once, then as a unit sphere."""
        if missing:
            return self._contract_missing(prepared, self._each())
        inverse, log_determinant = _inverse_factor(self.covariance)
        x, mu = matmul(inverse, prepared), matmul(self.loc - centre, inverse.T)
        constant = 0.5 * mu.shape[-1] * LOG_TWO_PI + log_determinant

        def about_centre() -> Array:
            return matmul(mu, x) - 0.5 * ((x**2).sum(0) + (mu**2).sum(-1)[:, None]) - constant

        def about_locations() -> Array:
            return lax.map(lambda m: -0.5 * ((x - m[:, None]) ** 2).sum(0) - constant, mu)

        far = apart(mu)
        return about_centre() if far is None else lax.cond(far, about_locations, about_centre)

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """``count (k,)``, ``first (k, d)``, ``second (d, d)`` summed over components."""
        far = self.apart(centre)

        def about_centre() -> tuple[Array, Array]:
            second = sum_over_rows(prepared * weights.sum(0), prepared)
            return sum_over_rows(weights, prepared), second

        def about_locations() -> tuple[Array, Array]:
            one = lambda of: _moments_about(of[0], prepared, of[1])  # noqa: E731
            first, second = lax.map(one, (weights, self.loc - centre))
            return first, second.sum(0)

        if missing:
            first, second = self._moments_missing(weights, prepared, centre, far)
            second = second.sum(0)
        elif far is None:
            first, second = about_centre()
        else:
            first, second = lax.cond(far, about_locations, about_centre)
        found = {"count": weights.sum(-1), "first": first, "second": second}
        return found if far is None else found | {"far": far.astype(first.dtype)}

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """``count``, ``first`` and ``second (d, d)``."""
        added = dict(added)
        far = added.pop("far", None)
        return self._with_points(added, far, centre)

    def _about(self, statistics: Statistics, mu: Array) -> Array:
        s = statistics
        cross = matmul(s["first"].T, mu)
        return s["second"] - cross - cross.T + matmul((s["count"][:, None] * mu).T, mu)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``; only its sum is meaningful, the scatter being shared."""
        inverse, log_determinant = _inverse_factor(self.covariance)
        scatter = self._scatter(statistics, centre)
        squares = einsum("ij,jl,il->", inverse, scatter, inverse)
        constant = log_determinant + 0.5 * self.loc.shape[-1] * LOG_TWO_PI
        count = statistics["count"]
        return -0.5 * squares / count.shape[0] - count * constant
