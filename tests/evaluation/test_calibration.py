"""Simulation-based calibration passes a right sampler and fails broken ones."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models.data import Reals
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.evaluation.calibration import calibrate
from ppl_models.evaluation.ranked import ranked_quantities
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

PRIORS = {
    "clusters": 2,
    "loc_mean": 0.0,
    "loc_scale": 3.0,
    "scale_rate": np.array(1.0),  # an array: one compiled program serves two values
    "scale_concentration": 3.0,
}
OPTIONS = {"rows": 40, "simulations": 200, "draws": 25, "thinning": 8, "seed": 0}


def test_gibbs_is_calibrated():
    calibration = calibrate("gaussian_mixture", **OPTIONS, **PRIORS)
    assert calibration.attrs["calibrated"], calibration["sbc_test"]
    pit = calibration["prior_sbc/log_likelihood"].values
    assert pit.shape == (1, 200) and 0 <= pit.min() and pit.max() <= 1
    assert abs(pit.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 200)


def test_a_wrong_prior_is_found_out():
    calibration = calibrate(
        "gaussian_mixture", **OPTIONS, **PRIORS, assumed={"scale_rate": np.array(4.0)}
    )
    assert not calibration.attrs["calibrated"]


# (a right sampler passes and a wrong prior fails above; exact draws are compared with their closed
# form: inference/test_nuts_and_exact.py)
@pytest.mark.long
def test_exact_draws_are_calibrated():
    calibration = calibrate(
        "markov_chain",
        method="exact",
        rows=8,
        simulations=200,
        seed=1,
        vocabulary=2,
        sizes={"positions": 15},
    )
    assert calibration.attrs["calibrated"], calibration["sbc_test"]


def test_a_method_without_draws_is_refused():
    with pytest.raises(InputError, match="calibrate supports"):
        calibrate("gaussian_mixture", method="em", **OPTIONS, **PRIORS)


def test_a_method_that_does_not_serve_the_program_is_refused():
    with pytest.raises(UnsupportedError, match="needs a program in which nothing is hidden"):
        calibrate("gaussian_mixture", method="exact", **OPTIONS, **PRIORS)


def test_labels_are_ordered_by_a_site_of_the_emission_whatever_sites_and_plates_are_called():
    ranked = ranked_quantities(problem_of(kinds_of_counts))
    assert ranked.axes == {"often": ((0, 0),), "commonness": ((0, 0),)}
    assert next(iter(ranked.axes)) == "often" and ranked.classes == ((0, 1),)


def kinds_of_counts(x=None, *, rows=None):
    """A mixture under names that no list knows."""
    commonness = numpyro.sample("commonness", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("kind", 2):
        often = numpyro.sample("often", dist.Gamma(2.0, 0.3))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(commonness), infer={"enumerate": "parallel"})
        return numpyro.sample("x", dist.Poisson(often[z]), obs=x)


def problem_of(program):
    model = Model(program, {"x": np.array([1, 7, 2])}, {}, {})
    return Problem(model, model.structure())


def effects(x: Annotated[Any, Reals] = None, *, rows=None):
    """Rows with a level of their own."""
    rows = rows if x is None else len(x)
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    tau = numpyro.sample("tau", dist.HalfNormal(1.0))
    with numpyro.plate("row", rows):
        level = numpyro.sample("level", dist.Normal(mu, tau))
        return numpyro.sample("x", dist.Normal(level, 0.5), obs=x)


# (a right sampler passes and a wrong prior fails above; rows' own sites:
# inference/test_row_latents.py)
@pytest.mark.long
def test_rows_continuous_sites_are_calibrated_by_the_method_that_a_refusal_names():
    options = {"rows": 6, "seed": 0, "simulations": 200, "draws": 19, "warmup": 80}
    with pytest.raises(UnsupportedError, match="use method='gibbs'"):
        calibrate(effects, method="nuts", **options)
    tree = calibrate(effects, method="gibbs", **options)
    assert {"mu", "tau", "level", "log_likelihood"} <= set(tree["sbc_test"].data_vars)
    assert tree.attrs["calibrated"]


def test_a_prior_that_follows_the_data_is_refused():
    priors = {n: v for n, v in PRIORS.items() if n != "scale_rate"}
    with pytest.raises(InputError, match="prior of site 'scale_rate' is set from the data"):
        calibrate("gaussian_mixture", **OPTIONS, **priors)


@pytest.mark.long
def test_seating_is_calibrated_and_a_wrong_prior_found_out():
    program = {"rows": 4, "vocabulary": 4, "order": 2, "sizes": {"positions": 8}}
    options = {"method": "pitman_yor_gibbs", "seed": 0, "simulations": 60, "draws": 19}
    short = {"warmup": 40, "thinning": 4}
    right = calibrate("pitman_yor_chain", **options, **short, **program)
    assert right.attrs["calibrated"], right["sbc_test"]
    assert right["prior_sbc/tables"].shape == (1, 60, 2)
    few = {**options, "simulations": 30}
    wrong = calibrate(
        "pitman_yor_chain", **few, **short, **program, assumed={"discount_zeros": 30.0}
    )
    assert not wrong.attrs["calibrated"]


def six_rows(x: Annotated[Any, Reals] = None):
    """The number of rows is a constant of the program."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 2.0))
    with numpyro.plate("row", 6):
        return numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)


def test_a_number_of_rows_that_the_program_does_not_draw_is_refused():
    options = {"method": "nuts", "seed": 0, "simulations": 3, "draws": 3, "warmup": 5}
    with pytest.raises(InputError, match="rows is 40, and the program draws 6") as caught:
        calibrate(six_rows, rows=40, **options)
    assert "give rows=6" in str(caught.value)
    tree = calibrate(six_rows, rows=6, **options)
    assert tree["prior_sbc"].sizes["draw"] == 3


def people(height: Annotated[Any, Reals] = None, *, people=None):
    """The number of rows and the site have names of their own; the site's value is returned."""
    people = people if height is None else len(height)
    loc = numpyro.sample("loc", dist.Normal(0.0, 2.0))
    with numpyro.plate("person", people):
        return numpyro.sample("obs", dist.Normal(loc, 1.0), obs=height)


def test_sizes_and_sites_may_have_any_name():
    options = {"method": "nuts", "seed": 0, "simulations": 40, "draws": 9, "warmup": 60}
    tree = calibrate(people, rows=4, thinning=2, **options)
    assert tree.attrs["calibrated"] and tree["prior_sbc"].sizes["draw"] == 40
    with pytest.raises(InputError, match="give it a parameter rows=None"):
        calibrate(lambda x=None, *, a=None, b=None: None if a + b else x, rows=4, **options)


def test_seating_refuses_arguments_that_it_does_not_simulate():
    with pytest.raises(InputError, match="see discounts"):
        calibrate(
            "pitman_yor_chain", method="pitman_yor_gibbs", rows=4, seed=0, vocabulary=4, discounts=3
        )
    with pytest.raises(InputError, match="see vocabulary"):
        calibrate("pitman_yor_chain", method="pitman_yor_gibbs", rows=4, seed=0)
