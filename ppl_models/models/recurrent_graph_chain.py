"""Connected graphs in breadth-first order, written edge by edge by a recurrent network."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Graphs
from ppl_models.distributions import RecurrentGraphChain
from ppl_models.distributions.graphs.recurrent_graph_chain import weight_shapes


def recurrent_graph_chain(
    x: Annotated[Any, Graphs] = None,
    *,
    width: int,
    hidden: int = 32,
    weight_scale: float = 1.0,
    linear_scale: float = 3.0,
    graphs: int | None = None,
    positions: int = 500,
) -> Any:
    """Connected graphs in breadth-first order, written edge by edge by a recurrent network.

        W ~ Normal(0, weight_scale / √inputs)    weights of units, by the inputs of each
        v ~ Normal(0, linear_scale)              weights of statistics in the log-odds themselves
        h_i = GRU(h_i-1, row i-1)                what is remembered of the nodes so far
        x ~ before node i the end ~ Bernoulli(σ(f(h_i))), else its edge to the node d before
            it ~ Bernoulli(σ(g(h_i, edges of the row so far, statistics of the node)))

    where the edge is a choice (see ``graph_chain``) and the statistics are those of
    ``logistic_graph_chain``. x is the graph in one order of many: its probability is a lower bound
    of that of the graph without an order. You, Ying, Ren, Hamilton and Leskovec (2018), GraphRNN.

    Args:
        x: ``(graph, position)``: rows of M bits, the farthest node first, then 2 (``<end>``) to the
            end; None generates ``graphs`` graphs.
        width: M, how many nodes back an edge may reach; found from the data.
        hidden: number of units, of the recurrent state and of both hidden layers.
        weight_scale: scale of the normal prior of a unit's weights, times √inputs.
        linear_scale: standard deviation of the normal prior of the linear weights.
        graphs: number of graphs where there are no data.
        positions: longest row of codes that is generated, ``<end>`` included.

    Returns:
        The rows of codes; ``ppl_models.data.decode_graphs`` makes graphs of them.

    >>> import jax
    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(recurrent_graph_chain, random.key(0))
    >>> jax.eval_shape(lambda: program(width=3, hidden=2, graphs=5, positions=16)).shape
    (5, 16)
    """
    if x is not None:
        graphs, positions = jnp.shape(x)
    weights = {}
    for name, weight in weight_shapes(width, hidden).items():
        linear = name.endswith("_linear")
        scale = linear_scale if linear else weight_scale / weight.inputs**0.5
        prior = dist.Normal(0.0, scale).expand(weight.shape).to_event(len(weight.shape))
        weights[name] = numpyro.sample(name, prior, infer={"event_dims": list(weight.dims)})
    with numpyro.plate("graph", graphs):
        chain = RecurrentGraphChain(weights, width=width, positions=positions)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position"]})
