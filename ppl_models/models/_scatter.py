"""The prior of the scatter of Gaussian clusters and states."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from ppl_models.distributions import InverseGammaScale
from ppl_models.errors import InputError
from ppl_models.models._scale import DataScale

COVARIANCES = ("spherical", "diagonal", "tied", "full")


class Scatter:
    """The priors of how far clusters or states scatter.

    Args:
        scale: location and spread of the data.
        features: number of features D.
        share: of the data's variance that one cluster is expected to have.
        concentration: a of the inverse gamma of a variance.
        rate: b of it (default: the expected variance).
        freedom: degrees of freedom of the inverse Wishart of a matrix (default: D + 2).
        matrix: scale matrix of it (default: diagonal, the expected variances).
    """

    def __init__(
        self,
        scale: DataScale,
        features: int,
        share: float,
        concentration: float,
        rate: Any,
        freedom: float | None,
        matrix: Any,
    ):
        self.variance = scale.deviation**2 * share + jnp.zeros(features)
        self.concentration, self.rate = concentration, rate
        self.freedom = features + 2.0 if freedom is None else float(freedom)
        self.scale_matrix = jnp.diag(self.variance) if matrix is None else jnp.asarray(matrix)
        self.checked = None if matrix is not None else False  # a diagonal one needs no check

    def sphere(self) -> dist.Distribution:
        """Of one scale for all features."""
        rate = self.variance.mean() if self.rate is None else self.rate
        return InverseGammaScale(self.concentration, rate)

    def axes(self) -> dist.Distribution:
        """Of a scale for each feature."""
        rate = self.variance if self.rate is None else self.rate + jnp.zeros_like(self.variance)
        return InverseGammaScale(self.concentration, rate).to_event(1)

    def matrix(self) -> dist.Distribution:
        """Of a covariance matrix.

        Raises:
            InputError: too few degrees of freedom.
        """
        least = len(self.variance) - 1
        if not self.freedom > least:
            raise InputError(
                f"degrees_of_freedom is {self.freedom:g}: with {least + 1} features an inverse "
                f"Wishart needs more than {least}"
            )
        return dist.InverseWishart(
            self.freedom, scale_matrix=self.scale_matrix, validate_args=self.checked
        )
