"""Forward-backward: likelihoods of sequences and posteriors of their state paths.

Steps are passed over one by one, all sequences side by side. Probabilities are scaled at every
step, so that nothing underflows however long the sequence (Rabiner 1989): by powers of two, which
is exact, needs no division, and leaves exponents to add up as integers. The backward pass uses the
scales of the forward pass, so that the product of the two is the posterior of the states, and of
the transitions, as it stands. Weighted by sequence these are the gradient of the log-likelihood,
and the expected statistics: whoever asks for either has the weights by then.

States are the first axis, and places, all steps of all sequences, the last: what is done at every
place runs along one long vector. (Cutting sequences into blocks that are passed over side by side,
by their transfer matrices, was measured on a processor: it costs a factor of the number of states
more work, and was slower from five states on. So were both directions in one loop. Where a step of
a loop is dear, on a GPU, blocks are what serves: see :mod:`.blocks`.)

A Markov chain of second order is one over pairs (before, here) of states, where "before" may also
be "none", which comes last: so the first step is a step as all others. From (before, here) only
pairs (here, after) can be reached, and passes sum over "before" alone: K³ products and not K⁴.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models import device
from ppl_models.distributions.contraction import einsum, sum_over_rows
from ppl_models.distributions.hmm import blocks
from ppl_models.distributions.hmm.steps import (
    FEW,
    Filtered,
    backward_steps,
    exponent_of,
    forward_steps,
    safe,
    sum_over_states,
)


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


def _scaled(logits: Array) -> tuple[Array, Array]:
    """Likelihoods of ``logits (state, step, sequence)``, and the logarithm of their scale."""
    logits = logits.reshape(len(logits), -1)
    top = logits.max(0) if len(logits) > FEW else functools.reduce(jnp.maximum, logits)
    top = lax.optimization_barrier(top)  # else it is computed again for every state
    return jnp.exp(logits - jnp.where(jnp.isfinite(top), top, 0)), top


def active(lengths: Array, steps: int) -> Array:
    """Which steps sequences have, ``(place,)``."""
    return (jnp.arange(steps)[:, None] < lengths).reshape(-1)


def in_blocks(step: Array, count: int) -> bool:
    """Whether so many steps are passed over in blocks: where a step is dear, of first order."""
    return step.ndim == 2 and count > 2 * device.BLOCK_STEPS and device.is_wide()


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
    if in_blocks(factors.step, logits.shape[1]):
        joint, scales = blocks.forward(factors.step, start, likelihood, device.BLOCK_STEPS)
    else:
        over = logits.reshape(likelihood.shape), top
        joint, scales = forward_steps(factors.step, start, likelihood, over)
    logs = top - math.log(2) * exponent_of(scales).astype(top.dtype)
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
    each = 1 / safe(at_end)
    ending = jnp.minimum(end * each, jnp.finfo(end.dtype).max / 64)
    passed = factors.step, ending, filtered, seen, weights
    if in_blocks(factors.step, filtered.joint.shape[1] // sequences):
        marginals, right, first = blocks.backward(*passed, device.BLOCK_STEPS)
    else:
        marginals, right, first = backward_steps(*passed)
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
    return (joint / safe(sum_over_states(joint))).reshape(logits.shape)


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
    return posterior.step * sum_over_rows(left, right)


def endings(posterior: PathPosterior, lengths: Array) -> Array:
    """Weighted probability of each state at the end of every sequence, ``(state, sequence)``."""
    return jax.vmap(lambda states, place: states[:, place], (2, 0), 1)(
        posterior.states, jnp.clip(lengths - 1, 0)
    )
