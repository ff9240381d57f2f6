"""Graphs as sequences: nodes in breadth-first order, each with its edges to the nodes before it.

You, Ying, Ren, Hamilton and Leskovec (2018), GraphRNN: in breadth-first order a node's neighbours
among the nodes before it lie close together, so that a row of M bits a node, M far below the number
of nodes, holds the whole graph. Rows end to end, then ``<end>``, are a sequence of tokens 0 and 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_models import memory
from ppl_models.data.containers.columns import is_a
from ppl_models.errors import InputError, whole_number

if TYPE_CHECKING:
    import networkx as nx

BITS = ("0", "1")  #: the tokens: no edge, an edge
END_OF_GRAPH = 2  #: code of ``<end>``
ATTEMPTS = 200  #: random orders that are tried for one whose rows are narrow enough
#: what the log-odds of an edge to a candidate may depend on, where a model has weights for it
EDGE_STATISTICS = (
    "constant", "nodes", "distance", "parent before", "edges to earlier", "tied once",
    "children tied once", "other children", "spoke to go on", "open squares",
    "edges so far", "triangles", "share of triangles", "squares", "closed squares", "across",
)  # fmt: skip
#: the same of the end
END_STATISTICS = ("constant", "nodes", "nodes squared", "waiting", "open squares")
CHOICES = ("parent", "further edge")  #: a row's first edge, and all others
ADVICE = "give a list of networkx graphs or of adjacency matrices"


@dataclass(frozen=True, eq=False)
class OrderedGraph:
    """A connected graph with its nodes in a breadth-first order.

    Attributes:
        edges: pairs (later node, earlier node) of places in the order, (edge, 2), by later node.
        nodes: the nodes' labels in the order.

    Example:
        >>> import networkx as nx
        >>> ordered = breadth_first([nx.cycle_graph(4)])[0]
        >>> len(ordered.nodes), len(ordered.edges), ordered.width
        (4, 4, 2)
    """

    edges: np.ndarray
    nodes: tuple

    @property
    def width(self) -> int:
        """M: the largest distance in the order between the ends of an edge (the bandwidth)."""
        return int((self.edges[:, 0] - self.edges[:, 1]).max())

    @property
    def breadth_first(self) -> bool:
        """Whether the order is breadth-first: every node has a parent, in the children's order."""
        later, where = np.unique(self.edges[:, 0], return_index=True)  # by the earliest neighbour
        parents = self.edges[where, 1]
        return len(later) == len(self.nodes) - 1 and bool((np.diff(parents) >= 0).all())

    def first(self, nodes: int) -> OrderedGraph:
        """The graph of the first nodes alone (in breadth-first order it is connected too).

        Raises:
            InputError: fewer than two nodes, or more than there are.
        """
        if not 2 <= nodes <= len(self.nodes):
            raise InputError(
                f"the first {nodes} nodes of a graph of {len(self.nodes)} are asked for: give a "
                f"number from 2 to {len(self.nodes)}"
            )
        return OrderedGraph(self.edges[self.edges[:, 0] < nodes], self.nodes[:nodes])

    def to_networkx(self) -> nx.Graph:
        """The graph with nodes 0, 1, ... in the order."""
        import networkx as nx

        graph = nx.empty_graph(len(self.nodes))
        graph.add_edges_from(self.edges[:, ::-1].tolist())
        return graph


