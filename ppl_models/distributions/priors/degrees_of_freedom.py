"""Degrees of freedom of Student's t, given the hidden precisions of the rows."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from jax.scipy.special import digamma, gammaln, polygamma

from ppl_models.distributions.conditionals import FREEDOM

LEAST, MOST = 1e-2, 1e4  #: degrees of freedom between which a mode is looked for
HALVINGS = 50  #: of that interval's logarithm, which leave all digits


class FreedomConditional(NamedTuple):
    """Degrees of freedom ν given precisions u ~ Gamma(ν/2, ν/2), under a gamma prior.

    log p(ν) = n (ν/2 log(ν/2) - log Γ(ν/2)) + ν/2 Σ (log u - u) + (a - 1) log ν - b ν.

    Args:
        rows: n.
        excess: Σ (log u - u).
        concentration: a.
        rate: b.
        current: the value that a draw moves on from.
    """

    rows: Array
    excess: Array
    concentration: Array
    rate: Array
    current: Array

    def mode(self) -> Array:
        """The root of the slope, between ``LEAST`` and ``MOST``: the log-density is concave.

        >>> one = jnp.ones(())
        >>> found = FreedomConditional(100 * one, -120 * one, one, 0 * one, one).mode()
        >>> round(float(found), 3)
        5.31
        """
        return self._root(0.0)

    def sample(self, key: Array) -> Array:
        """One draw, or the current value where the proposal is refused.

        log ν has a log-concave density. It is proposed from Student's t about its mode, with its
        curvature there, as of :class:`..conditionals.RateConditional`.
        """
        propose_key, accept_key = random.split(key)
        mode = self._root(1.0)
        half = 0.5 * mode
        # minus the second derivative by log ν: of the slope S(ν) in ν it is -(ν S)' ν
        bend = half * (polygamma(1, half) * half - 1) * self.rows
        bend = bend - half * self._slope_of_rows(half) + self.rate * mode
        width = jnp.maximum(bend, 1e-12) ** -0.5
        noise = random.t(propose_key, FREEDOM, mode.shape, mode.dtype)
        before = (jnp.log(self.current) - jnp.log(mode)) / width
        gain = self._over_proposal(mode, width, noise) - self._over_proposal(mode, width, before)
        accepted = jnp.log(random.uniform(accept_key, mode.shape, mode.dtype)) < gain
        return jnp.where(accepted, mode * jnp.exp(width * noise), self.current)

    def _slope_of_rows(self, half: Array) -> Array:
        """By ν/2, of what the rows tell."""
        return self.rows * (jnp.log(half) + 1 - digamma(half)) + self.excess

    def _root(self, more: float) -> Array:
        """Where the log-density plus so many log ν is largest."""

        def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = 0.5 * (low + high)
            df = jnp.exp(middle)
            slope = 0.5 * df * self._slope_of_rows(0.5 * df)
            rising = slope + self.concentration - 1 + more - self.rate * df > 0
            return jnp.where(rising, middle, low), jnp.where(rising, high, middle)

        ends = tuple(jnp.full_like(self.current, float(np.log(v))) for v in (LEAST, MOST))
        low, high = lax.fori_loop(0, HALVINGS, halve, ends)
        return jnp.exp(0.5 * (low + high))

    def _over_proposal(self, mode: Array, width: Array, deviation: Array) -> Array:
        """Log-density of log ν over the proposal's, at so many widths from the mode."""
        df = mode * jnp.exp(width * deviation)
        half = 0.5 * df
        own = self.rows * (half * jnp.log(half) - gammaln(half)) + half * self.excess
        own = own + self.concentration * jnp.log(df) - self.rate * df
        return own + 0.5 * (FREEDOM + 1) * jnp.log1p(deviation**2 / FREEDOM)
