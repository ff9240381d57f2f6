"""Missing cells in programs of NumPyro's own distributions: every method leaves them out."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.contrib.funsor import log_density as enumerated_log_density

from ppl_models import fit, generate, impute, log_density, loo, predict
from ppl_models.data import Categories, Counts, Reals
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.inference.suitability import refuse_unsuitable
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Model

PARALLEL = {"enumerate": "parallel"}


def _mixture(x, rows, parameter, emission, seen):
    rows = len(x) if x is not None else rows
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        value = numpyro.sample("value", parameter)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer=PARALLEL)
        if seen is not None:  # bare NumPyro: whole rows, cells masked by hand
            return numpyro.sample("x", emission(value[z]).mask(seen), obs=x)
        return numpyro.sample("x", emission(value[z]), obs=x)


def heavy(x: Annotated[Any, Reals] = None, *, rows=None, seen=None):
    """Vectors of Student's t, each a cell of its own."""
    prior = dist.Normal(0.0, 5.0).expand((2,)).to_event(1)
    if seen is None:
        return _mixture(x, rows, prior, lambda v: dist.StudentT(5.0, v, 0.5).to_event(1), None)
    seen = jnp.asarray(seen)
    return _mixture(
        x, rows, prior, lambda v: dist.StudentT(5.0, v, 0.5).mask(seen).to_event(1), True
    )


def counted(x: Annotated[Any, Counts] = None, *, rows=None, seen=None):
    """Overdispersed counts."""
    return _mixture(x, rows, dist.Gamma(1.0, 0.1), lambda v: dist.NegativeBinomial2(v, 3.0), seen)


def named(x: Annotated[Any, Categories] = None, *, rows=None, seen=None):
    """One of three categories."""
    return _mixture(x, rows, dist.Dirichlet(jnp.ones(3)), dist.Categorical, seen)


RNG = np.random.default_rng(0)
SIDE = RNG.random(30) < 0.5
X = np.where(SIDE[:, None], -2.0, 2.0) + 0.5 * RNG.normal(size=(30, 2))
GAPS = np.zeros((30, 2), bool)
GAPS[3, 0] = GAPS[7, 1] = True
GAPS[5] = True
COUNTS = RNG.poisson(np.where(SIDE, 3, 20))
NAMES = RNG.integers(0, 3, 30)

CASES = {
    "heavy": (heavy, X, GAPS, 0.0),
    "counted": (counted, COUNTS, GAPS[:, 0], 1),
    "named": (named, NAMES, GAPS[:, 0], 2),
}


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("name", CASES)
def test_the_joint_density_is_that_of_cells_masked_by_hand(name):
    """Bare NumPyro, enumerated, on whole data of which some cells are masked."""
    program, complete, gaps, other = CASES[name]
    data = np.where(gaps, np.nan, complete)
    model = Model(program, {"x": data}, {}, {})
    structure = model.structure()
    values = structure.initial(jax.random.key(3))
    filled = np.where(gaps, other, complete)

    @jax.jit
    def look(values):
        with enum(first_available_dim=-3):
            expected, _ = enumerated_log_density(
                config_enumerate(lambda: program(filled, seen=~gaps)), (), {}, values
            )
        return expected, jax.value_and_grad(lambda v: log_joint(model, structure, v))(values)

    expected, (actual, slope) = look(values)
    np.testing.assert_allclose(actual, expected, rtol=1e-10)
    assert all(np.isfinite(v).all() for v in slope.values())


@pytest.fixture(scope="module")
def sampled():
    data = np.where(GAPS, np.nan, X)
    return fit(heavy, data, method="nuts", seed=0, chains=2, warmup=150, draws=150, predictive=5)


def test_nuts_moves_and_finds_the_clusters(sampled):
    """Formerly it stood still at its start: every transition diverged, standard deviations 0."""
    assert int(sampled["sample_stats"]["diverging"].sum()) < 15
    places = np.sort(sampled["posterior"]["value"].values, axis=2)
    assert (places.std((0, 1)) > 0.02).all()
    means = np.sort(np.c_[X[SIDE].mean(0), X[~SIDE].mean(0)].T, axis=0)
    np.testing.assert_allclose(places.mean((0, 1)), means, atol=0.5)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_what_follows_a_fit_with_gaps(sampled):
    """Rows without any cell belong to the clusters by weight, and have density one."""
    probabilities = predict(sampled)
    assert np.isfinite(probabilities).all()
    weights = sampled["posterior"]["weights"].mean(("chain", "draw"))
    np.testing.assert_allclose(np.sort(probabilities[5]), np.sort(weights), atol=1e-6)
    new = log_density(sampled, [[np.nan, np.nan], [-2.0, np.nan], [-2.0, -2.0]]).values
    assert new[0] == pytest.approx(0, abs=1e-12) and new[1] > new[2]
    assert np.isfinite(float(loo(sampled).elpd))
    filled = impute(sampled, seed=0, draws=40)["x"].values
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[:, ~GAPS], np.broadcast_to(X[~GAPS], (40, 56)))
    near = np.where(SIDE[3], -2.0, 2.0)
    assert abs(np.median(filled[:, 3, 0]) - near) < 0.6
    assert generate(sampled, 3, seed=0)["x"].shape == (3, 2)


