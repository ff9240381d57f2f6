"""Graphs in files: the same ones come back; what is no graph is refused by its line."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from ppl_models.data import Graphs, breadth_first, graph_family, graphs_text, read_file
from ppl_models.errors import InputError

GRAPHS = [*graph_family("ego", 6, seed=0), *graph_family("grid", 4, seed=1), nx.path_graph(70)]


def written(folder: Path, text: str | bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_graph6_comes_back_node_by_node(tmp_path: Path) -> None:
    read = read_file(written(tmp_path, graphs_text(GRAPHS), "graphs.g6"), kind=Graphs)
    pairs = zip(GRAPHS, read, strict=True)
    assert all(nx.utils.edges_equal(a.edges, b.edges) and len(a) == len(b) for a, b in pairs)


def test_what_networkx_wrote_is_read(tmp_path: Path) -> None:
    nx.write_graph6(GRAPHS[0], tmp_path / "one.g6")  # with its heading
    both = (tmp_path / "one.g6").read_bytes() + b"\r\n" + nx.to_graph6_bytes(GRAPHS[1])
    read = read_file(written(tmp_path, both, "two.graph6"), kind=Graphs)
    assert [set(g.edges) for g in read] == [set(g.edges) for g in GRAPHS[:2]]
    assert [g.name for g in read] == ["line 1", "line 3"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_of_edges_comes_back_up_to_the_order_of_nodes(tmp_path: Path, ending: str) -> None:
    text = graphs_text(GRAPHS, as_table=True)
    path = written(tmp_path, text.replace(",", "\t") if ending == "tsv" else text, f"e.{ending}")
    for graph, back in zip(GRAPHS, read_file(path, kind=Graphs), strict=True):
        edges = {frozenset(map(str, edge)) for edge in graph.edges}
        assert {frozenset(edge) for edge in back.edges} == edges and len(back) == len(graph)


def test_tables_as_people_have_them(tmp_path: Path) -> None:
    text = "\ufeffsource, graph ,target\r\nNA, first,None\r\n\r\n3, second,1.5\r\nNA,first,3\r\n"
    first, second = read_file(written(tmp_path, text.replace(" ,", ","), "e.csv"), kind=Graphs)
    assert (first.name, second.name) == ("first", "second")
    assert set(map(frozenset, first.edges)) == {frozenset({"NA", "None"}), frozenset({"NA", "3"})}
    assert set(second) == {"3", "1.5"}


def test_a_graph_that_a_fit_wrote_is_read_in_the_order_in_which_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From 28 of its 30 nodes a path needs two bits a row; as it was written, one."""
    monkeypatch.setattr("ppl_models.data.containers.graphs.ATTEMPTS", 1)
    path = nx.path_graph(30)
    (read,) = breadth_first([path], width=1, seed=1)
    assert breadth_first([path], seed=1)[0].width == 2 and read.width == 1
    assert read.nodes == tuple(range(30))
    elsewhere = nx.relabel_nodes(path, {0: 7, 7: 0})
    scattered = nx.Graph([*sorted(elsewhere.edges)])
    with pytest.raises(InputError, match="needs rows of 2 bits"):
        breadth_first([scattered], width=1, seed=1)


EDGES = "graph,from,to\n"
REFUSED: list[tuple[str, str | bytes, str]] = [
    ("g.g6", "", "g.g6 is empty: give a file with one graph6 a line"),
    ("g.g6", "\n \n", "g.g6 is empty"),
    ("g.g6", "Bo\nhello world\n", r"line 2 of g.g6 is no graph6 \('hello world'\): give one"),
    ("g.g6", "Bo\n\nBoo\n", r"line 3 of g.g6 is no graph6 \('Boo'\)"),
    ("g.g6", "~\n", "line 1 of g.g6 is no graph6"),
    ("g.g6", "Bé\n", "line 1 of g.g6 is no graph6"),
    ("g.g6", ":An\n", "line 1 of g.g6 is sparse6, not graph6: write simple"),
    ("g.g6", "&BP_\n", "line 1 of g.g6 is digraph6, not graph6"),
    ("g.g6", b"\x89PNG\r\n\x00", "g.g6 is not text in UTF-8"),
    ("e.csv", "", "e.csv is empty"),
    ("e.csv", EDGES, "e.csv has no rows below the line of column names"),
    ("e.csv", "from,to\na,b\n", "e.csv has the columns from, to: graphs are a table of edges"),
    ("e.csv", "graph,from,to,w\n0,a,b,1\n", "e.csv has the columns graph, from, to, w"),
    ("e.csv", "0,1,2\n0,2,3\n", "first line of e.csv holds numbers"),
    ("e.csv", "graph,node,node\n0,a,b\n", "two columns named 'node'"),
    ("e.csv", f"{EDGES}0,a,b\n0,,c\n", "line 3 of e.csv has an empty cell in column 'from'"),
    ("e.csv", f"{EDGES}0,a,b\n0,a\n", "line 3 of e.csv has an empty cell in column 'to'"),
    ("e.csv", f"{EDGES}0,a,b\n0,b,b\n", "line 3 of e.csv is an edge of graph 0 from node b to it"),
    ("e.csv", f"{EDGES}0,a,b\n1,a,b\n0,b,a\n", "line 4 .* graph 0 between b and a again"),
]


@pytest.mark.parametrize(("name", "text", "message"), REFUSED)
def test_what_is_no_graph_is_refused_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | bytes, message: str
) -> None:
    written(tmp_path, text, name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as refused:
        read_file(name, kind=Graphs)
    assert "\n" not in str(refused.value)


def test_graphs_that_no_program_can_write_are_named_by_the_file(tmp_path: Path) -> None:
    lines = graphs_text([nx.path_graph(3), nx.empty_graph(2)])
    with pytest.raises(InputError, match=r"graph 1 of x \(line 2\) is not connected"):
        Graphs.read(read_file(written(tmp_path, lines, "g.g6"), kind=Graphs))
    edges = f"{EDGES}one,a,b\ntwo,a,b\ntwo,c,d\n"
    with pytest.raises(InputError, match=r"graph 1 of x \(two\) is not connected"):
        Graphs.read(read_file(written(tmp_path, edges, "e.csv"), kind=Graphs))
    with pytest.raises(InputError, match=r"graph 0 of x \(line 1\) has one node and no edge"):
        Graphs.read(read_file(written(tmp_path, "@\n", "g.g6"), kind=Graphs))


def test_graphs_that_no_file_can_hold_are_refused() -> None:
    for graph in (nx.DiGraph([(0, 1)]), nx.MultiGraph([(0, 1)])):
        with pytest.raises(InputError, match="graph 0 is directed or a multigraph"):
            graphs_text([graph])
    with pytest.raises(InputError, match="graph 1 has an edge from node 2 to itself"):
        graphs_text([nx.path_graph(3), nx.Graph([(2, 2)])])
    with pytest.raises(InputError, match=r"graph 0 has a node without edges \(0\)"):
        graphs_text([nx.empty_graph(2)], as_table=True)
    assert np.array_equal(graphs_text([nx.empty_graph(1)]), "@\n")
