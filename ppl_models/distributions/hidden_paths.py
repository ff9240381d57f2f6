"""Passes over hidden paths, all of them summed.

Steps are passed over one by one, all sequences side by side. Probabilities are scaled at every
step, so that nothing underflows however long the sequence (Rabiner 1989): by powers of two, which
is exact, needs no division, and leaves exponents to add up as integers. What comes back along the
sequence, the posterior shares of states and of steps, is the gradient too.

States are the first axis, and places, all steps of all sequences, the last: what is done at every
place runs along one long vector. (Cutting sequences into blocks that are passed over side by side,
by their transfer matrices, was measured: it costs a factor of the number of states more work, and
was slower from five states on. So were both directions in one loop.)

A chain of second order is one over pairs (before, here) of states, where "before" may also be
"none", which comes last: so the first step is a step as all others. From (before, here) only pairs
(here, after) can be reached, and passes sum over "before" alone: K³ products and not K⁴.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

FEW = 16  #: states up to which products are written out


class Chain(NamedTuple):
    """A hidden chain: ``initial (state,)``, ``step (state, state)``, ``end (state[, sequence])``.

    ``end`` is the probability of ending after a state, and ``step`` sums to one less that; ones
    for a chain that does not end by itself, or for sequences that are cut by their observer.

    Of second order, ``step`` is ``(before, here, after)`` with one more "before" than states, and
    a "state" is a pair: number ``before × K + here`` of K (K + 1).
    """

    initial: Array
    step: Array
    end: Array


class Paths(NamedTuple):
    """What is known of the paths: ``states (state, step, sequence)`` are their shares.

    Steps from state i to state j, summed over all steps, are ``weigh[i, j]`` times the product of
    ``left (state, step, sequence)`` and ``right`` over steps and sequences.
    """

    states: Array
    left: Array
    right: Array
    weigh: Array


class _Steps(NamedTuple):
    """Emissions ``(state, place)`` and masks ``(place,)``; sequences vary fastest."""

    likelihood: Array  #: scaled, so that the likeliest state of every place has 1
    top: Array  #: logarithm of the scale
    active: Array  #: whether the sequence has the step
    more: Array  #: whether it has one after it


def scaled_steps(logits: Array, lengths: Array) -> _Steps:
    """Emissions of ``logits (state, step, sequence)`` as passes need them."""
    count = jnp.arange(logits.shape[1])[:, None]
    logits = logits.reshape(len(logits), -1)
    top = logits.max(0) if len(logits) > FEW else functools.reduce(jnp.maximum, logits)
    top = lax.optimization_barrier(top)  # else it is found again for every state
    safe = jnp.where(jnp.isfinite(top), top, 0)
    active, more = ((count < last).reshape(-1) for last in (lengths, lengths - 1))
    return _Steps(jnp.exp(logits - safe), top, active, more)


def _safe(total: Array) -> Array:
    return jnp.where(total > 0, total, 1)


def over_states(values: Array) -> Array:
    """Over the first axis, states: few are written out, so that vectors run along sequences."""
    if len(values) > FEW:
        return values.sum(0)
    return functools.reduce(operator.add, values)


def _scaling(total: Array) -> Array:
    """The power of two that brings a positive number between one and two, finite for zero."""
    bias, place = jnp.finfo(total.dtype).maxexp - 1, jnp.finfo(total.dtype).nmant
    found = (bias - _exponent(total)) << place
    return lax.bitcast_convert_type(found, total.dtype)


def _exponent(value: Array) -> Array:
    """The logarithm of a positive number to base two, rounded down."""
    info = jnp.finfo(value.dtype)
    bits = lax.bitcast_convert_type(value, jnp.int32 if info.bits == 32 else jnp.int64)
    return (bits >> info.nmant) - (info.maxexp - 1)


def _sum_of_products(left: Array, right: Array) -> Array:
    """Over states, without an array of the products."""
    if len(left) > FEW:
        return (left * right).sum(0)
    return functools.reduce(operator.add, map(operator.mul, left, right))


def _apply(step: Array, values: Array, back: bool) -> Array:
    """Vectors ``(state, sequence)`` moved one step on along the chain, or back.

    Few states are written out: a call of a library at every step would cost more than the product.
    """
    if step.ndim == 3:
        return _apply_to_pairs(step, values, back)
    matrix = step if back else step.T
    if len(values) > FEW:
        return matrix @ values
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


def _pass(
    step: Array, start: Array, likelihood: Array, back: Array | None = None
) -> tuple[Array, Array]:
    """One pass along all sequences, ``(state, place)``, and by what it was scaled, ``(place,)``.

    What arrives at a step is scaled, weighed by its emission, and moved on. Forward, what arrived
    is kept; back, it is kept weighed, and a step of zeros comes last. A scale is handed to the next
    step as a number: made anew from the same terms, a sum next to a power of two could be rounded
    to its other side.

    Results are written in place: ``lax.scan`` would need an array with the steps first, and copies
    to it and from it take longer than the pass.

    Args:
        step: see :class:`Chain`.
        start: what arrives at the first step, ``(state, sequence)``.
        likelihood: of the emissions, ``(state, place)``.
        back: go from the last step to the first, and move on only where this mask ``(place,)`` is
            true.
    """
    sequences = start.shape[1]
    steps = likelihood.shape[1] // sequences

    def one(count: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        arriving, scale, kept, scales = state
        place = (count if back is None else steps - 1 - count) * sequences
        here = arriving * scale
        joint = here * lax.dynamic_slice_in_dim(likelihood, place, sequences, 1)
        after, following, found = (
            _apply(step, joint, back is not None),
            _scaling(over_states(joint)),
            here,
        )
        if back is not None:
            moves = lax.dynamic_slice_in_dim(back, place, sequences)
            after, following = jnp.where(moves, after, arriving), jnp.where(moves, following, scale)
            found = joint
        kept = lax.dynamic_update_slice_in_dim(kept, found, place, 1)
        scales = lax.dynamic_update_slice_in_dim(scales, scale, place, 0)
        return after, following, kept, scales

    dtype, places = likelihood.dtype, (steps + (back is not None)) * sequences
    kept, scales = jnp.zeros((len(start), places), dtype), jnp.zeros(steps * sequences, dtype)
    begun = start, jnp.ones(sequences, dtype), kept, scales
    return lax.fori_loop(0, steps, one, begun)[2:]


def everywhere(share: Array, sequences: int) -> Array:
    """What holds of every state, for every sequence: ``(state, sequence)``."""
    return jnp.broadcast_to(share.reshape(len(share), -1), (len(share), sequences))


def forward(chain: Chain, steps: _Steps, lengths: Array) -> tuple[Array, Array, Array]:
    """What arrives ``(state, place)``, its scales ``(place,)``; log-likelihoods ``(sequence,)``."""
    start, end = (everywhere(share, len(lengths)) for share in (chain.initial, chain.end))
    arriving, scales = _pass(chain.step, start, steps.likelihood)
    scaled = jnp.where(steps.active, _exponent(scales), 0).reshape(-1, len(lengths)).sum(0)
    tops = _long_sum(jnp.where(steps.active, steps.top, 0).reshape(-1, len(lengths)))
    last = at_last(arriving, steps.likelihood, start, lengths)
    total = exact_log(over_states(last * end)) - math.log(2) * scaled + tops
    return arriving, scales, total


def at_last(arriving: Array, likelihood: Array, start: Array, lengths: Array) -> Array:
    """Shares of the states before the end, ``(state, sequence)``, not scaled."""
    place = last_place(lengths)
    return jnp.where(lengths > 0, arriving[:, place] * likelihood[:, place], start)


def last_place(lengths: Array) -> Array:
    """Where every sequence's last step is, ``(sequence,)``."""
    return jnp.clip(lengths - 1, 0) * len(lengths) + jnp.arange(len(lengths))


