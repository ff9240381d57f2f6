"""Fractions and frequencies of replicated data sets against the data's, for discrete features."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from ppl_models.plots.drawing.heat import turn_long_labels
from ppl_models.plots.drawing.place import add_key
from ppl_models.plots.drawing.style import PALE, POSTERIOR, PRIOR, headline, ink, shorten, thinned

TAIL = 0.03
COLORS = {"posterior": POSTERIOR, "prior": PRIOR}


def draw_intervals(
    target: Axes, x: np.ndarray, samples: dict[str, np.ndarray], *, width: float = 2.2
) -> None:
    """94% intervals and means of `samples` (sample, position) at `x`, side by side by group.

    Where positions are many, the prior is a dotted line of means, so that the posterior stands out.
    """
    step = float(np.min(np.diff(x))) if len(x) > 1 else 1.0
    dotted = len(x) > 12 and len(samples) > 1
    if dotted:
        target.plot(x, np.nanmean(samples["prior"], axis=0), ":", color=PRIOR, linewidth=1.8,
                    label="prior predictive (mean)", zorder=3)  # fmt: skip
        samples = {which: values for which, values in samples.items() if which != "prior"}
    for order, (which, values) in enumerate(samples.items()):
        shift = (order - (len(samples) - 1) / 2.0) * 0.28 * step
        low, high = np.nanquantile(values, [TAIL, 1.0 - TAIL], axis=0)
        target.vlines(
            x + shift, low, high, color=COLORS[which], linewidth=width, zorder=3,
            label=f"{which} predictive (94%)",
        )  # fmt: skip
        target.plot(x + shift, np.nanmean(values, axis=0), "o", color=COLORS[which],
                    markersize=3.5, zorder=4)  # fmt: skip


def draw_fractions_of_ones(
    target: Axes, data: xr.DataArray, replicated: dict[str, xr.DataArray]
) -> None:
    """Fraction of ones of every feature: `data` (row, feature) as bars, samples as intervals."""
    names = [str(name) for name in data["feature"].values]
    x = np.arange(len(names), dtype=float)
    fractions = {which: values.mean("row").values for which, values in replicated.items()}
    target.bar(x, data.mean("row", skipna=True).values, width=0.85, color=PALE, label="data")
    draw_intervals(target, x, fractions, width=2.2 if len(names) <= 30 else 1.4)
    positions, labels = thinned([shorten(name, 14) for name in names], 32)
    target.set_xticks(positions, labels)
    turn_long_labels(target)
    target.set(xlim=(-0.7, len(names) - 0.3), ylim=(0.0, 1.0), ylabel="fraction of ones")
    headline(target, "Fraction of ones, predicted and observed")
    handles, labels = target.get_legend_handles_labels()
    add_key(target.figure, handles, labels, loc="outside lower left", ncols=3)


def value_edges(
    values: np.ndarray, replicated: dict[str, np.ndarray], labels: list[str] | None
) -> np.ndarray:
    """Bin edges of integer values, one value a bin unless there are too many.

    The posterior predictive widens the range, the prior predictive does not.
    """
    if labels is not None:
        return np.arange(len(labels) + 1) - 0.5
    top = np.nanmax(values)
    if "posterior" in replicated:
        top = max(top, np.nanquantile(replicated["posterior"], 0.999))
    step = max(1, int(np.ceil((top + 1) / 40)))
    return np.arange(0, top + step + 1, step) - 0.5


def bin_counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many finite values fall into every bin.

    >>> bin_counts(np.array([0, 1, 1, np.nan]), np.array([-0.5, 0.5, 1.5]))
    array([1, 2])
    """
    return np.histogram(values[np.isfinite(values)], edges)[0]


def draw_frequencies(
    target: Axes,
    values: np.ndarray,
    replicated: dict[str, np.ndarray],
    edges: np.ndarray,
    labels: list[str] | None,
    *,
    root: bool,
) -> None:
    """How often each value occurs: `values` (row) as bars, `replicated` (sample, row) intervals.

    Rows that miss the value are left out of the data's count, so replicated counts are scaled down
    to as many rows. With `root` the vertical axis is a square-root scale (a rootogram).
    """
    x = (edges[:-1] + edges[1:]) / 2.0
    width = float(edges[1] - edges[0])
    present = np.isfinite(values).mean()
    target.bar(x, bin_counts(values, edges), width=0.85 * width, color=PALE, label="data")
    counts = {
        which: np.stack([bin_counts(row, edges) for row in samples.astype(float)]) * present
        for which, samples in replicated.items()
    }
    draw_intervals(target, x, counts)
    if root:
        target.set_yscale("function", functions=(_root, np.square))
        target.set_ylim(bottom=0.0)
    if labels is not None:
        target.set_xticks(x, [shorten(label, 10) for label in labels])
    target.set_xlim(edges[0] - 0.2 * width, edges[-1] + 0.2 * width)
    target.axhline(0.0, color=ink(), linewidth=0.8)


def _root(values: np.ndarray) -> np.ndarray:
    return np.sqrt(np.clip(values, 0.0, None))
