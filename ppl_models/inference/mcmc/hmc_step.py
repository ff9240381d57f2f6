"""Hamiltonian Monte Carlo transitions within Gibbs: global sites without a conjugate prior.

Of sites whose density, log prior(θ) + <S, η(θ)> - N·A(η(θ)), depends on the rows through their
sufficient statistics alone, a transition costs the same whatever the number of rows. Step size and
a diagonal mass matrix are adapted during warm-up by NumPyro's own adapter. Neal (2011), MCMC using
Hamiltonian dynamics.

One step size does not serve all assignments: a cluster that has lost its rows has its prior to move
in, which may be a thousand times wider than where it was, and a chain that starts far off adapts to
a place that it leaves. So some transitions take their metric from the curvature of the density at
its mode given the assignments. It is looked for from a point that stays the same after warm-up, so
that it depends on the assignments and on sites that are held, and not on those that move: for them
it is a fixed metric, and the transition leaves their density as it is. The metric is that of
Laplace's approximation; compare the proposals of Gamerman (1997), Statistics and Computing 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.infer.hmc_util import warmup_adapter

from ppl_models.distributions.contraction import matmul
from ppl_models.inference.newton import LARGEST, curvature_units, minimise
from ppl_models.program.runtime.trial import attempted

LEAPFROG_STEPS = 8
TARGET_ACCEPT = 0.8
INITIAL_STEP_SIZE = 0.05
JITTER = (0.1, 1.0)  #: range of a trajectory's step size, as a fraction of the adapted one
CURVED_STEP_SIZES = (0.1, 0.6)  #: where the curvature is one in all directions
EVERY = 5  #: of so many transitions one has the metric of the curvature
NEWTON_STEPS = 15
LEAST_CURVATURE = 1e-6  #: relative to the largest
MOST_CURVED = 100_000  #: rows times numbers that move; of more rows the adapted mass is good enough

LogDensity = Callable[[Array], Array]


class HmcState(NamedTuple):
    """State of the adaptation, the last acceptance probability, and where modes are looked for."""

    adapt: Any
    accept_prob: Array
    reference: Array


def hmc_step(warmup: int, curved_rows: int | None = None) -> tuple[Callable, Callable]:
    """``init(key, vector)`` and ``step(key, state, vector, log_density, iteration)``.

    Args:
        warmup: iterations in which step size and mass are adapted.
        curved_rows: rows that a density goes through, where some transitions are to have the metric
            of its curvature; None: none has.
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
        return HmcState(adapt, jnp.ones((), vector.dtype), vector)

    def step(
        key: Array, state: HmcState, vector: Array, log_density: LogDensity, iteration: Array
    ) -> tuple[HmcState, Array]:
        adapted, inverse_mass = state.adapt.step_size, state.adapt.inverse_mass_matrix
        # trajectories of one fixed length may be periodic
        sizes = (JITTER[0] * adapted, JITTER[1] * adapted)
        chosen, accept = transition(key, vector, log_density, inverse_mass, sizes)
        adapt = lax.cond(
            iteration < warmup,
            lambda: update(iteration, accept, (chosen,), state.adapt),
            lambda: state.adapt,
        )
        reference = jnp.where(iteration < warmup, chosen, state.reference)
        if (
            curved_rows is not None
            and bends(vector.size, curved_rows)
            # (a solver of differential equations has slopes in reverse only)
            and attempted(lambda: jax.eval_shape(jax.hessian(log_density), vector)) is not None
        ):
            chosen = lax.cond(
                iteration % EVERY == EVERY - 1,
                lambda: curved_transition(random.fold_in(key, 3), chosen, reference, log_density),
                lambda: chosen,
            )
        return HmcState(adapt, accept, reference), chosen

    return init, step


def bends(size: int, rows: int) -> bool:
    """Whether the curvature in so many numbers is worth its computation.

    Args:
        size: numbers that move.
        rows: that a density goes through.
    """
    return 0 < size <= LARGEST and size * rows <= MOST_CURVED


def transition(
    key: Array,
    vector: Array,
    log_density: LogDensity,
    inverse_mass: Array,
    sizes: tuple[Any, Any],
) -> tuple[Array, Array]:
    """One trajectory, accepted or not: the vector after it, and the probability of acceptance.

    Args:
        key: random key.
        vector: where it begins.
        log_density: of the vector, up to a constant.
        inverse_mass: diagonal of the inverse mass matrix.
        sizes: range that the step size is drawn from.
    """
    momentum_key, accept_key, length_key = random.split(key, 3)
    size = random.uniform(length_key, (), vector.dtype, *sizes)
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
    (proposal, final_momentum, _, after), _ = lax.scan(leapfrog, start, None, length=LEAPFROG_STEPS)
    kinetic = 0.5 * (inverse_mass * (momentum**2 - final_momentum**2)).sum()
    ratio = jnp.nan_to_num(after - before + kinetic, nan=-jnp.inf)
    accept = jnp.exp(jnp.minimum(ratio, 0))
    accepted = random.uniform(accept_key, (), vector.dtype) < accept
    return jnp.where(accepted, proposal, vector), accept


def curved_transition(
    key: Array, vector: Array, reference: Array, log_density: LogDensity
) -> Array:
    """The vector after a trajectory in the metric of the curvature at the density's mode.

    Args:
        key: random key.
        vector: where it begins.
        reference: where the mode is looked for; it must not depend on the vector.
        log_density: of the vector, up to a constant.
    """

    def loss(place: Array) -> Array:
        return -log_density(place)

    mode = minimise(loss, reference, NEWTON_STEPS)
    hessian = jax.hessian(loss)(mode)
    unit = curvature_units(hessian)
    curvature, axes = jnp.linalg.eigh(jnp.nan_to_num(hessian * unit * unit[:, None]))
    root = jnp.sqrt(jnp.maximum(jnp.abs(curvature), LEAST_CURVATURE * jnp.abs(curvature).max()))

    def outward(white: Array) -> Array:
        return mode + unit * matmul(axes, white / root)

    white = root * matmul(axes.T, (vector - mode) / unit)
    moved, _ = transition(
        key, white, lambda w: log_density(outward(w)), jnp.ones_like(white), CURVED_STEP_SIZES
    )
    changed = (moved != white).any()
    # a rejected trajectory ends exactly where it began, and no metric where there is no curvature
    reached = outward(moved)
    return jnp.where(changed & jnp.isfinite(reached).all(), reached, vector)