def _long_sum(values: Array) -> Array:
    """Over the first axis, in blocks: a long sum has no room for the last digits of its terms."""
    size = max(1, math.isqrt(len(values)))
    padded = jnp.pad(values, ((0, -len(values) % size), (0, 0)))
    return padded.reshape(-1, size, padded.shape[1]).sum(1).sum(0)


@jax.custom_vjp
def log_likelihood(chain: Chain, logits: Array, lengths: Array) -> Array:
    """All paths summed, ``(sequence,)``; ``-inf`` where no path is possible.

    Its gradient is what :func:`expected` finds: it has no forward mode.

    Args:
        chain: the hidden chain.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """
    return forward(chain, scaled_steps(logits, lengths), lengths)[2]


def _with_slopes(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Any]:
    total, paths, slopes = _expected(chain, logits, lengths)
    return total, (chain, paths, slopes)


def _pull_back(found: Any, weights: Array) -> tuple[Chain, Array, None]:
    chain, paths, slopes = found
    pull = jax.vjp(
        lambda *shares: tuple(everywhere(share, len(weights)) for share in shares),
        chain.initial,
        chain.end,
    )[1]
    initial, end = pull(tuple(slope * weights for slope in slopes))
    step = transitions(paths._replace(weigh=jnp.ones_like(chain.step)), weights)
    return Chain(initial, step, end), paths.states * weights, None


