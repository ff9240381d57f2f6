"""Scans of pixels: proper, the same by every road, and gaps filled in as they should be."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.distributions import LogisticScan, Nade, RecurrentChain
from ppl_models.distributions.sequences.infilling.particles import fill_gaps

D = 5
_generator = np.random.default_rng(2)


def _normal(*shape):
    return jnp.asarray(1.5 * _generator.normal(size=shape))


@pytest.fixture(autouse=True)
def _double(double_precision):
    """Oracles are in double precision."""


@pytest.fixture(params=["logistic", "nade"])
def scan(request):
    """One of the scans, of five pixels."""
    if request.param == "logistic":
        return LogisticScan(_normal(D, D), _normal(D))
    return Nade(_normal(D, 3), _normal(3), _normal(D, 3), _normal(D))


ROWS = jnp.array(list(product([0, 1], repeat=D)))


def test_probabilities_of_all_pictures_add_up_to_one(scan):
    np.testing.assert_allclose(jnp.exp(scan.log_prob(ROWS)).sum(), 1, rtol=1e-12)


def test_pixel_by_pixel_is_all_at_once(scan):
    slow = super(type(scan).__mro__[1], scan).following_each(ROWS)
    np.testing.assert_allclose(scan.following_each(ROWS), slow, rtol=1e-10)


def test_more_pixels_than_a_group_of_nade():
    """37 pixels are three groups, the last one padded."""
    scan = Nade(_normal(37, 2), _normal(2), _normal(37, 2), _normal(37))
    bits = jnp.asarray(_generator.integers(0, 2, (3, 37)))
    w, c, v, b = map(np.asarray, (scan.inward, scan.bias, scan.outward, scan.outward_bias))
    spins = np.asarray(bits) - 0.5
    plain = [1 / (1 + np.exp(-c - spins[:, :d] @ w[:d])) @ v[d] + b[d] for d in range(37)]
    actual = jax.jit(scan.logits_each)(bits)
    np.testing.assert_allclose(actual, np.stack(plain, 1), rtol=1e-10)


def test_draws_have_their_probabilities(scan):
    draws = jax.jit(lambda key: scan.sample(key, (20_000,)))(random.key(0))
    count = np.bincount(np.asarray(draws) @ 2 ** np.arange(D)[::-1], minlength=2**D)
    probs = np.exp(scan.log_prob(ROWS))
    assert (np.abs(count / 20_000 - probs) < 5 * np.sqrt(probs / 20_000) + 1e-9).all()


def test_a_row_with_a_gap_has_no_density(scan):
    holed = jnp.array([[0.0, 1.0, jnp.nan, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0, 1.0]])
    assert np.isnan(scan.log_prob(holed)).tolist() == [True, False]


#: what is known; the second has gaps at the end alone, which are written exactly
GAPS = {"amid": [np.nan, 1, np.nan, 0, 1], "at the end": [1, 0, np.nan, np.nan, np.nan]}


@pytest.mark.parametrize("where", GAPS)
def test_gaps_are_filled_in_given_all_that_is_known(scan, where):
    """Against the conditional probabilities by brute force."""
    row = np.array(GAPS[where])
    copies = 400
    fill = jax.jit(lambda key: fill_gaps(scan, key, jnp.asarray(np.tile(row, (copies, 1)))))
    made, total = (np.asarray(v) for v in fill(random.key(1)))
    fits = ((ROWS == row) | np.isnan(row)).all(1)
    joint = np.exp(np.asarray(scan.log_prob(ROWS))) * fits
    assert (made[:, ~np.isnan(row)] == row[~np.isnan(row)]).all()
    proportions = np.array([(made == np.asarray(r)).all(1).mean() for r in ROWS])
    probs = joint / joint.sum()
    # 400 independent fillings, by 32 particles each
    assert (np.abs(proportions - probs) < 5 * np.sqrt(probs * (1 - probs) / copies) + 0.01).all()
    spread = np.exp(total).std() / np.sqrt(copies)
    assert abs(np.exp(total).mean() - joint.sum()) < 5 * spread + 1e-12
    if where == "at the end":
        np.testing.assert_allclose(np.exp(total), joint.sum(), rtol=1e-10)


def test_gaps_of_sequences_are_no_end():
    """A recurrent chain: the length is known, the token is not."""
    shapes = [(2, 2), (2,), (2, 3, 2), (2, 3, 2), (3, 2), (2, 3), (3,)]
    chain = RecurrentChain(*(_normal(*s) for s in shapes), positions=4)
    row = [0, -1, 1, 2]
    every = jnp.array([[0, t, 1, 2] for t in (0, 1)])

    @jax.jit
    def look(key):
        made, total = fill_gaps(chain, key, jnp.tile(jnp.array(row), (400, 1)))
        return jnp.exp(chain.log_prob(every)), made, total

    probs, made, total = map(np.asarray, look(random.key(0)))
    proportion = np.asarray((made == every[1]).all(1)).mean()
    assert set(np.asarray(made)[:, 1]) <= {0, 1}
    wanted = probs[1] / probs.sum()
    assert abs(proportion - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / 400) + 0.01
    np.testing.assert_allclose(np.exp(total).mean(), probs.sum(), rtol=0.05)
