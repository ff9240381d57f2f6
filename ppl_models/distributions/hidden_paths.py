"""Passes over hidden paths: all of them summed, the best one, or one drawn.

A pass over T steps one by one leaves a processor idle: each step is a few numbers. Steps are
therefore cut into blocks that are passed over side by side. First each block's transfer matrix is
found, from every state at its beginning to every state at its end; a short pass over the blocks
then gives what comes into each from the left and from the right; last, all blocks are passed over
again with that. Probabilities are scaled at every step, so that nothing underflows however long
the sequence (Rabiner 1989); rows of transfer matrices each keep a scale of their own.

States are the first axis and sequences (and blocks of them) the last, along which vectors run.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

LANES = 512  #: sequences × blocks at which a pass is no longer worth cutting
SHORT = 48  #: steps below which it never is


class Chain(NamedTuple):
    """A hidden chain: ``initial (state,)``, ``step (state, state)``, ``end (state,)``.

    ``end`` is the probability of ending after a state, and ``step`` sums to one less that; ones
    for a chain that does not end by itself but is cut by its observer.
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


def blocks_of(steps: int, sequences: int) -> int:
    """Number of blocks that a pass is cut into."""
    if steps < SHORT or sequences >= LANES:
        return 1
    return int(min(math.ceil(LANES / sequences), math.ceil(math.sqrt(steps))))


class _Cut(NamedTuple):
    """Emissions and masks as passes need them: ``(step in block, [state,] block × sequence)``."""

    likelihood: Array
    top: Array
    active: Array
    more: Array
    blocks: int
    sequences: int

    def lanes(self, value: Array) -> Array:
        """Per-sequence values for every block."""
        shape = (*value.shape[:-1], self.blocks, self.sequences)
        return jnp.broadcast_to(value[..., None, :], shape).reshape(*value.shape[:-1], -1)

    def whole(self, value: Array, steps: int) -> Array:
        """From ``(step in block, state, lane)`` to ``(state, step, sequence)``."""
        inner, states = value.shape[:2]
        value = value.reshape(inner, states, self.blocks, self.sequences)
        value = jnp.moveaxis(value, (1, 2, 0), (0, 1, 2))
        return value.reshape(states, -1, self.sequences)[:, :steps]


