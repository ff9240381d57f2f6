"""Clusters some of whose parameters are known: entries of ``fixed=`` that are NaN are found."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer.util import potential_energy

from ppl_models import fit, generate, load, predict, save
from ppl_models.cli import main
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.models.categorical_mixture import categorical_mixture
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.posterior.result.schema import facts_of
from ppl_models.program.handlers.partly_fixed import PartlyFixed, partly_fixed
from ppl_models.program.log_joint import log_joint
from ppl_models.program.reading import read_data, read_program
from ppl_models.report.sections.reproduction import python_call

DRAW = np.random.default_rng(0)
PLANE = np.r_[
    DRAW.normal(0, 1, (20, 2)), DRAW.normal(5, 1, (20, 2)), DRAW.normal((9, 0), 1, (9, 2))
]
NAN = np.nan
LOC = np.array([[0.0, 0.0], [NAN, NAN], [NAN, NAN]])
OPTIONS = {"seed": 0, "predictive": 0}


def _problems(program, data, fixed, **arguments):
    """The problem of a part that is held, and that of nothing held."""
    observed = read_data(program, data)
    return [
        Problem(*read_program(program, observed, arguments, held, "float64"))
        for held in (fixed, {})
    ]


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("covariance", ["diagonal", pytest.param("full", marks=pytest.mark.long)])
def test_the_density_is_that_of_the_whole_sites_at_the_known_values(covariance):
    fixed = {"loc": LOC}
    if covariance == "diagonal":
        fixed["scale"] = np.array([[1.0, 2.0], [NAN, NAN], [NAN, NAN]])
    if covariance == "full":
        fixed["covariance"] = np.array([np.eye(2), np.full((2, 2), NAN), np.full((2, 2), NAN)])
    held, free = _problems(gaussian_mixture, PLANE, fixed, clusters=3, covariance=covariance)
    values = held.structure.initial(random.key(1))
    complete = {n: v for n, v in values.items() if not n.endswith("_unknown")}
    for name, known in fixed.items():
        complete[name] = jnp.asarray(known).at[1:].set(values[f"{name}_unknown"])
    # but for the prior of the known entries, which are constants
    priors = free.model.pieces(complete, free.structure).priors
    known = sum(float(priors[n].log_prob(complete[n]).reshape(3, -1)[0].sum()) for n in fixed)
    joint = float(log_joint(held.model, held.structure, values))
    np.testing.assert_allclose(
        float(log_joint(free.model, free.structure, complete)), joint + known, rtol=1e-9
    )
    program = marginal_program(held)
    image = held.structure.space.unconstrain(values)
    energy = jax.jit(lambda f: potential_energy(program, (), {}, f))(image)
    _, volume = held.structure.space.constrain_with_volume(image)
    np.testing.assert_allclose(-float(energy), joint + float(volume), rtol=1e-10)
    assert held.labels.classes == ((1, 2),)


@pytest.mark.usefixtures("double_precision")
def test_nuts_takes_a_site_that_is_held_for_a_constant_as_all_others_do():
    """Its prior has a rate that moves, which what is held says nothing of."""
    held, _ = _problems(
        gaussian_mixture, PLANE, {"scale": np.ones((3, 2))}, clusters=3, covariance="diagonal"
    )
    values = held.structure.initial(random.key(1))
    image = held.structure.space.unconstrain(values)
    program = marginal_program(held)
    energy = jax.jit(lambda f: potential_energy(program, (), {}, f))(image)
    _, volume = held.structure.space.constrain_with_volume(image)
    joint = float(log_joint(held.model, held.structure, values))
    np.testing.assert_allclose(-float(energy), joint + float(volume), rtol=1e-10)


@pytest.mark.usefixtures("double_precision")
def test_shares_that_are_not_known_are_dirichlet_over_what_is_left():
    held, free = _problems(
        categorical_mixture, np.array([[0, 1], [1, 1], [2, 0]]),
        {"weights": [0.25, NAN, NAN]}, clusters=3, concentration=2.0,
    )  # fmt: skip
    trace = handlers.trace(handlers.seed(held.model.held(), 0)).get_trace()
    assert "weights" not in held.structure.names
    proportions = trace["weights"]["value"]
    np.testing.assert_allclose(proportions[1:], 0.75 * trace["weights_unknown"]["value"], rtol=1e-6)
    assert float(proportions[0]) == 0.25
    values = [held.structure.initial(random.key(i)) for i in range(2)]
    gaps = []
    for each in values:
        complete = {**each, "weights": jnp.append(0.25, 0.75 * each["weights_unknown"])}
        del complete["weights_unknown"]
        gaps.append(
            float(log_joint(free.model, free.structure, complete))
            - float(log_joint(held.model, held.structure, each))
        )
    np.testing.assert_allclose(*gaps, rtol=1e-9)


@pytest.fixture(scope="module")
def mode():
    return fit("gaussian_mixture", PLANE, method="em", clusters=3, covariance="diagonal",
               fixed={"loc": LOC}, starts=4, **OPTIONS)  # fmt: skip


def test_em_finds_the_others(mode, tmp_path):
    loc = mode["posterior"]["loc"]
    assert loc.dims == ("chain", "draw", "cluster", "feature")
    actual = loc.values[0, 0]
    assert (actual[0] == 0).all()
    means = np.sort(actual[1:, 0])
    assert abs(means - [5, 9]).max() < 0.7
    facts = facts_of(mode)
    assert facts.emission.parameters["loc"].site == "loc"
    assert facts.labels.classes == ((1, 2),)
    assert mode.attrs["parameters"] == 2 * 2 + 6 + 2
    save(mode, tmp_path / "fit.nc")
    again = load(tmp_path / "fit.nc")
    np.testing.assert_allclose(predict(again), predict(mode))
    assert predict(again, [[0.1, -0.1]]).values[0, 0] > 0.9
    assert generate(again, 3, seed=0)["x"].shape == (3, 2)
    assert "[[0.0, 0.0], [np.nan, np.nan], [np.nan, np.nan]]" in python_call(mode)


@pytest.mark.parametrize("method", ["gibbs", pytest.param("nuts", marks=pytest.mark.long)])
def test_draws_agree_with_the_conditional_in_closed_form(method):
    """One known cluster far away, so that the other's mean has a normal posterior."""
    x = np.r_[np.zeros(5) + 100, [1.0, 2.0, 4.0, 3.0]]
    arguments = {"clusters": 2, "covariance": "spherical", **OPTIONS}
    fixed = {"loc": [100.0, NAN], "weights": [0.5, 0.5], "scale": [1.0, 1.0]}
    held, _ = _problems(gaussian_mixture, x[:, None], fixed, **{
        n: arguments[n] for n in ("clusters", "covariance")})  # fmt: skip
    prior = held.example.priors["loc_unknown"]
    variance = 1 / (1 / np.asarray(prior.variance).item() + 4)
    mean = variance * (np.asarray(prior.mean).item() / np.asarray(prior.variance).item() + 10)
    options = {"chains": 2, "warmup": 100, "draws": 400, "starts": 2}
    tree = fit("gaussian_mixture", x, method=method, fixed=fixed, **options, **arguments)
    drawn = tree["posterior"]["loc"].values[..., 1].ravel()
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / 100), method
    np.testing.assert_allclose(drawn.std(), np.sqrt(variance), rtol=0.3)


