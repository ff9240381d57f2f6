"""Rows of factor analysers one by one: densities, and draws of scores, of gaps and of rows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, random

from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.factors.scores import (
    DrawnFactors,
    factor_scores,
    over_components,
)
from ppl_models.distributions.gap_branches import by_gaps


class RowDraws:
    """Densities and draws of a family with ``loc``, ``loadings`` and noise ``_noise``."""

    loc: Array
    loadings: Array
    batch_shape: tuple[int, ...]
    shape: Any  #: NumPyro's, of draws

    @property
    def _noise(self) -> Array:
        """Standard deviations of the noise ``(..., feature)``."""
        raise NotImplementedError

    def _by_row(self, value: Array) -> tuple[tuple[int, ...], Array, Array, Array, Array]:
        """Shape of rows and parameters, and each of them row by row."""
        shape = jnp.broadcast_shapes(value.shape[:-1], self.batch_shape)
        features, factors = self.loadings.shape[-2:]
        rows = jnp.broadcast_to(value, (*shape, features)).reshape(-1, features)
        loc = jnp.broadcast_to(self.loc, (*shape, features)).reshape(-1, features)
        loadings = jnp.broadcast_to(self.loadings, (*shape, features, factors))
        noise = jnp.broadcast_to(self._noise, (*shape, features)).reshape(-1, features)
        return shape, rows, loc, loadings.reshape(-1, features, factors), noise

    def pointwise(self, value: Array) -> Array:
        """Log-density row by row; of rows that differ in their locations alone, by products."""
        batch = self.batch_shape
        axes = (self.loadings.shape[:-2], self._noise.shape[:-1])
        if batch and batch[-1] > 1 and all(a[-1:] in ((), (1,)) for a in axes):
            return self._about_own_locations(value)
        shape, *by_row = self._by_row(value)

        def row(x: Array, *parameters: Array) -> Array:
            return factor_scores(x[:, None], *parameters, missing=True)[0][0]

        return jax.vmap(row)(*by_row).reshape(shape)

    def _about_own_locations(self, value: Array) -> Array:
        """Of rows whose loadings and noise are those of their component: residuals about 0."""
        features, factors = self.loadings.shape[-2:]
        residual = value - self.loc
        shape = jnp.broadcast_shapes(residual.shape[:-1], self.batch_shape)
        residual = jnp.broadcast_to(residual, (*shape, features))
        outer = (*shape[:-1], 1)
        residual = jnp.swapaxes(residual.reshape(-1, shape[-1], features), -1, -2)
        loadings = jnp.broadcast_to(self.loadings, (*outer, features, factors))
        noise = jnp.broadcast_to(self._noise, (*outer, features)).reshape(-1, features)
        of_components = residual, loadings.reshape(-1, features, factors), noise

        def densities(missing: bool) -> Array:
            def component(of: tuple[Array, Array, Array]) -> Array:
                x, loadings, noise = of
                loc = jnp.zeros(features, x.dtype)
                return factor_scores(x, loc, loadings, noise, missing=missing)[0]

            return over_components(component, of_components, residual.size)

        if not isinstance(value, jax.core.Tracer):
            return densities(has_missing(value)).reshape(shape)
        return by_gaps(missing_cells(value).any(), densities).reshape(shape)

    def draw_hidden(
        self, key: Array, prepared: Any, chosen: Array, *, missing: bool, centre: Array
    ) -> tuple[Any, bool]:
        """Rows, each with a draw of its scores; gaps stay, for they drop out given these."""
        place = chosen[None, None]
        mean = jnp.take_along_axis(prepared.mean, place, axis=0)[0]
        if missing:
            covariance = jnp.take_along_axis(prepared.covariance, chosen[None, :, None, None], 0)[0]
            factor = jnp.linalg.cholesky(covariance)
        else:
            factor = jnp.linalg.cholesky(prepared.covariance)[chosen]
        noise = random.normal(key, (len(chosen), len(mean)), mean.dtype)
        scores = mean + matmul(factor, noise[..., None])[..., 0].T
        return DrawnFactors(prepared.rows, scores), missing

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing cells: scores given the observed ones, then noise."""
        scores_key, noise_key = random.split(key)
        shape, *by_row = self._by_row(value)

        def scores_of(x: Array, *parameters: Array) -> tuple[Array, Array]:
            _, mean, covariance = factor_scores(x[:, None], *parameters, missing=True)
            return mean[:, 0], covariance[0]

        mean, covariance = jax.vmap(scores_of)(*by_row)
        rows, loc, loadings, noise = by_row
        drawn = random.normal(scores_key, mean.shape, mean.dtype)
        scores = mean + matmul(jnp.linalg.cholesky(covariance), drawn[..., None])[..., 0]
        filled = loc + matmul(loadings, scores[..., None])[..., 0]
        filled = filled + noise * random.normal(noise_key, rows.shape, mean.dtype)
        return jnp.where(missing_cells(rows), filled, rows).reshape(*shape, -1)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)``."""
        scores_key, noise_key = random.split(key)
        shape = self.shape(sample_shape)
        dtype = jnp.result_type(self.loc, float)
        scores = random.normal(scores_key, (*shape[:-1], self.loadings.shape[-1], 1), dtype)
        noise = random.normal(noise_key, shape, dtype)
        return self.loc + matmul(self.loadings, scores)[..., 0] + self._noise * noise

    @property
    def mean(self) -> Array:
        """The location."""
        return jnp.broadcast_to(self.loc, self.shape())

    @property
    def variance(self) -> Array:
        """The diagonal of the covariance."""
        return jnp.broadcast_to((self.loadings**2).sum(-1) + self._noise**2, self.shape())
