"""Distributions of graphs on real sizes against the oracle that walks from node to node."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
from jax import random

from ppl_models.data import GRAPH_FAMILIES, breadth_first, graph_family
from ppl_models.data.containers.graphs import encode
from ppl_models.distributions import GraphChain, LogisticGraphChain, RecurrentGraphChain
from ppl_models.distributions.graphs.recurrent_graph_chain import weight_shapes

WIDTH, POSITIONS = 2, 7


def _build(name):
    generator = np.random.default_rng(3)
    if name == "chain":
        edge, end = generator.uniform(0.2, 0.8, (2, 2))
        return GraphChain(edge, end, positions=POSITIONS)
    if name == "logistic":
        edge, end = generator.normal(size=(2, 16)), generator.normal(size=5)
        return LogisticGraphChain(edge, end, width=WIDTH, positions=POSITIONS)
    weights = {n: generator.normal(size=w.shape) for n, w in weight_shapes(WIDTH, 2).items()}
    return RecurrentGraphChain(weights, width=WIDTH, positions=POSITIONS)


def _rows():
    """All rows of codes, those that end in time and those that are cut."""
    ended = [
        [*bits, *[2] * (POSITIONS - length)]
        for length in range(POSITIONS)
        for bits in product(range(2), repeat=length)
    ]
    return np.array([*ended, *product(range(2), repeat=POSITIONS)])


@pytest.mark.parametrize("name", ["chain", "logistic", "recurrent"])
def test_graphs_in_breadth_first_order_add_up_to_one_and_nothing_else_has_a_share(name):
    graphs, rows = _build(name), jnp.asarray(_rows())

    def look(rows, key):
        def step(state, token):
            following = graphs.following(state)
            return graphs.read(state, jnp.clip(token, 0, 1)), following

        table = jax.lax.scan(step, graphs.begin((len(rows),)), rows.T)[1]
        steps = jnp.moveaxis(table, 0, 1)
        return graphs.log_prob(rows), graphs.following_each(rows), steps, graphs.sample(key, (50,))

    complete, table, steps, drawn = map(np.asarray, jax.jit(look)(rows, random.key(0)))
    np.testing.assert_allclose(np.exp(table), np.exp(steps), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.exp(table).sum(-1), 1, rtol=1e-12)
    taken = np.take_along_axis(table, np.asarray(rows)[..., None], -1)[..., 0]
    open_ = np.cumsum(np.asarray(rows) == 2, 1) <= (np.asarray(rows) == 2)
    by_steps = np.where(open_, taken, 0).sum(1)
    np.testing.assert_allclose(np.exp(complete), np.exp(by_steps), rtol=1e-10, atol=1e-290)
    assert np.exp(complete).sum() == pytest.approx(1, rel=1e-12)
    possible = np.asarray(graphs.support.base_constraint(rows)).all(1)
    np.testing.assert_array_equal(possible, np.exp(complete) > 1e-100)
    assert np.asarray(graphs.support(drawn)).all()
    orders = {tuple(code) for code in _orders_of_small_graphs()}
    assert orders == {tuple(row) for row in np.asarray(rows)[possible] if 2 in row}


def _orders_of_small_graphs():
    """Codes of all ordered graphs of 2-4 nodes that `nx` finds to be in breadth-first order."""
    for nodes in (2, 3, 4):
        pairs = [(j, i) for i in range(nodes) for j in range(i)]
        for chosen in product((0, 1), repeat=len(pairs)):
            graph = nx.empty_graph(nodes)
            graph.add_edges_from(p for p, bit in zip(pairs, chosen, strict=True) if bit)
            near = all(i - j <= WIDTH for j, i in graph.edges)
            if not near or not nx.is_connected(graph):
                continue
            # neighbours sorted by place: the traversal then keeps the order if any does
            walk = [0, *(v for _, v in nx.bfs_edges(graph, 0, sort_neighbors=sorted))]
            if walk == list(range(nodes)):
                code = [0] * (WIDTH * (nodes - 1)) + [2] * (POSITIONS - WIDTH * (nodes - 1))
                for j, i in graph.edges:
                    code[(i - 1) * WIDTH + WIDTH - (i - j)] = 1
                yield code


@pytest.mark.parametrize("family", GRAPH_FAMILIES)
def test_statistics_of_real_graphs_are_those_of_the_oracle(programs, family):
    graphs = next(r for r in programs if r.name == "graph_chain").standard.__globals__
    ordered = breadth_first(graph_family(family, 3, seed=4), seed=5)
    width = max(graph.width for graph in ordered)
    codes = encode(ordered, width)
    generator = np.random.default_rng(6)
    edge, end = generator.normal(size=(2, 16)), generator.normal(size=5)
    chain = LogisticGraphChain(edge, end, width=width, positions=codes.shape[1])
    actual = jax.jit(chain.log_prob)(jnp.asarray(codes))
    expected = []
    for row in codes:
        total = 0.0
        for c in graphs["choices"](row, width):
            if c.kind == "edge":
                logit = np.dot(graphs["edge_row"](c), edge[int(bool(c.row))])
            else:
                logit = np.dot(graphs["end_row"](c.nodes, c.lowest, c.around), end)
            total -= np.logaddexp(0, -logit if c.bit else logit)
        expected.append(total)
    np.testing.assert_allclose(actual, expected, rtol=1e-10)
