"""The way of EM or k-means: the objective of every start, and the centres walking over the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ppl_models.errors import InputError
from ppl_models.plots.panels import given_panels, new_panels, panel
from ppl_models.plots.reading import feature_names, group, kept_features, kept_rows, observed
from ppl_models.plots.style import (
    INK,
    MUTED,
    PALE,
    badge,
    cluster_colors,
    headline,
    shorten,
    styled,
)


@styled
def plot_path(
    tree: xr.DataTree,
    *,
    features: list[str] | None = None,
    max_rows: int = 3000,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The objective by iteration for all starts and, where there are centres, how they moved.

    The kept start is dark, the others grey. Centres are drawn over two features (the two along
    which they differ most, unless `features` names two); their last place is marked by the number.

    Args:
        tree: a fit by a point method, with a group `starts` and, for the centres, `path`.
        features: the two features over which centres are drawn.
        max_rows: more rows than this are thinned evenly.
        plot_collection: a collection over the dim `panel` ("objective", and "centres").
        backend: only "matplotlib".

    Raises:
        InputError: when the tree has no group `starts`, or a feature does not exist.

    Example:
        >>> plot_path(tree).savefig("path.png")  # doctest: +SKIP
    """
    starts = group(tree, "starts", "plot_path")
    if "objective" not in starts:
        raise InputError("plot_path draws how EM climbed: these chains started without it")
    moving = _has_centres(tree)
    panels = ["objective", "centres"] if moving else ["objective"]
    centres = range(_by_centre(tree["path"].to_dataset()["loc"]).shape[0]) if moving else None
    if plot_collection is None:
        size = (10.4, 4.4) if moving else (6.4, 4.4)
        made = new_panels({"panel": panels}, columns=["panel"], size=size, backend=backend)
    else:
        made = given_panels(plot_collection, centres)
    draw_objective(panel(made, panel="objective"), starts, str(tree.attrs.get("method", "")))
    if moving:
        names = kept_features(tree, features, at_most=2)
        draw_centres(panel(made, panel="centres"), tree, names[:2], max_rows)
    return made


def _has_centres(tree: xr.DataTree) -> bool:
    path = tree["path"].to_dataset() if "path" in tree.children else xr.Dataset()
    if "loc" not in path or path["loc"].sizes.get("feature", 1) < 2:
        return False
    return len(set(path["loc"].dims) - {"iteration", "feature"}) == 1


def _by_centre(loc: xr.DataArray) -> np.ndarray:
    """Places (centre, iteration, feature) of the clusters, or of the states of hidden paths."""
    (of,) = set(loc.dims) - {"iteration", "feature"}
    return loc.transpose(of, "iteration", "feature").values


def draw_objective(target: Axes, starts: xr.Dataset, method: str) -> None:
    """Objective (start, iteration) as one line a start, the kept one on top."""
    objective = starts["objective"].transpose("start", "iteration").values
    if method == "kmeans" and not (objective > 0).any():
        objective = -objective  # the method climbs -J; people know J
    count = len(objective)
    kept = starts["kept"].values if "kept" in starts else np.arange(count) == 0
    for values, best in sorted(zip(objective, kept, strict=True), key=lambda pair: bool(pair[1])):
        style: dict[str, Any] = (
            {"color": INK, "linewidth": 1.8} if best else {"color": MUTED, "alpha": 0.6}
        )
        (line,) = target.plot(np.arange(len(values)), values, **style)
        end = int(np.isfinite(values).sum()) - 1
        if end >= 0:
            target.plot(end, values[end], "o", color=line.get_color(), markersize=4, zorder=3)
    target.set_ylim(*_limits(objective))
    target.set_xlim(*_steps(objective, kept))
    target.xaxis.set_major_locator(MaxNLocator(integer=True))
    falling = _falls(objective)
    target.set(xlabel="iteration", ylabel=_objective_name(method, falling))
    plural = "start" if count == 1 else "starts"
    headline(target, f"The way of {count} {plural}", "dark: the kept one")


def _falls(objective: np.ndarray) -> bool:
    """Whether the method makes its objective smaller (k-means' J) rather than larger."""
    walked = [row[np.isfinite(row)] for row in objective]
    return bool(sum(row[-1] - row[0] for row in walked if len(row)) < 0)


def _objective_name(method: str, falling: bool) -> str:
    if method == "kmeans":
        return "J, sum of squared distances"
    return "objective (lower is better)" if falling else "log joint density"


def _limits(objective: np.ndarray) -> tuple[float, float]:
    """Limits that show the ends of all starts well, though the first steps may be far off."""
    finite = objective[np.isfinite(objective)]
    last = np.array([row[np.isfinite(row)][-1] for row in objective if np.isfinite(row).any()])
    falling = _falls(objective)
    early = np.quantile(finite, 0.8 if falling else 0.2)
    low, high = min(last.min(), early), max(last.max(), early)
    margin = 0.06 * (high - low) or max(1.0, abs(high)) * 1e-3
    return low - margin, high + margin


def _steps(objective: np.ndarray, kept: np.ndarray) -> tuple[float, float]:
    """Iterations that show the kept start whole; a few very slow others run out of the panel."""
    used = np.isfinite(objective).sum(1)
    last = max(used[kept].max(initial=1), np.quantile(used, 0.8))
    return -0.03 * last, 1.05 * last


def draw_centres(target: Axes, tree: xr.DataTree, names: list[str], max_rows: int) -> None:
    """Rows in grey, every centre as a line from its first place to its last."""
    data = observed(tree)
    if data is not None:
        data = data.assign_coords(feature=feature_names(data)).sel(feature=names)
        x = data.transpose("row", "feature").values
        across, up = x[kept_rows(len(x), max_rows)].T
        target.scatter(across, up, s=8, color=PALE, linewidths=0, zorder=1)
    loc = tree["path"].to_dataset()["loc"]
    loc = loc.assign_coords(feature=feature_names(loc)).sel(feature=names)
    places = _by_centre(loc)
    for k, (way, color) in enumerate(zip(places, cluster_colors(len(places)), strict=True)):
        way = way[np.isfinite(way).all(1)]
        target.plot(way[:, 0], way[:, 1], "-", color=color, linewidth=1.4, zorder=3)
        target.plot(way[:, 0], way[:, 1], "o", color=color, markersize=3, zorder=3)
        target.plot(*way[0], "o", markerfacecolor="white", markeredgecolor=color, markersize=6)
        badge(target, way[-1, 0], way[-1, 1], str(k), color)
    target.set(xlabel=shorten(names[0]), ylabel=shorten(names[1]))
    headline(target, "How the centres moved", "the kept start, from ring to number")
