"""Drawing into the caller's axes: the panels of a plot share their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ppl_models.plots.drawing.shared_place import SharedPlace, fit_headline

#: the place that the plot which is being drawn was asked to draw into
_PLACE: ContextVar[SharedPlace | None] = ContextVar("_PLACE", default=None)


@contextmanager
def drawn_into(axes: Axes | None) -> Iterator[None]:
    """Draw the plots of the block into these axes; their panels are laid out at its end."""
    shared = None if axes is None else SharedPlace(axes)
    token = _PLACE.set(shared)
    try:
        yield
    finally:
        _PLACE.reset(token)
    if shared is not None and shared.panels:
        shared.arrange()
    elif axes is not None:
        fit_headline(axes)


def place() -> Axes | None:
    """The axes that a plot was asked to draw into; None where it has a figure of its own."""
    shared = _PLACE.get()
    return None if shared is None else shared.axes


def panels_within(
    labels: Mapping[str, Sequence[Any]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    wrap: int | None,
    sharex: Any = False,
    sharey: Any = False,
    height_ratios: Sequence[float] | None = None,
    width_ratios: Sequence[float] | None = None,
    **collection: Any,
) -> PlotCollection:
    """A collection whose panels lie within the axes of `place()`; a single panel is those axes.

    Args:
        labels: the labels of each dim that panels run over.
        rows: dims laid out downwards.
        columns: dims laid out from left to right.
        wrap: panels in a line, where the dims of ``columns`` are wrapped.
        sharex: as ``matplotlib.pyplot.subplots`` takes it.
        sharey: likewise.
        height_ratios: of the lines.
        width_ratios: of the columns.
        collection: the data and the aesthetics of the collection.
    """
    shared = _PLACE.get()
    assert shared is not None, "called where a plot draws into given axes"
    dims = [*rows, *columns]
    shape = tuple(len(labels[dim]) for dim in dims)
    count = int(np.prod(shape, dtype=int))
    across = wrap or int(np.prod([len(labels[dim]) for dim in columns], dtype=int))
    made = [shared.axes]
    if count > 1:
        down = -(-count // across)
        shared.divide(
            count,
            np.ones(down) if height_ratios is None else np.asarray(height_ratios, float),
            np.ones(across) if width_ratios is None else np.asarray(width_ratios, float),
            (sharex, sharey),
        )
        made = shared.panels
    panels = np.empty(shape, object)
    for index, panel in zip(np.ndindex(shape), made, strict=True):
        panels[index] = panel
    coords = {dim: list(labels[dim]) for dim in dims}
    shown = xr.Dataset({"plot": (dims, panels)}, coords)
    shown["figure"] = xr.DataArray(np.array(shared.axes.figure, object))
    return PlotCollection(viz_dt=xr.DataTree(shown), backend="matplotlib", **collection)


def add_key(
    figure: Any, handles: Sequence[Artist], labels: Sequence[str], *, loc: str, **options: Any
) -> None:
    """Add a legend beside the panels of a figure; in axes of the caller's, above their panels."""
    shared = _PLACE.get()
    if shared is None:
        figure.legend(handles, labels, loc=loc, **options)
    elif shared.panels:
        shared.add_legend(handles, labels, **options)
    else:
        options |= {"ncols": 1, "frameon": True, "edgecolor": "none"}  # on what is drawn below it
        shared.axes.legend(handles, labels, loc="best", **options)


def add_color_bar(target: Axes, image: Any, label: str, *, fraction: float, pad: float) -> None:
    """Add the colour bar of an image beside its panel."""
    shared = _PLACE.get()
    if shared is None:
        bar = target.figure.colorbar(image, ax=target, fraction=fraction, pad=pad)
    elif shared.panels:
        bar = target.figure.colorbar(image, cax=target.inset_axes((1.04, 0.0, 0.06, 1.0)))
    else:  # without a layout engine, as `subplots` makes them, the bar needs the usual room
        bar = target.figure.colorbar(image, ax=target)
    bar.set_label(label)
    bar.outline.set_visible(False)
