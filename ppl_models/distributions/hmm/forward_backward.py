"""Forward-backward: likelihoods of sequences and posteriors of their state paths.

Steps are passed over one by one, all sequences side by side. Probabilities are scaled at every
step, so that nothing underflows however long the sequence (Rabiner 1989): by powers of two, which
is exact, needs no division, and leaves exponents to add up as integers. The backward pass uses the
scales of the forward pass, so that the product of the two is the posterior of the states, and of
the transitions, as it stands. Weighted by sequence these are the gradient of the log-likelihood,
and the expected statistics: whoever asks for either has the weights by then.

States are the first axis, and places, all steps of all sequences, the last: what is done at every
place runs along one long vector. (Cutting sequences into blocks that are passed over side by side,
by their transfer matrices, was measured: it costs a factor of the number of states more work, and
was slower from five states on. So were both directions in one loop.)

A Markov chain of second order is one over pairs (before, here) of states, where "before" may also
be "none", which comes last: so the first step is a step as all others. From (before, here) only
pairs (here, after) can be reached, and passes sum over "before" alone: K³ products and not K⁴.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models.distributions.contraction import einsum, matmul

FEW = 16  #: states up to which products are written out


class PathFactors(NamedTuple):
    """The factors of a path's probability: initial[z₁] Π step[z_t, z_t+1] · end[z_T].

    ``initial (state,)``, ``step (state, state)``, ``end (state[, sequence])``. ``end`` is the
    probability of ending after a state, and the rows of ``step`` sum to one less that; it is one
    for a Markov chain that does not end by itself, and for sequences that were cut by their
    observer.

    Of second order, ``step`` is ``(before, here, after)`` with one more "before" than states, and
    a "state" is a pair: number ``before × K + here`` of K (K + 1).
    """

    initial: Array
    step: Array
    end: Array


class PathPosterior(NamedTuple):
    """The posterior of paths, weighted by sequence.

    ``states (state, step, sequence)`` are weighted probabilities of the states. The expected number
    of steps from state i to state j is ``step[i, j]`` times the product of ``left (state, step,
    sequence)`` and ``right``, summed over steps and sequences.
    """

    states: Array
    left: Array
    right: Array
    step: Array


class Filtered(NamedTuple):
    """What the forward pass leaves, by place: step after step, of which sequences vary fastest."""

    likelihood: Array  #: of the emissions, relative to the likeliest state, ``(state, place)``
    joint: Array  #: P(state | all up to the step), scaled, ``(state, place)``
    scales: Array  #: by how much more than at the step before, ``(place,)``
    last: Array  #: the same at the last step, before the end, ``(state, sequence)``


def _scaled(logits: Array) -> tuple[Array, Array]:
    """Likelihoods of ``logits (state, step, sequence)``, and the logarithm of their scale."""
    logits = logits.reshape(len(logits), -1)
    top = logits.max(0) if len(logits) > FEW else functools.reduce(jnp.maximum, logits)
    top = lax.optimization_barrier(top)  # else it is computed again for every state
    safe = jnp.where(jnp.isfinite(top), top, 0)
    return jnp.exp(logits - safe), top


def active(lengths: Array, steps: int) -> Array:
    """Which steps sequences have, ``(place,)``."""
    return (jnp.arange(steps)[:, None] < lengths).reshape(-1)


def _safe(total: Array) -> Array:
    return jnp.where(total > 0, total, 1)


def sum_over_states(values: Array) -> Array:
    """Sum over the first axis: few states are written out, so that vectors run along sequences."""
    if len(values) > FEW:
        return values.sum(0)
    return functools.reduce(operator.add, values)


def _scaling(total: Array) -> Array:
    """The power of two that brings a positive number between one and two, finite for zero."""
    bias, place = jnp.finfo(total.dtype).maxexp - 1, jnp.finfo(total.dtype).nmant
    bits = (bias - _exponent(total)) << place
    return lax.bitcast_convert_type(bits, total.dtype)


def _exponent(value: Array) -> Array:
    """The logarithm of a positive number to base two, rounded down."""
    info = jnp.finfo(value.dtype)
    bits = lax.bitcast_convert_type(value, jnp.int32 if info.bits == 32 else jnp.int64)
    return (bits >> info.nmant) - (info.maxexp - 1)


def _apply(step: Array, values: Array, back: bool) -> Array:
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


def _forward(
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
        return _apply(step, joint, False), _scaling(sum_over_states(joint)), filtered, scales

    begun = start, jnp.ones(sequences, likelihood.dtype), *over
    return lax.fori_loop(0, steps, one, begun)[2:]


def _backward(
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
        after = jnp.where(there, _apply(step, arriving, True), ahead)
        weighted = arriving * weight
        # what arrives at the first step comes from none: nothing is left in the last one's place
        place, moved = jnp.where(count > 0, count - 1, steps - 1), jnp.where(count > 0, weighted, 0)
        marginals = _put(marginals, marginal * weight, count * sequences)
        return after, weighted, marginals, _put(right, moved, place * sequences)

    # (of different numbers: buffers that began alike would be one, and copied)
    begun = ending, ending, jnp.ones_like(filtered.joint), jnp.zeros_like(filtered.joint)
    _, first, marginals, right = lax.fori_loop(0, steps, one, begun)
    return marginals, right, first


def for_every_sequence(values: Array, sequences: int) -> Array:
    """``values (state[, sequence])`` broadcast to ``(state, sequence)``."""
    return jnp.broadcast_to(values.reshape(len(values), -1), (len(values), sequences))


def forward(factors: PathFactors, logits: Array, lengths: Array) -> tuple[Array, Filtered]:
    """Log-likelihoods ``(sequence,)``, all paths summed, and what the pass leaves.

    Args:
        factors: of the probability of a path.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """
    sequences = len(lengths)
    likelihood, top = _scaled(logits)
    seen = active(lengths, logits.shape[1])
    start = for_every_sequence(factors.initial, sequences)
    over = logits.reshape(likelihood.shape), top
    joint, scales = _forward(factors.step, start, likelihood, over)
    logs = top - math.log(2) * _exponent(scales).astype(top.dtype)
    scaled = _by_sequence(jnp.where(seen, logs, 0), sequences)
    last = jnp.where(lengths > 0, joint[:, last_place(lengths)], start)
    at_end = sum_over_states(last * for_every_sequence(factors.end, sequences))
    total = exact_log(at_end) + scaled
    return total, Filtered(likelihood, joint, scales, last)


def last_place(lengths: Array) -> Array:
    """Where every sequence's last step is, ``(sequence,)``."""
    return jnp.clip(lengths - 1, 0) * len(lengths) + jnp.arange(len(lengths))


