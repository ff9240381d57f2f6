"""Vectors of independent counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import gammaln
from numpyro.distributions import constraints

from ppl_models.distributions.conditionals import GammaConditional
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.factorised import FactorisedFamily
from ppl_models.distributions.exponential.family import Statistics, spread
from ppl_models.distributions.log_of_zero import safe_log


class PoissonVector(FactorisedFamily):
    """Rows of independent counts, or of one count each.

    Gelman et al. (2013), Bayesian Data Analysis, §2.6.

    Args:
        rate: mean count, ``batch + (feature,)``; ``batch`` alone with ``univariate=True``.
        univariate: a datum is one count and not a vector of them.

    >>> PoissonVector(jnp.ones((3, 1, 2))).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    >>> PoissonVector(jnp.ones((3, 1)), univariate=True).log_prob(jnp.zeros(5)).shape
    (3, 5)
    """

    data_description = "counts (whole numbers from 0 up)"
    component_picture = "profile"
    profile_parameter = "rate"
    profile_label = "mean count"
    statistic_names = ("total",)
    numpyro_classes = ((dist.Poisson, 0), (dist.Poisson, 1))
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {"rate": (dist.Gamma,)}
    plug_in_parameters = ("rate",)
    pytree_aux_fields = ("univariate",)
    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.nonnegative}

    def __init__(self, rate: Any, *, univariate: bool = False, validate_args: bool | None = None):
        self.univariate = univariate
        super().__init__(rate, validate_args=validate_args)

    @classmethod
    def from_numpyro(cls, distribution: Any, event_shape: tuple[int, ...]) -> PoissonVector:
        """By the rate."""
        return cls(spread(distribution.rate, event_shape), univariate=not event_shape)

    @property
    def parameter_dims(self) -> dict[str, int]:  # type: ignore[override]
        """A rate is a number or a vector, as a datum is."""
        return {"rate": 0 if self.univariate else 1}

    @property
    def support(self) -> Any:
        """Non-negative integers."""
        return constraints.independent(constraints.nonnegative_integer, self.event_dim)

    def static_arguments(self) -> dict[str, Any]:
        """Whether a datum is one count."""
        return {"univariate": self.univariate}

    def sufficient_statistics(self, x: Array) -> tuple[Array, ...]:
        """The count."""
        return (x,)

    def natural_parameters(self) -> tuple[Array, ...]:
        """Logarithm of the rate."""
        return (safe_log(self.rate),)

    def log_normaliser(self) -> Array:
        """The rate."""
        return self.rate

    def log_base_measure(self, x: Array) -> Array:
        """``-log x!``."""
        return -gammaln(x + 1)

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """A positive count at rate 0."""
        rate = self._columns(self.rate)
        # the mode of a rate without counts is the smallest number
        none = rate <= jnp.finfo(rate.dtype).tiny
        return matmul(none.astype(rate.dtype), prepared[: rate.shape[-1]]) > 0

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> GammaConditional:
        """Gamma."""
        total, count = statistics["total"], statistics["count"]
        if self.univariate:
            total, count = total[..., 0], count[..., 0]
        if shared:
            total, count = total.sum(0), count.sum(0)
        a, b = (prior.concentration, prior.rate) if prior is not None else (1.0, 0.0)
        return GammaConditional(a + total, b + count)

    def plug_in(self, parameter: str, q: GammaConditional) -> Array:
        """By the expected logarithm of the rate."""
        return q.geometric_mean()

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """The geometric mean of every rate less its mean."""
        q = posterior["rate"]
        return self._over_features(q.geometric_mean() - q.mean())

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """The mean count, feature by feature."""
        counts = [f"{r:.3g}" for r in np.atleast_1d(np.asarray(parameters["rate"])[component])]
        return f"mean count{f': {by_feature(features, counts)}' if features else f' {counts[0]}'}"

    def start_points(self, value: Array) -> Array:
        """Square roots of the counts, whose spread does not grow with the mean."""
        return jnp.sqrt(super().start_points(value))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + event`` of integers."""
        return random.poisson(key, self.rate, self.shape(sample_shape))

    @property
    def mean(self) -> Array:
        """The rate."""
        return self.rate

    @property
    def variance(self) -> Array:
        """The rate."""
        return self.rate
