"""Connected graphs in breadth-first order, an edge's probability by its distance in the order."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Graphs
from ppl_models.distributions import GraphChain
from ppl_models.models._pseudo_counts import pseudo_count


def graph_chain(
    x: Annotated[Any, Graphs] = None,
    *,
    width: int,
    nodes: int,
    edge_ones: float | None = None,
    edge_zeros: float | None = None,
    end_ones: float | None = None,
    end_zeros: float | None = None,
    graphs: int | None = None,
    positions: int = 500,
) -> Any:
    """Connected graphs in breadth-first order, an edge's probability by its distance in the order.

        edge_d ~ Beta(edge_ones, edge_zeros)   d = 1 … M
        end_s ~ Beta(end_ones, end_zeros)      s = 2 … nodes: how many nodes there are so far
        x ~ after node s the end ~ Bernoulli(end_s), else a node more, whose edge to the node d
            before it ~ Bernoulli(edge_d)

    where the edge is a choice: in breadth-first order a node's parent, the earliest node that it
    has an edge to, is not before the parent of the node before, and every node has one. Bits are
    independent but for that. x is the graph in one order of many: its probability is a lower bound
    of that of the graph without an order.

    By default a posterior mode has no probability of 0 or 1, so that no new graph is impossible;
    pseudo-counts of 1 are flat. Breadth-first order is that of You et al. (2018), GraphRNN.

    Args:
        x: ``(graph, position)``: rows of M bits, the farthest node first, then 2 (``<end>``) to the
            end; None generates ``graphs`` graphs.
        width: M, how many nodes back an edge may reach; found from the data.
        nodes: of the largest graph; the probability of ending is the same from there on.
        edge_ones: pseudo-count of edges (default: 1.5).
        edge_zeros: pseudo-count of gaps (default: 1.5).
        end_ones: pseudo-count of ends (default: 1.5).
        end_zeros: pseudo-count of goings-on (default: 1.5).
        graphs: number of graphs where there are no data.
        positions: longest row of codes that is generated, ``<end>`` included.

    Returns:
        The rows of codes; ``ppl_models.data.decode_graphs`` makes graphs of them.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> drawn = handlers.seed(graph_chain, random.key(0))(width=3, nodes=6, graphs=5, positions=16)
    >>> drawn.shape
    (5, 16)
    """
    if x is not None:
        graphs, positions = jnp.shape(x)
    edge_prior = dist.Beta(pseudo_count(edge_ones, 1, 2), pseudo_count(edge_zeros, 1, 2))
    end_prior = dist.Beta(pseudo_count(end_ones, 1, 2), pseudo_count(end_zeros, 1, 2))
    with numpyro.plate("offset", width):
        edge = numpyro.sample("edge", edge_prior)
    with numpyro.plate("size", max(nodes - 1, 1)):
        end = numpyro.sample("end", end_prior)
    with numpyro.plate("graph", graphs):
        chain = GraphChain(edge, end, positions=positions)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position"]})
