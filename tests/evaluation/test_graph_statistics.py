"""Statistics of graphs by brute force, and the discrepancy of sets of graphs."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from ppl_models.data import graph_family
from ppl_models.errors import InputError
from ppl_models.evaluation.graph_statistics import (
    ORBITS,
    clustering_shares,
    degree_shares,
    graph_discrepancy,
    orbit_counts,
    random_graphs_like,
    summary_of_graphs,
)

#: degrees of the six connected graphs of four nodes -> place of a node of each degree
KINDS = {
    (1, 1, 2, 2): {1: "path end", 2: "path middle"},
    (1, 1, 1, 3): {1: "star leaf", 3: "star centre"},
    (2, 2, 2, 2): {2: "cycle"},
    (1, 2, 2, 3): {1: "paw tail", 2: "paw far", 3: "paw centre"},
    (2, 2, 3, 3): {2: "diamond far", 3: "diamond chord"},
    (3, 3, 3, 3): {3: "clique"},
}


def counted(graph: nx.Graph) -> np.ndarray:
    """Orbits by looking at every four nodes."""
    place = {node: i for i, node in enumerate(graph)}
    actual = np.zeros((len(graph), len(ORBITS)), int)
    for chosen in combinations(graph, 4):
        degree = dict(graph.subgraph(chosen).degree)
        names = KINDS.get(tuple(sorted(degree.values())))
        for node in chosen if names else ():
            actual[place[node], ORBITS.index(names[degree[node]])] += 1
    return actual


def test_orbits_by_brute_force_over_the_atlas() -> None:
    for graph in nx.graph_atlas_g()[::9]:
        np.testing.assert_array_equal(orbit_counts(graph), counted(graph))


@pytest.mark.parametrize("density", [0.2, 0.5, 0.9])
def test_orbits_by_brute_force_on_larger_graphs(density: float) -> None:
    graph = nx.gnp_random_graph(13, density, seed=3)
    np.testing.assert_array_equal(orbit_counts(graph), counted(graph))
    np.testing.assert_array_equal(orbit_counts(nx.to_numpy_array(graph)), counted(graph))


def test_shares_add_up_and_count_nodes() -> None:
    graph = nx.lollipop_graph(4, 2)
    degree, clustering = degree_shares(graph), clustering_shares(graph)
    assert degree.tolist() == [0, 1 / 6, 1 / 6, 1 / 2, 1 / 6]
    assert clustering.sum() == pytest.approx(1) and clustering[-1] == pytest.approx(3 / 6)
    assert clustering[50] == pytest.approx(1 / 6)  # of the joint: 3 of its 6 pairs of neighbours


def test_discrepancy_by_its_definition() -> None:
    one, other = graph_family("ego", 4, seed=1), graph_family("tree", 3, seed=2)

    def kernel(a: nx.Graph, b: nx.Graph) -> float:
        p, q = degree_shares(a), degree_shares(b)
        far = wasserstein_distance(range(len(p)), range(len(q)), p, q)
        return float(np.exp(-(far**2) / 2))

    def mean(left: list, right: list) -> float:
        return float(np.mean([kernel(a, b) for a in left for b in right]))

    expected = mean(one, one) + mean(other, other) - 2 * mean(one, other)
    assert graph_discrepancy(one, other)["degree"] == pytest.approx(expected)
    variation = graph_discrepancy(one, other, distance="total variation")
    assert (variation > 0).all() and (variation <= 2).all()


@pytest.mark.parametrize("family", ["community", "grid", "tree"])
def test_discrepancy_tells_a_family_from_random_graphs(family: str) -> None:
    one, other = (graph_family(family, 60, seed=seed) for seed in (1, 2))
    random = random_graphs_like(one, seed=3)
    for ours, theirs in zip(one, random, strict=True):
        assert len(ours) == len(theirs) and ours.number_of_edges() == theirs.number_of_edges()
    for distance in ("earth mover", "total variation"):
        floor, bad = (graph_discrepancy(a, other, distance=distance) for a in (one, random))
        assert (bad > 1.5 * floor).all()
    np.testing.assert_allclose(graph_discrepancy(one, one), 0, atol=1e-12)


def test_what_has_no_discrepancy_is_refused() -> None:
    with pytest.raises(InputError, match="the second set holds no graph"):
        graph_discrepancy([nx.path_graph(2)], [])
    with pytest.raises(InputError, match="the first set .* one without nodes"):
        graph_discrepancy([nx.Graph()], [nx.path_graph(2)])
    with pytest.raises(InputError, match="distance is 'far': choose one of earth mover"):
        graph_discrepancy([nx.path_graph(2)], [nx.path_graph(2)], distance="far")  # type: ignore[arg-type]


def test_summary_counts() -> None:
    summary = summary_of_graphs([nx.complete_graph(3), nx.path_graph(5)])
    assert summary["nodes"] == 4 and summary["edges"] == 3.5 and summary["clustering"] == 0.5