def breadth_first(
    graphs: Any, *, orders: int = 1, seed: int = 0, width: int | None = None, site: str = "x"
) -> list[OrderedGraph]:
    """Put the nodes of graphs in random breadth-first orders.

    The root is random, and of a node's new neighbours those come first that have most edges to
    nodes before; where there is nothing to choose, the order is random too. A model of ordered
    graphs sees the same graph differently in each order: several of them are more data for a
    network that is trained to a point. For a posterior they are not independent data: give one.

    Args:
        graphs: networkx graphs, adjacency matrices, or ordered graphs (which stay as they are).
        orders: how many orders of each graph, one after the other.
        seed: of the random orders.
        width: M, the widest row that may be; orders are drawn until one is narrow enough.
        site: name of the graphs in messages.

    Raises:
        InputError: what is no simple connected graph of two nodes or more (weights other than 1
            too), or one that needs more than `width` bits a row in every order tried.

    Warns:
        UserWarning: nodes or edges have attributes, which are left out.

    Example:
        >>> import networkx as nx
        >>> [g.width for g in breadth_first([nx.star_graph(3)], orders=4)]  # root or not
        [2, 2, 2, 3]
    """
    whole_number("orders", orders)
    whole_number("seed", seed, minimum=0)
    generator = np.random.default_rng(seed)
    ordered = []
    graphs = as_list(graphs, site)
    _warn_of_attributes(graphs, site)
    for label, graph in enumerate(graphs):
        if isinstance(graph, OrderedGraph):
            if width is not None and graph.width > width:
                raise _too_wide(label, site, graph.width, width)
            ordered += [graph] * orders
            continue
        nodes, neighbours = _read(graph, label, site)
        for _ in range(orders):
            drawn = _narrow(nodes, neighbours, generator, width)
            if width is not None and drawn.width > width:
                raise _too_wide(label, site, drawn.width, width)
            ordered.append(drawn)
    return ordered


def _warn_of_attributes(graphs: list, site: str) -> None:
    """Warn of what nodes and edges carry: programs of graphs know which edges there are, no more.

    A weight of 1 says no more than that; other weights are refused.
    """
    carried: dict[str, set[str]] = {"node": set(), "edge": set()}
    for graph in graphs:
        if is_a(graph, "networkx", "Graph"):
            carried["node"].update(
                str(key) for _, attributes in graph.nodes(data=True) for key in attributes
            )
            carried["edge"].update(
                str(key) for *_, attributes in graph.edges(data=True) for key in attributes
            )
    carried["edge"].discard("weight")
    told = [
        f"{what} attributes {', '.join(map(repr, sorted(names)))}"
        for what, names in carried.items()
        if names
    ]
    if told:
        warnings.warn(
            f"graphs of {site} have {' and '.join(told)}, which graph programs ignore: give "
            "nx.Graph(list(graph.edges)) if that is intended",
            UserWarning,
            stacklevel=3,
        )


def _too_wide(label: int, site: str, needed: int, width: int) -> InputError:
    return InputError(
        f"graph {label} of {site} needs rows of {needed} bits in breadth-first order, and the fit "
        f"has rows of {width}: leave it out, or include a graph of that width in the data to fit"
    )


def _narrow(
    nodes: tuple, neighbours: list, generator: np.random.Generator, width: int | None
) -> OrderedGraph:
    """A random order; with a width, the first that is narrow enough, else the narrowest.

    The order in which the nodes are given is the last to be tried: it is the narrow one of a graph
    that a fit has written.
    """
    best = None
    for _ in range(1 if width is None else ATTEMPTS):
        drawn = _in_order(
            _traverse(neighbours, generator.permutation(len(nodes))), nodes, neighbours
        )
        if best is None or drawn.width < best.width:
            best = drawn
        if width is not None and best.width <= width:
            return best
    assert best is not None
    original = _in_order(list(range(len(nodes))), nodes, neighbours)
    if width is not None and original.width <= width and original.breadth_first:
        return original
    return best


