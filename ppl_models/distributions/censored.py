"""Censored and truncated numbers: values or bounds, within a window of observation."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array, random
from jax.scipy.special import log_ndtr, ndtri
from jax.typing import ArrayLike
from numpyro.distributions import constraints

FAMILIES = ("normal", "lognormal", "exponential", "weibull")


class Censored(dist.Distribution):
    """A normal, lognormal, exponential or Weibull number, observed or censored.

    With F its distribution function, and (a, b) the window that values are recorded in:

        side = 0    f(x) / (F(b) - F(a))              x is the value
        side = 1    (F(b) - F(x)) / (F(b) - F(a))     the value is above x (right-censored)
        side = -1   (F(x) - F(a)) / (F(b) - F(a))     the value is below x (left-censored)
        side = 2    (F(u) - F(x)) / (F(b) - F(a))     it is between x and u (interval-censored)

    The density is that of NumPyro's ``RightCensoredDistribution``, ``LeftCensoredDistribution`` and
    ``TruncatedNormal``; far out it does not end at the smallest number that F or 1 - F can be, and
    has a gradient there. ``sample`` draws values, not bounds. Klein and Moeschberger (2003) §3.5.

    Args:
        family: one of ``FAMILIES``.
        loc: of the normal distribution of the number or of its logarithm; of a Weibull the shape
            (of an exponential distribution 1).
        scale: of the normal distribution; of a Weibull or exponential one its scale.
        side: 0, 1, -1 or 2.
        low: a; None: none.
        high: b; None: none.
        until: u, which is looked at where the side is 2; None: no side is.

    >>> bound = Censored("exponential", 1.0, 2.0, side=jnp.array([0, 1]))
    >>> bound.log_prob(jnp.array([3.0, 3.0])).round(3).tolist()  # of density exp(-x / 2) / 2
    [-2.193..., -1.5...]
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    reparametrized_params = ["loc", "scale"]
    pytree_data_fields = ("loc", "scale", "side", "low", "high", "until")
    pytree_aux_fields = ("family",)

    def __init__(
        self,
        family: str,
        loc: ArrayLike,
        scale: ArrayLike,
        side: ArrayLike = 0,
        low: float | None = None,
        high: float | None = None,
        until: ArrayLike | None = None,
        *,
        validate_args: bool | None = None,
    ):
        self.family, self.side = family, jnp.asarray(side)
        self.loc, self.scale = jnp.asarray(loc, float), jnp.asarray(scale, float)
        self.low, self.high = low, high
        self.until = None if until is None else jnp.asarray(until, float)
        shape = jnp.broadcast_shapes(self.loc.shape, self.scale.shape, self.side.shape)
        super().__init__(shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """All numbers, or those above 0."""
        return constraints.real if self.family == "normal" else constraints.positive

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of observed values, log-probability of censored ones."""
        x = jnp.asarray(value)
        inside = jnp.ones(x.shape, bool)
        if self.low is not None:
            inside = inside & (x >= self.low)
        if self.high is not None:
            inside = inside & (x <= self.high)
        exact = self._log_density(x)
        above = self._log_between(x, self.high)
        below = self._log_between(self.low, x)
        density = jnp.where(self.side == 0, exact, jnp.where(self.side > 0, above, below))
        if self.until is not None:
            # an end for every value, as where a density is not looked at its slope still is
            end = jnp.where(self.side == 2, self.until, x + 1)
            density = jnp.where(self.side == 2, self._log_between(x, end), density)
        if self.low is not None or self.high is not None:
            density = density - self._log_between(self.low, self.high)
        return jnp.where(inside, density, -jnp.inf)

    def sample(self, key: Array | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """Values within the window."""
        assert key is not None
        shape = self.shape(sample_shape)
        least = 0.0 if self.low is None else jnp.exp(self._log_below(jnp.asarray(self.low)))
        most = 1.0 if self.high is None else jnp.exp(self._log_below(jnp.asarray(self.high)))
        tiny = jnp.finfo(self.scale.dtype).eps
        probability = jnp.clip(least + (most - least) * random.uniform(key, shape), tiny, 1 - tiny)
        if self._lifetime:
            return self.scale * (-jnp.log1p(-probability)) ** (1 / self._shape)
        values = self.loc + self.scale * ndtri(probability)
        return values if self.family == "normal" else jnp.exp(values)

    @property
    def _lifetime(self) -> bool:
        return self.family in ("exponential", "weibull")

    @property
    def _shape(self) -> Array:
        return jnp.ones_like(self.loc) if self.family == "exponential" else self.loc

    def _standard(self, x: Array) -> Array:
        """The number on the scale of the standard normal distribution."""
        x = x if self.family == "normal" else jnp.log(x)
        return (x - self.loc) / self.scale

    def _log_density(self, x: Array) -> Array:
        if self.family == "normal":
            return dist.Normal(self.loc, self.scale).log_prob(x)
        if self.family == "lognormal":
            return dist.LogNormal(self.loc, self.scale).log_prob(x)
        return dist.Weibull(self.scale, self._shape).log_prob(x)

    def _log_above(self, x: Array) -> Array:
        """log (1 - F(x))."""
        if self._lifetime:
            return -((x / self.scale) ** self._shape)
        return log_ndtr(-self._standard(x))

    def _log_below(self, x: Array) -> Array:
        """log F(x)."""
        return _log_one_less(self._log_above(x)) if self._lifetime else log_ndtr(self._standard(x))

    def _log_between(self, low: Any, high: Any) -> Array:
        """log (F(high) - F(low)), of the smaller tail: neither cancels far out."""
        if low is None and high is None:
            return jnp.zeros(())
        if high is None:
            return self._log_above(jnp.asarray(low))
        if low is None:
            return self._log_below(jnp.asarray(high))
        low, high = jnp.asarray(low), jnp.asarray(high)
        upper = self._log_above(low)
        by_upper = upper + _log_one_less(self._log_above(high) - upper)
        if self._lifetime:
            return by_upper
        lower = self._log_below(high)
        by_lower = lower + _log_one_less(self._log_below(low) - lower)
        return jnp.where(self._standard(low) > 0, by_upper, by_lower)


def _log_one_less(log_share: Array) -> Array:
    """log (1 - exp(x)) of x < 0; of 0 the logarithm of the smallest number, with a gradient."""
    least = jnp.finfo(log_share.dtype).tiny
    inside = jnp.minimum(log_share, -least)
    near = inside > -0.693
    return jnp.where(
        near,
        jnp.log(-jnp.expm1(jnp.where(near, inside, -0.5))),
        jnp.log1p(-jnp.exp(jnp.where(near, -1.0, inside))),
    )
