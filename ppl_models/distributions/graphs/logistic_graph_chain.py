"""Graphs in breadth-first order whose edges depend on triangles and squares they would close."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution, constraints

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.graphs.graph_rows import GraphRows
from ppl_models.distributions.graphs.graph_window import (
    Window,
    edge_statistics,
    edges_before,
    empty_window,
    end_statistics,
    moved_on,
)


class LogisticGraphChain(GraphRows, Distribution):
    """Ordered graphs: the log-odds of an edge are a weighted sum of statistics of the candidate.

    There are two sets of weights: for the node's parent (the row has no edge yet) and for every
    further edge. A given graph is an ordered one, and its probability a lower bound of that of the
    graph without an order.

    Breadth-first order is that of You et al. (2018), GraphRNN; statistics of edges as in Snijders,
    Pattison, Robins and Handcock (2006), New specifications for exponential random graph models.

    Args:
        edge: weights ``(2, statistic)``, see ``EDGE_STATISTICS``: of the parent, of further edges.
        end: weights ``(statistic,)`` of the end, see ``END_STATISTICS``.
        width: M, bits a row.
        positions: number of positions of a datum, ``<end>`` included.

    >>> import jax
    >>> chain = LogisticGraphChain(jnp.zeros((2, 16)), jnp.zeros(5), width=2, positions=5)
    >>> round(float(jax.jit(lambda v: jnp.exp(chain.log_prob(v)))(jnp.array([0, 1, 1, 0, 2]))), 4)
    0.0625
    """

    data_description = "graphs as rows of bits in breadth-first order"
    pytree_data_fields = ("edge", "end")
    pytree_aux_fields = ("width", "positions")
    arg_constraints: ClassVar[dict[str, Any]] = {
        "edge": constraints.real_matrix,
        "end": constraints.real_vector,
    }

    def __init__(
        self,
        edge: Any,
        end: Any,
        *,
        width: int,
        positions: int,
        validate_args: bool | None = None,
    ):
        self.edge, self.end = jnp.asarray(edge), jnp.asarray(end)
        self.width, self.positions = int(width), int(positions)
        super().__init__((), (self.positions,), validate_args=validate_args)

    def start(self, shape: tuple[int, ...]) -> Window:
        """The first node alone."""
        return empty_window(shape, self.width, jnp.result_type(self.edge, float))

    def remember(self, memory: Window, bits: Array, row: Array) -> Window:
        """The last M nodes."""
        return moved_on(memory, bits)

    def view(self, memory: Window, bits: Array, row: Array, lowest: Array) -> Any:
        """Statistics of every candidate, whether the row has an edge before, those of the end."""
        further = edges_before(bits, bits.dtype).sum(-1) > 0
        statistics = edge_statistics(memory, bits, row, lowest)
        return statistics, further, end_statistics(memory, row, lowest)

    def edge_logits(self, view: Any) -> Array:
        """Log-odds of an edge to every candidate."""
        statistics, further, _ = view
        parent, more = matmul(statistics, self.edge[0]), matmul(statistics, self.edge[1])
        return jnp.where(further, more, parent)

    def end_logit(self, view: Any) -> Array:
        """Log-odds of the end."""
        return matmul(view[2], self.end)
