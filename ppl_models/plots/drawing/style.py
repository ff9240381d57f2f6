"""The house style: a cluster has the same colour in every plot.

Colours are told apart by colour-blind readers (Okabe and Ito 2008, then Paul Tol's muted set); more
clusters than colours repeat them darker. Matplotlib's settings are changed only while a
plot is drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from arviz_base import rc_context as arviz_rc_context
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

from ppl_models.errors import InputError
from ppl_models.plots.drawing.place import drawn_into
from ppl_models.plots.drawing.shared_place import NOTE

PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
    "#56B4E9", "#332288", "#999933", "#882255", "#44AA99",
)  # fmt: skip
INK = "#222222"
MUTED = "#8A8A8A"
PALE = "#D9D9D9"
POSTERIOR = "#0072B2"
PRIOR = "#B58900"
HEAT = "YlGnBu"
CHAINS = ("#1A1A1A", "#6E6E6E", "#A3A3A3", "#C9A66B")  #: of MCMC chains, which are no clusters

SETTINGS: dict[Any, Any] = {
    "figure.dpi": 110.0,
    "savefig.dpi": 110.0,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.titlesize": 12.0,
    "figure.titleweight": "bold",
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "text.color": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "legend.title_fontsize": 9.0,
    "image.interpolation": "nearest",
}


def cluster_colors(clusters: int) -> list[str]:
    """The colours of clusters 0, 1, 2, ...; the same index always has the same colour.

    They are those of ``rcParams["axes.prop_cycle"]``, where somebody has chosen another than
    Matplotlib's.

    >>> cluster_colors(2)
    ['#0072b2', '#d55e00']
    >>> len(set(cluster_colors(30)))
    30
    """
    cycle = matplotlib.rcParams["axes.prop_cycle"]
    chosen = cycle != matplotlib.rcParamsDefault["axes.prop_cycle"]
    colors = (cycle.by_key().get("color") if chosen else None) or PALETTE
    return [_shade(colors[k % len(colors)], 0.65 ** (k // len(colors))) for k in range(clusters)]


def ink() -> str:
    """The colour of what is written and of the foremost lines."""
    return to_hex(matplotlib.rcParams["text.color"])


def points(size: float) -> float:
    """A font's size, given for text of ten points, at the size of the text that is drawn."""
    return size * matplotlib.rcParams["font.size"] / 10.0


def _shade(color: str, brightness: float) -> str:
    red, green, blue = to_rgb(color)
    return to_hex((red * brightness, green * brightness, blue * brightness))


def faded(color: str, alpha: np.ndarray) -> np.ndarray:
    """One RGBA row per value of `alpha` (row), shape (row, 4)."""
    return np.column_stack([np.tile(to_rgb(color), (len(alpha), 1)), alpha])


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the settings of the house style while the block runs.

    Settings of ``rcParams`` that somebody has changed, by a style sheet or by hand, stay as they
    are.

    >>> import matplotlib
    >>> with house_style():
    ...     matplotlib.rcParams["axes.spines.top"]
    False
    """
    known, usual = matplotlib.rcParams, matplotlib.rcParamsDefault
    unchanged = {name: value for name, value in SETTINGS.items() if known[name] == usual[name]}
    with matplotlib.rc_context(unchanged), arviz_rc_context({"plot.max_subplots": None}):
        yield


def styled[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Draw under `house_style`, and into the axes ``ax`` where these are given, and returned."""

    @functools.wraps(function)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        axes: Any = kwargs.pop("ax", None)
        if axes is not None and kwargs.get("plot_collection") is not None:
            raise InputError("ax and plot_collection are both given: give one of them")
        with house_style(), drawn_into(axes):
            made = function(*args, **kwargs)
        return made if axes is None else axes

    return drawn


def readable(token: str) -> str:
    """A token as a tick label: invisible characters get a sign.

    >>> readable(" "), readable("a")
    ('␣', 'a')
    """
    signs = {" ": "␣", "\n": "⏎", "\t": "⇥", "": "∅"}
    return signs.get(token, token).replace("$", r"\$")


def shorten(name: object, length: int = 24) -> str:
    """A name that fits beside an axis; dollar signs are kept from being read as formulas.

    >>> shorten("x" * 40, 5)
    'xxxx…'
    """
    text = str(name)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return text.replace("$", r"\$")


def thinned(labels: Sequence[str], at_most: int) -> tuple[np.ndarray, list[str]]:
    """Positions and labels of at most that many ticks, evenly spaced.

    >>> thinned(["a", "b", "c", "d"], 2)
    (array([0, 2]), ['a', 'c'])
    """
    step = max(1, -(-len(labels) // at_most))
    positions = np.arange(0, len(labels), step)
    return positions, [labels[int(i)] for i in positions]


def headline(target: Axes, title: str, note: str = "") -> None:
    """Set a bold title that says what is shown, and a grey note on how to read it."""
    target.set_title(title, pad=21.0 if note else 7.0)
    if note:
        written = target.annotate(
            note, (0.0, 1.0), xycoords="axes fraction", xytext=(0.0, 6.0), va="bottom",
            textcoords="offset points", fontsize=points(9), color="#666666", annotation_clip=False,
            gid=NOTE,
        )  # fmt: skip
        written.set_in_layout(False)  # a long note must not squeeze the panels


def badge(target: Axes, x: float, y: float, text: str, color: str) -> Text:
    """Write a cluster's number, or its name, on a disc in its colour."""
    shape = "circle" if len(text) < 3 else "round"
    return target.text(
        x, y, text, color="white", ha="center", va="center", zorder=6, fontsize=points(8),
        fontweight="bold", clip_on=True,
        bbox={"boxstyle": f"{shape},pad=0.25", "facecolor": color, "edgecolor": "white"},
    )  # fmt: skip
