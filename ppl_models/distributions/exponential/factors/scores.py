"""Scores of factors given rows, and the statistics that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models import memory
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul, sum_over_rows
from ppl_models.distributions.exponential.gaussian import LOG_TWO_PI
from ppl_models.distributions.exponential.squares.moments import inverse_factor


def over_components(function: Callable[[Any], Any], of_components: Any, numbers: int) -> Any:
    """A function of every component: side by side where that fits a cache, else in turn.

    Args:
        function: of one component.
        of_components: its arguments, with an axis of components in front.
        numbers: component x feature x row.
    """
    together = numbers <= memory.SMALL_DATA_NUMBERS
    return jax.vmap(function)(of_components) if together else lax.map(function, of_components)


class HiddenFactors(NamedTuple):
    """Rows, and the normal posteriors of their factor scores.

    ``mean (component, factor, row)``; ``covariance (component, factor, factor)``, or of rows with
    gaps ``(component, row, factor, factor)``.
    """

    rows: Array
    mean: Array
    covariance: Array


class DrawnFactors(NamedTuple):
    """Rows ``(feature, row)``, and a draw of the scores of each, ``(factor, row)``."""

    rows: Array
    scores: Array


def factor_scores(
    x: Array, loc: Array, loadings: Array, noise: Array, *, missing: bool
) -> tuple[Array, Array, Array]:
    """Log-densities of rows under one component, means and covariances of their scores.

    With the loadings Λ over the noise and residuals y over it, M = I + Λ'Λ is the precision of the
    scores and f = M⁻¹ Λ'y their mean. Woodbury's identity gives the squared distance as |y - Λ f|²
    + |f|², a sum in which nothing cancels, and the determinant as |M| Π σ².

    Args:
        x: ``(feature, row)``.
        loc: ``(feature,)``.
        loadings: ``(feature, factor)``.
        noise: ``(feature,)``.
        missing: whether cells are missing.
    """
    seen = ~missing_cells(x) if missing else None
    relative = loadings / noise[:, None]
    residual = x - loc[:, None]
    # (before it is divided: a slope by the noise would be a product of zero and of no number)
    y = (residual if seen is None else jnp.where(seen, residual, 0)) / noise[:, None]
    eye = jnp.eye(loadings.shape[1], dtype=y.dtype)
    b = matmul(relative.T, y)
    if seen is None:
        inverse, half = inverse_factor(eye + matmul(relative.T, relative))
        half = half + jnp.log(noise).sum()
        covariance = matmul(inverse.T, inverse)
        mean = matmul(covariance, b)
        count: Any = float(len(x))
    else:
        shown = seen.astype(y.dtype)
        pairs = (relative[:, :, None] * relative[:, None, :]).reshape(len(x), -1)
        products = matmul(shown.T, pairs).reshape(-1, *eye.shape)
        inverse, half = inverse_factor(eye + products)
        half = half + matmul(jnp.log(noise), shown)
        covariance = matmul(jnp.swapaxes(inverse, -1, -2), inverse)
        mean = matmul(covariance, b.T[..., None])[..., 0].T
        count = shown.sum(0)
    left = y - matmul(relative, mean)
    left = left if seen is None else left * shown
    squares = (left**2).sum(0) + (mean**2).sum(0)
    return -0.5 * (squares + count * LOG_TWO_PI) - half, mean, covariance


def score_sums(
    x: Array, weight: Array, loc: Array, scores: Array, covariance: Array, *, missing: bool
) -> dict[str, Array]:
    """Statistics of one component about its location, see ``chunk_statistics``."""
    residual = x - loc[:, None]
    residual = jnp.where(missing_cells(x), 0, residual) if missing else residual
    weighted = weight * residual
    factors = scores.shape[0]
    # a component without rows may be of no width, and its rows' scores no numbers
    scores = jnp.where(weight > 0, scores, 0)
    covariance = jnp.where((weight > 0).any(), covariance, 0)
    if missing:
        counted = weight * ~missing_cells(x)
        outer = scores[:, None] * scores[None]  # (factor, factor, row)
        spread = covariance if covariance.ndim == 3 else covariance[None]
        outer = outer + jnp.moveaxis(
            jnp.broadcast_to(spread, (len(weight), factors, factors)), 0, -1
        )
        products = sum_over_rows(counted, outer.reshape(factors**2, -1))
        products = products.reshape(-1, factors, factors)
        moment = (weight * outer).sum(-1)
    else:
        counted = weight[None]
        moment = sum_over_rows(weight * scores, scores) + weight.sum() * covariance
        products = moment[None]
    return {
        "count": counted.sum(-1),
        "first": weighted.sum(-1),
        "square": (weighted * residual).sum(-1),
        "cross": sum_over_rows(weighted, scores),
        "factors": sum_over_rows(counted, scores),
        "outer": products,
        "size": weight.sum(),
        "score": (weight * scores).sum(-1),
        "moment": moment,
    }


def loading_products(outer: Array, loadings: Array) -> Array:
    """Products ``(component, feature, factor)`` of loadings with second moments of scores."""
    if outer.shape[1] == 1:
        return matmul(loadings, outer[:, 0])
    return matmul(loadings[..., None, :], outer)[..., 0, :]


def lower_triangular(loadings: Array) -> Array:
    """Loadings ``(..., feature, factor)`` turned so that their first rows are lower triangular.

    With positive numbers on the diagonal.

    >>> turned = lower_triangular(jnp.array([[0.0, 2.0], [3.0, 1.0], [1.0, 1.0]]))
    >>> (turned + 0.0).round(6).tolist()
    [[2.0, 0.0], [1.0, 3.0], [1.0, 1.0]]
    """
    factors = loadings.shape[-1]
    top = jnp.swapaxes(loadings[..., :factors, :], -1, -2)
    finite = jnp.isfinite(loadings).all((-1, -2), keepdims=True)
    axes, triangle = jnp.linalg.qr(jnp.where(finite, top, jnp.eye(factors, dtype=top.dtype)))
    sign = jnp.where(jnp.diagonal(triangle, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    turned = matmul(loadings, axes * sign[..., None, :].astype(axes.dtype))
    above = jnp.triu(jnp.ones(loadings.shape[-2:], bool), 1)
    return jnp.where(above, jnp.where(finite, 0, turned), turned)
