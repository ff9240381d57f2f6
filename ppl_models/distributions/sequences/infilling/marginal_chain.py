"""The likelihood of sequences of a chain with tokens that are not known, which are summed out.

One recursion from the end of a sequence to its beginning: how probable is what is still to come,
given the last tokens? Its gradient gives the expected counts.

Everything here is of one sequence of one chain; ``vmap`` is outside. A context is the last tokens
read, at most ``order`` of them; the length of a sequence is always known, so that a token that is
not known is not ``<end>``.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.contraction import einsum


def log_likelihood(initial: Array, transition: Array, tokens: Array, order: int) -> Array:
    """Log-probability of one sequence, tokens that are not known summed out.

    Args:
        initial: ``(V,)``.
        transition: ``(context, V + 1)``.
        tokens: codes ``(position,)``, -1 where not known.
        order: of the chain.
    """
    positions, by_length = tokens.shape[0], _tables(transition, order)
    longest = min(order, positions)
    ahead = jnp.ones(initial.shape[-1] ** longest, transition.dtype)
    log_scale = jnp.zeros((), transition.dtype)
    if positions > order:

        def step(carry: tuple[Array, Array], pair: tuple[Array, Array]) -> tuple:
            ahead, log_scale = carry
            message, log_top = _back(by_length[-1], ahead, *pair)
            return (message, log_scale + log_top), None

        pairs = (tokens[order - 1 : -1], tokens[order:])
        (ahead, log_scale), _ = lax.scan(step, (ahead, log_scale), pairs, reverse=True)
    for place in range(longest - 2, -1, -1):
        # contexts of these lengths lead to one context each: nothing is summed over but the token
        ahead, log_top = _back(by_length[place], ahead, tokens[place], tokens[place + 1])
        log_scale = log_scale + log_top
    total = (initial * _allowed(tokens[0], initial.shape[-1]) * ahead).sum()
    tiny = jnp.finfo(total.dtype).tiny
    return jnp.log(jnp.where(total > 0, total, tiny)) + log_scale


def _tables(transition: Array, order: int) -> list[Array]:
    """Rows of the contexts of 1, 2, … ``order`` tokens: ``(V ** length, V + 1)`` each."""
    v, tables, begin = transition.shape[-1] - 1, [], 0
    for length in range(1, order + 1):
        tables.append(transition[begin : begin + v**length])
        begin += v**length
    return tables


def _back(table: Array, ahead: Array, here: Array, following: Array) -> tuple[Array, Array]:
    """One position back: from longer contexts to those of ``table``, rescaled, and its log."""
    v = table.shape[-1] - 1
    open_to = ahead.reshape(-1, v) * _allowed(following, v).astype(ahead.dtype)
    steps = table[:, :v].reshape(-1, open_to.shape[0], v)
    onward = einsum("abv,bv->ab", steps, open_to).reshape(-1)
    past_end = jnp.where(following == v, 1.0, 0.0).astype(onward.dtype)
    onward = jnp.where(following == v, table[:, v], onward)
    messages = jnp.where(here == v, past_end, onward)
    top = messages.max()
    log_top = jnp.log(jnp.where(top > 0, top, jnp.finfo(messages.dtype).tiny))
    return messages / jnp.where(top > 0, top, 1), log_top


def _allowed(token: Array, v: int) -> Array:
    """Which tokens ``(V,)`` may stand where ``token`` does."""
    return (jnp.arange(v) == token) | missing_cells(token)
