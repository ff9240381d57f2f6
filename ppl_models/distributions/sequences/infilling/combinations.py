"""Exact infilling: enumerate all combinations of the missing tokens that a chain remembers.

A chain with a memory of m tokens has forgotten a gap m tokens later. What has to be kept apart are
the values of the gaps that it still remembers, and with gaps far apart that is one: V combinations,
however long the memory. What remembers all (a network, a hidden chain) has one for each filling of
all gaps of a row. A gap that is forgotten is summed out, and it is drawn at once what it was
given each combination of the others, so that one walk back fills all gaps in; with the largest for
the sum that is Viterbi's (1967) search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from jax.scipy.special import logsumexp

from ppl_models import memory
from ppl_models.data.missing import MISSING_CODE, missing_cells

if TYPE_CHECKING:
    from ppl_models.distributions.sequences.autoregressive import Autoregressive


class GapWindow(NamedTuple):
    """The largest number of missing tokens that the next token depends on."""

    held: int  #: among as many successive tokens as the chain remembers; at least one
    together: int  #: among these and the one that follows


def gap_window(value: Any, memory: int | None) -> GapWindow:
    """Missing tokens within the last ``memory`` positions, over rows with missing tokens.

    Args:
        value: codes ``(row, position)``, gaps NaN or negative; where they are not known yet, all
            may be gaps.
        memory: tokens; None: all.

    >>> gap_window(np.array([[0, -1, 2, 1, -1, 0]]), memory=2)
    GapWindow(held=1, together=1)
    >>> gap_window(np.array([[0, -1, -1]]), memory=2)
    GapWindow(held=2, together=2)
    """
    memory = np.shape(value)[-1] if memory is None else memory
    if isinstance(value, jax.core.Tracer):
        return GapWindow(max(1, memory), memory + 1)
    gaps = missing_cells(np.asarray(value)).reshape(-1, np.shape(value)[-1])
    total = np.pad(np.cumsum(gaps, 1), ((0, 0), (1, 0)))

    def most(window: int) -> int:
        size = min(window, gaps.shape[1])
        return int((total[:, size:] - total[:, : total.shape[1] - size]).max(initial=0))

    return GapWindow(max(1, most(memory)), most(memory + 1))


def combinations(chain: Autoregressive, window: GapWindow) -> int:
    """Number of combinations of missing tokens that are enumerated at once."""
    return chain.tokens ** max(window)


def fill_combinations(
    chain: Autoregressive, value: Array, window: GapWindow, key: Array | None = None
) -> tuple[Array, Array]:
    """Fill in the missing tokens of one row given the known ones; `vmap` for more rows.

    Args:
        chain: without batch axes.
        value: codes ``(position,)``, gaps -1. A gap is never ``<end>``.
        window: of all rows.
        key: random key of a draw; None: the most probable tokens together.

    Returns:
        The row, and the log-probability of what is known: summed over gaps, or the largest.
    """
    v, rest = chain.tokens, chain.tokens ** (window.held - 1)
    first = jnp.zeros(v * rest, jnp.int32)

    def merge(weight: Array, key: Array | None) -> tuple[Array, Array]:
        """Sum or maximum over the last axis, and the index chosen."""
        if key is None:
            return weight.max(-1), weight.argmax(-1).astype(first.dtype)
        return logsumexp(weight, -1), random.categorical(key, weight).astype(first.dtype)

    def oldest_forgotten(leaf: Array) -> Array:
        return leaf.reshape(rest, v, *leaf.shape[1:])[:, 0]

    def at_gap(state: Any, weight: Array, key: Array | None) -> tuple[Any, Array, Array]:
        weight = weight.reshape(rest, v)
        if window.together <= window.held:  # the oldest gap in mind was forgotten before this one
            weight, origin = merge(weight, key)
            state = jax.tree.map(oldest_forgotten, state)
            weight = weight + chain.following(state)[:, :v].T
            origin = jnp.broadcast_to(origin, weight.shape)
        else:
            ahead = chain.following(state)[:, :v].reshape(rest, v, v)
            weight, origin = merge(jnp.moveaxis(weight[..., None] + ahead, -1, 0), key)
            state = jax.tree.map(oldest_forgotten, state)
        state = jax.tree.map(lambda s: jnp.broadcast_to(s, (v, *s.shape)), state)
        token = jnp.broadcast_to(jnp.arange(v, dtype=jnp.int32)[:, None], (v, rest))
        state = jax.tree.map(lambda s: s.reshape(v * rest, *s.shape[2:]), chain.read(state, token))
        return state, weight.reshape(v * rest), origin.reshape(v * rest)

    def step(carry: tuple, at: tuple) -> tuple[tuple, Array]:
        state, weight, over = carry
        token, place = at
        code = jnp.broadcast_to(jnp.clip(token, 0, v - 1), first.shape)
        gain = chain.following_one(state, jnp.broadcast_to(jnp.clip(token, 0), first.shape))
        known = chain.read(state, code), weight + jnp.where(over, 0, gain), first
        unknown = at_gap(state, weight, None if key is None else random.fold_in(key, place))
        state, weight, origin = jax.tree.map(
            lambda a, b: jnp.where(missing_cells(token), a, b), unknown, known
        )
        return (state, weight, over | (token == v)), origin

    # gaps that were not met yet have the token 0
    weight = jnp.where(jnp.arange(v * rest) == 0, 0.0, -jnp.inf)
    begun = chain.begin(first.shape), weight, jnp.zeros((), bool)
    places = jnp.arange(len(value))
    (_, weight, _), back_pointers = lax.scan(step, begun, (value, places))
    last_key = None if key is None else random.fold_in(key, len(value))
    total, last = merge(weight, last_key)

    def back(chosen: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        token, origin = at
        before = chosen % rest * v + origin[chosen]
        gap = missing_cells(token)
        return jnp.where(gap, before, chosen), jnp.where(gap, chosen // rest, token)

    _, filled = lax.scan(back, last, (value, back_pointers), reverse=True)
    return filled.astype(value.dtype), total


def fill_rows(
    chain: Autoregressive, value: Array, window: GapWindow, key: Array | None = None
) -> Array:
    """Rows ``(..., position)`` filled in, as many at once as memory allows.

    Args:
        chain: without batch axes; or a family with parameters for all rows, or for each its own.
        value: codes, gaps NaN or negative.
        window: of all rows.
        key: of draws; None: the most probable tokens together.
    """
    codes = jnp.where(missing_cells(value), MISSING_CODE, value).astype(jnp.int32)
    rows: dict[str, Any] = {"value": codes.reshape(-1, value.shape[-1])}
    count = len(rows["value"])
    if key is not None:
        rows["key"] = random.split(key, count)
    one, rows["own"] = _one_a_row(chain)

    def fill(row: dict[str, Any]) -> Array:
        return fill_combinations(one(row["own"]), row["value"], window, row.get("key"))[0]

    cells = value.shape[-1] * combinations(chain, window)
    filled = lax.map(fill, rows, batch_size=max(1, min(memory.BLOCK_NUMBERS // cells, count)))
    return filled.reshape(value.shape)


def _one_a_row(chain: Any) -> tuple[Callable[[Any], Autoregressive], Any]:
    """A function that builds a row's chain from its parameters, and these ``(row, ...)``."""
    if not chain.batch_shape:
        return lambda _: chain, ()
    flat = chain.components()
    parts = {n: getattr(flat, n) for n in flat.parameter_dims}
    if flat.batch_shape == (1,):
        alone = flat.replace(**{n: part[0] for n, part in parts.items()})
        return lambda _: alone, ()
    return lambda own: flat.replace(**own), parts
