"""Programs with a continuous latent variable a row: against the closed form of a Gaussian one."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import diagnose, fit, log_density
from ppl_models.data import Reals

ERRORS = np.array([0.5, 1.0, 2.0, 0.7, 1.5, 0.3])
VALUES = np.array([1.0, 3.0, -2.0, 0.5, 2.5, 1.2])


def schools(y: Annotated[Any, Reals] = None, error: Annotated[Any, Reals] = None):
    """Effects about a common mean, each measured with an error that is known."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    with numpyro.plate("school", jnp.shape(error)[0]):
        theta = numpyro.sample("theta", dist.Normal(mu, 1.0))
        return numpyro.sample("y", dist.Normal(theta, error), obs=y)


@pytest.fixture(scope="module")
def exact():
    """Mean and covariance of (mu, theta) given the data."""
    count = len(VALUES)
    prior = np.full((count + 1, count + 1), 25.0)
    prior[1:, 1:] += np.eye(count)
    noise = np.diag(ERRORS**2)
    gain = prior[:, 1:] @ np.linalg.inv(prior[1:, 1:] + noise)
    return gain @ VALUES, prior - gain @ prior[1:, :]


def draws_of(tree):
    posterior = tree["posterior"]
    mu, theta = (posterior[n].values.reshape(-1, *posterior[n].shape[2:]) for n in ("mu", "theta"))
    return np.column_stack([mu, theta])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gibbs", {"chains": 4, "draws": 1500}),
        ("svi", {"guide": "full_rank", "steps": 8000, "chains": 2, "draws": 2000}),
    ],
)
def test_draws_of_row_latents(exact, method, options):
    data = {"y": VALUES, "error": ERRORS}
    tree = fit(schools, data, method=method, seed=0, predictive=0, **options)
    assert tree["posterior"]["theta"].dims == ("chain", "draw", "school")
    draws, (mean, covariance) = draws_of(tree), exact
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.15 * sd.max())
    np.testing.assert_allclose(draws.std(0), sd, rtol=0.15)


def test_the_joint_mode_of_row_latents_is_found_and_told(exact):
    data = {"y": VALUES, "error": ERRORS}
    tree = fit(schools, data, method="map", seed=0, predictive=0, steps=3000)
    np.testing.assert_allclose(draws_of(tree)[0], exact[0], atol=0.02)  # Gaussian: mean and mode
    assert "not integrated out" in tree.attrs["notes"]


def test_em_integrates_row_latents_out(exact):
    """Its point is the mode of mu alone; the effects are at their means given it."""
    mean, _ = exact
    tree = fit(schools, {"y": VALUES, "error": ERRORS}, method="em", seed=0, predictive=2)
    fitted = tree["posterior"].isel(chain=0, draw=0)
    assert fitted["mu"] == pytest.approx(mean[0], rel=1e-6)
    precision = 1 + ERRORS**-2.0
    values = (mean[0] + VALUES / ERRORS**2) / precision
    np.testing.assert_allclose(fitted["theta"], values, rtol=1e-6)
    marginal = -0.5 * ((VALUES - mean[0]) ** 2 / (1 + ERRORS**2) + np.log(1 + ERRORS**2))
    np.testing.assert_allclose(log_density(tree), marginal - 0.5 * np.log(2 * np.pi), rtol=1e-6)
    assert all(finding.severity != "problem" for finding in diagnose(tree).findings)
