"""Leave-one-out places and prior sensitivity: uniform where the model is right, told where not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from ppl_models import fit, loo, loo_pit, sensitivity
from ppl_models.errors import InputError

OPTIONS = {"method": "gibbs", "seed": 0, "chains": 2, "draws": 400, "warmup": 200, "starts": 2,
           "predictive": 0, "relabel": None}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(-4, 1, 100), generator.normal(4, 1, 100)])


def under(rows, loc_scale):
    """The posterior under a prior of the centres; an array, so that both are compiled once."""
    return fit("gaussian_mixture", rows, clusters=2, loc_mean=0.0, loc_scale=np.array(loc_scale),
               **OPTIONS)  # fmt: skip


@pytest.fixture(scope="module")
def right(rows):
    return under(rows, 8.0)


@pytest.fixture(scope="module")
def pulled(rows):
    """A prior that pulls both clusters far off their rows."""
    return under(rows, 0.1)


def test_places_are_uniform_under_the_right_model_only(right, pulled):
    places = loo_pit(right)["x"]
    assert places.dims == ("row",)
    assert ((places > 0) & (places < 1)).all()
    assert kstest(places, "uniform").pvalue > 0.01
    assert kstest(loo_pit(pulled)["x"], "uniform").pvalue < 1e-4


def test_places_of_counts_with_gaps():
    generator = np.random.default_rng(1)
    x = generator.poisson([3.0, 12.0], size=(120, 2)).astype(float)
    x[5, 1] = np.nan
    tree = fit("poisson_mixture", x, clusters=1, **OPTIONS | {"starts": 0})
    places = loo_pit(tree)["x"].values
    assert np.isnan(places[5, 1]) and np.isnan(places).sum() == 1
    for column in places.T:
        assert kstest(column[~np.isnan(column)], "uniform").pvalue > 0.01


def test_a_strong_prior_is_told_from_a_weak_one(right, pulled, caplog):
    # a rate of other sites' priors is one number of few, which its own prior has a say in
    weak, strong = (sensitivity(tree).drop(index="scale_rate") for tree in (right, pulled))
    assert weak.loc["total_log_likelihood", "prior"] < 0.05
    assert strong["prior"].max() > 2 * weak["prior"].max()
    assert strong["prior"].max() > 0.05
    # ArviZ's note that there is something in the column is not shown beside it
    assert strong["diagnosis"].str.contains("potential").any() and not caplog.records


def test_what_has_no_places_is_refused(right, built_ins, trees):
    point = right.copy()
    point.attrs["kind"] = "point"
    for ask in (loo, loo_pit, sensitivity):
        with pytest.raises(InputError, match="needs draws, fit with a method that samples"):
            ask(point)
    chain = trees(built_ins["markov_chain"], "exact", chains=2, draws=100)
    with pytest.raises(InputError, match="order"):
        loo_pit(chain)
