"""Families whose sufficient statistics lie side by side, so that passes are two matrix products."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import matmul, sum_over_rows
from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics

#: Numbers of a product that is written out, to be fused with what is done with it.
FEW = 40


class StackedFamily(ExponentialFamily):
    """A family with few statistics a row, which are kept side by side: ``T(x)`` as it stands.

    Log-densities then are one product, of the natural parameters with the statistics of all rows,
    and the expected statistics another. Rows lie along the last axis, so that whatever is done to
    all of them runs along memory.
    """

    stacks_statistics = True

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """``T(x)`` as ``(statistic, row)``."""
        raise NotImplementedError

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Coefficients ``(component, statistic)`` of ``T(x)`` in the log-density."""
        raise NotImplementedError

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """The statistics by name from their sums ``(component, statistic)``."""
        raise NotImplementedError

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``."""
        coefficients = self.coefficients(missing=missing, centre=centre)
        if coefficients.size > FEW:
            return matmul(coefficients, prepared)
        prepared = lax.optimization_barrier(prepared)  # else it is made anew for every component
        products = map(operator.mul, coefficients.T[..., None], prepared)
        return functools.reduce(operator.add, products)

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Any:
        """``(statistic, component)``."""
        return sum_over_rows(prepared, weights)

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """Each statistic by its name."""
        return self.unstack(added.T, missing=missing)


def stack(*parts: Array) -> Array:
    """Rows' statistics ``(row, ...)`` side by side as ``(statistic, row)``."""
    return jnp.concatenate([p.reshape(p.shape[0], -1).T for p in parts])


def ones(value: Array, dtype: Any) -> Array:
    """A statistic that is one for every row."""
    return jnp.ones((value.shape[0], 1), dtype)
