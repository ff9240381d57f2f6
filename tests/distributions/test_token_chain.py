"""The chain of tokens is a proper distribution over all finite sequences."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import TokenChain
from ppl_models.distributions.sequences import step_counts
from ppl_models.errors import InputError


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
    each = np.exp(chain.log_prob(np.concatenate([ended, cut])))
    finished = each[: len(ended)].sum()
    # after the last position the chain still lives with this probability
    alive = (initial @ np.linalg.matrix_power(transition[:, :tokens], positions - 1)).sum()
    np.testing.assert_allclose(finished + alive, 1, rtol=1e-12)
    np.testing.assert_allclose(each[len(ended) :].sum(), alive, rtol=1e-12)


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
            possible = table.densities.completions(row, 2)
            weight = np.array(
                [table.densities.chain_probability(case.component(k), r) for r in possible]
            )
            for candidate, p in zip(possible, weight / weight.sum(), strict=True):
                seen = (drawn[:, k, n] == candidate).all(1).mean()
                assert abs(seen - p) < 5 * np.sqrt(p * (1 - p) / draws) + 1e-9


def test_statistics_count_the_first_tokens_and_the_steps():
    chain = TokenChain(np.full((1, 2), 0.5), np.full((1, 2, 3), 1 / 3), positions=4)
    value = jnp.array([[0, 1, 1, 2], [1, 2, 2, 2], [0, 0, 0, 0]])
    weights = jnp.array([[1.0, 2.0, 0.5]])
    statistics = chain.expected_statistics(weights, value, missing=False, centre=jnp.zeros(()))
    np.testing.assert_allclose(statistics["initial"], [[1.5, 2.0]])
    np.testing.assert_allclose(statistics["transition"], [[[1.5, 1.0, 0.0], [0.0, 1.0, 3.0]]])


def test_counts_of_steps_serve_as_the_steps_one_by_one_do(monkeypatch):
    generator = np.random.default_rng(3)
    initial = jnp.asarray(generator.dirichlet(np.ones(2), 4))
    transition = jnp.asarray(generator.dirichlet(np.ones(3), (4, 2)))
    chain = TokenChain(initial, transition, positions=5)
    value = jnp.array([[0, 1, 1, 2, 2], [1, 2, 2, 2, 2], [0, 0, 1, 0, 1]])
    weights = jnp.asarray(generator.random((4, 3)))
    actual = []
    for cells in (step_counts.DENSE, 0):
        monkeypatch.setattr(step_counts, "DENSE", cells)
        arguments = {"missing": False, "centre": jnp.zeros(())}
        prepared = chain.prepare(value, **arguments)
        assert prepared.shape == ((3, 9) if cells else (3, 5))
        actual.append(
            (
                chain.logits(prepared, **arguments),
                chain.chunk_statistics(weights, prepared, **arguments),
                chain.impossible(prepared, **arguments),
            )
        )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), *actual)
    by_hand = jnp.log(initial[:, 0] * transition[:, 0, 1] * transition[:, 1, 1])
    np.testing.assert_allclose(
        actual[0][0][:, 0], by_hand + jnp.log(transition[:, 1, 2]), rtol=1e-5
    )


@pytest.fixture(params=[1, 2], ids=["order 1", "order 2"])
def gapped(request, cases, table):
    first = next(c for c in cases if c.name == "token chain")
    return first if request.param == 1 else table.ORDERED


def _with_gaps(case, table):
    """Every row's possible completions with their probabilities, for component 0."""
    actual = []
    for row in case.gaps:
        possible = np.array(table.densities.completions(row, 2))
        actual.append(
            (
                possible,
                np.array(
                    [table.densities.chain_probability(case.component(0), r) for r in possible]
                ),
            )
        )
    return actual


def test_expected_counts_are_those_of_all_completions(gapped, table):
    """Under P(completion | known tokens), enumerated."""
    weights = np.linspace(0.5, 2, len(gapped.gaps))[None]
    chain = gapped.build({n: v[:1] for n, v in gapped.parameters.items()})
    options = {"missing": True, "centre": jnp.zeros(())}
    statistics = chain.expected_statistics(
        jnp.asarray(weights), jnp.asarray(gapped.gaps), **options
    )
    every = _with_gaps(gapped, table)
    proportions = [w * p / p.sum() for w, (_, p) in zip(weights[0], every, strict=True)]
    possible = np.concatenate([rows for rows, _ in every])
    expected = chain.expected_statistics(
        jnp.asarray(np.concatenate(proportions)[None]),
        jnp.asarray(possible),
        missing=False,
        centre=jnp.zeros(()),
    )
    for name, value in expected.items():
        np.testing.assert_allclose(statistics[name], value, rtol=1e-10, atol=1e-12)


