"""Graphs come back from a fit, finished from a beginning, cut where they are told to be."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ppl_models import fit, generate, generate_graphs, log_density
from ppl_models.data import breadth_first, decode_graphs
from ppl_models.errors import InputError

PATHS = [nx.path_graph(n) for n in (4, 5, 5, 6, 7, 7)]


@pytest.fixture(scope="module")
def tree():
    return fit("graph_chain", PATHS, method="exact", seed=0, chains=1, draws=20, predictive=0)


def test_generated_graphs_are_connected_and_have_the_sizes_of_the_data(tree):
    made = generate_graphs(tree, 60, seed=1)
    assert len(made) == 60 and all(nx.is_connected(g) and len(g) > 1 for g in made)
    width = tree["posterior"].sizes["offset"]
    assert max(max(v - u for u, v in g.edges) for g in made) <= width
    again = generate_graphs(tree, 60, seed=1)
    assert all(nx.utils.graphs_equal(a, b) for a, b in zip(made, again, strict=True))


def test_generate_gives_the_same_graphs_as_codes(tree):
    drawn = generate(tree, 5, seed=1, length=60)
    assert drawn["x"].dims == ("graph", "position")
    made = decode_graphs(drawn["x"].values, tree["posterior"].sizes["offset"])
    assert all(nx.is_connected(graph) for graph in made)


def test_a_beginning_is_kept(tree):
    begin = breadth_first([nx.path_graph(4)])[0]
    known = set(begin.to_networkx().edges)
    made = generate_graphs(tree, 20, seed=2, begin=begin)
    assert all({e for e in g.edges if max(e) < 4} == known for g in made)
    assert len({len(g) for g in made}) > 1


def test_graphs_that_are_too_large_are_cut_and_said_to_be(tree):
    with pytest.warns(UserWarning, match="of 30 graphs were cut at 4 nodes"):
        made = generate_graphs(tree, 30, seed=3, nodes=4)
    assert max(map(len, made)) == 4
    cut = np.array([graph.graph["cut"] for graph in made])
    assert cut.any() and all(len(g) == 4 for g, c in zip(made, cut, strict=True) if c)


def test_what_cannot_be_generated_is_refused(tree):
    with pytest.raises(InputError, match="count is 0: give a whole number from 1 up"):
        generate_graphs(tree, 0, seed=0)
    with pytest.raises(InputError, match="nodes is 1"):
        generate_graphs(tree, 1, seed=0, nodes=1)
    with pytest.raises(InputError, match="temperature is -1"):
        generate_graphs(tree, 1, seed=0, temperature=-1)
    with pytest.raises(InputError, match="begin has 4 nodes and nodes is 3"):
        generate_graphs(tree, 1, seed=0, nodes=3, begin=nx.path_graph(4))
    with pytest.raises(InputError, match="graph 0 of begin needs rows of"):
        generate_graphs(tree, 1, seed=0, begin=nx.complete_graph(9))
    with pytest.raises(InputError, match="graph 0 of x needs rows of"):
        log_density(tree, [nx.complete_graph(9)])
    rows = fit("poisson_mixture", [1, 2, 3], method="em", seed=0, clusters=1, predictive=0)
    with pytest.raises(InputError, match="poisson_mixture makes no graphs"):
        generate_graphs(rows, 1, seed=0)
