"""Relabelling whole results: everything moves together, comes back, and is reported."""

from itertools import permutations as all_permutations

import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.posterior.labels import relabel, unrelabel
from ppl_models.posterior.labels.names import name_clusters
from ppl_models.posterior.labels.permutations import compose

CHAINS, DRAWS, ROWS, CLUSTERS = 2, 150, 120, 4
METHODS = ("ecr", "ecr-iterative", "stephens", "order")
WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
# Ascending as the weights descend, so that all methods must end in the same order.
LOC = np.array([[0.0, 5.0], [6.0, -5.0], [12.0, 0.0], [18.0, 9.0]])


def responsibilities(tree, rows, draws):
    """By Bayes from the tree's own weights and loc, unit scale: knows no labels but the tree's."""
    posterior = tree["posterior"].to_dataset()
    weights = posterior["weights"].values.reshape(-1, CLUSTERS)[draws]
    loc = posterior["loc"].values.reshape(-1, CLUSTERS, 2)[draws]
    x = tree["observed_data"]["x"].values[rows]
    distance = ((x[None, :, None] - loc[:, None]) ** 2).sum(axis=-1)
    density = weights[:, None] * np.exp(-0.5 * distance)
    return density / density.sum(axis=-1, keepdims=True)


def plain_tree(spread=1.0, seed=0):
    """A well-behaved posterior without label switching, largest component first."""
    generator = np.random.default_rng(seed)
    truth = np.append(np.arange(CLUSTERS), generator.choice(CLUSTERS, ROWS - CLUSTERS, p=WEIGHTS))
    shape = (CHAINS, DRAWS)
    sample = ("chain", "draw")
    noisy = generator.random((*shape, ROWS)) < 0.02
    posterior = xr.Dataset(
        {
            "weights": ((*sample, "cluster"), generator.dirichlet(WEIGHTS * 300, size=shape)),
            "loc": (
                (*sample, "cluster", "feature"),
                spread * LOC + 0.1 * generator.normal(size=(*shape, CLUSTERS, 2)),
            ),
            "turned": (("cluster", *sample), generator.normal(size=(CLUSTERS, *shape))),
            "transition": (
                (*sample, "cluster", "cluster_next"),
                generator.dirichlet(np.ones(CLUSTERS), size=(*shape, CLUSTERS)),
            ),
            "tied": ((*sample, "feature"), generator.normal(size=(*shape, 2))),
            "assignment": (
                (*sample, "row"),
                np.where(noisy, generator.integers(CLUSTERS, size=noisy.shape), truth),
            ),
        },
        coords={
            "chain": range(CHAINS),
            "draw": range(DRAWS),
            "cluster": range(CLUSTERS),
            "feature": ["height", "width"],
            "row": [f"r{n}" for n in range(ROWS)],
        },
        attrs={"creator": "test"},
    )
    x = spread * LOC[truth] + generator.normal(size=(ROWS, 2))
    groups = {
        "posterior": posterior,
        "sample_stats": xr.Dataset({"lp": (sample, generator.normal(size=shape))}),
        "observed_data": xr.Dataset({"x": (("row", "feature"), x)}),
        "prior": posterior[["weights"]].isel(draw=slice(0, 10)),
        "posterior_predictive": posterior[["assignment"]].isel(draw=slice(5, 40, 7)),
    }
    return as_fit(groups, parameters=("loc",), clusters=CLUSTERS, method="gibbs")


def switch_labels(tree, seed=1):
    """The same posterior after every draw has renamed its components, and by which permutation."""
    generator = np.random.default_rng(seed)
    permutation = np.argsort(generator.random((CHAINS, DRAWS, CLUSTERS)), axis=-1)
    names = np.argsort(permutation, axis=-1)
    result = tree.copy(deep=True)
    for group in ("posterior", "posterior_predictive"):
        data = result[group].to_dataset()
        drawn = data["draw"].values
        for chain in range(CHAINS):
            for place, draw in enumerate(drawn):
                which, name = permutation[chain, draw], names[chain, draw]
                at = {"chain": chain, "draw": place}
                data["assignment"][at] = name[data["assignment"][at].values]
                for variable in set(data.data_vars) - {"assignment", "tied"}:
                    data[variable][at] = data[variable][at].isel(cluster=which).values
                if "transition" in data:
                    data["transition"][at] = data["transition"][at].values[:, which]
        result[group].dataset = data
    return result, permutation


def soft(tree):
    """Without drawn assignments, as NUTS leaves it."""
    result = tree.copy()
    for group in ("posterior", "posterior_predictive"):
        result[group].dataset = tree[group].to_dataset().drop_vars("assignment")
    return result


def with_responsibilities(tree):
    """The posterior mean responsibilities added."""
    mean = responsibilities(tree, np.arange(ROWS), np.arange(CHAINS * DRAWS)).mean(axis=0)
    result = tree.copy()
    result["responsibilities"] = xr.DataTree(
        xr.Dataset({"responsibilities": (("row", "cluster"), mean)})
    )
    return result


