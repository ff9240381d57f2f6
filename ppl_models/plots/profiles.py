"""What the clusters are like, feature by feature: shares of ones, levels, or mean counts."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from ppl_models.errors import InputError
from ppl_models.plots.cluster_parts import add_cluster_legend
from ppl_models.plots.heat import draw_heat, turn_long_labels
from ppl_models.plots.panels import given_panels, new_panels, panel
from ppl_models.plots.reading import family, feature_names, group, is_point, mean_weights
from ppl_models.plots.style import PALE, headline, shorten, styled

VALUES = {
    "bernoulli": ("probs", "probability of a one"),
    "categorical": ("probs", "probability of the level"),
    "poisson": ("rate", "mean count"),
}


def level_blocks(levels: list[str]) -> list[tuple[str, int, int]]:
    """The features behind levels such as "A=1", each with the range of its levels.

    >>> level_blocks(["A=1", "A=2", "B=1"])
    [('A', 0, 2), ('B', 2, 3)]
    """
    blocks: list[tuple[str, int, int]] = []
    for position, level in enumerate(levels):
        name = level.rpartition("=")[0]
        if blocks and blocks[-1][0] == name:
            blocks[-1] = (name, blocks[-1][1], position + 1)
        else:
            blocks.append((name, position, position + 1))
    return blocks


@styled
def plot_profiles(
    tree: xr.DataTree,
    *,
    kind: Literal["auto", "dots", "heat"] = "auto",
    probability: float = 0.94,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The clusters' parameters by feature: dots with intervals, or a heat map.

    Args:
        tree: a fit of a Bernoulli, categorical or Poisson mixture.
        kind: "dots" (mean and interval over draws), "heat" (means), or "auto": dots for at most 30
            features or levels and 6 clusters.
        probability: the share of draws inside an interval.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: for a fit of another kind.

    Example:
        >>> plot_profiles(tree, kind="heat").savefig("profiles.png")  # doctest: +SKIP
    """
    name, label = VALUES.get(family(tree), ("", ""))
    if not name:
        raise InputError(
            "plot_profiles draws fits of Bernoulli, categorical and Poisson mixtures, not of "
            f"{tree.attrs.get('program', 'this program')!r}: use plot_clusters."
        )
    values = group(tree, "posterior", "plot_profiles")[name]
    dim = "level" if "level" in values.dims else "feature"
    values = values.transpose("chain", "draw", "cluster", dim)
    clusters, columns = values.sizes["cluster"], values.sizes[dim]
    if kind == "auto":
        kind = "dots" if columns <= 30 and clusters <= 6 else "heat"
    if plot_collection is None:
        size = _size(kind, clusters, columns)
        made = new_panels(size=size, clusters=range(clusters), backend=backend)
    else:
        made = given_panels(plot_collection, range(clusters))
    weights = mean_weights(tree)
    weights = np.full(clusters, 1.0 / clusters) if weights is None else weights
    if kind == "heat":
        _heat(panel(made), values, dim, label, weights)
        return made
    _dots(made, values, dim, label, probability, is_point(tree))
    if plot_collection is None:
        add_cluster_legend(made, weights)
    return made


def _size(kind: str, clusters: int, columns: int) -> tuple[float, float]:
    width = float(np.clip(2.5 + 0.42 * columns, 6.4, 12.0))
    return (width, 4.2) if kind == "dots" else (width, float(np.clip(1.8 + 0.36 * clusters, 3, 9)))


def _heat(target: Axes, values: xr.DataArray, dim: str, label: str, weights: np.ndarray) -> None:
    mean = values.mean(["chain", "draw"]).values
    names = [shorten(name, 18) for name in feature_names(values, dim)]
    rows = [f"{k} ({share:.0%})" for k, share in enumerate(weights)]
    top = 1.0 if values.name == "probs" else float(mean.max())
    few = mean.size <= 120 and len(names) <= 20
    draw_heat(target, mean, rows, names, norm=Normalize(0.0, top), label=label, annotate=few)
    if dim == "level":
        for _, start, _ in level_blocks(feature_names(values, dim))[1:]:
            target.axvline(start - 0.5, color="white", linewidth=2.5)
    target.set(ylabel="cluster (weight)", xlabel=dim)
    headline(target, f"What the {len(mean)} clusters are like")


def _dots(
    made: PlotCollection,
    values: xr.DataArray,
    dim: str,
    label: str,
    probability: float,
    point: bool,
) -> None:
    clusters = values.sizes["cluster"]
    tail = (1.0 - probability) / 2.0
    flat = values.values.reshape(-1, clusters, values.sizes[dim])
    low, high = np.quantile(flat, [tail, 1.0 - tail], axis=0)
    summary = xr.Dataset(
        {"summary": (("cluster", dim, "end"), np.stack([low, flat.mean(0), high], axis=-1))},
        {"cluster": np.arange(clusters)},
    )
    made.map(_draw_dots, "dots", data=summary, clusters=clusters)
    target = panel(made)
    names = feature_names(values, dim)
    _ground(target, names, dim)
    target.set_xticks(np.arange(len(names)), [shorten(name, 16) for name in names])
    turn_long_labels(target)
    target.set(xlim=(-0.6, len(names) - 0.4), ylabel=label)
    target.set_ylim(0.0, 1.02 if values.name == "probs" else None)
    note = "" if point else f"posterior means and {probability:.0%} intervals"
    headline(target, f"What the {clusters} clusters are like", note)


def _ground(target: Axes, names: list[str], dim: str) -> None:
    """Grey every second feature (of levels: every second feature's levels)."""
    blocks = level_blocks(names) if dim == "level" else [(n, i, i + 1) for i, n in enumerate(names)]
    for _, start, stop in blocks[::2]:
        target.axvspan(start - 0.5, stop - 0.5, color=PALE, alpha=0.3, linewidth=0, zorder=0)


def _draw_dots(da: xr.DataArray, target: Axes, *, clusters: int, color: str) -> LineCollection:
    """One cluster's means and intervals `da` (feature, end), set aside from the others'."""
    values = da.transpose(..., "end").values
    shift = (int(da["cluster"]) - (clusters - 1) / 2.0) * min(0.8 / clusters, 0.18)
    x = np.arange(len(values)) + shift
    lines = [[(at, low), (at, high)] for at, (low, _, high) in zip(x, values, strict=True)]
    made = LineCollection(lines, colors=color, linewidths=2.0, zorder=3)
    target.add_collection(made)
    target.plot(x, values[:, 1], "o", color=color, markersize=4.5, zorder=4)
    return made


def require_bits(tree: xr.DataTree, purpose: str) -> xr.DataArray:
    """`probs (chain, draw, cluster, feature)` of a Bernoulli mixture.

    Raises:
        InputError: for a fit of another kind.
    """
    if family(tree) != "bernoulli":
        raise InputError(
            f"{purpose} draws fits of a Bernoulli mixture, not of "
            f"{tree.attrs.get('program', 'this program')!r}: use plot_profiles or plot_clusters."
        )
    return tree["posterior"]["probs"].transpose("chain", "draw", "cluster", "feature")
