"""Profiles of components, feature by feature: one value per feature, or one per level."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize

from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.cluster_strokes import (
    NameLabeller,
    add_cluster_legend,
    add_component_legend,
)
from ppl_models.plots.drawing.components import (
    component_class,
    component_picture,
    is_probability,
    profile_values,
)
from ppl_models.plots.drawing.heat import draw_heat, turn_long_labels
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import axis_names, emission_of, is_point, mean_weights
from ppl_models.plots.drawing.style import PALE, headline, shorten
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import EmissionFacts


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


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    declared = component_picture(emission) in ("profile", "levels")
    return declared and emission.component_dim is not None


@register_plot(
    section="components",
    order=130,
    caption="The parameters of each component, feature by feature.",
    serves=_serves,
    each_emission=True,
)
def plot_profiles(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    kind: Literal["auto", "dots", "heat"] = "auto",
    probability: float = 0.94,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The parameters of clusters, or of hidden states, by feature: dots with intervals, or heat.

    Args:
        tree: a fit whose emission declares a profile, such as a Bernoulli, categorical or Poisson
            mixture.
        site: which observed site (default: the main one).
        kind: "dots" (mean and interval over draws), "heat" (means), or "auto": dots for at most 30
            features or levels and 6 components.
        probability: the part of the draws inside an interval.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: for an emission that declares no profile.

    Example:
        >>> from ppl_models import fit
        >>> answers = [[0, 0, 1], [0, 0, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]]
        >>> tree = fit("bernoulli_mixture", answers, method="em", seed=0, clusters=2, starts=2,
        ...            predictive=0)
        >>> plot_profiles(tree).viz["plot"].item().get_ylabel()
        'probability of a one'
    """
    emission = emission_of(tree, site)
    values = profile_values(tree, site)
    dim = str(values.dims[-1])
    family = component_class(emission)
    label = family.profile_label or family.profile_parameter
    if emission.kind == "Tokens":
        label, values = "probability of the token", values.rename({dim: "token"})
        dim = "token"
    count, columns = values.sizes["component"], values.sizes[dim]
    if kind == "auto":
        kind = "dots" if columns <= 30 and count <= 6 else "heat"
    if plot_collection is None:
        size = _size(kind, count, columns)
        made = new_panels(size=size, clusters=range(count), backend=backend)
    else:
        made = with_cluster_colors(plot_collection, range(count))
    weights = mean_weights(tree) if emission.component_dim == "cluster" else None
    names = component_names(tree, count)
    if kind == "heat":
        _heat(panel(made), values, label, weights, emission, names)
        return made
    _dots(made, values, label, probability, is_point(tree), emission)
    if plot_collection is None and weights is not None:
        add_cluster_legend(made, weights, names)
    elif plot_collection is None:
        title = emission.component_dim or "component"
        add_component_legend(made, title, NameLabeller(names))
    return made


def _size(kind: str, count: int, columns: int) -> tuple[float, float]:
    width = float(np.clip(2.5 + 0.42 * columns, 6.4, 12.0))
    return (width, 4.2) if kind == "dots" else (width, float(np.clip(1.8 + 0.36 * count, 3, 9)))


def _title(count: int, what: str) -> str:
    return f"Parameters of {count} {what}{'s' if count > 1 else ''}"


def _heat(
    target: Axes,
    values: xr.DataArray,
    label: str,
    weights: np.ndarray | None,
    emission: EmissionFacts,
    called: list[str],
) -> None:
    dim, mean = str(values.dims[-1]), values.mean("sample").values
    what = emission.component_dim or "component"
    names = [shorten(name, 18) for name in axis_names(values, dim)]
    rows = [shorten(name, 18) for name in called]
    if weights is not None:
        rows = [f"{name} ({weight:.0%})" for name, weight in zip(rows, weights, strict=True)]
    low = min(0.0, float(mean.min()))
    top = 1.0 if is_probability(emission) else float(mean.max())
    few = mean.size <= 120 and len(names) <= 20
    draw_heat(target, mean, rows, names, norm=Normalize(low, top), label=label, annotate=few)
    if dim == "level":
        for _, start, _ in level_blocks(axis_names(values, dim))[1:]:
            target.axvline(start - 0.5, color="white", linewidth=2.5)
    target.set(ylabel=what if weights is None else f"{what} (weight)", xlabel=dim)
    headline(target, _title(len(mean), what))


def _dots(
    made: PlotCollection,
    values: xr.DataArray,
    label: str,
    probability: float,
    point: bool,
    emission: EmissionFacts,
) -> None:
    count, dim = values.sizes["component"], str(values.dims[-1])
    tail = (1.0 - probability) / 2.0
    low, high = np.quantile(values.values, [tail, 1.0 - tail], axis=0)
    ends = np.stack([low, values.values.mean(0), high], axis=-1)
    summary = xr.Dataset({"summary": (("cluster", dim, "end"), ends)},
                         {"cluster": np.arange(count)})  # fmt: skip
    made.map(_draw_dots, "dots", data=summary, clusters=count)
    target = panel(made)
    names = axis_names(values, dim)
    _ground(target, names, dim)
    target.set_xticks(np.arange(len(names)), [shorten(name, 16) for name in names])
    turn_long_labels(target)
    target.set(xlim=(-0.6, len(names) - 0.4), ylabel=label)
    if low.min() >= 0.0:
        target.set_ylim(0.0, 1.02 if is_probability(emission) else None)
    note = "" if point else f"posterior means and {probability:.0%} intervals"
    headline(target, _title(count, emission.component_dim or "component"), note)


def _ground(target: Axes, names: list[str], dim: str) -> None:
    """Grey every second feature (of levels: every second feature's levels)."""
    blocks = level_blocks(names) if dim == "level" else [(n, i, i + 1) for i, n in enumerate(names)]
    for _, start, stop in blocks[::2]:
        target.axvspan(start - 0.5, stop - 0.5, color=PALE, alpha=0.3, linewidth=0, zorder=0)


def _draw_dots(da: xr.DataArray, target: Axes, *, clusters: int, color: str) -> LineCollection:
    """One cluster's means and intervals `da` (feature, end), shifted beside the others'."""
    values = da.transpose(..., "end").values
    shift = (int(da["cluster"]) - (clusters - 1) / 2.0) * min(0.8 / clusters, 0.18)
    x = np.arange(len(values)) + shift
    lines = [[(at, low), (at, high)] for at, (low, _, high) in zip(x, values, strict=True)]
    made = LineCollection(lines, colors=color, linewidths=2.0, zorder=3)
    target.add_collection(made)
    target.plot(x, values[:, 1], "o", color=color, markersize=4.5, zorder=4)
    return made
