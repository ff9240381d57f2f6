"""Idioms of NumPyro's own examples: names, sizes and types that a fit has to work around."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.contrib.control_flow import scan

import ppl_models
from ppl_models import diagnose, fit
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.posterior.build.notes import notes_of_fit
from ppl_models.program.handlers.scan_carries import OneTypeOfCarry
from ppl_models.program.parameters.axes import cluster_axes
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

COUNTS = np.array([[0, 1, 1, 0], [1, 0, 1, 1]])
GROUP = np.repeat(np.arange(8), 3)
SPREAD = np.tile([-1.0, 0.0, 1.0], 8)  # the same mean in every group


def read(program, data, **arguments):
    with scope("float64"):
        observed = read_data(program, data, arguments=arguments)
        return read_program(program, observed, arguments, {}, "float64")


def log_joint(model, structure):
    """Ours, nothing summed out, at the values of one draw near 0; and these values."""
    with scope("float64"):
        values = structure.initial(jax.random.key(1))
        total = model.summed(model.logits(values, structure)[0])
        return float(total + model.log_prior(values, structure)), values


def theirs(program, values, *data):
    """NumPyro's, of the program as it is written."""
    with scope("float64"):
        return float(numpyro.infer.util.log_density(program, data, {}, dict(values))[0])


def plate_called_data(data):
    loc = numpyro.sample("loc", dist.Normal(0, 1))
    with numpyro.plate("data", len(data)):
        numpyro.sample("obs", dist.Normal(loc, 1), obs=data)


def plate_called_as_a_covariate(time, y=None):
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    with numpyro.plate("time", len(time)):
        numpyro.sample("y", dist.Normal(slope * time, 1), obs=y)


@pytest.mark.parametrize(
    ("program", "data", "emitted"),
    [
        (plate_called_data, {"data": np.arange(5.0)}, "data"),
        (plate_called_as_a_covariate, {"time": np.arange(5.0), "y": np.arange(5.0) ** 2}, "y"),
    ],
)
def test_a_plate_may_have_the_name_of_data(program, data, emitted):
    model, structure = read(program, data)
    plate = f"{next(iter(data))}_row"
    assert structure.emissions == (emitted,) and structure.plate == plate
    again, _ = read(program, data)
    assert again.function is model.function  # what was compiled for it serves it again
    ours, values = log_joint(model, structure)
    assert ours == pytest.approx(theirs(program, values, *data.values()), rel=1e-12)


def test_a_plate_of_datas_name_after_the_fit(tmp_path):
    data = {"time": np.arange(5.0), "y": np.arange(5.0) ** 2}
    tree = fit(plate_called_as_a_covariate, data, method="em", seed=0, predictive=5)
    ppl_models.save(tree, tmp_path / "fit.nc")
    again = ppl_models.load(tmp_path / "fit.nc")
    density = ppl_models.log_density(again)
    assert density.dims == ("time_row",)
    np.testing.assert_allclose(density, ppl_models.log_density(tree))


def transposed(words):
    """A site that has its data's name, and observes them turned round."""
    proportion = numpyro.sample("share", dist.Beta(1, 1))
    with numpyro.plate("documents", words.shape[0]):
        with numpyro.plate("places", words.shape[1], dim=-2):
            numpyro.sample("words", dist.Bernoulli(proportion), obs=words.T)


def of_squares(x):
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Normal(loc, 1.0), obs=x**2)


@pytest.mark.parametrize(
    ("program", "data"), [(transposed, {"words": COUNTS}), (of_squares, {"x": np.arange(4.0)})]
)
def test_a_site_may_have_the_name_of_what_it_is_computed_from(program, data):
    (name,) = data
    model, structure = read(program, data)
    assert structure.emissions == (f"{name}_obs",)
    ours, values = log_joint(model, structure)
    assert ours == pytest.approx(theirs(program, values, *data.values()), rel=1e-12)


