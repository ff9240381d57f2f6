"""Sufficient statistics are all that an update needs: densities and maxima from them alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from jax.flatten_util import ravel_pytree
from numpyro.distributions import biject_to

ROWS = 40


@pytest.fixture(scope="module")
def sample():
    """Rows of a family's own components in turn, and weights ``(component, row)``."""
    made = {}

    def of(case):
        if case.name not in made:
            draw = jax.jit(lambda key: case.by_row(ROWS).sample(key))
            weights = np.random.default_rng(1).dirichlet(np.ones(3), ROWS).T
            made[case.name] = np.asarray(draw(random.key(2))), weights
        return made[case.name]

    return of


def _punched(case, value):
    """The rows with every fifth cell missing."""
    gaps = value.astype(float)
    gaps.ravel()[::5] = np.nan
    return gaps


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_expected_log_density_is_the_weighted_sum(case, sample, gaps):
    value, weights = sample(case)
    if gaps and not case.family.factorises:
        named = ("TiedGaussian", "FullGaussian", "AxesGaussian", "TokenChain", "GraphChain")
        assert case.family.__name__ in named
        pytest.skip("missing cells are averaged over there: see the tests of EM")
    value = _punched(case, value) if gaps else value

    @jax.jit
    def both():
        emission = case.build()
        centre = emission.centre(jnp.asarray(value)) + 0.3 if case.continuous else 0.0
        statistics = emission.expected_statistics(
            weights, jnp.asarray(value), missing=gaps, centre=centre
        )
        summed = (weights * case.enumerated().log_prob(value)).sum(-1)
        return emission.expected_log_density(statistics, centre), summed

    actual, expected = both()
    if case.name == "tied":  # the scatter is shared, so only the sum means anything
        actual, expected = actual.sum(), expected.sum()
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_statistics_add_up_over_pieces_of_the_data(case, sample):
    value, weights = sample(case)

    @jax.jit
    def both():
        emission = case.build()

        def of(rows):
            return emission.expected_statistics(
                weights[:, rows], jnp.asarray(value[rows]), missing=False, centre=jnp.zeros(())
            )

        return of(slice(None)), jax.tree.map(jnp.add, of(slice(0, 15)), of(slice(15, None)))

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), *both())


def test_maximum_likelihood_is_stationary_and_beats_every_perturbation(case, sample, table):
    value, weights = sample(case)
    spaces = {n: biject_to(case.space(n)) for n in case.parameters}

    @jax.jit
    def slope_and_rivals(directions):
        emission = case.build()
        centre = emission.centre(jnp.asarray(value))
        statistics = emission.expected_statistics(
            weights, jnp.asarray(value), missing=False, centre=centre
        )
        top = table.maximum_likelihood(emission, statistics, centre)
        best = {n: getattr(top, n) for n in top.parameter_dims}
        vector, unravel = ravel_pytree({n: t.inv(best[n]) for n, t in spaces.items()})

        def height(vector):
            free = unravel(vector)
            rival = emission.replace(**{n: t(free[n]) for n, t in spaces.items()})
            return rival.expected_log_density(statistics, centre).sum()

        moved = vector + 0.05 * directions[:, : len(vector)]
        return jax.grad(height)(vector), jax.vmap(height)(moved) - height(vector), best

    directions = np.random.default_rng(0).normal(size=(50, 64))
    slope, gains, best = slope_and_rivals(directions)
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    assert (np.asarray(gains) < 0).all()
    assert {n: np.shape(v) for n, v in best.items()} == {
        n: np.shape(v) for n, v in case.parameters.items()
    }


def test_maximum_likelihood_of_one_component_is_the_sample_moment(case, sample, table):
    value, _ = sample(case)
    one = case.build({n: v if case.shared(n) else v[:1] for n, v in case.parameters.items()})
    statistics = one.expected_statistics(
        jnp.ones((1, ROWS)), jnp.asarray(value), missing=False, centre=jnp.zeros(())
    )
    best = table.maximum_likelihood(one, statistics, 0.0)
    actual = {n: np.asarray(getattr(best, n)) for n in best.parameter_dims}
    for name, wanted in _moments(case, value, table).items():
        shape = actual[name].shape if case.shared(name) else actual[name].shape[1:]
        np.testing.assert_allclose(actual[name].reshape(shape), wanted, rtol=1e-9, err_msg=name)


def _moments(case, value, table):
    """What NumPy says."""
    if case.name in ("tied", "full"):
        return {"loc": value.mean(0), "covariance": np.cov(value.T, bias=True)}
    if case.name == "spherical":
        return {"loc": value.mean(0), "scale": np.sqrt(value.var(0).mean())}
    if case.name in ("shaped", "axes"):
        covariance = np.cov(value.T, bias=True)
        along = value.var(0) if case.name == "shaped" else np.linalg.eigvalsh(covariance)
        return {"loc": value.mean(0), "scale": np.exp(0.5 * np.log(along).mean())}
    if case.continuous:
        return {"loc": value.mean(0), "scale": value.std(0)}
    if case.name == "categorical":
        levels = case.static["levels"]
        counts = [np.bincount(value[:, d], minlength=k) for d, k in enumerate(levels)]
        return {"probs": np.concatenate(counts) / len(value)}
    if case.name == "token chain":
        steps = np.zeros((2, 3))
        pairs = np.stack([value[:, :-1].ravel(), value[:, 1:].ravel()])
        np.add.at(steps, tuple(pairs[:, pairs[0] < 2]), 1)
        first = np.bincount(value[:, 0], minlength=2)
        return {"initial": first / len(value), "transition": steps / steps.sum(1, keepdims=True)}
    if case.name == "graph chain":
        taken = [choice for row in value for choice in table.densities.graph_choices(row, 2)]
        ones = {n: np.zeros(2) for n in case.parameters}
        both = {n: np.zeros(2) for n in case.parameters}
        for name, index, bit in taken:
            ones[name][index] += bit
            both[name][index] += 1
        return {n: ones[n] / both[n] for n in ones}
    return {next(iter(case.parameters)): value.mean(0)}
