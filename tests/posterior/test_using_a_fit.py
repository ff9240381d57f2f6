"""One result for every program: density, clusters, new data, gaps, files."""

from __future__ import annotations

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from scipy.special import logsumexp

from ppl_models import catalogue, fit, generate, impute, load, log_density, predict, save
from ppl_models.data import old_faithful
from ppl_models.errors import InputError

NAMES = ["anna", "bob", "hanna", "nab", "oban", "ann"]


def example(name: str) -> tuple[object, dict]:
    """Small data and arguments for a program."""
    generator = np.random.default_rng(0)
    if name == "markov_chain":
        return NAMES, {}
    if name == "categorical_mixture":
        frame = pd.DataFrame({"a": list("xyx" * 20), "b": list("uvwu" * 15)})
        return frame, {"clusters": 2}
    rows = {
        "bernoulli_mixture": generator.integers(0, 2, (60, 3)),
        "poisson_mixture": generator.poisson(3, (60, 3)),
        "gaussian_mixture": generator.normal(size=(60, 3)),
    }[name]
    return pd.DataFrame(rows, columns=["one", "two", "three"]), {"clusters": 2}


@pytest.fixture(scope="module", params=catalogue.model_names())
def fitted(request) -> tuple[str, object, xr.DataTree]:
    data, arguments = example(request.param)
    return (
        request.param,
        data,
        fit(request.param, data, method="em", seed=0, starts=2, predictive=7, **arguments),
    )


@pytest.fixture(scope="module")
def geyser() -> xr.DataTree:
    return fit("gaussian_mixture", old_faithful(), method="em", seed=0, clusters=2, predictive=2)


def test_every_group_has_named_dimensions(fitted):
    name, _, tree = fitted
    assert set(tree.children) >= {
        "posterior",
        "sample_stats",
        "log_likelihood",
        "observed_data",
        "posterior_predictive",
        "prior",
        "prior_predictive",
        "starts",
    }
    for group in ("posterior", "prior", "posterior_predictive", "log_likelihood"):
        for variable in tree[group].dataset.data_vars.values():
            assert variable.dims[:2] == ("chain", "draw")
            assert not any("_dim_" in d or "_axis_" in d for d in variable.dims), (name, variable)
    assert tree["posterior_predictive"].sizes["draw"] == 7
    for attribute in (
        "program",
        "method",
        "seed",
        "versions",
        "configuration",
        "wall_time_seconds",
        "kind",
        "parameters",
    ):
        assert attribute in tree.attrs
    assert tree.attrs["kind"] == "point" and tree["posterior"].sizes["draw"] == 1
    site, plate = tree.attrs["data_site"], tree.attrs["plate"]
    assert tree["log_likelihood"][site].dims == ("chain", "draw", plate)


def test_density_of_the_fitted_rows_is_the_stored_one(fitted):
    _, data, tree = fitted
    stored = tree["log_likelihood"][tree.attrs["data_site"]].values[0, 0]
    assert np.allclose(log_density(tree).values, stored, rtol=1e-10)
    assert np.allclose(log_density(tree, data).values, stored, rtol=1e-10)
    one = data[:1] if isinstance(data, list) else data.iloc[:1]
    assert np.allclose(log_density(tree, one).values, stored[:1], rtol=1e-10)


def test_new_data_look_like_the_data(fitted):
    name, _, tree = fitted
    if name == "markov_chain":
        drawn = generate(tree, 500, seed=1, length=400)
        assert drawn.tokens.values.max() == len(tree["posterior"].token)
        return
    drawn = generate(tree, 4000, seed=1).x
    assert drawn.sizes["row"] == 4000
    if name != "categorical_mixture":
        values, data = drawn.values.astype(float), tree["observed_data/x"].values.astype(float)
        error = np.hypot(values.std(0) / np.sqrt(4000), data.std(0) / np.sqrt(len(data)))
        assert (np.abs(values.mean(0) - data.mean(0)) < 5 * error).all()
    again = generate(tree, 4000, seed=1).x
    assert (again.values == drawn.values).all()
    assert not (generate(tree, 4000, seed=2).x.values == drawn.values).all()


