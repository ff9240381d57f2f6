"""Gaps of chains of n-grams, against all fillings that there are."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions.sequences.infilling.combinations import (
    GapWindow,
    fill_combinations,
    gap_window,
)
from ppl_models.distributions.sequences.ngram_chain import NgramChain, smoothed
from ppl_models.distributions.sequences.ngrams import count_ngrams
from ppl_models.errors import InputError

V, POSITIONS = 3, 7
GAPS = [
    [0, -1, 2, 1, 3, 3, 3],
    [-1, -1, 0, -1, -1, 2, 3],  # side by side, at the beginning too
    [1, 0, -1, 3, 3, 3, 3],  # the last token
    [-1, 3, 3, 3, 3, 3, 3],  # nothing known but the length
    [2, 0, 1, 2, 3, 3, 3],
]


def chain_of(order: int) -> NgramChain:
    generator = np.random.default_rng(order)
    rows = np.full((12, POSITIONS), V)
    for row in rows:
        length = generator.integers(1, POSITIONS)
        row[:length] = generator.integers(0, 2, length)  # token 2 is never seen
    seen = count_ngrams(rows, vocabulary=V, order=order)
    tables = np.ones(len(seen.repeated))
    parts = smoothed(seen, tables, np.linspace(0.4, 0.8, order), np.linspace(0.5, 1.5, order))
    return NgramChain(seen, *parts, positions=POSITIONS)


def fillings(row: list[int]) -> np.ndarray:
    """All rows that it may be."""
    return np.array(list(product(*(range(V) if token < 0 else [token] for token in row))))


@pytest.fixture(scope="module", params=[1, 2, 4], ids="order {}".format)
def known(request: pytest.FixtureRequest) -> tuple:
    """A chain, and of every row with gaps all fillings and their log-probabilities."""
    every = [fillings(row) for row in GAPS]
    with jax.enable_x64(True):
        chain = chain_of(request.param)
        complete = np.asarray(jax.jit(chain.log_prob)(np.concatenate(every)))
    cuts = np.cumsum([len(rows) for rows in every])[:-1]
    return chain, every, np.split(complete, cuts)


def test_what_is_known_has_the_sum_and_the_largest_of_all_fillings(known: tuple) -> None:
    chain, _, each = known
    rows = jnp.array(GAPS)
    # how far gaps reach is known of the rows, or is the worst that could be
    for actual in (
        gap_window(GAPS, chain.memory),
        GapWindow(max(1, chain.memory), chain.memory + 1),
    ):

        @jax.jit
        def totals(rows: jnp.ndarray, actual: GapWindow = actual) -> list:
            sums = jax.vmap(lambda row: fill_combinations(chain, row, actual, random.key(0))[1])
            best = jax.vmap(lambda row: fill_combinations(chain, row, actual)[1])
            return [sums(rows), best(rows)]

        sums, best = totals(rows)
        np.testing.assert_allclose(sums, [np.logaddexp.reduce(one) for one in each], rtol=1e-10)
        np.testing.assert_allclose(best, [one.max() for one in each], rtol=1e-10)


def test_the_most_probable_filling_is_the_best_of_all(known: tuple) -> None:
    chain, every, each = known
    actual = np.asarray(jax.jit(chain.most_probable)(jnp.array(GAPS)))
    for row, rows, log_probs in zip(actual, every, each, strict=True):
        place = (rows == row).all(1).argmax()
        assert (rows[place] == row).all()
        assert log_probs[place] == pytest.approx(log_probs.max(), abs=1e-12)


def off(drawn: np.ndarray, every: list, each: list) -> float:
    """How many standard errors a filling's share of the draws is off, at most.

    Args:
        drawn: rows, as many of each of the rows with gaps, one after the other.
        every: the fillings of each.
        each: their log-probabilities.
    """
    base, worst = (V + 1) ** np.arange(POSITIONS), 0.0
    for mine, rows, log_probs in zip(np.split(drawn, len(every)), every, each, strict=True):
        proportion = np.array([(mine @ base == row @ base).mean() for row in rows])
        assert proportion.sum() == pytest.approx(1)
        expected = np.exp(log_probs - np.logaddexp.reduce(log_probs))
        rare = expected * len(mine) < 10  # together: a count of one or two is not normal
        proportion, expected = (
            np.append(values[~rare], values[rare].sum()) for values in (proportion, expected)
        )
        error = np.sqrt(expected * (1 - expected) / len(mine)) + 1e-9
        worst = max(worst, float((np.abs(proportion - expected) / error).max()))
    return worst


def test_fillings_are_drawn_by_their_probability(known: tuple) -> None:
    chain, every, each = known
    tiled = jnp.repeat(jnp.array(GAPS), 1500, axis=0)
    assert off(np.asarray(jax.jit(chain.complete)(random.key(5), tiled)), every, each) < 5


def test_gaps_far_apart_need_few_combinations_however_long_the_memory() -> None:
    """Those that reach less far: one at a time for a memory of one token."""
    apart = [[0, -1, 2, -1, 0, -1, 3]]
    assert [max(gap_window(apart, memory)) for memory in (0, 1, 2, 3, 9)] == [1, 1, 2, 2, 3]
    assert gap_window([[0, 1, 3]], 2) == (1, 0)


def test_particles_draw_where_combinations_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NgramChain, "most_combinations", V - 1)
    chain, every = chain_of(2), [fillings(row) for row in (GAPS[0], GAPS[2])]
    with pytest.raises(
        InputError, match=r"1 gaps that NgramChain remembers together have 3\^1 fill"
    ):
        chain.most_probable(jnp.array([GAPS[0]]))
    each = [np.asarray(chain.log_prob(jnp.asarray(rows))) for rows in every]
    tiled = jnp.repeat(jnp.array([GAPS[0], GAPS[2]]), 200, axis=0)
    assert off(np.asarray(jax.jit(chain.complete)(random.key(6), tiled)), every, each) < 5