def censored(x, time, event):
    """All that is said of the data is a factor."""
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    survival = dist.Weibull(jnp.exp(slope * x), 1.5)
    with numpyro.plate("patients", len(time)):
        lasting = -((time / jnp.exp(slope * x)) ** 1.5)
        numpyro.factor("likelihood", jnp.where(event == 1, survival.log_prob(time), lasting))


def test_a_factor_may_be_all_that_is_said_of_the_data():
    data = {"x": np.array([0.0, 1.0, 2.0]), "time": np.array([1.0, 0.5, 2.0]), "event": [1, 0, 1]}
    model, structure = read(censored, data)
    assert structure.likelihoods == ("time",)
    ours, values = log_joint(model, structure)
    again, _ = read(censored, dict(sorted(data.items())))  # as a file may have them
    assert again.function is model.function
    wanted = theirs(censored, values, data["x"], data["time"], np.array(data["event"]))
    assert ours == pytest.approx(wanted, rel=1e-12)
    (note,) = notes_of_fit(censored, Problem(model, structure), {}, {})
    assert "called by 'time'" in note


def survivors(histories):
    """A scan that carries whole numbers of 32 bits on, as NumPyro's capture–recapture models do."""
    survival = numpyro.sample("survival", dist.Uniform(0, 1))

    def step(carry, seen):
        first, alive = carry
        with numpyro.plate("animals", histories.shape[0]), handlers.mask(mask=first):
            alive = numpyro.sample("alive", dist.Bernoulli(survival * alive))
            numpyro.sample("seen", dist.Bernoulli(0.5 * alive), obs=seen)
        return (first | seen.astype(bool), alive), None

    alive = jnp.ones(histories.shape[0], jnp.int32)
    scan(step, (histories[:, 0].astype(bool), alive), histories[:, 1:].T)


def test_a_scan_may_carry_whole_numbers_of_32_bits():
    _, structure = read(survivors, {"histories": COUNTS})
    assert structure.chain is not None and structure.chain.states == 2


def test_a_narrow_number_that_a_scan_carries_is_not_cut():
    """In eight bits 200 would be -56."""

    def add(total, step):
        return total + step, total

    def run():
        return scan(add, jnp.zeros((), jnp.int8), jnp.full(2, 100, jnp.int32))

    with pytest.raises(TypeError, match="int8"):
        OneTypeOfCarry(handlers.seed(run, 0))()


def in_single(y):
    """A scan of JAX's own, which runs in single precision only."""
    scale = numpyro.sample("scale", dist.HalfNormal(1))
    last, _ = jax.lax.scan(lambda c, v: (c + v, None), jnp.zeros((), jnp.float32), y)
    numpyro.sample("y", dist.Normal(last, scale).expand(y.shape).to_event(1), obs=y)


def test_what_runs_in_single_precision_only_is_told_so():
    with pytest.raises(InputError, match=r"has type float32.*give precision='float32'\)$"):
        read(in_single, {"y": np.arange(3.0)})
    with scope("float32"):
        observed = read_data(in_single, {"y": np.arange(3.0)}, arguments={})
        read_program(in_single, observed, {}, {}, "float32")


def sized_by_values(county, y=None):
    """NumPyro's tutorials count groups by the values of the data."""
    tau = numpyro.sample("tau", dist.HalfNormal(1))
    with numpyro.plate("counties", len(np.unique(county))):
        level = numpyro.sample("level", dist.Normal(0, tau))
    with numpyro.plate("rows", int(county.max()) * 3 + 3):
        numpyro.sample("obs", dist.Normal(level[county], 1), obs=y)


@pytest.fixture(scope="module")
def of_groups():
    return fit(sized_by_values, {"county": GROUP, "y": SPREAD}, method="em", seed=0, predictive=5)


def test_sizes_may_be_taken_from_the_values_of_data(of_groups, tmp_path):
    assert of_groups["posterior"]["level"].sizes["counties"] == 8
    np.testing.assert_array_equal(of_groups["constant_data"]["county"], GROUP)
    density = ppl_models.log_density(of_groups)
    ppl_models.save(of_groups, tmp_path / "fit.nc")
    again = ppl_models.load(tmp_path / "fit.nc")
    np.testing.assert_allclose(ppl_models.log_density(again), density)
    wanted = -0.5 * SPREAD**2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(density, wanted, atol=1e-3)  # τ = 0