def _cut(logits: Array, lengths: Array) -> _Cut:
    states, steps, sequences = logits.shape
    blocks = blocks_of(steps, sequences)
    inner = -(-steps // blocks)
    padded = jnp.pad(logits, ((0, 0), (0, blocks * inner - steps), (0, 0)))
    place = jnp.arange(blocks * inner)[:, None]
    active, more = place < lengths, place < lengths - 1
    top = lax.stop_gradient(padded.max(0))  # it cancels
    safe = jnp.where(jnp.isfinite(top), top, 0)

    def lay(value: Array) -> Array:  # (..., step, sequence) -> (step in block, ..., lane)
        value = value.reshape(*value.shape[:-2], blocks, inner, sequences)
        value = jnp.moveaxis(value, -2, 0)
        return value.reshape(*value.shape[:-2], -1)

    return _Cut(lay(jnp.exp(padded - safe)), lay(top), lay(active), lay(more), blocks, sequences)


def _safe(total: Array) -> Array:
    return jnp.where(total > 0, total, 1)


def _boundaries(chain: Chain, cut: _Cut) -> tuple[Array, Array]:
    """What comes into every block from the left and from the right, ``(state, lane)``, scaled."""
    states, lanes = chain.initial.shape[0], cut.blocks * cut.sequences
    dtype = cut.likelihood.dtype
    identity = jnp.broadcast_to(jnp.eye(states, dtype=dtype)[..., None], (states, states, lanes))

    def transfer(carry: tuple[Array, Array], step: tuple) -> tuple[tuple[Array, Array], None]:
        matrix, scale = carry  # (to, from, lane), (from, lane)
        likelihood, active, more = step
        seen = jnp.where(active, likelihood[:, None] * matrix, matrix)
        total = seen.sum(0)
        seen = seen / _safe(total)
        moved = (chain.step.T @ seen.reshape(states, -1)).reshape(seen.shape)
        return (jnp.where(more, moved, seen), scale + jnp.log(total)), None

    start = (identity, jnp.zeros((states, lanes), dtype))
    steps = (cut.likelihood, cut.active, cut.more)
    (matrix, scale), _ = lax.scan(transfer, start, steps)
    scale = jnp.exp(scale - jnp.where(jnp.isfinite(scale.max(0)), scale.max(0), 0))
    matrix = (matrix * scale).reshape(states, states, cut.blocks, cut.sequences)
    matrix = jnp.moveaxis(matrix, 2, 0)

    def forward(incoming: Array, matrix: Array) -> tuple[Array, Array]:
        out = (matrix * incoming).sum(1)
        return out / _safe(out.sum(0)), incoming

    def backward(incoming: Array, matrix: Array) -> tuple[Array, Array]:
        out = (matrix * incoming[:, None]).sum(0)
        return out / _safe(out.sum(0)), incoming

    shape = (states, cut.sequences)
    first = jnp.broadcast_to(chain.initial[:, None].astype(dtype), shape)
    last = jnp.broadcast_to(chain.end[:, None].astype(dtype), shape)
    left = lax.scan(forward, first, matrix)[1]
    right = lax.scan(backward, last, matrix, reverse=True)[1]
    return tuple(jnp.moveaxis(v, 0, 1).reshape(states, lanes) for v in (left, right))  # type: ignore


def _forward(chain: Chain, cut: _Cut, left: Array) -> tuple[Array, Array]:
    """Filtered states ``(step, state, lane)`` and log-likelihoods ``(sequence,)``."""

    def step(carry: tuple[Array, Array], given: tuple) -> tuple[tuple[Array, Array], Array]:
        incoming, total = carry
        likelihood, top, active, more = given
        joint = jnp.where(active, likelihood * incoming, incoming)
        scale = joint.sum(0)
        filtered = joint / _safe(scale)
        moved = jnp.where(more, chain.step.T @ filtered, filtered)
        return (moved, total + jnp.log(scale) + jnp.where(active, top, 0)), filtered

    zero = jnp.zeros(left.shape[1], left.dtype)
    (out, total), filtered = lax.scan(
        step, (left, zero), (cut.likelihood, cut.top, cut.active, cut.more)
    )
    by_block = (cut.blocks, cut.sequences)
    mass = out.sum(0).reshape(by_block)
    ending = (out * chain.end[:, None]).sum(0).reshape(by_block)
    mass = mass.at[-1].set(ending[-1])
    return filtered, total.reshape(by_block).sum(0) + jnp.log(mass).sum(0)


def _sides(chain: Chain, cut: _Cut) -> tuple[Array, Array]:
    if cut.blocks > 1:
        return _boundaries(chain, cut)
    first = jnp.broadcast_to(chain.initial[:, None], (chain.initial.shape[0], cut.sequences))
    last = jnp.broadcast_to(chain.end[:, None], first.shape)
    return first.astype(cut.likelihood.dtype), last.astype(cut.likelihood.dtype)


def log_likelihood(chain: Chain, logits: Array, lengths: Array) -> Array:
    """All paths summed, ``(sequence,)``; ``-inf`` where no path is possible.

    Args:
        chain: the hidden chain.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """
    cut = _cut(logits, lengths)
    return _forward(chain, cut, _sides(chain, cut)[0])[1]


def expected(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Paths]:
    """All paths summed: log-likelihoods, and posterior shares of states and of steps."""
    steps = logits.shape[1]
    cut = _cut(logits, lengths)
    left, right = _sides(chain, cut)
    filtered, total = _forward(chain, cut, left)

    def back(incoming: Array, given: tuple) -> tuple[Array, tuple[Array, Array]]:
        filtered, likelihood, active, more = given
        ahead = jnp.where(more, chain.step @ incoming, incoming)
        joint = filtered * ahead
        norm = _safe(joint.sum(0))
        states = jnp.where(active, joint / norm, 0)
        after = jnp.where(more, incoming / norm, 0)
        out = jnp.where(active, likelihood * ahead, incoming)
        return out / _safe(out.sum(0)), (states, after)

    given = (filtered, cut.likelihood, cut.active, cut.more)
    _, (states, after) = lax.scan(back, right, given, reverse=True)
    shares, before, later = (cut.whole(v, steps) for v in (states, filtered, after))
    return total, Paths(shares, before, later, chain.step)


def filtered_states(chain: Chain, logits: Array, lengths: Array) -> Array:
    """P(state | all up to the step), ``(state, step, sequence)``."""
    cut = _cut(logits, lengths)
    filtered, _ = _forward(chain, cut, _sides(chain, cut)[0])
    return cut.whole(filtered, logits.shape[1])


def _safe_log(value: Array) -> Array:
    return jnp.where(value > 0, jnp.log(jnp.where(value > 0, value, 1)), -jnp.inf)


def _as_paths(path: Array, states: int, lengths: Array, dtype: jnp.dtype) -> Paths:
    """A path ``(step, sequence)`` as shares that are zero or one."""
    place = jnp.arange(path.shape[0])[:, None]
    code = jnp.arange(states)[:, None, None]
    shares = ((path == code) & (place < lengths)).astype(dtype)
    after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
    return Paths(shares, shares, after, jnp.ones((states, states), dtype))


def best(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """The most probable path (Viterbi 1967).

    Returns:
        Log joint densities of path and data ``(sequence,)``, and paths ``(step, sequence)``; steps
        after the end repeat the last state.
    """
    states, steps, sequences = logits.shape
    log_step, log_end = _safe_log(chain.step), _safe_log(chain.end)
    start = _safe_log(chain.initial)[:, None] + logits[:, 0]
    stay = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32)[:, None], (states, sequences))

    def step(score: Array, given: tuple) -> tuple[Array, Array]:
        here, active = given
        value, origin = _largest([score[i][None] + log_step[i][:, None] for i in range(states)])
        return jnp.where(active, value + here, score), jnp.where(active, origin, stay)

    active = jnp.arange(1, steps)[:, None] < lengths
    score, origins = lax.scan(step, start, (jnp.moveaxis(logits[:, 1:], 1, 0), active))
    final, last = _largest(list(score + log_end[:, None]))
    return final, _follow(origins, last)


