"""Densities of replicated data sets against the data's, for continuous features."""

from __future__ import annotations

import numpy as np
from arviz_stats.base import array_stats
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from ppl_models.plots.drawing.style import POSTERIOR, PRIOR, ink

MOST_VALUES = 4000


def windowed_density(
    values: np.ndarray, low: float, high: float, points: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """ArviZ's kernel density estimate, evaluated on a window that may hold few of the values.

    A prior predictive is often a thousand times as wide as the data; a grid over all of it would
    miss the window altogether.

    Args:
        values: any shape; not finite ones are left out.
        low: the window's lower end.
        high: its upper end.
        points: grid points.

    Returns:
        Grid (points) and density (points), which integrates to the fraction of values inside.
    """
    finite = values[np.isfinite(values)]
    grid = np.linspace(low, high, points)
    inside = finite[(finite >= low) & (finite <= high)]
    if len(inside) < 2 or np.ptp(inside) == 0.0:
        return grid, np.zeros(points)
    _, density, _ = array_stats.kde(inside, custom_lims=(low, high), grid_len=points)
    return grid, density * len(inside) / len(finite)


def draw_densities(target: Axes, values: np.ndarray, replicated: dict[str, np.ndarray]) -> None:
    """The density of `values` (row) over those of `replicated` (sample, row), by name of group."""
    values = values[np.isfinite(values)]
    posterior = replicated.get("posterior")
    low, high = _window(values, posterior)
    if posterior is not None:
        thin = posterior[:, :: max(1, posterior.shape[1] // MOST_VALUES)]
        curves = [np.stack(windowed_density(row, low, high), axis=-1) for row in thin]
        target.add_collection(
            LineCollection(
                curves, colors=POSTERIOR, linewidths=0.7, alpha=0.35, zorder=2,
                label="posterior predictive",
            )
        )  # fmt: skip
        target.update_datalim(np.concatenate(curves))
    if "prior" in replicated:
        pooled = replicated["prior"].ravel()
        grid, density = windowed_density(pooled[:: max(1, pooled.size // 20_000)], low, high)
        target.plot(grid, density, ":", color=PRIOR, linewidth=2.0, label="prior predictive")
    grid, density = windowed_density(values[:: max(1, len(values) // 20_000)], low, high)
    target.plot(grid, density, color=ink(), linewidth=1.8, zorder=4, label="data")
    target.set_xlim(low, high)
    target.set_ylim(bottom=0.0)
    target.set_yticks([])
    target.spines["left"].set_visible(False)


def _window(values: np.ndarray, posterior: np.ndarray | None) -> tuple[float, float]:
    """The data's range and nearly all of the posterior predictive's, with a margin."""
    low, high = float(values.min()), float(values.max())
    if posterior is not None:
        finite = posterior[np.isfinite(posterior)]
        if finite.size:
            ends = np.quantile(finite, [0.005, 0.995])
            low, high = min(low, ends[0]), max(high, ends[1])
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin
