"""Connected graphs in breadth-first order, an edge's log-odds by what it would close."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.containers.graphs import CHOICES, EDGE_STATISTICS, END_STATISTICS
from ppl_models.data.kinds import Graphs
from ppl_models.distributions import LogisticGraphChain


def logistic_graph_chain(
    x: Annotated[Any, Graphs] = None,
    *,
    width: int,
    edge_scale: float = 3.0,
    end_scale: float = 3.0,
    graphs: int | None = None,
    positions: int = 500,
) -> Any:
    """Connected graphs in breadth-first order, an edge's log-odds by what it would close.

        w_cs ~ Normal(0, edge_scale)   c = parent, further edge;  s a statistic of a candidate
        v_s ~ Normal(0, end_scale)     s a statistic of the nodes so far
        x ~ before each node the end ~ Bernoulli(σ(⟨v, t⟩)), else its edge to the node d before
            it ~ Bernoulli(σ(⟨w_c, s_d⟩)), from the farthest to the nearest

    where the edge is a choice (see ``graph_chain``). The statistics count, in the last M nodes,
    what the edge would close with the row's edges before it, triangles and squares, and the
    candidate's edges to nodes before and after it: whatever they say is read off the weights. x is
    the graph in one order of many: its probability is a lower bound of that of the graph without
    an order.

    Breadth-first order is that of You et al. (2018), GraphRNN; the statistics are in the manner of
    Snijders, Pattison, Robins and Handcock (2006), New specifications for exponential random graph
    models.

    Args:
        x: ``(graph, position)``: rows of M bits, the farthest node first, then 2 (``<end>``) to the
            end; None generates ``graphs`` graphs.
        width: M, how many nodes back an edge may reach; found from the data.
        edge_scale: standard deviation of the normal prior of the weights of edges.
        end_scale: standard deviation of the normal prior of the weights of the end.
        graphs: number of graphs where there are no data.
        positions: longest row of codes that is generated, ``<end>`` included.

    Returns:
        The rows of codes; ``ppl_models.data.decode_graphs`` makes graphs of them.

    >>> import jax
    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(logistic_graph_chain, random.key(0))
    >>> jax.eval_shape(lambda: program(width=3, graphs=5, positions=16)).shape
    (5, 16)
    """
    if x is not None:
        graphs, positions = jnp.shape(x)
    with numpyro.plate("choice", len(CHOICES)):
        prior = dist.Normal(0.0, edge_scale).expand((len(EDGE_STATISTICS),)).to_event(1)
        edge = numpyro.sample("edge", prior, infer={"event_dims": ["statistic"]})
    with numpyro.plate("end_statistic", len(END_STATISTICS)):
        end = numpyro.sample("end", dist.Normal(0.0, end_scale))
    with numpyro.plate("graph", graphs):
        chain = LogisticGraphChain(edge, end, width=width, positions=positions)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position"]})
