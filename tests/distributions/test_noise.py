"""Gaussians and a last component of constant density: by the Gaussians alone and by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random

from ppl_models import distributions as families

LOW, HIGH = np.array([-4.0, -6.0, -2.0]), np.array([5.0, 3.0, 7.0])
KINDS = ("Full", "Diagonal", "Spherical")


@pytest.fixture
def pair(table):
    """Two Gaussians and noise, the Gaussians alone, by the kind of covariance."""

    def of(kind: str):
        case = next(c for c in table.CASES if c.name == kind.lower())
        parameters = {n: jnp.asarray(v) for n, v in case.parameters.items()}
        complete = getattr(families, f"{kind}GaussianWithNoise")(
            **parameters, low=LOW, high=HIGH, noise=np.array([False, False, True])
        )
        return complete, case.family(**{n: v[:2] for n, v in parameters.items()}), case

    return of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [False, True])
def test_noise_is_beside_what_the_gaussians_are(pair, kind, missing):
    complete, alone, case = pair(kind)
    rows = jnp.asarray(case.gaps if missing else case.data)
    weights = random.dirichlet(random.key(0), jnp.ones(3), (len(rows),)).T
    prior = dist.Normal(jnp.full((2, 3), 0.5), jnp.full((2, 3), 1.5))

    @jax.jit
    def look(rows):
        centre = complete.centre(rows)
        options = {"missing": missing, "centre": centre}
        statistics = complete.expected_statistics(weights, rows, **options)
        own = alone.expected_statistics(weights[:2], rows, **options)
        moved = [
            f.conditional("loc", prior, s, centre, shared=False).mode()
            for f, s in ((complete, statistics), (alone, own))
        ]
        expected = [
            f.expected_log_density(s, centre) for f, s in ((complete, statistics), (alone, own))
        ]
        return complete.contract(rows, **options), alone.contract(rows, **options), moved, expected

    logits, own, moved, expected = look(rows)
    noise = -(~np.isnan(rows) * np.log(HIGH - LOW)).sum(1)
    np.testing.assert_allclose(logits, [*own, noise], rtol=1e-12)
    np.testing.assert_allclose(expected[0], [*expected[1], weights[2] @ noise], rtol=1e-12)
    np.testing.assert_allclose(*moved, rtol=1e-12)
    # as a program has it where every row has its component
    chosen = np.arange(len(rows)) % 3
    each = complete.of_rows(chosen).log_prob(rows)
    np.testing.assert_allclose(each, logits[chosen, np.arange(len(rows))], rtol=1e-9)
    assert set(complete.named_parameters()) - {"low", "high"} == set(alone.parameter_dims)
    assert complete.named_parameters()["loc"].shape == (2, 3)


def test_draws_have_the_moments_that_it_tells(pair):
    complete, _, case = pair("Full")
    drawn = np.asarray(complete.sample(random.key(1), (20_000,)))
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - complete.mean) < 5 * error).all()
    spread = np.abs((drawn - drawn.mean(0)) ** 2 - complete.variance)
    assert (abs(drawn.var(0) - complete.variance) < 5 * spread.std(0) / np.sqrt(len(drawn))).all()
    loc, covariance = type(complete).component_moments(
        {**{n: np.asarray(v)[:2] for n, v in case.parameters.items()}, "low": LOW, "high": HIGH}
    )
    np.testing.assert_allclose(loc, complete.mean, rtol=1e-6)
    np.testing.assert_allclose(
        np.diagonal(covariance, axis1=1, axis2=2), complete.variance, rtol=1e-6
    )
    gaps = jnp.asarray(case.gaps)
    filled = np.asarray(complete.of_rows(np.full(len(gaps), 2)).complete(random.key(2), gaps))
    unseen = np.isnan(case.gaps)
    assert ((filled >= LOW) & (filled <= HIGH))[unseen].all()
    np.testing.assert_array_equal(filled[~unseen], case.gaps[~unseen])
