"""A Hamiltonian Monte Carlo transition within Gibbs: global sites without a conjugate prior.

The log-density, log prior(θ) + <S, η(θ)> - N·A(η(θ)), depends on the rows through their sufficient
statistics alone, so that a transition costs the same whatever the number of rows. Step size and a
diagonal mass matrix are adapted during warm-up by NumPyro's own adapter. Neal (2011), MCMC using
Hamiltonian dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.infer.hmc_util import warmup_adapter

LEAPFROG_STEPS = 8
TARGET_ACCEPT = 0.8
INITIAL_STEP_SIZE = 0.05
JITTER = (0.1, 1.0)  #: range of a trajectory's step size, as a fraction of the adapted one


class HmcState(NamedTuple):
    """State of the adaptation, and the acceptance probability of the last transition."""

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
        adapt = setup((vector,), key, INITIAL_STEP_SIZE, mass_matrix_size=vector.size)
        return HmcState(adapt, jnp.ones((), vector.dtype))

    def step(
        key: Array, state: HmcState, vector: Array, log_density: Callable, iteration: Array
    ) -> tuple[HmcState, Array]:
        momentum_key, accept_key, length_key = random.split(key, 3)
        inverse_mass = state.adapt.inverse_mass_matrix
        # trajectories of one fixed length may be periodic
        jitter = random.uniform(length_key, (), vector.dtype, *JITTER)
        size = jitter * state.adapt.step_size
        value_and_gradient = jax.value_and_grad(log_density)
        before, gradient = value_and_gradient(vector)
        momentum = random.normal(momentum_key, vector.shape, vector.dtype)
        momentum = momentum / jnp.sqrt(inverse_mass)

        def leapfrog(carry: Any, _: None) -> tuple[Any, None]:
            position, momentum, gradient, _ = carry
            momentum = momentum + 0.5 * size * gradient
            position = position + size * inverse_mass * momentum
            value, gradient = value_and_gradient(position)
            return (position, momentum + 0.5 * size * gradient, gradient, value), None

        start = (vector, momentum, gradient, before)
        (proposal, final_momentum, _, after), _ = lax.scan(
            leapfrog, start, None, length=LEAPFROG_STEPS
        )
        kinetic = 0.5 * (inverse_mass * (momentum**2 - final_momentum**2)).sum()
        ratio = jnp.nan_to_num(after - before + kinetic, nan=-jnp.inf)
        accept = jnp.exp(jnp.minimum(ratio, 0))
        chosen = jnp.where(random.uniform(accept_key, (), vector.dtype) < accept, proposal, vector)
        adapt = lax.cond(
            iteration < warmup,
            lambda: update(iteration, accept, (chosen,), state.adapt),
            lambda: state.adapt,
        )
        return HmcState(adapt, accept), chosen

    return init, step
