"""Missing cells under NumPyro's own distributions: densities, gradients and draws."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random

from ppl_models.distributions.missing_cells import complete, drops_out, observed_log_prob

K, N = 2, 5
LOC = jnp.array([[-0.5], [1.0]])
SCALE = jnp.array([[0.7], [1.4]])
MATRIX = jnp.array([[1.5, 0.4, 0.2], [0.4, 1.0, -0.3], [0.2, -0.3, 0.8]])
VECTORS = jnp.array([[[0.2, -1.0, 0.5]], [[1.0, 0.0, -0.4]]])
HOLES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 1]], bool)

#: one number a datum, with parameters by component: name -> distribution of the parameter
CELLS = {
    "student": lambda p: dist.StudentT(4.0, LOC + p, SCALE),
    "gamma": lambda p: dist.Gamma(2.0 + p, SCALE),
    "beta": lambda p: dist.Beta(2.0 + p, 1 + SCALE),
    "von mises": lambda p: dist.VonMises(LOC + p, SCALE),
    "uniform": lambda p: dist.Uniform(LOC - 2.0, LOC + 3.0 + p),
    "truncated": lambda p: dist.TruncatedNormal(LOC + p, SCALE, low=-3.0),
    "transformed": lambda p: dist.TransformedDistribution(
        dist.Normal(LOC + p, SCALE), dist.transforms.ExpTransform()
    ),
    "exponential": lambda p: dist.Exponential(SCALE + p),
    "negative binomial": lambda p: dist.NegativeBinomial2(SCALE + p, 3.0),
    "zero-inflated": lambda p: dist.ZeroInflatedPoisson(0.3, SCALE + p),
    "categorical": lambda p: dist.Categorical(
        logits=jnp.array([[[0.1, 0.2, 1.0]], [[0.5, 0.0, 0.0]]]) * (1 + p)
    ),
    "binomial": lambda p: dist.Binomial(4, logits=LOC + p),
    "mixture": lambda p: dist.MixtureSameFamily(
        dist.Categorical(jnp.array([0.3, 0.7])), dist.Laplace(LOC[..., None] + p, jnp.ones(2))
    ),
    "mask": lambda p: dist.Laplace(LOC + p, SCALE).mask(jnp.arange(N) != 1),
}


#: of whose supports others are, which stay in the quick tests
LIKE_OTHERS = ("truncated", "exponential", "zero-inflated")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in LIKE_OTHERS else n for n in CELLS]
)
def test_a_missing_number_drops_out(name):
    """The other rows have their density, and the gradient is that of them alone."""
    build = CELLS[name]
    value = np.asarray(build(0.0).expand((K, N)).sample(random.key(0)), float)[0]
    gaps = np.where(np.arange(N) == 2, np.nan, value)
    seen = np.arange(N) != 2

    def total(p, data):
        density = observed_log_prob(build(p), data)
        return jnp.broadcast_to(density, (K, N))[:, seen].sum(), density

    @jax.jit
    def look(p, gaps, value):
        (actual, density), slope = jax.value_and_grad(total, has_aux=True)(p, gaps)
        everything = jax.grad(lambda p: observed_log_prob(build(p), gaps).sum())(p)
        of_all = build(p).log_prob(value.astype(int) if build(p).support.is_discrete else value)
        filled = complete(build(p).expand((K, N)), random.key(1), jnp.broadcast_to(gaps, (K, N)))
        density, of_all = (jnp.broadcast_to(v, (K, N)) for v in (density, of_all))
        return actual, density, slope, everything, of_all, filled, build(p).support(filled)

    actual, density, slope, everything, of_all, filled, supported = look(0.1, gaps, value)
    np.testing.assert_allclose(actual, of_all[:, seen].sum(), rtol=1e-6)
    np.testing.assert_array_equal(density[:, 2], 0)
    assert np.isfinite(slope) and slope != 0
    np.testing.assert_allclose(everything, slope, rtol=1e-6)
    np.testing.assert_array_equal(filled[:, seen], np.broadcast_to(value, (K, N))[:, seen])
    assert bool(supported.all())


#: a datum of three cells: name -> (distribution, that of the features kept)
VECTOR_CASES = {
    "independent": lambda selected: dist.StudentT(3.0, VECTORS[..., selected], 1.3).to_event(1),
    "expanded": lambda selected: dist.Laplace(0.3, 1.2).expand((1, len(selected))).to_event(1),
    "normal": lambda selected: dist.MultivariateNormal(
        VECTORS[..., selected], MATRIX[jnp.ix_(selected, selected)]
    ),
    "student": lambda selected: dist.MultivariateStudentT(
        4.0, VECTORS[..., selected], jnp.linalg.cholesky(MATRIX[jnp.ix_(selected, selected)])
    ),
    "low rank": lambda selected: dist.LowRankMultivariateNormal(
        VECTORS[..., selected],
        jnp.array([[0.5], [1.0], [-0.2]])[selected],
        jnp.array([1.0, 0.5, 0.8])[selected],
    ),
    "mixture": lambda selected: dist.MixtureSameFamily(
        dist.Categorical(jnp.array([0.4, 0.6])),
        dist.MultivariateNormal(
            jnp.stack([VECTORS, VECTORS + 1.5], -2)[..., selected],
            MATRIX[jnp.ix_(selected, selected)],
        ),
    ),
    "several kinds": lambda selected: dist.MixtureGeneral(
        dist.Categorical(jnp.array([0.4, 0.6])),
        [
            dist.Laplace(VECTORS[..., selected], 1.0).to_event(1),
            dist.Normal(VECTORS[..., selected] + 1.0, 2.0).to_event(1),
        ],
    ),
    "exponentials of normals": lambda selected: dist.TransformedDistribution(
        dist.MultivariateNormal(VECTORS[..., selected], MATRIX[jnp.ix_(selected, selected)]),
        dist.transforms.ExpTransform(),
    ),
}


@pytest.mark.parametrize("name", VECTOR_CASES)
def test_missing_cells_of_a_vector_are_marginalised(name):
    """As by the distribution of the other features alone, row by row."""
    build = VECTOR_CASES[name]
    distribution = build(jnp.arange(3))
    assert drops_out(distribution)
    value = np.abs(np.random.default_rng(0).normal(size=(N, 3)))
    gaps = np.where(HOLES, np.nan, value)

    @jax.jit
    def look(value):
        by_row = []
        for row in range(N):
            selected = jnp.array(np.flatnonzero(~HOLES[row]), int)
            by_row.append(
                build(selected).log_prob(value[row, selected]) if len(selected) else jnp.zeros(())
            )
        return by_row

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def total(distribution, gaps):
        density = observed_log_prob(distribution, gaps)
        return density.sum(), density

    (_, actual), slopes = total(distribution, gaps)
    if name == "normal":  # outside a compiled function too
        alone = observed_log_prob(distribution, gaps)
        np.testing.assert_allclose(actual, alone, rtol=1e-6, atol=1e-12)
    for row, expected in enumerate(look(value)):
        expected = np.broadcast_to(np.ravel(expected), len(np.atleast_2d(actual)))
        np.testing.assert_allclose(np.atleast_2d(actual)[:, row], expected, rtol=1e-5, atol=1e-12)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


# (the density of all of them given gaps: above)
@pytest.mark.parametrize(
    "name",
    [
        "normal",
        "mixture",
        *(pytest.param(n, marks=pytest.mark.long) for n in ("student", "low rank")),
    ],
)
def test_missing_cells_of_a_vector_are_drawn_given_the_others(name):
    """A complete draw with its first cell removed and drawn anew is a draw as before."""
    distribution = VECTOR_CASES[name](jnp.arange(3))
    everything = distribution.sample(random.key(0), (20_000,))[:, 1, 0]
    gaps = everything.at[:, 0].set(jnp.nan)
    one = jax.tree.map(lambda v: v, distribution)
    filled = complete(
        one.expand((K, 20_000)), random.key(1), jnp.broadcast_to(gaps, (K, 20_000, 3))
    )
    filled = np.asarray(filled[1])
    np.testing.assert_array_equal(filled[:, 1:], everything[:, 1:])
    moments = [np.c_[v[:, 0], np.abs(v[:, 0]), v[:, :1] * np.tanh(v)] for v in (everything, filled)]
    error = np.sqrt(sum(m.var(0) for m in moments) / len(filled))
    assert (np.abs(moments[0].mean(0) - moments[1].mean(0)) < 5 * error).all()


def test_joint_distributions_without_a_marginal_say_so():
    counts = dist.Multinomial(4, probs=jnp.array([[0.2, 0.3, 0.5]]))
    assert not drops_out(counts)
    rows = jnp.array([[1.0, 1.0, 2.0], [jnp.nan] * 3, [jnp.nan, 1.0, 1.0]])
    actual = np.asarray(observed_log_prob(counts, rows))
    np.testing.assert_allclose(actual[0], counts.log_prob(rows[0].astype(int))[0], rtol=1e-6)
    assert actual[1] == 0 and np.isnan(actual[2])
