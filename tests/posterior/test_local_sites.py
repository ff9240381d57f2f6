"""After a fit of a program whose rows have a continuous site of their own (random effects)."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats
from scipy.special import logsumexp

from ppl_models import (
    diagnose,
    fit,
    generate,
    impute,
    load,
    log_density,
    loo,
    save,
    sensitivity,
    write_report,
)
from ppl_models.data import Reals
from ppl_models.errors import InputError
from ppl_models.posterior.result.schema import facts_of

ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
SCORES = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])


def schools(error: Annotated[Any, Reals] = None, y: Annotated[Any, Reals] = None):
    """Effects of courses in several schools, measured twice; Gelman et al. (2013), section 5.5."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfNormal(5.0))
    with numpyro.plate("school", jnp.shape(error)[0]):
        eta = numpyro.sample("eta", dist.Normal(0.0, 1.0))
        theta = numpyro.deterministic("theta", mu + tau * eta)
        numpyro.sample(
            "y",
            dist.Normal(theta[:, None], error[:, None]).expand([len(error), 2]).to_event(1),
            obs=y,
        )


def scores():
    return np.column_stack([SCORES, SCORES[::-1]])


@pytest.fixture(scope="module")
def tree():
    data = {"error": ERRORS, "y": scores()}
    return fit(schools, data, method="nuts", seed=0, chains=2, warmup=60, draws=60, predictive=4)


def marginal(tree, error, y):
    """Log-densities at every draw ``(chain, draw, row)``: normal with closed moments."""
    posterior = tree["posterior"]
    mu, tau = (posterior[n].values[..., None] for n in ("mu", "tau"))
    first = stats.norm.logpdf(y[:, 0], mu, np.hypot(tau, error))
    proportion = tau**2 / (tau**2 + error**2)
    spread = np.sqrt(error**2 + proportion * error**2)
    return first + stats.norm.logpdf(y[:, 1], mu + proportion * (y[:, 0] - mu), spread)


def test_log_likelihood_is_that_of_rows_whose_own_site_is_integrated_out(tree):
    expected = marginal(tree, ERRORS, scores())
    np.testing.assert_allclose(tree["log_likelihood"]["y"], expected, rtol=1e-9)
    assert tree["log_likelihood"]["y"].dims == ("chain", "draw", "school")
    assert facts_of(tree).locals == ("eta",)
    assert loo(tree).n_data_points == len(ERRORS)
    assert "tau" in sensitivity(tree).index


def test_log_density_of_new_rows_says_its_unit_and_what_is_integrated_out(tree, tmp_path):
    new = {"error": np.array([3.0, 30.0]), "y": np.array([[2.0, -4.0], [50.0, 8.0]])}
    density = log_density(tree, new)
    expected = marginal(tree, new["error"], new["y"])
    np.testing.assert_allclose(density, logsumexp(expected, (0, 1)) - np.log(120), rtol=1e-9)
    np.testing.assert_allclose(log_density(tree, new, by_draw=True), expected, rtol=1e-9)
    assert density.attrs == {"unit": "school", "integrated_out": "eta", "integral": "exact"}
    save(tree, tmp_path / "schools.nc")
    again = load(tmp_path / "schools.nc")
    np.testing.assert_array_equal(log_density(again, new), density)


def test_generated_rows_have_sites_of_their_own(tree):
    posterior = tree["posterior"]
    rows = 4000
    generated = generate(tree, rows, seed=1, covariates={"error": np.full(rows, 0.1)})["y"].values
    # rows of little error show the effects, which vary by tau about mu
    variance = float(posterior["mu"].var() + (posterior["tau"] ** 2).mean())
    np.testing.assert_allclose(generated.mean(1).std(), np.sqrt(variance), rtol=0.1)
    np.testing.assert_allclose(
        (generated[:, 0] - generated[:, 1]).std(), 0.1 * np.sqrt(2), rtol=0.1
    )


def test_missing_cells_are_drawn_with_the_row_s_site_given_the_observed_ones(tree):
    new = {"error": np.array([0.1, 8.0]), "y": np.array([[40.0, np.nan], [np.nan, np.nan]])}
    filled = impute(tree, new, draws=120, seed=2)["y"].values  # one of every draw, in turn
    mu, tau = (tree["posterior"][n].values.ravel() for n in ("mu", "tau"))
    proportion = tau**2 / (tau**2 + 0.1**2)
    mean, sd = mu + proportion * (40.0 - mu), 0.1 * np.sqrt(1 + proportion)
    standard = (filled[:, 0, 1] - mean) / sd
    assert abs(standard.mean()) < 4 / np.sqrt(120)
    np.testing.assert_allclose(standard.std(), 1, atol=4 / np.sqrt(240))
    # both cells of a row share its effect
    sum_of_cells = (filled[:, 1].sum(1) - 2 * mu) / np.sqrt(2 * 8.0**2 + 4 * tau**2)
    np.testing.assert_allclose(sum_of_cells.std(), 1, atol=4 / np.sqrt(240))
    with pytest.raises(InputError, match="leave most_probable out"):
        impute(tree, new, most_probable=True, seed=0)


def test_diagnosis_and_report_serve_such_a_fit(tree, tmp_path):
    assert "trust" in str(diagnose(tree)) or "used" in str(diagnose(tree))
    page = write_report(tree, tmp_path / "schools.html")
    assert "integrated out, exactly" in page.read_text()


def test_a_joint_mode_is_not_called_trustworthy():
    data = {"error": ERRORS, "y": scores()}
    tree = fit(schools, data, method="map", seed=0, steps=200, starts=1, predictive=0)
    assert "joint mode" in str(diagnose(tree))
    assert "depends on its place" not in tree.attrs["notes"]
    assert "a value a row, all of which are fitted together" in tree.attrs["notes"]
