"""Forward-backward in parallel blocks of steps, for devices on which a step is expensive.

A block's transfer is found from every state that it may be entered in, all blocks and states side
by side; the transfers' running products (an associative scan) say what enters each block; then the
passes of :mod:`.forward_backward` run over all blocks as if they were sequences. 1,000 steps are
passed over in some thirty steps, and what is left is that of the pass step by step, to rounding.

Each row of a transfer, one state of entry, has a power of two of its own: with one for all, a row
that is improbable beside another would vanish even where the other cannot be entered.
"""

from __future__ import annotations

import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import einsum
from ppl_models.distributions.hmm import steps as steps_of


class Transfers(NamedTuple):
    """Matrices ``rows × 2^exponent``.

    ``rows (block, state, state, sequence)``, ``exponent (block, state, sequence)``.
    """

    rows: Array
    exponent: Array


def _power(exponent: Array, dtype: jnp.dtype) -> Array:
    """Two to an integer; zero below the smallest number."""
    info = jnp.finfo(dtype)
    bias = info.maxexp - 1
    integer = jnp.int32 if info.bits == 32 else jnp.int64
    bits = (jnp.clip(exponent, 1 - bias, bias) + bias).astype(integer) << info.nmant
    return jnp.where(exponent < 1 - bias, 0, lax.bitcast_convert_type(bits, dtype))


def _exponents(values: Array) -> Array:
    """Rounded logarithms to base two as 32-bit integers."""
    return steps_of.exponent_of(values).astype(jnp.int32)


def _rescaled(values: Array, exponent: Array) -> tuple[Array, Array]:
    """Vectors ``(state, place)`` whose sums are about one, and what was taken out added up."""
    total = steps_of.sum_over_states(values)
    some = total > 0
    scaled = jnp.where(some, values * steps_of.scaling(total), values)
    return scaled, exponent + jnp.where(some, _exponents(total), 0)


def product(left: Transfers, right: Transfers) -> Transfers:
    """``left @ right``, sequence by sequence."""
    nowhere = -(2**24)
    height = jnp.where(left.rows > 0, _exponents(left.rows) + right.exponent[:, None], nowhere)
    top = height.max(2)
    top = jnp.where(top == nowhere, 0, top)
    shift = _power(right.exponent[:, None] - top[:, :, None], left.rows.dtype)
    weights = jnp.where(left.rows > 0, left.rows * shift, 0)
    count = weights.shape[2]
    if count > steps_of.FEW:
        rows = einsum("tijn,tjkn->tikn", weights, right.rows)
    else:
        weights = lax.optimization_barrier(weights)  # else it is made anew for every column
        terms = (weights[:, :, j, None] * right.rows[:, None, j] for j in range(count))
        rows = functools.reduce(operator.add, terms)
    largest = rows.max(2)
    size = jnp.where(largest > 0, _exponents(largest), 0)
    return Transfers(rows * _power(-size, rows.dtype)[:, :, None], left.exponent + top + size)


def _entering(start: Array, passed: Transfers) -> Array:
    """What enters every block, ``(state, block, sequence)``, its sum about one.

    Args:
        start: what enters the first, ``(state, sequence)``.
        passed: transfers of all blocks but the last, in the order in which they are passed.
    """
    running = lax.associative_scan(product, passed)
    first = jnp.broadcast_to(start, (len(passed.rows), 1, *start.shape))
    exponent = jnp.zeros((len(passed.rows), 1, start.shape[1]), jnp.int32)
    later = product(Transfers(first, exponent), running).rows[:, 0]
    return jnp.concatenate([start[:, None], jnp.moveaxis(later, 1, 0)], 1)


def blocked(values: Array, sequences: int, size: int, padding: float = 0) -> Array:
    """``(..., place)`` with blocks as sequences: ``(..., step of a block, block, sequence)``."""
    lead = values.shape[:-1]
    values = values.reshape(*lead, -1, sequences)
    lacking = -values.shape[-2] % size
    if lacking:
        edges = [(0, 0)] * len(lead) + [(0, lacking), (0, 0)]
        values = jnp.pad(values, edges, constant_values=padding)
    return jnp.swapaxes(values.reshape(*lead, -1, size, sequences), -3, -2)


def unblocked(values: Array, steps: int) -> Array:
    """The inverse of :func:`blocked`, ``(..., place)``."""
    lead, sequences = values.shape[:-3], values.shape[-1]
    values = jnp.swapaxes(values, -3, -2).reshape(*lead, -1, sequences)
    return values[..., :steps, :].reshape(*lead, -1)


def _flat(values: Array) -> Array:
    """``(..., step, block, sequence)`` as ``(..., place)``."""
    return values.reshape(*values.shape[:-3], -1)


