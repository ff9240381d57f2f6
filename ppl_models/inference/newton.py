"""Minimisation of a smooth function of few parameters by a modified Newton's method.

Each step divides the gradient by the absolute values of the eigenvalues of the Hessian, so that it
goes downhill where the function is not convex, and is halved until the function falls. Coordinates
are measured in their own curvature, so that their units do not matter. Nocedal and
Wright (2006), Numerical Optimization, sections 3.4 and 3.1. Near a saddle the gradient is as small
as near a minimum: there a step goes along the curvature that points down, and is doubled while the
function falls (Moré and Sorensen 1979, Mathematical Programming 16). Of many numbers, L-BFGS
(Nocedal and Wright, section 7.2), by optax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import matmul

LARGEST = 60  #: numbers up to which a Hessian is worth its eigenvalues
LEAST_CURVATURE = 1e-8  #: relative to the largest
SLOPE_SHARE = 1e-4  #: share of the predicted fall that a step must bring (Armijo)
SMALLEST_STEP = 1e-6
FARTHEST = 10.0  #: no coordinate moves farther in a step
DOWNWARD = 1e-3  #: share of the largest curvature from which on one that points down counts


class _Step(NamedTuple):
    """A step of Newton's method, and what a parabola says that it brings."""

    move: Array
    fall: Array  #: by the slope alone
    worth: Array  #: of the slope, or of a curvature that points down
    downward: Array  #: whether there is one
    known: Array  #: whether slope and Hessian are numbers


def minimise(
    loss: Callable[[Array], Array],
    start: Array,
    steps: int,
    curvature: Callable[[Array], Array] | None = None,
    farthest: Array | float = FARTHEST,
    *,
    differences: bool = False,
) -> Array:
    """A point where a function is no larger than at its start, by Newton's method.

    Args:
        loss: of a vector; finite at the start.
        start: ``(parameter,)``.
        steps: of Newton's method; L-BFGS takes five times as many.
        curvature: a cheaper function with about the same Hessian, such as the loss of a sample of
            rows (Roosta-Khorasani and Mahoney 2019, Mathematical Programming 174).
        farthest: how far a coordinate moves in a step of Newton's method, ``(parameter,)``.
        differences: take the Hessian from differences of slopes. A density that is clamped, such
            as NumPyro's of a Bernoulli variable of probability 0, has slopes, and NaN for their
            derivative.

    >>> found = minimise(lambda v: ((v - 3) ** 2).sum() + v[0] ** 2, jnp.zeros(2), 50)
    >>> found.round(2).tolist()
    [1.5, 3.0]
    """
    return minimise_and_tell(loss, start, steps, curvature, farthest, differences=differences).place


class Found(NamedTuple):
    """Where a minimisation ended."""

    place: Array
    there: Array  #: whether there is no more to be had
    bends: Array  #: whether the Hessian is a number there, without which no step is taken


def minimise_and_tell(
    loss: Callable[[Array], Array],
    start: Array,
    steps: int,
    curvature: Callable[[Array], Array] | None = None,
    farthest: Array | float = FARTHEST,
    *,
    enough: Array | float = 0.0,
    differences: bool = False,
) -> Found:
    """As :func:`minimise`, and whether there is no more to be had there.

    That is so where neither the slope nor a curvature that points down promised the last step a
    fall of more than ``enough`` and than rounding; without a step it is not known to be. L-BFGS
    promises what the slope does by the curvature that it has seen along its way.

    Args:
        loss: see :func:`minimise`.
        start: see :func:`minimise`.
        steps: see :func:`minimise`.
        curvature: see :func:`minimise`.
        farthest: see :func:`minimise`.
        enough: a fall that does not matter.
        differences: see :func:`minimise`.

    >>> saddle = lambda v: (v[0] ** 2 - 1) ** 2 + v[1] ** 2
    >>> found = minimise_and_tell(saddle, jnp.zeros(2), 50)
    >>> found.place.round(2).tolist() in ([1.0, 0.0], [-1.0, 0.0]), bool(found.there)
    (True, True)
    >>> bool(minimise_and_tell(saddle, jnp.zeros(2), 0).there)
    False
    """
    yes = jnp.ones((), bool)
    if start.size == 0:  # as of effects that add up to zero over one cluster
        return Found(start, yes, yes)
    if start.size > LARGEST:
        place, value, left = _lbfgs(loss, start, steps)
        return Found(place, left <= jnp.maximum(enough, rounding(value)), yes)
    bends = _bends_of(loss if curvature is None else curvature, differences=differences)
    place, value, left, bent = _newton(loss, start, steps, bends, farthest)
    return Found(place, left <= jnp.maximum(enough, rounding(value)), bent)