def run(tree, method):
    """Relabel, ordering by the first feature."""
    variable = tree["posterior"]["loc"].sel(feature="height") if method == "order" else None
    return relabel(tree, method, variable=variable, responsibilities=responsibilities)


def assert_same_draws(actual, expected):
    """Equal values of all variables of all groups of draws."""
    for group in ("posterior", "posterior_predictive", "prior"):
        for name, variable in expected[group].data_vars.items():
            np.testing.assert_array_equal(actual[group][name].values, variable.values)
            assert actual[group][name].dims == variable.dims


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("drawn", [True, False])
def test_switched_labels_come_back_exactly_and_can_be_undone(method, drawn):
    truth = plain_tree() if drawn else soft(plain_tree())
    switched, permutation = switch_labels(plain_tree())
    switched = switched if drawn else soft(switched)
    untouched = switched.copy(deep=True)
    result = run(switched, method)
    assert_same_draws(result, truth)
    labels = result["labels"]
    np.testing.assert_array_equal(labels["permutation"], np.argsort(permutation, axis=-1))
    assert labels["permutation"].dims == ("chain", "draw", "cluster")
    assert labels.attrs["method"] == method
    assert labels.attrs["share_unclear"] == 0
    assert switched.identical(untouched)
    assert unrelabel(result).identical(switched)


def test_r_hat_is_reported_before_and_after():
    switched, _ = switch_labels(plain_tree())
    turned = switched["posterior"].to_dataset()
    straight = plain_tree()["posterior"].to_dataset()
    # One chain with its own names, so that chains disagree.
    fixed = xr.concat([turned.isel(chain=[0]), straight.isel(chain=[1])], dim="chain")
    switched["posterior"].dataset = fixed
    result = run(switched, "ecr")
    before, after = result["labels/rhat_before"], result["labels/rhat_after"]
    assert before["loc"].dims == ("cluster", "feature")
    assert float(before["loc"].max()) > 1.2
    assert float(after["loc"].max()) < 1.05
    assert float(result["labels/ess_after"]["loc"].min()) > 100
    assert "assignment" not in after and "tied" not in after


def test_relabelling_again_starts_from_the_original():
    switched, _ = switch_labels(plain_tree())
    twice = run(run(switched, "order"), "ecr")
    once = run(switched, "ecr")
    assert_same_draws(twice, once)
    xr.testing.assert_identical(
        twice["labels"].to_dataset()["permutation"], once["labels"].to_dataset()["permutation"]
    )
    assert unrelabel(twice).identical(switched)


def test_mean_responsibilities_are_renewed_and_restored():
    switched, _ = switch_labels(plain_tree())
    switched = with_responsibilities(soft(switched))
    result = run(switched, "stephens")
    expected = with_responsibilities(plain_tree())["responsibilities"]["responsibilities"]
    np.testing.assert_allclose(result["responsibilities"]["responsibilities"], expected, atol=1e-6)
    assert unrelabel(result).identical(switched)


def test_a_common_renaming_moves_columns_of_responsibilities():
    tree = with_responsibilities(soft(plain_tree()))
    order = [2, 0, 3, 1]
    renamed = tree.copy()
    for group in ("posterior", "responsibilities"):
        data = tree[group].to_dataset().isel(cluster=order)
        renamed[group].dataset = data.assign_coords(cluster=range(CLUSTERS))
    dims = tree["posterior"]["transition"].dims
    data = renamed["posterior"].to_dataset()
    data["transition"] = (dims, data["transition"].values[..., order])
    renamed["posterior"].dataset = data
    result = run(renamed, "ecr")
    np.testing.assert_array_equal(
        result["responsibilities"]["responsibilities"], tree["responsibilities"]["responsibilities"]
    )


def test_labels_survive_a_file(tmp_path):
    switched, _ = switch_labels(plain_tree())
    run(switched, "ecr").to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as loaded:
        assert_same_draws(unrelabel(loaded.load()), switched)


@pytest.mark.parametrize("method", METHODS)
def test_components_that_coincide_are_not_clear_cut(method):
    close = plain_tree(spread=0.02)
    generator = np.random.default_rng(0)
    data = close["posterior"].to_dataset()
    shape = data["weights"].shape[:2]
    data["weights"].values[:] = generator.dirichlet(np.full(CLUSTERS, 20.0), size=shape)
    data["assignment"].values[:] = generator.integers(CLUSTERS, size=(*shape, ROWS))
    close["posterior"].dataset = data
    labels = run(close, method)["labels"]
    assert labels.attrs["share_unclear"] > 0.5
    assert (labels["margin"].values >= 0).all()


