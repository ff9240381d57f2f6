"""Minimisation of a smooth function of few parameters by a modified Newton's method.

Each step divides the gradient by the absolute values of the eigenvalues of the Hessian, so that it
goes downhill where the function is not convex, and is halved until the function falls. Coordinates
are measured in their own curvature, so that their units do not matter. Nocedal and
Wright (2006), Numerical Optimization, sections 3.4 and 3.1. Of many numbers, L-BFGS (section 7.2),
by optax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

LARGEST = 60  #: numbers up to which a Hessian is worth its eigenvalues
LEAST_CURVATURE = 1e-8  #: relative to the largest
SLOPE_SHARE = 1e-4  #: share of the predicted fall that a step must bring (Armijo)
SMALLEST_STEP = 1e-6
FARTHEST = 10.0  #: no coordinate moves farther in a step


def minimise(
    loss: Callable[[Array], Array],
    start: Array,
    steps: int,
    curvature: Callable[[Array], Array] | None = None,
    farthest: Array | float = FARTHEST,
) -> Array:
    """A point where a function is no larger than at its start, by Newton's method.

    Args:
        loss: of a vector; finite at the start.
        start: ``(parameter,)``.
        steps: of Newton's method; L-BFGS takes five times as many.
        curvature: a cheaper function with about the same Hessian, such as the loss of a sample of
            rows (Roosta-Khorasani and Mahoney 2019, Mathematical Programming 174).
        farthest: how far a coordinate moves in a step of Newton's method, ``(parameter,)``.

    >>> found = minimise(lambda v: ((v - 3) ** 2).sum() + v[0] ** 2, jnp.zeros(2), 50)
    >>> found.round(2).tolist()
    [1.5, 3.0]
    """
    if start.size == 0:  # as of effects that add up to zero over one cluster
        return start
    if start.size > LARGEST:
        return _lbfgs(loss, start, steps)
    return _newton(loss, start, steps, loss if curvature is None else curvature, farthest)


def curvature_units(hessian: Array) -> Array:
    """The step of each coordinate over which a function bends by about one, ``(parameter,)``."""
    bend = jnp.abs(jnp.diagonal(hessian))
    return jnp.where((bend > 0) & jnp.isfinite(bend), 1 / jnp.sqrt(bend), 1.0)


def _newton(
    loss: Callable, start: Array, steps: int, curved: Callable, farthest: Array | float
) -> Array:
    slope_of, hessian = jax.grad(loss), jax.hessian(curved)

    def going(state: Any) -> Array:
        count, _, _, gained = state
        return (count < steps) & gained

    def step(state: Any) -> Any:
        count, place, value, _ = state
        slope = slope_of(place)
        matrix = hessian(place)
        tiny = jnp.finfo(place.dtype).tiny
        unit = curvature_units(matrix)
        curvature, axes = jnp.linalg.eigh(matrix * unit * unit[:, None])
        size = jnp.abs(curvature)
        size = jnp.maximum(size, LEAST_CURVATURE * size.max() + tiny)
        move = -unit * (axes @ ((axes.T @ (unit * slope)) / size))
        move = move / jnp.maximum((jnp.abs(move) / farthest).max(), 1.0)
        move = jnp.where(jnp.isfinite(move).all(), move, 0.0)
        fall = -(slope @ move)
        length, reached = _halved(loss, place, value, move, fall)
        worth = 4 * jnp.finfo(place.dtype).eps * (1 + jnp.abs(value))
        better = reached < value
        place = jnp.where(better, place + length * move, place)
        return count + 1, place, jnp.where(better, reached, value), better & (fall > worth)

    first = (0, start, loss(start), jnp.ones((), bool))
    return lax.while_loop(going, step, first)[1]


def _halved(
    loss: Callable, place: Array, value: Array, move: Array, fall: Array
) -> tuple[Array, Array]:
    """A length of the step at which the function falls enough, and its value there."""

    def too_long(state: Any) -> Array:
        length, reached = state
        enough = reached <= value - SLOPE_SHARE * length * fall
        return ~enough & (length > SMALLEST_STEP)

    def halve(state: Any) -> Any:
        length = 0.5 * state[0]
        return length, loss(place + length * move)

    full_step = jnp.ones((), place.dtype)
    return lax.while_loop(too_long, halve, (full_step, loss(place + move)))


def _lbfgs(loss: Callable, start: Array, steps: int) -> Array:
    import optax

    solver = optax.lbfgs()
    value_and_slope = optax.value_and_grad_from_state(loss)

    def step(_: Any, state: Any) -> Any:
        place, moments, best, lowest = state
        value, slope = value_and_slope(place, state=moments)
        moves, moments = solver.update(
            slope, moments, place, value=value, grad=slope, value_fn=loss
        )
        better = value < lowest
        best, lowest = jnp.where(better, place, best), jnp.where(better, value, lowest)
        return optax.apply_updates(place, moves), moments, best, lowest

    first = (start, solver.init(start), start, loss(start))
    place, _, best, lowest = lax.fori_loop(0, 5 * steps, step, first)
    return jnp.where(loss(place) < lowest, place, best)
