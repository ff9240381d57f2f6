"""Vectors of independent bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import Beta, Distribution, constraints

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.family import (
    StackedFamily,
    Statistics,
    broadcast_batch,
    observed_cells,
    ones,
    stack,
)


def safe_log(probability: Array) -> Array:
    """Logarithm with the smallest positive number in place of zero, so that 0 · log 0 = 0."""
    return jnp.log(jnp.clip(probability, jnp.finfo(probability.dtype).tiny))


def is_log_of_zero(logarithm: Array) -> Array:
    """Whether :func:`safe_log` was given no probability at all."""
    return logarithm <= jnp.log(jnp.finfo(logarithm.dtype).tiny)


class BernoulliVector(StackedFamily):
    """Rows of independent bits.

    Args:
        probs: probability of a one, ``batch + (feature,)``.

    >>> BernoulliVector(jnp.full((3, 1, 2), 0.5)).log_prob(jnp.zeros((5, 2))).shape
    (3, 5)
    """

    parameter_dims = {"probs": 1}
    parameter_axes = {"probs": ("feature",)}
    data_description = "zeros and ones"
    component_picture = "profile"
    profile_parameter = "probs"
    profile_label = "probability of a one"
    arg_constraints: ClassVar[dict[str, Any]] = {
        "probs": constraints.independent(constraints.unit_interval, 1)
    }
    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, probs: Any, *, validate_args: bool | None = None):
        self.probs = jnp.asarray(probs)
        batch = broadcast_batch((self.probs, 1))
        super().__init__(batch, self.probs.shape[-1:], validate_args=validate_args)

    def _bits(self, value: Array) -> Array:
        return value.astype(jnp.result_type(self.probs, float))

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """The ones, and which cells are observed (or one 1: all are)."""
        x = self._bits(value)
        if missing:
            x, mask = observed_cells(x)
            return stack(x, mask)
        return stack(x, ones(x, x.dtype))

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Log-odds, and the logarithms of the probabilities of a zero."""
        one, zero = safe_log(self.probs), safe_log(1 - self.probs)
        constant = zero if missing else zero.sum(-1, keepdims=True)
        return jnp.concatenate([one - zero, constant], -1)

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """``ones`` and ``count`` of observed cells, ``(component, feature)``."""
        found, count = jnp.split(sums, [self.probs.shape[-1]], axis=-1)
        return {"ones": found, "count": jnp.broadcast_to(count, found.shape)}

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """A one where there are none, or a zero where there are only ones."""
        x, observed = jnp.split(prepared, [self.probs.shape[-1]])
        never, always = ((self.probs == p).astype(x.dtype) for p in (0, 1))
        return never @ x + always @ (observed - x) > 0

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        x = self._bits(value)
        cell = jnp.where(x > 0.5, safe_log(self.probs), safe_log(1 - self.probs))
        return jnp.where(jnp.isnan(x), 0, cell).sum(-1)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        ones, zeros = statistics["ones"], statistics["count"] - statistics["ones"]
        return (ones * safe_log(self.probs) + zeros * safe_log(1 - self.probs)).sum(-1)

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Beta."""
        if prior is not None and not isinstance(prior, Beta):
            return None
        ones, zeros = statistics["ones"], statistics["count"] - statistics["ones"]
        if shared:
            ones, zeros = ones.sum(0), zeros.sum(0)
        a, b = (prior.concentration1, prior.concentration0) if prior is not None else (1.0, 1.0)
        return BetaConditional(a + ones, b + jnp.clip(zeros, 0))

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """The probability of a one, feature by feature."""
        probs = np.asarray(parameters["probs"])[component]
        return f"probability of a one: {by_feature(features, [f'{p:.2f}' for p in probs])}"

    def start_points(self, value: Array) -> Array:
        """The bits."""
        return self._bits(value)

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
