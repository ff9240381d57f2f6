"""Traces and marginal densities of posterior draws."""

from __future__ import annotations

from typing import Any

import arviz_plots
import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.lines import Line2D

from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.cluster_strokes import NameLabeller
from ppl_models.plots.drawing.interactive import checked_backend, dots, finished, thinned_draws
from ppl_models.plots.drawing.panels import figure_of
from ppl_models.plots.drawing.parameters import (
    has_varying_draws,
    inches,
    shown_parameters,
    tree_of,
    with_left_out,
)
from ppl_models.plots.drawing.style import CHAINS, cluster_colors, ink, points, shorten
from ppl_models.posterior.result.names import component_names

PANELS = 7
MOST_NAMED = 20  #: clusters that a legend names


def _caption(tree: xr.DataTree) -> str:
    shown = _shown(tree, PANELS)
    colors = "clusters" if "cluster" in shown.dims else "chains"
    text = (
        "Left: the density of each parameter in every chain. Right: its values draw by draw. "
        f"Colours are {colors}. Chains that lie on each other agree."
    )
    return with_left_out(text, tree, shown)


def _shown(tree: xr.DataTree, panels: int) -> xr.Dataset:
    return shown_parameters(tree, panels * tree["posterior"].sizes.get("cluster", 1))


@register_plot(
    section="computation",
    interactive=True,
    order=610,
    caption=_caption,
    serves=lambda tree, emission: has_varying_draws(tree),
)
def plot_trace(
    tree: xr.DataTree,
    *,
    panels: int = PANELS,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """ArviZ's traces and marginal densities of the log density and the foremost parameters.

    Clusters share a panel and have their colours; every line is a chain.

    Args:
        tree: a fit with draws.
        panels: about how many parameters are shown.
        plot_collection: draw into this one, made by ArviZ (`PlotCollection.grid` or `wrap`), and
            return it.
        backend: "matplotlib", or "plotly" for a plot that answers to the mouse.

    Raises:
        InputError: no parameter varies.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="exact", seed=0, chains=2, draws=30,
        ...            predictive=0)
        >>> sorted(plot_trace(tree, panels=4).viz["plot"].data_vars)
        ['initial', 'lp', 'transition']
    """
    lively = checked_backend(backend)
    shown = tree_of(tree, _shown(tree, panels))
    shown = thinned_draws(shown) if lively else shown
    posterior = shown["posterior"].to_dataset()
    facets = [str(dim) for dim in posterior.dims if dim not in ("chain", "draw", "cluster")]
    layout: dict[str, Any] = {"rows": ["__variable__", *facets]}
    if "cluster" in posterior.dims:
        plain = any("cluster" not in values.dims for values in posterior.data_vars.values())
        colors = [*([ink()] if plain else []), *cluster_colors(posterior.sizes["cluster"])]
        aesthetics = {"color": ["cluster"], "overlay": ["chain"], "overlay_cluster": ["cluster"]}
        layout |= {"aes": aesthetics, "color": colors}
        layout["aes_by_visuals"] = {"divergence": ["overlay_cluster"]}
    else:
        layout |= {"aes": {"color": ["chain"]}, "color": list(CHAINS)}
    lines = sum(
        int(np.prod([values.sizes[dim] for dim in facets if dim in values.dims]))
        for values in posterior.data_vars.values()
    )
    size = dots if lively else inches
    made = arviz_plots.plot_trace_dist(
        shown, compact=False, combined=False, kind="kde", plot_collection=plot_collection,
        backend=backend,
        figure_kwargs=size(10.0, 1.55 * lines + 0.4), **layout,
    )  # fmt: skip
    if lively:
        if "cluster" in posterior.dims:
            names = component_names(tree, posterior.sizes["cluster"])
            made.add_legend("cluster", labeller=NameLabeller(names))
            # the entry of what belongs to no cluster
            drawn: Any = figure_of(made)
            drawn.for_each_trace(lambda t: t.update(showlegend=False), {"name": "∅"})
        return finished(made)
    if 1 < posterior.sizes.get("cluster", 0) <= MOST_NAMED:
        _name_clusters(made, component_names(tree, posterior.sizes["cluster"]))
    for axes in figure_of(made).axes:
        axes.locator_params(axis="x", nbins=5)
        axes.locator_params(axis="y", nbins=4)
        axes.xaxis.label.set_fontsize(points(9))
        axes.yaxis.label.set_fontsize(points(9))
    return made


def _name_clusters(made: PlotCollection, names: list[str]) -> None:
    """A legend that says which cluster each colour is."""
    handles = [Line2D([], [], color=color, linewidth=1.8) for color in cluster_colors(len(names))]
    figure_of(made).legend(
        handles, [shorten(name, 18) for name in names], title="cluster",
        loc="outside upper center", ncols=min(len(names), 8),
    )  # fmt: skip
