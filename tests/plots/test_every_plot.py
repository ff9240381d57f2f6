"""Every plot, by its declaration: names of clusters, and what a test of all of them can ask."""

from __future__ import annotations

import inspect
from itertools import combinations

import pytest
import xarray as xr
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ppl_models.errors import InputError
from ppl_models.plots import (
    choose_plots,
    close,
    cluster_colors,
    figure_of,
    plot_predictive,
    plot_profiles,
)
from ppl_models.plots.drawing.shared_place import NOTE
from ppl_models.posterior.labels.names import name_clusters

NAMES = ["brief", "lasting", "third"]
#: plots that speak of no single cluster, or of them by colour alone
SILENT = {"predictive", "similarity", "khat", "loo pit"}


def texts(figure) -> set[str]:
    """All that is written in a figure, its legends and ticks included."""
    figure.canvas.draw()
    return {text.get_text() for text in figure.findobj(Text)}


def fake(fits, maker: str) -> xr.DataTree:
    """Small: ArviZ's plots take their time for every number."""
    options = {
        "gaussian_fit": {"covariance": "univariate", "rows": 60, "draws": 60, "clusters": 2},
        "count_fit": {"family": "poisson"},
    }
    tree = getattr(fits, maker)(**options.get(maker, {}))
    return fits.as_point(tree) if maker == "count_fit" else tree


@pytest.mark.parametrize("maker", ["gaussian_fit", "count_fit", "chains_fit"])
def test_plots_of_named_clusters_show_their_names(fits, maker: str) -> None:
    tree = fake(fits, maker)
    named = name_clusters(tree, NAMES[: tree["posterior"].sizes["cluster"]])
    for plot in choose_plots(named):
        made = plot.draw()
        shown = any(name in text for name in NAMES for text in texts(figure_of(made)))
        expected = plot.name not in SILENT and (plot.name != "path" or maker == "gaussian_fit")
        assert shown == expected, plot.name
        close(made)


def inside(axes: Axes) -> Bbox:
    """The box of axes and of what is written around them; a title may reach beyond its panel."""
    title = axes.get_title(loc="left") or axes.get_title()
    hidden = [text for text in axes.findobj(Text) if title and text.get_text() == title]
    hidden += [text for text in axes.texts if text.get_gid() == NOTE]
    for text in hidden:
        text.set_visible(False)
    box = axes.get_tightbbox()
    for text in hidden:
        text.set_visible(True)
    return box


def apart(boxes: list[Bbox]) -> bool:
    return not any(a.padded(-1).overlaps(b.padded(-1)) for a, b in combinations(boxes, 2))


@pytest.mark.parametrize("layout", ["constrained", None])
@pytest.mark.parametrize("maker", ["gaussian_fit", "count_fit", "chains_fit"])
def test_every_plot_draws_into_what_it_is_given_and_returns_it(
    fits, maker: str, layout: str | None
) -> None:
    """Axes, of which panels share the place; plots that ArviZ draws take its collection."""
    tree = fake(fits, maker)
    for chosen in choose_plots(tree):
        parameters = inspect.signature(chosen.plot.draw).parameters
        assert "plot_collection" in parameters, chosen.name
        if "ax" in parameters:
            figure, (target, other) = plt.subplots(1, 2, figsize=(12, 5), layout=layout)
            before = plt.get_fignums()
            assert chosen.draw(ax=target) is target, chosen.name
            assert plt.get_fignums() == before and not other.has_data(), chosen.name
            panels = [axes for axes in target.child_axes if axes.has_data()]
            assert (panels or target.has_data()) and not figure.legends, chosen.name
            figure.canvas.draw()
            right = other.get_position().x0
            drawn = panels or [target]
            assert all(axes.get_position().x1 <= right for axes in drawn), chosen.name
            legend = [target.get_legend().get_window_extent()] if target.get_legend() else []
            titles = [axes.title for axes in drawn] + [axes._left_title for axes in drawn]
            for box in legend + [t.get_window_extent() for t in titles if t.get_text()]:
                complete = figure.bbox.padded(1)
                assert complete.contains(*box.min) and complete.contains(*box.max), chosen.name
            if panels:
                assert apart([inside(axes) for axes in panels] + legend), chosen.name
        elif layout is None:
            assert "sampling" in chosen.plot.draw.__module__  # ArviZ's own
            made = chosen.draw()
            assert chosen.draw(plot_collection=made) is made, chosen.name
        plt.close("all")


def test_axes_without_a_grid_and_two_places_at_once(fits) -> None:
    tree = fake(fits, "count_fit")
    figure = plt.figure()
    target = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    assert plot_predictive(tree, ax=target) is target and target.child_axes[0].has_data()
    small = plt.figure(figsize=(2.0, 1.0)).add_axes((0.1, 0.1, 0.8, 0.8))
    with pytest.raises(InputError, match="panels have no room in axes of 1.6 by 0.8 inches"):
        plot_predictive(tree, ax=small)
    made = plot_predictive(tree)
    with pytest.raises(InputError, match="give one of them"):
        plot_predictive(tree, ax=target, plot_collection=made)
    plt.close("all")


def test_plots_follow_the_settings_that_somebody_has_changed(fits) -> None:
    tree = fake(fits, "count_fit")
    plain = plot_profiles(tree)
    with plt.style.context("dark_background"), plt.rc_context({"font.size": 20.0}):
        plt.rcParams["axes.prop_cycle"] = cycler(color=["#ff0000", "#00ff00", "#0000ff"])
        dark = plot_profiles(tree)
        tick = dark.viz["plot"].item().get_yticklabels()[0]
    assert figure_of(plain).get_facecolor() == (1, 1, 1, 1)
    assert figure_of(dark).get_facecolor() == (0, 0, 0, 1)
    colors = [str(c) for c in dark.get_aes_as_dataset("color")["mapping"].values]
    assert colors == ["#ff0000", "#00ff00", "#0000ff"][: len(colors)]
    assert cluster_colors(2) == ["#0072b2", "#d55e00"]  # back again
    assert tick.get_color() == "white"
    plt.close("all")
