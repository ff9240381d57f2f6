"""New data of groups that were not fitted."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, generate
from ppl_models.data import Categories, Reals
from ppl_models.errors import InputError

TAU, NOISE = 2.0, 0.01


def levels(y: Annotated[Any, Reals] = None, county: Annotated[Any, Categories] = None, *, counties):
    """A mean for each county."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    with numpyro.plate("county_plate", counties):
        u = numpyro.sample("u", dist.Normal(mu, TAU))
    with numpyro.plate("row", len(county)):
        numpyro.sample("y", dist.Normal(u[county], NOISE), obs=y)


def persons(y: Annotated[Any, Reals] = None, who: Annotated[Any, Categories] = None, *, people):
    """A line a visit; persons of two kinds."""
    w = numpyro.sample("w", dist.Dirichlet(jnp.full(2, 2.0)))
    with numpyro.plate("kind", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("person", people):
        z = numpyro.sample("z", dist.Categorical(w), infer={"enumerate": "parallel"})
    with numpyro.plate("visit", len(who)):
        numpyro.sample("y", dist.Normal(loc[z[who]], 1.0), obs=y)


@pytest.fixture(scope="module")
def counties():
    data = {"y": [4.0, 4.0, 8.0, 8.0], "county": ["a", "a", "b", "b"]}
    options = {"method": "map", "steps": 400, "starts": 1, "predictive": 0}
    return fit(levels, data, seed=0, fixed={"mu": 6.0}, counties=2, **options)


def test_new_counties_are_drawn_from_their_distribution(counties):
    names = ["a", "b", "c", "d"] * 150
    made = generate(counties, 600, seed=1, covariates={"county": names}, arguments={"counties": 4})[
        "y"
    ].values.reshape(150, 4)
    np.testing.assert_allclose(made[:, :2].mean(0), [4.0, 8.0], atol=0.05)
    new = made[:, 2:].ravel()
    assert abs(new.mean() - 6.0) < 5 * TAU / np.sqrt(300)
    assert abs(new.std() - TAU) < 5 * TAU / np.sqrt(600)


def test_room_for_new_counties_is_asked_for(counties):
    message = r"names 1 new levels \('c', ...\) .* by arguments= the size of their plate, .* 3"
    with pytest.raises(InputError, match=message):
        generate(counties, 1, seed=0, covariates={"county": ["c"]})
    with pytest.raises(InputError, match=message):
        generate(counties, 1, seed=0, covariates={"county": ["c"]}, arguments={"counties": 2})
    with pytest.raises(InputError, match="only plates over groups can have more"):
        generate(counties, 1, seed=0, covariates={"county": ["a"]}, arguments={"counties": 1})
    with pytest.raises(InputError, match="'schools', and .* takes counties"):
        generate(counties, 4, seed=0, arguments={"schools": 3})


def test_visits_of_new_persons_share_their_kind():
    random = np.random.default_rng(0)
    who = np.repeat(np.arange(8), 3)
    y = np.array([-9.0, 9.0])[who % 2] + random.normal(size=24)
    tree = fit(persons, {"y": y, "who": who}, method="em", seed=0, starts=2, people=8)
    new = np.repeat(np.arange(4, 40), 2)  # four old ones
    made = generate(tree, 72, seed=0, covariates={"who": new}, arguments={"people": 40})
    kind = (made["y"].values > 0).reshape(36, 2)
    assert (kind[:, 0] == kind[:, 1]).all()
    assert 0.15 < kind.mean() < 0.85
