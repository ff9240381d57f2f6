"""Passes over hidden paths: all of them summed, the best one, or one drawn.

Steps are passed over one by one, all sequences side by side. Probabilities are scaled at every
step, so that nothing underflows however long the sequence (Rabiner 1989). What comes back along
the sequence, the posterior shares of states and of steps, needs no second pass over the emissions.

States are the first axis and sequences the last, along which vectors run. (Cutting sequences into
blocks that are passed over side by side, by their transfer matrices, was measured: it costs a
factor of the number of states more work, and was slower from five states on.)

A chain of second order is one over pairs (before, here) of states, where "before" may also be
"none", which comes last: so the first step is a step as all others. From (before, here) only pairs
(here, after) can be reached, and passes sum over "before" alone: K³ products and not K⁴.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random

FEW = 8  #: states up to which products are written out


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
    """Emissions ``(state, step, sequence)`` and masks ``(step, sequence)``."""

    likelihood: Array  #: scaled, so that the likeliest state of every step has 1
    top: Array  #: logarithm of the scale
    active: Array  #: whether the sequence has the step
    more: Array  #: whether it has one after it


def _steps(logits: Array, lengths: Array) -> _Steps:
    place = jnp.arange(logits.shape[1])[:, None]
    parts = _parts(lax.stop_gradient(logits))  # the scale cancels
    top = functools.reduce(jnp.maximum, parts) if len(parts) > 1 else parts[0].max(0)
    top = lax.optimization_barrier(top)  # else it is found again for every state
    safe = jnp.where(jnp.isfinite(top), top, 0)
    return _Steps(jnp.exp(logits - safe), top, place < lengths, place < lengths - 1)


def _safe(total: Array) -> Array:
    return jnp.where(total > 0, total, 1)


def _parts(values: Array) -> tuple[Array, ...]:
    """The first axis, states, taken apart where they are few.

    Few are written out one by one: vectors run along the sequences of one state, and a call of a
    library at every step would cost more than the product.
    """
    return tuple(values) if 1 < len(values) <= FEW else (values,)


def _sum(values: Array | tuple[Array, ...]) -> Array:
    """Over states."""
    parts = values if isinstance(values, tuple) else _parts(values)
    return functools.reduce(jnp.add, parts) if len(parts) > 1 else parts[0].sum(0)


def _apply(chain_step: Array, parts: tuple[Array, ...], back: bool) -> tuple[Array, ...]:
    """Vectors in parts moved one step on along the chain, or back."""
    if chain_step.ndim == 3:
        return _apply_to_pairs(chain_step, parts, back)
    matrix = chain_step if back else chain_step.T
    if len(parts) == 1:
        return (matrix @ parts[0],)
    return tuple(_sum(tuple(map(operator.mul, row, parts))) for row in matrix)


def _apply_to_pairs(step: Array, parts: tuple[Array, ...], back: bool) -> tuple[Array, ...]:
    before, here = step.shape[:2]
    if len(parts) == 1:
        pairs = parts[0].reshape(before, here, -1)
        if back:
            terms = (step[:, :, k, None] * pairs[:here, k] for k in range(here))
            return (functools.reduce(operator.add, terms).reshape(parts[0].shape),)
        terms = (step[p, ..., None] * pairs[p, :, None] for p in range(before))
        moved = functools.reduce(operator.add, terms)
        return (jnp.pad(moved.reshape(here * here, -1), ((0, here), (0, 0))),)

    def total(terms: Iterator[Array]) -> Array:
        return functools.reduce(operator.add, terms)

    if back:
        return tuple(
            total(step[p, i, k] * parts[i * here + k] for k in range(here))
            for p in range(before)
            for i in range(here)
        )
    moves = tuple(
        total(step[p, i, k] * parts[p * here + i] for p in range(before))
        for i in range(here)
        for k in range(here)
    )
    return moves + (jnp.zeros_like(parts[0]),) * here  # none comes before the first step alone


def _arriving(
    chain_step: Array, start: Array, likelihood: Array, back: Array | None = None
) -> Array:
    """What arrives at every step before its own emission, ``(state, step, sequence)``.

    What arrives is weighed by the emission, scaled so that it adds up to one, and moved on.

    Args:
        chain_step: see :class:`Chain`.
        start: what arrives at the first step, ``(state, sequence)``.
        likelihood: of the emissions, ``(state, step, sequence)``.
        back: go from the last step to the first, and move on only where this mask
            ``(step, sequence)`` is true.
    """

    def step(arriving: tuple[Array, ...], given: tuple) -> tuple[tuple, tuple]:
        weight, moves = given
        joint = tuple(map(operator.mul, arriving, weight))
        scale = 1 / _safe(_sum(joint))
        after = tuple(value * scale for value in _apply(chain_step, joint, back is not None))
        if moves is not None:
            after = tuple(jnp.where(moves, *both) for both in zip(after, arriving, strict=True))
        return after, arriving

    apart = len(_parts(start)) > 1
    weights = _parts(likelihood) if apart else (jnp.moveaxis(likelihood, 1, 0),)
    _, out = lax.scan(step, _parts(start), (weights, back), reverse=back is not None)
    return jnp.stack(out) if apart else jnp.moveaxis(out[0], 0, 1)


def _everywhere(share: Array, steps: _Steps) -> Array:
    """What holds of every state, for every sequence: ``(state, sequence)``."""
    shape = (share.shape[0], steps.top.shape[1])
    each = share.reshape(share.shape[0], -1)
    return jnp.broadcast_to(each.astype(steps.likelihood.dtype), shape)


def _forward(chain: Chain, steps: _Steps) -> tuple[Array, Array]:
    """Joint with each step's emission ``(state, step, sequence)``; log-likelihoods."""
    start, end = (_everywhere(share, steps) for share in (chain.initial, chain.end))
    joint = _arriving(chain.step, start, steps.likelihood) * steps.likelihood
    scale = _sum(joint)
    scale = jnp.where(steps.more, scale, _sum(joint * end[:, None]))
    added = jnp.where(scale > 0, jnp.log(_safe(scale)) + steps.top, -jnp.inf)
    total = _long_sum(jnp.where(steps.active, added, 0))
    empty = ~steps.active[0]
    return joint, total + jnp.where(empty, _safe_log(_sum(start * end)), 0)


