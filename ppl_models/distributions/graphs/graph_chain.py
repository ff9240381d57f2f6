"""Graphs in breadth-first order whose edges depend on the distance in the order alone."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Beta, Distribution, constraints

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import Statistics, broadcast_batch
from ppl_models.distributions.exponential.stacked import StackedFamily, stack
from ppl_models.distributions.graphs.graph_rows import (
    EDGE,
    END,
    GraphConstraint,
    GraphRows,
    free_slots,
    lowest_slots,
    rows_of,
)
from ppl_models.distributions.log_of_zero import is_log_of_zero, safe_log

#: names of the statistics
COUNTS = ("edge_1", "edge_0", "end_1", "end_0", "impossible")


class GraphChain(GraphRows, StackedFamily):
    """Ordered graphs: an edge to the node d before has probability ``edge[d]``, if it is free.

    After every node from the second on the graph ends with a probability that depends on the
    number of nodes; from the last size on it stays the same. The statistics of a graph are counts:
    edges and non-edges by distance, ends and continuations by size. A datum is an ordered graph,
    whose probability is a lower bound of that of the graph without an order.

    Breadth-first order is that of You et al. (2018), GraphRNN.

    Args:
        edge: ``batch + (M,)``, by distance 1 … M.
        end: ``batch + (S,)``, by the number of nodes 2 … S + 1.
        positions: number of positions of a datum, ``<end>`` included.

    >>> chain = GraphChain(jnp.array([0.5, 0.25]), jnp.array([0.1]), positions=5)
    >>> round(float(jnp.exp(chain.log_prob(jnp.array([0, 1, 1, 0, 2])))), 5)  # .9 * .25 * .5 * .1
    0.01125
    """

    parameter_dims = {"edge": 1, "end": 1}
    parameter_axes = {"edge": ("offset",), "end": ("size",)}
    conjugate_priors = {"edge": (Beta,), "end": (Beta,)}
    factorises = False
    data_description = "graphs as rows of bits in breadth-first order"
    pytree_aux_fields = ("positions",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "edge": constraints.independent(constraints.unit_interval, 1),
        "end": constraints.independent(constraints.unit_interval, 1),
    }

    def __init__(self, edge: Any, end: Any, *, positions: int, validate_args: bool | None = None):
        self.edge, self.end = jnp.asarray(edge), jnp.asarray(end)
        self.positions = int(positions)
        batch = broadcast_batch((self.edge, 1), (self.end, 1))
        Distribution.__init__(self, batch, (self.positions,), validate_args=validate_args)

    @property
    def width(self) -> int:  # type: ignore[override]
        """M, bits a row."""
        return self.edge.shape[-1]

    def static_arguments(self) -> dict[str, Any]:
        """The number of positions."""
        return {"positions": self.positions}

    # ---- written bit by bit ------------------------------------------------------------------

    def start(self, shape: tuple[int, ...]) -> Any:
        """An empty memory: edges depend on no earlier rows."""
        return ()

    def remember(self, memory: Any, bits: Array, row: Array) -> Any:
        """The memory stays empty."""
        return ()

    def view(self, memory: Any, bits: Array, row: Array, lowest: Array) -> Any:
        """The number of the row."""
        return row

    def edge_logits(self, view: Any) -> Array:
        """Log-odds of the edges, the farthest node first."""
        odds = (safe_log(self.edge) - safe_log(1 - self.edge))[..., ::-1]
        return jnp.broadcast_to(odds, jnp.broadcast_shapes(odds.shape, (*view.shape, self.width)))

    def end_logit(self, view: Any) -> Array:
        """Log-odds by size."""
        odds = safe_log(self.end) - safe_log(1 - self.end)
        odds = jnp.broadcast_to(odds, (*view.shape, odds.shape[-1]))
        size = jnp.clip(view - 1, 0, odds.shape[-1] - 1)
        return jnp.take_along_axis(odds, size[..., None], axis=-1)[..., 0]

    # ---- as an exponential family ------------------------------------------------------------

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Array:
        """Counts of edges, non-edges, ends and continuations, ``(statistic, graph)``."""
        return stack(*self._counts(value))

    def _counts(self, value: Array) -> list[Array]:
        """Edges, non-edges ``(..., M)``; ends, continuations ``(..., S)``; impossible cells."""
        dtype = jnp.result_type(self.edge, float)
        rows = rows_of(value, self.width)
        bits = (rows == EDGE).astype(jnp.int32)
        free, _ = free_slots(bits, lowest_slots(bits))
        seen = free & (rows < END)
        # the last row may have been cut: its bits end where the positions do
        place = jnp.arange(rows.shape[-2] * self.width).reshape(rows.shape[-2:])
        seen &= place < value.shape[-1]
        edges = (seen & (bits == 1)).sum(-2)[..., ::-1].astype(dtype)
        gaps = (seen & (bits == 0)).sum(-2)[..., ::-1].astype(dtype)
        first = rows[..., 1:, 0]
        before = jnp.concatenate([jnp.zeros_like(first[..., :1]), first[..., :-1]], -1)
        has_node = place[1:, 0] < value.shape[-1]
        ended = (first == END) & (before < END) & has_node
        went_on = (first < END) & has_node
        sizes = self.end.shape[-1]
        size = jnp.clip(jnp.arange(rows.shape[-2] - 1), 0, sizes - 1)
        one_hot = (size[:, None] == jnp.arange(sizes)).astype(dtype)
        impossible = (~GraphConstraint(self.width)(value)).sum(-1, keepdims=True).astype(dtype)
        ends, others = matmul(ended.astype(dtype), one_hot), matmul(went_on.astype(dtype), one_hot)
        return [edges, gaps, ends, others, impossible]

    def _logarithms(self) -> list[Array]:
        """Of the probabilities of what :meth:`_counts` counts; next to none of the impossible."""
        parts = [f(getattr(self, n)) for n in self.parameter_dims for f in (_log, _log_not)]
        nothing = jnp.zeros((*parts[0].shape[:-1], 1), parts[0].dtype)
        return [*parts, nothing + jnp.log(jnp.finfo(nothing.dtype).tiny)]

    def coefficients(self, *, missing: bool, centre: Array) -> Array:
        """Logarithms of the probabilities."""
        return jnp.concatenate(self._logarithms(), -1)

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """Whether an impossible cell was counted."""
        never = is_log_of_zero(self.coefficients(missing=missing, centre=centre))
        return matmul(never.astype(prepared.dtype), prepared) > 0

    def unstack(self, sums: Array, *, missing: bool) -> Statistics:
        """``edge_1``, ``edge_0 (component, M)``; ``end_1``, ``end_0 (component, S)``; rest."""
        m, s = self.width, self.end.shape[-1]
        parts = jnp.split(sums, [m, 2 * m, 2 * m + s, 2 * m + 2 * s], axis=-1)
        return dict(zip(COUNTS, parts, strict=True))

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-probability of graphs in the given orders."""
        return StackedFamily.log_prob(self, value, intermediates)

    def pointwise(self, value: Array) -> Array:
        """Log-probability with any batch of parameters."""
        pairs = zip(self._counts(jnp.asarray(value)), self._logarithms(), strict=True)
        return jnp.sum(jnp.stack([(count * log).sum(-1) for count, log in pairs]), 0)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        pairs = zip(COUNTS, self._logarithms(), strict=True)
        return jnp.sum(jnp.stack([(statistics[name] * log).sum(-1) for name, log in pairs]), 0)

    def conjugate_update(
        self, parameter: str, prior: Any, statistics: Statistics, centre: Array, *, shared: bool
    ) -> BetaConditional:
        """Betas."""
        ones, zeros = statistics[f"{parameter}_1"], statistics[f"{parameter}_0"]
        if shared:
            ones, zeros = ones.sum(0), zeros.sum(0)
        a, b = (1.0, 1.0) if prior is None else (prior.concentration1, prior.concentration0)
        return BetaConditional(a + ones, b + zeros)

    def start_points(self, value: Array) -> Array:
        """Nodes and edges of every graph."""
        rows = rows_of(value, self.width)
        return jnp.stack([(rows[..., 0] < END).sum(-1), (rows == EDGE).sum((-1, -2))], -1) * 1.0


def _log(probability: Array) -> Array:
    return safe_log(probability)


def _log_not(probability: Array) -> Array:
    return safe_log(1 - probability)
