"""Draws that are added to a fit are those of one longer run."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import (
    diagnose,
    extend,
    fit,
    load,
    name_clusters,
    open_blocks,
    predict,
    save,
    unrelabel,
)
from ppl_models.errors import InputError, UnsupportedError

ROWS = [1, 2, 1, 9, 8, 9, 2]
GIBBS = {"method": "gibbs", "seed": 3, "clusters": 2, "chains": 2, "warmup": 50, "predictive": 3}


def slopes(y=None, x=None):
    a = numpyro.sample("a", dist.Normal(0.0, 5.0))
    b = numpyro.sample("b", dist.Normal(0.0, 5.0))
    with numpyro.plate("row", len(x)):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(a + b * jnp.asarray(x) + effect, 0.5), obs=y)


def _equal(one, other):
    for group in ("posterior", "sample_stats"):
        assert set(one[group].data_vars) == set(other[group].data_vars)
        for name, values in other[group].data_vars.items():
            np.testing.assert_array_equal(one[group][name].values, values.values, str(name))


@pytest.fixture(scope="module")
def fitted():
    return fit("poisson_mixture", ROWS, draws=20, keep_assignments=True, **GIBBS)


def test_gibbs_goes_on_to_the_draws_of_one_longer_run(fitted, tmp_path):
    save(fitted, tmp_path / "fit.nc")
    longer = extend(extend(load(tmp_path / "fit.nc"), 15), 5)
    at_once = fit("poisson_mixture", ROWS, draws=40, keep_assignments=True, **GIBBS)
    _equal(longer, at_once)
    _equal(unrelabel(longer), unrelabel(at_once))
    assert longer.attrs["configuration"] == at_once.attrs["configuration"]
    assert longer["posterior_predictive/x"].shape == at_once["posterior_predictive/x"].shape
    np.testing.assert_array_equal(predict(longer).values, predict(at_once).values)
    diagnose(longer)


def test_no_u_turns_go_on_with_step_size_and_metric_of_the_warm_up():
    data = {"y": np.array([0.1, 1.2, 1.9, 3.2]), "x": np.arange(4.0)}
    options = {"method": "nuts", "seed": 0, "chains": 2, "warmup": 60, "predictive": 0}
    longer = extend(fit(slopes, data, draws=20, **options), 10)
    _equal(longer, fit(slopes, data, draws=30, **options))


@pytest.mark.parametrize(
    ("program", "data", "options"),
    [
        ("poisson_mixture", ROWS, {"method": "telescoping", "clusters": 4}),
        ("pitman_yor_chain", ["abab", "abba", "ab"], {"method": "pitman_yor_gibbs", "order": 1}),
    ],
)
def test_other_chains_go_on_as_well(program, data, options):
    options |= {"seed": 0, "chains": 2, "warmup": 20, "predictive": 0}
    _equal(
        extend(fit(program, data, draws=6, **options), 4), fit(program, data, draws=10, **options)
    )


def test_names_and_notes_that_the_fit_gave_are_given_again():
    labels = ["rare", None, None, "often", None, None, None]
    tree = fit("poisson_mixture", ROWS, draws=6, labels=labels, **GIBBS)
    at_once = fit("poisson_mixture", ROWS, draws=10, labels=labels, **GIBBS)
    longer = extend(tree, 4)
    _equal(longer, at_once)
    assert longer["posterior"]["cluster"].values.tolist() == ["often", "rare"]
    assert longer.attrs["notes"] == at_once.attrs["notes"] and "labels=" in longer.attrs["notes"]


def test_names_are_given_again_afterwards(fitted):
    named = name_clusters(fitted, {0: "rare", 1: "often"})
    with pytest.raises(InputError, match=r"adding draws may renumber.*name_clusters\(tree, \{\}\)"):
        extend(named, 5)
    assert extend(name_clusters(named, {}), 5)["posterior"].sizes["draw"] == 25


def test_fits_without_chains_are_refused_and_the_way_out_works(tmp_path):
    point = fit("poisson_mixture", ROWS, method="em", seed=0, clusters=2, predictive=0)
    with pytest.raises(UnsupportedError, match="no chains that could go on.*gibbs"):
        extend(point, 5)
    np.save(tmp_path / "rows.npy", np.array(ROWS))
    options = {**GIBBS, "predictive": 0, "checkpoint": tmp_path / "states"}
    blocks = fit("poisson_mixture", open_blocks(tmp_path / "rows.npy"), draws=5, **options)
    with pytest.raises(UnsupportedError, match="with more draws= and the checkpoint="):
        extend(blocks, 5)
    longer = fit("poisson_mixture", open_blocks(tmp_path / "rows.npy"), draws=10, **options)
    assert longer["posterior"].sizes["draw"] == 10


def test_fewer_than_one_draw_is_refused(fitted):
    with pytest.raises(InputError, match="draws"):
        extend(fitted, 0)