def _long_sum(values: Array) -> Array:
    """Over the first axis, in blocks: a long sum has no room for the last digits of its terms."""
    size = max(1, math.isqrt(len(values)))
    padded = jnp.pad(values, ((0, -len(values) % size), (0, 0)))
    return padded.reshape(-1, size, padded.shape[1]).sum(1).sum(0)


def log_likelihood(chain: Chain, logits: Array, lengths: Array) -> Array:
    """All paths summed, ``(sequence,)``; ``-inf`` where no path is possible.

    Args:
        chain: the hidden chain.
        logits: log-densities of the emissions, ``(state, step, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """
    return _forward(chain, _steps(logits, lengths))[1]


def expected(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Paths]:
    """All paths summed: log-likelihoods, and posterior shares of states and of steps."""
    steps = _steps(logits, lengths)
    joint, total = _forward(chain, steps)
    end = _everywhere(chain.end, steps)
    ahead = _arriving(chain.step, end, steps.likelihood, steps.active)
    shares, after = joint * ahead, steps.likelihood * ahead
    norm = 1 / _safe(_sum(shares))
    scale = jnp.where(steps.more, norm, 0)[:-1] / _safe(_sum(after))[1:]
    states = shares * jnp.where(steps.active, norm, 0)
    return total, Paths(states, joint[:, :-1], after[:, 1:] * scale, chain.step)


def filtered_states(chain: Chain, logits: Array, lengths: Array) -> Array:
    """P(state | all up to the step), ``(state, step, sequence)``."""
    joint = _forward(chain, _steps(logits, lengths))[0]
    return joint / _safe(_sum(joint))


def _safe_log(value: Array) -> Array:
    return jnp.where(value > 0, jnp.log(jnp.where(value > 0, value, 1)), -jnp.inf)


