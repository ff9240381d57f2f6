"""Figures as ArviZ's `PlotCollection`, with panels laid out over named dims."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ppl_models.errors import InputError
from ppl_models.plots.drawing.place import panels_within, place
from ppl_models.plots.drawing.style import cluster_colors


def new_panels(
    coords: Mapping[str, Sequence[Any]] | None = None,
    *,
    size: tuple[float, float],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    wrap: int | None = None,
    clusters: Sequence[int] | None = None,
    backend: str = "matplotlib",
    **figure_kwargs: Any,
) -> PlotCollection:
    """A collection with one panel for each combination of the named dims.

    Args:
        coords: the labels of each dim that panels run over.
        size: width and height of the figure in inches.
        rows: dims laid out downwards.
        columns: dims laid out from left to right.
        wrap: the number of panels in a line, where the dims of `columns` are wrapped.
        clusters: where given, the aesthetic "color" is mapped to the dim `cluster`.
        backend: only "matplotlib" is drawn.
        figure_kwargs: passed to `matplotlib.pyplot.subplots`.

    Raises:
        InputError: when another backend is asked for.

    >>> new_panels({"feature": ["a", "b"]}, columns=["feature"], size=(6, 3)).viz["plot"].sizes
    Frozen({'feature': 2})
    """
    if backend != "matplotlib":
        raise InputError(f"The backend {backend!r} is not drawn here: use backend='matplotlib'.")
    labels = dict(coords or {})
    if clusters is not None:
        labels["cluster"] = list(clusters)
    shape = tuple(len(values) for values in labels.values())
    data = xr.Dataset({"layout": (tuple(labels), np.zeros(shape))}, labels)
    kwargs: dict[str, Any] = {"figure_kwargs": {"figsize": size} | figure_kwargs}
    if clusters is not None:
        kwargs |= {"aes": {"color": ["cluster"]}, "color": cluster_colors(len(labels["cluster"]))}
    if place() is not None:
        del kwargs["figure_kwargs"]
        return panels_within(labels, rows=rows, columns=columns, wrap=wrap, data=data,
                             **kwargs, **figure_kwargs)  # fmt: skip
    if wrap is not None:
        return PlotCollection.wrap(data, cols=columns, col_wrap=wrap, backend=backend, **kwargs)
    return PlotCollection.grid(data, cols=columns, rows=rows, backend=backend, **kwargs)


def across(count: int) -> int:
    """How many of so many panels stand side by side.

    >>> [across(count) for count in (1, 2, 3, 4, 5)]
    [1, 2, 3, 2, 3]
    """
    return 2 if count == 4 else min(count, 3)


def with_cluster_colors(
    collection: PlotCollection, clusters: Sequence[int] | None
) -> PlotCollection:
    """A collection of the caller's, with the colour of every cluster added where it lacks them."""
    if clusters is not None and "color" not in collection.aes_set:
        colors = xr.DataArray(cluster_colors(len(clusters)), {"cluster": list(clusters)})
        collection.update_aes_from_dataset("color", xr.Dataset({"mapping": colors}))
    return collection


def figure_of(plot: PlotCollection | Figure) -> Figure:
    """The matplotlib figure of a collection (or the figure itself).

    >>> from matplotlib import pyplot as plt
    >>> figure = plt.figure()
    >>> figure_of(figure) is figure
    True
    >>> close(figure)
    """
    return plot if isinstance(plot, Figure) else plot.viz["figure"].item()


def panel(collection: PlotCollection, **selection: Any) -> Axes:
    """The axes of one panel; without a selection, of the only one.

    Raises:
        InputError: when the selection does not name exactly one panel.
    """
    panels = collection.viz["plot"]
    panels = panels.sel({name: value for name, value in selection.items() if name in panels.dims})
    if panels.size != 1:
        raise InputError(
            f"The given plot_collection has {panels.size} panels for {selection}: give one with "
            "exactly one panel there, or leave plot_collection out."
        )
    return panels.item()


def png(plot: PlotCollection | Figure) -> bytes:
    """The plot as a PNG file's bytes.

    >>> from matplotlib import pyplot as plt
    >>> figure = plt.figure()
    >>> png(figure)[1:4]
    b'PNG'
    >>> close(figure)
    """
    buffer = io.BytesIO()
    figure_of(plot).savefig(buffer, format="png")
    return buffer.getvalue()


def close(plot: PlotCollection | Figure) -> None:
    """Close a figure, which pyplot otherwise keeps in memory.

    >>> from matplotlib import pyplot as plt
    >>> figure = plt.figure()
    >>> close(figure), plt.fignum_exists(figure.number)
    (None, False)
    """
    import matplotlib.pyplot as plt

    plt.close(figure_of(plot))
