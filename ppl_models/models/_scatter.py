"""The prior of the scatter of Gaussian clusters and states."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.distributions import GeneralizedInverseGaussian, InverseGammaScale
from ppl_models.errors import InputError
from ppl_models.models._scale import DataScale

COVARIANCES = ("spherical", "diagonal", "tied", "full")
ORDER = 2.5  #: of the rate's prior: as wide as one that is normalised in closed form, and repels 0
LEAST = 1e-6  #: least resolution, in parts of the standard deviation expected of a cluster


class Scatter:
    """Priors of the scale or covariance of clusters or states.

    Where no rate is given it is a site with a prior of its own, so that the data say how tight
    clusters are, however far apart they lie (Richardson and Green 1997):

        r_d ~ GeneralizedInverseGaussian(5/2, 5 / (2 b_d), B_d)
        σ_kd² ~ InverseGamma(a, r_d)    or    Σ_k ~ InverseWishart(ν, diag(r))

    b_d is the variance that one cluster is expected to have, about the prior mean of r_d. Theirs is
    Gamma(0.2, ·), whose density is infinite at 0, where a mode is looked for; this one is
    Gamma(5/2, 5 / (2 b_d)) but for the barrier B_d at 0. Without one the density of a cluster that
    shrinks onto a repeated value has no bound. A cluster of n rows that are all one value has its
    mode at σ² = 4 B / n², nearly; B is such that of a cluster of average size this is δ² / 12, the
    variance that rounding to the unit δ leaves.

    Args:
        scale: location and spread of the data.
        features: number of features D; None: the data are a vector.
        fraction: of the data's variance that one cluster is expected to have.
        resolution: δ, the least distance between values, of each feature.
        size: n, the average number of rows of a cluster.
        concentration: a of the inverse gamma of a variance.
        rate: r, if it is to be held.
        rate_mean: b (default: the data's variance times the fraction).
        freedom: degrees of freedom of the inverse Wishart of a matrix (default: D + 2).
        matrix: scale matrix of it, if it is to be held.
        axis: what the features are called.
    """

    def __init__(
        self,
        scale: DataScale,
        features: int | None,
        fraction: float,
        resolution: Any,
        size: float,
        concentration: float,
        rate: Any = None,
        rate_mean: Any = None,
        freedom: float | None = None,
        matrix: Any = None,
        axis: str = "feature",
    ):
        shape = () if features is None else (features,)
        expected = scale.deviation**2 * fraction if rate_mean is None else rate_mean
        traced = any(isinstance(v, jax.core.Tracer) for v in (expected, resolution))
        xp: Any = jnp if traced else np  # by NumPy where that is possible, which compiles nothing
        self.variance = xp.asarray(expected) + xp.zeros(shape)
        unit = xp.asarray(resolution) ** 2 / 12
        self.barrier = xp.maximum(unit * size**2 / 4, LEAST**2 * self.variance)
        self.concentration, self.rate, self.scale_matrix = concentration, rate, matrix
        self.axis = axis
        self.freedom = (features or 1) + 2.0 if freedom is None else float(freedom)

    def prior(self, covariance: str) -> dist.Distribution:
        """Of the scale or of the covariance of a cluster; samples its rate, outside any plate.

        Args:
            covariance: one of ``COVARIANCES``; of a vector they are all one scale.

        Raises:
            InputError: too few degrees of freedom.
        """
        if self.variance.ndim and covariance in ("tied", "full"):
            return self._matrix()
        each = self.variance.ndim and covariance == "diagonal"
        if self.rate is not None:
            rate = jnp.asarray(self.rate) + jnp.zeros(self.variance.shape if each else ())
        elif each or not self.variance.ndim:
            rate = self._sampled("scale_rate", self.variance, self.barrier)
        else:
            cells = len(self.variance) ** 2  # a row is that many numbers of one scale
            rate = self._sampled("scale_rate", self.variance.mean(), cells * self.barrier.min())
        prior = InverseGammaScale(self.concentration, rate)
        return prior.to_event(1) if each else prior

    def _matrix(self) -> dist.Distribution:
        least = len(self.variance) - 1
        if not self.freedom > least:
            raise InputError(
                f"degrees_of_freedom is {self.freedom:g}: with {least + 1} features an inverse "
                f"Wishart needs more than {least}"
            )
        if self.scale_matrix is None:
            matrix = jnp.diag(self._sampled("scale_diagonal", self.variance, self.barrier))
        else:
            matrix = jnp.asarray(self.scale_matrix)
        checked = None if self.scale_matrix is not None else False  # a diagonal one needs no check
        return dist.InverseWishart(self.freedom, scale_matrix=matrix, validate_args=checked)

    def _sampled(self, name: str, mean: Any, barrier: Any) -> Any:
        prior = GeneralizedInverseGaussian(ORDER, ORDER / mean, barrier)
        if not jnp.ndim(mean):
            return numpyro.sample(name, prior)
        return numpyro.sample(name, prior.to_event(1), infer={"event_dims": [self.axis]})
