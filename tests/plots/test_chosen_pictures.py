"""Which pictures are chosen, that all of them are drawn, and comparisons mark the best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots import choose_plots, close, plot_comparison, png
from ppl_models.plots.arviz_views import rank, shown_and_all, shown_parameters, trace

OF_DRAWS = {"trace", "rank", "forest", "khat"}
#: ArviZ's own take seconds each; those of Gaussians and of chains are drawn in their reports
WITH_ARVIZ = ("univariate",)
CASES = {
    "gaussian": ("gaussian_fit", {"rows": 60, "draws": 120}, {"clusters", "ppc"}),
    "many features": ("gaussian_fit", {"features": 6, "rows": 60, "draws": 120}, {"clusters"}),
    "tied": ("gaussian_fit", {"covariance": "tied", "rows": 60, "draws": 120}, {"clusters"}),
    "univariate": ("gaussian_fit", {"covariance": "univariate", "draws": 120}, {"clusters"}),
    "images": ("count_fit", {"family": "bernoulli", "features": 64}, {"prototypes", "profiles"}),
    "counts": ("count_fit", {"family": "poisson"}, {"profiles"}),
    "levels": ("categorical_fit", {}, {"profiles"}),
    "chain": ("markov_fit", {}, {"transitions"}),
}


@pytest.mark.parametrize("case", CASES)
def test_draws_get_traces_and_the_pictures_of_their_family(fits, case):
    maker, arguments, expected = CASES[case]
    tree = getattr(fits, maker)(**arguments)
    chosen = dict(choose_plots(tree))
    assert expected | OF_DRAWS | {"predictive"} <= set(chosen)
    assert "path" not in chosen
    for name, picture in chosen.items():
        if name in OF_DRAWS and case not in WITH_ARVIZ:
            continue
        made = picture(tree)
        assert isinstance(made, PlotCollection), name
        if case in ("gaussian", "chain"):  # rendering all of them takes long
            assert png(made).startswith(b"\x89PNG"), name
        close(made)


@pytest.mark.parametrize(
    ("case", "method"),
    [("gaussian", "kmeans"), *((name, "em") for name in CASES if name != "chain")],
)
def test_points_never_get_pictures_of_draws(fits, case, method):
    maker, arguments, expected = CASES[case]
    tree = fits.as_point(getattr(fits, maker)(**arguments), method)
    chosen = dict(choose_plots(tree))
    assert not (OF_DRAWS | {"ppc"}) & set(chosen)
    assert (expected - {"ppc"}) | {"path", "responsibilities"} <= set(chosen)
    for picture in chosen.values():
        close(picture(tree))


def test_divergences_are_marked_in_the_trace(fits):
    tree = fits.trees.with_nuts_statistics(fits.gaussian_fit(draws=120), diverging=3)
    made = dict(choose_plots(tree))["trace"](tree)
    assert "divergence_trace" in made.viz.children


def test_a_program_of_the_users_own_still_gets_pictures(fits):
    tree = fits.gaussian_fit(draws=120)
    posterior = tree["posterior"].to_dataset().rename(loc="level_of_each", weights="shares")
    tree["posterior"] = posterior.drop_vars("covariance")
    chosen = [name for name, _ in choose_plots(tree)]
    assert "clusters" not in chosen
    assert OF_DRAWS <= set(chosen)


def test_few_parameters_are_shown_and_none_is_cut_in_two_ways(fits):
    tree = fits.gaussian_fit(features=6, draws=40)
    for at_most in (3, 11, 12, 24, 60):
        shown = shown_parameters(tree, at_most)
        count = sum(values.isel(chain=0, draw=0).size for values in shown.data_vars.values())
        assert 0 < count <= at_most
        assert not any(values.isnull().any() for values in shown.data_vars.values())


def network(hidden: int) -> xr.DataTree:
    """Draws of the weights of a network whose axes have no labels, and of one scale."""
    generator = np.random.default_rng(0)
    shapes = {"input": (5, hidden), "bias": (hidden,), "scale_of_all": ()}
    dims = {"input": ("feature", "unit"), "bias": ("unit",), "scale_of_all": ()}
    posterior = {
        name: (("chain", "draw", *dims[name]), generator.normal(size=(2, 30, *shape)))
        for name, shape in shapes.items()
    }
    statistics = {"lp": (("chain", "draw"), generator.normal(size=(2, 30)))}
    groups = {"posterior": xr.Dataset(posterior), "sample_stats": xr.Dataset(statistics)}
    return xr.DataTree.from_dict(groups)


def test_of_a_network_the_small_quantities_are_shown_before_the_weights():
    tree = network(4)
    shown = shown_parameters(tree, 11)
    assert list(shown.data_vars) == ["scale_of_all", "bias", "input"]
    assert shown_and_all(tree, "rank") == (1 + 4 + 4, 1 + 4 + 20)
    assert list(shown_parameters(network(300), 11).data_vars) == ["scale_of_all", "bias"]


def test_axes_without_labels_are_counted_in_traces_and_ranks():
    tree = network(4)
    assert rank(tree).viz["plot"]["bias"].sizes == {"unit": 4}
    assert "input" in trace(tree, panels=9).viz["plot"]


def criteria() -> pd.DataFrame:
    rows = [
        {"covariance": family, "clusters": k, "bic": 100 + (k - best) ** 2, "elpd_loo": -k, "se": 2}
        for family, best in (("full", 2), ("tied", 3))
        for k in range(1, 6)
    ]
    table = pd.DataFrame(rows)
    table.loc[table["covariance"] == "tied", "bic"] -= 5
    return table


@pytest.mark.parametrize("index", [False, True])
def test_the_best_of_a_criterion_is_ringed(index):
    table = criteria()
    picture = plot_comparison(table.set_index(["covariance", "clusters"]) if index else table)
    assert picture.viz["plot"].sizes["criterion"] == 2
    for name, best in (("bic", (3.0, 95.0)), ("elpd_loo", (1.0, -1.0))):
        axes = picture.viz["plot"].sel(criterion=name).item()
        (ring,) = [line for line in axes.lines if line.get_markersize() == 12]
        assert (ring.get_xdata()[0], ring.get_ydata()[0]) == best
        lines = [line for line in axes.lines if len(line.get_xdata()) == 5]
        assert [line.get_label() for line in lines] == ["full", "tied"]
    errors = picture.viz["plot"].sel(criterion="elpd_loo").item().collections
    np.testing.assert_allclose(errors[0].get_segments()[0][:, 1], [-3.0, 1.0])


def test_a_collapsed_fit_is_never_the_best_and_what_was_varied_names_the_lines():
    table = criteria()[["covariance", "clusters", "bic"]].rename(columns={"covariance": "kind"})
    table["collapsed"] = (table["clusters"] == 3) & (table["kind"] == "tied")
    table["log_likelihood"], table["heldout"] = 1.0, np.nan
    table.attrs["best"] = {"kind": "tied", "clusters": 2}
    picture = plot_comparison(table)
    assert picture.viz["criterion"].values.tolist() == ["bic"]
    axes = picture.viz["plot"].item()
    (ring,) = [line for line in axes.lines if line.get_markersize() == 12]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (2.0, 96.0)
    assert axes.get_legend_handles_labels()[1] == ["full", "tied"]


def test_a_dataset_serves_as_a_table():
    table = criteria().query("covariance == 'full'").set_index("clusters")[["bic"]]
    assert plot_comparison(table.to_xarray()).viz["plot"].sizes["criterion"] == 1


def test_what_arviz_compares_is_drawn_by_arviz():
    table = pd.DataFrame(
        {"elpd_diff": [0.0, -9.0], "dse": [0.0, 3.0], "elpd": [-1.0, -10.0], "se": [2.0, 2.0]},
        index=["two", "three"],
    )
    axes = plot_comparison(table).viz["plot"].item()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["two", "three"]


def test_far_worse_fits_do_not_press_the_others_together():
    table = pd.DataFrame({"clusters": range(1, 11), "bic": [1e6, 1e5, *range(10, 2, -1)]})
    axes = plot_comparison(table).viz["plot"].item()
    assert axes.get_ylim()[1] < 20
    assert any("cut off" in text.get_text() for text in axes.texts)


def test_a_table_without_clusters_is_refused():
    with pytest.raises(InputError, match="'clusters'"):
        plot_comparison(pd.DataFrame({"bic": [1.0]}))