def promised_fall(
    loss: Callable[[Array], Array],
    place: Array,
    curvature: Callable[[Array], Array] | None = None,
    farthest: Array | float = FARTHEST,
    *,
    differences: bool = False,
) -> Array:
    """The fall that a step of Newton's method promises, by slope and downward curvature.

    Infinite where slope or Hessian are no numbers, so that it is not known.

    Args:
        loss: see :func:`minimise`.
        place: ``(parameter,)``, at most ``LARGEST``.
        curvature: see :func:`minimise`.
        farthest: see :func:`minimise`.
        differences: see :func:`minimise`.

    >>> promised_fall(lambda v: ((v - 3) ** 2).sum(), jnp.array([3.0])).item()
    0.0
    """
    bends = _bends_of(loss if curvature is None else curvature, differences=differences)
    return _step(jax.grad(loss)(place), bends(place), farthest).worth


def _bends_of(loss: Callable[[Array], Array], *, differences: bool) -> Callable[[Array], Array]:
    """The Hessian, by automatic differentiation or by differences of slopes."""
    if not differences:
        return jax.hessian(loss)
    slope = jax.grad(loss)

    def hessian(place: Array) -> Array:
        # the cube root of the precision balances rounding and the curvature's own change
        reach = jnp.cbrt(jnp.finfo(place.dtype).eps) * jnp.maximum(1.0, jnp.abs(place))
        moves = jnp.diag(reach)
        rows = lax.map(lambda m: slope(place + m) - slope(place - m), moves) / (2 * reach[:, None])
        return 0.5 * (rows + rows.T)

    return hessian


def curvature_units(hessian: Array) -> Array:
    """The step of each coordinate over which a function bends by about one, ``(parameter,)``."""
    bend = jnp.abs(jnp.diagonal(hessian))
    return jnp.where((bend > 0) & jnp.isfinite(bend), 1 / jnp.sqrt(bend), 1.0)


def rounding(value: Array) -> Array:
    """What a difference of two values of about this size is not known to."""
    return 4 * jnp.finfo(value.dtype).eps * (1 + jnp.abs(value))


def _step(slope: Array, hessian: Array, farthest: Array | float) -> _Step:
    """A step downhill, no coordinate farther than it may go."""
    tiny = jnp.finfo(slope.dtype).tiny
    unit = curvature_units(hessian)
    curvature, axes = jnp.linalg.eigh(hessian * unit * unit[:, None])
    size = jnp.abs(curvature)
    size = jnp.maximum(size, LEAST_CURVATURE * size.max() + tiny)
    slopes = matmul(axes.T, unit * slope)
    # at a saddle there is no slope: one unit of the curvature that points down
    downward = curvature[0] < -DOWNWARD * size.max()
    sign = jnp.where(slopes[0] > 0, -1.0, 1.0)
    least = sign * jnp.maximum(jnp.abs(slopes[0]) / size[0], 1.0)
    steps = -slopes / size
    steps = steps.at[0].set(jnp.where(downward, least, steps[0]))
    move = unit * matmul(axes, steps)
    move = move / jnp.maximum((jnp.abs(move) / farthest).max(), 1.0)
    move = jnp.where(jnp.isfinite(move).all(), move, 0.0)
    fall = -(slope * move).sum()
    bends = jnp.where(downward, -0.5 * (move * matmul(hessian, move)).sum(), 0.0)
    known = jnp.isfinite(hessian).all() & jnp.isfinite(slope).all()
    worth = jnp.where(known, fall + jnp.maximum(bends, 0.0), jnp.inf)
    return _Step(move, fall, worth, downward, known)


