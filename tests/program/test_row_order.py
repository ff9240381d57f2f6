"""Programs in which a row's place matters: right in every pass and when generated, or refused."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import choose_clusters, fit, generate, impute, log_density, predict
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope

COUNT = 400
TIME = np.arange(COUNT) / 100
ROWS = 2 * TIME + 0.05 * np.random.default_rng(0).normal(size=COUNT)


def numbered(x=None, *, rows=None):
    """A trend along the number of the row."""
    rows = rows if x is None else len(x)
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", rows):
        return numpyro.sample("x", dist.Normal(slope * jnp.arange(rows) / 100, 0.05), obs=x)


def closed_over(x=None):
    """The same of an array with an entry a row."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", COUNT):
        return numpyro.sample("x", dist.Normal(slope * TIME, 0.05), obs=x)


def centred(t=None, x=None):
    """A covariate that is centred by its own mean."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    level = numpyro.sample("level", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(t)):
        mean = level + slope * (t - t.mean())
        return numpyro.sample("x", dist.Normal(mean, 0.05), obs=x)


def at_times(t=None, x=None):
    """The way out: what differs from row to row is data."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(t)):
        return numpyro.sample("x", dist.Normal(slope * t, 0.05), obs=x)


CASES = [
    (numbered, ROWS, True),
    (closed_over, ROWS, True),
    (centred, {"t": TIME, "x": ROWS}, True),
    (at_times, {"t": TIME, "x": ROWS}, False),
]


@pytest.mark.parametrize("program, data, wanted", CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_it_is_found_out_whether_places_matter(program, data, wanted):
    data = data if isinstance(data, dict) else {"x": data}
    model = Model(program, data, {}, {})
    with scope("float64"):
        assert Problem(model, model.structure()).row_order == wanted


@pytest.fixture(scope="module")
def fits():
    quick = {"seed": 0, "predictive": 20, "method": "map", "steps": 1000, "batch_size": 50}
    quick["learning_rate"] = 0.05
    return {p.__name__: fit(p, data, **quick) for p, data, _ in CASES}


@pytest.mark.parametrize("name", ["numbered", "closed_over", "centred"])
def test_batches_do_not_number_rows_anew(fits, name):
    tree = fits[name]
    slope = np.linalg.lstsq(TIME[:, None], ROWS, rcond=None)[0][0]
    if name == "centred":
        slope = np.polyfit(TIME, ROWS, 1)[0]
    np.testing.assert_allclose(tree["posterior"]["slope"].values, slope, rtol=1e-3)
    assert "batch_size was not used" in tree.attrs["notes"]
    assert "batch_size was not used" not in fits["at_times"].attrs["notes"]


def test_rows_are_not_left_out_for_validation():
    with pytest.raises(InputError, match=r"left out for validation.*before the \*"):
        fit(numbered, ROWS, method="map", seed=0, validation_fraction=0.2)


@pytest.mark.parametrize("name", ["numbered", "closed_over", "centred"])
def test_rows_are_generated_in_their_places(fits, name):
    made = generate(fits[name], COUNT, seed=1)["x"].values
    np.testing.assert_allclose(made, 2 * TIME, atol=0.4)
    first = generate(fits[name], 300, seed=1)["x"].values
    np.testing.assert_allclose(first, 2 * TIME[:300], atol=0.4)
    with pytest.raises(InputError, match="at most 400 rows"):
        generate(fits[name], 401, seed=1)
    predicted = fits[name]["posterior_predictive"]["x"].values[0]
    np.testing.assert_allclose(predicted.mean(0), 2 * TIME, atol=0.2)


def test_new_rows_are_refused_and_the_way_out_works(fits):
    for name, rows in (("numbered", ROWS[:5]), ("centred", {"t": TIME[:5], "x": ROWS[:5]})):
        with pytest.raises(UnsupportedError, match=r"new rows.*before the \*"):
            log_density(fits[name], rows)
    other = {"t": np.array([7.0]), "x": np.array([14.0])}
    assert log_density(fits["at_times"], other).values[0] > 0
    made = generate(fits["at_times"], 2, seed=0, covariates={"t": [1.0, 7.0]})["x"].values
    np.testing.assert_allclose(made, [2, 14], atol=0.5)


SHIFT = np.where(np.arange(60) < 30, 0.0, 40.0)


def shifted(x=None, *, clusters=2):
    """Clusters that are elsewhere from the thirtieth row on."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", 60):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z] + SHIFT, 1.0), obs=x)


@pytest.fixture(scope="module")
def mixed():
    """Rows, and which cluster each is of."""
    kind = np.arange(60) % 2
    rows = SHIFT + np.array([-3.0, 3.0])[kind] + np.random.default_rng(0).normal(size=60)
    rows[5] = np.nan
    return rows, kind


def test_a_mixture_whose_rows_have_places(mixed):
    rows, kind = mixed
    tree = fit(shifted, rows, method="map", seed=0, steps=400, starts=1, predictive=0, batch_size=8)
    loc = np.sort(tree["posterior"]["loc"].values.ravel())
    np.testing.assert_allclose(loc, [-3, 3], atol=0.8)
    assert (np.bincount(predict(tree).values.argmax(1) == kind, minlength=2) > 55).any()
    filled = impute(tree, seed=0, draws=5)["x"].values
    assert (np.abs(filled[:, 5]) < 10).all()  # row 5 is before the shift


# (that held-out rows are taken in their places is seen here alone; that places matter, above)
@pytest.mark.long
def test_the_number_of_clusters_is_chosen_by_rows_that_keep_their_places(mixed):
    rows, _ = mixed
    options = {"criterion": "heldout", "heldout": 0.2, "starts": 2}
    assert choose_clusters(shifted, rows, (1, 2), seed=0, **options).attrs["best"]["clusters"] == 2
