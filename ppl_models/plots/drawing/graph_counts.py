"""Counts by which graphs are compared: nodes, edges, triangles."""

from __future__ import annotations

import networkx as nx
import numpy as np
import xarray as xr

from ppl_models.data.containers.graphs import END_OF_GRAPH, decode_graphs
from ppl_models.plots.drawing.reading import known_labels
from ppl_models.posterior.result.schema import EmissionFacts

COUNTS = ("nodes", "edges", "triangles")


def bits_a_row(tree: xr.DataTree, emission: EmissionFacts) -> int:
    """M, the bits that a node has in a fit of graphs."""
    return len(known_labels(tree, emission)["offset"])


def graph_counts(codes: xr.DataArray, width: int) -> xr.DataArray:
    """Codes ``(..., graph, position)`` as numbers ``(..., row, feature)`` of ``COUNTS``.

    Of a graph that was cut, what there is of it.

    >>> codes = xr.DataArray([[0, 1, 1, 1, 2], [0, 1, 2, 2, 2]], dims=("graph", "position"))
    >>> graph_counts(codes, 2).values.tolist()
    [[3, 3, 1], [2, 1, 0]]
    """
    unit = next(str(d) for d in codes.dims if d not in ("chain", "draw", "sample", "position"))
    ordered = codes.transpose(..., unit, "position")
    values = ordered.values
    counts = [_counts(row, width) for row in values.reshape(-1, values.shape[-1])]
    dims = [d if d != unit else "row" for d in ordered.dims[:-1]]
    shaped = np.array(counts).reshape(*values.shape[:-1], len(COUNTS))
    return xr.DataArray(shaped, dims=(*dims, "feature"), coords={"feature": list(COUNTS)})


def _counts(codes: np.ndarray, width: int) -> tuple[int, int, int]:
    ends = np.flatnonzero(codes == END_OF_GRAPH)
    length = int(ends[0]) if len(ends) else len(codes)
    rows = length // width
    node, slot = np.nonzero(codes[: rows * width].reshape(rows, width))
    adjacent = np.zeros((rows + 1, rows + 1))
    # (bits of nodes that are not there are never set: what a program writes is a graph)
    adjacent[node + 1, node + 1 - width + slot] = 1
    # every triangle once: its nodes in their order
    return rows + 1, len(node), int(((adjacent @ adjacent) * adjacent).sum())


def first_graphs(codes: xr.DataArray, width: int, most: int) -> list[nx.Graph]:
    """At most so many graphs of codes ``(graph, position)``.

    >>> codes = xr.DataArray([[0, 1, 1, 1, 2], [0, 1, 2, 2, 2]], dims=("graph", "position"))
    >>> [len(graph) for graph in first_graphs(codes, 2, 1)]
    [3]
    """
    return decode_graphs(codes.transpose(..., "position").values[:most], width)
