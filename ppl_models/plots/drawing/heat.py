"""Heat maps with readable ticks, shared by profiles, transitions and similarities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage

from ppl_models.plots.drawing.place import add_color_bar
from ppl_models.plots.drawing.style import HEAT, INK, points, thinned


def draw_heat(
    target: Axes,
    values: np.ndarray,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    norm: Normalize,
    label: str,
    annotate: bool = False,
    at_most: int = 45,
) -> AxesImage:
    """One matrix (row, column) with at most `at_most` ticks a side, and its colour bar."""
    image = target.imshow(values, cmap=HEAT, norm=norm, aspect="auto", interpolation="nearest")
    for axis, labels in (("x", column_labels), ("y", row_labels)):
        positions, names = thinned(list(labels), at_most)
        getattr(target, f"set_{axis}ticks")(positions, names)
    turn_long_labels(target)
    target.tick_params(length=0)
    for spine in target.spines.values():
        spine.set_visible(False)
    if annotate:
        _annotate(target, values, image)
    add_color_bar(target, image, label, fraction=0.04, pad=0.02)
    return image


def turn_long_labels(target: Axes) -> None:
    """Turn the labels of the horizontal axis upright where they would touch their neighbours."""
    labels = target.get_xticklabels()
    figure = target.figure.canvas.figure  # of a subfigure's axes too, with Matplotlib 3.9 as well
    width = figure.get_figwidth() * target.get_position().width * 0.9
    room = width / max(1, len(labels))
    long = [label for label in labels if 0.085 * len(label.get_text()) > room]
    for label in labels if len(long) > 3 else long:
        label.set_rotation(90)


def _annotate(target: Axes, values: np.ndarray, image: AxesImage) -> None:
    """Write each value into its cell, dark on light and light on dark."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = float(np.asarray(image.norm(value))) > 0.55
            text = f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
            color = "white" if dark else INK
            target.text(j, i, text, ha="center", va="center", fontsize=points(8), color=color)
