"""Sheets of images: observed, generated or completed ones, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ppl_models.errors import InputError
from ppl_models.plots.drawing.panels import new_panels, panel
from ppl_models.plots.drawing.pixels import image_shape
from ppl_models.plots.drawing.style import cluster_colors, points, styled


@styled
def plot_images(
    images: np.ndarray | xr.DataArray,
    *,
    shape: tuple[int, int] | None = None,
    missing: np.ndarray | xr.DataArray | None = None,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    title: str = "",
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """A sheet of images, one a row of bits (or of probabilities), with missing parts outlined.

    Args:
        images: values in [0, 1] (row, pixel); NaN is drawn pale.
        shape: height and width; without it the images are squares.
        missing: True where a pixel was not observed (row, pixel): its outline is drawn.
        columns: how many images stand side by side.
        titles: a name for each line of the sheet, from above.
        title: the title of the sheet.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: when shapes do not fit.

    Example:
        >>> sheet = plot_images(np.eye(4), columns=2, title="four pixels")
        >>> sheet.viz["plot"].item().get_title(loc="left")
        'four pixels'
    """
    values = np.asarray(images, dtype=float)
    if values.ndim != 2 or not len(values):
        raise InputError(f"Images must be (row, pixel) with at least one row, not {values.shape}.")
    if missing is not None and np.shape(missing) != values.shape:
        raise InputError(
            f"The mask of missing pixels has shape {np.shape(missing)}, the images {values.shape}: "
            "give one value a pixel."
        )
    height, width = image_shape(shape, values.shape[1])
    columns = min(columns, len(values))
    lines = -(-len(values) // columns)
    tall = 0.85 * lines * (height + 1) / (width + 1)
    made = plot_collection or new_panels(
        size=(0.85 * columns + (1.2 if titles else 0.2), tall + (0.5 if title else 0.2)),
        backend=backend,
    )
    target = panel(made)
    target.set_axis_off()
    for index, image in enumerate(values.reshape(-1, height, width)):
        down, across = divmod(index, columns)
        top, left = down * (height + 1), across * (width + 1)
        _draw_image(target, image, left, top)
        if missing is not None:
            _outline(target, np.asarray(missing)[index].reshape(height, width), left, top)
    target.set_title(title)
    _finish_sheet(target, columns * (width + 1), lines * (height + 1), titles, height)
    return made


def _draw_image(target: Axes, image: np.ndarray, left: int, top: int) -> None:
    height, width = image.shape
    extent = (left, left + width, top + height, top)
    ground = np.broadcast_to([0.93, 0.91, 0.80], (*image.shape, 3))
    target.imshow(ground, extent=extent, interpolation="nearest")
    shown = np.ma.masked_invalid(image)
    target.imshow(shown, extent=extent, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height], [0, 0]]) + [left, top]
    target.plot(*frame.T, color="#BBBBBB", linewidth=0.6)


def outline_segments(mask: np.ndarray) -> np.ndarray:
    """The border between True and False (or the outside) of a mask, as segments (edge, 2, 2).

    Args:
        mask: True inside (height, width).

    >>> len(outline_segments(np.array([[True, True]])))
    6
    """
    padded = np.pad(mask.astype(bool), 1)
    across = [[(x, y), (x + 1, y)] for y, x in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])]
    down = [[(x, y), (x, y + 1)] for y, x in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])]
    return np.array(across + down, dtype=float).reshape(-1, 2, 2)


def _outline(target: Axes, mask: np.ndarray, left: int, top: int) -> None:
    segments = outline_segments(mask) + np.array([left, top])
    color = cluster_colors(2)[1]
    target.add_collection(
        LineCollection(list(segments), colors=color, linewidths=1.6, capstyle="projecting")
    )


def _finish_sheet(
    target: Axes, width: int, tall: int, titles: Sequence[str] | None, height: int
) -> None:
    target.set(xlim=(-0.5, width - 0.5), ylim=(tall - 0.5, -0.5), aspect="equal")
    for line, name in enumerate(titles or ()):
        middle = line * (height + 1) + height / 2
        target.text(-0.8, middle, name, ha="right", va="center", fontsize=points(9))
    if titles:  # the layout of axes of equal aspect settles at the second drawing
        root = target.get_figure(root=True)
        assert root is not None
        root.draw_without_rendering()
