"""A sheet of graphs side by side."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ppl_models.errors import InputError
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.plots.drawing.style import MUTED, PALETTE, points, styled

INCHES = 0.93  #: width of a graph
ROOM = 1.28  #: from the centre of one graph to the next, in widths of a graph


@styled
def plot_graphs(
    graphs: Sequence[nx.Graph],
    *,
    columns: int = 8,
    titles: Sequence[str] | None = None,
    given_nodes: Sequence[int] | None = None,
    title: str = "",
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Draw graphs side by side.

    Args:
        graphs: the graphs, line by line.
        columns: how many stand side by side.
        titles: a name for each line of the sheet, from above.
        given_nodes: of each graph, how many of its first nodes it was completed from; they and the
            edges among them are drawn dark, what was added to them in colour.
        title: the title of the sheet.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: no graphs, or another number of `given_nodes` than of graphs.

    Example:
        >>> sheet = plot_graphs([nx.path_graph(3), nx.cycle_graph(4)], title="two graphs")
        >>> sheet.viz["plot"].item().get_title(loc="left")
        'two graphs'
    """
    if not graphs:
        raise InputError("There are no graphs to draw: give at least one.")
    if given_nodes is not None and len(given_nodes) != len(graphs):
        raise InputError(
            f"There are {len(graphs)} graphs and {len(given_nodes)} numbers of given nodes: give "
            "one number for each graph."
        )
    columns = min(columns, len(graphs))
    lines = -(-len(graphs) // columns)
    left = 1.7 if titles else 0.6
    across, down = (columns - 1) * ROOM + left + 0.6, (lines - 1) * ROOM + 1.2
    made = plot_collection or new_panels(
        size=(INCHES * across + 0.1, INCHES * down + (0.5 if title else 0.1)), backend=backend
    )
    target = panel(made)
    target.set_axis_off()
    for index, graph in enumerate(graphs):
        line, place = divmod(index, columns)
        known = None if given_nodes is None else given_nodes[index]
        _draw(target, graph, np.array([place, -line]) * ROOM, known)
    target.set(xlim=(-left, across - left), ylim=(0.6 - down, 0.6))
    target.set_aspect("equal")
    for line, name in enumerate(titles or ()):
        target.text(-0.7, -line * ROOM, name, ha="right", va="center", fontsize=points(9))
    target.set_title(title)
    return made


def placed(graph: nx.Graph) -> dict:
    """Node positions in the unit square about zero, with the longest extent horizontal.

    Distances on the page follow distances in the graph (Kamada and Kawai 1989); parts that are not
    connected lie side by side.
    """
    parts = [graph.subgraph(nodes) for nodes in nx.connected_components(graph)]
    places: dict = {}
    offset = 0.0
    for part in sorted(parts, key=len, reverse=True):
        nodes = list(part)
        start = dict(zip(nodes, _unfolded(part), strict=True))
        layout = nx.kamada_kawai_layout(part, pos=start) if len(nodes) > 2 else start
        points = np.array([layout[node] for node in nodes])
        points = points - points.mean(0)
        if len(nodes) > 2:  # turned so that it is wider than it is high
            points = points @ np.linalg.svd(points, full_matrices=False)[2].T
        size = np.sqrt(len(nodes)) / max(np.ptp(points, axis=0).max(), 1e-9)
        points = points * size if len(nodes) > 1 else points
        points[:, 0] += offset - points[:, 0].min()
        offset = points[:, 0].max() + 0.6
        places |= dict(zip(nodes, points, strict=True))
    every = np.array(list(places.values()))
    middle = (every.max(0) + every.min(0)) / 2
    scale = max(np.ptp(every, axis=0).max(), 1e-9)
    return {node: (point - middle) / scale for node, point in places.items()}


def _unfolded(graph: nx.Graph) -> np.ndarray:
    """Principal coordinates of graph distances, a start from which lattices are not twisted."""
    far = nx.floyd_warshall_numpy(graph) ** 2
    centred = far - far.mean(0) - far.mean(1)[:, None] + far.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    points = vectors[:, :-3:-1] * np.sqrt(np.clip(values[:-3:-1], 0, None))
    # nodes of equal distances from all others would lie on each other
    apart = 0.05 * np.array([*nx.circular_layout(graph).values()])
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1]))) + apart


def _draw(target: Axes, graph: nx.Graph, centre: np.ndarray, given_nodes: int | None) -> None:
    places = {node: point + centre for node, point in placed(graph).items()}
    first = set(list(graph)[: given_nodes or 0])
    dark, light = ("#444444", PALETTE[1]) if given_nodes is not None else (MUTED, MUTED)
    edges = list(graph.edges)
    colors = [dark if u in first and v in first else light for u, v in edges]
    segments = [(places[u], places[v]) for u, v in edges]
    target.add_collection(LineCollection(segments, colors=colors, linewidths=0.9, zorder=1))
    points = np.array([places[node] for node in graph])
    inside = "#222222" if given_nodes is not None else PALETTE[0]
    fill = [inside if node in first or given_nodes is None else PALETTE[1] for node in graph]
    target.scatter(points[:, 0], points[:, 1], s=11, c=fill, linewidths=0, zorder=2)
