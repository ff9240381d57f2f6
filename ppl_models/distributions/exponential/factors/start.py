"""Where factor analysers start: the principal axes of the rows of a partition."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax, random

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import matmul

ROUNDS = 4  #: of the subspace iteration
LEAST_NOISE = 0.1  #: fraction of a feature's variance that is left to the noise


def principal_factors(
    weights: Array, value: Array, *, factors: int, centre: Array
) -> tuple[Array, Array, Array]:
    """Locations, loadings and standard deviations of the noise from the rows of each component.

    Principal components of the standardised rows by subspace iteration, so that no covariance of
    the features is needed: Tipping and Bishop (1999), Probabilistic principal component analysis.
    Missing cells count as the mean.

    Args:
        weights: ``(component, row)``.
        value: ``(row, feature)``.
        factors: number of factors.
        centre: a point amid the rows.
    """
    x = value - centre
    seen = ~missing_cells(x)
    x, shown = jnp.where(seen, x, 0), seen.astype(x.dtype)
    first = random.normal(random.key(0), (x.shape[1], factors), x.dtype)

    def component(weight: Array) -> tuple[Array, Array, Array]:
        count = matmul(weight, shown)
        count = jnp.where(count > 0, count, 1)
        mean = matmul(weight, x) / count
        root = shown * (x - mean) * jnp.sqrt(weight)[:, None]
        variance = (root**2).sum(0) / count
        variance = jnp.where(variance > 0, variance, 1)
        unit = root / jnp.sqrt(variance * count.max())

        def turn(_: int, axes: Array) -> Array:
            return jnp.linalg.qr(matmul(unit.T, matmul(unit, axes)))[0]

        axes = lax.fori_loop(0, ROUNDS, turn, jnp.linalg.qr(first)[0])
        lengths = (matmul(unit, axes) ** 2).sum(0)
        rest = (variance.size - lengths.sum()) / max(1, variance.size - axes.shape[1])
        loadings = axes * jnp.sqrt(jnp.maximum(lengths - jnp.maximum(rest, 0), 1e-2))
        noise = jnp.sqrt(jnp.maximum(1 - (loadings**2).sum(1), LEAST_NOISE))
        deviation = jnp.sqrt(variance)
        return mean + centre, loadings * deviation[:, None], noise * deviation

    return lax.map(component, weights)
