"""The optimisation path: objective of every start, and paths of the means."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ppl_models.errors import InputError
from ppl_models.inference.objective import Objective
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.components import (
    by_component,
    component_picture,
    moments_of,
    parameter_names,
    separating_features,
)
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import (
    emission_of,
    feature_names,
    group,
    observed,
    thinned_rows,
)
from ppl_models.plots.drawing.style import (
    MUTED,
    PALE,
    badge,
    cluster_colors,
    headline,
    ink,
    shorten,
)
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import EmissionFacts, facts_of


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    return "starts" in tree.children and "objective" in tree["starts"].data_vars


def _caption(tree: xr.DataTree) -> str:
    if path_means(tree) is None:
        return "The objective of every start by iteration."
    return "Left: the objective of every start by iteration. Right: the path of the means."


@register_plot(
    section="computation",
    order=600,
    caption=_caption,
    serves=_serves,
)
def plot_path(
    tree: xr.DataTree,
    *,
    features: list[str] | None = None,
    max_rows: int = 3000,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The objective by iteration for all starts and, of Gaussian components, how means moved.

    The selected start is dark, the others grey. Means are drawn over two features (the two along
    which they differ most, unless `features` names two); their last place is marked by the number.

    Args:
        tree: a fit by an optimising method, with a group `starts` and, for the means, `path`.
        features: the two features over which means are drawn.
        max_rows: more rows than this are thinned evenly.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dim `panel` ("objective", and "centres").
        backend: only "matplotlib".

    Raises:
        InputError: when the tree has no group `starts`, or a feature does not exist.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("gaussian_mixture", [0.1, 0.3, 5.2, 4.9], method="em", seed=0, clusters=2,
        ...            starts=2, predictive=0)
        >>> plot_path(tree).viz["plot"].item().get_ylabel()
        'log posterior density'
    """
    starts = group(tree, "starts", "plot_path")
    if "objective" not in starts:
        raise InputError(
            "The group 'starts' has no objective, since these chains did not start from an "
            "optimisation: there is no path to draw."
        )
    means = path_means(tree)
    panels = ["objective"] if means is None else ["objective", "centres"]
    if plot_collection is None:
        size = (6.4, 4.4) if means is None else (10.4, 4.4)
        made = new_panels({"panel": panels}, columns=["panel"], size=size, backend=backend)
    else:
        made = with_cluster_colors(plot_collection, None if means is None else range(len(means)))
    draw_objective(panel(made, panel="objective"), starts, objective_of(tree))
    if means is not None:
        names = separating_features(tree, features, at_most=2)[:2]
        draw_means(panel(made, panel="centres"), tree, means, names, max_rows)
    return made


def objective_of(tree: xr.DataTree) -> Objective:
    """The objective declared by a fit; unnamed and maximised if none is declared."""
    return facts_of(tree).objective or Objective("objective")


def path_means(tree: xr.DataTree) -> np.ndarray | None:
    """Means ``(component, iteration, feature)`` along the selected start.

    None for components that are no ellipses or have one feature, and where a parameter is no site.
    """
    emission = emission_of(tree)
    if "path" not in tree.children or component_picture(emission) != "ellipses":
        return None
    samples = _path_parameters(tree, emission)
    if samples is None:
        return None
    parameters = by_component(tree, emission, samples)
    means, _ = moments_of(emission, {name: values.values for name, values in parameters.items()})
    return np.swapaxes(means, 0, 1) if means.shape[-1] > 1 else None


