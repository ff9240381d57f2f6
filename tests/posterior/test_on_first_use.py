"""What is drawn when it is first read: the same numbers, once, whatever asks for them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from numpyro.distributions import constraints

from ppl_models import fit, load, save
from ppl_models.posterior.build import predictive_groups

X = np.random.default_rng(0).poisson(4.0, 30)
GROUPS = ("posterior_predictive", "prior", "prior_predictive")


def counts(x=None, *, rows=30, improper=False):
    """Counts of one rate."""
    prior = dist.ImproperUniform(constraints.positive, (), ()) if improper else dist.Gamma(2.0)
    rate = numpyro.sample("rate", prior)
    with numpyro.plate("row", rows):
        numpyro.sample("x", dist.Poisson(rate), obs=x)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions that drew."""
    made: list[str] = []
    for name in ("draw_again", "prior_draws"):
        plain = getattr(predictive_groups, name)
        monkeypatch.setattr(
            predictive_groups, name, lambda *a, n=name, f=plain: (made.append(n), f(*a))[1]
        )
    return made


def test_draws_are_made_when_they_are_read_and_once(calls: list[str]) -> None:
    tree = fit(counts, X, method="map", seed=0, predictive=5, starts=1)
    assert tree["prior"]["rate"].shape == (1, 5)
    assert tree["posterior_predictive"]["x"].shape == (1, 5, 30)
    assert calls == []
    one = tree["prior_predictive"]["x"].isel(draw=2)
    assert calls == []
    assert (one.values == tree["prior_predictive"]["x"].values[:, 2]).all()
    assert tree["prior"]["rate"].values.std() > 0
    assert calls == ["prior_draws"]
    assert np.isclose(tree["posterior_predictive"]["x"].mean(), X.mean(), rtol=0.2)
    assert calls == ["prior_draws", "draw_again"]


def test_copies_pickles_and_files_hold_the_same_draws(tmp_path) -> None:
    tree = fit(counts, X, method="map", seed=0, predictive=5, starts=1)
    copies = {
        "shallow": tree.copy(),
        "deep": copy.deepcopy(tree),
        "pickle": pickle.loads(pickle.dumps(tree)),
        "file": load(save(tree, tmp_path / "fit.nc")),
    }
    for name, other in copies.items():
        for group in GROUPS:
            for variable, values in tree[group].data_vars.items():
                xr.testing.assert_identical(values.load(), other[group][variable].load())
                assert values.dtype == other[group][variable].dtype, name


def test_a_prior_without_draws_is_said_at_once() -> None:
    tree = fit(counts, X, method="map", seed=0, predictive=5, starts=1, improper=True)
    assert "prior" not in tree.children
    assert np.isclose(tree["posterior"]["rate"].item(), X.mean(), rtol=1e-3)
    assert "no prior draws" in tree.attrs["notes"]
