"""Deterministic sites within the data plate are in the posterior, one value a row."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.reparam import LocScaleReparam

from ppl_models import fit, load, memory, save

EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def schools(sigma=None, y=None):
    """Eight schools, not centred. Rubin (1981)."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(sigma)):
        eta = numpyro.sample("eta", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def schools_by_handler(sigma=None, y=None):
    """The same by a handler around the effects."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("school", len(sigma)):
        with numpyro.handlers.reparam(config={"theta": LocScaleReparam(0)}):
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


@pytest.mark.parametrize(
    "program", [pytest.param(schools, marks=pytest.mark.long), schools_by_handler]
)
def test_effects_of_eight_schools(program, tmp_path):
    data = {"sigma": ERRORS, "y": EFFECTS}
    tree = fit(program, data, method="nuts", seed=0, chains=2, warmup=100, draws=50)
    posterior = tree["posterior"]
    assert posterior["theta"].dims == ("chain", "draw", "school")
    eta = posterior["eta" if program is schools else "theta_decentered"]
    expected = posterior["mu"] + posterior["tau"] * eta
    np.testing.assert_allclose(posterior["theta"], expected, rtol=1e-12)
    again = load(save(tree, tmp_path / "schools.nc"))
    np.testing.assert_array_equal(again["posterior"]["theta"], posterior["theta"])


def groups(x=None, *, clusters=2):
    """Two groups, the mean of every row a deterministic site."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    numpyro.deterministic("spread", loc.max() - loc.min())
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        mean = numpyro.deterministic("mean", loc[z])
        numpyro.deterministic("both", jnp.stack([mean, -mean], -1))
        numpyro.sample("x", dist.Normal(mean, 1.0), obs=x)


ROWS = np.array([-8.0, -7.5, -8.5, 8.0, 7.5, 8.5, 0.0])


def test_what_depends_on_the_assignment_is_of_the_same_draw():
    options = {"method": "gibbs", "chains": 2, "warmup": 50, "draws": 200, "predictive": 0}
    tree = fit(groups, ROWS, seed=0, keep_assignments=True, relabel=None, **options)
    posterior = tree["posterior"]
    assert posterior["mean"].dims == ("chain", "draw", "row")
    assert posterior["both"].dims[:3] == ("chain", "draw", "row")
    assert posterior["spread"].dims == ("chain", "draw")
    chosen = posterior["loc"].isel(cluster=posterior["assignment"].astype(int))
    np.testing.assert_allclose(posterior["mean"], chosen, rtol=1e-12)
    drawn = fit(groups, ROWS, seed=0, **options)["posterior"]
    distance = np.abs(drawn["mean"].values[..., None] - drawn["loc"].values[:, :, None])
    assert (distance.min(-1) < 1e-12).all()
    assert 0 < (drawn["mean"].values[..., 6] > 0).mean() < 1  # it is drawn, not averaged


@pytest.mark.parametrize("method", ["em", pytest.param("map", marks=pytest.mark.long)])
def test_points_have_the_most_probable_assignments(method):
    options = {"steps": 300, "starts": 1} if method == "map" else {}
    tree = fit(groups, ROWS, method=method, seed=0, predictive=0, **options)
    best = tree["responsibilities"]["responsibilities"].values.argmax(1)
    expected = tree["posterior"]["loc"].values[0, 0, best]
    np.testing.assert_allclose(tree["posterior"]["mean"].values[0, 0], expected, rtol=1e-12)


def test_too_many_are_left_out_with_a_note(monkeypatch):
    monkeypatch.setattr(memory, "KEPT_ROW_SITES", 10)
    tree = fit(groups, ROWS, method="em", seed=0, predictive=0)
    assert "mean" not in tree["posterior"]
    assert "both, mean of every row are left out" in tree.attrs["notes"]
