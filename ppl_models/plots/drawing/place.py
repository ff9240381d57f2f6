"""Drawing into axes of the caller's: the panels of a plot share the place of those axes."""

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
from matplotlib.gridspec import SubplotSpec

#: the axes that the plot which is being drawn was asked to draw into
_PLACE: ContextVar[Axes | None] = ContextVar("_PLACE", default=None)
GAP = 0.18  #: between panels, in widths of one, where they are laid out by hand


@contextmanager
def drawn_into(axes: Axes | None) -> Iterator[None]:
    """Have the panels of the plots of the block made within the place of these axes."""
    token = _PLACE.set(axes)
    try:
        yield
    finally:
        _PLACE.reset(token)


def place() -> Axes | None:
    """The axes that a plot was asked to draw into; None where it has a figure of its own."""
    return _PLACE.get()


def panels_within(
    axes: Axes,
    labels: Mapping[str, Sequence[Any]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    wrap: int | None,
    sharex: Any = False,
    sharey: Any = False,
    height_ratios: Sequence[float] | None = None,
    **collection: Any,
) -> PlotCollection:
    """A collection whose panels lie within the place of some axes; of one panel it is those.

    Args:
        axes: the place.
        labels: the labels of each dim that panels run over.
        rows: dims laid out downwards.
        columns: dims laid out from left to right.
        wrap: panels in a line, where the dims of ``columns`` are wrapped.
        sharex: as ``matplotlib.pyplot.subplots`` takes it.
        sharey: likewise.
        height_ratios: of the lines.
        collection: the data and the aesthetics of the collection.
    """
    dims = [*rows, *columns]
    shape = tuple(len(labels[dim]) for dim in dims)
    count = int(np.prod(shape, dtype=int))
    across = wrap or int(np.prod([len(labels[dim]) for dim in columns], dtype=int))
    down = -(-count // across)
    if not dims:
        made = [axes]
    else:
        axes.set_axis_off()
        made = _children(axes, down, across, count, sharex, sharey, height_ratios)
    panels = np.empty(shape, object)
    for index, panel in zip(np.ndindex(shape), made, strict=True):
        panels[index] = panel
    coords = {dim: list(labels[dim]) for dim in dims}
    shown = xr.Dataset({"plot": (dims, panels)}, coords)
    shown["figure"] = xr.DataArray(np.array(axes.figure, object))
    return PlotCollection(viz_dt=xr.DataTree(shown), backend="matplotlib", **collection)


def _children(
    axes: Axes, down: int, across: int, count: int, sharex: Any, sharey: Any, heights: Any
) -> list[Axes]:
    """Axes in a grid, line by line, that share scales as those of ``subplots`` do."""
    spec = axes.get_subplotspec()
    made: list[Axes] = []
    for index in range(count):
        line, column = divmod(index, across)
        share = {
            name: made[first]
            for name, how, first in (
                ("sharex", sharex, column if how_is(sharex, "col") else 0),
                ("sharey", sharey, line * across if how_is(sharey, "row") else 0),
            )
            if how and first < index
        }
        made.append(_child(axes, spec, (line, column), (down, across), heights, share))
    return made


def how_is(share: Any, what: str) -> bool:
    """Whether scales are shared along lines or columns only."""
    return bool(share == what)


def _child(
    axes: Axes, spec: SubplotSpec | None, at: tuple[int, int], grid: tuple[int, int],
    heights: Any, share: dict[str, Any],
) -> Axes:  # fmt: skip
    if spec is not None:
        inner = spec.subgridspec(*grid, height_ratios=heights)
        return axes.figure.add_subplot(inner[at], **share)
    ratios = np.array(heights if heights is not None else np.ones(grid[0]), float)
    ends = np.append(0.0, ratios.cumsum()) / ratios.sum()
    width, height = 1.0 / grid[1], ends[at[0] + 1] - ends[at[0]]
    bounds = (at[1] * width, 1.0 - ends[at[0] + 1], width * (1 - GAP), height * (1 - GAP))
    return axes.inset_axes(bounds, **share)


def add_key(
    figure: Any, handles: Sequence[Artist], labels: Sequence[str], *, loc: str, **options: Any
) -> None:
    """A legend beside the panels of a figure; within axes of the caller's it lies in these."""
    within = place()
    if within is None:
        figure.legend(handles, labels, loc=loc, **options)
    else:
        shown = within if within.axison else _last(within)
        shown.legend(handles, labels, loc="best", **{**options, "ncols": 1})


def _last(axes: Axes) -> Any:
    """The last panel that was made within the place of the axes."""
    children = axes.child_axes or [other for other in axes.figure.axes if other.axison]
    return children[-1]