def test_a_known_part_is_checked():
    for value, said in (
        (np.full((3, 2), NAN), "has no value for any entry"),
        (np.array([[-1.0, 1.0], [NAN, NAN]]), "outside"),
    ):
        with pytest.raises(InputError, match=said):
            partly_fixed("scale", value, dist.constraints.positive)
    with pytest.raises(InputError, match="sum to 1.2"):
        partly_fixed("weights", np.array([0.6, 0.6, NAN]), dist.constraints.simplex)
    with pytest.raises(InputError, match="part of a vector"):
        partly_fixed("probs", np.array([[0.5, NAN], [0.5, 0.5]]), dist.constraints.simplex)
    rows = partly_fixed("probs", np.array([[0.5, 0.5], [NAN, NAN]]), dist.constraints.simplex)
    assert isinstance(rows, PartlyFixed)
    assert partly_fixed("w", np.array([0.3, NAN]), dist.constraints.simplex).tolist() == [0.3, 0.7]
    entry = partly_fixed("loc", np.array([[1.0, NAN], [NAN, NAN]]), dist.constraints.real)
    assert entry.mask.sum() == 3


def test_methods_that_set_the_centres_themselves_refuse():
    problem = SimpleNamespace(model=SimpleNamespace(fixed={}, partly={"loc": None}))
    from ppl_models.inference.kmeans.spheres import FREE_SITES

    assert "held by fixed=" in FREE_SITES.lack(problem).reason
    with pytest.raises(UnsupportedError, match="held by fixed=.*'em'"):
        fit("gaussian_mixture", PLANE, method="kmeans", clusters=3, covariance="spherical",
            fixed={"loc": LOC}, **OPTIONS)  # fmt: skip


def test_the_command_line_takes_null_for_what_is_not_held(tmp_path):
    np.savetxt(tmp_path / "x.csv", PLANE, delimiter=",", header="a,b", comments="")
    command = ["fit", "gaussian_mixture", str(tmp_path / "x.csv"), "--clusters", "3", "--quiet"]
    command += ["--method", "em", "--set", 'fixed={"loc": [[0, 0], null, null]}', "--set"]
    command += ["covariance=diagonal", "--set", "starts=4", "--out", str(tmp_path / "fit.nc")]
    assert main(command) == 0
    assert (load(tmp_path / "fit.nc")["posterior"]["loc"].values[0, 0, 0] == 0).all()
