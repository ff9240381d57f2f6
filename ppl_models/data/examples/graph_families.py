"""Graphs drawn from families that are told apart at a glance: communities, grids, egos, trees.

The families and, but for the grids, the sizes are those of the small variants in You et al. (2018),
GraphRNN, section 4.1; nothing is downloaded, so that ego networks come from a drawn network and not
from citations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ppl_models.errors import InputError, whole_number

if TYPE_CHECKING:
    import networkx as nx


def _community(generator: np.random.Generator) -> nx.Graph:
    """Two communities of equal size, dense inside, with few edges between them; 12-20 nodes."""
    import networkx as nx

    half = int(generator.integers(6, 11))
    while True:
        seeds = generator.integers(2**31, size=2)
        parts = [nx.gnp_random_graph(half, 0.7, seed=int(seed)) for seed in seeds]
        if all(nx.is_connected(part) for part in parts):
            break
    graph = nx.disjoint_union(*parts)
    for _ in range(max(1, round(0.05 * 2 * half))):
        graph.add_edge(int(generator.integers(half)), half + int(generator.integers(half)))
    return graph


def _grid(generator: np.random.Generator) -> nx.Graph:
    """Rectangular grids of 3-6 by 3-6 nodes."""
    import networkx as nx

    height, width = generator.integers(3, 7, size=2)
    return nx.convert_node_labels_to_integers(nx.grid_2d_graph(int(height), int(width)))


def _ego(generator: np.random.Generator) -> nx.Graph:
    """A node of a clustered network with few hubs, its neighbours and their edges; 4-18 nodes."""
    import networkx as nx

    while True:
        seed = int(generator.integers(2**31))
        network = nx.powerlaw_cluster_graph(60, 3, 0.5, seed=seed)
        ego = nx.ego_graph(network, int(generator.integers(60)))
        if 4 <= len(ego) <= 18:
            return nx.convert_node_labels_to_integers(ego)


def _tree(generator: np.random.Generator) -> nx.Graph:
    """Labelled trees of 10-20 nodes, all trees of a size equally likely."""
    import networkx as nx

    nodes = int(generator.integers(10, 21))
    return nx.from_prufer_sequence(generator.integers(nodes, size=nodes - 2).tolist())


_FAMILIES: dict[str, Callable[[np.random.Generator], nx.Graph]] = {
    "community": _community,
    "grid": _grid,
    "ego": _ego,
    "tree": _tree,
}
GRAPH_FAMILIES = tuple(_FAMILIES)


def graph_family(name: str, count: int, *, seed: int) -> list[nx.Graph]:
    """Draw connected graphs of one family.

    Args:
        name: "community", "grid", "ego" or "tree".
        count: how many graphs.
        seed: of the random numbers.

    Raises:
        InputError: an unknown family, or fewer than one graph.

    Example:
        >>> [len(graph) - graph.number_of_edges() for graph in graph_family("tree", 3, seed=0)]
        [1, 1, 1]
    """
    if name not in _FAMILIES:
        raise InputError(f"there is no family {name!r}: choose one of {', '.join(_FAMILIES)}")
    whole_number("count", count)
    whole_number("seed", seed, minimum=0)
    generator = np.random.default_rng(seed)
    return [_FAMILIES[name](generator) for _ in range(count)]
