"""A fit of graphs is reported as graphs, not as bits."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pytest
import xarray as xr

from ppl_models import fit, write_report
from ppl_models.data import breadth_first, graph_family
from ppl_models.data.containers.graphs import encode
from ppl_models.plots import choose_plots, plot_predictive
from ppl_models.plots.drawing.graph_counts import bits_a_row, first_graphs, graph_counts
from ppl_models.posterior.result.schema import facts_of
from ppl_models.report.sections.overview import describe_data

GRAPHS = graph_family("ego", 7, seed=2)


def test_counts_are_those_of_networkx() -> None:
    ordered = breadth_first(GRAPHS, seed=3)
    width = max(graph.width for graph in ordered)
    codes = xr.DataArray(encode(ordered, width), dims=("graph", "position"))
    expected = [[len(g), g.number_of_edges(), sum(nx.triangles(g).values()) // 3] for g in GRAPHS]
    np.testing.assert_array_equal(graph_counts(codes, width).values, expected)
    twice = xr.concat([codes, codes], "sample").transpose("graph", "sample", "position")
    counts = graph_counts(twice, width)
    assert counts.dims == ("sample", "row", "feature")
    np.testing.assert_array_equal(counts.values, [expected, expected])
    assert [len(g) for g in first_graphs(codes, width, 3)] == [len(g) for g in GRAPHS[:3]]


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return fit("graph_chain", GRAPHS, method="exact", seed=0, chains=1, draws=20, predictive=5)


def test_data_are_told_as_graphs(tree: xr.DataTree) -> None:
    width = tree["posterior"].sizes["offset"]
    assert bits_a_row(tree, facts_of(tree).emission) == width
    sizes, edges = [len(g) for g in GRAPHS], np.mean([g.number_of_edges() for g in GRAPHS])
    said = f"7 graphs of {min(sizes)} to {max(sizes)} nodes, {edges:.1f} edges on average, in"
    assert describe_data(tree).startswith(said)


def test_pictures_compare_nodes_edges_and_triangles(tree: xr.DataTree) -> None:
    made = plot_predictive(tree)
    panels = made.viz["plot"]
    assert panels["feature"].values.tolist() == ["nodes", "edges", "triangles"]
    assert {panel.get_xlabel() for panel in panels.values} == {"nodes", "edges", "triangles"}
    nodes = panels.sel(feature="nodes").item()
    assert nodes.get_ylabel() == "graphs"
    assert sum(bar.get_height() for bar in nodes.patches) == len(GRAPHS)
    plt.close("all")


def test_the_page_shows_graphs(tree: xr.DataTree, tmp_path: Path) -> None:
    page = write_report(tree, tmp_path / "page.html").read_text()
    assert "7 graphs of" in page and "the first of one generated data set, unselected" in page
    assert "tokens" not in page


def test_one_chain_has_no_ranks_to_compare(tree: xr.DataTree) -> None:
    names = [picture.name for picture in choose_plots(tree)]
    assert "rank" not in names and "trace" in names
