"""Rows whose data are cells elsewhere: behind an index array, in an inner plate, in one unit."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro.contrib.control_flow import scan
from numpyro.infer.util import log_density as numpyro_density
from scipy.special import logsumexp

from ppl_models import fit, generate, impute, load, log_density, predict, save
from ppl_models.data import Categories, Counts
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.capabilities import refusal
from ppl_models.inference.problem import Problem
from ppl_models.program.densities.unit_reading import with_units
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model

PARALLEL = {"enumerate": "parallel"}
PEOPLE, VISITS = 30, 170


def visits(
    person: Annotated[Any, Categories] = None,
    clinic: Annotated[Any, Categories] = None,
    score: Annotated[Any, Categories] = None,
    *,
    kinds: int,
    people: int,
):
    """Scores of people at their visits: a person has a kind, a clinic its habits with each."""
    proportion = numpyro.sample("share", dist.Dirichlet(jnp.full(kinds, 2.0)))
    with numpyro.plate("clinic", 3, dim=-2), numpyro.plate("kind", kinds):
        habit = numpyro.sample("habit", dist.Dirichlet(jnp.array([2.0, 1.5, 1.0])))
    with numpyro.plate("person", people):
        z = numpyro.sample("z", dist.Categorical(proportion), infer=PARALLEL)
    with numpyro.plate("visit", len(person)):
        numpyro.sample("score", dist.Categorical(habit[clinic, z[person]]), obs=score)


def growth(child: Annotated[Any, Counts] = None, age=None, weight=None, *, children: int):
    """Children weighed at different ages, one of two lines each, and who weighs how well."""
    with numpyro.plate("group", 2):
        slope = numpyro.sample("slope", dist.Normal(0.0, 2.0))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("child", children):
        z = numpyro.sample("z", dist.Bernoulli(0.4), infer=PARALLEL)
    with numpyro.plate("line", len(child)):
        numpyro.sample("weight", dist.Normal(slope[z[child]] * age, spread), obs=weight)


def nested(x=None):
    """A group in the outer plate, its measurements in the inner one."""
    rows, times = x.shape
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    with numpyro.plate("row", rows, dim=-2):
        z = numpyro.sample("z", dist.Categorical(jnp.array([0.3, 0.7])), infer=PARALLEL)
        with numpyro.plate("time", times, dim=-1):
            numpyro.sample("x", dist.StudentT(4.0, loc[z], 1.0), obs=x)


def grid(x=None):
    """A value of its own for every entry of two plates."""
    loc = numpyro.sample("loc", dist.Normal(0.0, 3.0).expand([2]).to_event(1))
    with numpyro.plate("group", x.shape[0], dim=-2), numpyro.plate("row", x.shape[1], dim=-1):
        z = numpyro.sample("z", dist.Categorical(jnp.array([0.3, 0.7])), infer=PARALLEL)
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def switch(y: Annotated[Any, Counts] = None):
    """One change of a rate, at a step that counts from 1."""
    steps = len(y)
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5).expand([2]).to_event(1))
    when = numpyro.sample("when", dist.DiscreteUniform(1, steps - 1), infer=PARALLEL)
    with numpyro.plate("step", steps):
        after = (jnp.arange(steps) >= when).astype(int)
        numpyro.deterministic("level", rate[after])
        numpyro.sample("y", dist.Poisson(rate[after]), obs=y)


def no_plate(x=None, y=None):
    """A regression whose data are in no plate."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(slope * x, 1.0), obs=y)


def network(a: Annotated[Any, Counts] = None):
    """An edge depends on the kinds of both its nodes."""
    p = numpyro.sample("p", dist.Beta(1.0, 1.0).expand([2, 2]).to_event(2))
    with numpyro.plate("node", len(a)):
        z = numpyro.sample("z", dist.Categorical(jnp.ones(2) / 2), infer=PARALLEL)
    with numpyro.plate("left", len(a), dim=-2), numpyro.plate("right", len(a), dim=-1):
        numpyro.sample("a", dist.Bernoulli(p[z[:, None], z[None, :]]), obs=a)


