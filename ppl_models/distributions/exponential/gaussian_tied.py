"""Gaussian emissions with one covariance for all components."""

from __future__ import annotations

from typing import Any, ClassVar

from jax import Array, lax
from numpyro.distributions import constraints

from ppl_models.distributions.contraction import einsum, matmul, sum_over_rows
from ppl_models.distributions.exponential.family import (
    Statistics,
)
from ppl_models.distributions.exponential.gaussian import LOG_TWO_PI
from ppl_models.distributions.exponential.gaussian_matrix import MatrixGaussian
from ppl_models.distributions.exponential.squares.cancellation import apart
from ppl_models.distributions.exponential.squares.moments import (
    inverse_factor,
)


class TiedGaussian(MatrixGaussian):
    """Rows of correlated normals, one covariance for all components.

    Fraley and Raftery (2002), Model-based clustering (EEE of mclust).

    Args:
        loc: ``batch + (feature,)``.
        covariance: positive definite, ``(feature, feature)``.

    >>> import jax.numpy as jnp
    >>> TiedGaussian(jnp.zeros((3, 1, 2)), jnp.eye(2)).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    shared_parameters = ("covariance",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "covariance": constraints.positive_definite,
    }
    plug_in_parameters = ("loc", "covariance")

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``: whiten once, then as a unit sphere."""
        if missing:
            return self._contract_missing(prepared, self._each())
        inverse, log_determinant = inverse_factor(self.covariance)
        x, mu = matmul(inverse, prepared), matmul(self.loc - centre, inverse.T)
        constant = 0.5 * mu.shape[-1] * LOG_TWO_PI + log_determinant

        def about_centre() -> Array:
            return matmul(mu, x) - 0.5 * ((x**2).sum(0) + (mu**2).sum(-1)[:, None]) - constant

        def about_locations() -> Array:
            return lax.map(lambda m: -0.5 * ((x - m[:, None]) ** 2).sum(0) - constant, mu)

        far = apart(mu)
        return about_centre() if far is None else lax.cond(far, about_locations, about_centre)

    def _second_moments(self, weights: Array, x: Array) -> Array:
        return sum_over_rows(x * weights.sum(0), x)

    def _pooled(self, second: Array) -> Array:
        return second.sum(0)

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
        inverse, log_determinant = inverse_factor(self.covariance)
        scatter = self._scatter(statistics, centre)
        squares = einsum("ij,jl,il->", inverse, scatter, inverse)
        constant = log_determinant + 0.5 * self.loc.shape[-1] * LOG_TWO_PI
        count = statistics["count"]
        return -0.5 * squares / count.shape[0] - count * constant
