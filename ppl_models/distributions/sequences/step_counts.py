"""How often every kind of step occurs in each sequence of tokens."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl_models import memory

#: kinds of steps for every position of a sequence, up to which sequences are kept as counts: a
#: product of matrices costs less than looking every step up
DENSE = 8


def kept_as_counts(kinds: int, positions: int) -> bool:
    """Whether densities and statistics of sequences are had from counts of their steps.

    >>> kept_as_counts(12, 5), kept_as_counts(702, 16)
    (True, False)
    """
    return kinds <= DENSE * positions


def count_steps(steps: Array, kinds: int, dtype: Any) -> Array:
    """Counts ``(sequence, kind)`` of ``steps (sequence, position)``; other numbers are left out.

    >>> count_steps(jnp.array([[0, 1, 1, 7], [2, 2, -1, 0]]), 3, float).tolist()
    [[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]]
    """
    cells = jnp.where((steps < 0) | (steps > kinds), kinds, steps)
    counts = jnp.zeros((len(steps), kinds + 1), dtype)
    return counts.at[jnp.arange(len(steps))[:, None], cells].add(1)[:, :kinds]


def square_root_shares(counts: Array) -> Array:
    """Square roots of each sequence's shares, whose distances are of one scale (Hellinger).

    The square root of a count has the same noise whatever its mean.
    """
    return jnp.sqrt(counts / jnp.clip(counts.sum(-1, keepdims=True), 1))


def in_pieces(cells: Array, spare: int) -> Array:
    """Cells ``(sequence, position)`` as ``(piece, sequence, position)``, filled up with spare ones.

    >>> in_pieces(jnp.array([[0, 1, 2]]), 9).shape
    (1, 1, 3)
    """
    rows, positions = cells.shape
    size = max(1, min(positions, memory.CACHE_STEPS // rows))
    count = -(-positions // size)
    padded = jnp.pad(cells, ((0, 0), (0, count * size - positions)), constant_values=spare)
    return padded.reshape(rows, count, size).swapaxes(0, 1)
