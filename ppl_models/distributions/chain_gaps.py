"""Sequences of a chain with tokens that are not known: summed out, drawn, or maximised.

All three rest on one recursion from the end of a sequence to its beginning: how probable is what
is still to come, given the last tokens? Summed over the unknown tokens it gives the likelihood
(and, by its gradient, the expected counts); walked through forwards it gives draws of the unknown
tokens given both sides; with max for sum it is Viterbi's (1967).

Everything here is of one sequence of one chain; ``vmap`` is outside. A context is the last tokens
read, at most ``order`` of them; the length of a sequence is always known, so that a token that is
not known is not ``<end>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .bernoulli import safe_log

MISSING_TOKEN = -1  #: code of a token that is not known


class Ahead(NamedTuple):
    """What is still to come after every position, by the context up to it, each rescaled."""

    early: list[Array]  #: contexts that are shorter than the order, one array a position
    full: Array  #: all later positions, (position, V ** order)
    log_scale: Array  #: what the rescalings add up to


def tables(transition: Array, order: int) -> list[Array]:
    """Rows of the contexts of 1, 2, … ``order`` tokens: ``(V ** length, V + 1)`` each."""
    v, found, begin = transition.shape[-1] - 1, [], 0
    for length in range(1, order + 1):
        found.append(transition[begin : begin + v**length])
        begin += v**length
    return found


def look_ahead(
    transition: Array, tokens: Array, order: int, combine: Callable[..., Array] = jnp.sum
) -> Ahead:
    """The recursion from the end of ``tokens (position,)`` to its beginning.

    Args:
        transition: ``(context, V + 1)``.
        tokens: codes, -1 where not known.
        order: of the chain.
        combine: ``jnp.sum`` over the unknown tokens, or ``jnp.max``.
    """
    v = transition.shape[-1] - 1
    positions = tokens.shape[0]
    by_length = tables(transition, order)

    def back(table: Array, ahead: Array, here: Array, following: Array) -> tuple[Array, Array]:
        """One position back: ``ahead`` of the longer contexts becomes that of ``table``'s."""
        open_to = ahead.reshape(-1, v) * allowed(following, v).astype(ahead.dtype)
        steps = table[:, :v].reshape(-1, open_to.shape[0], v)
        if combine is jnp.sum:
            onward = jnp.einsum("abv,bv->ab", steps, open_to).reshape(-1)
        else:
            onward = combine(steps * open_to, axis=-1).reshape(-1)
        past_end = jnp.where(following == v, 1.0, 0.0).astype(onward.dtype)
        ends = following == v
        found = jnp.where(here == v, past_end, jnp.where(ends, table[:, v], onward))
        top = found.max()
        safe = jnp.where(top > 0, top, 1)
        log_top = jnp.log(jnp.where(top > 0, top, jnp.finfo(found.dtype).tiny))
        return found / safe, log_top

    longest = min(order, positions)
    last = jnp.ones(v**longest, transition.dtype)
    log_scale = jnp.zeros((), transition.dtype)
    full = last[None]
    if positions > order:

        def step(
            carry: tuple[Array, Array], pair: tuple[Array, Array]
        ) -> tuple[tuple[Array, Array], Array]:
            ahead, log_scale = carry
            found, log_top = back(by_length[-1], ahead, *pair)
            return (found, log_scale + log_top), found

        pairs = (tokens[order - 1 : -1], tokens[order:])
        (_, log_scale), rest = lax.scan(step, (last, log_scale), pairs, reverse=True)
        full = jnp.concatenate([rest, full])
    early: list[Array] = []
    ahead = full[0]
    for place in range(longest - 2, -1, -1):
        table = by_length[place]
        # contexts of these lengths lead to one context each: nothing is summed over but the token
        ahead, log_top = back(table, ahead.reshape(-1, v), tokens[place], tokens[place + 1])
        log_scale = log_scale + log_top
        early.insert(0, ahead)
    return Ahead(early, full, log_scale)


def allowed(token: Array, v: int) -> Array:
    """Which tokens ``(V,)`` may stand where ``token`` does."""
    return (jnp.arange(v) == token) | (token == MISSING_TOKEN)


def log_likelihood(initial: Array, transition: Array, tokens: Array, order: int) -> Array:
    """Log-probability of one sequence, tokens that are not known summed out."""
    ahead = look_ahead(transition, tokens, order)
    first = (ahead.early or list(ahead.full))[0]
    total = (initial * allowed(tokens[0], initial.shape[-1]) * first).sum()
    tiny = jnp.finfo(total.dtype).tiny
    return jnp.log(jnp.where(total > 0, total, tiny)) + ahead.log_scale


def fill(
    initial: Array,
    transition: Array,
    tokens: Array,
    order: int,
    choose: Callable[[Array, Array], Array],
    combine: Callable[..., Array] = jnp.sum,
) -> Array:
    """One sequence with its unknown tokens filled in.

    Args:
        initial: ``(V,)``.
        transition: ``(context, V + 1)``.
        tokens: codes ``(position,)``, -1 where not known.
        order: of the chain.
        choose: from the position and the log-probabilities ``(V,)`` of a token there, given all
            other tokens, to the token.
        combine: of :func:`look_ahead`.
    """
    v, positions = initial.shape[-1], tokens.shape[0]
    ahead = look_ahead(transition, tokens, order, combine)
    by_length = tables(transition, order)
    filled = [_pick(choose, 0, initial * (ahead.early or list(ahead.full))[0], tokens[0], v)]
    context = jnp.clip(filled[0], 0, v - 1)
    for place in range(1, min(order, positions)):
        children = context * v + jnp.arange(v)
        later = ahead.early[place] if place < len(ahead.early) else ahead.full[0]
        probs = by_length[place - 1][context, :v] * later[children]
        filled.append(_pick(choose, place, probs, tokens[place], v))
        context = children[jnp.clip(filled[-1], 0, v - 1)]
    if positions <= order:
        return jnp.stack(filled).astype(tokens.dtype)

    def step(context: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        place, token, later = given
        children = (context % v ** (order - 1)) * v + jnp.arange(v)
        probs = by_length[-1][context, :v] * later[children]
        token = _pick(choose, place, probs, token, v)
        return children[jnp.clip(token, 0, v - 1)], token

    places = jnp.arange(order, positions)
    _, rest = lax.scan(step, context, (places, tokens[order:], ahead.full[1:]))
    return jnp.concatenate([jnp.stack(filled), rest]).astype(tokens.dtype)


def _pick(
    choose: Callable[[Array, Array], Array], place: int | Array, probs: Array, token: Array, v: int
) -> Array:
    """The token itself where it is known, ``<end>`` included."""
    return jnp.where(token == MISSING_TOKEN, choose(jnp.asarray(place), safe_log(probs)), token)
