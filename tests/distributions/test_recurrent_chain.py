"""Recurrent chains: proper, the same by every road, and with the gradient that they should have."""

from __future__ import annotations

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import RecurrentChain
from ppl_models.distributions.sequences.recurrent_cells import CELLS, run
from ppl_models.distributions.sequences.recurrent_chain import WEIGHTS

V, E, H = 2, 2, 3


def _weights(cell, key=0, tokens=V, ends=True, batch=()):
    gates, following = CELLS[cell].gates, tokens + ends
    shapes = {
        "embedding": (tokens, E),
        "start": (H,),
        "input": (E, gates, H),
        "recurrent": (H, gates, H),
        "bias": (gates, H),
        "output": (H, following),
        "output_bias": (following,),
    }
    generator = np.random.default_rng(key)
    return {n: jnp.asarray(generator.normal(size=(*batch, *shapes[n]))) for n in WEIGHTS}


@pytest.fixture(autouse=True)
def _double(double_precision):
    """Oracles are in double precision."""


def _all_rows(positions):
    rows = [
        [*tokens] + [V] * (positions - n)
        for n in range(1, positions)
        for tokens in product(range(V), repeat=n)
    ]
    return jnp.array(rows + [list(t) for t in product(range(V), repeat=positions)])


@pytest.mark.parametrize("cell", CELLS)
def test_probabilities_of_all_sequences_add_up_to_one(cell):
    """Those that ended, and those that go on after the last position."""
    chain = RecurrentChain(**_weights(cell), cell=cell, positions=4)
    total = jnp.exp(jax.jit(chain.log_prob)(_all_rows(4))).sum()
    np.testing.assert_allclose(total, 1, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_rows_without_an_end_add_up_to_one(cell):
    weights = _weights(cell, ends=False)
    chain = RecurrentChain(**weights, cell=cell, positions=4, ends=False)
    rows = jnp.array(list(product(range(V), repeat=4)))
    np.testing.assert_allclose(jnp.exp(chain.log_prob(rows)).sum(), 1, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_token_by_token_is_all_at_once(cell):
    """The contract's loop over ``following`` and ``read`` against one pass."""
    chain = RecurrentChain(**_weights(cell), cell=cell, positions=5)
    rows = jnp.array([[0, 1, 1, 0, 2], [1, 1, 0, 1, 0]])
    slow = super(RecurrentChain, chain).following_each(rows)
    np.testing.assert_allclose(chain.following_each(rows), slow, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_is_that_of_the_plain_loop(cell):
    gates = CELLS[cell].gates * H
    generator = np.random.default_rng(1)
    values = (
        jnp.asarray(generator.normal(size=(6, 2, gates))),
        jnp.asarray(generator.normal(size=(H, gates))),
        tuple(jnp.asarray(generator.normal(size=(2, H))) for _ in range(CELLS[cell].memories)),
    )

    def plain(tokens, recurrent, memory):
        hidden = [memory[0]]
        for token in tokens:
            memory = CELLS[cell].advance(token, memory[0] @ recurrent, memory)
            hidden.append(memory[0])
        return jnp.stack(hidden)

    slope = jnp.asarray(generator.normal(size=(7, 2, H)))

    @jax.jit
    def both(*values):
        roads = [jax.vjp(road, *values) for road in (partial(run, cell), plain)]
        return [(hidden, back(slope)) for hidden, back in roads]

    ours, theirs = both(*values)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_many_tokens_are_looked_up_the_other_way(monkeypatch):
    chain = RecurrentChain(**_weights("gru"), positions=4)
    rows = _all_rows(4)
    few = chain.log_prob(rows)
    monkeypatch.setattr("ppl_models.distributions.sequences.recurrent_chain.PRODUCT_TOKENS", 1)
    np.testing.assert_allclose(chain.log_prob(rows), few, rtol=1e-12)


def test_batches_of_weights_are_so_many_chains():
    """As components ``(3, 1)``, and one a row ``(3,)``."""
    rows = jnp.array([[0, 1, 2, 2], [1, 1, 0, 2], [1, 2, 2, 2]])
    weights = _weights("gru", batch=(3,))
    single = [
        RecurrentChain(**{n: v[i] for n, v in weights.items()}, positions=4) for i in range(3)
    ]
    density = jax.jit(lambda chain: chain.log_prob(rows))
    table = jnp.stack([density(chain) for chain in single])
    components = RecurrentChain(**{n: v[:, None] for n, v in weights.items()}, positions=4)
    np.testing.assert_allclose(density(components), table, rtol=1e-12)
    own = RecurrentChain(**weights, positions=4)
    np.testing.assert_allclose(density(own), jnp.diag(table), rtol=1e-12)


@pytest.mark.parametrize("cell", ["gru"])
def test_draws_have_their_probabilities(cell):
    chain = RecurrentChain(**_weights(cell), cell=cell, positions=3)
    draws = np.asarray(jax.jit(lambda k: chain.sample(k, (20_000,)))(random.key(1)))
    rows = np.asarray(_all_rows(3))
    probs = np.exp(chain.log_prob(jnp.asarray(rows)))
    proportions = np.array([(draws == row).all(1).mean() for row in rows])
    np.testing.assert_allclose(proportions.sum(), 1, rtol=1e-12)
    # 20,000 independent draws
    assert (np.abs(proportions - probs) < 5 * np.sqrt(probs * (1 - probs) / 20_000) + 1e-9).all()
    begun = np.asarray(chain.sample_sequences(random.key(2), (50,), prefix=jnp.array([1, 0])))
    assert (begun[:, :2] == [1, 0]).all()
