"""Rows that count several times: what repeated rows would give, whatever is asked."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from jax import random
from numpyro.infer.util import potential_energy

from ppl_models import (
    choose_clusters,
    diagnose,
    fit,
    load,
    loo,
    loo_pit,
    partition,
    predict,
    save,
    sensitivity,
)
from ppl_models.cli import main
from ppl_models.diagnostics.label_invariants import _of_log_likelihood
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.row_weights import copies_drawn, refuse_weights, unweighed_prior
from ppl_models.inference.statistics.assignment_draws import draw_counts
from ppl_models.inference.statistics.e_step import hard, soft
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.models.hidden_markov import hidden_markov
from ppl_models.models.poisson_mixture import poisson_mixture
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model
from ppl_models.program.rows.weights import take_weights
from ppl_models.report.sections.assignments import size_table
from ppl_models.report.sections.comparison import point_numbers

COUNTS = np.array([0, 1, 2, 3, 40, 42, 45, 50, 61])
TIMES = np.array([4, 7, 3, 1, 2, 5, 6, 2, 1])
REPEATED = np.repeat(COUNTS, TIMES)
OPTIONS = {"clusters": 2, "seed": 0, "predictive": 0}
SAMPLER = {"method": "gibbs", "chains": 2, "warmup": 30, "draws": 100}


def student(x=None, *, clusters, rows=None):
    """No statistics sum these rows up, and the priors do not look at them."""
    rows = rows if x is None else len(x)
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(5.0, 5.0))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.StudentT(4.0, loc[z], 1.0), obs=x)


def centred(x=None, *, clusters, rows=None):
    """The prior looks at the data, and does not know of weights."""
    rows = rows if x is None else len(x)
    middle = 0.0 if x is None else jnp.mean(x)
    loc = numpyro.sample("loc", dist.Normal(middle, 5.0))
    with numpyro.plate("row", rows):
        numpyro.sample("x", dist.Normal(loc, 1.0 * clusters), obs=x)


def _pair(function, x, times, **arguments):
    """The problem with weights, and that of the repeated rows."""
    weighted = Model(function, {"x": x}, arguments, {}, weights=times.astype(float))
    written_out = Model(function, {"x": np.repeat(x, times, axis=0)}, arguments, {})
    return [Problem(model, model.structure()) for model in (weighted, written_out)]


PLANE = np.random.default_rng(0).normal(size=(6, 2)).round(1)
CASES = {
    "gaussian": (gaussian_mixture, PLANE, {"clusters": 2}),
    "poisson": (poisson_mixture, COUNTS, {"clusters": 2}),
    "hidden_markov": (hidden_markov, PLANE.reshape(3, 4, 1), {"states": 2}),
    "student": (student, PLANE[:, 0], {"clusters": 2}),
}


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("name", CASES)
def test_the_log_joint_density_is_that_of_repeated_rows(name):
    function, x, arguments = CASES[name]
    one, other = _pair(function, x, np.arange(1, len(x) + 1), **arguments)
    values = one.structure.initial(random.key(1))
    here, there = (
        float(jax.jit(lambda v, p=p: log_joint(p.model, p.structure, v))(values))
        for p in (one, other)
    )
    np.testing.assert_allclose(here, there, rtol=1e-12)
    # NUTS sums rows up in its own way
    free = one.structure.space.unconstrain(values)
    programs = (marginal_program(one), marginal_program(other))
    energies = [
        float(jax.jit(lambda f, p=p: potential_energy(p, (), {}, f))(free)) for p in programs
    ]
    np.testing.assert_allclose(*energies, rtol=1e-11)


@pytest.fixture(scope="module")
def modes():
    arguments = {**OPTIONS, "method": "em", "starts": 4, "tolerance": 0.0}
    table = pd.DataFrame({"x": COUNTS, "n": TIMES})
    return [
        fit("poisson_mixture", table, weights="n", **arguments),
        fit("poisson_mixture", REPEATED, **arguments),
    ]


def test_em_finds_the_mode_of_the_repeated_rows(modes, tmp_path):
    one, other = modes
    for name, value in other["posterior"].data_vars.items():
        np.testing.assert_allclose(
            one["posterior"][name].values.ravel(), value.values.ravel(), rtol=1e-9
        )
    np.testing.assert_allclose(one["sample_stats"]["lp"], other["sample_stats"]["lp"], rtol=1e-12)
    assert one["constant_data"]["row_weights"].values.tolist() == TIMES.tolist()
    save(one, tmp_path / "fit.nc")
    again = load(tmp_path / "fit.nc")
    np.testing.assert_allclose(
        np.repeat(predict(again).values, TIMES, 0), predict(other).values, rtol=1e-6
    )
    for column in ("rows", "share", "expected rows"):
        np.testing.assert_allclose(size_table(again)[column], size_table(other)[column], rtol=1e-6)
    pd.testing.assert_frame_equal(point_numbers(again), point_numbers(other))
    here, there = (
        [str(f) for f in diagnose(t).findings if "iterations" not in f.what] for t in (again, other)
    )
    assert here == there


# (what the others go up is compared above)
@pytest.mark.parametrize(
    "method",
    ["kmeans", *(pytest.param(m, marks=pytest.mark.long) for m in ("map", "hard", "dp_means"))],
)
def test_points_are_those_of_the_repeated_rows(method):
    program = "poisson_mixture"
    arguments = {**OPTIONS, "method": method}
    if method in ("kmeans", "dp_means"):
        program = "gaussian_mixture"
        arguments["covariance"] = "spherical"
    if method == "map":
        arguments |= {"starts": 1, "steps": 400, "batch_size": 1000}
    if method == "hard":
        arguments |= {"starts": 2}
    one = fit(program, COUNTS, weights=TIMES, **arguments)
    other = fit(program, REPEATED, **arguments)
    for name in ("rate",) if program == "poisson_mixture" else ("loc", "scale"):
        values = one["posterior"][name].values.ravel(), other["posterior"][name].values.ravel()
        np.testing.assert_allclose(*values, rtol=1e-6 if method == "map" else 1e-9)


def test_a_weight_of_zero_is_no_row():
    arguments = {**OPTIONS, "method": "em", "starts": 4, "tolerance": 0.0}
    one = fit("poisson_mixture", [*COUNTS, 500], weights=[*TIMES, 0], **arguments)
    assert float(one["posterior"]["rate"].max()) < 60


def test_copies_are_drawn_by_multinomial_counts():
    proportions = np.array([[0.2, 1.0], [0.5, 0.0], [0.3, 0.0]])
    copies = jnp.array([40.0, 7.0])
    draw = jax.jit(jax.vmap(lambda key: draw_counts(key, jnp.log(proportions), copies)))
    drawn = np.asarray(draw(random.split(random.key(0), 2000)))
    assert (drawn.sum(1) == np.asarray(copies)).all()
    assert (drawn[:, 1:, 1] == 0).all()
    spread = np.sqrt(40 * proportions[:, 0] * (1 - proportions[:, 0]))
    assert (abs(drawn[:, :, 0].mean(0) - 40 * proportions[:, 0]) < 5 * spread / np.sqrt(2000)).all()
    np.testing.assert_allclose(drawn[:, :, 0].std(0), spread, rtol=0.1)
    # the copies of one row are in several clusters, as repeated rows would be
    assert np.corrcoef(drawn[:, 0, 0], drawn[:, 1, 0])[0, 1] < -0.3


@pytest.fixture(scope="module")
def chains():
    return [
        fit("poisson_mixture", COUNTS, weights=TIMES, **OPTIONS, **SAMPLER),
        fit("poisson_mixture", REPEATED, **OPTIONS, **SAMPLER),
    ]


def test_gibbs_and_leave_one_out_are_those_of_the_repeated_rows(chains):
    one, other = chains
    for name in ("rate", "weights"):
        here, there = (t["posterior"][name] for t in (one, other))
        error = np.hypot(*(v.std(("chain", "draw")) / np.sqrt(50) for v in (here, there)))
        assert bool(
            (abs(here.mean(("chain", "draw")) - there.mean(("chain", "draw"))) < 5 * error).all()
        )
    # leave-one-out of the same draws, the rows written out
    repeated = other.copy()
    repeated["log_likelihood"] = one["log_likelihood"].isel(row=np.repeat(np.arange(9), TIMES))
    repeated["posterior"] = one["posterior"]
    mine, theirs = loo(one, mend=False), loo(repeated, mend=False)
    for name in ("elpd", "se", "n_data_points", "p"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-9)
    total = _of_log_likelihood(one, "x")["total_log_likelihood"].values
    np.testing.assert_allclose(total, repeated["log_likelihood"]["x"].sum("row").values, rtol=1e-9)
    repeated["log_prior"], repeated["sample_stats"] = one["log_prior"], one["sample_stats"]
    np.testing.assert_allclose(
        sensitivity(one).loc["rate[0]", ["prior", "likelihood"]].astype(float),
        sensitivity(repeated).loc["rate[0]", ["prior", "likelihood"]].astype(float),
        rtol=1e-6,
    )
    with pytest.raises(UnsupportedError, match="no one partition"):
        partition(one)
    with pytest.raises(UnsupportedError, match=r"numpy\.repeat"):
        loo_pit(one)


def test_criteria_count_rows_as_often_as_they_weigh():
    arguments = {"seed": 0, "starts": 2}
    one = choose_clusters("poisson_mixture", COUNTS, [1, 2], weights=TIMES, **arguments)
    other = choose_clusters("poisson_mixture", REPEATED, [1, 2], **arguments)
    for column in ("log_likelihood", "bic", "aic", "icl"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-7)
    with pytest.raises(InputError, match="heldout"):
        choose_clusters("poisson_mixture", COUNTS, [1], weights=TIMES, heldout=0.2, **arguments)


def test_what_is_hidden_in_copies_is_drawn_on_rows_written_out():
    one, other = _pair(student, PLANE[:, 0], np.arange(1, 7), clusters=2)
    drawn = copies_drawn("gibbs", one, keep_assignments=False)
    assert drawn.structure.rows == 21
    np.testing.assert_array_equal(drawn.model.data["x"], other.model.data["x"])
    with pytest.raises(UnsupportedError, match="leave keep_assignments out"):
        copies_drawn("gibbs", one, keep_assignments=True)
    with pytest.raises(UnsupportedError, match="1,000,000"):
        many = Problem(replace(one.model, weights=1e6 * np.ones(6)), one.structure)
        copies_drawn("gibbs", many, keep_assignments=False)


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(UnsupportedError, match=r"counts every row once.*numpy\.repeat"):
        fit("pitman_yor_chain", ["ab"], weights=[2], method="kneser_ney", seed=0)
    with pytest.raises(UnsupportedError, match=r"weights\[0\] is 0.5"):
        fit("poisson_mixture", COUNTS, weights=TIMES / 8, **OPTIONS, **SAMPLER)
    one, _ = _pair(centred, PLANE[:, 0], np.arange(1, 7), clusters=2)
    assert unweighed_prior(one.model, one.structure) == "loc"
    with pytest.raises(UnsupportedError, match=r"prior of site 'loc'.*row_weights"):
        refuse_weights("em", one)
    known, _ = _pair(student, PLANE[:, 0], np.arange(1, 7), clusters=2)
    assert unweighed_prior(known.model, known.structure) is None


def test_weights_are_numbers_or_a_column():
    for wrong, said in (
        ([1, 2], "2 weights and 9 rows"),
        (-TIMES, r"weights\[0\] is -4"),
        ("n", "no table with columns"),
        (["a"] * 9, "not numeric"),
        (0 * TIMES, "all weights are 0"),
    ):
        with pytest.raises(InputError, match=said):
            fit("poisson_mixture", COUNTS, weights=wrong, method="em", **OPTIONS)

    def own(x=None, *, weights): ...

    with pytest.raises(InputError, match="argument 'weights' of its own"):
        fit(own, COUNTS, weights=TIMES, method="em", seed=0)
    rest, actual = take_weights({"x": pd.DataFrame({"a": [1, 2], "n": [3, 4]}), "y": [0, 1]}, "n")
    assert list(rest["x"].columns) == ["a"]
    assert actual.tolist() == [3, 4]


def test_the_command_line_reads_a_column_of_counts(tmp_path):
    pd.DataFrame({"x": COUNTS, "n": TIMES}).to_csv(tmp_path / "table.csv", index=False)
    command = ["fit", "poisson_mixture", str(tmp_path / "table.csv"), "--clusters", "2", "--quiet"]
    command += ["--method", "em", "--weights", "n", "--out", str(tmp_path / "fit.nc")]
    assert main(command) == 0
    assert load(tmp_path / "fit.nc")["constant_data"]["row_weights"].sum() == TIMES.sum()


@pytest.mark.parametrize("how", [soft, hard], ids=["soft", "hard"])
def test_an_impossible_row_that_counts_for_nothing_adds_nothing(how):
    logits = jnp.array([[0.0, -jnp.inf], [-1.0, -jnp.inf]])
    weights, normaliser = how(logits, jnp.array([2.0, 0.0]))
    alone, own = how(logits[:, :1], jnp.array([2.0]))
    np.testing.assert_array_equal(weights, np.concatenate([alone, np.zeros((2, 1))], 1))
    np.testing.assert_array_equal(normaliser, [own[0], 0.0])
