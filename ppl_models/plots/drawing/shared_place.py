"""Several panels in the place of one pair of axes, spaced by their labels.

Matplotlib's layout engines belong to the figure, which is the caller's and may have none. The
panels are inset axes, therefore, and this module lays them out: the labels, titles and legends of
every panel are measured in pixels once the plot is drawn, and the gaps between the panels are as
wide as these are. Where the panels are is computed from the place of the axes whenever the figure
is drawn, so that they follow a layout engine and a figure that changes its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ppl_models.errors import InputError

NOTE = "note"  #: the group id of the note below a title
SPACE = 6.0  #: between what belongs to two panels, in points
SMALLEST = 0.3  #: side of a panel in inches, below which nothing can be read


class SharedPlace:
    """The axes that a plot was given, and its panels within them."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.panels: list[Axes] = []
        self.legend: Legend | None = None
        self._heights, self._widths = np.ones(1), np.ones(1)
        #: inches above each line and left of each column that hold no panel; the first of the
        #: former are the legend's, the first of the latter are 0
        self._above, self._left = np.zeros(1), np.zeros(1)
        self._right = 0.0  #: inches right of the last column

    def divide(
        self, count: int, heights: np.ndarray, widths: np.ndarray, sharing: tuple[Any, Any]
    ) -> None:
        """Make panels line by line, which share scales as those of ``subplots`` do."""
        self._heights, self._widths = heights, widths
        self._above, self._left = np.zeros(len(heights)), np.zeros(len(widths))
        self.axes.set_axis_off()
        for index in range(count):
            line, column = divmod(index, len(widths))
            firsts = {
                "sharex": column if sharing[0] == "col" else 0,
                "sharey": line * len(widths) if sharing[1] == "row" else 0,
            }
            shared: dict[str, Any] = {
                name: self.panels[first]
                for (name, first), how in zip(firsts.items(), sharing, strict=True)
                if how and first < index
            }
            column_ends, line_ends = (
                widths.cumsum() / widths.sum(),
                heights.cumsum() / heights.sum(),
            )
            across, down = widths[column] / widths.sum(), heights[line] / heights.sum()
            bounds = (column_ends[column] - across, 1.0 - line_ends[line], across, down)
            self.panels.append(self.axes.inset_axes(bounds, **shared))
        for index, panel in enumerate(self.panels):
            panel.set_axes_locator(_Locator(self, index))

    def add_legend(self, handles: Sequence[Artist], labels: Sequence[str], **options: Any) -> None:
        """Add a legend above all panels, in as many columns as the place is wide."""
        columns = int(options.pop("ncols", len(labels)))
        options |= {"loc": "upper left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.0}
        for ncols in range(min(columns, len(labels)), 0, -1):
            self.legend = self.axes.legend(handles, labels, ncols=ncols, **options)
            width = self.legend.get_window_extent().width
            if width <= self.axes.get_window_extent().width:
                return

    def bounds(self, index: int) -> Bbox:
        """The box of a panel, in pixels."""
        line, column = divmod(index, len(self._widths))
        window, dpi = self.axes.get_window_extent(), self.axes.figure.dpi
        left, above = self._left * dpi, self._above * dpi
        widths = self._widths / self._widths.sum() * (window.width - left.sum() - self._right * dpi)
        heights = self._heights / self._heights.sum() * (window.height - above.sum())
        x = window.x0 + left[: column + 1].sum() + widths[:column].sum()
        top = window.y1 - above[: line + 1].sum() - heights[:line].sum()
        return Bbox.from_bounds(x, top - heights[line], widths[column], heights[line])

    def arrange(self) -> None:
        """Lay the panels out with the gaps that their labels need.

        Raises:
            InputError: when the place is too small for so many panels.
        """
        for _ in range(2):  # smaller panels have other ticks
            for index, panel in enumerate(self.panels):
                panel.apply_aspect(_Locator(self, index)(panel, None))
                wrap_headline(panel, self._width_of_title(panel))
                turn_touching_labels(panel)
            self._measure()
        window, dpi = self.axes.get_window_extent(), self.axes.figure.dpi
        smallest = min(min(self.bounds(k).width, self.bounds(k).height)
                       for k in range(len(self.panels)))  # fmt: skip
        if smallest < SMALLEST * dpi:
            raise InputError(
                f"{len(self.panels)} panels have no room in axes of {window.width / dpi:.1f} by "
                f"{window.height / dpi:.1f} inches: give larger ones, draw fewer features or "
                "clusters, or leave ax out, so that the plot makes a figure of its own"
            )

    def _width_of_title(self, panel: Axes) -> float:
        """Pixels to the next panel of the line that has a title, or to the end of the place."""
        index, columns = self.panels.index(panel), len(self._widths)
        end = self.axes.get_window_extent().x1
        for other in range(index + 1, min(index - index % columns + columns, len(self.panels))):
            if _title(self.panels[other]) is not None:
                end = self.bounds(index).x1
        return float(end - self.bounds(index).x0)

    def _measure(self) -> None:
        """Set the gaps by how far the labels of each panel reach beyond its box."""
        dpi = self.axes.figure.dpi
        space, lines, columns = SPACE / 72.0, len(self._heights), len(self._widths)
        over = np.zeros((4, lines, columns))  # left, right, below, above
        for index, panel in enumerate(self.panels):
            box, tight = self.bounds(index), _tight(panel)
            sides = [
                box.x0 - tight.x0, tight.x1 - box.x1, box.y0 - tight.y0, tight.y1 - box.y1
            ]  # fmt: skip
            if self._width_of_title(panel) > box.width:  # a title of the whole line
                sides[1] = _right_end(panel) - box.x1
            over[:, *divmod(index, columns)] = np.maximum(sides, 0.0) / dpi
        left, right, below, above = over
        self._left[1:] = right.max(0)[:-1] + left.max(0)[1:] + space
        self._above[1:] = below.max(1)[:-1] + above.max(1)[1:] + space
        figure: Any = self.axes.figure
        if figure.get_layout_engine() is None:  # nothing else makes room within the figure
            self._right = right[:, -1].max()
            free = (figure.bbox.y1 - self.axes.get_window_extent().y1) / dpi
            self._above[0] = max(0.0, above[0].max() + space - free)
        if self.legend is not None:
            self._above[0] = self.legend.get_window_extent().height / dpi + above[0].max() + space


class _Locator:
    """Where a panel is, in fractions of the figure, as Matplotlib asks for when it draws."""

    def __init__(self, shared: SharedPlace, index: int) -> None:
        self.shared, self.index = shared, index

    def __call__(self, panel: Any, renderer: Any) -> Bbox:
        box = self.shared.bounds(self.index)
        return box.transformed(panel.figure.transSubfigure.inverted())


def wrap_headline(panel: Axes, width: float) -> None:
    """Break the title of a panel, and the note below it, into lines of so many pixels."""
    pad = 7.0
    for note in _notes(panel):
        _wrap(note, width)
        note.set_in_layout(True)
        pad = 10.0 + note.get_window_extent().height * 72.0 / panel.figure.dpi
    title = _title(panel)
    if title is not None:
        _wrap(title, width)
        panel.set_title(title.get_text(), loc=title.get_horizontalalignment(), pad=pad)


def fit_headline(axes: Axes) -> None:
    """Wrap the headline above the caller's axes; omit its note where there is no room."""
    width, figure = axes.get_window_extent().width, axes.figure
    wrap_headline(axes, width)
    title = _title(axes)
    cut = title is not None and title.get_window_extent().y1 > figure.bbox.y1
    if cut and figure.get_layout_engine() is None:
        for note in _notes(axes):
            note.remove()
        wrap_headline(axes, width)


def _notes(panel: Axes) -> list[Text]:
    return [text for text in panel.texts if text.get_gid() == NOTE]


def _title(panel: Axes) -> Any:
    """The title of a panel, wherever it stands; None where it has none."""
    places: Any = panel
    titles = [places.title, places._left_title, places._right_title]
    return next((title for title in titles if title.get_text()), None)


def _tight(panel: Axes) -> Bbox:
    """The box of a panel and all that is written around it."""
    box: Any = panel.get_tightbbox()
    return Bbox(box)


def _right_end(panel: Axes) -> float:
    """Where a panel ends with its labels, in pixels, without its title and note."""
    hidden = [text for text in (*_notes(panel), _title(panel)) if text is not None]
    for text in hidden:
        text.set_visible(False)
    end = _tight(panel).x1
    for text in hidden:
        text.set_visible(True)
    return float(end)


def _wrap(text: Text, width: float) -> None:
    """Break a text between words where a line is wider than so many pixels."""
    words, lines = text.get_text().split(), [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        text.set_text(longer)
        if lines[-1] and text.get_window_extent().width > width:
            lines.append(word)
        else:
            lines[-1] = longer
    text.set_text("\n".join(lines))


def turn_touching_labels(panel: Axes) -> None:
    """Turn the labels of the horizontal axis upright where they touch their neighbours."""
    labels = [label for label in panel.get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    if any(one.x1 > other.x0 for one, other in zip(boxes, boxes[1:], strict=False)):
        for label in labels:
            label.set_rotation(90)
