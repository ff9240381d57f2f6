"""One feature at a time: histogram, the density of every cluster, and that of the mixture."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from scipy.special import gammaln

from ppl_models.errors import InputError
from ppl_models.plots.drawing.cluster_strokes import ClusterArrays
from ppl_models.plots.drawing.style import PALE, cluster_colors, ink


def component_densities(arrays: ClusterArrays, feature: int, grid: np.ndarray) -> np.ndarray:
    """Weighted densities (sample, cluster, grid) of one feature: normals, or Student's t.

    That of noise is constant within its box.
    """
    variance = _variance(arrays, feature)[..., None]
    square = (grid - arrays.loc[..., feature, None]) ** 2 / variance
    if arrays.df is None:
        density = np.exp(-0.5 * square) / np.sqrt(2.0 * np.pi * variance)
    else:
        df = arrays.df[..., None]
        constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * np.pi * variance)
        density = np.exp(constant - 0.5 * (df + 1) * np.log1p(square / df))
    if arrays.box is not None:
        low, high = arrays.box[:, feature]
        density[:, -1] = ((low <= grid) & (grid <= high)) / (high - low)
    return arrays.weights[..., None] * density


def _variance(arrays: ClusterArrays, feature: int) -> np.ndarray:
    if arrays.covariance is None:
        raise InputError("These clusters have no spread, so they have no density: show centres.")
    return arrays.covariance[..., feature, feature]


def draw_density_panel(target: Axes, arrays: ClusterArrays, feature: int) -> None:
    """Histogram and densities of one feature; without a spread, the centres as vertical lines."""
    values = arrays.x[:, feature]
    values = values[np.isfinite(values)]
    if len(values):
        target.hist(values, bins=_bins(values), density=True, color=PALE, zorder=1)
    colors = cluster_colors(arrays.clusters)
    if arrays.covariance is None:
        for k, color in enumerate(colors):
            if np.isfinite(arrays.centre[k, feature]):
                target.axvline(arrays.centre[k, feature], color=color, linewidth=2.0)
        return
    grid = _grid(values, arrays, feature)
    density = component_densities(arrays, feature, grid)
    _draw_lines(target, grid, density.sum(1), ink(), style="--")
    for k, color in enumerate(colors):
        _draw_lines(target, grid, density[:, k], color)
    target.set_ylim(bottom=0.0)


def _draw_lines(
    target: Axes, grid: np.ndarray, curves: np.ndarray, color: str, style: str = "-"
) -> None:
    """Draw thin lines for single draws and a thick one for their mean."""
    if len(curves) > 1:
        lines = np.stack([np.broadcast_to(grid, curves.shape), curves], axis=-1)
        target.add_collection(
            LineCollection(list(lines), colors=color, linewidths=0.6, alpha=0.2, zorder=2)
        )
    target.plot(grid, curves.mean(0), color=color, linewidth=1.6, linestyle=style, zorder=4)


def _bins(values: np.ndarray) -> int:
    """The number of bins by Freedman and Diaconis' rule, between 20 and 60."""
    low, high = np.quantile(values, [0.25, 0.75])
    width = 2.0 * (high - low) / np.cbrt(len(values))
    return int(np.clip(np.ptp(values) / width, 20, 60)) if width > 0.0 else 20


def _grid(values: np.ndarray, arrays: ClusterArrays, feature: int) -> np.ndarray:
    if len(values):
        low, high = values.min(), values.max()
    else:
        spread = 3.0 * np.sqrt(_variance(arrays, feature))
        low = np.nanmin(arrays.loc[..., feature] - spread)
        high = np.nanmax(arrays.loc[..., feature] + spread)
    margin = 0.08 * (high - low)
    return np.linspace(low - margin, high + margin, 300)
