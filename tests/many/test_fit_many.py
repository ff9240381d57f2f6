"""Many data sets fitted side by side: each as ``fit`` fits it alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from jax.scipy.special import logsumexp

from ppl_models import (
    choose_clusters,
    diagnose,
    fit,
    fit_many,
    generate,
    group,
    load,
    log_density,
    loo,
    predict,
)
from ppl_models.catalogue import program
from ppl_models.errors import InputError
from ppl_models.inference.many.known import dependence
from ppl_models.inference.problem import Problem
from ppl_models.many.split import split
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope

SIZES = (24, 31, 40)
RANDOM = np.random.default_rng(8)


def gaussian(rows: int) -> np.ndarray:
    apart = np.where(RANDOM.random((rows, 1)) < 0.4, 0.0, 6.0)
    return np.round(apart + RANDOM.normal(size=(rows, 2)), 3)


def with_gaps(rows: int) -> np.ndarray:
    x = gaussian(rows)
    x[RANDOM.random(x.shape) < 0.1] = np.nan
    return x


def bits(rows: int) -> np.ndarray:
    high = RANDOM.random((rows, 1)) < 0.4
    return (RANDOM.random((rows, 4)) < np.where(high, 0.85, 0.2)).astype(int)


def counts(rows: int) -> np.ndarray:
    return RANDOM.poisson(np.where(RANDOM.random(rows) < 0.4, 3, 25))


CASES = {
    "full": ("gaussian_mixture", {"covariance": "full"}, gaussian),
    "diagonal, gaps": ("gaussian_mixture", {"covariance": "diagonal"}, with_gaps),
    "poisson": ("poisson_mixture", {}, counts),
    "tied": ("gaussian_mixture", {"covariance": "tied"}, gaussian),
    "spherical": ("gaussian_mixture", {"covariance": "spherical"}, gaussian),
    "vector": ("gaussian_mixture", {}, lambda rows: gaussian(rows)[:, 0]),
    "full, gaps": ("gaussian_mixture", {"covariance": "full"}, with_gaps),
    "bernoulli": ("bernoulli_mixture", {}, bits),
    "categorical": ("categorical_mixture", {}, bits),
}


def height(name: str, arguments: dict, x: np.ndarray, tree: xr.DataTree, label: str):
    """Log posterior density of a group's fit by the program on that group alone, and its slope."""
    with scope("float64"):
        model = Model(program(name), {"x": x}, {"clusters": 2, **arguments}, {})
        structure = model.structure()
        at = tree["posterior"].to_dataset().sel(group=label)
        values = {n: jax.numpy.asarray(at[n].values[0, 0]) for n in structure.names}
        space = structure.space

        @jax.jit
        def objective(vector):
            values = space.constrain(space.unravel(vector))
            logits = model.logits(values, structure)
            return logsumexp(logits, axis=0).sum() + model.log_prior(values, structure)

        vector = space.ravel(space.unconstrain(values))
        value, slope = jax.value_and_grad(objective)(vector)
        return float(value), np.asarray(slope)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_each_group_is_at_a_mode_of_its_own_posterior(case: str) -> None:
    name, arguments, make = CASES[case]
    data = {f"g{rows}": make(rows) for rows in SIZES}
    if name == "categorical_mixture":  # all groups have both levels
        arguments = {**arguments, "levels": (2, 2, 2, 2)}
    options = {n: v for n, v in arguments.items() if n != "levels"}
    tree = fit_many(name, data, seed=1, clusters=2, starts=2, tolerance=1e-14, **options)
    assert tree["groups"]["fitted"].values.all() and tree["groups"]["converged"].values.all()
    for label in ("g24", "g40"):
        value, slope = height(name, arguments, data[label], tree, label)
        selected = float(tree["sample_stats"]["lp"].sel(group=label).squeeze())
        np.testing.assert_allclose(selected, value, rtol=1e-9)
        np.testing.assert_allclose(slope, 0, atol=2e-3)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    parts = [pd.DataFrame(gaussian(rows), columns=["a", "b"]) for rows in SIZES]
    complete = pd.concat([p.assign(site=f"s{i}") for i, p in enumerate(parts)], ignore_index=True)
    odd = pd.DataFrame({"a": np.ones(9), "b": np.arange(9.0), "site": "constant"})
    complete = pd.concat([complete, odd], ignore_index=True)
    return complete.sample(frac=1, random_state=0)  # groups come mixed