def _path_parameters(tree: xr.DataTree, emission: EmissionFacts) -> xr.Dataset | None:
    """Parameters by iteration (axis "sample"); final values for those without a recorded path."""
    path, posterior = tree["path"].to_dataset(), tree["posterior"].to_dataset()
    parameters, moving = {}, False
    for name in parameter_names(emission):
        facts = emission.parameters[name]
        if facts.site is None:
            return None
        moving |= facts.site in path
        values = path[facts.site] if facts.site in path else posterior[facts.site][0, 0]
        values = values.drop_vars(["chain", "draw"], errors="ignore")
        if "iteration" not in values.dims:
            values = values.expand_dims(iteration=path.sizes["iteration"])
        named = dict(zip(values.dims[1:], facts.dims, strict=True))
        values = values.drop_vars([n for n in named if n in values.coords], errors="ignore")
        parameters[name] = values.rename({"iteration": "sample", **named})
    return xr.Dataset(parameters) if moving else None


def draw_objective(target: Axes, starts: xr.Dataset, objective: Objective) -> None:
    """Objective (start, iteration) as one line a start, the selected one on top."""
    values = starts["objective"].transpose("start", "iteration").values
    count = len(values)
    selected = starts["best"].values if "best" in starts else np.arange(count) == 0
    for row, best in sorted(zip(values, selected, strict=True), key=lambda pair: bool(pair[1])):
        style: dict[str, Any] = (
            {"color": ink(), "linewidth": 1.8} if best else {"color": MUTED, "alpha": 0.6}
        )
        (line,) = target.plot(np.arange(len(row)), row, **style)
        end = int(np.isfinite(row).sum()) - 1
        if end >= 0:
            target.plot(end, row[end], "o", color=line.get_color(), markersize=4, zorder=3)
    target.set_ylim(*_limits(values, objective))
    target.set_xlim(*_steps(values, selected))
    target.xaxis.set_major_locator(MaxNLocator(integer=True))
    target.set(xlabel="iteration", ylabel=objective.name)
    better = "higher" if objective.direction == "maximise" else "lower"
    plural = "start" if count == 1 else "starts"
    headline(
        target, f"Objective of {count} {plural}", f"{better} is better; dark: the selected start"
    )


def _limits(values: np.ndarray, objective: Objective) -> tuple[float, float]:
    """Limits that show the ends of all starts well, though the first steps may be far off."""
    finite = values[np.isfinite(values)]
    last = np.array([row[np.isfinite(row)][-1] for row in values if np.isfinite(row).any()])
    early = np.quantile(finite, 0.8 if objective.direction == "minimise" else 0.2)
    low, high = min(last.min(), early), max(last.max(), early)
    margin = 0.06 * (high - low) or max(1.0, abs(high)) * 1e-3
    return low - margin, high + margin


def _steps(values: np.ndarray, selected: np.ndarray) -> tuple[float, float]:
    """Iterations up to the end of the selected start; a few slower starts leave the panel."""
    used = np.isfinite(values).sum(1)
    last = max(used[selected].max(initial=1), np.quantile(used, 0.8))
    return -0.03 * last, 1.05 * last


def draw_means(
    target: Axes, tree: xr.DataTree, means: np.ndarray, names: list[str], max_rows: int
) -> None:
    """Rows in grey, every component's mean as a line from its first place to its last."""
    known = feature_names(tree, emission_of(tree), means.shape[-1])
    chosen = [known.index(name) for name in names]
    data = observed(tree)
    if data is not None:
        across, up = data.values[thinned_rows(len(data), max_rows)][:, chosen].T
        target.scatter(across, up, s=8, color=PALE, linewidths=0, zorder=1)
    names_of = component_names(tree, len(means))
    for name, places, color in zip(names_of, means, cluster_colors(len(means)), strict=True):
        places = places[np.isfinite(places).all(1)][:, chosen]
        target.plot(places[:, 0], places[:, 1], "-", color=color, linewidth=1.4, zorder=3)
        target.plot(places[:, 0], places[:, 1], "o", color=color, markersize=3, zorder=3)
        target.plot(*places[0], "o", markerfacecolor="white", markeredgecolor=color, markersize=6)
        badge(target, places[-1, 0], places[-1, 1], shorten(name, 12), color)
    target.set(xlabel=shorten(names[0]), ylabel=shorten(names[1]))
    headline(target, "Paths of the means", "the selected start, from ring to number")
