"""Plots of fits: functions of a tree (or of a table, of images) that return an ArviZ collection.

A plot is one file. ``plot_NAME`` is the function of the file ``NAME.py`` of this folder: it is
found by the name of the file and imported when it is first used. Helpers are in ``drawing``.

>>> import ppl_models.plots
>>> "plot_clusters" in dir(ppl_models.plots)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl_models.plots.choose import ChosenPlot, choose_plots
    from ppl_models.plots.declaration import Plot, register_plot
    from ppl_models.plots.drawing.panels import close, figure_of, png
    from ppl_models.plots.drawing.style import PALETTE, cluster_colors, house_style

_PLACES = {
    "ChosenPlot": "choose",
    "PALETTE": "drawing.style",
    "Plot": "declaration",
    "choose_plots": "choose",
    "close": "drawing.panels",
    "cluster_colors": "drawing.style",
    "figure_of": "drawing.panels",
    "house_style": "drawing.style",
    "png": "drawing.panels",
    "register_plot": "declaration",
}

__all__ = [
    "PALETTE",
    "ChosenPlot",
    "Plot",
    "choose_plots",
    "close",
    "cluster_colors",
    "figure_of",
    "house_style",
    "png",
    "register_plot",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    if name.startswith("plot_"):
        from ppl_models.plots.choose import plot_modules
        from ppl_models.plots.declaration import registered_plots

        if name in (modules := plot_modules()):
            return getattr(importlib.import_module(modules[name]), name)
        for plot in registered_plots().values():
            if plot.draw.__name__ == name:
                return plot.draw
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from ppl_models.plots.choose import plot_modules
    from ppl_models.plots.declaration import registered_plots

    registered = (plot.draw.__name__ for plot in registered_plots().values())
    return sorted({*__all__, *plot_modules(), *registered})
