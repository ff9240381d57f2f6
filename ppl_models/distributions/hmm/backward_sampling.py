"""Draws of state paths from their posterior: filter forward, sample backward."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.hmm.forward_backward import (
    PathFactors,
    active,
    for_every_sequence,
    forward,
    last_place,
)
from ppl_models.distributions.hmm.steps import sum_over_states
from ppl_models.distributions.hmm.viterbi import trace_back


def sample_path(
    key: Array, factors: PathFactors, logits: Array, lengths: Array
) -> tuple[Array, Array]:
    """Draw a path of every sequence from its posterior (Frühwirth-Schnatter 1994).

    For every step one uniform number decides from which state each following state would have
    come; that is done for all steps at once, and only then is the path followed back.

    Args:
        key: random key.
        factors: of the probability of a path.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.

    Returns:
        Log-likelihoods ``(sequence,)`` and paths ``(step, sequence)``.
    """
    states, steps, sequences = logits.shape
    log_likelihood, filtered = forward(factors, logits, lengths)
    joint = filtered.joint
    uniform = random.uniform(key, joint.shape[1:], logits.dtype)
    uniform = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps)
    ending = filtered.last * for_every_sequence(factors.end, sequences)
    last = _by_inversion(ending, uniform[last_place(lengths)])
    if factors.step.ndim == 2:
        pointers = [_by_inversion(joint * factors.step[:, j, None], uniform) for j in range(states)]
    else:
        before, here = factors.step.shape[:2]
        pairs = joint.reshape(before, here, -1)
        pointers = [
            _by_inversion(pairs[:, i] * factors.step[:, i, k, None], uniform) * here + i
            for i in range(here)
            for k in range(here)
        ]
        pointers += [jnp.zeros_like(pointers[0])] * here
    # after the end a state stays where it is
    more = active(lengths - 1, steps)
    pointers = [jnp.where(more, pointer, i) for i, pointer in enumerate(pointers)]
    back_pointers = jnp.stack([pointer.reshape(-1, sequences) for pointer in pointers], axis=1)
    # the last step's own pointers move a state nowhere
    return log_likelihood, trace_back(back_pointers, last)[:-1]


def _by_inversion(weights: Array, uniform: Array) -> Array:
    """Draws from weights on the first axis, by inversion with one uniform number each."""
    target = uniform * sum_over_states(weights)
    running, chosen = jnp.zeros_like(target), jnp.zeros(target.shape, jnp.int32)
    for weight in weights[:-1]:
        running = running + weight
        chosen = chosen + (running <= target)
    return chosen
