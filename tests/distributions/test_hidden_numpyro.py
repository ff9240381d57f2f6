"""Hidden Markov chains that emit from NumPyro's own distributions: brute force over all paths."""

from __future__ import annotations

from itertools import pairwise, product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random

from ppl_models.distributions import HiddenMarkov

INITIAL = np.array([0.6, 0.4])
TRANSITION = np.array([[0.8, 0.2], [0.3, 0.7]])
STEPS = 4
A, B = jnp.array([0.7, 3.0]), jnp.array([1.5, 0.4])

#: name -> (what two states emit, its data (sequence, position, ...) are drawn)
EMISSIONS = {
    "exponential": lambda: dist.Exponential(A),
    "von mises": lambda: dist.VonMises(A - 1.0, 3 * B),
    "student": lambda: dist.StudentT(4.0, A, B),
    "beta": lambda: dist.Beta(A, B),
    "lognormal": lambda: dist.LogNormal(A, B),
    "counts": lambda: dist.NegativeBinomial2(3 * A, 2.0),
    "zeros": lambda: dist.ZeroInflatedPoisson(jnp.array([0.5, 0.1]), 2 * A),
    "truncated": lambda: dist.TruncatedNormal(A, B, low=-0.5),
    "bounded": lambda: dist.Uniform(0.0, jnp.array([2.0, 4.0])),
    "vector": lambda: dist.Gamma(A[:, None], B[:, None] * jnp.ones(2)).to_event(1),
    "correlated": lambda: dist.MultivariateStudentT(
        5.0, jnp.stack([A, B], -1), jnp.array([[1.0, 0.0], [0.5, 0.8]])
    ),
    "mixture": lambda: dist.MixtureSameFamily(
        dist.Categorical(jnp.array([[0.3, 0.7], [0.5, 0.5]])),
        dist.Laplace(jnp.stack([A, -A], -1), 0.5),
    ),
}


def _data(emission, gaps=True):
    drawn = np.asarray(emission.sample(random.key(1), (3, STEPS)), float)
    rows = np.stack([drawn[:, :, 0], drawn[:, :, 1]], 1)[np.arange(3), [0, 1, 0]]
    if gaps:
        rows[0, 1] = np.nan  # a step
        rows[1, 3] = np.nan  # the end
        if rows.ndim == 3:
            rows[2, 1, 0] = np.nan  # a cell
    return rows


def _by_brute_force(emission, rows):
    """Log-density by a sum over all paths, and probabilities of states at every step."""
    steps = np.stack([_step(emission, rows[:, t]) for t in range(STEPS)], 1)
    ends = [STEPS - 1 if np.isnan(r[-1]).all() else STEPS for r in rows]
    total, states = np.zeros(len(rows)), np.zeros((len(rows), STEPS, 2))
    for row, end in enumerate(ends):
        for path in product((0, 1), repeat=end):
            p = INITIAL[path[0]] * np.prod([TRANSITION[a, b] for a, b in pairwise(path)])
            p *= np.exp(sum(steps[row, t, k] for t, k in enumerate(path)))
            total[row] += p
            for t, k in enumerate(path):
                states[row, t, k] += p
    return np.log(total), states / total[:, None, None]


def _step(emission, values):
    """Log-densities ``(row, state)`` of one step; a part of a vector by its own marginal."""
    actual = np.zeros((len(values), 2))
    for row, value in enumerate(values):
        seen = ~np.isnan(np.atleast_1d(value))
        if not seen.any():
            continue
        here, at = emission, value
        if not seen.all():  # the second of two cells alone
            if isinstance(emission, dist.MultivariateStudentT):
                here = dist.StudentT(5.0, emission.loc[:, 1], np.sqrt(0.5**2 + 0.8**2))
            else:
                here = emission.base_dist.__class__(A, B)
            at = value[1]
        at = at.astype(int) if emission.support.is_discrete else at
        actual[row] = _log_prob(here, at)
    return actual


#: jitted, for NumPyro warns of values outside a support that it is shown
_log_prob = jax.jit(lambda distribution, value: distribution.log_prob(value))
LONG = ("student", "beta", "lognormal", "truncated", "zeros")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in LONG else n for n in EMISSIONS]
)
def test_density_and_states_equal_the_sum_over_all_paths(name):
    emission = EMISSIONS[name]()
    chain = HiddenMarkov(INITIAL, TRANSITION, emission, positions=STEPS)
    rows = _data(emission)
    expected, states = _by_brute_force(emission, rows)
    actual, proportions = jax.jit(lambda c, v: (c.log_prob(v), c.state_probabilities(v)))(
        chain, rows
    )
    np.testing.assert_allclose(actual, expected, rtol=2e-5)
    np.testing.assert_allclose(proportions, states, atol=2e-5)
    slopes = jax.jit(jax.grad(lambda t: chain.replace(transition=t).log_prob(rows).sum()))(
        jnp.asarray(TRANSITION)
    )
    assert np.isfinite(slopes).all()


def test_components_have_chains_of_their_own():
    """Two clusters with two states each, beside rows: as each by itself."""
    emission = dist.Exponential(jnp.array([[[0.5, 2.0]], [[1.0, 5.0]]]))
    initial = jnp.array([[INITIAL], [INITIAL[::-1]]])
    chain = HiddenMarkov(initial, TRANSITION, emission, positions=STEPS)
    rows = _data(dist.Exponential(A))
    log_densities = chain.log_prob(rows)
    for k in range(2):
        one = dist.Exponential(emission.rate[k, 0])
        alone = HiddenMarkov(initial[k, 0], TRANSITION, one, positions=STEPS)
        np.testing.assert_allclose(log_densities[k], alone.log_prob(rows), rtol=1e-5)
    chosen = chain.components().of_rows(jnp.array([1, 0, 1]))
    own = chosen.log_prob(jnp.asarray(rows))
    np.testing.assert_allclose(own, log_densities[jnp.array([1, 0, 1]), jnp.arange(3)], rtol=1e-5)


@pytest.mark.parametrize("name", ["exponential", "correlated"])
def test_draws_follow_the_states(name):
    """Drawn steps and steps filled in have the moments of their state's emission."""
    emission = EMISSIONS[name]()
    chain = HiddenMarkov(INITIAL, TRANSITION, emission, positions=STEPS)
    drawn, path = jax.jit(lambda k: chain.sample_with_path(k, (8000,)))(random.key(0))
    for state in (0, 1):
        mine = np.asarray(drawn)[np.asarray(path) == state]
        error = np.sqrt(np.ravel(emission.variance[state]) / len(mine))
        gap = np.abs(np.ravel(mine.mean(0)) - np.ravel(emission.mean[state]))
        assert (gap < 5 * error).all()
    hidden = drawn.at[:, 1].set(jnp.nan)
    filled = jax.jit(chain.complete)(random.key(1), hidden)
    np.testing.assert_array_equal(filled[:, 2], drawn[:, 2])
    complete, again = (np.asarray(v)[:, 1].reshape(8000, -1) for v in (drawn, filled))
    error = np.sqrt((complete.var(0) + again.var(0)) / 8000)
    assert (np.abs(complete.mean(0) - again.mean(0)) < 5 * error).all()
