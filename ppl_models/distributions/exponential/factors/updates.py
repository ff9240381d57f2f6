"""Conditionals of a factor analyser's parameters given the scores: every feature is a regression.

Ghahramani and Hinton (1996), The EM algorithm for mixtures of factor analyzers.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl_models.distributions.conditionals import (
    MultivariateNormalConditional,
    NormalConditional,
)
from ppl_models.distributions.exponential.factors.scores import loading_products
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.exponential.gaussian import FLOOR


def unexplained_squares(loc: Array, loadings: Array, statistics: Statistics) -> Array:
    """Expected squares of what factors leave unexplained, ``(component, feature)``.

    Args:
        loc: ``(component, feature)``.
        loadings: ``(component, feature, factor)``.
        statistics: see ``score_sums``.
    """
    s = statistics
    shift = loc - s["about"]
    along = (loadings * (s["cross"] - shift[..., None] * s["factors"])).sum(-1)
    quadratic = (loading_products(s["outer"], loadings) * loadings).sum(-1)
    squares = s["square"] - 2 * shift * s["first"] + s["count"] * shift**2
    return jnp.maximum(squares - 2 * along + quadratic, 0)


def loc_conditional(
    loc: Array,
    loadings: Array,
    noise: Array,
    prior: Any | None,
    statistics: Statistics,
    *,
    shared: bool,
) -> NormalConditional:
    """The normal posterior of the locations given loadings, noise and scores."""
    s = statistics
    noise = jnp.broadcast_to(noise, s["about"].shape)
    precision = s["count"] / noise**2
    along = (loadings * s["factors"]).sum(-1)
    linear = (s["first"] - along) / noise**2 + precision * s["about"]
    if shared:
        precision, linear = precision.sum(0), linear.sum(0)
    if prior is not None:
        precision = precision + prior.scale**-2
        linear = linear + prior.loc * prior.scale**-2
    return NormalConditional(linear / jnp.where(precision > 0, precision, jnp.nan), precision)


def loadings_conditional(
    loc: Array,
    loadings: Array,
    noise: Array,
    prior: Any | None,
    statistics: Statistics,
    *,
    shared: bool,
) -> MultivariateNormalConditional:
    """The normal posterior of every feature's loadings given locations, noise and scores."""
    s = statistics
    shift = loc - s["about"]
    inverse = (jnp.broadcast_to(noise, s["about"].shape) ** -2)[..., None]
    linear = inverse * (s["cross"] - shift[..., None] * s["factors"])
    precision = inverse[..., None] * s["outer"]
    if shared:
        precision, linear = precision.sum(0), linear.sum(0)
    if prior is not None:
        each = jnp.broadcast_to(prior.scale**-2, linear.shape)
        precision = precision + each[..., None] * jnp.eye(linear.shape[-1], dtype=linear.dtype)
        linear = linear + prior.loc * each
    precision = jnp.broadcast_to(precision, (*linear.shape, linear.shape[-1]))
    return MultivariateNormalConditional(linear, precision, jnp.zeros_like(linear))


def noise_sums(
    squares: Array,
    prior: Any | None,
    statistics: Statistics,
    centre: Array,
    *,
    one_size: bool,
    shared: bool,
) -> tuple[Array, Array]:
    """How many residuals there are of every variance of the noise, and their squares summed.

    Args:
        squares: :func:`unexplained_squares`.
        prior: of the noise (None: flat).
        statistics: see ``score_sums``.
        centre: the shift under which they were taken.
        one_size: whether the noise of all features has one size.
        shared: whether all components have the same noise.
    """
    count = jnp.broadcast_to(statistics["count"], squares.shape)
    if prior is None:  # no prior keeps the noise off zero, so a floor must
        squares = jnp.maximum(squares, count * FLOOR**2 * _pooled(statistics, count, centre))
    if one_size:
        squares, count = squares.sum(-1), count.sum(-1)
    if shared:
        squares, count = squares.sum(0), count.sum(0)
    return count, squares


def _pooled(statistics: Statistics, count: Array, centre: Array) -> Array:
    """Variances of all rows together, ``(feature,)``."""
    shift = statistics["about"] - centre
    first = (statistics["first"] + count * shift).sum(0)
    second = (statistics["square"] + 2 * shift * statistics["first"] + count * shift**2).sum(0)
    total = jnp.clip(count.sum(0), 1)
    return jnp.clip(second / total - (first / total) ** 2, 0)
