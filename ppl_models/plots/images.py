"""Bits as images: the clusters' prototypes, and sheets of observed or filled-in pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage

from ppl_models.errors import InputError
from ppl_models.plots.panels import new_panels, panel
from ppl_models.plots.profiles import require_bits
from ppl_models.plots.reading import mean_weights
from ppl_models.plots.style import cluster_colors, styled


def square_shape(pixels: int) -> tuple[int, int] | None:
    """Height and width of a square image of so many pixels; None if there is none.

    >>> square_shape(64), square_shape(60)
    ((8, 8), None)
    """
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else None


def _checked_shape(shape: tuple[int, int] | None, pixels: int) -> tuple[int, int]:
    shape = shape or square_shape(pixels)
    if shape is None or shape[0] * shape[1] != pixels:
        raise InputError(
            f"{pixels} pixels do not fill a shape of {shape or 'equal sides'}: give "
            "shape=(height, width)."
        )
    return shape


@styled
def plot_prototypes(
    tree: xr.DataTree,
    *,
    shape: tuple[int, int] | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The probability of every pixel, one image a cluster, titled with the cluster's weight.

    Args:
        tree: a fit of a Bernoulli mixture whose features are the pixels of an image, row by row.
        shape: height and width; without it the image is a square.
        plot_collection: a collection over the dim `cluster`.
        backend: only "matplotlib".

    Raises:
        InputError: for a fit of another kind, or a shape that does not fit.

    Example:
        >>> plot_prototypes(tree, shape=(8, 8)).savefig("prototypes.png")  # doctest: +SKIP
    """
    probs = require_bits(tree, "plot_prototypes").mean(["chain", "draw"])
    height, width = _checked_shape(shape, probs.sizes["feature"])
    clusters = probs.sizes["cluster"]
    weights = mean_weights(tree)
    wrap = min(clusters, 5 if clusters <= 10 else 8)
    lines = -(-clusters // wrap)
    made = plot_collection or new_panels(
        {"cluster": range(clusters)},
        size=(max(3.0, 1.45 * wrap), 1.7 * lines * height / width + 0.3),
        columns=["cluster"], wrap=wrap, backend=backend,
    )  # fmt: skip
    images = xr.Dataset(
        {"images": (("cluster", "y", "x"), probs.values.reshape(clusters, height, width))},
        {"cluster": np.arange(clusters)},
    )
    made.map(_draw_prototype, "images", data=images, ignore_aes="all")
    for k, color in enumerate(cluster_colors(clusters)):
        share = "" if weights is None else f": {weights[k]:.0%}"
        panel(made, cluster=k).set_title(f"{k}{share}", color=color, loc="center", fontsize=10)
    return made


def _draw_prototype(da: xr.DataArray, target: Axes) -> AxesImage:
    _bare(target)
    return target.imshow(da.values, cmap="gray_r", vmin=0.0, vmax=1.0, interpolation="nearest")


def _bare(target: Axes) -> None:
    target.set(xticks=[], yticks=[])
    for spine in target.spines.values():
        spine.set(visible=True, color="#BBBBBB")


@styled
def plot_images(
    images: np.ndarray | xr.DataArray,
    *,
    shape: tuple[int, int] | None = None,
    missing: np.ndarray | xr.DataArray | None = None,
    columns: int = 10,
    titles: Sequence[str] | None = None,
    title: str = "",
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
    height, width = _checked_shape(shape, values.shape[1])
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
    _finish_sheet(target, columns * (width + 1), lines * (height + 1), titles, height)
    target.set_title(title)
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
        target.text(-0.8, middle, name, ha="right", va="center", fontsize=9)
