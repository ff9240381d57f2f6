"""Vectors of independent counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.scipy.special import gammaln
from numpyro.distributions import Distribution, Gamma, constraints

from ppl_models.distributions.conditionals import GammaConditional
from ppl_models.distributions.described import by_feature
from ppl_models.distributions.exponential.bernoulli import safe_log
from ppl_models.distributions.exponential.family import (
    StackedFamily,
    Statistics,
    broadcast_batch,
    observed_cells,
    ones,
    stack,
)


class PoissonVector(StackedFamily):
    """Rows of independent counts, or of one count each.

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
    pytree_aux_fields = ("univariate",)
    arg_constraints: ClassVar[dict[str, Any]] = {"rate": constraints.positive}

    def __init__(self, rate: Any, *, univariate: bool = False, validate_args: bool | None = None):
        self.rate, self.univariate = jnp.asarray(rate), univariate
        dims = self.parameter_dims["rate"]
        batch = broadcast_batch((self.rate, dims))
        event = self.rate.shape[self.rate.ndim - dims :]
        super().__init__(batch, event, validate_args=validate_args)

    @property
    def parameter_dims(self) -> dict[str, int]:  # type: ignore[override]
        """A rate is a number or a vector, as a datum is."""
        return {"rate": 0 if self.univariate else 1}

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """A vector has one rate a feature."""
        return {"rate": () if self.univariate else ("feature",)}

    @property
    def support(self) -> Any:
        """Non-negative integers."""
        return constraints.independent(constraints.nonnegative_integer, self.event_dim)

    def static_arguments(self) -> dict[str, Any]:
        """Whether a datum is one count."""
        return {"univariate": self.univariate}

    def _rate(self) -> Array:
        return self.rate[..., None] if self.univariate else self.rate

    def _matrix(self, value: Array, dtype: Any) -> Array:
        return (value[:, None] if self.univariate else value).astype(dtype)

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """The counts, -Σ log x! of the row, and which cells are observed (or one 1: all are)."""
        x = self._matrix(value, self.rate.dtype)
        base = -gammaln(x + 1)
        if missing:
            base = jnp.where(jnp.isnan(x), 0, base)
            x, mask = observed_cells(x)
            return stack(x, base.sum(-1), mask)
        return stack(x, base.sum(-1), ones(x, x.dtype))

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Logarithms of the rates, 1 and the rates."""
        rate = self._rate()
        constant = -rate if missing else -rate.sum(-1, keepdims=True)
        return jnp.concatenate([safe_log(rate), jnp.ones_like(rate[:, :1]), constant], -1)

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """``total`` and ``count`` of observed cells, and ``base`` = sum of -log x!."""
        dimension = self._rate().shape[-1]
        total, base, count = jnp.split(sums, [dimension, dimension + 1], axis=-1)
        return {
            "total": total, "count": jnp.broadcast_to(count, total.shape), "base": base[:, 0]
        }  # fmt: skip

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """A count where there are none."""
        rate = self._rate()
        # the mode of a rate without counts is the smallest number
        none = rate <= jnp.finfo(rate.dtype).tiny
        return none.astype(rate.dtype) @ prepared[: rate.shape[-1]] > 0

    def pointwise(self, value: Array) -> Array:
        """Log-density by the textbook formula."""
        x, mask = observed_cells(value.astype(self.rate.dtype))
        cell = mask * (x * safe_log(self.rate) - self.rate - gammaln(x + 1))
        return cell if self.univariate else cell.sum(-1)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        rate = self._rate()
        cells = statistics["total"] * safe_log(rate) - statistics["count"] * rate
        return cells.sum(-1) + statistics["base"]

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Gamma."""
        if prior is not None and not isinstance(prior, Gamma):
            return None
        total, count = statistics["total"], statistics["count"]
        if self.univariate:
            total, count = total[..., 0], count[..., 0]
        if shared:
            total, count = total.sum(0), count.sum(0)
        a, b = (prior.concentration, prior.rate) if prior is not None else (1.0, 0.0)
        return GammaConditional(a + total, b + count)

    @classmethod
    def summarise(
        cls, parameters: Mapping[str, np.ndarray], component: int, features: Sequence[str]
    ) -> str:
        """The mean count, feature by feature."""
        rate = np.atleast_1d(np.asarray(parameters["rate"])[component])
        counts = [f"{r:.3g}" for r in rate]
        return (
            f"mean count: {by_feature(features, counts)}" if features else f"mean count {counts[0]}"
        )

    def start_points(self, value: Array) -> Array:
        """Square roots of the counts, whose spread does not grow with the mean."""
        return jnp.sqrt(self._matrix(value, jnp.result_type(self.rate, float)))

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
