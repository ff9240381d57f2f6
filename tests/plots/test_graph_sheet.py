"""Graphs side by side."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ppl_models.errors import InputError
from ppl_models.plots import close, plot_graphs
from ppl_models.plots.graphs import placed


def test_nodes_of_a_grid_are_placed_as_a_grid() -> None:
    graph = nx.grid_2d_graph(3, 5)
    places = placed(graph)
    long = np.array([np.linalg.norm(places[u] - places[v]) for u, v in graph.edges])
    assert long.max() < 1.5 * long.min()  # not twisted: no edge runs across
    points = np.array(list(places.values()))
    assert np.ptp(points, axis=0).max() == pytest.approx(1)


def test_every_graph_is_drawn_once_and_what_was_given_in_another_colour() -> None:
    graphs = [nx.path_graph(3), nx.cycle_graph(4), nx.Graph([(0, 1), (2, 3)])]
    sheet = plot_graphs(graphs, columns=2, titles=["a", "b"], given_nodes=[2, 4, 2])
    axes = sheet.viz["plot"].item()
    lines, dots = axes.collections[::2], axes.collections[1::2]
    assert [len(actual.get_segments()) for actual in lines] == [2, 4, 2]
    assert [len(actual.get_offsets()) for actual in dots] == [3, 4, 4]
    assert [len(np.unique(actual.get_colors(), axis=0)) for actual in lines] == [2, 1, 2]
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    close(sheet)


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(InputError, match="There are no graphs"):
        plot_graphs([])
    with pytest.raises(InputError, match="1 graphs and 2 numbers"):
        plot_graphs([nx.path_graph(2)], given_nodes=[1, 2])
