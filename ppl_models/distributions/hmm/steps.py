"""The passes of forward-backward step by step, all sequences side by side.

Probabilities are scaled at every step by powers of two, see :mod:`.forward_backward`.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import matmul

FEW = 16  #: states up to which products are written out


class Filtered(NamedTuple):
    """What the forward pass leaves, by place: step after step, of which sequences vary fastest."""

    likelihood: Array  #: of the emissions, relative to the likeliest state, ``(state, place)``
    joint: Array  #: P(state | all up to the step), scaled, ``(state, place)``
    scales: Array  #: by how much more than at the step before, ``(place,)``
    last: Array  #: the same at the last step, before the end, ``(state, sequence)``


def safe(total: Array) -> Array:
    """A total to divide by: one for zero."""
    return jnp.where(total > 0, total, 1)


def sum_over_states(values: Array) -> Array:
    """Sum over the first axis: few states are written out, so that vectors run along sequences."""
    if len(values) > FEW:
        return values.sum(0)
    return functools.reduce(operator.add, values)


def scaling(total: Array) -> Array:
    """The power of two that brings a positive number between one and two, finite for zero."""
    bias, place = jnp.finfo(total.dtype).maxexp - 1, jnp.finfo(total.dtype).nmant
    bits = (bias - exponent_of(total)) << place
    return lax.bitcast_convert_type(bits, total.dtype)


def exponent_of(value: Array) -> Array:
    """The logarithm of a positive number to base two, rounded down."""
    info = jnp.finfo(value.dtype)
    bits = lax.bitcast_convert_type(value, jnp.int32 if info.bits == 32 else jnp.int64)
    return (bits >> info.nmant) - (info.maxexp - 1)


def apply(step: Array, values: Array, back: bool) -> Array:
    """Vectors ``(state, sequence)`` moved one step forward along the Markov chain, or back.

    Few states are written out: a call of a library at every step would cost more than the product.
    """
    if step.ndim == 3:
        return _apply_to_pairs(step, values, back)
    matrix = step if back else step.T
    if len(values) > FEW:
        return matmul(matrix, values)
    return functools.reduce(operator.add, (matrix[:, i, None] * v for i, v in enumerate(values)))


def _apply_to_pairs(step: Array, values: Array, back: bool) -> Array:
    before, here = step.shape[:2]
    pairs = values.reshape(before, here, -1)
    if back:
        terms = (step[:, :, k, None] * pairs[:here, k] for k in range(here))
        return functools.reduce(operator.add, terms).reshape(values.shape)
    terms = (step[p, ..., None] * pairs[p, :, None] for p in range(before))
    moved = functools.reduce(operator.add, terms).reshape(here * here, -1)
    return jnp.pad(moved, ((0, here), (0, 0)))  # none comes before the first step alone


def _write(into: Array, values: Array, place: Any) -> Array:
    """``values (..., sequence)`` written into ``(..., place)``."""
    return lax.dynamic_update_slice_in_dim(into, values, place, -1)


_put = jax.custom_batching.custom_vmap(_write)


@_put.def_vmap
def _put_side_by_side(
    size: int, batched: list, into: Array, values: Array, place: Any
) -> tuple[Array, bool]:
    """In one piece: JAX's own rule makes a scatter of it, cell by cell."""
    if not any(batched[:2]):
        return _write(into, values, place), False
    into, values = (
        v if there else jnp.broadcast_to(v, (size, *v.shape))
        for v, there in zip((into, values), batched, strict=False)
    )
    return _write(into, values, place), True


def _at(values: Array, place: Any, sequences: int) -> Array:
    """One step of all sequences, ``(..., sequence)`` of ``(..., place)``."""
    return lax.dynamic_slice_in_dim(values, place, sequences, -1)


def forward_steps(
    step: Array, start: Array, likelihood: Array, over: tuple[Array, Array]
) -> tuple[Array, Array]:
    """P(state | all up to the step), scaled, and the scales: see :class:`Filtered`.

    A scale is handed to the next step as a number: made anew from the same terms, a sum next to a
    power of two could be rounded to its other side. Results are written in place: ``lax.scan``
    would need an array with the steps first, and copies to it and from it take longer than the
    pass.

    Args:
        step: see :class:`PathFactors`.
        start: what arrives at the first step, ``(state, sequence)``.
        likelihood: of the emissions, ``(state, place)``.
        over: arrays of the results' shapes that nobody needs any more, to be written over.
    """
    sequences, steps = start.shape[1], likelihood.shape[1] // start.shape[1]

    def one(count: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        arriving, scale, filtered, scales = state
        place = count * sequences
        joint = arriving * scale * _at(likelihood, place, sequences)
        filtered, scales = _put(filtered, joint, place), _put(scales, scale, place)
        return apply(step, joint, False), scaling(sum_over_states(joint)), filtered, scales

    begun = start, jnp.ones(sequences, likelihood.dtype), *over
    return lax.fori_loop(0, steps, one, begun)[2:]


def backward_steps(
    step: Array, ending: Array, filtered: Filtered, seen: Array, weights: Array
) -> tuple[Array, Array, Array]:
    """Weighted probabilities of the states ``(state, place)``, and their factors.

    Args:
        step: see :class:`PathFactors`.
        ending: what arrives at the end, such that probabilities add up to one,
            ``(state, sequence)``.
        filtered: what the forward pass left.
        seen: which steps sequences have, ``(place,)``.
        weights: ``(sequence,)``.

    Returns:
        The probabilities; ``right`` of :class:`PathPosterior`; and what belongs to the first steps,
        ``(state, sequence)``.
    """
    sequences, places = ending.shape[1], filtered.joint.shape[1]
    steps, most = places // sequences, jnp.finfo(filtered.joint.dtype).max / 64

    def one(passed: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        ahead, _, marginals, right = state
        count = steps - 1 - passed
        likelihood, joint, scale, there = (
            _at(values, count * sequences, sequences)
            for values in (filtered.likelihood, filtered.joint, filtered.scales, seen)
        )
        marginal = joint * ahead
        # beyond any number is what only a state that cannot be there would give
        arriving = jnp.minimum(ahead * (likelihood * scale), most)
        # probabilities add up to one but for the rounding of all later steps, which one step of
        # Newton's for its inverse takes away without a division
        weight = jnp.where(there, weights * (2 - sum_over_states(marginal)), 0)
        after = jnp.where(there, apply(step, arriving, True), ahead)
        weighted = arriving * weight
        # what arrives at the first step comes from none: nothing is left in the last one's place
        place, moved = jnp.where(count > 0, count - 1, steps - 1), jnp.where(count > 0, weighted, 0)
        marginals = _put(marginals, marginal * weight, count * sequences)
        return after, weighted, marginals, _put(right, moved, place * sequences)

    # (of different numbers: buffers that began alike would be one, and copied)
    begun = ending, ending, jnp.ones_like(filtered.joint), jnp.zeros_like(filtered.joint)
    _, first, marginals, right = lax.fori_loop(0, steps, one, begun)
    return marginals, right, first
