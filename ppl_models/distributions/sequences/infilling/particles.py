"""Gaps of rows that are written token by token, filled in given all tokens that are known.

What follows a gap tells what is in it, which a chain that only looks back cannot say in closed
form. A particle filter does: every particle writes the gaps on its way, is weighted by how probable
it finds the known tokens, and is drawn anew in proportion. A gap at the end of a row is written
exactly. Gordon, Salmond and Smith (1993).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from jax.scipy.special import logsumexp

from ppl_models import memory
from ppl_models.data.missing import missing_cells

if TYPE_CHECKING:
    from ppl_models.distributions.sequences.autoregressive import Autoregressive


def fill_gaps(
    chain: Autoregressive, key: Array, value: Array, particles: int = 32
) -> tuple[Array, Array]:
    """Fill every gap in, and estimate the log-probability of what is known.

    Args:
        chain: without batch axes.
        key: random key.
        value: rows ``(row, position)``, gaps NaN or -1. A gap is never ``<end>``.
        particles: of every row.

    Returns:
        Whole rows ``(row, position)`` of integers, and ``(row,)`` log-probabilities, whose
        exponentials are unbiased.
    """
    known = ~missing_cells(value)
    codes = jnp.where(known, value, 0).astype(jnp.int32)
    rows, positions = codes.shape
    shape = (rows, particles)
    end = chain.tokens if chain.ends else chain.tokens + 1

    def step(carry: Any, at: tuple) -> tuple[Any, None]:
        state, written, weight, total = carry
        place, key, token, is_known = at
        draw_key, choose_key = random.split(key)
        log_probs = chain.following(state)
        open_ = log_probs if not chain.ends else log_probs[..., :-1]
        free = random.categorical(draw_key, open_).astype(jnp.int32)
        drawn = jnp.where(is_known[:, None], token[:, None], free)
        taken = jnp.take_along_axis(log_probs, drawn[..., None], -1)[..., 0]
        # a gap that is drawn weighs what its not being <end> weighs
        gain = jnp.where(is_known[:, None], taken, logsumexp(open_, -1))
        over = (written[:, 0, place - 1] == end) & (place > 0)
        weight = weight + jnp.where(over[:, None], 0, gain)
        written = written.at[..., place].set(drawn)
        state = chain.read(state, jnp.clip(drawn, 0, chain.tokens - 1))
        weights = jax.nn.softmax(weight, -1)
        poor = 1 / (weights**2).sum(-1) < particles / 2
        chosen = jnp.where(poor[:, None], _systematic(choose_key, weights), jnp.arange(particles))
        average = logsumexp(weight, -1, keepdims=True) - jnp.log(particles)
        total = total + jnp.where(poor, average[:, 0], 0)
        weight = jnp.where(poor[:, None], 0, weight)
        state, written = jax.tree.map(lambda leaf: _picked(leaf, chosen), (state, written))
        return (state, written, weight, total), None

    start_key, last_key = random.split(key)
    dtype = jax.eval_shape(lambda: chain.following(chain.begin(shape))).dtype
    blank = jnp.zeros((*shape, positions), jnp.int32)
    carry = (chain.begin(shape), blank, jnp.zeros(shape, dtype), jnp.zeros(rows, dtype))
    each = (jnp.arange(positions), random.split(start_key, positions), codes.T, known.T)
    (_, written, weight, total), _ = lax.scan(step, carry, each)
    last = random.categorical(last_key, weight)
    total = total + logsumexp(weight, -1) - jnp.log(particles)
    return jnp.take_along_axis(written, last[:, None, None], 1)[:, 0], total


def fill_by_particles(chain: Autoregressive, key: Array, value: Array) -> Array:
    """Rows ``(row, position)`` with their gaps filled in, as many at once as memory allows."""
    particles = chain.particles
    at_once = max(1, memory.BLOCK_NUMBERS // (particles * (chain.tokens + 1)))

    def fill(pair: tuple[Array, Array]) -> Array:
        return fill_gaps(chain, pair[0], pair[1][None], particles)[0][0]

    return lax.map(fill, (random.split(key, len(value)), value), batch_size=at_once)


def _systematic(key: Array, weights: Array) -> Array:
    """Particles in proportion to their shares, ``(row, particle)``; Kitagawa (1996)."""
    count = weights.shape[1]
    places = (jnp.arange(count) + random.uniform(key, (weights.shape[0], 1))) / count
    chosen = jax.vmap(jnp.searchsorted)(jnp.cumsum(weights, -1), places.astype(weights.dtype))
    return jnp.minimum(chosen, count - 1)


def _picked(leaf: Array, chosen: Array) -> Array:
    """``leaf[row, chosen[row, particle], ...]``."""
    return jax.vmap(lambda rows, places: rows[places])(leaf, chosen)