def one_path(path: Array, chain: Chain, lengths: Array, dtype: jnp.dtype) -> Paths:
    """A path ``(step, sequence)`` as shares that are zero or one."""
    place = jnp.arange(path.shape[0])[:, None]
    code = jnp.arange(len(chain.initial))[:, None, None]
    shares = ((path == code) & (place < lengths)).astype(dtype)
    after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
    return Paths(shares, shares, after, jnp.ones(chain.step.shape, dtype))


def best(chain: Chain, logits: Array, lengths: Array) -> tuple[Array, Array]:
    """The most probable path (Viterbi 1967).

    Returns:
        Log joint densities of path and data ``(sequence,)``, and paths ``(step, sequence)``; steps
        after the end repeat the last state.
    """
    states, steps, sequences = logits.shape
    log_step, log_end = _safe_log(chain.step), _safe_log(chain.end.reshape(states, -1))
    start = _safe_log(chain.initial)[:, None] + logits[:, 0]
    stay = jnp.broadcast_to(jnp.arange(states, dtype=jnp.int32)[:, None], (states, sequences))

    def step(score: Array, given: tuple) -> tuple[Array, Array]:
        here, active = given
        value, origin = _best_origins(score, log_step)
        return jnp.where(active, value + here, score), jnp.where(active, origin, stay)

    active = jnp.arange(1, steps)[:, None] < lengths
    score, origins = lax.scan(step, start, (jnp.moveaxis(logits[:, 1:], 1, 0), active))
    final, last = _largest(list(score + log_end))
    return final, _follow(origins, last)


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
    whole, total = _forward(chain, _steps(logits, lengths))
    uniform = random.uniform(key, (steps, sequences), logits.dtype)
    uniform = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps)
    after = jnp.arange(steps)[:, None] < lengths - 1
    stay = jnp.broadcast_to(jnp.arange(states)[:, None, None], (states, steps, sequences))

    def choose(shares: Array) -> Array:  # (state from, ...) by inversion
        target = uniform * shares.sum(0)
        running, chosen = jnp.zeros_like(target), jnp.zeros(target.shape, jnp.int32)
        for i in range(len(shares) - 1):
            running = running + shares[i]
            chosen = chosen + (running <= target)
        return chosen

    if chain.step.ndim == 2:
        origins = jnp.stack([choose(whole * chain.step[:, j, None, None]) for j in range(states)])
    else:
        before, here = chain.step.shape[:2]
        pairs = whole.reshape(before, here, steps, sequences)
        found = [
            choose(pairs[:, i] * chain.step[:, i, k, None, None]) * here + i
            for i in range(here)
            for k in range(here)
        ]
        origins = jnp.stack(found + [jnp.zeros_like(found[0])] * here)
    origins = jnp.where(after, origins, stay)
    ending = choose(whole * chain.end.reshape(states, 1, -1))
    last = jnp.take_along_axis(ending, jnp.clip(lengths - 1, 0)[None], axis=0)[0]
    # the last step's own origins move a state nowhere
    path = _follow(jnp.moveaxis(origins, 1, 0), last)[:-1]
    return total, path


def transitions(paths: Paths, weights: Array) -> Array:
    """Weighted number of steps from state to state, ``(state, state)`` or as of :class:`Chain`.

    Args:
        paths: what is known of them.
        weights: of the sequences, ``(sequence,)``.
    """
    right = paths.right * weights
    if paths.weigh.ndim == 3:
        before, here = paths.weigh.shape[:2]
        left = paths.left.reshape(before, here, -1)
        right = right.reshape(before, here, -1)[:here]
        return paths.weigh * jnp.einsum("pit,ikt->pik", left, right)
    left, right = (v.reshape(len(v), -1) for v in (paths.left, right))
    return paths.weigh * (left @ right.T)


def endings(paths: Paths, weights: Array, lengths: Array) -> Array:
    """Weighted number of sequences that ended in each state, ``(state,)``."""
    last = jax.vmap(lambda shares, place: shares[:, place], (2, 0), 1)(
        paths.states, jnp.clip(lengths - 1, 0)
    )
    return (last * weights).sum(-1)
