"""Statistics of a candidate edge: triangles and squares it would close among the last M nodes.

The change statistics of models of networks (Snijders, Pattison, Robins and Handcock 2006, New
specifications for exponential random graph models): triangles, squares, degrees. All are sums over
the M nodes that an edge may reach, whatever the size of the graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

UNIT = 10.0  #: nodes are counted in tens, so that weights of all statistics are of one size


class Window(NamedTuple):
    """Adjacency of the last M nodes, the farthest first, ``(..., M[, M])``.

    A node is tied once if its row has one edge: in a lattice those are the nodes straight ahead of
    the root. Two nodes with such a one between them, tied more than once themselves, lie across it
    from each other, and no later node has both as neighbours.
    """

    adjacent: Array  #: 1 where two of them have an edge
    shared: Array  #: neighbours that two have in common, those that they lie across left out
    across: Array  #: neighbours that two lie across
    earlier: Array  #: edges of each to nodes before it
    single: Array  #: later neighbours of each that are tied once
    other: Array  #: its other later neighbours


def empty_window(shape: tuple[int, ...], width: int, dtype: Any) -> Window:
    """The window with the first node alone."""
    square = jnp.zeros((*shape, width, width), dtype)
    line = jnp.zeros((*shape, width), dtype)
    return Window(square, square, square, line, line, line)


def moved_on(window: Window, bits: Array) -> Window:
    """The window after a row: its node is added, the farthest is dropped.

    Args:
        window: the nodes before the row's.
        bits: the row, ``(..., M)``.
    """
    edges = bits.astype(window.earlier.dtype)
    count = edges.sum(-1)
    once = (count == 1)[..., None]
    # the new node is a neighbour that its own neighbours have in common from now on
    shared = window.shared + edges[..., :, None] * edges[..., None, :]
    common = edges[..., None] * window.adjacent
    spoke = (common * (window.earlier == 1)[..., None]).sum(-2)
    across = jnp.where(~once & (window.earlier > 1), spoke, 0)
    return Window(
        _appended(window.adjacent, edges),
        _appended(shared, common.sum(-2) - across),
        _appended(window.across, across),
        _shifted(window.earlier, count),
        _shifted(window.single + jnp.where(once, edges, 0), 0 * count),
        _shifted(window.other + jnp.where(once, 0, edges), 0 * count),
    )


def _shifted(line: Array, last: Array) -> Array:
    return jnp.concatenate([line[..., 1:], last[..., None]], -1)


def _appended(square: Array, line: Array) -> Array:
    """The square one node on, its last row and column those of the new node."""
    square_later = jnp.concatenate([square[..., 1:, 1:], line[..., 1:, None]], -1)
    last = _shifted(line, jnp.zeros_like(line[..., 0]))
    return jnp.concatenate([square_later, last[..., None, :]], -2)


def edges_before(bits: Array, dtype: Any) -> Array:
    """The edges of a row that each of its candidates is given, ``(..., M, M)``."""
    width = bits.shape[-1]
    # a running sum as a product: the compiler makes slow loops of cumsum
    return bits[..., None, :].astype(dtype) * jnp.tril(jnp.ones((width, width), dtype), -1)


def edge_statistics(window: Window, bits: Array, row: Array, lowest: Array) -> Array:
    """Statistics of every candidate given the bits before it in the row, ``(..., M, statistic)``.

    In the order of ``ppl_models.data.containers.graphs.EDGE_STATISTICS``.

    Args:
        window: the nodes before the row's.
        bits: the row, ``(..., M)``.
        row: which one it is, ``(...)``.
        lowest: its first slot that may hold an edge, ``(...)``.
    """
    dtype = window.earlier.dtype
    shape = window.earlier.shape
    slot = jnp.arange(shape[-1])
    before = edges_before(bits, dtype)
    so_far = before.sum(-1)
    triangles = (before * window.adjacent).sum(-1)
    shared, across = (before * window.shared).sum(-1), (before * window.across).sum(-1)
    once = window.earlier == 1
    columns = [
        jnp.ones(shape, dtype),
        jnp.broadcast_to(((row + 1) / UNIT)[..., None], shape),
        jnp.broadcast_to(jnp.log(shape[-1] - slot + 0.0), shape),
        slot == lowest[..., None],
        jnp.log1p(window.earlier),
        once,
        jnp.clip(window.single, 0, 4),
        jnp.log1p(window.other),
        once & (window.single == 0),
        open_squares(window),
        jnp.log1p(so_far),
        jnp.log1p(triangles),
        triangles / jnp.clip(so_far, 1),
        shared > 0,
        shared > 1,
        across > 0,
    ]
    return jnp.stack([column.astype(dtype) for column in columns], -1)


def open_squares(window: Window) -> Array:
    """Later nodes with which a node shares one neighbour and no edge, at most 3, ``(..., M)``.

    In a lattice each of them stands for a square that is still to be closed.
    """
    width = window.earlier.shape[-1]
    later = jnp.triu(jnp.ones((width, width), window.earlier.dtype), 1)
    still = (window.shared == 1) & (window.adjacent == 0) & (window.across == 0)
    return jnp.clip((still * later).sum(-1), 0, 3)


def end_statistics(window: Window, row: Array, lowest: Array) -> Array:
    """Statistics of the end before a row, in the order of ``END_STATISTICS``."""
    dtype = window.earlier.dtype
    width = window.earlier.shape[-1]
    nodes = ((row + 1) / UNIT).astype(dtype)
    waiting = jnp.arange(width) >= lowest[..., None]  # nodes that may still be a parent
    still = (open_squares(window) * waiting).sum(-1)
    columns = [
        jnp.ones_like(nodes),
        nodes,
        nodes**2,
        jnp.log1p((width - lowest).astype(dtype)),
        jnp.log1p(still),
    ]
    return jnp.stack(columns, -1)