@pytest.fixture(scope="module")
def points(frame: pd.DataFrame) -> xr.DataTree:
    return fit_many("gaussian_mixture", frame, by="site", seed=0, clusters=2, starts=4)


def test_a_group_is_what_fit_finds_of_it_alone(frame, points) -> None:
    own = frame[frame["site"] == "s1"][["a", "b"]]
    alone = fit("gaussian_mixture", own, method="em", seed=0, clusters=2, starts=4, predictive=0)
    one = group(points, "s1", predictive=0)
    for name in ("weights", "loc", "covariance", "scale_diagonal"):
        np.testing.assert_allclose(
            one["posterior"][name], alone["posterior"][name], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_array_equal(one["observed_data"]["x"]["row"], own.index)
    np.testing.assert_allclose(predict(one), predict(alone), atol=1e-4)
    selected = points["responsibilities"]["responsibilities"].values
    rows = points["observed_data"]["group_index"].values == list(
        points["groups"]["group"].values
    ).index("s1")
    np.testing.assert_allclose(selected[rows], predict(alone), atol=1e-4)
    density = points["log_likelihood"]["x"].values[0, 0, rows]
    np.testing.assert_allclose(density, alone["log_likelihood"]["x"].values[0, 0], atol=1e-4)


def test_a_group_that_fails_is_told_of_and_stops_no_other(points) -> None:
    table = points["groups"].to_dataset()
    assert table["fitted"].sel(group=["s0", "s1", "s2"]).values.all()
    assert "constant" in str(table["failure"].sel(group="constant").values)
    assert np.isnan(points["posterior"]["loc"].sel(group="constant").values).all()
    with pytest.raises(InputError, match="has no fit"):
        group(points, "constant")
    with pytest.raises(InputError, match="no group 'elsewhere'"):
        group(points, "elsewhere")


def test_what_asks_one_fit_names_the_way_to_one(points) -> None:
    from ppl_models.posterior.density.prediction import predict as of_one

    with pytest.raises(InputError, match=r"group\(tree, label\)"):
        of_one(points)


@pytest.mark.long
def test_groups_do_not_change_each_other(frame, points) -> None:
    first = frame[frame["site"].isin(["s0", frame["site"].iloc[0]])]
    some = fit_many("gaussian_mixture", first, by="site", seed=0, clusters=2, starts=4)
    label = str(some["groups"]["group"].values[0])
    np.testing.assert_allclose(
        some["posterior"]["loc"].sel(group=label),
        points["posterior"]["loc"].sel(group=label),
        rtol=1e-4,
    )


@pytest.mark.long
def test_other_methods_fit_one_group_after_another() -> None:
    data = [counts(20) + i for i in range(2)]
    tree = fit_many("poisson_mixture", data, method="map", seed=0, clusters=1, steps=300)
    assert tree["posterior"]["rate"].dims == ("chain", "draw", "group", "cluster")
    mean = tree["posterior"]["rate"].values.squeeze()
    np.testing.assert_allclose(mean, [v.mean() for v in data], rtol=0.1)


def test_containers_of_groups() -> None:
    table = np.array([[1.0, 4.0], [2.0, np.nan], [3.0, 6.0]])
    columns = split(table, columns=True)
    assert columns.data.tolist() == [1, 2, 3, 4, 6] and columns.group.tolist() == [0, 0, 0, 1, 1]
    listed = split([[1, 2], [3]])
    assert listed.data == [1, 2, 3] and listed.labels.tolist() == [0, 1]
    labelled = split(table, ["b", "a", "b"])
    assert labelled.labels.tolist() == ["b", "a"] and labelled.group.tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="row 1 has no group label"):
        split(table, ["b", None, "b"])
    with pytest.raises(InputError, match="no column 'c'"):
        split(pd.DataFrame(table, columns=["a", "b"]), "c")
    with pytest.raises(InputError, match="these are no groups"):
        split(table)


