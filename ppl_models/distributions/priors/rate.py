"""The prior of a rate of variances: a gamma distribution that keeps off zero."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.distributions import Distribution, constraints


class GeneralizedInverseGaussian(Distribution):
    r"""A positive number with p(r) ∝ r^(order - 1) exp(-rate r - barrier / r).

    Without a barrier it is Gamma(order, rate). Conjugate for the rate of inverse-gamma variances
    and for the diagonal of an inverse Wishart's scale matrix, as the gamma distribution is. The
    barrier, which may be next to nothing, makes the density vanish at zero faster than any power,
    so that no number of variances draws the rate there. Jørgensen (1982), Statistical Properties
    of the Generalized Inverse Gaussian Distribution.

    Args:
        order: 1/2, 3/2, 5/2, …: of these the normaliser has a closed form.
        rate: positive.
        barrier: positive.

    >>> prior = GeneralizedInverseGaussian(2.5, 2.5, 1e-12)
    >>> round(float(prior.mean), 3), float(prior.log_prob(1e-15)) < -900
    (1.0, True)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "rate": constraints.positive,
        "barrier": constraints.positive,
    }
    support = constraints.positive
    pytree_aux_fields = ("order",)

    def __init__(self, order: float, rate: Any, barrier: Any, *, validate_args: bool | None = None):
        self.order = float(order)
        if self.order < 0.5 or self.order % 1 != 0.5:
            raise ValueError(f"order is {order}: choose 1/2, 3/2, 5/2, …")
        self.rate, self.barrier = jnp.asarray(rate), jnp.asarray(barrier)
        shape = lax.broadcast_shapes(self.rate.shape, self.barrier.shape)
        super().__init__(shape, (), validate_args=validate_args)

    def _log_normaliser(self, order: float) -> Array:
        """log ∫ r^(p - 1) exp(-a r - b / r) dr = log 2 (b / a)^(p / 2) K_p(2 √(a b))."""
        z = 2 * jnp.sqrt(self.rate * self.barrier)
        last = round(order - 0.5)
        # K_(n + 1/2) = √(π / 2z) e^(-z) Σ_k (n + k)! / (k! (n - k)!) (2z)^(-k), times (2z)^n here
        terms = [
            math.factorial(last + k) / (math.factorial(k) * math.factorial(last - k))
            for k in range(last + 1)
        ]
        series = sum(term * (2 * z) ** (last - k) for k, term in enumerate(terms))
        bessel = 0.5 * jnp.log(jnp.pi / (2 * z)) - z + jnp.log(series) - last * jnp.log(2 * z)
        return math.log(2) + 0.5 * order * (jnp.log(self.barrier) - jnp.log(self.rate)) + bessel

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density."""
        kernel = (self.order - 1) * jnp.log(value) - self.rate * value - self.barrier / value
        return kernel - self._log_normaliser(self.order)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws, by rejection of the logarithm, whose density is log-concave.

        With m the mode of u = log r and ψ(t) = log p(m + t) - log p(m), the tangents of ψ at ±1/s,
        s² = -ψ''(0), and the line 0 between them lie above ψ. At least half of the proposals are
        accepted whatever the barrier is: one from the gamma distribution without a barrier is with
        probability exp(-2 √(rate barrier)). Devroye (1986), Non-uniform random variate generation,
        §7.2; Devroye (2014), Statistics and Computing 24.
        """
        shape = sample_shape + self.batch_shape
        dtype = jnp.result_type(self.rate, float)
        size = jnp.sqrt(self.order**2 + 4 * self.rate * self.barrier)  # s²
        mode = (self.order + size) / (2 * self.rate)
        up, down = self.rate * mode, self.barrier / mode

        def rise(t: Array) -> Array:  # ψ
            return self.order * t - up * jnp.expm1(t) - down * jnp.expm1(-t)

        def slope(t: Array) -> Array:
            return self.order - up * jnp.exp(t) + down * jnp.exp(-t)

        step = 1 / jnp.sqrt(size)
        right, left = (t - rise(t) / slope(t) for t in (step, -step))  # where tangents meet 0
        right_rate, left_rate = -slope(step), slope(-step)
        middle, tail = right - left, 1 / right_rate
        total = middle + tail + 1 / left_rate

        def propose(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, value, done = state
            key, part_key, place_key, accept_key = random.split(key, 4)
            part = random.uniform(part_key, shape, dtype) * total
            place = random.uniform(place_key, shape, dtype)
            far = -jnp.log1p(-place)
            inside, after = part < middle, part < middle + tail
            t = jnp.where(
                inside,
                left + middle * place,
                jnp.where(after, right + far / right_rate, left - far / left_rate),
            )
            bound = jnp.where(inside, 0.0, -far)
            accepted = jnp.log(random.uniform(accept_key, shape, dtype)) < rise(t) - bound
            return key, jnp.where(done, value, t), done | accepted

        blank = jnp.zeros(shape, dtype), jnp.zeros(shape, bool)
        drawn = lax.while_loop(lambda s: ~s[2].all(), propose, (key, *blank))[1]
        return mode * jnp.exp(drawn)

    @property
    def mean(self) -> Array:
        """``√(b / a) K_(p + 1) / K_p``."""
        return jnp.exp(self._log_normaliser(self.order + 1) - self._log_normaliser(self.order))
