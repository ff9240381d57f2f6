"""Hidden chains that emit from NumPyro's own distributions, by the methods on statistics."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import best_paths, fit, generate, impute, log_density
from ppl_models.data import Series
from ppl_models.distributions import HiddenMarkov
from ppl_models.posterior.result.restore import restored
from ppl_models.program.log_joint import unconstrained_log_joint


def waits(x: Annotated[Any, Series] = None, *, sequences=None, positions=None):
    """Waiting times of two states."""
    if x is not None:
        sequences, positions = jnp.shape(x)[:2]
    initial = numpyro.sample("initial", dist.Dirichlet(2 * jnp.ones(2)))
    with numpyro.plate("state", 2):
        transition = numpyro.sample("transition", dist.Dirichlet(2 * jnp.ones(2)))
        rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    with numpyro.plate("sequence", sequences):
        emission = dist.Exponential(rate[:, None]).to_event(1)
        chain = HiddenMarkov(initial, transition, emission, positions=positions)
        return numpyro.sample("x", chain, obs=x)


@pytest.fixture(scope="module")
def steps():
    rng = np.random.default_rng(0)
    path = np.zeros((6, 25), int)
    for t in range(1, 25):
        path[:, t] = np.where(rng.random(6) < 0.1, 1 - path[:, t - 1], path[:, t - 1])
    x = rng.exponential(np.where(path, 20.0, 1.0))[..., None]
    x[2, 5] = np.nan
    return x, path


@pytest.fixture(scope="module")
def mode(steps):
    return fit(waits, steps[0], method="em", seed=0, starts=2, predictive=0)


def test_em_rises_to_a_point_where_the_gradient_vanishes(mode):
    course = mode["starts"]["objective"].values
    for row in course:
        assert (np.diff(row[np.isfinite(row)]) > -1e-6).all()
    with restored(mode) as actual:
        values = {n: jnp.asarray(v[0]) for n, v in actual.values.items()}
        space, structure = actual.structure.space, actual.structure

        def objective(vector):
            free = space.unravel(vector)
            joint = unconstrained_log_joint(actual.model, structure, vector)
            return joint - space.log_volume(free, space.constrain(free))

        slope = jax.jit(jax.grad(objective))(space.ravel(space.unconstrain(values)))
    assert np.abs(slope).max() < 0.05


def test_what_follows_the_fit(mode, steps):
    x, path = steps
    actual = np.asarray(best_paths(mode)).reshape(path.shape)
    agree = (actual == path).mean()
    assert max(agree, 1 - agree) > 0.9
    filled = impute(mode, seed=0, draws=10)["x"].values
    assert (filled[:, 2, 5, 0] > 0).all()
    seen = ~np.isnan(x)
    np.testing.assert_array_equal(filled[:, seen], np.broadcast_to(x[seen], (10, seen.sum())))
    assert (generate(mode, 3, seed=0, length=4)["x"].values > 0).all()
    assert np.isfinite(log_density(mode)).all()


@pytest.mark.long
@pytest.mark.parametrize("method", ["gibbs", "nuts", "map", "svi", "hard"])
def test_other_methods_agree_with_em(mode, steps, method):
    draws = {"draws": 200, "warmup": 200, "chains": 1}
    more = {"gibbs": draws, "nuts": draws, "map": {"steps": 400}, "svi": {"steps": 400}, "hard": {}}
    tree = fit(waits, steps[0], method=method, seed=0, predictive=0, **more[method])
    rates = [np.sort(t["posterior"]["rate"].values.mean((0, 1))) for t in (mode, tree)]
    np.testing.assert_allclose(rates[0], rates[1], rtol=0.25)


def one_scale(x: Annotated[Any, Series] = None, *, sequences=None, positions=None):
    """All states share a scale, which is a constant."""
    if x is not None:
        sequences, positions = jnp.shape(x)[:2]
    with numpyro.plate("state", 2):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(2)))
        loc = numpyro.sample("loc", dist.Normal(0.0, 5.0))
    emission = dist.Normal(loc[:, None], 0.7).to_event(1)
    with numpyro.plate("sequence", sequences):
        chain = HiddenMarkov(jnp.ones(2) / 2, transition, emission, positions=positions)
        return numpyro.sample("x", chain, obs=x)


def test_a_scale_that_states_share_has_the_axis_of_states():
    """The fit was lost at its end, by an axis of one state."""
    path = np.broadcast_to(np.arange(20) // 5 % 2, (6, 20))
    x = (4 * path + 0.7 * np.random.default_rng(0).normal(size=path.shape))[..., None]
    tree = fit(one_scale, x, method="em", seed=0, starts=2, predictive=0)
    np.testing.assert_allclose(np.sort(tree["posterior"]["loc"].values.ravel()), [0, 4], atol=0.4)
    scale = tree["emission_parameters"]["x.scale"]
    assert scale.sizes["state"] == 2 and (scale.values == 0.7).all()
