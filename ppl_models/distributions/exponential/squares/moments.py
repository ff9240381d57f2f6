"""Second moments of rows under weights, whitened distances, and rows with missing cells.

The computations behind emissions with correlated features, ``gaussian_matrix.py``: on a CPU in
bands of a lower triangle, on a wide device in few large products.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import solve_triangular

from ppl_models import device
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul, sum_over_rows
from ppl_models.distributions.exponential.gaussian import LOG_TWO_PI

BAND = 4  #: fewest features whose products are taken together
WIDE_BAND = 16  #: the same on a wide device, where few large products are faster
SMALL = 4  #: features up to which a factor a row is written out
BANDS = 8  #: most bands: each is a product of its own to compile


def inverse_factor(covariance: Array) -> tuple[Array, Array]:
    """``L^-1`` of ``covariance = L L'`` and ``log |L|``."""
    factor = jnp.linalg.cholesky(covariance)
    identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    inverse = solve_triangular(factor, identity, lower=True)
    return inverse, jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)


def row_bands(dimension: int) -> list[tuple[int, int]]:
    """Bands of rows that a lower triangle is computed in, so that little above it is."""
    fewest = WIDE_BAND if device.is_wide() else BAND
    edges = [*range(0, dimension, max(fewest, -(-dimension // BANDS))), dimension]
    return list(itertools.pairwise(edges))


def whitened_squares(inverse: Array, shift: Array, x: Array) -> Array:
    """``|L^-1 x - shift|²`` of every component and row, ``(component, row)``.

    Args:
        inverse: lower triangular ``(component, feature, feature)``.
        shift: ``(component, feature)``.
        x: ``(feature, row)``.
    """
    total: Any = 0.0
    for first, last in row_bands(x.shape[0]):
        band = matmul(inverse[:, first:last, :last].reshape(-1, last), x[:last])
        band = band.reshape(inverse.shape[0], last - first, -1) - shift[:, first:last, None]
        total = total + (band**2).sum(1)
    return total


def by_pairs(components: int, features: int) -> bool:
    """Whether second moments are sums of the products of all pairs of features."""
    return device.is_wide() and features + 1 <= 2 * components


def second_moments(weights: Array, x: Array) -> Array | tuple[Array, ...]:
    """``sum_n w x x'`` in bands, ``(feature, component, row of the band)``.

    On a wide device of many components as ``(pair of features, component)``: the pairs' products
    are fewer numbers then than weighted rows, and memory is what takes time.

    Args:
        weights: ``(component, row)``.
        x: ``(feature, row)``.
    """
    count, bands = len(weights), []
    if by_pairs(count, len(x)):
        one, other = np.tril_indices(len(x))
        return sum_over_rows(x[one] * x[other], weights)
    for first, last in row_bands(len(x)):
        weighted = (weights[:, None] * x[None, first:last]).reshape(-1, x.shape[1])
        bands.append(sum_over_rows(x[:last], weighted).reshape(last, count, last - first))
    return tuple(bands)


def moments_about(weights: Array, x: Array, shift: Array) -> tuple[Array, Array]:
    """``sum_n w (x - shift)`` and ``sum_n w (x - shift)(x - shift)'`` of one component.

    Args:
        weights: ``(row,)``.
        x: ``(feature, row)``.
        shift: ``(feature,)``.
    """
    x = x - shift[:, None]
    return matmul(x, weights), sum_over_rows(weights * x, x)


def in_bands(second: Array) -> Array | tuple[Array, ...]:
    """Matrices ``(component, feature, feature)`` as :func:`second_moments` gives them."""
    count, dimension, _ = second.shape
    if by_pairs(count, dimension):
        one, other = np.tril_indices(dimension)
        return second[:, one, other].T
    bands = row_bands(dimension)
    return tuple(jnp.swapaxes(second[:, :last, first:last], 0, 1) for first, last in bands)


def from_pairs(pairs: Array, dimension: int) -> Array:
    """The symmetric matrices of which these are the lower triangles."""
    place = np.zeros((dimension, dimension), int)
    place[np.tril_indices(dimension)] = np.arange(len(pairs))
    return pairs.T[:, np.maximum(place, place.T)]


def from_bands(bands: tuple[Array, ...]) -> Array:
    """The symmetric matrices of which these are bands, ``(component, feature, feature)``."""
    dimension = len(bands[-1])
    wide = [jnp.pad(b, ((0, dimension - len(b)), (0, 0), (0, 0))) for b in bands]
    lower = jnp.tril(jnp.moveaxis(jnp.concatenate(wide, -1), 0, -1))
    return lower + jnp.swapaxes(jnp.tril(lower, -1), -1, -2)


def observed_part(value: Array, loc: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Residual and covariance of one row in which missing cells are replaced by standard normals.

    The Gaussian of the observed cells then is the whole one less those cells' own densities.
    """
    seen = ~missing_cells(value)
    both = seen[:, None] & seen[None, :]
    residual = jnp.where(seen, value - loc, 0)
    return residual, jnp.where(both, covariance, jnp.eye(value.shape[0])), seen


def row_log_density(value: Array, loc: Array, covariance: Array) -> Array:
    """Marginal log-density of the observed cells of one row."""
    squares, log_determinant, count = row_distance(value, loc, covariance)
    return -0.5 * squares - log_determinant - 0.5 * LOG_TWO_PI * count


def row_distance(value: Array, loc: Array, covariance: Array) -> tuple[Array, Array, Array]:
    """Squared distance of one row's observed cells, half their log-determinant, their number."""
    residual, reduced, seen = observed_part(value, loc, covariance)
    if len(value) <= SMALL:
        return *_small_distance(residual, reduced), seen.sum()
    inverse, log_determinant = inverse_factor(reduced)
    return (matmul(inverse, residual) ** 2).sum(), log_determinant, seen.sum()


def _small_distance(residual: Array, covariance: Array) -> tuple[Array, Array]:
    """``|L^-1 x|²`` and ``log |L|``, written out: many small factors at once run along the rows.

    Of 500,000 matrices of two rows a library's factors took ten times as long, one by one.
    """
    covariance = 0.5 * (covariance + covariance.T)  # (so that both halves have their slope)
    factor: dict[tuple[int, int], Array] = {}
    squares, log_determinant = jnp.zeros((), residual.dtype), jnp.zeros((), residual.dtype)
    white: list[Array] = []
    for i in range(len(residual)):
        for j in range(i + 1):
            left = covariance[i, j] - sum(factor[i, m] * factor[j, m] for m in range(j))
            factor[i, j] = jnp.sqrt(left) if i == j else left / factor[j, j]
        rest = residual[i] - sum(factor[i, m] * white[m] for m in range(i))
        white.append(rest / factor[i, i])
        squares = squares + white[i] ** 2
        log_determinant = log_determinant + jnp.log(factor[i, i])
    return squares, log_determinant


def row_conditional(value: Array, loc: Array, covariance: Array) -> tuple[Array, Array]:
    """Mean and covariance of one row given its observed cells (as they are, with variance 0)."""
    residual, reduced, seen = observed_part(value, loc, covariance)
    cross = jnp.where(seen[None, :] & ~seen[:, None], covariance, 0)
    gain = jnp.linalg.solve(reduced, cross.T).T
    mean = jnp.where(seen, value, loc + matmul(gain, residual))
    absent = ~seen[:, None] & ~seen[None, :]
    return mean, jnp.where(absent, covariance - matmul(gain, cross.T), 0)
