"""Gaussian emissions whose components have a covariance each."""

from __future__ import annotations

from typing import Any, ClassVar

import numpyro.distributions as dist
from jax import Array
from numpyro.distributions import constraints

from ppl_models.distributions.contraction import einsum, matmul
from ppl_models.distributions.exponential.family import (
    Statistics,
)
from ppl_models.distributions.exponential.gaussian import LOG_TWO_PI
from ppl_models.distributions.exponential.gaussian_matrix import MatrixGaussian
from ppl_models.distributions.exponential.gaussian_tied import TiedGaussian
from ppl_models.distributions.exponential.squares.moments import (
    from_bands,
    from_pairs,
    in_bands,
    inverse_factor,
    second_moments,
    whitened_squares,
)


class SeparateGaussian(MatrixGaussian):
    """Base of the families with a covariance for every component."""

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``: one whitening product a component."""
        if missing:
            return self._contract_missing(prepared, self.covariance)
        squares, log_determinant = self._whitened(prepared, centre)
        dimension = prepared.shape[0]
        return -0.5 * (squares + dimension * LOG_TWO_PI) - log_determinant[:, None]

    def _whitened(self, prepared: Array, centre: Array) -> tuple[Array, Array]:
        """Squared distances ``(component, row)`` of complete rows, half the log-determinants."""
        inverse, log_determinant = inverse_factor(self.covariance)
        shift = matmul(inverse, (self.loc - centre)[..., None])[..., 0]
        return whitened_squares(inverse, shift, prepared), log_determinant

    def _second_moments(self, weights: Array, x: Array) -> Any:
        return second_moments(weights, x)

    def _stored(self, second: Array) -> Any:
        return in_bands(second)

    def finalize(self, added: Any, *, missing: bool, centre: Array) -> Statistics:
        """``count``, ``first`` and ``second (k, d, d)``."""
        added = dict(added)
        second, far = added["second"], added.pop("far", None)
        if isinstance(second, tuple):
            second = from_bands(second)
        elif not missing:
            second = from_pairs(second, self.loc.shape[-1])
        return self._with_points(added | {"second": second}, far, centre)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        inverse, log_determinant = inverse_factor(self.covariance)
        scatter = self._scatter(statistics, centre)
        squares = einsum("kij,kjl,kil->k", inverse, scatter, inverse)
        constant = log_determinant + 0.5 * self.loc.shape[-1] * LOG_TWO_PI
        return -0.5 * squares - statistics["count"] * constant


class FullGaussian(SeparateGaussian):
    """Rows of correlated normals, a covariance for every component.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.3.

    Args:
        loc: ``batch + (feature,)``.
        covariance: positive definite, ``batch + (feature, feature)``.

    >>> import jax.numpy as jnp
    >>> emission = FullGaussian(jnp.zeros((3, 1, 2)), jnp.eye(2) * jnp.ones((3, 1, 1, 1)))
    >>> emission.log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    numpyro_classes = ((dist.MultivariateNormal, 0),)
    any_normal = True
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "covariance": constraints.positive_definite,
    }
    plug_in_parameters = ("loc", "covariance")

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> MatrixGaussian:
        """Tied where all components have one covariance, by its shape."""
        covariance = distribution.covariance_matrix
        while covariance.ndim > 2 and covariance.shape[0] == 1:
            covariance = covariance[0]
        tied = covariance.ndim == 2
        return (TiedGaussian if tied else FullGaussian)(distribution.loc, covariance)
