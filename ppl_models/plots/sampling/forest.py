"""Posterior intervals of parameters on one axis."""

from __future__ import annotations

from typing import Any

import arviz_plots
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.interactive import checked_backend, dots, finished
from ppl_models.plots.drawing.parameters import (
    has_varying_draws,
    inches,
    legible,
    shown_parameters,
    total_count,
    with_left_out,
)

LINES = 30


def _caption(tree: xr.DataTree) -> str:
    text = (
        "Posterior intervals of the parameters: the thick line holds half of the draws, the thin "
        "one 94%."
    )
    return with_left_out(text, tree, _shown(tree, LINES))


def _shown(tree: xr.DataTree, lines: int) -> xr.Dataset:
    return legible(shown_parameters(tree, lines, weights_first=False))


@register_plot(
    section="computation",
    interactive=True,
    order=630,
    caption=_caption,
    serves=lambda tree, emission: has_varying_draws(tree),
)
def plot_forest(
    tree: xr.DataTree,
    *,
    lines: int = LINES,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """ArviZ's forest of intervals, of parameters that can be read off one common axis.

    Args:
        tree: a fit with draws.
        lines: maximum number of scalars to show.
        plot_collection: draw into this one, made by ArviZ (`PlotCollection.grid` or `wrap`), and
            return it.
        backend: "matplotlib", or "plotly" for a plot that answers to the mouse.

    Raises:
        InputError: no parameter varies.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="exact", seed=0, chains=2, draws=30,
        ...            predictive=0)
        >>> plot_forest(tree).viz["plot"]["column"].values.tolist()
        ['labels', 'forest']
    """
    lively = checked_backend(backend)
    if not shown_parameters(tree, lines).data_vars:
        raise InputError(
            "No parameter that varies over the draws has so few entries: allow more lines."
        )
    dataset = _shown(tree, lines)
    shown = xr.DataTree.from_dict({"posterior": dataset})
    size = dots if lively else inches
    draw: Any = arviz_plots.plot_forest  # whose types know no plotly
    made = draw(
        shown, combined=True, plot_collection=plot_collection,
        backend=backend,
        figure_kwargs=size(8.0, 0.32 * total_count(dataset) + 1.3),
    )  # fmt: skip
    return finished(made) if lively else made
