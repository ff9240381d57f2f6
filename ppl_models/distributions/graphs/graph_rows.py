"""Base of distributions of graphs in breadth-first order: the free bits, and the end.

A graph is rows of M bits, a row a node but the first: the edges to the M nodes before it, from the
farthest to the nearest, then ``<end>`` (see ``ppl_models.data.containers.graphs``). An order is
breadth-first if and only if every node but the first has an edge to an earlier one, and the
earliest of these, its parent, is never earlier than the parent of the node before. Bits that this
decides are no choices: they have probability one. All others, and the end before each row, have a
log-odds that the subclasses say. So the probabilities of all graphs in all their breadth-first
orders in which no edge reaches farther back than M nodes add up to one, unless a graph may grow for
ever.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import log_sigmoid
from numpyro.distributions import constraints

from ppl_models.distributions.sequences.autoregressive import Autoregressive, steps_taken

EDGE, END = 1, 2  #: codes of an edge and of ``<end>``


class GraphState(NamedTuple):
    """State after the bits read so far; leading axes ``shape``."""

    row: Array  #: which row is being written, from 0
    slot: Array  #: which of its bits comes next, from 0
    lowest: Array  #: the first slot that may hold an edge
    bits: Array  #: of this row, ``(..., M)``, zeros where nothing is read yet
    memory: Any  #: the subclass's, of the rows before


def rows_of(value: Array, width: int) -> Array:
    """Codes ``(..., position)`` as ``(..., row, M)``, filled up with ``<end>``."""
    rows = -(-value.shape[-1] // width)
    filling = [(0, 0)] * (value.ndim - 1) + [(0, rows * width - value.shape[-1])]
    filled = jnp.pad(value, filling, constant_values=END)
    return filled.reshape(*value.shape[:-1], rows, width)


def lowest_after(bits: Array, row: Array) -> Array:
    """The first slot of the next row that may hold an edge: that of the parent in this row.

    Args:
        bits: of this row, ``(..., M)``.
        row: which one it is, ``(...)``.
    """
    width = bits.shape[-1]
    parent = jnp.argmax(bits > 0, axis=-1).astype(jnp.int32) - 1
    return jnp.clip(jnp.maximum(parent, width - 2 - row), 0).astype(jnp.int32)


def lowest_slots(bits: Array) -> Array:
    """``lowest`` of every row ``(..., row)`` from all rows ``(..., row, M)``."""
    width = bits.shape[-1]
    after = lowest_after(bits[..., :-1, :], jnp.arange(bits.shape[-2] - 1))
    first = jnp.full((*bits.shape[:-2], 1), width - 1, after.dtype)
    return jnp.concatenate([first, after], -1)


def free_slots(bits: Array, lowest: Array) -> tuple[Array, Array]:
    """Which bits of a row are choices, and what the others are, both ``(..., M)``.

    Args:
        bits: ``(..., M)``; a bit depends on those before it alone.
        lowest: ``(...)``.
    """
    slot = jnp.arange(bits.shape[-1])
    last = slot == bits.shape[-1] - 1
    must = last & (bits[..., :-1].sum(-1) == 0)[..., None]
    return (slot >= lowest[..., None]) & ~must, must


@partial(jax.jit, static_argnames=("width",))
def _possible(value: Array, width: int) -> Array:
    rows = rows_of(value, width)
    bits = (rows == EDGE).astype(jnp.int32)
    free, must = free_slots(bits, lowest_slots(bits))
    over = jnp.cumsum(rows[..., 0] == END, -1) > 0
    begun = jnp.arange(rows.shape[-2]) > 0  # the first row is always there
    inside = (rows == 0) | (rows == EDGE)
    good = jnp.where(
        over[..., None], (rows == END) & begun[:, None], inside & (free | (bits == must))
    )
    return good.reshape(*value.shape[:-1], -1)[..., : value.shape[-1]]


class GraphConstraint(constraints.Constraint):
    """Which cells ``(..., position)`` can be what they are in a graph of rows of `width` bits."""

    is_discrete = True
    event_dim = 0

    def __init__(self, width: int):
        self.width = width

    def __call__(self, x: Any) -> Array:
        """One truth a cell."""
        return _possible(jnp.asarray(x), self.width)

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """No leaves: everything is static."""
        return (), ((), {"width": self.width})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphConstraint) and other.width == self.width

    def __hash__(self) -> int:
        return hash((type(self), self.width))


class GraphRows(Autoregressive):
    """A distribution over ordered graphs, given by the log-odds of its free bits and of the end.

    A subclass says what it remembers of whole rows (:meth:`start`, :meth:`remember`), what of that
    its log-odds need (:meth:`view`), and the log-odds themselves. The views of all rows are
    gathered in one pass, so that the log-odds of all bits of all graphs are computed at once.
    """

    tokens = 2
    writes_graphs = True
    width: int  #: M
    positions: int

    @property
    def support(self) -> Any:
        """Graphs in breadth-first order."""
        return constraints.independent(GraphConstraint(self.width), 1)

    # ---- what a subclass writes --------------------------------------------------------------

    def start(self, shape: tuple[int, ...]) -> Any:
        """The memory before the first row: a pytree of arrays, leading axes ``shape``."""
        raise NotImplementedError

    def remember(self, memory: Any, bits: Array, row: Array) -> Any:
        """The memory after a row."""
        raise NotImplementedError

    def view(self, memory: Any, bits: Array, row: Array, lowest: Array) -> Any:
        """What the log-odds of a row need: a pytree of arrays, leading axes ``shape``."""
        raise NotImplementedError

    def edge_logits(self, view: Any) -> Array:
        """Log-odds ``shape + (M,)`` of an edge, each given the bits before it in the row."""
        raise NotImplementedError

    def end_logit(self, view: Any) -> Array:
        """Log-odds ``shape`` of the end before the row."""
        raise NotImplementedError

    # ---- what every subclass gets ------------------------------------------------------------

    def begin(self, shape: tuple[int, ...]) -> GraphState:
        """Nothing read yet."""
        zero = jnp.zeros(shape, jnp.int32)
        bits = jnp.zeros((*shape, self.width), jnp.int32)
        return GraphState(zero, zero, zero + self.width - 1, bits, self.start(shape))

    def following(self, state: GraphState) -> Array:
        """Log-probabilities of no edge, an edge and ``<end>``, ``shape + (3,)``."""
        view = self.view(state.memory, state.bits, state.row, state.lowest)
        table = self._table(view, state.bits, state.row, state.lowest)
        return jnp.take_along_axis(table, state.slot[..., None, None], axis=-2)[..., 0, :]

    def read(self, state: GraphState, token: Array) -> GraphState:
        """The state after one more bit."""
        here = jnp.arange(self.width) == state.slot[..., None]
        bits = jnp.where(here, token[..., None].astype(jnp.int32), state.bits)
        full = state.slot == self.width - 1
        after = self.remember(state.memory, bits, state.row)
        return GraphState(
            state.row + full,
            jnp.where(full, 0, state.slot + 1),
            jnp.where(full, lowest_after(bits, state.row), state.lowest),
            jnp.where(full[..., None], 0, bits),
            jax.tree.map(lambda new, old: _where(full, new, old), after, state.memory),
        )

    def following_each(self, value: Array) -> Array:
        """Log-probabilities at every position, ``(graph, position, 3)``: one pass over rows."""
        rows = rows_of(value, self.width)
        bits = (rows > 0).astype(jnp.int32)  # after <end> as if edges were read, see the contract
        lowest = lowest_slots(bits)
        index = jnp.broadcast_to(jnp.arange(rows.shape[1])[:, None], rows.shape[1::-1])

        def step(memory: Any, line: tuple[Array, Array, Array]) -> tuple[Any, Any]:
            bits, row, lowest = line
            return self.remember(memory, bits, row), self.view(memory, bits, row, lowest)

        lines = (jnp.moveaxis(bits, 1, 0), index, lowest.T)
        _, views = lax.scan(step, self.start(value.shape[:1]), lines)
        table = jnp.moveaxis(self._table(views, *lines), 0, 1)
        return table.reshape(len(value), -1, 3)[:, : value.shape[1]]

    def _table(self, view: Any, bits: Array, row: Array, lowest: Array) -> Array:
        """Log-probabilities ``shape + (M, 3)`` of every bit of a row, and of the end before it."""
        edge, end = self.edge_logits(view), self.end_logit(view)
        free, must = free_slots(bits, lowest)
        never = jnp.full((), -jnp.inf, edge.dtype)
        one = jnp.where(free, log_sigmoid(edge), jnp.where(must, 0, never))
        zero = jnp.where(free, log_sigmoid(-edge), jnp.where(must, never, 0))
        may_end = (row > 0)[..., None] & (jnp.arange(self.width) == 0)
        go_on = jnp.where(may_end, log_sigmoid(-end)[..., None], 0)
        stop = jnp.where(may_end, log_sigmoid(end)[..., None], never)
        stop = jnp.broadcast_to(stop, one.shape)
        return jnp.stack([go_on + zero, go_on + one, stop], -1)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of graphs in the given orders; of a graph that was cut, of its bits."""
        value = jnp.asarray(value)
        flat = value.reshape(-1, value.shape[-1]).astype(jnp.int32)
        total = steps_taken(self.following_each(flat), flat, self.tokens).sum(-1)
        return total.reshape(value.shape[:-1])

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + (positions,)``, cut where no ``<end>`` came in time."""
        return self.sample_sequences(key, sample_shape + self.batch_shape)  # type: ignore[attr-defined]


def _where(condition: Array, new: Array, old: Array) -> Array:
    """Choose by the leading axes."""
    return jnp.where(condition.reshape(condition.shape + (1,) * (new.ndim - condition.ndim)),
                     new, old)  # fmt: skip
