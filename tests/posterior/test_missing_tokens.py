"""Tokens that are not known: summed out of a density, drawn given both sides."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from ppl_models import impute, log_density


def test_missing_tokens_are_summed_out_and_drawn(built_ins, trees):
    tree = trees(built_ins["markov_chain"], "exact", chains=2, draws=100)
    gap = ["a", None, "b"]
    letters = tree["posterior"].token.values.tolist()
    completions = [f"a{letter}b" for letter in letters]
    each = log_density(tree, completions, by_draw=True).values
    summed = log_density(tree, [gap], by_draw=True).values[..., 0]
    assert np.allclose(summed, logsumexp(each, axis=-1))
    drawn = impute(tree, [gap], draws=2000, seed=0).tokens.values[:, 0]
    known = letters.index("a"), letters.index("b"), len(letters)
    assert (drawn[:, [0, 2, 3]] == known).all()
    actual = np.bincount(drawn[:, 1], minlength=len(letters)) / 2000
    expected = np.exp(each - logsumexp(each, axis=-1, keepdims=True)).mean((0, 1))
    assert (np.abs(actual - expected) < 5 * np.sqrt(expected / 2000) + 1e-3).all()
