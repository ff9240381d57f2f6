"""Factorised families of a location and a scale, also where locations lie very far apart.

In single precision squares about one centre cancel there (``cancellation.py``); rows are then taken
about every component's own location.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.factorised import FactorisedFamily
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.exponential.squares.cancellation import apart
from ppl_models.distributions.exponential.stacked import FEW


class Located(FactorisedFamily):
    """Rows ``x`` with the statistics ``x`` and ``x²`` about a point, and a ``loc`` and a scale."""

    def _parameters(self) -> tuple[Array, Array]:
        """Location and scale as ``(component, feature)``."""
        raise NotImplementedError

    def _squares_of_rows(self, x: Array, missing: bool) -> Array:
        """The statistic of squares, of rows ``(feature, row)``."""
        return x**2

    def apart(self, centre: Array) -> Array | None:
        """Whether squares about the centre cancel, see ``cancellation.apart``."""
        return apart(self.shifts(centre) / self._parameters()[1])

    def shifts(self, centre: Array) -> Array:
        """Locations ``(component, feature)`` relative to the centre."""
        return self._parameters()[0] - jnp.atleast_1d(centre)

    def moved(self, prepared: Array, shift: Array, *, missing: bool) -> Array:
        """Prepared rows ``(statistic, row)`` as they would be about ``centre + shift``."""
        features = len(shift)
        observed = prepared[-features:] if missing else prepared[-1:]
        x = observed * (prepared[:features] - shift[:, None])
        return jnp.concatenate([x, self._squares_of_rows(x, missing), observed])

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """By a product about the centre, or about each location where those lie far apart."""
        by_product, far = super().logits, self.apart(centre)
        if far is None:
            return by_product(prepared, missing=missing, centre=centre)
        shifts = self.shifts(centre)
        own = self.replace(loc=jnp.zeros_like(self.loc))
        coefficients = own.coefficients(missing=missing, centre=jnp.zeros_like(centre))
        if coefficients.size <= FEW:  # as quick as what is written out of it otherwise
            return _by_differences(prepared, shifts, coefficients, missing)

        def one(of: tuple[Array, Array]) -> Array:
            return matmul(of[1], self.moved(prepared, of[0], missing=missing))

        return lax.cond(
            far,
            lambda: lax.map(one, (shifts, coefficients)),
            lambda: by_product(prepared, missing=missing, centre=centre),
        )

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """``(statistic, component)``, and whether each is about its component's location."""
        by_product, far = super().chunk_statistics, self.apart(centre)
        if far is None:
            return by_product(weights, prepared, missing=missing, centre=centre)

        def one(of: tuple[Array, Array]) -> Array:
            return matmul(self.moved(prepared, of[0], missing=missing), of[1])

        sums = lax.cond(
            far,
            lambda: lax.map(one, (self.shifts(centre), weights)).T,
            lambda: by_product(weights, prepared, missing=missing, centre=centre),
        )
        return sums, far.astype(sums.dtype)

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """Each statistic by its name."""
        if not isinstance(added, tuple):
            return super().finalize(added, missing=missing, centre=centre)
        sums, far = added
        point = jnp.where(far > 0, self._parameters()[0], jnp.atleast_1d(centre))
        return super().finalize(sums, missing=missing, centre=centre) | {"about": point}


def _by_differences(prepared: Array, shifts: Array, coefficients: Array, missing: bool) -> Array:
    """Log-densities ``(component, row)``, written out feature by feature."""
    prepared = lax.optimization_barrier(prepared)  # as in ``StackedFamily.logits``
    features = shifts.shape[1]
    observed = prepared[-features:] if missing else prepared[-1:]
    squares = jnp.broadcast_to(coefficients[:, features : -len(observed)], shifts.shape)
    total: Any = 0.0
    for constant, seen in zip(coefficients[:, -len(observed) :].T, observed, strict=True):
        total = total + constant[:, None] * seen
    for d in range(features):
        square = (prepared[d] - shifts[:, d, None]) ** 2
        total = total + squares[:, d, None] * (observed[d if missing else 0] * square)
    return total


def about(statistics: Statistics, centre: Array) -> Array:
    """The points that statistics were taken about, which broadcast to ``(component, feature)``."""
    return statistics.get("about", jnp.atleast_1d(centre))