def _transfers(ending: Array, exponent: Array, blocks: int) -> Transfers:
    """From ``(state of entry, state, block × sequence)`` and exponents without the second axis."""
    states = len(ending)
    rows = jnp.moveaxis(ending.reshape(states, states, blocks, -1), 2, 0)
    return Transfers(rows, jnp.moveaxis(exponent.reshape(states, blocks, -1), 1, 0))


def forward(step: Array, start: Array, likelihood: Array, size: int) -> tuple[Array, Array]:
    """What :func:`.forward_backward.forward` needs: see there, and ``Filtered``.

    Args:
        step: ``(state, state)``.
        start: what arrives at the first step, ``(state, sequence)``.
        likelihood: of the emissions, ``(state, place)``.
        size: steps of a block.
    """
    states, sequences = start.shape
    steps = likelihood.shape[1] // sequences
    pieces = blocked(likelihood, sequences, size, 1)
    blocks, places = pieces.shape[2], _flat(pieces)
    width = blocks * sequences

    def from_state(unit: Array) -> tuple[Array, Array]:
        def one(place: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            arriving, exponent = state
            joint = arriving * lax.dynamic_slice_in_dim(places, place * width, width, 1)
            joint, exponent = _rescaled(joint, exponent)
            return steps_of.apply(step, joint, False), exponent

        arriving = jnp.broadcast_to(unit[:, None], (states, width))
        return lax.fori_loop(0, size, one, (arriving, jnp.zeros(width, jnp.int32)))

    units = jnp.eye(states, dtype=likelihood.dtype)
    passed = _transfers(*jax.vmap(from_state)(units), blocks)
    entering = _entering(start, Transfers(*(v[:-1] for v in passed)))
    over = jnp.zeros_like(places), jnp.ones_like(places[0])
    joint, scales = steps_of.forward_steps(step, entering.reshape(states, -1), places, over)
    joint = joint.reshape(states, size, blocks, sequences)
    scales = scales.reshape(size, blocks, sequences)
    # what enters a block is what left the one before, but for a power of two
    left = steps_of.apply(step, joint[:, -1, :-1].reshape(states, -1), False)
    ratio = steps_of.safe(steps_of.sum_over_states(entering[:, 1:]).reshape(-1))
    ratio = ratio / steps_of.safe(steps_of.sum_over_states(left))
    exact = _power(jnp.round(jnp.log2(ratio)).astype(jnp.int32), ratio.dtype)
    scales = scales.at[0, 1:].set(exact.reshape(blocks - 1, sequences))
    return unblocked(joint, steps), unblocked(scales, steps)


def backward(
    step: Array,
    ending: Array,
    filtered: steps_of.Filtered,
    seen: Array,
    weights: Array,
    size: int,
) -> tuple[Array, Array, Array]:
    """What :func:`.forward_backward.backward` needs: see there."""
    states, sequences = ending.shape
    steps = filtered.joint.shape[1] // sequences
    likelihood = blocked(filtered.likelihood, sequences, size, 1)
    joint, scales = (blocked(v, sequences, size, 1) for v in (filtered.joint, filtered.scales))
    there = blocked(seen, sequences, size, False)
    blocks, places = there.shape[1], _flat(likelihood)
    width = blocks * sequences

    def from_state(unit: Array) -> tuple[Array, Array]:
        def one(passed: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            ahead, exponent = state
            place = (size - 1 - passed) * width
            emitted, here = (
                lax.dynamic_slice_in_dim(v, place, width, -1) for v in (places, _flat(there))
            )
            after, further = _rescaled(steps_of.apply(step, ahead * emitted, True), exponent)
            return jnp.where(here, after, ahead), jnp.where(here, further, exponent)

        ahead = jnp.broadcast_to(unit[:, None], (states, width))
        return lax.fori_loop(0, size, one, (ahead, jnp.zeros(width, jnp.int32)))

    units = jnp.eye(states, dtype=ending.dtype)
    passed = _transfers(*jax.vmap(from_state)(units), blocks)
    entering = _entering(ending, Transfers(*(v[:0:-1] for v in passed)))[:, ::-1]
    total = steps_of.sum_over_states(joint[:, -1] * entering)
    most = jnp.finfo(ending.dtype).max / 64
    entering = jnp.minimum(entering / steps_of.safe(total), most)
    entering = jnp.where(there[-1], entering, ending[:, None])
    last = jnp.zeros((states, width), ending.dtype)
    laid = steps_of.Filtered(places, _flat(joint), _flat(scales), last)
    marginals, right, first = steps_of.backward_steps(
        step, entering.reshape(states, -1), laid, _flat(there), jnp.tile(weights, blocks)
    )
    first = first.reshape(states, blocks, sequences)
    right = right.reshape(states, size, blocks, sequences)
    right = right.at[:, -1, :-1].set(first[:, 1:])
    marginals = marginals.reshape(right.shape)
    return unblocked(marginals, steps), unblocked(right, steps), first[:, 0]
