"""The programs of graphs once more, node by node over sets of neighbours, and small graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import networkx as nx
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data import Graphs

END = 2
UNIT = 10.0
GRAPHS = [
    nx.path_graph(3),
    nx.complete_graph(3),
    nx.cycle_graph(4),
    nx.star_graph(3),
    nx.path_graph(2),
    nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)]),
]
READ = Graphs.read(GRAPHS)
DATA = READ.values
WIDTH, NODES = READ.arguments["width"], READ.arguments["nodes"]


class Choice(NamedTuple):
    """One free decision of a graph, and what was known when it was taken."""

    kind: str  #: "edge" or "end"
    bit: int
    nodes: int  #: before this one
    candidate: int
    row: tuple[int, ...]  #: earlier edges of this row
    lowest: int  #: first node that may still be a parent
    around: dict[int, set[int]]


def choices(codes: Any, width: int) -> Iterator[Choice]:
    """The free decisions of one graph in order; fails where a decision is not free but wrong."""
    codes = [int(code) for code in codes]
    around: dict[int, set[int]] = {0: set()}
    parent, place, node = 0, 0, 1
    while True:
        over = place >= len(codes) or codes[place] == END
        lowest = max(parent, node - width, 0)
        if node > 1:
            if place < len(codes):
                yield Choice("end", int(over), node, -1, (), lowest, around)
        if over:
            assert all(code == END for code in codes[place:])
            return
        row: tuple[int, ...] = ()
        for distance in range(width, 0, -1):
            if place >= len(codes):
                return  # cut
            bit, candidate, place = codes[place], node - distance, place + 1
            assert bit in (0, 1)
            if candidate < lowest:
                assert bit == 0
            elif distance == 1 and not row:
                assert bit == 1
            else:
                yield Choice("edge", bit, node, candidate, row, lowest, dict(around))
            if bit:
                row = (*row, candidate)
        around = {n: set(s) for n, s in around.items()} | {node: set(row)}
        for other in row:
            around[other].add(node)
        parent, node = row[0], node + 1


def _earlier(around: dict[int, set[int]], node: int) -> int:
    return sum(other < node for other in around[node])


def _common(around: dict[int, set[int]], u: int, v: int) -> tuple[int, int]:
    """Common neighbours of two nodes: shared, and those that they lie across."""
    across = sum(
        _earlier(around, w) == 1 and _earlier(around, u) > 1 and _earlier(around, v) > 1
        for w in around[u] & around[v]
    )
    return len(around[u] & around[v]) - across, across


def _open(around: dict[int, set[int]], node: int) -> int:
    later = [other for other in around if other > node and other not in around[node]]
    return min(3, sum(_common(around, node, other) == (1, 0) for other in later))


def edge_row(choice: Choice) -> list[float]:
    """The statistics of a candidate edge."""
    around, j, row = choice.around, choice.candidate, choice.row
    earlier = _earlier(around, j)
    later = [other for other in around[j] if other > j]
    single = sum(_earlier(around, other) == 1 for other in later)
    triangles = sum(other in around[j] for other in row)
    common = np.array([_common(around, j, other) for other in row]).reshape(-1, 2).sum(0)
    return [
        1, choice.nodes / UNIT, np.log(choice.nodes - j), j == choice.lowest, np.log1p(earlier),
        earlier == 1, min(single, 4), np.log1p(len(later) - single), earlier == 1 and not single,
        _open(around, j), np.log1p(len(row)), np.log1p(triangles), triangles / max(len(row), 1),
        common[0] > 0, common[0] > 1, common[1] > 0,
    ]  # fmt: skip


def end_row(nodes: int, lowest: int, around: dict[int, set[int]]) -> list[float]:
    """The statistics of the end."""
    waiting = range(lowest, nodes)
    still = sum(_open(around, node) for node in waiting)
    return [1, nodes / UNIT, (nodes / UNIT) ** 2, np.log1p(len(waiting)), np.log1p(still)]


def _taken(x: Any, width: int) -> tuple[list[Choice], list[Choice]]:
    every = [choice for codes in np.asarray(x) for choice in choices(codes, width)]
    return [c for c in every if c.kind == "edge"], [c for c in every if c.kind == "end"]


def _observe(name: str, logits: Any, taken: list[Choice]) -> None:
    bits = jnp.array([choice.bit for choice in taken])
    numpyro.sample(name, dist.Bernoulli(logits=logits).to_event(1), obs=bits)


def chain(x: Any, *, width: int, nodes: int) -> None:
    """As ``graph_chain``."""
    edge = numpyro.sample("edge", dist.Beta(1.5, 1.5).expand((width,)).to_event(1))
    end = numpyro.sample("end", dist.Beta(1.5, 1.5).expand((nodes - 1,)).to_event(1))
    edges, ends = _taken(x, width)
    offset = np.array([c.nodes - c.candidate for c in edges])
    size = np.array([min(c.nodes, nodes) for c in ends])
    _observe("edges", jnp.log(edge / (1 - edge))[offset - 1], edges)
    _observe("ends", jnp.log(end / (1 - end))[size - 2], ends)


def logistic(x: Any, *, width: int) -> None:
    """As ``logistic_graph_chain``."""
    edge = numpyro.sample("edge", dist.Normal(0.0, 3.0).expand((2, 16)).to_event(2))
    end = numpyro.sample("end", dist.Normal(0.0, 3.0).expand((5,)).to_event(1))
    edges, ends = _taken(x, width)
    rows = jnp.array([edge_row(c) for c in edges], float)
    further = np.array([bool(c.row) for c in edges], int)
    _observe("edges", (rows * edge[further]).sum(-1), edges)
    _observe("ends", jnp.array([end_row(c.nodes, c.lowest, c.around) for c in ends]) @ end, ends)


RECURRENT_SITES = (
    "gate_input", "gate_state", "gate_bias", "edge_input", "edge_state", "edge_slot",
    "edge_before", "edge_output", "edge_linear", "end_input", "end_state", "end_output",
    "end_linear",
)  # fmt: skip


def recurrent(x: Any, *, width: int, hidden: int) -> None:
    """As ``recurrent_graph_chain``, one node after the other."""

    def normal(name: str, *shape: int, inputs: int = 1, scale: float = 1.0) -> Any:
        prior = dist.Normal(0.0, scale * inputs**-0.5).expand(shape)
        return numpyro.sample(name, prior.to_event(len(shape)))

    gate_input = normal("gate_input", width + 5, 3, hidden, inputs=width + 5)
    gate_state = normal("gate_state", hidden, 3, hidden, inputs=hidden)
    gate_bias = normal("gate_bias", 3, hidden)
    edge_input = normal("edge_input", 16, hidden, inputs=16)
    edge_state = normal("edge_state", hidden, hidden, inputs=hidden)
    edge_slot = normal("edge_slot", width, hidden)
    edge_before = normal("edge_before", width, hidden, inputs=width)
    edge_output = normal("edge_output", hidden, inputs=hidden)
    edge_linear = normal("edge_linear", 16, scale=3.0)
    end_input = normal("end_input", 5, hidden, inputs=5)
    end_state = normal("end_state", hidden, hidden, inputs=hidden)
    end_output = normal("end_output", hidden, inputs=hidden)
    end_linear = normal("end_linear", 5, scale=3.0)
    edges, ends = [], []
    for codes in np.asarray(x):
        h, seen = jnp.zeros(hidden), 1
        for c in choices(codes, width):
            while seen < c.nodes:  # nodes that were read since
                line = np.zeros(width)
                node = seen
                line[[width - (node - other) for other in c.around[node] if other < node]] = 1
                inner = {n: {m for m in s if m <= node} for n, s in c.around.items() if n <= node}
                lowest = max(min(inner[node]), node + 1 - width, 0)
                read = jnp.concatenate([line, jnp.array(end_row(node + 1, lowest, inner))])
                a = [read @ gate_input[:, g] + gate_bias[g] for g in range(3)]
                u = [h @ gate_state[:, g] for g in range(3)]
                r, z = 1 / (1 + jnp.exp(-a[0] - u[0])), 1 / (1 + jnp.exp(-a[1] - u[1]))
                h = (1 - z) * jnp.tanh(a[2] + r * u[2]) + z * h
                seen += 1
            if c.kind == "end":
                row = jnp.array(end_row(c.nodes, c.lowest, c.around))
                unit = jnp.tanh(row @ end_input + h @ end_state)
                ends.append((unit @ end_output + row @ end_linear, c))
            else:
                row = jnp.array(edge_row(c), float)
                slots = [width - (c.nodes - other) for other in c.row]
                before = sum((edge_before[slot] for slot in slots), jnp.zeros(hidden))
                slot = width - (c.nodes - c.candidate)
                unit = jnp.tanh(row @ edge_input + h @ edge_state + before + edge_slot[slot])
                edges.append((unit @ edge_output + row @ edge_linear, c))
    for name, actual in (("edges", edges), ("ends", ends)):
        _observe(name, jnp.stack([logit for logit, _ in actual]), [c for _, c in actual])
