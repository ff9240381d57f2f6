"""Tokens that are not known, in fits of chains that cannot sum them out."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import fit, impute, log_density, perplexity
from ppl_models.errors import InputError

NAMES = ["anna", "bob", "hanna", "nab", "oban", "ann"]
GAP = ["a", None, "n"]


@pytest.fixture(scope="module")
def tree():
    return fit("pitman_yor_chain", NAMES, method="kneser_ney", seed=0, predictive=0, order=3)


def test_gaps_are_filled_given_both_sides(tree):
    filled = impute(tree, [GAP, "bob"], seed=0, draws=2000)
    letters = filled.attrs["token"]
    each = log_density(tree, [f"a{letter}n" for letter in letters]).values
    expected = np.exp(each - np.logaddexp.reduce(each))
    drawn = filled.tokens.values
    assert (drawn[:, 0, [0, 2]] == [letters.index("a"), letters.index("n")]).all()
    assert (drawn[:, 1] == [letters.index(c) for c in "bob"] + [len(letters)]).all()
    proportion = np.bincount(drawn[:, 0, 1], minlength=len(letters)) / 2000
    assert (np.abs(proportion - expected) < 5 * np.sqrt(expected / 2000) + 1e-3).all()
    best = impute(tree, [GAP], seed=0, most_probable=True).tokens.values
    assert best.shape[0] == 1 and best[0, 0, 1] == expected.argmax()


def test_what_has_no_density_is_refused_and_told_what_to_do(tree):
    with pytest.raises(
        InputError, match="sequence 1 of tokens has a missing cell, .* fill it in with imp"
    ):
        log_density(tree, ["bob", GAP])
    with pytest.raises(InputError, match="sequence 0 of tokens has tokens .* with impute$"):
        perplexity(tree, [GAP])
    with pytest.raises(InputError, match="sequence 0 of the tokens has a token that is not known"):
        fit("pitman_yor_chain", [GAP], method="kneser_ney", seed=0)


def test_a_network_fills_few_gaps_as_all_fillings_are_probable(built_ins, trees):
    network, gap = trees(built_ins["recurrent_chain gru"]), ["a", None, "b"]
    filled = impute(network, [gap], seed=0, most_probable=True)
    letters = filled.attrs["token"]
    each = log_density(network, [f"a{letter}b" for letter in letters]).values
    assert filled.tokens.values[0, 0, 1] == each.argmax()
    with pytest.raises(
        InputError, match="sequence 0 of tokens has a missing cell, and RecurrentChain"
    ):
        log_density(network, [gap])