def of_visits(seed: int = 0, count: int = VISITS) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    habit = np.array([[[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]]] * 3)
    z = draw.integers(0, 2, PEOPLE)
    person, clinic = draw.integers(0, PEOPLE, count), draw.integers(0, 3, count)
    person[:PEOPLE] = np.arange(PEOPLE)  # all of them come
    score = [draw.choice(3, p=p) for p in habit[clinic, z[person]]]
    return {"person": person, "clinic": clinic, "score": np.array(score)}


SHORT = np.random.default_rng(3)
CASES = {
    "visits": (
        visits,
        {
            "person": np.array([0, 2, 1, 1, 0, 2, 2, 0, 0]),
            "clinic": np.array([0, 1, 2, 0, 0, 1, 2, 0, 1]),
            "score": np.array([0, 2, 1, 0, 0, 2, 0, 1, 1]),
        },
        {"kinds": 2, "people": 4},  # the last of whom never came
        (4,),
    ),
    "growth": (
        growth,
        {"child": np.array([1, 1, 0, 2, 0]), "age": SHORT.normal(size=5), "weight": np.arange(5.0)},
        {"children": 3},
        (3,),
    ),
    "nested": (nested, {"x": SHORT.normal(size=(3, 4))}, {}, (3, 1)),
    "grid": (grid, {"x": SHORT.normal(size=(2, 2))}, {}, (2, 2)),
    "switch": (switch, {"y": np.array([4, 5, 0, 1, 1])}, {}, ()),
}


def logits_of(problem, values) -> np.ndarray:
    """Logits of all rows, compiled at once."""
    return np.asarray(jax.jit(lambda at: problem.model.logits(at, problem.structure))(values))


def problem_of(program, data, arguments) -> Problem:
    model = Model(program, data, arguments, {})
    structure = model.structure()
    return Problem(with_units(model, structure), structure)


def by_hand(program, data, arguments, values, shape) -> np.ndarray:
    """Bare NumPyro's log joint density at every assignment, ``(value, ...)`` a row."""
    support = range(1, 5) if shape == () else range(2)
    count = int(np.prod(shape))
    site = "when" if shape == () else "z"

    @jax.jit
    def density(assigned):
        held = {**values, site: assigned}
        return numpyro_density(program, (), {**data, **arguments}, held)[0]

    table = np.empty((len(support),) * count)
    for place in np.ndindex(table.shape):
        table[place] = density(np.array([support[i] for i in place]).reshape(shape))
    return table


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("name", CASES)
def test_density_and_responsibilities_by_enumeration(name):
    program, data, arguments, shape = CASES[name]
    problem = problem_of(program, data, arguments)
    values = problem.structure.initial(random.key(1))
    table = by_hand(program, data, arguments, values, shape)
    ours, logits = jax.jit(
        lambda values: (
            log_joint(problem.model, problem.structure, values),
            problem.model.logits(values, problem.structure),
        )
    )(values)
    np.testing.assert_allclose(ours, logsumexp(table), rtol=1e-10)
    logits = np.asarray(logits)
    proportions = np.exp(logits - logsumexp(logits, axis=0))
    for row in range(table.ndim):
        others = tuple(i for i in range(table.ndim) if i != row)
        wanted = np.exp(logsumexp(table, axis=others) - logsumexp(table))
        np.testing.assert_allclose(proportions[:, row], wanted, atol=1e-10)


@pytest.mark.usefixtures("double_precision")
def test_equal_lines_are_computed_once_and_gaps_left_out():
    data = of_visits()
    problem = problem_of(visits, data, {"kinds": 2, "people": PEOPLE})
    units = problem.model.units
    np.testing.assert_array_equal(units.rows["score"], data["person"])
    assert len(units.distinct["score"]) <= 9 < VISITS
    values = problem.structure.initial(random.key(2))
    complete = logits_of(problem, values)
    score = data["score"].astype(float)
    score[:40] = np.nan
    gone = problem_of(visits, {**data, "score": score}, {"kinds": 2, "people": PEOPLE})
    np.testing.assert_array_equal(gone.model.units.rows["score"], data["person"])
    left = {n: v[40:] for n, v in data.items()}
    selected = problem_of(visits, left, {"kinds": 2, "people": PEOPLE})
    actual, wanted = (logits_of(p, values) for p in (gone, selected))
    np.testing.assert_allclose(actual, wanted, rtol=1e-12)
    assert not np.allclose(actual, complete)