def _largest(values: list[Array]) -> tuple[Array, Array]:
    """The largest of arrays and which it is, by a running comparison: argmax is slow on CPUs."""
    best, place = values[0], jnp.zeros(values[0].shape, jnp.int32)
    for i, value in enumerate(values[1:], start=1):
        place = jnp.where(value > best, i, place)
        best = jnp.maximum(value, best)
    return best, place


def _follow(origins: Array, last: Array) -> Array:
    """Back along ``origins (step, state, sequence)`` from the last state: ``(step, sequence)``."""

    def back(state: Array, origin: Array) -> tuple[Array, Array]:
        before = jnp.take_along_axis(origin, state[None], axis=0)[0]
        return before, before

    last = last.astype(origins.dtype)
    _, path = lax.scan(back, last, origins, reverse=True)
    return jnp.concatenate([path, last[None]])


def drawn(key: Array, chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """Draw a path from its posterior: filter forward, draw backward (Frühwirth-Schnatter 1994).

    For every step one uniform number decides from which state each following state would have
    come; that is done for all steps at once, and only then is the path followed back.

    Returns:
        Log-likelihoods ``(sequence,)`` and paths ``(step, sequence)``.
    """
    states, steps, sequences = logits.shape
    cut = _cut(logits, lengths)
    filtered, total = _forward(chain, cut, _sides(chain, cut)[0])
    whole = cut.whole(filtered, steps)
    uniform = random.uniform(key, (steps, sequences), logits.dtype)
    uniform = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps)
    after = jnp.arange(steps)[:, None] < lengths - 1
    stay = jnp.broadcast_to(jnp.arange(states)[:, None, None], (states, steps, sequences))

    def choose(shares: Array) -> Array:  # (state from, ...) by inversion
        target = uniform * shares.sum(0)
        running, chosen = jnp.zeros_like(target), jnp.zeros(target.shape, jnp.int32)
        for i in range(states - 1):
            running = running + shares[i]
            chosen = chosen + (running <= target)
        return chosen

    origins = jnp.stack([choose(whole * chain.step[:, j, None, None]) for j in range(states)])
    origins = jnp.where(after, origins, stay)
    ending = choose(whole * chain.end[:, None, None])
    last = jnp.take_along_axis(ending, jnp.clip(lengths - 1, 0)[None], axis=0)[0]
    # the last step's own origins move a state nowhere
    path = _follow(jnp.moveaxis(origins, 1, 0), last)[:-1]
    return total, path


def one_path(path: Array, states: int, lengths: Array, dtype: jnp.dtype) -> Paths:
    """A path as shares, so that it leaves statistics as all paths do."""
    return _as_paths(path, states, lengths, dtype)


def transitions(paths: Paths, weights: Array) -> Array:
    """Weighted number of steps from state to state, ``(state, state)``.

    Args:
        paths: what is known of them.
        weights: of the sequences, ``(sequence,)``.
    """
    left = paths.left.reshape(paths.left.shape[0], -1)
    right = (paths.right * weights).reshape(paths.right.shape[0], -1)
    return paths.weigh * (left @ right.T)


def endings(paths: Paths, weights: Array, lengths: Array) -> Array:
    """Weighted number of sequences that ended in each state, ``(state,)``."""
    last = jax.vmap(lambda shares, place: shares[:, place], (2, 0), 1)(
        paths.states, jnp.clip(lengths - 1, 0)
    )
    return (last * weights).sum(-1)
