"""Networks whose nodes are of several kinds (blocks), which say who is linked to whom."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.kinds import Bits
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval


def stochastic_block_model(
    adjacency: Annotated[Any, Bits] = None,
    *,
    clusters: int,
    nodes: int | None = None,
    concentration: float = 1.0,
    links: float = 1.0,
    non_links: float = 1.0,
    self_links: bool = False,
) -> Any:
    """Directed links between nodes of several blocks.

        π ~ Dirichlet(concentration)                 how common the blocks are
        p_kl ~ Beta(links, non_links)                how often a node of k links to one of l
        z_i ~ Categorical(π)                         the block of node i
        link_ij | z_i = k, z_j = l ~ Bernoulli(p_kl)

    Holland, Laskey and Leinhardt (1983); Snijders and Nowicki (1997). Blocks are drawn by Gibbs
    sampling, node after node; EM sums them out approximately, by a lower bound. Links that are
    missing (NaN) are left out, and ``impute`` predicts them. Of an undirected network give each
    link once, NaN elsewhere.

    Args:
        adjacency: ``(node, node)``, whether there is a link from the first to the second; None
            draws a network.
        clusters: K, number of blocks.
        nodes: number of nodes to draw (default: those of the data).
        concentration: of the prior of the blocks' weights.
        links: first parameter of the prior of the links' probabilities.
        non_links: second parameter of it.
        self_links: whether nodes may link to themselves; else the diagonal counts for nothing.

    Returns:
        The links, ``(node, node)``.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(stochastic_block_model, random.key(0))(clusters=2, nodes=5).shape
    (5, 5)
    """
    count = nodes if adjacency is None else np.shape(adjacency)[0]
    weight_distribution = dist.Dirichlet(jnp.full(clusters, float(concentration)))
    weights = numpyro.sample("weights", weight_distribution, infer={"event_dims": ["cluster"]})
    with numpyro.plate("cluster", clusters, dim=-2), numpyro.plate("cluster_to", clusters, dim=-1):
        probs = numpyro.sample("probs", dist.Beta(float(links), float(non_links)))
    with numpyro.plate("node", count):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
    counted = jnp.ones((count, count), bool) if self_links else ~jnp.eye(count, dtype=bool)
    known = None if adjacency is None else jnp.where(counted, adjacency, 0)
    with numpyro.plate("from_node", count, dim=-2), numpyro.plate("to_node", count, dim=-1):
        between = dist.Bernoulli(probs[z[:, None], z[None, :]]).mask(counted)
        return numpyro.sample("link", between, obs=known)


def report_tables(tree: xr.DataTree) -> Tables:
    """How often a node of one block links to one of another."""
    site = tree["posterior"].dataset.get("probs")
    weights = samples(tree, "weights", "cluster")
    if site is None or weights is None:
        return {}
    probs = np.asarray(site.stack(sample=("chain", "draw")).transpose("sample", ...).values)
    blocks = names(tree, "probs", "cluster")
    table = pd.DataFrame(
        [
            [with_interval(probs[:, k, to]) for to in range(len(blocks))]
            + [with_interval(weights[:, k])]
            for k in range(len(blocks))
        ],
        index=pd.Index(blocks, name="from block"),
        columns=[*(f"to {name}" for name in blocks), "share of nodes"],
    )
    text = f"Probability of a link from a node of one block to one of another.{of_interval(tree)}"
    return {"How often do blocks link to each other?": (text, table)}


def example(**_: Any) -> dict[str, Any]:
    """A small network, for the documentation's tables."""
    blocks = np.arange(8) // 4
    noise = np.random.default_rng(0).uniform(size=(8, 8))
    return {"adjacency": (noise < np.where(blocks[:, None] == blocks, 0.8, 0.2)).astype(int)}
