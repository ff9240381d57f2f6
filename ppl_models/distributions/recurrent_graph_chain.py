"""Graphs in breadth-first order, written by a recurrent network over nodes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution

from ..data.graphs import EDGE_STATISTICS, END_STATISTICS
from .graph_rows import GraphRows
from .graph_window import (
    Window,
    edge_statistics,
    edges_before,
    empty_window,
    end_statistics,
    moved_on,
)

GATES = 3  #: reset, update, candidate


class Memory(NamedTuple):
    """The last M nodes, and the network's hidden state ``(..., H)``."""

    window: Window
    hidden: Array


def weight_shapes(width: int, hidden: int) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Names, axes and shapes of the weights.

    >>> weight_shapes(width=4, hidden=8)["edge_output"]
    (('unit',), (8,))
    """
    inputs = width + len(END_STATISTICS)
    return {
        "gate_input": (("gate", "input", "unit"), (GATES, inputs, hidden)),
        "gate_state": (("gate", "unit_before", "unit"), (GATES, hidden, hidden)),
        "gate_bias": (("gate", "unit"), (GATES, hidden)),
        "edge_statistic": (("statistic", "unit"), (len(EDGE_STATISTICS), hidden)),
        "edge_state": (("unit_before", "unit"), (hidden, hidden)),
        "edge_slot": (("slot", "unit"), (width, hidden)),
        "edge_before": (("slot", "unit"), (width, hidden)),
        "edge_output": (("unit",), (hidden,)),
        "edge_linear": (("statistic",), (len(EDGE_STATISTICS),)),
        "end_state": (("unit_before", "unit"), (hidden, hidden)),
        "end_statistic": (("end_statistic", "unit"), (len(END_STATISTICS), hidden)),
        "end_output": (("unit",), (hidden,)),
        "end_linear": (("end_statistic",), (len(END_STATISTICS),)),
    }


class RecurrentGraphChain(GraphRows, Distribution):
    """Ordered graphs: a gated recurrent unit reads rows, and a row is written edge by edge.

    GraphRNN (You et al. 2018), in its simplified variant, has independent edges within a row. Here
    they depend on each other as in NADE (Larochelle and Murray 2011): a hidden layer sees the
    recurrent state, the edges of this row before (``edge_before``), and the statistics of the
    candidate (``EDGE_STATISTICS``), from which a linear term goes to the log-odds directly.

    Args:
        weights: by name, see :func:`weight_shapes`.
        width: M, bits a row.
        positions: number of positions of a datum, ``<end>`` included.

    >>> shapes = weight_shapes(width=2, hidden=3)
    >>> zeros = {name: jnp.zeros(shape) for name, (_, shape) in shapes.items()}
    >>> chain = RecurrentGraphChain(zeros, width=2, positions=5)
    >>> round(float(jax.jit(lambda v: jnp.exp(chain.log_prob(v)))(jnp.array([0, 1, 1, 0, 2]))), 4)
    0.0625
    """

    data_description = "graphs as rows of bits in breadth-first order"
    pytree_data_fields = ("weights",)
    pytree_aux_fields = ("width", "positions")
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        weights: dict[str, Any],
        *,
        width: int,
        positions: int,
        validate_args: bool | None = None,
    ):
        self.weights = weights
        self.width, self.positions = int(width), int(positions)
        super().__init__((), (self.positions,), validate_args=validate_args)

    def start(self, shape: tuple[int, ...]) -> Memory:
        """The first node alone, and a hidden state of zeros."""
        bias = self.weights["gate_bias"]
        window = empty_window(shape, self.width, bias.dtype)
        return Memory(window, jnp.zeros((*shape, bias.shape[-1]), bias.dtype))

    def remember(self, memory: Memory, bits: Array, row: Array) -> Memory:
        """The network reads the row and how much is left to do (Cho et al. 2014)."""
        w, hidden = self.weights, memory.hidden
        window = moved_on(memory.window, bits)
        width = bits.shape[-1]
        parent = jnp.clip(jnp.argmax(bits > 0, axis=-1) - 1, 0)
        state = end_statistics(window, row + 1, parent)
        line = jnp.concatenate([bits.astype(hidden.dtype), state], -1)
        reset, update, candidate = (line @ w["gate_input"][g] + w["gate_bias"][g] for g in range(3))
        reset = jax.nn.sigmoid(reset + hidden @ w["gate_state"][0])
        update = jax.nn.sigmoid(update + hidden @ w["gate_state"][1])
        candidate = jnp.tanh(candidate + reset * (hidden @ w["gate_state"][2]))
        assert line.shape[-1] == width + len(END_STATISTICS)
        return Memory(window, update * hidden + (1 - update) * candidate)

    def look(self, memory: Memory, bits: Array, row: Array, lowest: Array) -> Any:
        """Statistics of every candidate, the row, those of the end, the hidden state."""
        statistics = edge_statistics(memory.window, bits, row, lowest)
        ending = end_statistics(memory.window, row, lowest)
        return statistics, bits.astype(memory.hidden.dtype), ending, memory.hidden

    def edge_logits(self, view: Any) -> Array:
        """Log-odds of an edge to every candidate."""
        statistics, bits, _, hidden = view
        w = self.weights
        before = edges_before(bits, hidden.dtype) @ w["edge_before"]
        seen = statistics @ w["edge_statistic"] + (hidden @ w["edge_state"])[..., None, :]
        unit = jnp.tanh(seen + before + w["edge_slot"])
        return unit @ w["edge_output"] + statistics @ w["edge_linear"]

    def end_logit(self, view: Any) -> Array:
        """Log-odds of the end."""
        _, _, ending, hidden = view
        w = self.weights
        unit = jnp.tanh(ending @ w["end_statistic"] + hidden @ w["end_state"])
        return unit @ w["end_output"] + ending @ w["end_linear"]
