"""Clusters over the data: densities for one feature, ellipses for two, pairs for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.cluster_strokes import (
    ClusterArrays,
    add_cluster_legend,
    cluster_arrays,
    draw_curves,
    draw_number,
    draw_points,
)
from ppl_models.plots.drawing.components import component_picture, separating_features
from ppl_models.plots.drawing.densities import draw_density_panel
from ppl_models.plots.drawing.ellipses import ellipse_curves
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.style import MUTED, cluster_colors, headline, shorten
from ppl_models.posterior.result.schema import EmissionFacts


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Clusters with means and covariances; hidden states have a plot of their own."""
    return emission.component_dim == "cluster" and component_picture(emission) == "ellipses"


def _of_several_features(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    """Whether there are two features to draw against each other."""
    shape = tree["observed_data"].to_dataset()[emission.site].shape
    return len(shape) > 1 and shape[-1] > 1


@register_plot(
    section="components",
    interactive=_of_several_features,
    order=110,
    caption="The data in the colours of the clusters, with the location and spread of each "
    "cluster.",
    serves=_serves,
    each_emission=True,
)
def plot_clusters(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    features: Sequence[str] | None = None,
    draws: int = 40,
    probabilities: Sequence[float] = (0.5, 0.95),
    max_rows: int = 5000,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Data coloured by most probable cluster, with the location and spread of every cluster.

    One feature: histogram, the density of every cluster and of the mixture. Two: ellipses that
    hold the given probabilities. More: all pairs of up to five features, those along which the
    means differ most. Thin lines are single posterior draws, so their spread is uncertainty. Pale
    points are rows whose assignment is uncertain. Where the nearest mean decides, as in k-means,
    there is no spread: the cells of the means are tinted.

    Args:
        tree: a fit of a mixture whose emission declares ellipses, such as a Gaussian one.
        site: which observed site (default: the main one).
        features: which features to show (and in which order).
        draws: how many posterior draws to draw.
        probabilities: the part of a cluster inside each ellipse.
        max_rows: more rows than this are thinned evenly.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one (one panel, or a grid over `feature_y`, `feature_x`).
        backend: "matplotlib", or "plotly" for the two most telling features, row by row under the
            mouse.

    Raises:
        InputError: for an emission without means and covariances, or an unknown feature.

    Example:
        >>> from ppl_models import fit
        >>> x = [[0.1, 0.2], [0.3, 0.1], [0.2, 0.4], [5.2, 4.9], [4.9, 5.0], [5.1, 5.3]]
        >>> tree = fit("gaussian_mixture", x, method="em", seed=0, clusters=2, starts=2,
        ...            covariance="spherical", predictive=0)
        >>> picture = plot_clusters(tree)
        >>> picture.viz["plot"].item().get_title(loc="left")
        '2 clusters'
    """
    names = separating_features(tree, None if features is None else list(features), 5, site)
    if backend == "plotly":
        return _lively(tree, site, features, max_rows, probabilities)
    several = len(names) > 2
    arrays = cluster_arrays(tree, names, min(draws, 15) if several else draws, max_rows, site)
    if several:
        return _pairs(arrays, probabilities, plot_collection, backend)
    if len(names) == 2:
        return _plane(arrays, probabilities, plot_collection, backend)
    return _line(arrays, plot_collection, backend)


def _lively(
    tree: xr.DataTree,
    site: str | None,
    features: Sequence[str] | None,
    max_rows: int,
    probabilities: Sequence[float],
) -> PlotCollection:
    """Two features in plotly."""
    from ppl_models.plots.drawing.interactive import clusters_plane, require_plotly

    require_plotly()
    names = separating_features(tree, None if features is None else list(features), 2, site)
    if len(names) != 2:
        raise InputError("plotly draws clusters of two features: use backend='matplotlib'.")
    arrays = cluster_arrays(tree, names, 200, max_rows, site)
    return clusters_plane(tree, arrays, tuple(probabilities), site)


def _line(arrays: ClusterArrays, collection: PlotCollection | None, backend: str) -> PlotCollection:
    made = _collection(collection, arrays, backend, size=(7.6, 4.2))
    target = panel(made)
    draw_density_panel(target, arrays, 0)
    target.set(xlabel=shorten(arrays.names[0]), ylabel="density")
    target.margins(x=0.0)
    _headline(target, arrays, "dashed: density of the mixture")
    if collection is None:
        add_cluster_legend(made, arrays.mean_weights, arrays.called)
    return made


def _plane(
    arrays: ClusterArrays,
    probabilities: Sequence[float],
    collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    made = _collection(collection, arrays, backend, size=(7.6, 5.4))
    target = panel(made)
    _draw_grey_points(target, arrays, (0, 1))
    _draw_pairs(made, arrays, {(): (0, 1)}, probabilities)
    target.set(xlabel=shorten(arrays.names[0]), ylabel=shorten(arrays.names[1]))
    _headline(target, arrays, _regions(arrays, probabilities))
    if collection is None:
        add_cluster_legend(made, arrays.mean_weights, arrays.called)
    return made


def _pairs(
    arrays: ClusterArrays,
    probabilities: Sequence[float],
    collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    names, side = arrays.names, max(7.0, 2.1 * len(arrays.names))
    coords = {"feature_y": names, "feature_x": names}
    made = _collection(
        collection, arrays, backend, size=(side + 1.0, side),
        coords=coords, rows=["feature_y"], columns=["feature_x"], sharex="col",
    )  # fmt: skip
    for i, below in enumerate(names):
        for j, across in enumerate(names):
            target = panel(made, feature_y=below, feature_x=across)
            if i < j:
                target.set_axis_off()
            elif i == j:
                draw_density_panel(target, arrays, i)
            else:
                _draw_grey_points(target, arrays, (j, i))
                target.sharey(panel(made, feature_y=below, feature_x=names[0]))
            _label_pair(target, names, i, j)
    _draw_pairs(made, arrays, _lower_triangle(names), probabilities)
    if collection is None:
        first = panel(made, feature_y=names[0], feature_x=names[0])
        _headline(first, arrays, _regions(arrays, probabilities))
        add_cluster_legend(made, arrays.mean_weights, arrays.called)
    return made


def _collection(
    collection: PlotCollection | None,
    arrays: ClusterArrays,
    backend: str,
    *,
    size: tuple[float, float],
    **layout: Any,
) -> PlotCollection:
    clusters = range(arrays.clusters)
    if collection is not None:
        return with_cluster_colors(collection, clusters)
    return new_panels(size=size, clusters=clusters, backend=backend, **layout)


def _draw_pairs(
    collection: PlotCollection,
    arrays: ClusterArrays,
    pairs: dict[tuple[str, ...], tuple[int, int]],
    probabilities: Sequence[float],
) -> None:
    """Points, ellipses (or cells) and numbers in every panel that shows two features."""
    centre = {place: arrays.centre[:, list(pair)] for place, pair in pairs.items()}
    centres = _panel_data(arrays, centre, ("cluster", "axis"))
    anywhere = _panel_data(
        arrays, {p: np.nan_to_num(c) for p, c in centre.items()}, ("cluster", "axis")
    )  # rows of noise, which has no centre, are drawn as well
    collection.map(draw_points, "points", data=anywhere, arrays=arrays)
    if arrays.covariance is None:
        if () in pairs:
            _tint_cells(panel(collection), arrays.centre)
    else:
        several = len(arrays.loc) > 1
        alpha, width = (
            (float(np.clip(4.0 / len(arrays.loc), 0.12, 0.9)), 0.8) if several else (0.9, 1.5)
        )
        curve = {place: _curves(arrays, pair, probabilities) for place, pair in pairs.items()}
        curves = _panel_data(arrays, curve, ("cluster", "curve", "point", "axis"))
        collection.map(draw_curves, "ellipses", data=curves, alpha=alpha, width=width)
    collection.map(draw_number, "numbers", data=centres, names=arrays.called)


def _lower_triangle(names: list[str]) -> dict[tuple[str, ...], tuple[int, int]]:
    """Panel (feature_y, feature_x) → positions of its horizontal and vertical feature."""
    count = range(len(names))
    return {(names[i], names[j]): (j, i) for i in count for j in count if j < i}


def _panel_data(
    arrays: ClusterArrays, values: dict[tuple[str, ...], np.ndarray], dims: tuple[str, ...]
) -> xr.Dataset:
    """One array a panel as the dataset that `PlotCollection.map` runs over (NaN: nothing there)."""
    coords: dict[str, object] = {"cluster": np.arange(arrays.clusters)}
    if () in values:
        return xr.Dataset({"shown": (dims, values[()])}, coords)
    names = arrays.names
    shape = next(iter(values.values())).shape
    full = np.full((len(names), len(names), *shape), np.nan)
    for (below, across), array in values.items():
        full[names.index(below), names.index(across)] = array
    coords |= {"feature_y": names, "feature_x": names}
    return xr.Dataset({"shown": (("feature_y", "feature_x", *dims), full)}, coords)


def _curves(
    arrays: ClusterArrays, pair: tuple[int, int], probabilities: Sequence[float]
) -> np.ndarray:
    """Ellipses (cluster, curve, point, axis)."""
    assert arrays.covariance is not None
    axes = list(pair)
    matrix = arrays.covariance[..., axes, :][..., axes]
    each = [ellipse_curves(arrays.loc[..., axes], matrix, p, df=arrays.df) for p in probabilities]
    return np.swapaxes(np.concatenate(each, axis=0), 0, 1)


def _draw_grey_points(target: Axes, arrays: ClusterArrays, pair: tuple[int, int]) -> None:
    unknown = arrays.x[arrays.best < 0]
    if len(unknown):
        across, up = unknown[:, list(pair)].T
        target.scatter(across, up, s=8, color=MUTED, alpha=0.5, linewidths=0)


def _tint_cells(target: Axes, centres: np.ndarray) -> None:
    """Tint each point of the panel by its nearest mean (the cells of k-means)."""
    (left, right), (bottom, top) = target.get_xlim(), target.get_ylim()
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    distance = (x[..., None] - centres[:, 0]) ** 2 + (y[..., None] - centres[:, 1]) ** 2
    colors = np.array([to_rgb(color) for color in cluster_colors(len(centres))])
    nearest = np.nan_to_num(distance, nan=np.inf).argmin(-1)
    target.imshow(
        colors[nearest], extent=(left, right, bottom, top), origin="lower",
        aspect="auto", alpha=0.14, zorder=0,
    )  # fmt: skip


def _label_pair(target: Axes, names: list[str], i: int, j: int) -> None:
    target.set(xlabel="", ylabel="")
    if i == len(names) - 1:
        target.set_xlabel(shorten(names[j], 18))
    if j == 0 and i > 0:
        target.set_ylabel(shorten(names[i], 18))
    if i == j:
        target.set_yticks([])
        target.spines["left"].set_visible(False)
    elif j > 0:
        target.tick_params(labelleft=False)


def _regions(arrays: ClusterArrays, probabilities: Sequence[float]) -> str:
    if arrays.covariance is None:
        return "cells: the points nearest to each mean"
    return "ellipses hold " + " and ".join(f"{p:.0%}" for p in probabilities) + " of each cluster"


def _headline(target: Axes, arrays: ClusterArrays, what: str) -> None:
    note = "; ".join(part for part in (what, arrays.note()) if part)
    headline(target, arrays.title, note)