def test_annotated_data_are_grouped_by_their_observations() -> None:
    anndata = pytest.importorskip("anndata")
    cells = anndata.AnnData(np.arange(6.0).reshape(3, 2))
    cells.obs["batch"] = ["x", "y", "x"]
    actual = split(cells, "batch")
    assert actual.group.tolist() == [0, 1, 0] and list(actual.data.columns) == ["0", "1"]


@pytest.fixture(scope="module")
def draws() -> tuple[dict, xr.DataTree]:
    data = {"a": counts(30), "b": counts(45)}
    options = {"method": "gibbs", "clusters": 2, "chains": 2, "warmup": 100, "draws": 400}
    return data, fit_many("poisson_mixture", data, seed=0, starts=4, **options)


# (draws of groups are asked below, by what is known of the data)
@pytest.mark.long
def test_draws_of_a_group_are_those_of_its_posterior(draws) -> None:
    import arviz_stats

    data, tree = draws
    options = {"method": "gibbs", "clusters": 2, "chains": 2, "warmup": 100, "draws": 400}
    alone = fit("poisson_mixture", data["b"], seed=5, starts=4, predictive=0, **options)
    own = tree["posterior"].to_dataset().sel(group="b")
    for name in ("rate", "weights"):
        one, other = own[[name]], alone["posterior"].to_dataset()[[name]]
        error = sum(arviz_stats.mcse(d)[name] ** 2 for d in (one, other)) ** 0.5
        apart = abs(one[name].mean(("chain", "draw")) - other[name].mean(("chain", "draw")))
        assert (apart < 4.5 * error).all()
        spread = one[name].std(("chain", "draw")) / other[name].std(("chain", "draw"))
        assert ((spread > 0.8) & (spread < 1.25)).all()
    lp = float(tree["sample_stats"]["lp"].sel(group="b").mean())
    np.testing.assert_allclose(lp, float(alone["sample_stats"]["lp"].mean()), atol=0.4)


def test_what_is_asked_of_a_fit_is_asked_of_every_group(draws) -> None:
    data, tree = draws
    probabilities = predict(tree)
    assert probabilities.sizes == {"row": 75, "cluster": 2}
    of_b = probabilities.values[probabilities["group_index"].values == 1]
    np.testing.assert_allclose(of_b, predict(group(tree, "b", predictive=0)), atol=1e-9)
    fitted = tree["responsibilities"]["responsibilities"].values
    np.testing.assert_allclose(probabilities, fitted, atol=0.02)  # of some of the draws
    new = {"b": [3, 24], "a": [25]}
    density = log_density(tree, new)
    assert density["group_index"].values.tolist() == [1, 1, 0]
    alone = log_density(group(tree, "b", predictive=0), [3, 24])
    np.testing.assert_allclose(density.values[:2], alone)
    rows = generate(tree, 500, seed=0)["x"]
    assert rows.dims == ("group", "row")
    np.testing.assert_allclose(rows.mean("row"), [v.mean() for v in data.values()], rtol=0.2)
    table = loo(tree)
    assert list(table.index) == ["a", "b"] and np.isfinite(table["elpd"]).all()
    told = diagnose(tree)
    assert list(told.table.columns)[:1] == ["rows"] and set(told.table.index) == {"a", "b"}
    assert (told.table["r_hat"] < 1.1).all()


def test_doubtful_groups_come_first(points) -> None:
    told = diagnose(points)
    assert not told.trustworthy and told.table.index[0] == "constant"
    assert told.table["doubt"].iloc[0] == "failed" and "constant" in told.verdict


