"""Clusters over the data: densities for one feature, ellipses for two, pairs for more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes

from ppl_models.errors import InputError
from ppl_models.plots.cluster_density import draw_density_panel
from ppl_models.plots.cluster_parts import (
    ClusterArrays,
    add_cluster_legend,
    cluster_arrays,
    draw_curves,
    draw_number,
    draw_points,
)
from ppl_models.plots.ellipses import ellipse_curves
from ppl_models.plots.panels import given_panels, new_panels, panel
from ppl_models.plots.reading import family, kept_features
from ppl_models.plots.style import MUTED, cluster_colors, headline, shorten, styled

DRAWN = ("gaussian", "univariate", "centres")


@styled
def plot_clusters(
    tree: xr.DataTree,
    *,
    features: Sequence[str] | None = None,
    draws: int = 40,
    probabilities: Sequence[float] = (0.5, 0.95),
    max_rows: int = 5000,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Data coloured by most probable cluster, with what the fit believes about each cluster.

    One feature: histogram, the density of every cluster and of the whole mixture. Two: ellipses
    that hold the given probabilities. More: all pairs of up to five features, those along which
    the centres differ most. Thin lines are single posterior draws, so their spread is uncertainty.
    Pale points are rows whose assignment is uncertain. k-means has no spread: its cells are tinted.

    Args:
        tree: a fit of a Gaussian mixture (any covariance family) or of k-means.
        features: which features to show (and in which order).
        draws: how many posterior draws to draw.
        probabilities: the share of a cluster inside each ellipse.
        max_rows: more rows than this are thinned evenly.
        plot_collection: draw into this one (one panel, or a grid over `feature_y`, `feature_x`).
        backend: only "matplotlib".

    Raises:
        InputError: for a fit without centres, or an unknown feature.

    Example:
        >>> plot_clusters(tree, draws=20).savefig("clusters.png")  # doctest: +SKIP
    """
    if family(tree) not in DRAWN:
        raise InputError(
            f"plot_clusters needs centres `loc (cluster, feature)`, which {_program(tree)} lacks: "
            "use plot_profiles."
        )
    names = None
    if family(tree) != "univariate" and "feature" in tree["posterior"]["loc"].dims:
        names = kept_features(tree, None if features is None else list(features), at_most=5)
    arrays = cluster_arrays(tree, names, draws, max_rows)
    if len(arrays.names) == 1:
        return _line(arrays, plot_collection, backend)
    if len(arrays.names) == 2:
        return _plane(arrays, probabilities, plot_collection, backend)
    arrays = cluster_arrays(tree, names, min(draws, 15), max_rows)
    return _pairs(arrays, probabilities, plot_collection, backend)


def _program(tree: xr.DataTree) -> str:
    return repr(tree.attrs.get("program", "this program"))


def _line(arrays: ClusterArrays, collection: PlotCollection | None, backend: str) -> PlotCollection:
    made = _collection(collection, arrays, backend, size=(7.6, 4.2))
    target = panel(made)
    draw_density_panel(target, arrays, 0)
    target.set(xlabel=shorten(arrays.names[0]), ylabel="density")
    target.margins(x=0.0)
    _headline(target, arrays, "dashed: density of the whole mixture")
    if collection is None:
        add_cluster_legend(made, arrays.share)
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
        add_cluster_legend(made, arrays.share)
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
        add_cluster_legend(made, arrays.share)
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
        return given_panels(collection, clusters)
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
    collection.map(draw_points, "points", data=centres, arrays=arrays)
    if arrays.covariance is None and arrays.point:
        if () in pairs:
            _tint_cells(panel(collection), arrays.loc[0])
    else:
        several = len(arrays.loc) > 1
        alpha, width = (
            (float(np.clip(4.0 / len(arrays.loc), 0.12, 0.9)), 0.8) if several else (0.9, 1.5)
        )
        curve = {place: _curves(arrays, pair, probabilities) for place, pair in pairs.items()}
        curves = _panel_data(arrays, curve, ("cluster", "curve", "point", "axis"))
        collection.map(draw_curves, "ellipses", data=curves, alpha=alpha, width=width)
    collection.map(draw_number, "numbers", data=centres)


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
    """Ellipses (cluster, curve, point, axis); without a covariance, a cross at every centre."""
    axes = list(pair)
    if arrays.covariance is None:
        reach = 0.01 * np.ptp(arrays.loc[..., axes], axis=(0, 1))
        arms = np.array([[-1, 0], [1, 0], [np.nan, np.nan], [0, -1], [0, 1]]) * reach
        values = arrays.loc[:, :, None, axes] + arms
    else:
        matrix = arrays.covariance[..., axes, :][..., axes]
        each = [ellipse_curves(arrays.loc[..., axes], matrix, p) for p in probabilities]
        values = np.concatenate(each, axis=0)
    return np.swapaxes(values, 0, 1)


def _draw_grey_points(target: Axes, arrays: ClusterArrays, pair: tuple[int, int]) -> None:
    unknown = arrays.x[arrays.best < 0]
    if len(unknown):
        across, up = unknown[:, list(pair)].T
        target.scatter(across, up, s=8, color=MUTED, alpha=0.5, linewidths=0)


def _tint_cells(target: Axes, centres: np.ndarray) -> None:
    """Tint each point of the panel by its nearest centre (the cells of k-means)."""
    (left, right), (bottom, top) = target.get_xlim(), target.get_ylim()
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    distance = (x[..., None] - centres[:, 0]) ** 2 + (y[..., None] - centres[:, 1]) ** 2
    colors = np.array([_rgb(color) for color in cluster_colors(len(centres))])
    target.imshow(
        colors[distance.argmin(-1)], extent=(left, right, bottom, top), origin="lower",
        aspect="auto", alpha=0.14, zorder=0,
    )  # fmt: skip


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255.0 for i in (1, 3, 5))


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
        return "rows coloured by nearest centre"
    return "ellipses hold " + " and ".join(f"{p:.0%}" for p in probabilities) + " of each cluster"


def _headline(target: Axes, arrays: ClusterArrays, what: str) -> None:
    plural = "cluster" if arrays.clusters == 1 else "clusters"
    note = "; ".join(part for part in (what, arrays.note()) if part)
    headline(target, f"{arrays.clusters} {plural}", note)
