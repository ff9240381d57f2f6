"""Graphs from files and to files: one graph6 a line, or a table of edges.

graph6 is a graph as a few printable characters, see https://users.cecs.anu.edu.au/~bdm/data/formats
(McKay); networkx, Sage and nauty read and write it. A table says more: its graphs and nodes have
names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ppl_models.errors import InputError

if TYPE_CHECKING:
    import networkx as nx

COLUMN = "graph"  #: the column of a table of edges that says which graph an edge belongs to
ENDS = ("from", "to")  #: the other two columns, as they are written
OTHER_FORMATS = {":": "sparse6", ";": "incremental sparse6", "&": "digraph6"}
FORMATS = f"a table of edges with the columns {COLUMN}, {', '.join(ENDS)}"


def graphs_from_lines(lines: Sequence[str], path: str | Path) -> list[nx.Graph]:
    """One graph a line, named after its line.

    Args:
        lines: of the file; empty ones are passed over.
        path: of the file, for messages.

    Raises:
        InputError: no line, or one that is no graph6.

    Example:
        >>> [sorted(graph.edges) for graph in graphs_from_lines(["Bo", "A_"], "two.g6")]
        [[(0, 1), (0, 2)], [(0, 1)]]
    """
    import networkx as nx

    graphs = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        text = line.removeprefix(">>graph6<<")
        if not text:
            continue
        if text[0] in OTHER_FORMATS:
            raise InputError(
                f"line {number} of {path} is {OTHER_FORMATS[text[0]]}, not graph6: write simple "
                "undirected graphs with networkx.write_graph6"
            )
        try:
            graph = nx.from_graph6_bytes(text.encode("ascii"))
        except (nx.NetworkXError, ValueError, IndexError):
            raise InputError(
                f"line {number} of {path} is no graph6 ({line[:20]!r}): give one graph6 a line, or "
                f"in a .csv file {FORMATS}"
            ) from None
        graph.graph["name"] = f"line {number}"
        graphs.append(graph)
    if not graphs:
        raise InputError(f"{path} is empty: give a file with one graph6 a line")
    return graphs


def graphs_from_edges(edges: pd.DataFrame, path: str | Path) -> list[nx.Graph]:
    """Graphs of a table of edges, in order of first appearance.

    Args:
        edges: a column "graph" and two more, the ends of an edge; all cells text.
        path: of the file, for messages.

    Raises:
        InputError: other columns, no rows, an empty cell, an edge from a node to itself, or an
            edge that comes twice.

    Example:
        >>> table = pd.DataFrame({"graph": ["a", "a", "b"], "from": list("xyx"), "to": list("yzz")})
        >>> [(graph.name, len(graph)) for graph in graphs_from_edges(table, "edges.csv")]
        [('a', 3), ('b', 2)]
    """
    import networkx as nx

    names = [str(name) for name in edges.columns]
    if COLUMN not in names or len(names) != 3:
        raise InputError(
            f"{path} has the columns {', '.join(names)}: graphs are {FORMATS}, or a file with "
            "another ending and one graph6 a line"
        )
    if len(edges) == 0:
        raise InputError(f"{path} has no rows below the line of column names")
    ends = [name for name in names if name != COLUMN]
    graphs: dict[str, nx.Graph] = {}
    cells = (edges[name] for name in (COLUMN, *ends))
    for row, (name, one, other) in enumerate(zip(*cells, strict=True), start=2):
        if not (name and one and other):
            empty = next(
                n for n, c in zip((COLUMN, *ends), (name, one, other), strict=True) if not c
            )
            raise InputError(
                f"line {row} of {path} has an empty cell in column '{empty}': fill it in"
            )
        graph = graphs.setdefault(name, nx.Graph(name=name))
        if one == other:
            raise InputError(
                f"line {row} of {path} is an edge of graph {name} from node {one} to itself: "
                "remove it"
            )
        if graph.has_edge(one, other):
            raise InputError(
                f"line {row} of {path} gives the edge of graph {name} between {one} and {other} "
                "again: graphs are undirected and simple, give each edge once"
            )
        graph.add_edge(one, other)
    return list(graphs.values())


def graphs_text(graphs: Sequence[nx.Graph], *, as_table: bool = False) -> str:
    """Graphs as the text of a file that ``read_file(path, kind=Graphs)`` reads.

    Args:
        graphs: simple undirected ones.
        as_table: a table of edges, else one graph6 a line.

    Raises:
        InputError: a graph that the form cannot hold: directed, with several edges between two
            nodes or one from a node to itself; in a table also with a node that has no edge.

    Example:
        >>> import networkx as nx
        >>> graphs_text([nx.path_graph(3), nx.complete_graph(2)])
        'Bg\\nA_\\n'
        >>> graphs_text([nx.complete_graph(2)], as_table=True)
        'graph,from,to\\n0,0,1\\n'
    """
    import networkx as nx

    lines = []
    for number, graph in enumerate(graphs):
        if graph.is_directed() or graph.is_multigraph():
            raise InputError(f"graph {number} is directed or a multigraph: give nx.Graph(graph)")
        loop = next(nx.nodes_with_selfloops(graph), None)
        if loop is not None:
            raise InputError(f"graph {number} has an edge from node {loop!r} to itself: remove it")
        if not as_table:
            lines.append(nx.to_graph6_bytes(graph, header=False).decode("ascii"))
            continue
        alone = next(nx.isolates(graph), None)
        if alone is not None:
            raise InputError(
                f"graph {number} has a node without edges ({alone!r}), which a table of edges "
                "cannot hold: write graph6, to a file with another ending than .csv"
            )
        lines += [(number, one, other) for one, other in graph.edges]
    if not as_table:
        return "".join(lines)
    return pd.DataFrame(lines, columns=[COLUMN, *ENDS]).to_csv(index=False, lineterminator="\n")
