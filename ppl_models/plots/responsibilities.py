"""Assignment probabilities: every row as one thin column in the clusters' colours."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.cluster_strokes import add_cluster_legend
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import mean_weights, responsibilities, thinned_rows
from ppl_models.plots.drawing.style import headline, shorten
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import facts_of


def row_order(probability: np.ndarray) -> np.ndarray:
    """Rows by most probable cluster, within it by falling certainty.

    Args:
        probability: assignment probabilities (row, cluster).

    Returns:
        Row indices (row) in the order in which they are drawn.

    >>> row_order(np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]]))
    array([2, 1, 0])
    """
    return np.lexsort((-probability.max(1), probability.argmax(1)))


def stacked(probability: np.ndarray) -> np.ndarray:
    """Lower and upper ends (cluster, row, 2) of columns that start with the row's own cluster.

    >>> stacked(np.array([[0.25, 0.75]]))[:, 0].tolist()
    [[0.75, 1.0], [0.0, 0.75]]
    """
    own = np.arange(probability.shape[1]) == probability.argmax(1)[:, None]
    others = np.where(own, 0.0, probability)
    low = np.where(own, 0.0, probability.max(1, keepdims=True) + others.cumsum(1) - others)
    return np.stack([low.T, (low + probability).T], axis=-1)


@register_plot(
    section="assignments",
    order=210,
    caption="Every row as one thin column of assignment probabilities, in the colours of the "
    "clusters, sorted by cluster and certainty.",
    serves=lambda tree, emission: "responsibilities" in tree.children,
)
def plot_responsibilities(
    tree: xr.DataTree,
    *,
    max_rows: int = 4000,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Assignment probabilities of all rows, stacked to one, in the clusters' colours.

    Rows are sorted by most probable cluster and certainty, and a row's own cluster stands at the
    bottom: a block of pure colour is a cluster whose members are certain, the slope at its right
    end are the doubtful ones, and the colours above the slope tell where else they may belong.

    Args:
        tree: a fit with a group `responsibilities`.
        max_rows: of more rows than this, evenly spaced ones of the sorted rows are shown.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: when the tree has no responsibilities.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("gaussian_mixture", [0.1, 0.3, 5.2, 4.9], method="em", seed=0, clusters=2,
        ...            starts=2, predictive=0)
        >>> plot_responsibilities(tree).viz["plot"].item().get_title(loc="left")
        'Assignment probabilities of 4 rows'
    """
    probability = responsibilities(tree).values
    names = component_names(tree, probability.shape[1])
    rows, clusters = probability.shape
    order = row_order(probability)
    shown = probability[order[thinned_rows(rows, max_rows)]]
    made = (
        new_panels(size=(8.4, 3.6), clusters=range(clusters), backend=backend)
        if plot_collection is None
        else with_cluster_colors(plot_collection, range(clusters))
    )
    bands = xr.Dataset(
        {"bands": (("cluster", "row", "side"), stacked(shown))}, {"cluster": np.arange(clusters)}
    )
    made.map(_draw_band, "bands", data=bands, scale=rows / len(shown))
    _label(panel(made), probability, facts_of(tree).unit, names)
    if plot_collection is None:
        weights = mean_weights(tree)
        cluster_weights = probability.mean(0) if weights is None else weights
        add_cluster_legend(made, cluster_weights, names)
    return made


def _draw_band(da: xr.DataArray, target: Axes, *, color: str, scale: float) -> PolyCollection:
    """One cluster's part of every column; `da` (row, side) are its lower and upper ends."""
    low, high = da.transpose("side", "row").values
    edges = np.arange(len(low) + 1) * scale
    return target.fill_between(
        edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=color,
        linewidth=0,
    )  # fmt: skip


def _label(target: Axes, probability: np.ndarray, unit: str, names: list[str]) -> None:
    rows, clusters = probability.shape
    sizes = np.bincount(probability.argmax(1), minlength=clusters)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    for end in ends[1:-1]:
        target.axvline(end, color="white", linewidth=1.0)
    wide = [k for k in range(clusters) if sizes[k] >= 0.045 * rows]
    target.set_xticks([(ends[k] + ends[k + 1]) / 2 for k in wide])
    target.set_xticklabels([f"{shorten(names[k], 16)}\n{sizes[k]:,}" for k in wide])
    target.tick_params(axis="x", length=0)
    target.set(xlim=(0, rows), ylim=(0, 1), ylabel="probability")
    target.set_xlabel(f"most probable cluster, and its number of {unit}s")
    doubtful = int((probability.max(1) < 0.9).sum())
    headline(
        target,
        f"Assignment probabilities of {rows:,} {unit}s",
        f"{doubtful:,} {unit}s ({doubtful / rows:.0%}) are assigned with a probability below 90%",
    )