def _in_order(order: list[int], nodes: tuple, neighbours: list) -> OrderedGraph:
    """The graph with its nodes in this order."""
    place = np.empty(len(nodes), int)
    place[order] = np.arange(len(nodes))
    pairs = np.array([(place[v], place[u]) for v, around in enumerate(neighbours) for u in around])
    pairs = pairs[pairs[:, 0] > pairs[:, 1]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return OrderedGraph(pairs, tuple(nodes[v] for v in order))


def _traverse(neighbours: list, preference: np.ndarray) -> list[int]:
    """Nodes in breadth-first order from the preferred root.

    Of a node's new neighbours those with most edges to nodes before come first, then those whose
    edges go to the earliest nodes, then preferred ones: the fewer orders a graph has, the less of
    a model's probability is lost on telling them apart.
    """
    rank = np.empty(len(preference), int)
    rank[preference] = np.arange(len(preference))
    order, place = [int(preference[0])], {int(preference[0]): 0}

    def first(node: int) -> tuple:
        before = sorted(place[u] for u in neighbours[node] if u in place)
        return (-len(before), before, rank[node])

    for node in order:  # the list grows while it is run through
        for other in sorted((u for u in neighbours[node] if u not in place), key=first):
            place[other] = len(order)
            order.append(other)
    return order


def as_list(graphs: Any, site: str) -> list:
    """Graphs one by one.

    Raises:
        InputError: a single graph, no graphs, or what holds none.
    """
    if is_a(graphs, "networkx", "Graph") or isinstance(graphs, OrderedGraph):
        raise InputError(f"{site} is one graph: give a list, as in [graph]")
    if isinstance(graphs, np.ndarray) and graphs.ndim == 2:
        raise InputError(f"{site} is one matrix: give a list of adjacency matrices, as in [matrix]")
    if isinstance(graphs, str | bytes | dict) or not hasattr(graphs, "__iter__"):
        raise InputError(f"{site} is a {type(graphs).__name__}: {ADVICE}")
    listed = list(graphs)
    if not listed:
        raise InputError(f"{site} holds no graphs: give at least one")
    return listed


def _read(graph: Any, label: int, site: str) -> tuple[tuple, list[list[int]]]:
    """Labels and neighbours of a simple connected graph."""
    name = f"graph {label} of {site}"
    if is_a(graph, "networkx", "Graph"):
        name += f" ({graph.name})" if graph.name else ""
        nodes, neighbours = _from_networkx(graph, name)
    else:
        nodes, neighbours = _from_matrix(graph, name)
    if len(nodes) < 2:
        count = "no node" if not nodes else "one node and no edge"
        raise InputError(f"{name} has {count}: leave it out, there is nothing to learn from it")
    reached = len(_traverse(neighbours, np.arange(len(nodes))))
    if reached < len(nodes):
        raise InputError(
            f"{name} is not connected ({reached} of {len(nodes)} nodes are reached from the "
            "first): give its connected components as graphs of their own"
        )
    return nodes, neighbours


def _from_networkx(graph: Any, name: str) -> tuple[tuple, list[list[int]]]:
    if graph.is_directed():
        raise InputError(f"{name} is directed: give graph.to_undirected()")
    nodes = tuple(graph.nodes)
    place = {node: i for i, node in enumerate(nodes)}
    neighbours: list[list[int]] = [[] for _ in nodes]
    seen = set()
    for u, v, weight in graph.edges(data="weight", default=1):
        pair = frozenset((place[u], place[v]))
        if len(pair) == 1:
            raise InputError(f"{name} has an edge from node {u!r} to itself: remove it")
        if pair in seen:
            raise InputError(f"{name} has several edges between {u!r} and {v!r}: give nx.Graph(g)")
        if weight != 1:
            raise InputError(
                f"{name} has an edge of weight {weight!r:.20} between {u!r} and {v!r}, but edges "
                "have no weights here: drop them, as nx.Graph(list(graph.edges)) does"
            )
        seen.add(pair)
        neighbours[place[u]].append(place[v])
        neighbours[place[v]].append(place[u])
    return nodes, neighbours


def _from_matrix(graph: Any, name: str) -> tuple[tuple, list[list[int]]]:
    dense = graph.toarray() if hasattr(graph, "toarray") else graph
    try:
        matrix = np.asarray(dense, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"{name} is a {type(graph).__name__}: {ADVICE}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name} has shape {matrix.shape}: an adjacency matrix is square")
    if not np.isin(matrix, (0, 1)).all():
        wrong = matrix[~np.isin(matrix, (0, 1))][0]
        raise InputError(f"{name} has an edge of weight {wrong:g}: give zeros and ones")
    if (matrix != matrix.T).any():
        row, column = np.argwhere(matrix != matrix.T)[0]
        raise InputError(
            f"{name} has an edge from node {row} to node {column} or back, not both: it is "
            "directed; give a symmetric matrix"
        )
    if matrix.diagonal().any():
        node = int(matrix.diagonal().argmax())
        raise InputError(f"{name} has an edge from node {node} to itself: remove it")
    return tuple(range(len(matrix))), [np.flatnonzero(row).tolist() for row in matrix]


def encode(graphs: Sequence[OrderedGraph], width: int) -> np.ndarray:
    """Codes ``(graph, position)``: a row of `width` bits for every node but the first, then 2s.

    A row's last bit is the edge to the node before, its first bit that to the node `width` before;
    bits of nodes that are not there are 0. Every graph ends with at least one 2, ``<end>``.

    Raises:
        InputError: a graph that is wider, or more cells than a computer holds.

    Example:
        >>> import networkx as nx
        >>> encode(breadth_first([nx.complete_graph(3), nx.path_graph(2)]), width=2)
        array([[0, 1, 1, 1, 2],
               [0, 1, 2, 2, 2]], dtype=int16)
    """
    most = max(len(graph.nodes) for graph in graphs) - 1
    if len(graphs) * most * width > memory.DATA_NUMBERS:
        raise InputError(
            f"{len(graphs):,} graphs of up to {most + 1:,} nodes in rows of {width:,} bits need "
            "too much memory: leave out the widest, such as those with a hub of very many edges"
        )
    rows = np.zeros((len(graphs), most, width), np.int16)
    for index, graph in enumerate(graphs):
        if graph.width > width:
            raise _too_wide(index, "the list", graph.width, width)
        later, earlier = graph.edges.T
        rows[index, later - 1, width - (later - earlier)] = 1
        rows[index, len(graph.nodes) - 1 :] = END_OF_GRAPH
    flat = rows.reshape(len(graphs), -1)
    return np.pad(flat, ((0, 0), (0, 1)), constant_values=END_OF_GRAPH)


def decode_graphs(codes: Any, width: int) -> list[nx.Graph]:
    """Graphs from codes (see `encode`), their nodes 0, 1, ... in the order of the rows.

    A sequence without ``<end>`` was cut: its graph is what the complete rows say, and
    ``graph.graph["cut"]`` is True.

    Args:
        codes: whole numbers (..., position); leading axes are run through in order.
        width: M, bits a row.

    Raises:
        InputError: codes other than 0, 1 and 2.

    Example:
        >>> [sorted(g.edges) for g in decode_graphs([[0, 1, 1, 0, 2]], width=2)]
        [[(0, 1), (0, 2)]]
    """
    import networkx as nx

    array = np.atleast_2d(np.asarray(codes))
    array = array.reshape(-1, array.shape[-1])
    if not np.isin(array, (0, 1, END_OF_GRAPH)).all():
        wrong = array[~np.isin(array, (0, 1, END_OF_GRAPH))][0]
        raise InputError(f"the code {wrong} is no token of a graph: codes are 0, 1 and 2 (<end>)")
    decoded = []
    for row in array:
        ends = np.flatnonzero(row == END_OF_GRAPH)
        length = int(ends[0]) if len(ends) else len(row)
        bits = row[: length // width * width].reshape(-1, width)
        node, slot = np.nonzero(bits)
        later, earlier = node + 1, node + 1 - (width - slot)
        graph = nx.empty_graph(len(bits) + 1)
        graph.add_edges_from(zip(earlier.tolist(), later.tolist(), strict=True))
        graph.graph["cut"] = not len(ends)
        decoded.append(graph)
    return decoded
