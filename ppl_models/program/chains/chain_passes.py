"""Passes over the factors of one series of a chain, whose states depend on the few before them.

A chain of order m has factors ψ_t(b, k) = log p(z_t = k | b) + log p(x_t | b, k), ``(step, b, k)``,
where b numbers the m states before, (z_{t-m}, ..., z_{t-1}), the last the fastest: K^m of them.
Forward and backward passes sum the states out; Rabiner (1989), A tutorial on hidden Markov models,
section III; of order two, Mari, Haton and Kriouile (1997).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax, random
from jax.scipy.special import logsumexp


def _by_oldest(factors: Array) -> Array:
    """The axes of a step's factors apart: oldest state before, the others before, state."""
    count, states = factors.shape[-2:]
    return factors.reshape(*factors.shape[:-2], states, count // states, states)


def forward(factors: Array) -> tuple[Array, Array]:
    """Filtered log-probabilities ``(step, b)``, b with the step's own state as its last.

    And log p(x_t | x_1, ..., x_{t-1}), ``(step,)``.
    """

    def step(before: Array, factor: Array) -> tuple[Array, tuple[Array, Array]]:
        joint = logsumexp(_by_oldest(before[:, None] + factor), axis=0).reshape(-1)
        density = logsumexp(joint)
        return joint - density, (joint - density, density)

    # (nothing is known of what was before the first step: the first factors say what may have been)
    _, messages = lax.scan(step, jnp.zeros(factors.shape[1], factors.dtype), factors)
    return messages


def backward(factors: Array, density: Array) -> Array:
    """log p(x_{t+1}, ... | b) relative to log p(x_{t+1}, ... | x_1, ..., x_t), ``(step, b)``."""

    def step(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        factor, norm = now
        before = logsumexp(_with_next(factor, after), axis=-1).reshape(-1) - norm
        return before, before

    last = jnp.zeros(factors.shape[1], factors.dtype)
    _, messages = lax.scan(step, last, (factors[1:], density[1:]), reverse=True)
    return jnp.concatenate([messages, last[None]])


def _with_next(factor: Array, after: Array) -> Array:
    """Factors plus what is known of the states to come, ``(..., oldest, others, state)``."""
    parts = _by_oldest(factor)
    return parts + after.reshape(*after.shape[:-1], 1, *parts.shape[-2:])


def smoothed(factors: Array) -> tuple[Array, Array]:
    """log P(z_t | x) ``(step, state)``, and log p(x_t | x_1, ..., x_{t-1}) ``(step,)``."""
    filtered, density = forward(factors)
    steps, count, states = factors.shape
    both = (filtered + backward(factors, density)).reshape(steps, count // states, states)
    return logsumexp(both, axis=1), density


def pair_probabilities(factors: Array) -> tuple[Array, Array]:
    """P(b, z_t = k | x), ``(step, b, state)``, and log p(x)."""
    filtered, density = forward(factors)
    after = backward(factors, density)
    before = jnp.concatenate([jnp.zeros_like(filtered[:1]), filtered[:-1]])
    joint = _with_next(before[:, :, None] + factors, after).reshape(factors.shape)
    return jnp.exp(joint - density[:, None, None]), density.sum()


def best_path(factors: Array) -> tuple[Array, Array]:
    """The most probable path ``(step + 1,)``, and its log-density (Viterbi 1967).

    The first of its states is the one before the first step.
    """
    count, states = factors.shape[1:]

    def step(best: Array, factor: Array) -> tuple[Array, Array]:
        joint = _by_oldest(best[:, None] + factor)
        return joint.max(0).reshape(-1), joint.argmax(0).reshape(-1)

    last, oldest = lax.scan(step, jnp.zeros(count, factors.dtype), factors)

    def back(after: Array, origin: Array) -> tuple[Array, Array]:
        before = origin[after] * (count // states) + after // states
        return before, before % states

    end = last.argmax()
    _, before = lax.scan(back, end, oldest, reverse=True)
    return jnp.concatenate([before, (end % states)[None]]).astype(jnp.int32), last.max()


def draw_path(key: Array, factors: Array) -> Array:
    """A path given the data, ``(step,)``, by filtering forward and sampling backward."""
    filtered, _ = forward(factors)
    steps, count, states = factors.shape
    keys = random.split(key, steps)
    end = random.categorical(keys[-1], filtered[-1])

    def back(after: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        key, before, factor = now
        others, state = after // states, after % states
        known = (before + factor[:, state]).reshape(states, count // states)[:, others]
        drawn = random.categorical(key, known) * (count // states) + others
        return drawn, drawn % states

    _, before = lax.scan(back, end, (keys[:-1], filtered[:-1], factors[1:]), reverse=True)
    return jnp.concatenate([before, (end % states)[None]]).astype(jnp.int32)


# ---- paths that are given ------------------------------------------------------------------------


def windows(path: Array, steps: int, states: int, order: int) -> Array:
    """The number b of the states before every step, ``(step,)``; 0 for those before the path.

    >>> path = jnp.array([1, 0, 2])
    >>> windows(path, 3, 3, 1).tolist(), windows(path, 3, 3, 2).tolist()
    ([0, 1, 0], [0, 1, 3])
    """
    padded = jnp.concatenate([jnp.zeros(steps + order - len(path), path.dtype), path])
    number = jnp.zeros(steps, path.dtype)
    for back in range(order):
        number = number * states + padded[back : back + steps]
    return number


def path_density(factors: Array, path: Array, order: int) -> Array:
    """Log-density of every step along a path, ``(step,)``.

    The state before the first step is the path's first of one more, or else summed out.
    """
    steps, _, states = factors.shape
    before = windows(path, steps, states, order)
    here = path[len(path) - steps :]
    density = factors[jnp.arange(steps), before, here]
    if len(path) > steps:
        return density
    return density.at[0].set(logsumexp(factors[0, :, here[0]]))


def path_pairs(path: Array, states: int, order: int) -> Array:
    """The pairs of a path ``(step + 1,)``, as :func:`pair_probabilities` has them."""
    kind: Any = jnp.result_type(float)
    before = windows(path, len(path) - 1, states, order)
    first = (before[:, None] == jnp.arange(states**order)).astype(kind)
    return first[:, :, None] * (path[1:, None] == jnp.arange(states)).astype(kind)[:, None]


def independent_pairs(weights: Array, order: int, start: Array) -> Array:
    """Pair probabilities of independent steps ``(state, step)``.

    Args:
        weights: of every step's states.
        order: of the chain.
        start: weights of the state before the first step.
    """
    states, steps = weights.shape
    padded = jnp.concatenate([*[start[:, None]] * order, weights], axis=1)
    pairs = jnp.ones((steps, 1), weights.dtype)
    for back in range(order):
        pairs = (pairs[:, :, None] * padded[:, back : back + steps].T[:, None]).reshape(steps, -1)
    return pairs[:, :, None] * weights.T[:, None]
