"""What a fit holds impossible: ``-inf`` is said, never a number that is none, nor a low one."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from ppl_models import (
    best_paths,
    fit,
    generate,
    impute,
    log_density,
    perplexity,
    predict,
    token_probabilities,
)
from ppl_models.errors import InputError

FLAT = {"method": "em", "priors": "flat", "seed": 0, "predictive": 0, "starts": 1}
#: program: arguments, data, an impossible row and a possible one
CASES: dict[str, tuple[dict[str, Any], list, list]] = {
    "markov_chain": ({}, ["ab", "abab"], ["ba", "ab"]),
    "hidden_token_chain": ({"states": 2}, ["ab", "abab", "ababab"], ["bb", "ab"]),
    "bernoulli_mixture": (
        {"clusters": 2},
        [[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]],
        [[0, 1, 1], [0, 1, 0]],
    ),
    "categorical_mixture": (
        {"clusters": 2},
        [[0, 1], [0, 1], [1, 0], [1, 0]],
        [[0, 0], [0, 1]],
    ),
    "poisson_mixture": (
        {"clusters": 2},
        [[0, 3], [0, 4], [2, 0], [3, 0]],
        [[1, 1], [0, 4]],
    ),
    "graph_chain": (
        {},
        [nx.cycle_graph(3), nx.cycle_graph(4)],
        [nx.path_graph(3), nx.cycle_graph(3)],
    ),
}  # fmt: skip


def quick(*names: str) -> list:
    """All cases, of which the others are long."""
    return [n if n in names else pytest.param(n, marks=pytest.mark.long) for n in CASES]


@pytest.mark.parametrize("name", quick("markov_chain", "hidden_token_chain", "bernoulli_mixture"))
def test_the_impossible_is_said_to_be_so_and_the_possible_is_not(name: str) -> None:
    arguments, data, new = CASES[name]
    tree = fit(name, data, **FLAT, **arguments)
    for by_draw in (False, True):
        impossible, possible = log_density(tree, new, by_draw=by_draw).values.ravel()
        assert impossible == -np.inf and -10 < possible <= 0
    if "clusters" in arguments:
        np.testing.assert_allclose(predict(tree, new).sum("cluster"), 1)
    if name == "markov_chain":
        assert perplexity(tree, new[:1])["perplexity"] == np.inf
        row = token_probabilities(tree, new[::-1]).values[1]
        assert row[0] == 0 and np.isnan(row[1:]).all()
        # known tokens that cannot be have nothing between them, and nothing follows them
        with pytest.raises(InputError, match="sequence 1 is impossible under the fit"):
            impute(tree, [["a", None], ["b", None, "b"]], seed=0)
        with pytest.raises(InputError, match="prefix is impossible under the fit"):
            generate(tree, 2, seed=0, prefix="bb")
    if name == "hidden_token_chain":
        with pytest.raises(InputError, match="sequence 0 is impossible under the fit"):
            best_paths(tree, new)


@pytest.mark.parametrize("name", quick("markov_chain", "poisson_mixture"))
def test_default_priors_keep_all_new_rows_possible(name: str) -> None:
    arguments, data, new = CASES[name]
    tree = fit(name, data, **FLAT | {"priors": "program"}, **arguments)
    rare, usual = log_density(tree, new).values
    assert -30 < rare < usual <= 0


def test_an_impossible_cluster_counts_for_nothing_beside_an_improbable_one() -> None:
    # 400 bits that one cluster holds very improbable, and of which the other excludes a single one
    loaded = np.full((2, 400), 0.001)
    loaded[1] = 0.5
    loaded[1, 0] = 0.0
    noise = np.random.default_rng(0).integers(0, 2, (5, 400))
    data = np.concatenate([np.zeros((5, 400), int), noise])
    tree = fit("bernoulli_mixture", data, **FLAT, clusters=2, fixed={"probs": loaded})
    first, second = np.log(tree["posterior"]["weights"].values[0, 0])
    everything = np.ones((1, 400), int)
    density = log_density(tree, everything).values
    np.testing.assert_allclose(density, [first + 400 * np.log(0.001)], rtol=1e-12)
    np.testing.assert_allclose(predict(tree, everything).values, [[1, 0]])
    gap = np.where(np.arange(400) == 0, np.nan, 1.0)[None]  # what excluded it is not known
    want = np.logaddexp(first + 399 * np.log(0.001), second + 399 * np.log(0.5))
    np.testing.assert_allclose(log_density(tree, gap).values, [want], rtol=1e-12)


def test_a_cluster_without_weight_makes_nothing() -> None:
    held = {"weights": np.array([1.0, 0.0])}
    tree = fit("bernoulli_mixture", [[0, 1], [0, 0]], **FLAT, clusters=2, fixed=held)
    assert tree["posterior"]["probs"].values[0, 0, 0].tolist() == [0, 0.5]
    density = log_density(tree, [[1, 1], [0, 1]]).values
    np.testing.assert_allclose(density, [-np.inf, np.log(0.5)])
