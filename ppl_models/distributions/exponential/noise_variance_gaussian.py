"""Rows of correlated normals as NumPyro's ``LowRankMultivariateNormal`` states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from numpyro.distributions import Distribution, constraints

from ppl_models.distributions.conditionals import InverseGammaConditional
from ppl_models.distributions.exponential.factor_gaussian import FactorGaussian, LowRankGaussian
from ppl_models.distributions.exponential.family import broadcast_batch, real


class NoiseVarianceGaussian(LowRankGaussian):
    """Rows of correlated normals: few factors, and a variance of each feature's own noise.

    The family of ``LowRankMultivariateNormal(loc, cov_factor, cov_diag)``, of covariance
    ``Λ Λ' + diag(ψ)``. NumPyro solves triangles for every row under every component; here are
    products of matrices over all rows. An inverse-gamma prior of the variances is conjugate.

    Ghahramani and Hinton (1996), The EM algorithm for mixtures of factor analyzers.

    Args:
        loc: ``batch + (feature,)``.
        loadings: Λ, ``batch + (feature, factor)``.
        noise_variance: ψ, ``batch + (feature,)``.

    >>> loadings = jnp.ones((3, 1, 4, 2))
    >>> emission = NoiseVarianceGaussian(jnp.zeros((3, 1, 4)), loadings, jnp.ones((3, 1, 4)))
    >>> emission.log_prob(jnp.zeros((5, 4))).shape
    (3, 5)
    """

    numpyro_classes = ((dist.LowRankMultivariateNormal, 0),)
    noise_parameter = "noise_variance"
    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real_vector,
        "loadings": constraints.independent(constraints.real, 2),
        "noise_variance": constraints.independent(constraints.positive, 1),
    }
    parameter_axes = {
        "loc": ("feature",),
        "loadings": ("feature", "factor"),
        "noise_variance": ("feature",),
    }
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "loc": (dist.Normal,),
        "loadings": (dist.Normal,),
        "noise_variance": (dist.InverseGamma,),
    }

    def __init__(
        self, loc: Any, loadings: Any, noise_variance: Any, *, validate_args: bool | None = None
    ):
        self.loc, self.loadings = real(loc), real(loadings)
        self.noise_variance = real(noise_variance)
        batch = broadcast_batch((self.loc, 1), (self.loadings, 2), (self.noise_variance, 1))
        # (the base's constructor takes standard deviations)
        Distribution.__init__(self, batch, self.loc.shape[-1:], validate_args=validate_args)

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> NoiseVarianceGaussian:
        """``loc``, ``cov_factor`` and ``cov_diag``."""
        return cls(distribution.loc, distribution.cov_factor, distribution.cov_diag)

    @property
    def _noise(self) -> Array:
        return jnp.sqrt(self.noise_variance)

    @classmethod
    def component_moments(
        cls, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Locations and covariances ``Λ Λ' + diag(ψ)``."""
        deviations = {"scale": np.sqrt(np.asarray(parameters["noise_variance"]))}
        return FactorGaussian.component_moments({**parameters, **deviations})

    def _noise_posterior(self, prior: Any, count: Array, squares: Array) -> Any:
        a, b = (-1.0, 0.0) if prior is None else (prior.concentration, prior.rate)
        return InverseGammaConditional(a + count, b + squares)