def test_margin_is_the_second_best_on_the_rows_used():
    switched, _ = switch_labels(plain_tree())
    relabelled = relabel(switched, "ecr", rows_used=50, seed=3)
    assert relabelled["labels"].attrs["rows_used"] == 50
    rows = np.sort(np.random.default_rng(3).choice(ROWS, 50, replace=False))
    flat = relabelled["posterior"]["assignment"].values.reshape(-1, ROWS)[:, rows]
    pivot = flat[int(switched["sample_stats"]["lp"].values.argmax())]
    for draw in range(0, len(flat), 37):
        scores = sorted(
            (np.array(names)[flat[draw]] == pivot).sum()
            for names in all_permutations(range(CLUSTERS))
        )
        margin = relabelled["labels"]["margin"].values.reshape(-1)[draw]
        assert margin == scores[-1] - scores[-2]


def test_largest_component_comes_first_whatever_the_pivot():
    switched, _ = switch_labels(plain_tree())
    mean = run(switched, "ecr-iterative")["posterior"]["weights"].mean(("chain", "draw"))
    assert (np.diff(mean) < 0).all()


def test_ordering_keeps_the_order_asked_for():
    switched, _ = switch_labels(plain_tree())
    relabelled = relabel(switched, "order")
    assert (relabelled["posterior"]["weights"].diff("cluster") >= 0).all()


def test_nothing_to_relabel_is_said():
    plain = plain_tree()
    groups = {name: plain[name].to_dataset() for name in ("posterior", "observed_data")}
    groups["posterior"] = groups["posterior"][["tied"]]
    tree = as_fit(groups, parameters=("tied",))
    relabelled = relabel(tree)
    assert "nothing to relabel" in relabelled.attrs["labels"]
    xr.testing.assert_identical(relabelled["posterior"].dataset, tree["posterior"].dataset)
    assert "labels" not in tree.attrs


def point():
    """A point method's tree."""
    tree = plain_tree()
    tree.attrs["kind"] = "point"
    return tree


def without(group):
    """A tree that lacks a group."""
    tree = plain_tree()
    del tree[group]
    return tree


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: relabel(point()), "needs draws"),
        (lambda: relabel(without("posterior")), "posterior"),
        (lambda: relabel(plain_tree(), "best"), "ecr-iterative"),
        (lambda: relabel(plain_tree(), "order", variable="mean"), "no variable 'mean'"),
        (lambda: relabel(plain_tree(), "order", variable="loc"), "one number a component"),
        (lambda: relabel(without("sample_stats")), "ecr-iterative"),
        (lambda: relabel(plain_tree(), rows_used=0), "rows_used is 0"),
    ],
)
def test_wrong_input_is_named(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_ten_clusters_and_two_blocks(monkeypatch):
    """K = 10 with responsibilities in many blocks and no cache."""
    monkeypatch.setattr(memory, "LABEL_BYTES", 50_000)
    generator = np.random.default_rng(0)
    loc = 8.0 * np.arange(10)
    truth = np.repeat(np.arange(10), 12)[:100]
    permutation = np.argsort(generator.random((2, 60, 10)), axis=-1)
    weights = np.sort(generator.dirichlet(np.full(10, 50.0)))[::-1]
    shape = (2, 60, 10)
    straight = {
        "weights": np.broadcast_to(weights, shape) + 1e-4 * generator.normal(size=shape),
        "loc": loc + 0.1 * generator.normal(size=shape),
    }
    dims = ("chain", "draw", "cluster")
    groups = {
        "posterior": xr.Dataset(
            {k: (dims, np.take_along_axis(v, permutation, -1)) for k, v in straight.items()}
        ),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), generator.normal(size=(2, 60)))}),
        "observed_data": xr.Dataset({"x": ("row", loc[truth])}),
    }
    tree = as_fit(groups, parameters=("loc",), clusters=10)

    def by_bayes(tree, rows, draws):
        posterior = tree["posterior"].to_dataset()
        mean = posterior["loc"].values.reshape(-1, 10)[draws]
        weight = posterior["weights"].values.reshape(-1, 10)[draws]
        x = tree["observed_data"]["x"].values[rows]
        density = weight[:, None] * np.exp(-0.5 * (x[:, None] - mean[:, None]) ** 2)
        return density / density.sum(-1, keepdims=True)

    for method in ("ecr", "ecr-iterative", "stephens"):
        relabelled = relabel(tree, method, responsibilities=by_bayes)
        for name, values in straight.items():
            np.testing.assert_array_equal(relabelled["posterior"][name], values)
        again = compose(
            permutation.reshape(-1, 10), relabelled["labels"]["permutation"].values.reshape(-1, 10)
        )
        np.testing.assert_array_equal(again, np.tile(np.arange(10), (120, 1)))


def test_components_with_names_keep_them_and_so_are_not_renumbered():
    """A name would be that of another cluster then; the way out that the message names works."""
    tree = relabel(plain_tree(), responsibilities=responsibilities)
    named = name_clusters(tree, ["a", "b", "c", "d"])
    with pytest.raises(InputError, match=r"relabelling .* by name_clusters\(tree, \{\}\)"):
        relabel(named, responsibilities=responsibilities)
    with pytest.raises(InputError, match="remove the names"):
        unrelabel(named)
    plain = name_clusters(named, {})
    assert plain.identical(tree)
    relabel(plain, responsibilities=responsibilities)
