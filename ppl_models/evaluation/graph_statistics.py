"""Similarity of two sets of graphs: degrees, clustering, orbits, and their discrepancy.

The three statistics and the maximum mean discrepancy between their distributions are those of You,
Ying, Ren, Hamilton and Leskovec (2018), GraphRNN, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import networkx as nx
import numpy as np
import pandas as pd

from ppl_models.errors import InputError

Distance = Literal["earth mover", "total variation"]
DISTANCES = ("earth mover", "total variation")
CLUSTERING_BINS = 100  #: of the clustering coefficient between 0 and 1
#: standard deviations of the Gaussian kernel by statistic and distance, of which the earth mover's
#: are the paper's; clustering is in units of 1, orbits in counts of all orbits together
WIDTHS = {
    ("degree", "earth mover"): 1.0,
    ("clustering", "earth mover"): 0.1,
    ("orbits", "earth mover"): 30.0,
    ("degree", "total variation"): 1.0,
    ("clustering", "total variation"): 1.0,
    ("orbits", "total variation"): 1.0,
}
ORBITS = (
    "path end", "path middle", "star leaf", "star centre", "cycle", "paw tail", "paw far",
    "paw centre", "diamond far", "diamond chord", "clique",
)  # fmt: skip


def degree_shares(graph: nx.Graph) -> np.ndarray:
    """Fraction of nodes with degree 0, 1, 2, ...

    >>> degree_shares(nx.path_graph(4)).tolist()
    [0.0, 0.5, 0.5]
    """
    counts = np.bincount([degree for _, degree in graph.degree])
    return counts / counts.sum()


def clustering_shares(graph: nx.Graph) -> np.ndarray:
    """Histogram of the clustering coefficient over nodes, in ``CLUSTERING_BINS`` bins from 0 to 1.

    >>> int(clustering_shares(nx.complete_graph(3)).argmax())
    99
    """
    coefficients = np.fromiter(nx.clustering(graph).values(), float)
    counts, _ = np.histogram(coefficients, bins=CLUSTERING_BINS, range=(0.0, 1.0))
    return counts / counts.sum()


def orbit_counts(graph: nx.Graph | np.ndarray) -> np.ndarray:
    """Number of connected induced subgraphs of four nodes that contain each node, by orbit.

    Counts of subgraphs that need not be induced are sums of products of the adjacency matrix. Each
    induced subgraph contains a known number of these, so that induced counts follow from the
    densest subgraph down (Hočevar and Demšar 2014; orbits 4 to 14 in Pržulj's numbering).

    Args:
        graph: a networkx graph or an adjacency matrix (node, node).

    Returns:
        Counts (node, orbit) in the order of ``ORBITS``.

    Example:
        >>> orbit_counts(nx.path_graph(4))[:, :2].tolist()
        [[1, 0], [0, 1], [0, 1], [1, 0]]
    """
    dense = nx.to_numpy_array(graph, weight=None) if isinstance(graph, nx.Graph) else graph
    a = np.asarray(dense, dtype=np.int64)
    floating = a.astype(float)  # NumPy multiplies whole numbers slowly
    walks = (floating @ floating).astype(np.int64)
    np.fill_diagonal(walks, 0)
    d = a.sum(1)
    shared = a * walks  # triangles of every edge
    t = shared.sum(1) // 2
    n4 = a @ (a @ (d - 1)) - d * (d - 1) - 2 * t
    n5 = (d - 1) * (a @ (d - 1)) - 2 * t
    n6 = a @ ((d - 1) * (d - 2) // 2)
    n7 = d * (d - 1) * (d - 2) // 6
    n8 = (walks * (walks - 1) // 2).sum(1)
    n9 = a @ t - shared.sum(1)
    n10 = shared @ (d - 2)
    n11 = t * (d - 2)
    n12 = (a * (floating @ (shared - a)).astype(np.int64)).sum(1) // 2
    n13 = (shared * (shared - 1) // 2).sum(1)
    o14 = _cliques(floating)
    o13 = n13 - 3 * o14
    o12 = n12 - 3 * o14
    o11 = n11 - 2 * o13 - 3 * o14
    o10 = n10 - 2 * o12 - 2 * o13 - 6 * o14
    o9 = n9 - 2 * o12 - 3 * o14
    o8 = n8 - o12 - o13 - 3 * o14
    o7 = n7 - o11 - o13 - o14
    o6 = n6 - o9 - o10 - o13 - 2 * o12 - 3 * o14
    o5 = n5 - 2 * o8 - o10 - 2 * o11 - 2 * o12 - 4 * o13 - 6 * o14
    o4 = n4 - 2 * o8 - 2 * o9 - o10 - 4 * o12 - 2 * o13 - 6 * o14
    return np.stack([o4, o5, o6, o7, o8, o9, o10, o11, o12, o13, o14], axis=1)


def _cliques(a: np.ndarray) -> np.ndarray:
    """Number of 4-cliques of every node: triangles among its neighbours."""
    cliques = np.zeros(len(a), np.int64)
    for node, row in enumerate(a):
        around = np.flatnonzero(row)
        inside = a[np.ix_(around, around)]
        cliques[node] = round(float(((inside @ inside) * inside).sum())) // 6
    return cliques


def orbit_means(graph: nx.Graph) -> np.ndarray:
    """Mean over nodes of the counts of :func:`orbit_counts`, (orbit,)."""
    return orbit_counts(graph).mean(0)


STATISTICS = {"degree": degree_shares, "clustering": clustering_shares, "orbits": orbit_means}


def graph_discrepancy(
    one: Sequence[nx.Graph], other: Sequence[nx.Graph], *, distance: Distance = "earth mover"
) -> pd.Series:
    """Squared maximum mean discrepancy of degrees, clustering and orbits between sets of graphs.

    A graph is summarised by a histogram. The kernel is Gaussian in the distance of two histograms:
    the earth mover's (sum of absolute differences of cumulative frequencies) or the total variation
    (half the sum of absolute differences). Orbits have no order: with "earth mover" their counts
    are compared by the Euclidean distance, as in the paper's program. As there, the estimate
    includes the terms of a graph with itself, so that even for two sets of one family it is about
    (1/n + 1/m) times one minus the mean kernel. Compare it with the discrepancy of training and
    held-out graphs.

    Gretton et al. (2012), A kernel two-sample test; of graphs You et al. (2018), GraphRNN.

    Args:
        one: graphs.
        other: graphs.
        distance: "earth mover" or "total variation".

    Returns:
        One number per statistic: "degree", "clustering", "orbits".

    Raises:
        InputError: no graphs, a graph without nodes, or an unknown distance.

    Example:
        >>> paths, stars = [nx.path_graph(n) for n in (4, 5)], [nx.star_graph(n) for n in (4, 5)]
        >>> discrepancy = graph_discrepancy(paths, stars)
        >>> bool((discrepancy >= 0).all()), float(discrepancy["clustering"])
        (True, 0.0)
    """
    if distance not in DISTANCES:
        raise InputError(f"distance is {distance!r}: choose one of {', '.join(DISTANCES)}")
    for name, graphs in (("first", one), ("second", other)):
        if not graphs or any(len(graph) == 0 for graph in graphs):
            raise InputError(f"the {name} set holds no graph, or one without nodes: leave it out")
    discrepancies = {}
    for name, summarise in STATISTICS.items():
        tables = _aligned([summarise(graph) for graph in [*one, *other]])
        apart = _distances(tables, name, distance)
        kernel = np.exp(-(apart**2) / (2 * WIDTHS[name, distance] ** 2))
        n = len(one)
        within = kernel[:n, :n].mean() + kernel[n:, n:].mean()
        discrepancies[name] = max(0.0, float(within - 2 * kernel[:n, n:].mean()))
    return pd.Series(discrepancies, name="discrepancy")


def _aligned(histograms: list[np.ndarray]) -> np.ndarray:
    """Histograms as rows of equal length."""
    longest = max(map(len, histograms))
    return np.stack([np.pad(h, (0, longest - len(h))) for h in histograms])


def _distances(tables: np.ndarray, statistic: str, distance: Distance) -> np.ndarray:
    """Distances of all pairs of rows."""
    if distance == "total variation":
        proportions = tables / np.clip(tables.sum(1, keepdims=True), 1e-300, None)
        return np.abs(proportions[:, None] - proportions).sum(-1) / 2
    if statistic == "orbits":
        return np.sqrt(((tables[:, None] - tables) ** 2).sum(-1))
    unit = CLUSTERING_BINS if statistic == "clustering" else 1
    reached = np.cumsum(tables, axis=1) / unit
    return np.abs(reached[:, None] - reached).sum(-1)


def random_graphs_like(graphs: Sequence[nx.Graph], *, seed: int) -> list[nx.Graph]:
    """Erdős–Rényi graphs, each with the number of nodes and of edges of one of the given graphs.

    Args:
        graphs: the graphs that they match.
        seed: of the random numbers.

    Example:
        >>> random_graphs_like([nx.path_graph(5)], seed=0)[0].number_of_edges()
        4
    """
    seeds = np.random.default_rng(seed).integers(2**31, size=len(graphs))
    return [
        nx.gnm_random_graph(len(graph), graph.number_of_edges(), seed=int(drawn))
        for graph, drawn in zip(graphs, seeds, strict=True)
    ]


def summary_of_graphs(graphs: Sequence[nx.Graph]) -> dict[str, Any]:
    """Means over graphs of basic statistics.

    Example:
        >>> summary_of_graphs([nx.path_graph(4)])["edges"]
        3.0
    """
    return {
        "graphs": len(graphs),
        "nodes": float(np.mean([len(g) for g in graphs])),
        "nodes_sd": float(np.std([len(g) for g in graphs])),
        "edges": float(np.mean([g.number_of_edges() for g in graphs])),
        "degree": float(np.mean([2 * g.number_of_edges() / len(g) for g in graphs])),
        "clustering": float(np.mean([nx.average_clustering(g) for g in graphs])),
    }
