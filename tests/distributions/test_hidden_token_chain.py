"""Hidden chains of tokens: against all paths, gaps, and rows that are cut or empty."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import HiddenTokenChain, TokenChain

V, POSITIONS = 2, 4
_generator = np.random.default_rng(21)
INITIAL = _generator.dirichlet(np.ones(2))
TRANSITION = _generator.dirichlet(np.ones(3), 2)
PROBS = _generator.dirichlet(np.ones(V), 2)


@pytest.fixture
def chain() -> HiddenTokenChain:
    return HiddenTokenChain(INITIAL, TRANSITION, PROBS, positions=POSITIONS)


def _row(tokens) -> list[int]:
    return [*tokens, *[V] * (POSITIONS - len(tokens))]


def _by_paths(tokens) -> float:
    """Probability of a sequence that ends, all paths of its states summed."""
    total = 0.0
    for path in product(range(2), repeat=len(tokens)):
        steps = [TRANSITION[a, b] for a, b in zip(path, path[1:], strict=False)]
        written = [PROBS[s, t] for s, t in zip(path, tokens, strict=True)]
        total += INITIAL[path[0]] * np.prod(steps) * np.prod(written) * TRANSITION[path[-1], 2]
    return total


def test_probabilities_are_sums_over_paths_of_an_empty_sequence_none_of_a_cut_one_all(chain):
    """A sequence that was cut has the probability of all that begin so."""
    rows = [t for n in (1, 2, 3) for t in product(range(V), repeat=n)]
    cut = list(product(range(V), repeat=POSITIONS))
    every = jnp.array([_row(t) for t in ((), *rows, *cut)])
    actual = np.asarray(jax.jit(lambda: chain.log_prob(every))())
    assert actual[0] == -np.inf
    ended, survived = np.split(np.exp(actual[1:]), [len(rows)])
    np.testing.assert_allclose(ended, [_by_paths(t) for t in rows], rtol=1e-10)
    np.testing.assert_allclose(survived.sum(), 1 - ended.sum(), rtol=1e-10)


def test_missing_tokens_are_summed_out_and_drawn_in_their_shares(chain):
    gap = jnp.array([[0, -1, 1, V]])
    proportions = np.array([_by_paths((0, t, 1)) for t in range(V)])

    @jax.jit
    def look(keys):
        return chain.log_prob(gap), jax.vmap(lambda key: chain.complete(key, gap))(keys)

    log_prob, drawn = look(random.split(random.key(0), 4000))
    np.testing.assert_allclose(np.exp(log_prob), proportions.sum(), rtol=1e-10)
    drawn = np.asarray(drawn)[:, 0]
    assert (drawn[:, [0, 2, 3]] == [0, 1, V]).all()
    expected = proportions[1] / proportions.sum()
    error = np.sqrt(expected * (1 - expected) / len(drawn))
    assert abs(drawn[:, 1].mean() - expected) < 5 * error


def test_states_that_are_tokens_make_a_markov_chain():
    hidden = HiddenTokenChain(INITIAL, TRANSITION, np.eye(2), positions=POSITIONS)
    plain = TokenChain(INITIAL, TRANSITION, positions=POSITIONS)
    rows = jnp.array([_row(t) for n in (1, 2, 3) for t in product(range(V), repeat=n)])
    actual, expected = jax.jit(lambda: [c.log_prob(rows) for c in (hidden, plain)])()
    np.testing.assert_allclose(actual, expected, rtol=1e-10)
