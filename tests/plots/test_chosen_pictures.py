"""Which pictures are chosen, that all of them are drawn, and comparisons mark the best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots import (
    choose_plots,
    close,
    plot_comparison,
    plot_predictive,
    plot_rank,
    plot_trace,
    png,
)
from ppl_models.plots.drawing.parameters import shown_parameters, total_count
from ppl_models.posterior.result.schema import EmissionFacts, FitFacts, ParameterFacts

OF_DRAWS = {"trace", "rank", "forest", "khat"}
#: ArviZ's own take seconds each; those of Gaussians and of chains are drawn in their reports
WITH_ARVIZ = ("univariate",)
CASES = {
    "gaussian": ("gaussian_fit", {"rows": 60, "draws": 120}, {"clusters"}),
    "many features": ("gaussian_fit", {"features": 6, "rows": 60, "draws": 120}, {"clusters"}),
    "tied": ("gaussian_fit", {"covariance": "tied", "rows": 60, "draws": 120}, {"clusters"}),
    "univariate": ("gaussian_fit", {"covariance": "univariate", "draws": 120}, {"clusters"}),
    "images": ("count_fit", {"family": "bernoulli", "features": 64}, {"prototypes", "profiles"}),
    "counts": ("count_fit", {"family": "poisson"}, {"profiles"}),
    "levels": ("categorical_fit", {}, {"profiles"}),
    "chain": ("markov_fit", {}, {"transitions"}),
}
COMPONENTS = {"clusters", "prototypes", "profiles", "transitions", "transition graph", "states"}


def chosen(tree: xr.DataTree) -> list[str]:
    return [picture.name for picture in choose_plots(tree)]


@pytest.mark.parametrize("case", CASES)
def test_draws_get_traces_and_the_pictures_of_their_emission(fits, case):
    maker, arguments, expected = CASES[case]
    tree = getattr(fits, maker)(**arguments)
    names = set(chosen(tree))
    assert names & COMPONENTS == expected | ({"transition graph"} if case == "chain" else set())
    assert OF_DRAWS | {"predictive"} <= names and "path" not in names
    for picture in choose_plots(tree):
        if picture.name in OF_DRAWS and case not in WITH_ARVIZ:
            continue
        made = picture.draw()
        assert isinstance(made, PlotCollection), picture.name
        if case in ("gaussian", "chain"):  # rendering all of them takes long
            assert png(made).startswith(b"\x89PNG"), picture.name
        close(made)


@pytest.mark.parametrize("case", ["kmeans", *(name for name in CASES if name != "chain")])
def test_points_never_get_pictures_of_draws(fits, case):
    if case == "kmeans":
        expected, fitted = {"clusters"}, fits.gaussian_fit(covariance="spherical", rows=60)
        tree = fits.as_kmeans(fitted)
    else:
        maker, arguments, expected = CASES[case]
        tree = fits.as_point(getattr(fits, maker)(**arguments))
    names = set(chosen(tree))
    assert not OF_DRAWS & names
    assert expected | {"path", "responsibilities"} <= names
    for picture in choose_plots(tree):
        close(picture.draw())


def test_divergences_are_marked_in_the_trace(fits):
    tree = fits.trees.with_nuts_statistics(fits.gaussian_fit(draws=120), diverging=3)
    assert "divergence_trace" in plot_trace(tree).viz.children


ANY_NAMES = {
    "gaussian": ("gaussian_fit", {"rows": 60, "draws": 40}),
    "counts": ("count_fit", {"family": "poisson", "draws": 40}),
    "levels": ("categorical_fit", {"draws": 40}),
    "chain": ("markov_fit", {"draws": 40}),
}


@pytest.mark.parametrize("case", ANY_NAMES)
def test_a_program_that_calls_its_sites_anything_gets_the_same_pictures(fits, case):
    maker, arguments = ANY_NAMES[case]
    tree = getattr(fits, maker)(**arguments)
    if case != "chain":
        tree = fits.as_point(tree)
    sites = [name for name in tree["posterior"].data_vars] + list(tree["observed_data"].data_vars)
    other = fits.with_sites(tree, {name: f"my_{name}s" for name in sites})
    assert chosen(other) == chosen(tree)
    for mine, usual in zip(choose_plots(other), choose_plots(tree), strict=True):
        if mine.name not in OF_DRAWS and mine.name != "loo pit":
            drawn = [artists(picture.draw()) for picture in (mine, usual)]
            assert drawn[0] == drawn[1] and drawn[0], mine.name


def artists(picture: PlotCollection) -> list[list[list[float]]]:
    """What is drawn, as numbers: the ends of lines, the places of points, the cells of images."""
    actual = []
    for axes in picture.viz["figure"].item().axes:
        numbers = [line.get_xydata().ravel()[:200] for line in axes.lines]
        numbers += [points.get_offsets().ravel()[:200] for points in axes.collections]
        numbers += [np.asarray(image.get_array()).ravel()[:200] for image in axes.images]
        numbers += [
            np.array([bar.get_height() for bar in axes.patches if hasattr(bar, "get_height")])
        ]
        actual.append([np.nan_to_num(np.ma.filled(n, -1.0)).tolist() for n in numbers if len(n)])
    close(picture)
    return actual


NUMPYRO = "numpyro.distributions"
LIKE_OTHERS = {  # sites as those of a family that has pictures, of a distribution that has none
    "Student-t": ("gaussian_fit", {"covariance": "diagonal"}, f"{NUMPYRO}.continuous:StudentT",
                  {"loc": "loc", "scale": "scale"}),
    "von Mises": ("gaussian_fit", {"covariance": "spherical"}, f"{NUMPYRO}.directional:VonMises",
                  {"loc": "loc"}),
    "negative binomial": ("count_fit", {"family": "bernoulli", "features": 64},
                          f"{NUMPYRO}.conjugate:NegativeBinomialProbs", {"probs": "probs"}),
    "exponential": ("count_fit", {"family": "poisson"}, f"{NUMPYRO}.continuous:Exponential",
                    {"rate": "rate"}),
}  # fmt: skip


@pytest.mark.parametrize("case", LIKE_OTHERS)
def test_a_distribution_without_a_picture_gets_none_that_is_not_its_own(fits, case):
    maker, arguments, family, parameters = LIKE_OTHERS[case]
    tree = getattr(fits, maker)(rows=40, draws=120, **arguments)
    tree = fits.with_family(tree, family, parameters)
    names = set(chosen(tree))
    assert not names & COMPONENTS
    assert {"responsibilities", "predictive", "trace"} <= names
    point = fits.as_point(tree)
    assert not set(chosen(point)) & COMPONENTS
    (path,) = [picture for picture in choose_plots(point) if picture.name == "path"]
    assert path.draw().viz["plot"].sizes["panel"] == 1  # no means on their way


def test_every_observed_site_gets_its_own_pictures(fits):
    tree = fits.as_point(fits.gaussian_fit(rows=50, draws=20))
    other = fits.as_point(fits.count_fit("poisson", rows=50, draws=20))
    tree = fits.with_second_emission(tree, fits.with_sites(other, {"x": "visits"}))
    names = chosen(tree)
    assert names[:2] == ["clusters", "profiles: visits"]
    assert {"predictive", "predictive: visits"} <= set(names)
    second = next(p for p in choose_plots(tree) if p.name == "profiles: visits").draw()
    rates = tree["posterior"]["rate"].values[0, 0]
    drawn = [line.get_ydata() for line in second.viz["plot"].item().lines]
    np.testing.assert_allclose(drawn, rates)
    shown = plot_predictive(tree, site="visits").viz["plot"]
    assert shown["feature"].values.tolist() == [f"item {d}" for d in range(6)]


def test_few_parameters_are_shown_and_none_is_cut_in_two_ways(fits):
    tree = fits.gaussian_fit(features=6, draws=40)
    for at_most in (3, 11, 12, 24, 60):
        shown = shown_parameters(tree, at_most)
        count = sum(values.isel(chain=0, draw=0).size for values in shown.data_vars.values())
        assert 0 < count <= at_most
        assert not any(values.isnull().any() for values in shown.data_vars.values())


def network(fits, hidden: int) -> xr.DataTree:
    """Draws of the weights of a network whose axes have no labels, and of one scale."""
    generator = np.random.default_rng(0)
    shapes = {"input": (5, hidden), "bias": (hidden,), "scale_of_all": ()}
    dims = {"input": ("feature", "unit"), "bias": ("unit",), "scale_of_all": ()}
    posterior = {
        name: (("chain", "draw", *dims[name]), generator.normal(size=(2, 30, *shape)))
        for name, shape in shapes.items()
    }
    groups = {
        "posterior": xr.Dataset(posterior),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), generator.normal(size=(2, 30)))}),
        "observed_data": xr.Dataset({"x": (("row", "feature"), np.zeros((3, 5), int))}),
    }
    pixels = "ppl_models.distributions.sequences.pixels:PixelChain"
    parameters = {n: ParameterFacts(n, False, dims[n]) for n in ("bias", "input")}
    emission = EmissionFacts("x", pixels, "Bits", ("row", "feature"), None, None, parameters)
    facts = FitFacts("row", None, None, 0, 0, "none", None, (emission,))
    return fits.trees.with_attributes(xr.DataTree.from_dict(groups), "network", 0, facts)


def test_of_a_network_the_small_quantities_are_shown_before_the_weights(fits):
    tree = network(fits, 4)
    shown = shown_parameters(tree, 11)
    assert list(shown.data_vars) == ["scale_of_all", "bias", "input"]
    assert total_count(shown) == 1 + 4 + 4
    (rank,) = [picture for picture in choose_plots(tree) if picture.name == "rank"]
    assert "Shown are 9 of the posterior's 25 numbers." in rank.caption
    assert list(shown_parameters(network(fits, 300), 11).data_vars) == ["scale_of_all", "bias"]


def test_axes_without_labels_are_counted_in_traces_and_ranks(fits):
    tree = network(fits, 4)
    assert plot_rank(tree).viz["plot"]["bias"].sizes == {"unit": 4}
    assert "input" in plot_trace(tree, panels=9).viz["plot"]


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