@pytest.fixture(scope="module")
def tree():
    options = {"method": "em", "seed": 0, "starts": 2, "predictive": 3}
    return fit(visits, of_visits(), kinds=2, people=PEOPLE, **options)


@pytest.mark.usefixtures("double_precision")
def test_em_ends_where_the_gradient_is_zero(tree):
    problem = problem_of(visits, of_visits(), {"kinds": 2, "people": PEOPLE})
    at = {n: jnp.asarray(tree["posterior"][n].values[0, 0]) for n in ("share", "habit")}
    space = problem.structure.space

    @jax.jit
    @jax.value_and_grad
    def look(vector):
        values = space.constrain(space.unravel(vector))
        return log_joint(problem.model, problem.structure, values)

    height, slope = look(space.ravel(space.unconstrain(at)))
    assert float(jnp.abs(slope).max()) < 1e-4
    assert np.isclose(tree["sample_stats"]["lp"].item(), height)


def test_what_is_done_after_the_fit(tree, tmp_path):
    data = of_visits()
    assert tree["observed_data"]["score"].dims == ("visit",)
    assert tree["log_likelihood"]["score"].dims == ("chain", "draw", "person")
    probabilities = predict(tree)
    assert probabilities.dims == ("person", "cluster")
    habit = tree["posterior"]["habit"]
    assert habit.dims == ("chain", "draw", "clinic", "cluster", "habit_dim_0")
    at = habit.values[0, 0]
    logits = np.log(tree["posterior"]["share"].values[0, 0]) * np.ones((PEOPLE, 1))
    np.add.at(logits, data["person"], np.log(at[data["clinic"], :, data["score"]]))
    np.testing.assert_allclose(log_density(tree), logsumexp(logits, axis=1), atol=1e-9)
    np.testing.assert_allclose(
        probabilities, np.exp(logits - logsumexp(logits, 1)[:, None]), atol=1e-9
    )
    few = {n: v[:20] for n, v in data.items()}
    new = np.log(tree["posterior"]["share"].values[0, 0]) * np.ones((PEOPLE, 1))
    np.add.at(new, few["person"], np.log(at[few["clinic"], :, few["score"]]))
    np.testing.assert_allclose(log_density(tree, few), logsumexp(new, axis=1), atol=1e-9)
    score = data["score"].astype(float)
    score[::7] = np.nan
    filled = impute(tree, {**data, "score": score}, seed=0, draws=20)["score"]
    assert filled.dims == ("draw", "visit")
    assert set(np.unique(filled)) <= {0, 1, 2}
    save(tree, tmp_path / "fit.nc")
    np.testing.assert_array_equal(predict(load(tmp_path / "fit.nc")), probabilities)


def test_generated_visits_of_a_person_share_a_kind(tree):
    """Scores of two visits of one person agree more often than those of two people."""
    draw = np.random.default_rng(5)
    lines = {"person": np.tile(np.arange(PEOPLE), 40), "clinic": draw.integers(0, 3, 40 * PEOPLE)}
    with pytest.raises(InputError, match="give covariates="):
        generate(tree, 40 * PEOPLE, seed=1)
    made = generate(tree, 40 * PEOPLE, seed=1, covariates=lines)["score"]
    assert made.dims == ("visit",)
    by_person = made.values.reshape(40, PEOPLE)
    same = (by_person[1:] == by_person[:-1]).mean()
    others = (by_person == np.roll(by_person, 1, axis=1)).mean()
    assert same > others + 0.05
    assert generate(tree, 10, seed=1)["score"].sizes == {"visit": 10}


