"""Rows of correlated numbers with heavy tails: Student's t.

A row is normal given a precision of its own that it hides, x | u ~ Normal(μ, Σ / u) with
u ~ Gamma(ν/2, ν/2), and given these precisions everything is as under a normal: EM weighs every row
by what is expected of its precision, Gibbs sampling by a draw of it (Liu and Rubin 1995, ML
estimation of the t distribution using EM and its extensions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import digamma, gammaln
from numpyro.distributions import constraints

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.family import Statistics, broadcast_batch, real
from ppl_models.distributions.exponential.gaussian import LOG_TWO_PI
from ppl_models.distributions.exponential.gaussian_full import FullGaussian, SeparateGaussian
from ppl_models.distributions.exponential.gaussian_matrix import MatrixGaussian
from ppl_models.distributions.exponential.squares.moments import row_distance
from ppl_models.distributions.priors.degrees_of_freedom import FreedomConditional

FIRST = 5.0  #: degrees of freedom under which rows of a start are weighed


class HiddenPrecisions(NamedTuple):
    """Rows, and the gamma posteriors of the precisions that they hide, ``(component, row)``."""

    rows: Array
    concentration: Array
    rate: Array


class DrawnPrecisions(NamedTuple):
    """Complete rows ``(feature, row)``, and a draw of the precision of each."""

    rows: Array
    precision: Array


class FullStudentT(SeparateGaussian):
    """Vectors of Student's t, a location, a scale matrix and degrees of freedom a component.

    Kotz and Nadarajah (2004), Multivariate t distributions and their applications, §1.1. Missing
    cells drop out, for the others are such a vector with as many degrees of freedom.

    Args:
        loc: ``batch + (feature,)``.
        scale_matrix: positive definite, ``batch + (feature, feature)``.
        df: degrees of freedom, ``batch``.

    >>> scale = jnp.eye(2) * jnp.ones((3, 1, 1, 1))
    >>> emission = FullStudentT(jnp.zeros((3, 1, 2)), scale, jnp.full((3, 1), 4.0))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    draws_hidden = True
    component_picture, freedom_parameter = "ellipses", "df"
    parameter_axes = {"loc": ("feature",), "scale_matrix": ("feature", "feature_other")}
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "scale_matrix": constraints.positive_definite,
        "df": constraints.positive,
    }
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "scale_matrix": (dist.InverseWishart,),
        "df": (dist.Gamma,),
    }

    def __init__(self, loc: Any, scale_matrix: Any, df: Any, *, validate_args: bool | None = None):
        self.loc, self.scale_matrix, self.df = real(loc), real(scale_matrix), real(df)
        batch = broadcast_batch((self.loc, 1), (self.scale_matrix, 2), (self.df, 0))
        super(MatrixGaussian, self).__init__(
            batch, self.loc.shape[-1:], validate_args=validate_args
        )

    @property
    def covariance(self) -> Array:  # type: ignore[override]
        """Of a row whose precision is 1: the scale matrix."""
        return self.scale_matrix

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Locations and scale matrices: below two degrees of freedom there is no covariance."""
        return np.asarray(parameters["loc"]), np.asarray(parameters["scale_matrix"])

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """Location and scale of every feature, and the degrees of freedom.

        >>> given = {"loc": np.zeros((1, 2)), "scale_matrix": np.eye(2)[None], "df": np.ones(1)}
        >>> FullStudentT.summarise(given, 0, ["a", "b"])
        'location (scale): a 0 (1), b 0 (1); 1 degrees of freedom'
        """
        loc = np.asarray(parameters["loc"])[component]
        scale = np.sqrt(np.diagonal(np.asarray(parameters["scale_matrix"])[component]))
        each = [f"{m:.3g} ({s:.3g})" for m, s in zip(loc, scale, strict=True)]
        df = np.broadcast_to(parameters["df"], len(parameters["loc"]))[component]
        words = by_feature(features, each) if len(features) else each[0]
        return f"location (scale): {words}; {df:.3g} degrees of freedom"

    # ---- densities ---------------------------------------------------------------------------

    def pointwise(self, value: Array) -> Array:
        """Log-density by one Cholesky factor a row."""
        shape = jnp.broadcast_shapes(value.shape[:-1], self.batch_shape)
        dimension = self.loc.shape[-1]
        rows = jnp.broadcast_to(value, (*shape, dimension)).reshape(-1, dimension)
        loc = jnp.broadcast_to(self.loc, (*shape, dimension)).reshape(-1, dimension)
        each = jnp.broadcast_to(self.scale_matrix, (*shape, dimension, dimension))
        distances = jax.vmap(row_distance)(rows, loc, each.reshape(-1, dimension, dimension))
        df = jnp.broadcast_to(self.df, shape).reshape(-1)
        return _log_density(df, *distances).reshape(shape)

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Distances and precisions of every component beside a normal's."""
        components = max(1, int(np.prod(self.batch_shape)))
        return super().numbers_per_row(value, missing=missing) + 2 * components

    def _distances(
        self, prepared: Array, missing: bool, centre: Array
    ) -> tuple[Array, Array, Array]:
        """Squared distances ``(component, row)``, half the log-determinants, observed cells."""
        if not missing:
            squares, half = self._whitened(prepared, centre)
            return squares, half[:, None], jnp.asarray(float(prepared.shape[0]), squares.dtype)
        by_row = jax.vmap(row_distance, in_axes=(0, None, None))
        each = jax.vmap(by_row, in_axes=(None, 0, 0))
        squares, half, count = each(prepared, self.loc, self._each())
        return squares, half, count.astype(squares.dtype)

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``."""
        return _log_density(self.df[:, None], *self._distances(prepared, missing, centre))

    def infer_latents(
        self,
        prepared: Array,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, HiddenPrecisions]:
        """Log-densities, and the posteriors of the precisions, Gamma((ν + D)/2, (ν + |x|²)/2)."""
        squares, half, count = self._distances(prepared, missing, centre)
        df = self.df[:, None]
        concentration = jnp.broadcast_to(0.5 * (df + count), squares.shape)
        hidden = HiddenPrecisions(prepared, concentration, 0.5 * (df + squares))
        return _log_density(df, squares, half, count), hidden

    # ---- statistics --------------------------------------------------------------------------

    def chunk_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Any:
        """Normal statistics under weights times precisions, and sums for the degrees of freedom.

        ``count`` are the weighted precisions, ``rows`` the weights themselves.
        """
        if isinstance(prepared, Array):  # no draw, and nothing found out before
            prepared = self.infer_latents(prepared, missing=missing, centre=centre)[1]
        if isinstance(prepared, DrawnPrecisions):
            precision = jnp.broadcast_to(prepared.precision, weights.shape)
            log_precision = jnp.log(precision)
        else:
            precision = prepared.concentration / prepared.rate
            log_precision = digamma(prepared.concentration) - jnp.log(prepared.rate)
        # a component without rows may be of no width, and its rows' precisions no numbers
        some = weights > 0
        precision = jnp.where(some, precision, 0)
        log_precision = jnp.where(some, log_precision, 0)
        counted = weights * precision
        if missing:
            far = self.apart(centre)
            first, second = self._moments_missing(counted, prepared.rows, centre, far, weights)
            added = {"count": counted.sum(-1), "first": first, "second": second}
            if far is not None:
                added["far"] = far.astype(first.dtype)
        else:
            added = super().chunk_statistics(counted, prepared.rows, missing=False, centre=centre)
        return added | {
            "rows": weights.sum(-1),
            "log_precision": (weights * log_precision).sum(-1),
        }

    def expected_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Of rows whose components are given: precisions by their distances within these.

        A start provides a partition only; under locations that fit no rows, all rows would look
        like outliers.
        """
        seen = ~missing_cells(value)
        x = jnp.where(seen, value, 0)
        count = matmul(weights, seen.astype(weights.dtype))
        count = jnp.where(count > 0, count, 1)
        mean = matmul(weights, x) / count
        square = jnp.where(seen, (x - mean[:, None]) ** 2, 0)
        variance = (weights[..., None] * square).sum(1) / count
        variance = jnp.where(variance > 0, variance, 1)
        scale = variance[..., None] * jnp.eye(value.shape[-1], dtype=variance.dtype)
        df = jnp.full(len(weights), FIRST, variance.dtype)
        start = FullStudentT(mean, scale, df, validate_args=False)
        prepared = start.prepare(value, missing=missing, centre=centre)
        return start.prepared_statistics(weights, prepared, missing=missing, centre=centre)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """Of rows and their precisions, ``(component,)``."""
        s, half = statistics, 0.5 * self.df
        normal = super().expected_log_density(statistics, centre)
        # the constant of a normal counts rows, and not their precisions
        _, log_determinant = jnp.linalg.slogdet(self.scale_matrix)
        constant = 0.5 * log_determinant + 0.5 * self.loc.shape[-1] * LOG_TWO_PI
        normal = normal + (s["count"] - s["rows"]) * constant
        normal = normal + 0.5 * self.loc.shape[-1] * s["log_precision"]
        gamma = s["rows"] * (half * jnp.log(half) - gammaln(half))
        return normal + gamma + (half - 1) * s["log_precision"] - half * s["count"]

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normal for the location, inverse-Wishart for the scale matrix; degrees of freedom."""
        if parameter != "df":
            name = "covariance" if parameter == "scale_matrix" else parameter
            return super().conjugate_update(name, prior, statistics, centre, shared=shared)
        rows = statistics["rows"]
        excess = statistics["log_precision"] - statistics["count"]
        current = jnp.broadcast_to(self.df, rows.shape)
        if shared:
            rows, excess, current = rows.sum(), excess.sum(), current[0]
        a, b = (1.0, 0.0) if prior is None else (prior.concentration, prior.rate)
        one = jnp.ones_like(rows)
        return FreedomConditional(rows, excess, a * one, b * one, current)

    # ---- draws -------------------------------------------------------------------------------

    def draw_hidden(
        self, key: Array, prepared: Any, chosen: Array, *, missing: bool, centre: Array
    ) -> tuple[Any, bool]:
        """Complete rows, each with a draw of its precision."""
        precision_key, cells_key = random.split(key)
        place = chosen[None]
        each = prepared.concentration, prepared.rate
        concentration, rate = (jnp.take_along_axis(v, place, axis=0)[0] for v in each)
        tiny = jnp.finfo(rate.dtype).tiny
        precision = jnp.clip(random.gamma(precision_key, concentration, dtype=rate.dtype), tiny)
        precision = precision / rate
        rows = prepared.rows
        if missing:
            scale = self.scale_matrix[chosen] / precision[:, None, None]
            normal = FullGaussian(self.loc[chosen], scale, validate_args=False)
            drawn = normal.complete(cells_key, rows)
            rows = self.prepare(drawn, missing=False, centre=centre)
        return DrawnPrecisions(rows, precision), False

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing cells: a precision given the observed ones, then normals given both."""
        precision_key, cells_key = random.split(key)
        dimension = value.shape[-1]
        rows = value.reshape(-1, dimension)
        loc = jnp.broadcast_to(self.loc, value.shape).reshape(-1, dimension)
        each = jnp.broadcast_to(self.scale_matrix, (*value.shape, dimension))
        each = each.reshape(-1, dimension, dimension)
        squares, _, count = jax.vmap(row_distance)(rows, loc, each)
        df = jnp.broadcast_to(self.df, value.shape[:-1]).reshape(-1)
        drawn = random.gamma(precision_key, 0.5 * (df + count), dtype=squares.dtype)
        precision = jnp.clip(drawn, jnp.finfo(drawn.dtype).tiny) / (0.5 * (df + squares))
        normal = FullGaussian(loc, each / precision[:, None, None], validate_args=False)
        return normal.complete(cells_key, rows).reshape(value.shape)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        noise_key, precision_key = random.split(key)
        shape = self.shape(sample_shape)
        noise = random.normal(noise_key, shape, jnp.result_type(self.loc, float))
        factor = jnp.linalg.cholesky(self.scale_matrix)
        half = jnp.broadcast_to(0.5 * self.df, shape[:-1])
        drawn = random.gamma(precision_key, half, dtype=noise.dtype)
        precision = jnp.clip(drawn, jnp.finfo(noise.dtype).tiny) / half
        width = jax.lax.rsqrt(precision)[..., None]
        return self.loc + width * matmul(factor, noise[..., None])[..., 0]

    @property
    def mean(self) -> Array:
        """The location; NaN where there is no mean."""
        mean = jnp.broadcast_to(self.loc, self.shape())
        return jnp.where(self.df[..., None] > 1, mean, jnp.nan)

    @property
    def variance(self) -> Array:
        """Of every feature; infinite, or NaN, where there is none."""
        diagonal = jnp.diagonal(self.scale_matrix, axis1=-2, axis2=-1)
        df = self.df[..., None]
        factor = jnp.where(df > 2, df / jnp.where(df > 2, df - 2, 1), jnp.inf)
        return jnp.broadcast_to(jnp.where(df > 1, factor, jnp.nan) * diagonal, self.shape())


def _log_density(df: Array, squares: Array, half_log_determinant: Array, count: Array) -> Array:
    """Log-density from the squared distance and the number of observed cells."""
    constant = gammaln(0.5 * (df + count)) - gammaln(0.5 * df) - 0.5 * count * jnp.log(df * jnp.pi)
    return constant - half_log_determinant - 0.5 * (df + count) * jnp.log1p(squares / df)