def _newton(
    loss: Callable, start: Array, steps: int, hessian: Callable, farthest: Array | float
) -> tuple[Array, Array, Array, Array]:
    """Where it ended, the value there, what its last step promised, and whether it was known."""
    slope_of = jax.grad(loss)

    def going(state: Any) -> Array:
        count, *_, gained = state
        return (count < steps) & gained

    def step(state: Any) -> Any:
        count, place, value, *_ = state
        slope, bends = slope_of(place), hessian(place)
        move, fall, promised, downward, known = _step(slope, bends, farthest)
        length, reached = _halved(loss, place, value, move, fall, promised > rounding(value))
        most = 1 / jnp.maximum((jnp.abs(move) / farthest).max(), jnp.finfo(place.dtype).tiny)
        most = jnp.where(downward & (length == 1) & (reached < value), most, 0.0)
        length, reached = _doubled(loss, place, move, length, reached, most)
        better = reached < value
        place = jnp.where(better, place + length * move, place)
        gained = better & (promised > rounding(value))
        return count + 1, place, jnp.where(better, reached, value), promised, known, gained

    value, yes = loss(start), jnp.ones((), bool)
    first = (0, start, value, jnp.full_like(value, jnp.inf), yes, yes)
    return lax.while_loop(going, step, first)[1:5]


def _halved(
    loss: Callable, place: Array, value: Array, move: Array, fall: Array, worth_it: Array
) -> tuple[Array, Array]:
    """A length of the step at which the function falls enough, and its value there.

    Of a step that promises no more than rounding it is the whole one.
    """

    def too_long(state: Any) -> Array:
        length, reached = state
        enough = reached <= value - SLOPE_SHARE * length * fall
        return ~enough & (length > SMALLEST_STEP) & worth_it

    def halve(state: Any) -> Any:
        length = 0.5 * state[0]
        return length, loss(place + length * move)

    full_step = jnp.ones((), place.dtype)
    return lax.while_loop(too_long, halve, (full_step, loss(place + move)))


def _doubled(
    loss: Callable, place: Array, move: Array, length: Array, reached: Array, most: Array
) -> tuple[Array, Array]:
    """The length of the step doubled while the function falls, at most so long."""

    def longer(state: Any) -> Array:
        length, _, falls = state
        return falls & (2 * length <= most)

    def double(state: Any) -> Any:
        length, reached, _ = state
        there = loss(place + 2 * length * move)
        falls = there < reached
        return jnp.where(falls, 2 * length, length), jnp.where(falls, there, reached), falls

    return lax.while_loop(longer, double, (length, reached, jnp.ones((), bool)))[:2]


def _lbfgs(loss: Callable, start: Array, steps: int) -> tuple[Array, Array, Array]:
    """Where it ended, the value there, and what its next step promises."""
    import optax

    solver, scaled = optax.lbfgs(), optax.scale_by_lbfgs()
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
    place, moments, best, lowest = lax.fori_loop(0, 5 * steps, step, first)
    place = jnp.where(loss(place) < lowest, place, best)
    value, slope = jax.value_and_grad(loss)(place)
    promised = (slope * scaled.update(slope, moments[0], place)[0]).sum()
    # without a step no curvature has been seen
    known = jnp.isfinite(promised) & (steps > 0)
    return place, value, jnp.where(known, jnp.abs(promised), jnp.inf)