@pytest.mark.long
def test_draws_agree_with_bare_numpyro():
    """Posterior means by Gibbs and by NUTS, within Monte Carlo error of each other's."""
    draw = np.random.default_rng(1)
    child = np.repeat(np.arange(25), 4)
    age = draw.uniform(0, 3, 100)
    slope = np.where(np.arange(25) < 10, 2.0, -1.0)
    data = {"child": child, "age": age, "weight": slope[child] * age + draw.normal(size=100)}
    options = {"seed": 0, "predictive": 0, "chains": 2, "warmup": 200, "draws": 400, "starts": 2}
    trees = [fit(growth, data, method=m, children=25, **options) for m in ("gibbs", "nuts")]
    gibbs, nuts = (t["posterior"].to_dataset().mean(("chain", "draw")) for t in trees)
    for name in ("slope", "spread"):
        sd = trees[1]["posterior"][name].std(("chain", "draw"))
        assert float((abs(gibbs[name] - nuts[name]) / sd).max()) < 0.35
    np.testing.assert_allclose(np.sort(nuts["slope"]), [-1.0, 2.0], atol=0.3)


@pytest.fixture(scope="module")
def change():
    y = np.r_[[6, 5, 8, 4, 7, 6, 9, 5], [1, 0, 2, 1, 0, 1, 1, 2, 0]]
    return y, fit(switch, y, method="em", seed=0, starts=2, predictive=0)


# (the density and probabilities of this program: test_density_and_responsibilities_by_enumeration)
@pytest.mark.long
def test_a_change_point_has_probabilities_of_its_own_values(change):
    y, tree = change
    when = predict(tree, site="when")
    assert when.dims == ("unit", "when")
    np.testing.assert_array_equal(when["when"], np.arange(1, len(y)))
    assert int(when["when"][int(when.argmax("when").item())]) == 8
    rate = tree["posterior"]["rate"].values[0, 0]
    level = tree["posterior"]["level"].values[0, 0]
    np.testing.assert_allclose(level, np.where(np.arange(len(y)) < 8, *rate))


def test_data_outside_plates_are_rows():
    x = np.linspace(-1, 1, 12)
    data = {"x": x, "y": 0.5 * x + 0.1}
    tree = fit(no_plate, data, method="em", seed=0, predictive=2)
    slope = tree["posterior"]["slope"].item()
    np.testing.assert_allclose(slope, (x * data["y"]).sum() / ((x**2).sum() + 1), atol=1e-3)
    wanted = -0.5 * (data["y"] - slope * x) ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_density(tree), wanted, atol=1e-9)


# (that sums over all nodes are refused, and what networks have instead: test_networks.py)
@pytest.mark.long
def test_an_edge_of_two_nodes_has_no_marginal_density_but_where_the_nodes_are_held():
    draw = np.random.default_rng(0)
    z = np.repeat([0, 1], 4)
    p = np.array([[0.9, 0.2], [0.3, 0.7]])
    a = (draw.uniform(size=(8, 8)) < p[z[:, None], z]).astype(int)
    message = "'a' depends on site 'z' of two rows at once.*: use method="
    with pytest.raises(UnsupportedError, match=message):
        fit(network, a, method="map", seed=0)
    tree = fit(network, a, method="em", seed=0, fixed={"z": z}, predictive=0)
    ones = np.array([[a[np.ix_(z == i, z == j)].mean() for j in (0, 1)] for i in (0, 1)])
    np.testing.assert_allclose(tree["posterior"]["p"].values[0, 0], ones, atol=1e-6)
    assert log_density(tree).sizes == {"left": 8}
    with pytest.raises(InputError, match="fixed holds 'z' at values other than 0 to 1"):
        fit(network, a, method="em", seed=0, fixed={"z": z + 1})


def test_methods_that_need_statistics_say_why_not():
    problem = problem_of(visits, of_visits(), {"kinds": 2, "people": PEOPLE})
    assert "by an index array or an inner plate" in str(refusal("kmeans", problem))
    assert all(refusal(m, problem) is None for m in ("em", "hard", "gibbs", "nuts", "svi", "map"))


def test_steps_of_a_scan_are_not_taken_for_rows():
    def walk(y=None):
        def move(level, seen):
            level = numpyro.sample("level", dist.Normal(level, 1.0))
            numpyro.sample("y", dist.Normal(level, 1.0), obs=seen)
            return level, None

        scan(move, 0.0, y)

    with pytest.raises(UnsupportedError, match="site 'level' is continuous.*: use method='em'"):
        fit(walk, np.arange(9.0), method="hard", seed=0)