def test_a_scale_that_a_joint_mode_sets_to_zero_is_told(of_groups):
    said = [f for f in diagnose(of_groups).findings if "'tau' went to 0" in f.what]
    assert [f.severity for f in said] == ["problem"]


def sequences_and_lengths(sequences, lengths):
    rate = numpyro.sample("rate", dist.Gamma(1, 1))
    seen = jnp.arange(sequences.shape[1]) < lengths[:, None]
    with numpyro.plate("n", len(lengths)), handlers.mask(mask=seen.any(-1)):
        numpyro.sample("obs", dist.Poisson(rate).expand((4,)).to_event(1), obs=sequences)


def test_data_may_have_the_name_of_a_size():
    _, structure = read(sequences_and_lengths, {"sequences": COUNTS, "lengths": [4, 3]})
    assert structure.emissions == ("sequences",)


def imputing(age, y=None):
    """Ages that are missing are sites, which every site takes in their place."""
    mean = numpyro.sample("mean", dist.Normal(0, 1))
    lacking = jnp.isnan(age)
    guess = numpyro.sample("guess", dist.Normal(0, 1).mask(False).expand(age.shape).to_event(1))
    full = jnp.where(lacking, guess, age)
    numpyro.sample("age", dist.Normal(mean, 1), obs=full)
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    with numpyro.plate("people", len(age)):
        numpyro.sample("obs", dist.Normal(slope * full, 1), obs=y)


def test_a_program_may_impute_covariates_itself():
    data = {"age": np.array([0.5, np.nan, -1.0]), "y": np.array([1.0, 2.0, 0.3])}
    model, structure = read(imputing, data)
    assert structure.emissions == ("y",) and structure.factors == ("age_obs",)
    ours, values = log_joint(model, structure)
    assert ours == pytest.approx(theirs(imputing, values, *data.values()), rel=1e-12)
    with pytest.raises(InputError, match="is not observed at a site.*jnp.isnan"):
        read(plate_called_as_a_covariate, {"time": data["age"], "y": data["y"]})


def autoregression(y):
    """NumPyro's AR(2): a scan that is conditioned on a part of the data."""
    slopes = numpyro.sample("slopes", dist.Normal(0, 1).expand([2]))

    def step(before, _):
        mean = slopes[0] * before[0] + slopes[1] * before[1]
        now = numpyro.sample("y", dist.Normal(mean, 1))
        return (now, before[0]), None

    with handlers.condition(data={"y": y[2:]}):
        scan(step, (y[1], y[0]), jnp.arange(2, len(y)))


def test_a_scan_may_be_conditioned_on_a_part_of_the_data():
    y = np.array([0.1, 0.5, -0.2, 0.9, 0.3])
    model, structure = read(autoregression, {"y": y})
    assert structure.emissions == ("y_obs",)
    ours, values = log_joint(model, structure)
    with scope("float64"):
        assert ours == pytest.approx(theirs(autoregression, values, jnp.asarray(y)), rel=1e-12)


def topics(words, *, kinds):
    """NumPyro's LDA: shares by document, words in an inner plate, turned round."""
    with numpyro.plate("topics", kinds):
        table = numpyro.sample("table", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("documents", words.shape[0], dim=-1):
        proportions = numpyro.sample("shares", dist.Dirichlet(jnp.ones(kinds)))
        with numpyro.plate("places", words.shape[1], dim=-2):
            z = numpyro.sample("z", dist.Categorical(proportions))
            numpyro.sample("words", dist.Categorical(table[z]), obs=words.T)


def test_shares_by_document_are_no_weights_of_all_rows():
    words = np.array([[0, 1, 2, 2], [1, 1, 0, 0], [2, 0, 2, 1]])
    model, structure = read(topics, {"words": words}, kinds=2)
    with scope("float64"):
        problem = Problem(model, structure)
        assert cluster_axes(structure, problem.parameter_map)["shares"] == ()
