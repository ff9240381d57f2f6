"""What a fit holds impossible: said by a number as low as numbers go, never by one that is none."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from ppl_models import fit, impute, log_density, perplexity, predict, token_probabilities

FLAT = {"method": "em", "priors": "flat", "seed": 0, "predictive": 0}
LOWEST = np.log(np.finfo(float).tiny)  #: what an impossible event counts, in place of -inf
CASES = {
    "markov_chain": (["ab", "abab"], ["ba", "ab"]),
    "bernoulli_mixture": ([[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]], [[0, 1, 1], [0, 1, 0]]),
    "graph_chain": ([nx.cycle_graph(3), nx.cycle_graph(4)], [nx.path_graph(3), nx.cycle_graph(3)]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_impossible_is_as_improbable_as_can_be_and_the_possible_is_not(name: str) -> None:
    data, new = CASES[name]
    clusters = {"clusters": 2} if name == "bernoulli_mixture" else {}
    tree = fit(name, data, **FLAT, **clusters)
    for by_draw in (False, True):
        impossible, possible = log_density(tree, new, by_draw=by_draw).values.ravel()
        assert impossible <= LOWEST + 1 and -10 < possible <= 0
    if clusters:
        np.testing.assert_allclose(predict(tree, new).sum("cluster"), 1)
    if name == "markov_chain":
        assert perplexity(tree, new[:1])["perplexity"] == np.inf
        assert token_probabilities(tree, new[:1]).values[0, 0] == 0
        # known tokens that cannot be: whatever is drawn between them is a token
        assert set(np.unique(impute(tree, [["b", None, "b"]], seed=0).tokens)) <= {0, 1, 2}
