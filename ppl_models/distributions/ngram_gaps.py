"""Gaps of sequences whose tokens depend on several before, over large vocabularies or small ones.

What follows a gap tells what is in it. Where all contexts of a chain fit into a table, the chain is
one of ``TokenChain``'s, whose recursion fills gaps in exactly; where they do not, particles do.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random

from .gaps import fill_gaps
from .token_chain import TokenChain, context_count

if TYPE_CHECKING:
    from .ngram_chain import NgramChain

TABLE_CELLS = 4_000_000  #: context x token of a table that is still made
PARTICLES = 128
PARTICLE_CELLS = 4_000_000  #: row x particle x token at once


def fits_a_table(vocabulary: int, order: int) -> bool:
    """Whether all contexts of a chain of n-grams fit into a table.

    >>> fits_a_table(27, 4), fits_a_table(10_000, 3)
    (True, False)
    """
    return vocabulary ** max(2, order) <= TABLE_CELLS


def as_table(chain: NgramChain) -> TokenChain:
    """The same chain with a row for every context, seen or not; no sequence of it is empty.

    Args:
        chain: one for which :func:`fits_a_table` holds.
    """
    v, back = chain.tokens, chain.seen.order - 1
    longest = max(1, back)
    recent = np.full((context_count(v, longest), back), -1, np.int32)
    row = 0
    for length in range(1, longest + 1):
        block = recent[row : row + v**length]
        read = np.array(list(product(range(v), repeat=length)), np.int32)[:, ::-1]
        block[:, :length] = read[:, :back]
        if length < back:  # before its first token a sequence has one mark
            block[:, length] = v
        row += len(block)
    first = jnp.exp(chain.following(chain.begin(())))[:v]
    following = jnp.exp(chain.following(jnp.asarray(recent)))
    return TokenChain(first / first.sum(), following, positions=chain.positions, order=longest)


def fill_by_particles(chain: NgramChain, key: Array, value: Array) -> Array:
    """Rows ``(row, position)`` with their gaps filled in, as many at once as memory allows."""
    at_once = max(1, PARTICLE_CELLS // (PARTICLES * (chain.tokens + 1)))

    def fill(pair: tuple[Array, Array]) -> Array:
        return fill_gaps(chain, pair[0], pair[1][None], PARTICLES)[0][0]

    return lax.map(fill, (random.split(key, len(value)), value), batch_size=at_once)