def test_files_hold_everything(fitted, tmp_path):
    _, _, tree = fitted
    path = save(tree, tmp_path / "fit.nc")
    back = load(path)
    for name in tree.children:
        # NetCDF has no fixed-width text, which is no change of what is said
        xr.testing.assert_equal(back[name].dataset, tree[name].dataset)
    assert {k: v for k, v in tree.attrs.items() if not isinstance(v, float)}.items() <= (
        back.attrs.items()
    )
    assert np.allclose(log_density(back).values, log_density(tree).values)
    with pytest.raises(InputError, match="exists and was kept"):
        save(tree, path)
    save(tree, path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_clusters_follow_bayes_rule(geyser):
    weights, loc, covariance = (
        geyser["posterior"][n].values[0, 0] for n in ("weights", "loc", "covariance")
    )
    new = np.array([[2.0, 55.0], [3.2, 70.0]])
    joint = np.array(
        [
            np.log(weights[k]) + scipy.stats.multivariate_normal(loc[k], covariance[k]).logpdf(new)
            for k in range(2)
        ]
    )
    assert np.allclose(log_density(geyser, new.tolist()).values, logsumexp(joint, axis=0))
    shares = np.exp(joint - logsumexp(joint, axis=0)).T
    found = predict(geyser, pd.DataFrame(new, columns=["eruptions", "waiting"]))
    assert np.allclose(found.values, shares) and np.allclose(found.sum("cluster"), 1)
    swapped = pd.DataFrame(new[:, ::-1], columns=["waiting", "eruptions"])
    assert np.allclose(predict(geyser, swapped).values, shares)


def test_gaps_are_filled_with_the_conditional_gaussian(geyser):
    weights, loc, covariance = (
        geyser["posterior"][n].values[0, 0] for n in ("weights", "loc", "covariance")
    )
    new = pd.DataFrame({"eruptions": [3.0, 1.9], "waiting": [np.nan, 50.0]})
    drawn = impute(geyser, new, draws=4000, seed=0).x.values
    assert (drawn[:, 1] == [1.9, 50.0]).all() and (drawn[:, 0, 0] == 3.0).all()
    sd = np.sqrt(covariance[:, 0, 0])
    share = weights * scipy.stats.norm(loc[:, 0], sd).pdf(3.0)
    share /= share.sum()
    slope = covariance[:, 0, 1] / covariance[:, 0, 0]
    means = loc[:, 1] + slope * (3.0 - loc[:, 0])
    variances = covariance[:, 1, 1] - slope * covariance[:, 0, 1]
    mean = (share * means).sum()
    variance = (share * (variances + means**2)).sum() - mean**2
    assert abs(drawn[:, 0, 1].mean() - mean) < 5 * np.sqrt(variance / 4000)
    assert abs(drawn[:, 0, 1].var() / variance - 1) < 0.15
    # and the density of a row with a gap is the marginal
    marginal = np.log((weights * scipy.stats.norm(loc[:, 0], sd).pdf(3.0)).sum())
    assert np.isclose(log_density(geyser, new).values[0], marginal)


def test_gaps_of_bits_are_filled_with_the_mixture():
    data, arguments = example("bernoulli_mixture")
    tree = fit("bernoulli_mixture", data, method="em", seed=0, starts=2, predictive=1, **arguments)
    weights, probs = tree["posterior/weights"].values[0, 0], tree["posterior/probs"].values[0, 0]
    new = pd.DataFrame({"one": [1.0], "two": [0.0], "three": [np.nan]})
    share = weights * probs[:, 0] * (1 - probs[:, 1])
    expected = (share / share.sum() * probs[:, 2]).sum()
    drawn = impute(tree, new, draws=4000, seed=0).x.values[:, 0, 2]
    assert set(np.unique(drawn)) <= {0, 1}
    assert abs(drawn.mean() - expected) < 5 * np.sqrt(0.25 / 4000)


def test_leave_one_out_is_that_of_the_mixture_marginalised_by_hand():
    x = old_faithful().iloc[:, 0].to_numpy()[:60]
    tree = fit(
        "gaussian_mixture",
        x,
        method="gibbs",
        seed=0,
        clusters=2,
        chains=2,
        draws=300,
        warmup=200,
        predictive=1,
    )
    draws = {n: tree["posterior"][n].values[..., None, :] for n in ("weights", "loc", "scale")}
    each = np.log(draws["weights"]) + scipy.stats.norm(draws["loc"], draws["scale"]).logpdf(
        x[:, None]
    )
    by_hand = az.from_dict(
        {
            "posterior": {"loc": tree["posterior/loc"].values},
            "log_likelihood": {"x": logsumexp(each, axis=-1)},
        }
    )
    mine, theirs = az.loo(tree), az.loo(by_hand)
    assert np.isclose(mine.elpd, theirs.elpd, rtol=1e-3)
    assert np.allclose(tree["log_likelihood/x"].values, logsumexp(each, axis=-1))
    # and new rows' density is the mean over draws of the density itself
    point = np.log(np.exp(logsumexp(each, axis=-1)).mean((0, 1)))
    assert np.allclose(log_density(tree, x).values, point)


def test_precision_is_of_the_call_alone():
    before = jax.config.jax_enable_x64
    tree = fit(
        "poisson_mixture",
        [1, 2, 3, 9, 8, 9],
        method="em",
        seed=0,
        clusters=1,
        precision="float32",
        predictive=1,
    )
    assert tree["posterior/rate"].dtype == np.float32
    assert jax.config.jax_enable_x64 == before and jnp.zeros(1).dtype == jnp.float32


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pd.DataFrame({"eruptions": [1.0]}), "waiting"),
        (pd.DataFrame({"eruptions": [1.0], "waiting": ["long"]}), "waiting"),
        (np.zeros((2, 3)), "3"),
        ([[1.0, np.inf]], "inf"),
    ],
)
def test_rows_that_do_not_fit_are_refused(geyser, rows, message):
    with pytest.raises(InputError, match=message):
        log_density(geyser, rows)


