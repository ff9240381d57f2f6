"""The most probable state path of every sequence, and a single path as a posterior."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from ppl_models import device
from ppl_models.distributions.hmm.blocks import blocked, unblocked
from ppl_models.distributions.hmm.forward_backward import (
    PathFactors,
    PathPosterior,
    active,
    exact_log,
    in_blocks,
    last_place,
)


def best_path(factors: PathFactors, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """The most probable path (Viterbi 1967).

    Args:
        factors: of the probability of a path.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.

    Returns:
        Log joint densities of path and data ``(sequence,)``, and paths ``(step, sequence)``; steps
        after the end repeat the last state.
    """
    states, steps, sequences = logits.shape
    log_step, log_end = exact_log(factors.step), exact_log(factors.end.reshape(states, -1))
    if in_blocks(factors.step, steps):
        return _in_blocks(exact_log(factors.initial), log_step, log_end, logits, lengths)
    start = exact_log(factors.initial)[:, None] + logits[:, 0]
    stay = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32)[:, None], (states, sequences))

    def step(score: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        emitted, active = at
        value, pointer = _best_predecessors(score, log_step)
        return jnp.where(active, value + emitted, score), jnp.where(active, pointer, stay)

    active = jnp.arange(1, steps)[:, None] < lengths
    score, back_pointers = lax.scan(step, start, (jnp.moveaxis(logits[:, 1:], 1, 0), active))
    final, last = _largest(list(score + log_end))
    return final, trace_back(back_pointers, last)


def _in_blocks(
    initial: Array, log_step: Array, log_end: Array, logits: Array, lengths: Array
) -> tuple[Array, Array]:
    """:func:`best_path` in blocks of steps that run side by side, see :mod:`.blocks`.

    What leads to every state of every step is looked up at once when all scores are known.
    """
    states, steps, sequences = logits.shape
    size = device.BLOCK_STEPS
    pieces = blocked(logits.reshape(states, -1), sequences, size)
    blocks = pieces.shape[2]
    emitted = jnp.moveaxis(pieces, 1, 0).reshape(size, states, -1)

    def arriving(score: Array) -> Array:
        return _best_predecessors(score, log_step)[0]

    def from_state(unit: Array) -> Array:
        entered = jnp.broadcast_to(unit[:, None], emitted.shape[1:])
        return lax.fori_loop(0, size, lambda t, score: arriving(score + emitted[t]), entered)

    passed = jax.vmap(from_state)(jnp.where(jnp.eye(states, dtype=bool), 0.0, -jnp.inf))
    passed = jnp.moveaxis(passed.reshape(states, states, blocks, sequences), 2, 0)[:-1]
    running = lax.associative_scan(_best_of_both, passed)
    start = jnp.broadcast_to(initial[:, None], (states, sequences))
    later = (start[:, None] + running).max(1)
    entering = jnp.moveaxis(jnp.concatenate([start[None], later]), 0, 1).reshape(states, -1)

    def step(entered: Array, emitted: Array) -> tuple[Array, Array]:
        score = entered + emitted
        return arriving(score), score

    scores = lax.scan(step, entering.astype(logits.dtype), emitted)[1]
    scores = jnp.moveaxis(scores, 0, 1).reshape(states, size, blocks, sequences)
    scores = unblocked(scores, steps)
    final, last = _largest(list(scores[:, last_place(lengths)] + log_end))
    pointers = _best_predecessors(scores[:, : (steps - 1) * sequences], log_step)[1]
    more = active(lengths - 1, steps - 1)
    pointers = jnp.where(more, pointers, jnp.arange(states, dtype=jnp.int32)[:, None])
    by_step = jnp.moveaxis(pointers.reshape(states, steps - 1, sequences), 1, 0)
    return final, trace_back(by_step, last)


def _best_of_both(left: Array, right: Array) -> Array:
    """The best paths through two blocks, ``(block, state, state, sequence)``."""
    terms = (left[:, :, j, None] + right[:, None, j] for j in range(left.shape[2]))
    return functools.reduce(jnp.maximum, terms)


def _best_predecessors(score: Array, log_step: Array) -> tuple[Array, Array]:
    """The best score with which every state is reached, and from which state it is."""
    if log_step.ndim == 2:
        return _largest([s[None] + row[:, None] for s, row in zip(score, log_step, strict=True)])
    before, here = log_step.shape[:2]
    pairs = score.reshape(before, here, 1, -1)
    value, pointer = _largest([pairs[p] + log_step[p][..., None] for p in range(before)])
    pointer = pointer * here + jnp.arange(here, dtype=jnp.int32)[:, None, None]
    value, pointer = (v.reshape(here * here, -1) for v in (value, pointer))
    wider = (0, here), (0, 0)
    return jnp.pad(value, wider, constant_values=-jnp.inf), jnp.pad(pointer, wider)


def _largest(values: list[Array]) -> tuple[Array, Array]:
    """The largest of arrays and which it is, by a running comparison: argmax is slow on CPUs."""
    best, place = values[0], jnp.zeros(values[0].shape, jnp.int32)
    for i, value in enumerate(values[1:], start=1):
        place = jnp.where(value > best, i, place)
        best = jnp.maximum(value, best)
    return best, place


def trace_back(back_pointers: Array, last: Array) -> Array:
    """Paths ``(step, sequence)`` from their last states.

    Where a step of a loop is dear, all steps are followed at once: the maps from states to the
    states before are composed by an associative scan.

    Args:
        back_pointers: from which state each state is reached, ``(step, state, sequence)``.
        last: ``(sequence,)``.
    """

    def back(state: Array, pointers: Array) -> tuple[Array, Array]:
        before = jnp.take_along_axis(pointers, state[None], axis=0)[0]
        return before, before

    last = last.astype(back_pointers.dtype)
    if device.is_wide():
        from_end = lax.associative_scan(_composed, back_pointers, reverse=True)
        path = jnp.take_along_axis(from_end, last[None, None], axis=1)[:, 0]
        return jnp.concatenate([path, last[None]])
    _, path = lax.scan(back, last, back_pointers, reverse=True)
    return jnp.concatenate([path, last[None]])


def _composed(later: Array, earlier: Array) -> Array:
    """Maps ``(..., state, sequence)`` from a state to one before, both steps in one."""
    return jnp.take_along_axis(earlier, later, axis=-2)


def as_posterior(
    factors: PathFactors, path: Array, weights: Array, lengths: Array
) -> PathPosterior:
    """The posterior that gives one path ``(step, sequence)`` the whole weight of its sequence."""
    place = jnp.arange(path.shape[0])[:, None]
    code = jnp.arange(len(factors.initial))[:, None, None]
    there = ((path == code) & (place < lengths)).astype(weights.dtype)
    states = there * weights
    after = jnp.concatenate([states[:, 1:], jnp.zeros_like(states[:, :1])], axis=1)
    return PathPosterior(states, there, after, jnp.ones(factors.step.shape, weights.dtype))