log_likelihood.defvjp(_with_slopes, _pull_back)


def expected(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Paths]:
    """All paths summed: log-likelihoods, and posterior shares of states and of steps."""
    return _expected(chain, logits, lengths)[:2]


def _expected(
    chain: Chain, logits: Array, lengths: Array
) -> tuple[Array, Paths, tuple[Array, Array]]:
    """And derivatives by the shares of a sequence's first state and of its end."""
    sequences = len(lengths)
    steps = scaled_steps(logits, lengths)
    arriving, scales, total = forward(chain, steps, lengths)
    start, end = (everywhere(share, sequences) for share in (chain.initial, chain.end))
    ahead, _ = _pass(chain.step, end, steps.likelihood, steps.active)
    here, after = ahead[:, :-sequences], ahead[:, sequences:]
    norm = 1 / _safe(_sum_of_products(arriving, here))
    states = arriving * here * lax.optimization_barrier(jnp.where(steps.active, norm, 0))
    # a step from here to the next is scaled as what arrives there is
    scale = jnp.pad(jnp.where(steps.active, norm * scales, 0)[sequences:], (0, sequences))
    right = after * lax.optimization_barrier(scale)  # else it is found again for every state
    states, left, right = (
        values.reshape(logits.shape) for values in (states, arriving * steps.likelihood, right)
    )
    last = at_last(arriving, steps.likelihood, start, lengths)
    whole = _safe(over_states(last * end))
    first = jnp.where(lengths > 0, here[:, :sequences] * norm[:sequences], end / whole)
    return total, Paths(states, left, right, chain.step), (first, last / whole)


def filtered_states(chain: Chain, logits: Array, lengths: Array) -> Array:
    """P(state | all up to the step), ``(state, step, sequence)``."""
    steps = scaled_steps(logits, lengths)
    joint = forward(chain, steps, lengths)[0] * steps.likelihood
    return (joint / _safe(over_states(joint))).reshape(logits.shape)


def exact_log(value: Array) -> Array:
    """``-inf`` for zero, without a division by it in the gradient."""
    return jnp.where(value > 0, jnp.log(jnp.where(value > 0, value, 1)), -jnp.inf)


def transitions(paths: Paths, weights: Array) -> Array:
    """Weighted number of steps from state to state, ``(state, state)`` or as of :class:`Chain`.

    Args:
        paths: what is known of them.
        weights: of the sequences, ``(sequence,)``.
    """
    steps = paths.left.shape[1]
    left, right = (v.reshape(len(v), -1) for v in (paths.left, paths.right))
    right = right * at_all_steps(weights, steps)
    if paths.weigh.ndim == 3:
        before, here = paths.weigh.shape[:2]
        left = left.reshape(before, here, -1)
        right = right.reshape(before, here, -1)[:here]
        return paths.weigh * jnp.einsum("pin,ikn->pik", left, right)
    return paths.weigh * jnp.einsum("in,jn->ij", left, right)


def at_all_steps(weights: Array, steps: int) -> Array:
    """Of sequences ``(sequence,)`` or steps ``(step, sequence)``, for every place: ``(place,)``."""
    whole = jnp.broadcast_to(weights, (steps, weights.shape[-1]))
    return lax.optimization_barrier(whole).reshape(-1)  # else indices are divided at every place


def endings(paths: Paths, weights: Array, lengths: Array) -> Array:
    """Weighted number of sequences that ended in each state, ``(state,)``."""
    last = jax.vmap(lambda shares, place: shares[:, place], (2, 0), 1)(
        paths.states, jnp.clip(lengths - 1, 0)
    )
    return (last * weights).sum(-1)