@pytest.mark.long
def test_map_is_where_it_is_without_the_gaps_rows():
    """A row that is missing as a whole says nothing: the mode is that of the other rows."""
    data = np.where(GAPS[:, 0], np.nan, COUNTS)
    fits = [
        fit(counted, d, method="map", seed=0, steps=600, learning_rate=0.05, predictive=0)
        for d in (data, COUNTS[~GAPS[:, 0]])
    ]
    modes = [np.sort(t["posterior"]["value"].values.ravel()) for t in fits]
    np.testing.assert_allclose(modes[0], modes[1], rtol=0.02)


# ---- what is refused ---------------------------------------------------------------------------


def drawn_balls(x: Annotated[Any, Counts] = None, *, rows=None):
    proportions = numpyro.sample("shares", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("row", rows if x is None else len(x)):
        return numpyro.sample("x", dist.Multinomial(4, proportions), obs=x)


def about_the_mean(x=None):
    loc = numpyro.sample("loc", dist.Normal(x.mean(0), 5.0).to_event(1))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.StudentT(5.0, loc, 1.0).to_event(1), obs=x)


def about_the_observed_mean(x=None):
    loc = numpyro.sample("loc", dist.Normal(jnp.nanmean(x, 0), 5.0).to_event(1))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.StudentT(5.0, loc, 1.0).to_event(1), obs=x)


def as_the_mean(x=None):
    scale = numpyro.sample("scale", dist.Gamma(2.0, 2.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.StudentT(5.0, jnp.mean(x, 0), scale).to_event(1), obs=x)


def without_density(x=None):
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.StudentT(5.0, jnp.log(-jnp.exp(loc)), 1.0), obs=x)


def one_from_the_other(x=None, y=None):
    slope = numpyro.sample("slope", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        x = numpyro.sample("x", dist.Normal(0.0, 1.0), obs=x)
        numpyro.sample("y", dist.Normal(slope * x, 0.5), obs=y)


def up_to(x=None):
    top = numpyro.sample("top", dist.Gamma(2.0, 0.2))
    with numpyro.plate("row", len(x)):
        numpyro.sample("x", dist.Uniform(0.0, top), obs=x)


def test_joint_cells_are_refused_and_dropping_the_rows_helps():
    balls = np.random.default_rng(1).multinomial(4, [0.2, 0.3, 0.5], 12).astype(float)
    balls[2, 1] = np.nan
    balls[5] = np.nan  # as a whole it drops out
    with pytest.raises(InputError, match=r"site 'x' emits from Multinomial.* 1 of 12 rows.* row 2"):
        fit(drawn_balls, balls, method="map", seed=0)
    tree = fit(drawn_balls, np.delete(balls, 2, 0), method="em", seed=0, predictive=0)
    counts = np.delete(balls, [2, 5], 0).sum(0)
    np.testing.assert_allclose(
        tree["posterior"]["shares"].values.ravel(), counts / counts.sum(), atol=1e-3
    )
    with pytest.raises(InputError, match="drop these rows"):
        log_density(tree, [[1, np.nan, 2]])


@pytest.mark.parametrize(
    ("program", "words"),
    [(about_the_mean, "prior of site 'loc'"), (as_the_mean, "distribution of site 'x'")],
)
def test_a_computation_on_missing_cells_is_refused(program, words):
    data = np.where(GAPS, np.nan, X)
    with pytest.raises(InputError, match=f"{words} is computed from cells of 'x' that are missing"):
        fit(program, data, method="nuts", seed=0)


def test_a_site_that_is_computed_from_a_missing_cell_of_another_is_refused_and_the_way_out_works():
    """The parameter was invalid in the words of a distribution that the program does not have."""
    x = np.linspace(-1.0, 1.0, 12)
    data = {"x": np.where(np.arange(12) == 3, np.nan, x), "y": 2.0 * x}
    words = r"distribution of site 'y' is computed from cells of 'x'.*drop the rows .*\(1\)"
    with pytest.raises(InputError, match=words):
        fit(one_from_the_other, data, method="map", seed=0)
    left = {n: np.delete(v, 3) for n, v in data.items()}
    tree = fit(one_from_the_other, left, method="em", seed=0, predictive=0)
    assert float(tree["posterior/slope"].squeeze()) == pytest.approx(2.0, abs=0.05)


@pytest.mark.usefixtures("double_precision")
def test_a_computation_that_leaves_missing_cells_out_is_served():
    model = Model(about_the_observed_mean, {"x": np.where(GAPS, np.nan, X)}, {}, {})
    problem = Problem(model, model.structure())
    refuse_unsuitable(problem)
    assert np.isfinite(problem.example.priors["loc"].mean).all()


@pytest.mark.parametrize(
    "method",
    ["nuts", "em", *(pytest.param(m, marks=pytest.mark.long) for m in ("map", "svi", "gibbs"))],
)
def test_no_method_starts_without_a_density(method):
    sentence = "no start (has|came where the data have) a finite density"
    with pytest.raises(InputError, match=sentence):
        fit(without_density, X[:, 0], method=method, seed=0)


# (starts are looked for where there is a density: test_no_method_starts_without_a_density)
@pytest.mark.long
def test_a_support_that_a_site_sets_is_met():
    """Starts within it are looked for."""
    data = np.linspace(0.1, 3.0, 20)
    tree = fit(up_to, data, method="nuts", seed=0, chains=1, warmup=100, draws=100, predictive=0)
    assert (tree["posterior"]["top"].values > 3.0).all()


@pytest.mark.parametrize("method", ["map", pytest.param("svi", marks=pytest.mark.long)])
def test_an_end_outside_the_support_is_no_answer(method):
    with pytest.raises(InputError, match="density"):
        fit(up_to, np.linspace(0.1, 3.0, 20), method=method, seed=0, steps=300)