def _by_sequence(values: Array, sequences: int) -> Array:
    """Sums ``(sequence,)`` of ``(place,)``, in blocks of steps.

    A long sum has no room for the last digits of its terms, and a short axis none for a vector.
    """
    steps = len(values) // sequences
    size = math.isqrt(steps)
    blocks = values[: steps // size * size * sequences].reshape(-1, size * sequences).sum(0)
    rest = values[steps // size * size * sequences :]
    partial = jnp.concatenate([blocks, rest]) if len(rest) else blocks
    return partial.reshape(-1, sequences).sum(0)


def backward(
    factors: PathFactors, filtered: Filtered, weights: Array, lengths: Array
) -> PathPosterior:
    """The posterior of all paths, weighted by sequence, ``weights (sequence,)``."""
    return _backward_and_ends(factors, filtered, weights, lengths)[0]


def _backward_and_ends(
    factors: PathFactors, filtered: Filtered, weights: Array, lengths: Array
) -> tuple[PathPosterior, Array, Array]:
    """And the weighted gradients in the probabilities of a sequence's first state and its end."""
    sequences, last = len(lengths), filtered.last
    seen = active(lengths, filtered.joint.shape[1] // sequences)
    end = for_every_sequence(factors.end, sequences)
    at_end = sum_over_states(last * end)
    weights = jnp.where(at_end > 0, weights, 0)  # an impossible sequence has no paths
    each = 1 / _safe(at_end)
    ending = jnp.minimum(end * each, jnp.finfo(end.dtype).max / 64)
    marginals, right, first = _backward(factors.step, ending, filtered, seen, weights)
    left = filtered.joint
    states, left, right = (v.reshape(len(v), -1, sequences) for v in (marginals, left, right))
    posterior = PathPosterior(states, left, right, factors.step)
    first = jnp.where(lengths > 0, first, end * (each * weights))
    return posterior, first, last * (each * weights)


@jax.custom_vjp
def log_likelihood(factors: PathFactors, logits: Array, lengths: Array) -> Array:
    """Log-likelihoods ``(sequence,)``, all paths summed; ``-inf`` where no path is possible.

    Its gradient is what :func:`backward` computes. It has no forward mode, and its gradient has no
    reverse one: a Hessian is the forward mode of the gradient, as of ``jax.hessian``. See
    :func:`forward`.
    """
    return forward(factors, logits, lengths)[0]


def _and_filtered(factors: PathFactors, logits: Array, lengths: Array) -> tuple[Array, Any]:
    total, filtered = forward(factors, logits, lengths)
    return total, (factors, filtered, lengths)


def _pull_back(
    residuals: tuple[PathFactors, Filtered, Array], weights: Array
) -> tuple[PathFactors, Array, None]:
    factors, filtered, lengths = residuals
    posterior, *ends = _backward_and_ends(factors, filtered, weights, lengths)
    pull = jax.vjp(
        lambda *parts: tuple(for_every_sequence(part, len(lengths)) for part in parts),
        factors.initial,
        factors.end,
    )[1]
    initial, end = pull(tuple(ends))
    step = transitions(posterior._replace(step=jnp.ones_like(factors.step)))
    return PathFactors(initial, step, end), posterior.states, None


log_likelihood.defvjp(_and_filtered, _pull_back)


def filtered_states(factors: PathFactors, logits: Array, lengths: Array) -> Array:
    """P(state | all up to the step), ``(state, step, sequence)``."""
    joint = forward(factors, logits, lengths)[1].joint
    return (joint / _safe(sum_over_states(joint))).reshape(logits.shape)


def exact_log(value: Array) -> Array:
    """``-inf`` for zero, without a division by it in the gradient."""
    return jnp.where(value > 0, jnp.log(jnp.where(value > 0, value, 1)), -jnp.inf)


def transitions(posterior: PathPosterior) -> Array:
    """Expected weighted transition counts, of the shape of ``step`` of :class:`PathFactors`."""
    left, right = (v.reshape(len(v), -1) for v in (posterior.left, posterior.right))
    if posterior.step.ndim == 3:
        before, here = posterior.step.shape[:2]
        left = left.reshape(before, here, -1)
        right = right.reshape(before, here, -1)[:here]
        return posterior.step * einsum("pin,ikn->pik", left, right)
    return posterior.step * einsum("in,jn->ij", left, right)


def endings(posterior: PathPosterior, lengths: Array) -> Array:
    """Weighted probability of each state at the end of every sequence, ``(state, sequence)``."""
    return jax.vmap(lambda states, place: states[:, place], (2, 0), 1)(
        posterior.states, jnp.clip(lengths - 1, 0)
    )
