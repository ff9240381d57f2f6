"""Ranks of each chain's draws among all draws."""

from __future__ import annotations

import arviz_plots
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.interactive import checked_backend, dots, finished
from ppl_models.plots.drawing.panels import figure_of
from ppl_models.plots.drawing.parameters import (
    has_varying_draws,
    inches,
    shown_parameters,
    total_count,
    tree_of,
    with_left_out,
)
from ppl_models.plots.drawing.style import CHAINS, points

PANELS = 11


def _caption(tree: xr.DataTree) -> str:
    text = (
        "Rank distribution of each chain's draws among all draws, minus the uniform distribution "
        "that chains of one posterior have. A curve far from zero (small p) is a chain that "
        "sits elsewhere."
    )
    return with_left_out(text, tree, shown_parameters(tree, PANELS))


@register_plot(
    section="computation",
    interactive=True,
    order=620,
    caption=_caption,
    # ranks compare chains
    serves=lambda tree, _: has_varying_draws(tree) and tree["posterior"].sizes["chain"] > 1,
)
def plot_rank(
    tree: xr.DataTree,
    *,
    panels: int = PANELS,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """ArviZ's rank curves of the log density and the foremost parameters; grey lines are chains.

    Args:
        tree: a fit with draws of several chains.
        panels: maximum number of scalars to show.
        plot_collection: draw into this one, made by ArviZ (`PlotCollection.grid` or `wrap`), and
            return it.
        backend: "matplotlib", or "plotly" for a plot that answers to the mouse.

    Raises:
        InputError: no parameter varies.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="exact", seed=0, chains=2, draws=30,
        ...            predictive=0)
        >>> sorted(plot_rank(tree).viz["plot"].data_vars)
        ['initial', 'lp', 'transition']
    """
    lively = checked_backend(backend)
    shown = tree_of(tree, shown_parameters(tree, panels))
    total = total_count(shown["posterior"].to_dataset())
    size = dots if lively else inches
    made = arviz_plots.plot_rank(
        shown, plot_collection=plot_collection,
        backend=backend, col_wrap=4, color=list(CHAINS),
        figure_kwargs=size(11.0, 2.0 * -(-total // 4) + 0.3),
    )  # fmt: skip
    if lively:
        return finished(made)
    for axes in figure_of(made).axes:
        axes.title.set_fontsize(points(9))
    return made
