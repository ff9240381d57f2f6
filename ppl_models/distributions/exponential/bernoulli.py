"""Vectors of independent bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import logsumexp
from numpyro.distributions import constraints

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.factorised import FactorisedFamily
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.log_of_zero import safe_log


class BernoulliVector(FactorisedFamily):
    """Rows of independent bits.

    Bishop (2006), Pattern Recognition and Machine Learning, §2.1.

    Args:
        probs: probability of a one, ``batch + (feature,)``.

    >>> BernoulliVector(jnp.full((3, 1, 2), 0.5)).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    data_description = "zeros and ones"
    component_picture = "profile"
    profile_parameter = "probs"
    profile_label = "probability of a one"
    statistic_names = ("ones",)
    numpyro_classes = ((dist.BernoulliProbs, 1), (dist.BernoulliLogits, 1))
    conjugate_priors: ClassVar[Mapping[str, tuple[type, ...]]] = {"probs": (dist.Beta,)}
    plug_in_parameters = ("probs",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.independent(constraints.unit_interval, 1)
    }
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, probs: Any, *, validate_args: bool | None = None):
        super().__init__(probs, validate_args=validate_args)

    def sufficient_statistics(self, x: Array) -> tuple[Array, ...]:
        """The bit."""
        return (x,)

    def natural_parameters(self) -> tuple[Array, ...]:
        """Log-odds."""
        return (safe_log(self.probs) - safe_log(1 - self.probs),)

    def log_normaliser(self) -> Array:
        """Minus the logarithm of the probability of a zero."""
        return -safe_log(1 - self.probs)

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """A one of probability 0, or a zero where ones have probability 1."""
        x, observed = jnp.split(prepared, [self.probs.shape[-1]])
        never, always = ((self.probs == p).astype(x.dtype) for p in (0, 1))
        return matmul(never, x) + matmul(always, observed - x) > 0

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``: of ones and zeros apart, as log-odds cancel where one of them is 0."""
        ones, zeros = statistics["ones"], statistics["count"] - statistics["ones"]
        return (ones * safe_log(self.probs) + zeros * safe_log(1 - self.probs)).sum(-1)

    def conjugate_update(
        self,
        parameter: str,
        prior: Any | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> BetaConditional:
        """Beta."""
        ones, zeros = statistics["ones"], statistics["count"] - statistics["ones"]
        if shared:
            ones, zeros = ones.sum(0), zeros.sum(0)
        a, b = (prior.concentration1, prior.concentration0) if prior is not None else (1.0, 1.0)
        return BetaConditional(a + ones, b + jnp.clip(zeros, 0))

    def plug_in(self, parameter: str, q: BetaConditional) -> Array:
        """By the expected log-odds."""
        return jax.nn.softmax(q.dirichlet().expected_log())[..., 0]

    def jensen_gap(self, posterior: Mapping[str, Any]) -> Array:
        """``log Σ exp E[log p]`` of every cell."""
        return self._over_features(logsumexp(posterior["probs"].dirichlet().expected_log(), -1))

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """The probability of a one, feature by feature."""
        probs = np.asarray(parameters["probs"])[component]
        return f"probability of a one: {by_feature(features, [f'{p:.2f}' for p in probs])}"

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (feature,)`` of integers."""
        return random.bernoulli(key, self.probs, self.shape(sample_shape)).astype(jnp.int32)

    @property
    def mean(self) -> Array:
        """The probabilities."""
        return self.probs

    @property
    def variance(self) -> Array:
        """``p (1 - p)``."""
        return self.probs * (1 - self.probs)
