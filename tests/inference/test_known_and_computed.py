"""Assignments that are known for some rows, data that the program computes, factors of the rows."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.infer.util import log_density as numpyro_density

from ppl_models import fit, generate, impute, load, log_density, loo, predict, save
from ppl_models.data import Bits, Categories, Counts, Reals
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.program.log_joint import log_joint
from ppl_models.program.reading import read_data, read_program

PARALLEL = {"enumerate": "parallel"}
DRAW = np.random.default_rng(0)
KIND = np.repeat([0, 1], 20)


def partly_known(
    x: Annotated[Any, Reals] = None,
    kind: Annotated[Any, Categories] = None,
    asked: Annotated[Any, Bits] = None,
):
    """Two kinds, known of those who were asked."""
    proportion = numpyro.sample("share", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("part", 2):
        loc = numpyro.sample("loc", dist.Normal(0.0, 3.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample(
            "z", dist.Categorical(proportion), obs=kind, obs_mask=asked == 1, infer=PARALLEL
        )
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def of_logs(income: Annotated[Any, Reals] = None, *, rows=None):
    """Incomes, whose logarithms are observed."""
    rows = rows if income is None else len(income)
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("row", rows):
        logs = None if income is None else jnp.log(income)
        numpyro.sample("log_income", dist.Normal(loc, spread), obs=logs)


def masked(x: Annotated[Any, Bits] = None):
    """Answers, the missing ones masked by the program."""
    p = numpyro.sample("p", dist.Beta(2.0, 2.0).expand([2, 3]).to_event(2))
    seen = ~jnp.isnan(x)
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
        values = jnp.where(seen, x, 0)
        numpyro.sample("x", dist.Bernoulli(p[z]).mask(seen).to_event(1), obs=values)


def filled(x: Annotated[Any, Bits] = None):
    """Missing answers counted as no."""
    p = numpyro.sample("p", dist.Beta(2.0, 2.0).expand([3]).to_event(1))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Bernoulli(p).to_event(1), obs=jnp.nan_to_num(x))


def by_factor(dose: Annotated[Any, Reals] = None, y: Annotated[Any, Counts] = None):
    """A Poisson regression written as a factor."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(dose)):
        numpyro.factor("y", dist.Poisson(jnp.exp(slope * dose)).log_prob(y))


