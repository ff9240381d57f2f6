"""What a new edge would close: counts around a candidate, kept for the last M nodes.

The change statistics of sequential models of networks (Snijders, Pattison, Robins and Handcock,
2006, New specifications for exponential random graph models): triangles, squares, degrees. All of
them are sums over the M nodes that an edge may reach, whatever the size of the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

#: statistics of an edge to a candidate, in the order of :func:`edge_statistics`
EDGE_STATISTICS = (
    "constant", "distance", "parent before", "degree", "tied once", "open squares",
    "edges so far", "triangles", "share of triangles", "squares by a spoke", "squares",
    "closed squares", "parent tied once", "nodes",
)  # fmt: skip
#: statistics of the end, in the order of :func:`end_statistics`
END_STATISTICS = ("constant", "nodes", "nodes squared", "waiting", "open squares")
UNIT = 10.0  #: nodes are counted in tens, so that weights of all statistics are of one size


class Window(NamedTuple):
    """The last M nodes, the farthest first: what ties them to each other, ``(..., M[, M])``."""

    adjacent: Array  #: 1 where two of them have an edge
    spokes: Array  #: neighbours that two have in common, those which were tied once themselves
    shared: Array  #: neighbours that two have in common, all others
    earlier: Array  #: edges of each to nodes before it
    degree: Array  #: edges of each


def empty_window(shape: tuple[int, ...], width: int, dtype: object) -> Window:
    """The window with the first node alone."""
    square = jnp.zeros((*shape, width, width), dtype)
    line = jnp.zeros((*shape, width), dtype)
    return Window(square, square, square, line, line)


def moved_on(window: Window, bits: Array) -> Window:
    """The window after a row: its node is in, the farthest out.

    Args:
        window: the nodes before the row's.
        bits: the row, ``(..., M)``.
    """
    edges = bits.astype(window.earlier.dtype)
    count = edges.sum(-1)
    pairs = edges[..., :, None] * edges[..., None, :]
    once = (count == 1)[..., None, None]
    # the new node is a neighbour that its own neighbours have in common from now on
    spokes = window.spokes + jnp.where(once, pairs, 0)
    shared = window.shared + jnp.where(once, 0, pairs)
    single = (window.earlier <= 1).astype(edges.dtype)
    through = jnp.einsum("...k,...km->...m", edges * single, window.adjacent)
    others = jnp.einsum("...k,...km->...m", edges * (1 - single), window.adjacent)
    return Window(
        _appended(window.adjacent, edges),
        _appended(spokes, through),
        _appended(shared, others),
        _shifted(window.earlier, count),
        _shifted(window.degree + edges, count),
    )


def _shifted(line: Array, last: Array) -> Array:
    return jnp.concatenate([line[..., 1:], last[..., None]], -1)


def _appended(square: Array, line: Array) -> Array:
    """The square one node on, its last row and column those of the new node."""
    kept = jnp.concatenate([square[..., 1:, 1:], line[..., 1:, None]], -1)
    last = jnp.concatenate([line[..., 1:], jnp.zeros_like(line[..., :1])], -1)
    return jnp.concatenate([kept, last[..., None, :]], -2)


def edge_statistics(window: Window, bits: Array, row: Array, lowest: Array) -> Array:
    """Statistics of every candidate given the bits before it in the row, ``(..., M, statistic)``.

    Args:
        window: the nodes before the row's.
        bits: the row, ``(..., M)``.
        row: which one it is, ``(...)``.
        lowest: its first slot that may hold an edge, ``(...)``.
    """
    edges = bits.astype(window.earlier.dtype)
    width = edges.shape[-1]
    slot = jnp.arange(width)
    nodes = jnp.broadcast_to(((row + 1) / UNIT).astype(edges.dtype)[..., None], edges.shape)
    so_far = jnp.cumsum(edges, -1) - edges
    first = edges * (so_far == 0)

    def over_earlier(values: Array) -> Array:
        return jnp.cumsum(values, -1) - values

    def with_earlier(square: Array) -> Array:
        """Sum over this row's edges before the candidate."""
        below = jnp.tril(jnp.ones((width, width), edges.dtype), -1)
        return jnp.einsum("...mk,...k->...m", square * below, edges)

    triangles = with_earlier(window.adjacent)
    spokes, shared = with_earlier(window.spokes), with_earlier(window.shared)
    once = (window.earlier == 1).astype(edges.dtype)
    columns = [
        jnp.ones_like(edges),
        jnp.broadcast_to(jnp.log(width - slot + 0.0).astype(edges.dtype), edges.shape),
        (slot == lowest[..., None]).astype(edges.dtype),
        jnp.log1p(window.degree),
        once,
        open_squares(window),
        jnp.log1p(so_far),
        jnp.log1p(triangles),
        triangles / jnp.clip(so_far, 1),
        (spokes > 0).astype(edges.dtype),
        (shared > 0).astype(edges.dtype),
        (spokes + shared > 1).astype(edges.dtype),
        over_earlier(first * once),
        nodes,
    ]
    return jnp.stack(columns, -1)


def open_squares(window: Window) -> Array:
    """Later nodes with which a node has one common neighbour and no edge, at most 3, ``(..., M)``.

    In a lattice each of them stands for a square that is still to be closed.
    """
    width = window.earlier.shape[-1]
    later = jnp.triu(jnp.ones((width, width), window.earlier.dtype), 1)
    open_ = (window.spokes + window.shared == 1) & (window.adjacent == 0)
    return jnp.clip((open_ * later).sum(-1), 0, 3)


def end_statistics(window: Window, row: Array, lowest: Array) -> Array:
    """Statistics of the end before a row, ``(..., statistic)``."""
    dtype = window.earlier.dtype
    width = window.earlier.shape[-1]
    nodes = ((row + 1) / UNIT).astype(dtype)
    slot = jnp.arange(width)
    waiting = slot >= lowest[..., None]  # nodes that may still get a node of their own
    still = (open_squares(window) * waiting).sum(-1)
    columns = [
        jnp.ones_like(nodes),
        nodes,
        nodes**2,
        jnp.log1p((width - lowest).astype(dtype)),
        jnp.log1p(still),
    ]
    return jnp.stack(columns, -1)
