"""One hidden path: the best, or one drawn from its posterior."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax, random

from ppl_models.distributions.hmm.forward_backward import (
    Chain,
    Paths,
    active,
    everywhere,
    exact_log,
    forward,
    last_place,
    over_states,
)


def one_path(chain: Chain, path: Array, weights: Array, lengths: Array) -> Paths:
    """A path ``(step, sequence)`` as shares that are zero or the weight of the sequence."""
    place = jnp.arange(path.shape[0])[:, None]
    code = jnp.arange(len(chain.initial))[:, None, None]
    there = ((path == code) & (place < lengths)).astype(weights.dtype)
    shares = there * weights
    after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
    return Paths(shares, there, after, jnp.ones(chain.step.shape, weights.dtype))


def best(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """The most probable path (Viterbi 1967).

    Returns:
        Log joint densities of path and data ``(sequence,)``, and paths ``(step, sequence)``; steps
        after the end repeat the last state.
    """
    states, steps, sequences = logits.shape
    log_step, log_end = exact_log(chain.step), exact_log(chain.end.reshape(states, -1))
    start = exact_log(chain.initial)[:, None] + logits[:, 0]
    stay = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32)[:, None], (states, sequences))

    def step(score: Array, given: tuple) -> tuple[Array, Array]:
        here, active = given
        value, origin = _best_origins(score, log_step)
        return jnp.where(active, value + here, score), jnp.where(active, origin, stay)

    active = jnp.arange(1, steps)[:, None] < lengths
    score, gradient_starts = lax.scan(step, start, (jnp.moveaxis(logits[:, 1:], 1, 0), active))
    final, last = _largest(list(score + log_end))
    return final, _follow(gradient_starts, last)


def _best_origins(score: Array, log_step: Array) -> tuple[Array, Array]:
    """The best score with which every state is reached, and from which state it is."""
    if log_step.ndim == 2:
        return _largest([s[None] + row[:, None] for s, row in zip(score, log_step, strict=True)])
    before, here = log_step.shape[:2]
    pairs = score.reshape(before, here, 1, -1)
    value, origin = _largest([pairs[p] + log_step[p][..., None] for p in range(before)])
    origin = origin * here + jnp.arange(here, dtype=jnp.int32)[:, None, None]
    value, origin = (v.reshape(here * here, -1) for v in (value, origin))
    wider = (0, here), (0, 0)
    return jnp.pad(value, wider, constant_values=-jnp.inf), jnp.pad(origin, wider)


def _largest(values: list[Array]) -> tuple[Array, Array]:
    """The largest of arrays and which it is, by a running comparison: argmax is slow on CPUs."""
    best, place = values[0], jnp.zeros(values[0].shape, jnp.int32)
    for i, value in enumerate(values[1:], start=1):
        place = jnp.where(value > best, i, place)
        best = jnp.maximum(value, best)
    return best, place


def _follow(gradient_starts: Array, last: Array) -> Array:
    """Back along ``origins (step, state, sequence)`` from the last state: ``(step, sequence)``."""

    def back(state: Array, origin: Array) -> tuple[Array, Array]:
        before = jnp.take_along_axis(origin, state[None], axis=0)[0]
        return before, before

    last = last.astype(gradient_starts.dtype)
    _, path = lax.scan(back, last, gradient_starts, reverse=True)
    return jnp.concatenate([path, last[None]])


def drawn(key: Array, chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """Draw a path from its posterior: filter forward, draw backward (Frühwirth-Schnatter 1994).

    For every step one uniform number decides from which state each following state would have
    come; that is done for all steps at once, and only then is the path followed back.

    Returns:
        Log-likelihoods ``(sequence,)`` and paths ``(step, sequence)``.
    """
    states, steps, sequences = logits.shape
    total, filtered = forward(chain, logits, lengths)
    whole = filtered.joint
    uniform = random.uniform(key, whole.shape[1:], logits.dtype)
    uniform = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps)
    ending = filtered.last * everywhere(chain.end, sequences)
    last = _by_inversion(ending, uniform[last_place(lengths)])
    if chain.step.ndim == 2:
        found = [_by_inversion(whole * chain.step[:, j, None], uniform) for j in range(states)]
    else:
        before, here = chain.step.shape[:2]
        pairs = whole.reshape(before, here, -1)
        found = [
            _by_inversion(pairs[:, i] * chain.step[:, i, k, None], uniform) * here + i
            for i in range(here)
            for k in range(here)
        ]
        found += [jnp.zeros_like(found[0])] * here
    # after the end a state stays where it is
    more = active(lengths - 1, steps)
    found = [jnp.where(more, origin, i) for i, origin in enumerate(found)]
    gradient_starts = jnp.stack([origin.reshape(-1, sequences) for origin in found], axis=1)
    # the last step's own origins move a state nowhere
    return total, _follow(gradient_starts, last)[:-1]


def _by_inversion(shares: Array, uniform: Array) -> Array:
    """Which of the first axis, drawn by a uniform number each."""
    target = uniform * over_states(shares)
    running, chosen = jnp.zeros_like(target), jnp.zeros(target.shape, jnp.int32)
    for share in shares[:-1]:
        running = running + share
        chosen = chosen + (running <= target)
    return chosen
