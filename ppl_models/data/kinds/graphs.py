"""The kind whose units are whole graphs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ppl_models.data.containers.flat_tokens import END
from ppl_models.data.containers.graphs import (
    BITS,
    CHOICES,
    EDGE_STATISTICS,
    END_STATISTICS,
    breadth_first,
    encode,
)
from ppl_models.data.kinds.observed import Kind, Observed


class Graphs(Kind):
    """Graphs as rows of bits in breadth-first order, (graph, position); see `encode`."""

    @classmethod
    def read(
        cls,
        data: object,
        *,
        site: str = "x",
        like: Mapping[str, ArrayLike] | None = None,
        fresh: bool = True,
        covariate: bool = False,
    ) -> Observed:
        """Read a list of networkx graphs, adjacency matrices or ordered graphs.

        Graphs that are not ordered yet get one random breadth-first order each, the same at every
        reading; `breadth_first` gives others. The width M of the rows is that of the widest graph,
        unless ``like["offset"]`` has it.

        Raises:
            InputError: no graphs, a graph that is not simple, undirected and connected, or one
                that is wider than the fit's.

        Example:
            >>> import networkx as nx
            >>> read = Graphs.read([nx.path_graph(3), nx.cycle_graph(3)])
            >>> read.values.tolist()
            [[0, 1, 0, 1, 2], [0, 1, 1, 1, 2]]
            >>> read.arguments
            {'width': 2, 'nodes': 3, 'graphs': 2, 'positions': 5}
        """
        known = None if like is None or "offset" not in like else int(np.size(like["offset"]))
        ordered = breadth_first(data, width=known, site=site)
        width = known or max(graph.width for graph in ordered)
        most = max(len(graph.nodes) for graph in ordered)
        sizes = np.arange(2, most + 1) if like is None or "size" not in like else like["size"]
        codes = encode(ordered, width)
        return Observed(
            values=codes,
            dims=("graph", "position"),
            coords={
                "graph": np.arange(len(ordered)),
                "position": np.arange(codes.shape[1]),
                "token": np.array(BITS),
                "next_token": np.array([*BITS, END]),
                "offset": np.arange(1, width + 1),
                "size": np.asarray(sizes),
                "choice": np.array(CHOICES),
                "statistic": np.array(EDGE_STATISTICS),
                "end_statistic": np.array(END_STATISTICS),
            },
            arguments={
                "width": width,
                "nodes": most,
                "graphs": len(ordered),
                "positions": codes.shape[1],
            },
        )