def tilted(x: Annotated[Any, Reals] = None):
    """Two clusters, rows in the second of which count less."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    with numpyro.plate("cluster", 2):
        numpyro.factor("spread", -0.1 * loc**2)
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
        numpyro.factor("tilt", jnp.where(z == 1, -jnp.abs(loc[1]), 0.0))
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def hurdle(dose: Annotated[Any, Reals] = None, y: Annotated[Any, Counts] = None):
    """NumPyro's own hurdle of a negative binomial."""
    gate = numpyro.sample("gate", dist.Beta(2.0, 2.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(dose)):
        mean = jnp.exp(1 + slope * dose)
        numpyro.sample("y", dist.HurdleNegativeBinomial2(gate, mean, 5.0), obs=y)


X = np.array([-2.0, 2.0])[KIND] + DRAW.normal(size=40)
ASKED = np.r_[1, np.zeros(19), 1, 0, 1, np.zeros(17)].astype(int)
DOSE = DRAW.normal(size=40)
HOLED = np.where(DRAW.uniform(size=(40, 3)) < 0.2, np.nan, DRAW.integers(0, 2, (40, 3)))
DATA = {
    partly_known: {"x": X, "kind": np.where(ASKED == 1, KIND, 0), "asked": ASKED},
    of_logs: {"income": np.exp(DRAW.normal(1, 0.5, size=40))},
    masked: {"x": HOLED},
    by_factor: {"dose": DOSE, "y": DRAW.poisson(np.exp(0.5 * DOSE))},
    tilted: {"x": X},
    hurdle: {"dose": DOSE, "y": DRAW.poisson(np.exp(1 + 0.5 * DOSE))},
}


def fitted(program, method="em", data=None, **options):
    values = DATA[program] if data is None else data
    options = {"seed": 0, "predictive": 2, **options}
    if method == "em":
        options = {"starts": 2, **options}
    return fit(program, values, method=method, **options)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("program", DATA, ids=lambda p: p.__name__)
def test_density_is_that_of_bare_numpyro(program):
    """Rows are independent: the sum over a row's values, one row at a time."""
    data = DATA[program]
    model, structure = read_program(program, read_data(program, data), {}, {}, "float64")

    @jax.jit
    def both(values):
        return log_joint(model, structure, values), by_numpyro(program, data, structure, values)

    ours, expected = both(structure.initial(random.key(1)))
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


def by_numpyro(program, data, structure, values):
    """The log joint density, summed over a row's assignments."""
    if structure.assignment is None:
        expected = numpyro_density(program, (), data, values)[0]
    else:
        traces = []
        for k in (0, 1):
            held = {**values, str(structure.assignment): jnp.full(40, k)}
            program_at = handlers.substitute(handlers.seed(program, 0), data=held)
            traces.append(handlers.trace(program_at).get_trace(**data))
        rows, rest = [], 0.0
        for trace in traces:
            row, rest = jnp.zeros(40), 0.0
            for site in trace.values():
                if site["type"] != "sample":
                    continue
                density = site["fn"].log_prob(site["value"])
                if [f.name for f in site["cond_indep_stack"]] == ["row"]:
                    row = row + density
                else:
                    rest = rest + density.sum()
            rows.append(row)
        table = jnp.stack(rows)
        if program is partly_known:  # a row that is known has one value, not two
            table = jnp.where((ASKED == 0) | (jnp.arange(2)[:, None] == KIND), table, -jnp.inf)
        expected = logsumexp(table, axis=0).sum() + rest
    return expected


@pytest.fixture(scope="module")
def known():
    return fitted(partly_known)


@pytest.mark.usefixtures("double_precision")
def test_known_rows_are_in_their_kinds(known, tmp_path):
    probabilities = predict(known)
    np.testing.assert_array_equal(probabilities[ASKED == 1], np.eye(2)[KIND[ASKED == 1]])
    assert (probabilities[ASKED == 0] > 0).all()
    at = {n: known["posterior"][n].values[0, 0] for n in ("share", "loc")}
    logits = np.log(at["share"]) - 0.5 * (X[:, None] - at["loc"]) ** 2 - 0.5 * np.log(2 * np.pi)
    logits = np.where((ASKED == 0)[:, None] | (np.arange(2) == KIND[:, None]), logits, -np.inf)
    np.testing.assert_allclose(log_density(known), logsumexp(logits, axis=1), rtol=1e-9)
    np.testing.assert_allclose(at["loc"], [-2, 2], atol=0.7)  # by the labels, in their order
    save(known, tmp_path / "fit.nc")
    np.testing.assert_array_equal(predict(load(tmp_path / "fit.nc")), probabilities)


def test_what_is_generated_keeps_the_known_kinds(known):
    many = {"x": np.tile(X, 50), "kind": np.zeros(2000, int), "asked": np.ones(2000, int)}
    covariates = {n: many[n] for n in ("kind", "asked")}
    made = generate(known, 2000, seed=1, covariates=covariates)["x"].values
    loc = known["posterior"]["loc"].values[0, 0, 0]
    assert abs(made.mean() - loc) < 4 / np.sqrt(2000)


@pytest.mark.long
def test_gibbs_and_nuts_agree_where_kinds_are_known():
    options = {"chains": 2, "warmup": 200, "draws": 400, "starts": 2, "predictive": 0}
    trees = [fitted(partly_known, m, **options) for m in ("gibbs", "nuts")]
    gibbs, nuts = (t["posterior"]["loc"] for t in trees)
    gap = abs(gibbs.mean(("chain", "draw")) - nuts.mean(("chain", "draw")))
    assert float((gap / nuts.std(("chain", "draw"))).max()) < 0.35
    assert loo(trees[1]).n_data_points == 40


@pytest.mark.usefixtures("double_precision")
def test_data_that_the_program_computes():
    tree = fitted(of_logs)
    logs = np.log(DATA[of_logs]["income"])
    np.testing.assert_allclose(tree["observed_data"]["log_income"], logs)
    np.testing.assert_allclose(tree["constant_data"]["income"], DATA[of_logs]["income"])
    loc = tree["posterior"]["loc"].item()
    assert abs(loc - logs.mean()) < 0.02
    new = log_density(tree, [1.0, 2.0])
    spread = tree["posterior"]["spread"].item()
    by_hand = dist.Normal(loc, spread).log_prob(np.log([1.0, 2.0]))
    np.testing.assert_allclose(new, by_hand, rtol=1e-9)
    made = generate(tree, 500, seed=0)
    assert set(made) == {"log_income"}
    assert abs(made["log_income"].values.mean() - loc) < 4 * spread / np.sqrt(500)
    gone = np.where(np.arange(40) == 3, np.nan, DATA[of_logs]["income"])
    drawn = impute(tree, gone, seed=0, draws=5)["log_income"]
    assert np.isfinite(drawn).all()


# (the density of this program: test_density_is_that_of_bare_numpyro)
@pytest.mark.long
def test_masked_answers_are_missing_ones():
    tree = fitted(masked, predictive=0)
    assert np.isfinite(impute(tree, seed=0, draws=3)["x"]).all()
    assert predict(tree).sizes == {"row": 40, "cluster": 2}
    with pytest.raises(UnsupportedError, match="which count as data: exclude them with .mask"):
        fitted(filled, data={"x": HOLED})


@pytest.mark.usefixtures("double_precision")
def test_factors_of_rows():
    tree = fitted(by_factor)
    slope = tree["posterior"]["slope"].item()
    data = DATA[by_factor]
    score = ((data["y"] - np.exp(slope * DOSE)) * DOSE).sum() - slope
    assert abs(score) < 1e-4
    np.testing.assert_allclose(
        log_density(tree), dist.Poisson(np.exp(slope * DOSE)).log_prob(data["y"]), rtol=1e-9
    )
    assert "does not say how rows are drawn" in tree.attrs["notes"]
    with pytest.raises(InputError, match="there is nothing to predict: use log_density$"):
        predict(tree)
    for function in (lambda: generate(tree, 3, seed=0), lambda: impute(tree, seed=0)):
        with pytest.raises(UnsupportedError, match="'y' is part of the density of every"):
            function()
    y = np.where(np.arange(40) == 2, np.nan, data["y"])
    with pytest.raises(InputError, match="'y' has missing cells, of which factor 'y' has no dens"):
        fitted(by_factor, data={"dose": DOSE, "y": y})


def test_a_factor_that_cannot_be_given_to_rows():
    def across(x=None):
        with numpyro.plate("row", len(x)):
            z = numpyro.sample("z", dist.Bernoulli(0.5), infer=PARALLEL)
            numpyro.sample("x", dist.Normal(z, 1.0), obs=x)
        numpyro.factor("balance", -jnp.square(z.mean() - 0.5))

    with pytest.raises(UnsupportedError, match="factor 'balance' depends on site 'z'"):
        fitted(across, data={"x": X})


# (the density of this program: test_density_is_that_of_bare_numpyro)
@pytest.mark.long
@pytest.mark.usefixtures("double_precision")
def test_a_hurdle_of_a_negative_binomial():
    tree = fitted(hurdle, predictive=0)
    at = {n: tree["posterior"][n].item() for n in ("gate", "slope")}
    hurdles = dist.HurdleNegativeBinomial2(at["gate"], np.exp(1 + at["slope"] * DOSE), 5.0)
    np.testing.assert_allclose(log_density(tree), hurdles.log_prob(DATA[hurdle]["y"]), rtol=1e-9)
    assert generate(tree, 40, seed=0)["y"].sizes == {"row": 40}
