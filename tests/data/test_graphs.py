"""Graphs to rows of bits and back, in breadth-first order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import scipy.sparse

from ppl_models.data import GRAPH_FAMILIES, Graphs, breadth_first, decode_graphs, graph_family
from ppl_models.data.containers.graphs import OrderedGraph, encode
from ppl_models.errors import InputError

ATLAS = [g for g in nx.graph_atlas_g() if len(g) > 1 and nx.is_connected(g)]


def parents(ordered: OrderedGraph) -> list[int]:
    """The earliest neighbour of every node but the first, by its definition."""
    return [
        min(earlier for later, earlier in ordered.edges.tolist() if later == node)
        for node in range(1, len(ordered.nodes))
    ]


def test_graphs_come_back_as_they_were_up_to_the_order_of_their_nodes() -> None:
    chosen = ATLAS[::7]
    assert len(chosen) > 130 and max(map(len, chosen)) == 7
    for orders, seed in ((1, 0), (2, 1)):
        ordered = breadth_first(chosen, orders=orders, seed=seed)
        width = max(graph.width for graph in ordered)
        codes = encode(ordered, width)
        assert (codes[:, -1] == 2).all()
        for index, back in enumerate(decode_graphs(codes, width)):
            graph, order = chosen[index // orders], ordered[index].nodes
            edges = {frozenset((order[u], order[v])) for u, v in back.edges}
            assert edges == set(map(frozenset, graph.edges))
            assert sorted(order) == sorted(graph) and not back.graph["cut"]
            before = parents(ordered[index])
            assert before == sorted(before)  # what makes an order breadth-first
            walk = [0, *(v for _, v in nx.bfs_edges(back, 0, sort_neighbors=sorted))]
            assert walk == list(range(len(back)))


def test_orders_vary_with_the_seed_and_are_the_same_for_the_same_seed() -> None:
    graph = nx.petersen_graph()
    one, again, other = (breadth_first([graph], orders=5, seed=s) for s in (1, 1, 2))
    assert [g.nodes for g in one] == [g.nodes for g in again]
    assert [g.nodes for g in one] != [g.nodes for g in other]
    assert len({g.nodes[0] for g in one}) > 1


def test_orders_that_are_narrow_enough_are_found() -> None:
    star = nx.star_graph(6)  # 6 bits from its centre, 5 from a leaf
    assert {g.width for g in breadth_first([star], orders=30)} == {5, 6}
    assert {g.width for g in breadth_first([star], orders=30, width=5)} == {5}
    with pytest.raises(
        InputError, match="graph 1 of x needs rows of 5 bits .* the fit has rows of 4"
    ):
        breadth_first([nx.path_graph(3), star], width=4)


def test_a_cut_sequence_is_decoded_as_far_as_it_goes() -> None:
    (graph,) = decode_graphs([[0, 1, 1, 1, 0]], width=2)
    assert graph.graph["cut"] and sorted(graph.edges) == [(0, 1), (0, 2), (1, 2)]


def test_the_first_nodes_are_the_graph_that_was_there_then() -> None:
    ordered = breadth_first([nx.grid_2d_graph(3, 4)], seed=3)[0]
    half = ordered.first(6)
    assert nx.is_connected(half.to_networkx()) and half.nodes == ordered.nodes[:6]
    assert set(half.to_networkx().edges) == {e for e in ordered.to_networkx().edges if max(e) < 6}
    np.testing.assert_array_equal(encode([half], 4)[0, :20], encode([ordered], 4)[0, :20])


def test_every_container_of_the_same_graph_reads_the_same() -> None:
    graph = nx.cycle_graph(5)
    matrix = nx.to_numpy_array(graph)
    for other in (matrix, matrix.tolist(), matrix.astype(bool), scipy.sparse.csr_array(matrix),
                  nx.to_pandas_adjacency(graph), nx.MultiGraph(graph)):  # fmt: skip
        np.testing.assert_array_equal(Graphs.read([other]).values, Graphs.read([graph]).values)


def test_new_graphs_are_read_with_the_rows_of_the_fit() -> None:
    first = Graphs.read([nx.complete_graph(4), nx.path_graph(6)])
    new = Graphs.read([nx.star_graph(3)], like=first.coords, fresh=False)
    assert new.arguments["width"] == first.arguments["width"] == 3
    np.testing.assert_array_equal(new.coords["size"], first.coords["size"])
    with pytest.raises(InputError, match="needs rows of 4 bits"):
        Graphs.read([nx.complete_graph(5)], like=first.coords, fresh=False)


PATH = nx.path_graph(3)


def weighted(weight: object) -> nx.Graph:
    graph = nx.path_graph(3)
    nx.set_edge_attributes(graph, weight, "weight")
    return graph


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: PATH, r"x is one graph: give a list, as in \[graph\]"),
    (lambda: np.eye(3), "x is one matrix: give a list"),
    (lambda: [], "x holds no graphs"),
    (lambda: "graphs.txt", "x is a str: give a list of networkx graphs"),
    (lambda: 3, "x is a int: give a list"),
    (lambda: [PATH, nx.Graph()], "graph 1 of x has no node"),
    (lambda: [nx.empty_graph(1)], "graph 0 of x has one node and no edge: leave it out"),
    (lambda: [PATH, nx.Graph([(0, 1), (1, 1)])], "graph 1 of x has an edge from node 1 to itself"),
    (lambda: [nx.DiGraph([(0, 1)])], r"graph 0 of x is directed: give graph.to_undirected\(\)"),
    (lambda: [nx.MultiGraph([(0, "b"), ("b", 0)])], "has several edges between 0 and 'b'"),
    (lambda: [nx.Graph([(0, 1), (2, 3)])], r"graph 0 of x is not connected \(2 of 4 nodes"),
    (lambda: [[[0, 1], [1, 0], [0, 0]]], r"graph 0 of x has shape \(3, 2\): .* square"),
    (lambda: [[[0, 2], [2, 0]]], "graph 0 of x has an edge of weight 2: give zeros and ones"),
    (lambda: [[[0, float("nan")], [1, 0]]], "graph 0 of x has an edge of weight nan"),
    (lambda: [[[0, 1], [0, 0]]], "graph 0 of x has an edge from node 0 to node 1 .* directed"),
    (lambda: [[[1, 1], [1, 0]]], "graph 0 of x has an edge from node 0 to itself"),
    (lambda: [weighted(1), weighted(2.5)], "1 of x has an edge of weight 2.5 between 0 and 1"),
    (lambda: [weighted(None)], "graph 0 of x has an edge of weight None between 0 and 1"),
    (lambda: [object()], "graph 0 of x is a object: give a list"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_what_is_no_simple_connected_graph_is_refused(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Graphs.read(build())


def test_numbers_out_of_range_are_refused() -> None:
    ordered = breadth_first([PATH])[0]
    with pytest.raises(InputError, match="orders is 0"):
        breadth_first([PATH], orders=0)
    with pytest.raises(InputError, match="first 4 nodes of a graph of 3 .* from 2 to 3"):
        ordered.first(4)
    with pytest.raises(InputError, match="no family 'forest': choose one of community, grid"):
        graph_family("forest", 2, seed=0)
    with pytest.raises(InputError, match="count is 0: give a whole number from 1 up"):
        graph_family("tree", 0, seed=0)
    with pytest.raises(InputError, match="the code 3 is no token"):
        decode_graphs([[0, 3]], width=1)
    with pytest.raises(InputError, match="needs rows of 2 bits"):
        encode(breadth_first([nx.complete_graph(3)]), 1)


def test_graphs_that_no_memory_holds_are_refused() -> None:
    spokes = np.stack([np.arange(1, 60_001), np.zeros(60_000, int)], 1)
    star = OrderedGraph(spokes, tuple(range(60_001)))
    with pytest.raises(InputError, match="1 graphs of up to 60,001 nodes in rows of 60,000 bits"):
        encode([star], star.width)


@pytest.mark.parametrize("family", GRAPH_FAMILIES)
def test_families_are_what_they_are_called(family: str) -> None:
    graphs = graph_family(family, 20, seed=1)
    least, most = {"community": (12, 20), "grid": (9, 36), "ego": (4, 18), "tree": (10, 20)}[family]
    for graph in graphs:
        assert least <= len(graph) <= most and nx.is_connected(graph)
        hub = max(degree for _, degree in graph.degree) == len(graph) - 1
        if family == "tree":
            assert nx.is_tree(graph)
        elif family == "ego":
            assert hub
        elif family == "grid":
            assert nx.is_bipartite(graph) and max(d for _, d in graph.degree) <= 4
        else:
            half = len(graph) // 2
            inside = [graph.subgraph(nodes).number_of_edges() for nodes in
                      (range(half), range(half, 2 * half))]  # fmt: skip
            assert graph.number_of_edges() - sum(inside) == max(1, round(0.1 * half))
    same = zip(graphs, graph_family(family, 20, seed=1), strict=True)
    assert all(nx.utils.graphs_equal(a, b) for a, b in same)


@pytest.mark.parametrize(
    ("carried", "message"),
    [
        (
            {"label": {0: "C", 1: "O"}},
            "graphs of x have node attributes 'label', which graph programs",
        ),
        ({"bond": {(0, 1): 2}}, "graphs of x have edge attributes 'bond', which"),
    ],
)
def test_attributes_that_no_program_reads_are_named(carried: dict, message: str) -> None:
    """Labels of atoms, bonds: a fit of such graphs is one of what is joined to what."""
    graph = nx.path_graph(3)
    (name, values), *_ = carried.items()
    nx.set_node_attributes(graph, values, name) if 0 in values else nx.set_edge_attributes(
        graph, values, name
    )
    with pytest.warns(UserWarning, match=message):
        read = Graphs.read([PATH, graph])
    plain = Graphs.read([PATH, nx.Graph(list(graph.edges))])  # the way out, which says nothing
    np.testing.assert_array_equal(read.values, plain.values)
    Graphs.read([weighted(1)])
