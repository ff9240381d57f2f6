"""What is no whole number is refused by every call that takes one, before anything else."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import xarray as xr

from ppl_models import (
    calibrate,
    choose_clusters,
    coassignment,
    draw_paths,
    forecast,
    generate,
    generate_graphs,
    impute,
    log_density,
    loo_pit,
    partition,
    perplexity,
    predict,
    relabel,
    state_probabilities,
    token_probabilities,
)
from ppl_models.data import blobs, breadth_first, click_streams, graph_family
from ppl_models.errors import InputError, whole_number

NO_FIT = xr.DataTree()
X = np.arange(8.0) ** 1.5
VISITS = {"rows": 3, "seed": 0, "method": "exact", "vocabulary": 2, "simulations": 2}

#: what takes a seed, a count and draws; the fit is not looked at before them
SEEDS = {
    "generate": lambda tree, seed: generate(tree, 2, seed=seed),
    "impute": lambda tree, seed: impute(tree, seed=seed),
    "draw_paths": lambda tree, seed: draw_paths(tree, seed=seed),
    "forecast": lambda tree, seed: forecast(tree, 2, seed=seed),
    "generate_graphs": lambda tree, seed: generate_graphs(tree, 2, seed=seed),
    "relabel": lambda tree, seed: relabel(tree, seed=seed),
    "partition": lambda tree, seed: partition(tree, seed=seed),
    "coassignment": lambda tree, seed: coassignment(tree, seed=seed),
    "loo_pit": lambda tree, seed: loo_pit(tree, seed=seed),
    "choose_clusters": lambda _, seed: choose_clusters("gaussian_mixture", X, seed=seed),
    "calibrate": lambda _, seed: calibrate("markov_chain", **{**VISITS, "seed": seed}),
    "breadth_first": lambda _, seed: breadth_first([nx.path_graph(3)], seed=seed),
    "graph_family": lambda _, seed: graph_family("tree", 1, seed=seed),
    "blobs": lambda _, seed: blobs(seed),
    "click_streams": lambda _, seed: click_streams(seed, 3),
}
COUNTS = {
    "rows": lambda tree, count: generate(tree, count, seed=0),
    "length": lambda tree, count: generate(tree, 2, seed=0, length=count),
    "steps": lambda tree, count: forecast(tree, count, seed=0),
    "count": lambda tree, count: generate_graphs(tree, count, seed=0),
    "nodes": lambda tree, count: generate_graphs(tree, 2, nodes=count, seed=0),
    "rows of blobs": lambda _, count: blobs(0, count),
    "visits": lambda _, count: click_streams(0, count),
    "orders": lambda _, count: breadth_first([nx.path_graph(3)], orders=count),
    "simulations": lambda _, count: calibrate("markov_chain", **{**VISITS, "simulations": count}),
    "states": lambda _, count: calibrate("hidden_markov", rows=2, seed=0, states=count),
    "a number of clusters": lambda _, count: choose_clusters(
        "gaussian_mixture", X, [count, 2], seed=0
    ),
    "rows_used": lambda tree, count: relabel(tree, rows_used=count),
}
DRAWS = {
    "impute": lambda tree, draws: impute(tree, draws=draws, seed=0),
    "draw_paths": lambda tree, draws: draw_paths(tree, draws=draws, seed=0),
    "partition": lambda tree, draws: partition(tree, draws=draws),
} | {
    f.__name__: lambda tree, draws, f=f: f(tree, draws=draws)
    for f in (
        log_density, loo_pit, perplexity, predict, state_probabilities, token_probabilities,
    )
}  # fmt: skip


@pytest.mark.parametrize("seed", [None, 2.5, -1, "one", 2**63], ids=repr)
@pytest.mark.parametrize("name", SEEDS)
def test_seeds_are_whole_numbers(name: str, seed: object) -> None:
    with pytest.raises(InputError, match=rf"^seed is {seed!r}: give a whole number "):
        SEEDS[name](NO_FIT, seed)


@pytest.mark.parametrize("count", [0, 2.5, True, "two"], ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole_numbers(name: str, count: object) -> None:
    argument = name.partition(" of blobs")[0]
    with pytest.raises(InputError, match=rf"^{argument} is {count!r}: give a whole number from"):
        COUNTS[name](NO_FIT, count)


@pytest.mark.parametrize("draws", [0, -1, 2.5], ids=repr)
@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_whole_numbers(name: str, draws: object) -> None:
    with pytest.raises(InputError, match=rf"^draws is {draws!r}: give a whole number from 1 up$"):
        DRAWS[name](NO_FIT, draws)


def test_one_number_is_not_several_candidates() -> None:
    with pytest.raises(InputError, match=r"^clusters is 3: give several numbers, as range\(1, 10"):
        choose_clusters("gaussian_mixture", X, 3, seed=0)


def test_whole_numbers_may_be_those_of_arrays() -> None:
    assert whole_number("seed", np.int32(7)) == 7
    assert type(whole_number("seed", np.arange(3)[2])) is int
