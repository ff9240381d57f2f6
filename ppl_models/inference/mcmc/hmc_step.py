"""A few Hamiltonian steps on a small density: global sites that no closed form serves.

The density, log prior(θ) + <S, η(θ)> - N·A(η(θ)), is that of the statistics alone, so that a step
costs the same whatever the number of rows. Step size and a diagonal mass matrix are adapted during
warm-up by NumPyro's own adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.infer.hmc_util import warmup_adapter

LEAPFROGS = 8
TARGET_ACCEPT = 0.8
FIRST_STEP = 0.05
JITTER = (0.1, 1.0)  #: share of the adapted step that a trajectory's steps have


class HmcState(NamedTuple):
    """Adaptation and what the last step did."""

    adapt: Any
    accept_prob: Array


def hmc_step(warmup: int) -> tuple[Callable, Callable]:
    """``init(key, vector)`` and ``step(key, state, vector, log_density, iteration)``.

    Args:
        warmup: iterations in which step size and mass are adapted.
    """
    setup, update = warmup_adapter(
        warmup,
        adapt_step_size=True,
        adapt_mass_matrix=True,
        dense_mass=False,
        target_accept_prob=TARGET_ACCEPT,
    )

    def init(key: Array, vector: Array) -> HmcState:
        adapt = setup((vector,), key, FIRST_STEP, mass_matrix_size=vector.size)
        return HmcState(adapt, jnp.ones((), vector.dtype))

    def step(
        key: Array, state: HmcState, vector: Array, log_density: Callable, iteration: Array
    ) -> tuple[HmcState, Array]:
        momentum_key, accept_key, length_key = random.split(key, 3)
        inverse_mass = state.adapt.inverse_mass_matrix
        # a trajectory of one length would come back to where it started from, time and again
        jitter = random.uniform(length_key, (), vector.dtype, *JITTER)
        size = jitter * state.adapt.step_size
        value_and_slope = jax.value_and_grad(log_density)
        before, slope = value_and_slope(vector)
        momentum = random.normal(momentum_key, vector.shape, vector.dtype)
        momentum = momentum / jnp.sqrt(inverse_mass)

        def leap(carry: Any, _: None) -> tuple[Any, None]:
            place, push, slope, _ = carry
            push = push + 0.5 * size * slope
            place = place + size * inverse_mass * push
            value, slope = value_and_slope(place)
            return (place, push + 0.5 * size * slope, slope, value), None

        start = (vector, momentum, slope, before)
        (place, push, _, after), _ = lax.scan(leap, start, None, length=LEAPFROGS)
        kinetic = 0.5 * (inverse_mass * (momentum**2 - push**2)).sum()
        ratio = jnp.nan_to_num(after - before + kinetic, nan=-jnp.inf)
        accept = jnp.exp(jnp.minimum(ratio, 0))
        chosen = jnp.where(random.uniform(accept_key, (), vector.dtype) < accept, place, vector)
        adapt = lax.cond(
            iteration < warmup,
            lambda: update(iteration, accept, (chosen,), state.adapt),
            lambda: state.adapt,
        )
        return HmcState(adapt, accept), chosen

    return init, step