@pytest.mark.long
def test_the_number_of_clusters_is_chosen_for_each_group() -> None:
    one, two = (
        RANDOM.poisson(9, 60),
        np.concatenate([RANDOM.poisson(3, 30), RANDOM.poisson(40, 30)]),
    )
    data = {"one": one, "two": two}
    tree = fit_many("poisson_mixture", data, seed=0, clusters=range(1, 3), starts=4)
    assert tree["groups"]["clusters"].values.tolist() == [1, 2]
    rate = tree["posterior"]["rate"].sel(group="one").values.ravel()
    np.testing.assert_allclose(rate[0], one.mean(), rtol=0.05)
    assert np.isnan(rate[1])
    assert predict(group(tree, "one", predictive=0)).sizes["cluster"] == 1


@pytest.mark.long
def test_the_number_chosen_is_that_of_choose_clusters() -> None:
    data = {"one": RANDOM.poisson(9, 60), "two": counts(60), "three": counts(50)}
    tree = fit_many("poisson_mixture", data, seed=0, clusters=range(1, 4), starts=8)
    for label, values in data.items():
        best = choose_clusters("poisson_mixture", values, range(1, 4), seed=0).attrs["best"]
        assert int(tree["groups"]["clusters"].sel(group=label)) == best["clusters"]


def shifted(x=None, *, clusters: int):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("cluster", clusters):
        # a prior that depends on a site and on the data together
        loc = numpyro.sample("loc", dist.Normal(jnp.mean(x), 1 + spread))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def counted(x=None, *, clusters: int):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(0.0, 10.0))
    with numpyro.plate("row", len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        # an emission that depends on the number of rows
        numpyro.sample("x", dist.Normal(loc[z], 1.0 + 1 / len(x)), obs=x)


@pytest.mark.parametrize(
    ("function", "why"), [(shifted, "the data as a whole"), (counted, "the number of rows")]
)
def test_what_depends_on_the_data_beyond_single_priors_is_seen(function, why) -> None:
    def problem(rows: int) -> Problem:
        model = Model(function, {"x": RANDOM.normal(size=rows)}, {"clusters": 2}, {})
        return Problem(model, model.structure())

    one, other = problem(20), problem(26)
    assert why in str(dependence(one, [(other.model, other.structure)]))


@pytest.mark.long
@pytest.mark.parametrize("function", [shifted, counted])
def test_a_program_whose_parameters_depend_on_the_data_is_fitted_group_by_group(function) -> None:
    data = {"a": gaussian(20)[:, 0], "b": gaussian(26)[:, 0] + 40}
    tree = fit_many(function, data, seed=0, clusters=2, starts=2, tolerance=1e-12)
    alone = fit(function, data["b"], method="em", seed=0, clusters=2, starts=2, predictive=0)
    np.testing.assert_allclose(
        tree["posterior"]["loc"].sel(group="b"), alone["posterior"]["loc"], atol=1e-3
    )


def test_the_command_line_fits_groups(frame, tmp_path, capsys) -> None:
    from ppl_models.cli import main

    frame.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "fits.nc"
    words = f"fit gaussian_mixture {tmp_path}/rows.csv --by site --clusters 2 --method em"
    assert main([*words.split(), "--set", "starts=4", "--out", str(out)]) == 0
    assert "1 of 4 groups have no fit: constant" in capsys.readouterr().out
    tree = load(out)
    assert predict(group(tree, "s1", predictive=0)).sizes == {"row": 31, "cluster": 2}


def test_groups_on_the_command_line_are_called_as_in_the_file(tmp_path) -> None:
    from ppl_models.cli import main

    path, out = tmp_path / "visits.csv", tmp_path / "fits.nc"
    rows = "".join(f"{plot},{n}\n" for plot in ("007", "7") for n in (1, 2, 1, 30, 28, 31))
    path.write_text("plot,visits\n" + rows)
    words = f"fit poisson_mixture {path} --by plot --clusters 2 --method em --set starts=2"
    assert main([*words.split(), "--out", str(out)]) == 0
    assert load(out)["posterior"]["group"].values.tolist() == ["007", "7"]
