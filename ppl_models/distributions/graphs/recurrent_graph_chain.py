"""Graphs in breadth-first order, written by a recurrent network over nodes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution

from ppl_models.data.containers.graphs import EDGE_STATISTICS, END_STATISTICS
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.graphs.graph_rows import GraphRows, lowest_after
from ppl_models.distributions.graphs.graph_window import (
    Window,
    edge_statistics,
    edges_before,
    empty_window,
    end_statistics,
    moved_on,
)
from ppl_models.distributions.sequences.recurrent_cells import CELLS

GRU = CELLS["gru"]


class Memory(NamedTuple):
    """The last M nodes, and the network's hidden state ``(..., H)``."""

    window: Window
    hidden: Array


class Weight(NamedTuple):
    """Axes and shape of an array of weights, and how many of them a unit adds up."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    inputs: int


def weight_shapes(width: int, hidden: int) -> dict[str, Weight]:
    """The weights by name.

    >>> weight_shapes(width=4, hidden=8)["edge_output"].shape
    (8,)
    """
    edge, end = len(EDGE_STATISTICS), len(END_STATISTICS)
    read = width + end
    return {
        "gate_input": Weight(("input", "gate", "unit"), (read, GRU.gates, hidden), read),
        "gate_state": Weight(("before", "gate", "unit"), (hidden, GRU.gates, hidden), hidden),
        "gate_bias": Weight(("gate", "unit"), (GRU.gates, hidden), 1),
        "edge_input": Weight(("statistic", "unit"), (edge, hidden), edge),
        "edge_state": Weight(("before", "unit"), (hidden, hidden), hidden),
        "edge_slot": Weight(("slot", "unit"), (width, hidden), 1),
        "edge_before": Weight(("slot", "unit"), (width, hidden), width),
        "edge_output": Weight(("unit",), (hidden,), hidden),
        "edge_linear": Weight(("statistic",), (edge,), 1),
        "end_input": Weight(("end_statistic", "unit"), (end, hidden), end),
        "end_state": Weight(("before", "unit"), (hidden, hidden), hidden),
        "end_output": Weight(("unit",), (hidden,), hidden),
        "end_linear": Weight(("end_statistic",), (end,), 1),
    }


class RecurrentGraphChain(GraphRows, Distribution):
    """Ordered graphs: a gated recurrent unit reads rows, and a row is written edge by edge.

    GraphRNN, You et al. (2018), in its simplified variant, has independent edges within a row. Here
    they depend on each other as in NADE (Larochelle and Murray, 2011): a hidden layer sees the
    recurrent state, the edges of this row before (``edge_before``), and the statistics of the
    candidate (``EDGE_STATISTICS``), from which a linear term goes to the log-odds directly.

    Args:
        weights: by name, see :func:`weight_shapes`.
        width: M, bits a row.
        positions: number of positions of a datum, ``<end>`` included.

    >>> import jax
    >>> shapes = weight_shapes(width=2, hidden=3)
    >>> zeros = {name: jnp.zeros(weight.shape) for name, weight in shapes.items()}
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
        state = end_statistics(window, row + 1, lowest_after(bits, row))
        line = jnp.concatenate([bits.astype(hidden.dtype), state], -1)
        token = matmul(line, _flat(w["gate_input"])) + w["gate_bias"].reshape(-1)
        return Memory(
            window, GRU.advance(token, matmul(hidden, _flat(w["gate_state"])), (hidden,))[0]
        )

    def view(self, memory: Memory, bits: Array, row: Array, lowest: Array) -> Any:
        """Statistics of every candidate, the row, those of the end, the hidden state."""
        statistics = edge_statistics(memory.window, bits, row, lowest)
        ending = end_statistics(memory.window, row, lowest)
        return statistics, bits.astype(memory.hidden.dtype), ending, memory.hidden

    def edge_logits(self, view: Any) -> Array:
        """Log-odds of an edge to every candidate."""
        statistics, bits, _, hidden = view
        w = self.weights
        before = matmul(edges_before(bits, hidden.dtype), w["edge_before"])
        seen = matmul(statistics, w["edge_input"]) + matmul(hidden, w["edge_state"])[..., None, :]
        unit = jnp.tanh(seen + before + w["edge_slot"])
        return matmul(unit, w["edge_output"]) + matmul(statistics, w["edge_linear"])

    def end_logit(self, view: Any) -> Array:
        """Log-odds of the end."""
        _, _, ending, hidden = view
        w = self.weights
        unit = jnp.tanh(matmul(ending, w["end_input"]) + matmul(hidden, w["end_state"]))
        return matmul(unit, w["end_output"]) + matmul(ending, w["end_linear"])


def _flat(weights: Array) -> Array:
    """Gates side by side, ``(input, gate * unit)``."""
    return weights.reshape(len(weights), -1)
