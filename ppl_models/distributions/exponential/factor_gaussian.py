"""Rows of many correlated numbers that few hidden factors explain.

A row is x | f ~ Normal(μ + Λ f, diag(σ²)) with factor scores f ~ Normal(0, I) that it hides, so
that its covariance Λ Λ' + diag(σ²) has few parameters. Given the scores every feature is a
regression on them, a missing cell drops out, and EM and Gibbs sampling have closed forms:
Ghahramani and Hinton (1996), The EM algorithm for mixtures of factor analyzers. Nothing is ever as
large as a covariance of the features: Woodbury's identity leaves matrices as large as the factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, lax
from numpyro.distributions import constraints

from ppl_models.distributions.conditionals import (
    InverseGammaScaleConditional,
)
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import means_in_words
from ppl_models.distributions.exponential.factorised import location_centre
from ppl_models.distributions.exponential.factors.draws import RowDraws
from ppl_models.distributions.exponential.factors.expansion import expanded
from ppl_models.distributions.exponential.factors.scores import (
    DrawnFactors,
    HiddenFactors,
    factor_scores,
    lower_triangular,
    over_components,
    score_sums,
)
from ppl_models.distributions.exponential.factors.start import principal_factors
from ppl_models.distributions.exponential.factors.updates import (
    loadings_conditional,
    loc_conditional,
    noise_sums,
    unexplained_squares,
)
from ppl_models.distributions.exponential.family import (
    ExponentialFamily,
    Statistics,
    broadcast_batch,
    real,
)
from ppl_models.distributions.exponential.gaussian import FLOOR, LOG_TWO_PI
from ppl_models.distributions.priors.scales_and_blocks import InverseGammaScale


class LowRankGaussian(RowDraws, ExponentialFamily):
    """Base of the families with isotropic and with diagonal noise."""

    equivalent_parameters = ("loadings",)
    expanded_parameters = ("loc", "loadings")
    draws_hidden, factorises, draws_missing = True, False, False  # type: ignore[assignment]
    parameter_axes = {"loc": ("feature",), "loadings": ("feature", "factor"), "scale": ("feature",)}
    component_picture = "ellipses"
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "loadings": (dist.Normal,),
        "scale": (InverseGammaScale,),
    }
    support = constraints.real_vector
    noise_parameter = "scale"  #: which parameter is the size of the noise

    def __init__(self, loc: Any, loadings: Any, scale: Any, *, validate_args: bool | None = None):
        self.loc, self.loadings, self.scale = real(loc), real(loadings), real(scale)
        dims = self.parameter_dims["scale"]
        batch = broadcast_batch((self.loc, 1), (self.loadings, 2), (self.scale, dims))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)

    @property
    def _noise(self) -> Array:
        """Standard deviations of the noise ``(..., feature)``."""
        raise NotImplementedError

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Locations and covariances ``Λ Λ' + diag(σ²)``."""
        loc, loadings = np.asarray(parameters["loc"]), np.asarray(parameters["loadings"])
        scale = np.asarray(parameters["scale"])
        if cls.parameter_dims["scale"] == 0:
            scale = scale[..., None]
        noise = np.broadcast_to(scale**2, loc.shape)[..., None] * np.eye(loc.shape[-1])
        return loc, loadings @ np.swapaxes(loadings, -1, -2) + noise

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """Mean and standard deviation of every feature, and the share that factors explain."""
        mean, covariance = cls.component_moments({n: v[component] for n, v in parameters.items()})
        assert covariance is not None
        loadings = np.asarray(parameters["loadings"])[component]
        explained = (loadings**2).sum() / np.trace(covariance)
        words = means_in_words(mean, covariance, features)
        factors = loadings.shape[-1]
        who = "1 factor explains" if factors == 1 else f"{factors} factors explain"
        return f"{words}; {who} {explained:.0%} of the variance"

    # ---- densities ---------------------------------------------------------------------------

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Rows relative to the centre, ``(feature, row)``; gaps as they are."""
        return (value - centre).T

    def centre(self, value: Array) -> Array:
        """A point amid the data."""
        return location_centre(value)

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """A row, its residual under one component, and the scores of all."""
        features, factors = value.shape[1], self.loadings.shape[-1]
        scores = factors + 1 + (factors**2 if missing else 0)
        return 4 * features + math.prod(self.batch_shape) * scores

    def infer_latents(
        self,
        prepared: Array,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, HiddenFactors]:
        """Log-densities ``(component, row)``, and the posteriors of the factor scores."""

        def component(parameters: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            return factor_scores(prepared, *parameters, missing=missing)

        shape = (*self.batch_shape, *self.event_shape)
        noise = jnp.broadcast_to(self._noise, shape)
        by_component = jnp.broadcast_to(self.loc, shape) - centre, self._each(), noise
        numbers = prepared.size * shape[0]
        logits, mean, covariance = over_components(component, by_component, numbers)
        return logits, HiddenFactors(prepared, mean, covariance)

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``."""
        return self.infer_latents(prepared, missing=missing, centre=centre)[0]

    def _each(self) -> Array:
        """Loadings ``(component, feature, factor)``."""
        return jnp.broadcast_to(self.loadings, (*self.batch_shape, *self.loadings.shape[-2:]))

    def collapsed(self, deviation: Array) -> Array:
        """Whether a component is next to flat in some direction: ``(component,)``.

        Noise bounds all variances from below, so that directions are looked at only without it.
        """
        relative = self._noise / deviation
        small = (
            jnp.broadcast_to(relative, (*self.batch_shape, *self.event_shape)) < 2 * FLOOR
        ).any(-1)

        def flat() -> Array:
            root = self._each() / deviation[:, None]
            noise = jnp.broadcast_to(relative, root.shape[:-1])
            both = matmul(root, jnp.swapaxes(root, -1, -2))
            lengths = jnp.linalg.eigvalsh(both + noise[..., None] ** 2 * jnp.eye(noise.shape[-1]))
            rounding = 100 * float(jnp.finfo(lengths.dtype).eps) * lengths[..., -1]
            return ~(lengths[..., 0] > jnp.maximum((2 * FLOOR) ** 2, rounding))

        return small & lax.cond(small.any(), flat, lambda: small)

    # ---- statistics --------------------------------------------------------------------------

    def chunk_statistics(
        self, weights: Array, prepared: Any, *, missing: bool, centre: Array
    ) -> Any:
        """Sums about the locations, of rows and of products with their scores.

        ``count (component, 1)``, ``factors (component, 1, factor)`` and ``outer (component, 1,
        factor, factor)`` have a value for every feature where cells are missing; ``size
        (component,)``, ``score (component, factor)`` and ``moment (component, factor, factor)`` are
        of all rows, whatever is missing of them.
        """
        if isinstance(prepared, Array):  # no draw, and nothing found out before
            prepared = self.infer_latents(prepared, missing=missing, centre=centre)[1]
        count, rows = len(weights), prepared.rows
        factors = self.loadings.shape[-1]
        drawn = isinstance(prepared, DrawnFactors)
        if drawn:
            mean: Any = jnp.zeros((count, 0))  # the same scores for all components
            covariance: Any = jnp.zeros((count, factors, factors))
        else:
            mean, covariance = prepared.mean, prepared.covariance

        def component(of_component: tuple[Array, ...]) -> dict[str, Array]:
            weight, mu, scores, spread = of_component
            scores = prepared.scores if drawn else scores
            return score_sums(rows, weight, mu, scores, spread, missing=missing)

        shape = (*self.batch_shape, *self.event_shape)
        mu = jnp.broadcast_to(self.loc, shape) - centre
        by_component = weights, mu, mean, covariance
        return over_components(component, by_component, rows.size * count)

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """The sums, and ``about``, the locations that they were taken about."""
        shape = (*self.batch_shape, *self.event_shape)
        return dict(added) | {"about": jnp.broadcast_to(self.loc, shape)}

    def expected_statistics(
        self, weights: Array, value: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """Of rows whose components are given: their scores under :func:`.principal_factors`.

        A start provides a partition only, so that the factors are estimated from it first.
        """
        loc, loadings, noise = principal_factors(
            weights, value, factors=self.loadings.shape[-1], centre=centre
        )
        start = FactorGaussian(loc, loadings, noise, validate_args=False)
        prepared = start.prepare(value, missing=missing, centre=centre)
        return start.prepared_statistics(weights, prepared, missing=missing, centre=centre)

    def _residuals(self, statistics: Statistics) -> Array:
        """Expected squares of what factors leave unexplained, ``(component, feature)``."""
        return unexplained_squares(self.loc, self._each(), statistics)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """Of rows given their scores, ``(component,)``."""
        noise = self._noise
        constant = statistics["count"] * (0.5 * LOG_TWO_PI + jnp.log(noise))
        return -(0.5 * self._residuals(statistics) / noise**2 + constant).sum(-1)

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Normals for location and loadings, inverse-gamma for the noise, given the scores."""
        if parameter == self.noise_parameter:
            return self._noise_conditional(prior, statistics, centre, shared)
        update = loc_conditional if parameter == "loc" else loadings_conditional
        return update(self.loc, self._each(), self._noise, prior, statistics, shared=shared)

    def expanded(
        self,
        priors: Mapping[str, Any | None],
        statistics: Statistics,
        *,
        shared: Mapping[str, bool],
    ) -> dict[str, Array]:
        """Locations and loadings under which the scores have mean 0 and covariance I again."""
        loc = jnp.broadcast_to(self.loc, statistics["about"].shape)
        return expanded(loc, self._each(), statistics, priors, shared)

    def redundant(self, parameter: str, shape: tuple[int, ...]) -> int:
        """Angles of a rotation of the factors, of every component."""
        return math.prod(shape[:-2]) * shape[-1] * (shape[-1] - 1) // 2

    def canonical(self, parameter: str, value: Array, prior: Any | None) -> Array:
        """Loadings turned to be lower triangular, where the prior does not tell rotations apart.

        A rotation of the scores changes neither their distribution nor that of the rows.
        """
        if prior is None:
            return lower_triangular(value)
        if not isinstance(prior, dist.Normal):
            return value
        scale = jnp.broadcast_to(prior.scale, value.shape)
        alike = (scale == scale[..., :1]).all() & (prior.loc == 0).all()
        return jnp.where(alike, lower_triangular(value), value)

    def _noise_conditional(
        self, prior: Any, statistics: Statistics, centre: Array, shared: bool
    ) -> Any:
        """The inverse-gamma posterior of the noise's variances."""
        count, squares = noise_sums(
            self._residuals(statistics),
            prior,
            statistics,
            centre,
            one_size=self.parameter_dims[self.noise_parameter] == 0,
            shared=shared,
        )
        return self._noise_posterior(prior, 0.5 * count, 0.5 * squares)

    def _noise_posterior(self, prior: Any, count: Array, squares: Array) -> Any:
        """Of half the number of residuals, and half their squares."""
        a, b = (-0.5, 0.0) if prior is None else (prior.concentration, prior.rate)
        return InverseGammaScaleConditional(a + count, b + squares)


class FactorGaussian(LowRankGaussian):
    """Rows of correlated normals: few factors, and noise of each feature's own size.

    Ghahramani and Hinton (1996); of one component, factor analysis.

    Args:
        loc: ``batch + (feature,)``.
        loadings: Λ, ``batch + (feature, factor)``.
        scale: standard deviations of the noise, ``batch + (feature,)``.

    >>> loadings = jnp.ones((3, 1, 4, 2))
    >>> emission = FactorGaussian(jnp.zeros((3, 1, 4)), loadings, jnp.ones((3, 1, 4)))
    >>> emission.log_prob(jnp.zeros((5, 4))).shape
    (3, 5)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "loadings": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 1),
    }

    @property
    def _noise(self) -> Array:
        return self.scale


class IsotropicFactorGaussian(LowRankGaussian):
    """Rows of correlated normals: few factors, and noise of one size for all features.

    Tipping and Bishop (1999), Mixtures of probabilistic principal component analyzers.

    Args:
        loc: ``batch + (feature,)``.
        loadings: Λ, ``batch + (feature, factor)``.
        scale: standard deviation of the noise, ``batch``.

    >>> loadings = jnp.ones((3, 1, 4, 2))
    >>> emission = IsotropicFactorGaussian(jnp.zeros((3, 1, 4)), loadings, jnp.ones((3, 1)))
    >>> emission.log_prob(jnp.zeros((5, 4))).shape
    (3, 5)
    """

    parameter_axes = {"loc": ("feature",), "loadings": ("feature", "factor")}
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "loadings": constraints.independent(constraints.real, 2),
        "scale": constraints.positive,
    }

    @property
    def _noise(self) -> Array:
        return self.scale[..., None]
