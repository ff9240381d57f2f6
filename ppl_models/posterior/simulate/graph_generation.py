"""New graphs from a fit, or completions of a partial graph."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import xarray as xr
from jax import Array, random

from ppl_models.data.containers.graphs import OrderedGraph, breadth_first, decode_graphs, encode
from ppl_models.distributions.sequences.autoregressive import as_autoregressive, tempered
from ppl_models.errors import InputError, whole_number
from ppl_models.posterior.result.restore import restore
from ppl_models.posterior.simulate.predictive import generative
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure

MOST_DRAWS = 100  #: draws of the posterior that graphs are generated from, in turn


def generate_graphs(
    tree: xr.DataTree,
    count: int,
    *,
    seed: int,
    nodes: int | None = None,
    begin: nx.Graph | OrderedGraph | None = None,
    temperature: float = 1.0,
) -> list[nx.Graph]:
    """New graphs, from draws of the posterior in turn.

    You, Ying, Ren, Hamilton and Leskovec (2018), GraphRNN.

    Args:
        tree: a fit of a program of graphs.
        count: how many.
        seed: of the random numbers.
        nodes: of the largest graph that is written (default: twice the largest one fitted). A
            larger one is cut there: ``graph.graph["cut"]`` says so, and so does a warning.
        begin: what all of them begin with, its nodes the first ones in their order: an ordered
            graph, as ``breadth_first([graph])[0].first(8)``, or a graph, which is put in order.
        temperature: below 1 what is probable becomes more so; 0 takes the most probable always.

    Returns:
        Graphs whose nodes 0, 1, ... are in the order in which they were written.

    Raises:
        InputError: no fit of graphs, a number out of range, or a beginning that is wider than the
            fit's graphs.

    >>> import networkx as nx
    >>> from ppl_models import fit
    >>> paths = [nx.path_graph(n) for n in (3, 4, 5, 6)]
    >>> tree = fit("graph_chain", paths, method="em", seed=0, predictive=1)
    >>> [nx.is_connected(graph) for graph in generate_graphs(tree, 2, seed=0)]
    [True, True]
    """
    whole_number("count", count)
    whole_number("seed", seed, minimum=0)
    if nodes is not None:
        whole_number("nodes", nodes, minimum=2)
    if not temperature >= 0:
        raise InputError(f"temperature is {temperature}: give 0 or more")
    with scope(tree.attrs.get("precision", "float64")):
        restored = restore(tree)
        model, structure = restored.problem.model, restored.problem.structure
        data = next(iter(restored.observed.values()))
        if "offset" not in data.coords or "size" not in data.coords:
            raise InputError(
                f"the program {tree.attrs['program']} makes no graphs: use generate for its data"
            )
        width, largest = len(data.coords["offset"]), int(data.coords["size"][-1])
        most = 2 * largest if nodes is None else nodes
        prefix = None if begin is None else _prefix(begin, width, most)
        total = restored.shape[0] * restored.shape[1]
        draws = min(total, count, MOST_DRAWS)
        chosen = np.linspace(0, total - 1, draws).astype(int)
        values = {n: jnp.asarray(v[chosen]) for n, v in restored.values.items()}
        each = -(-count // draws)
        blank = generative(model, structure, each, (most - 1) * width + 1)
        keys = random.split(random.key(seed), draws)
        codes = _sample(
            blank, values, keys, prefix, structure=structure, count=each, temperature=temperature
        )
    made = decode_graphs(np.asarray(codes).swapaxes(0, 1), width)[:count]
    cut = sum(graph.graph["cut"] for graph in made)
    if cut:
        warnings.warn(
            f"{cut} of {count} graphs were cut at {most} nodes before <end>: raise nodes",
            stacklevel=2,
        )
    return made


def _prefix(begin: nx.Graph | OrderedGraph, width: int, most: int) -> Array:
    """The bits of the partial graph that all graphs begin with."""
    ordered = breadth_first([begin], width=width, site="begin")[0]
    if len(ordered.nodes) > most:
        raise InputError(
            f"begin has {len(ordered.nodes)} nodes and nodes is {most}: give more nodes"
        )
    return jnp.asarray(encode([ordered], width)[0, : (len(ordered.nodes) - 1) * width], jnp.int32)


@partial(jax.jit, static_argnames=("structure", "count", "temperature"))
def _sample(
    model: Model,
    values: Globals,
    keys: Array,
    prefix: Array | None,
    *,
    structure: Structure,
    count: int,
    temperature: float,
) -> Array:
    """Codes ``(draw, graph, position)``."""
    site = structure.emissions[0]
    change: Any = {}
    if temperature != 1:
        change = {"change": tempered(temperature, None, None)}

    def one(pair: tuple[Array, Globals]) -> Array:
        key, held = pair
        emission = as_autoregressive(model.trace_at(held, structure)[site]["fn"])
        if emission is None or not emission.writes_graphs:
            raise InputError(f"site '{site}' emits no graphs written bit by bit: use generate")
        return emission.sample_sequences(key, (count,), prefix=prefix, **change)

    return jax.lax.map(one, (keys, values))