def test_what_is_no_fit_is_refused(tmp_path):
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(InputError, match="no NetCDF"):
        load(tmp_path / "text.nc")
    with pytest.raises(InputError, match="no file"):
        load(tmp_path / "absent.nc")
    with pytest.raises(InputError, match="no fit"):
        log_density(xr.DataTree(), [1.0])


def test_a_chain_has_no_clusters_and_fills_its_gaps():
    tree = fit("markov_chain", NAMES, method="exact", seed=0, chains=1, draws=50, predictive=2)
    with pytest.raises(InputError, match="assigns nothing"):
        predict(tree)
    with pytest.warns(UserWarning, match="were cut"):
        generate(tree, 50, seed=0, length=2)


def test_missing_tokens_are_summed_out_and_drawn():
    tree = fit("markov_chain", NAMES, method="exact", seed=0, chains=1, draws=50, predictive=2)
    gap = ["a", None, "n"]
    letters = tree["posterior"].token.values.tolist()
    completions = [f"a{letter}n" for letter in letters]
    each = log_density(tree, completions, by_draw=True).values
    assert np.allclose(
        log_density(tree, [gap], by_draw=True).values[..., 0], logsumexp(each, axis=-1)
    )
    drawn = impute(tree, [gap], draws=2000, seed=0).tokens.values[:, 0]
    known = letters.index("a"), letters.index("n"), len(letters)
    assert (drawn[:, [0, 2, 3]] == known).all()
    found = np.bincount(drawn[:, 1], minlength=len(letters)) / 2000
    expected = np.exp(each - logsumexp(each, axis=-1, keepdims=True)).mean((0, 1))
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / 2000) + 1e-3).all()
