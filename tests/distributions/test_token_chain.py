"""The chain of tokens is a proper distribution over all finite sequences."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import TokenChain


def _rows(tokens, positions):
    """All rows of codes: sequences that end in time, then those that are cut."""
    ended = [
        [*sequence, *[tokens] * (positions - length)]
        for length in range(1, positions)
        for sequence in product(range(tokens), repeat=length)
    ]
    return np.array(ended), np.array(list(product(range(tokens), repeat=positions)))


@pytest.mark.parametrize(("tokens", "positions"), [(2, 7), (3, 5)])
def test_all_sequences_and_the_survivors_add_up_to_one(tokens, positions):
    generator = np.random.default_rng(tokens)
    initial = generator.dirichlet(np.ones(tokens))
    transition = generator.dirichlet(np.ones(tokens + 1), tokens)
    chain = TokenChain(initial, transition, positions=positions)
    ended, cut = _rows(tokens, positions)
    finished = np.exp(chain.log_prob(ended)).sum()
    # after the last position the chain still lives with this probability
    alive = (initial @ np.linalg.matrix_power(transition[:, :tokens], positions - 1)).sum()
    np.testing.assert_allclose(finished + alive, 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(chain.log_prob(cut)).sum(), alive, rtol=1e-12)


def test_length_does_not_change_a_probability(table):
    short = np.array([[0, 1, 2]])
    long = np.array([[0, 1, 2, 2, 2, 2]])
    parameters = {"initial": table.INITIAL[0], "transition": table.TRANSITION[0]}
    np.testing.assert_allclose(
        TokenChain(**parameters, positions=3).log_prob(short),
        TokenChain(**parameters, positions=6).log_prob(long),
        rtol=1e-14,
    )


def test_impossible_rows_have_next_to_no_probability(table):
    chain = TokenChain(table.INITIAL[0], table.TRANSITION[0], positions=4)
    after_end = np.array([[0, 2, 1, 2], [0, 2, 0, 0]])
    assert (np.exp(chain.pointwise(jnp.asarray(after_end))) < 1e-300).all()


def test_draws_given_observed_tokens_have_the_conditional_distribution(table, cases):
    case = next(c for c in cases if c.name == "token chain")
    rows, draws = case.gaps[[0, 2, 3]], 20_000
    each = {n: np.repeat(v[:, None], len(rows), 1) for n, v in case.parameters.items()}

    @jax.jit
    def draw(keys):
        emission, value = case.build(each), jnp.asarray(np.stack([rows] * 3))
        return jax.vmap(lambda key: emission.complete(key, value))(keys)

    drawn = np.asarray(draw(random.split(random.key(0), draws)))
    for k in range(3):
        for n, row in enumerate(rows):
            possible = table.completions(row, 2)
            weight = np.array([table.chain_probability(case.component(k), r) for r in possible])
            for candidate, p in zip(possible, weight / weight.sum(), strict=True):
                seen = (drawn[:, k, n] == candidate).all(1).mean()
                assert abs(seen - p) < 5 * np.sqrt(p * (1 - p) / draws) + 1e-9


def test_statistics_count_the_first_tokens_and_the_steps():
    chain = TokenChain(np.full((1, 2), 0.5), np.full((1, 2, 3), 1 / 3), positions=4)
    value = jnp.array([[0, 1, 1, 2], [1, 2, 2, 2], [0, 0, 0, 0]])
    weights = jnp.array([[1.0, 2.0, 0.5]])
    found = chain.expected_statistics(weights, value, missing=False, centre=jnp.zeros(()))
    np.testing.assert_allclose(found["initial"], [[1.5, 2.0]])
    np.testing.assert_allclose(found["transition"], [[[1.5, 1.0, 0.0], [0.0, 1.0, 3.0]]])