def test_the_most_probable_tokens_are_the_best_of_all_completions(gapped, table):
    chain = gapped.build(gapped.component(0))
    actual = np.asarray(chain.most_probable(jnp.asarray(gapped.gaps)))
    for row, (possible, probability) in zip(actual, _with_gaps(gapped, table), strict=True):
        best = np.sort(probability)[::-1]
        assert len(best) == 1 or best[0] > best[1]  # no two alike
        assert (row == possible[probability.argmax()]).all()


def test_densities_of_order_two_are_products_of_steps(table):
    case = table.ORDERED
    for rows in (case.data, case.gaps):
        log_densities = case.enumerated().log_prob(jnp.asarray(rows))
        np.testing.assert_allclose(log_densities, case.expected(rows), rtol=1e-12)


def test_a_drawn_gap_of_order_two_has_the_conditional_distribution(table):
    case = table.ORDERED
    chain, draws = case.build(case.component(0)), 20_000
    rows = jnp.asarray(case.gaps[[0, 2, 3]])
    keys = random.split(random.key(1), draws)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: chain.complete(key, rows)))(keys))
    for n, (possible, probability) in enumerate(
        np.array(_with_gaps(case, table), object)[[0, 2, 3]]
    ):
        proportion = probability / probability.sum()
        for candidate, p in zip(possible, proportion, strict=True):
            seen = (drawn[:, n] == candidate).all(1).mean()
            assert abs(seen - p) < 5 * np.sqrt(p * (1 - p) / draws) + 1e-9


def test_a_wrong_number_of_contexts_is_refused():
    with pytest.raises(InputError, match="2 contexts: a chain of order 2 over 2 tokens has 6"):
        TokenChain(np.full(2, 0.5), np.full((2, 3), 1 / 3), positions=3, order=2)


def test_one_long_sequence_and_many_short_ones_are_passed_over_in_pieces():
    """Steps are looked up in pieces: none may be lost or counted twice."""
    generator = np.random.default_rng(0)
    long = np.append(generator.integers(0, 3, 70_001), 3)
    chain = TokenChain(np.full((1, 3), 1 / 3), generator.dirichlet(np.ones(4), (1, 3)),
                       positions=70_002)  # fmt: skip
    expected = np.log(1 / 3) + np.log(np.asarray(chain.transition)[0, long[:-1], long[1:]]).sum()
    value = jnp.asarray(np.stack([long, long]), jnp.int32)
    options = {"missing": False, "centre": jnp.zeros(())}
    np.testing.assert_allclose(chain.contract(value, **options)[0], expected, rtol=1e-12)
    counts = chain.expected_statistics(jnp.array([[1.0, 0.5]]), value, **options)
    table = np.zeros((3, 4))
    np.add.at(table, (long[:-1], long[1:]), 1.5)
    np.testing.assert_allclose(counts["transition"][0], table)
    assert counts["initial"][0, long[0]] == 1.5


def test_gaps_side_by_side_over_thousands_of_tokens_are_filled_exactly():
    """As many combinations as the table has numbers, of which none is left to chance."""
    v, generator = 2_100, np.random.default_rng(0)
    table = generator.random((v, v + 1)) ** 8
    table /= table.sum(1, keepdims=True)
    chain = TokenChain(np.full((1, v), 1 / v), table[None], positions=5)
    row = np.array([[7, -1, -1, 9, v]])
    (actual,) = np.asarray(chain.most_probable(jnp.asarray(row)))
    both = table[7, :v, None] * table[:, :v] * table[None, :, 9]
    assert tuple(actual[1:3]) == np.unravel_index(both.argmax(), both.shape)
    (drawn,) = np.asarray(chain.complete(random.key(0), jnp.asarray(row)))
    assert (drawn[[0, 3, 4]] == row[0, [0, 3, 4]]).all() and (drawn >= 0).all()
