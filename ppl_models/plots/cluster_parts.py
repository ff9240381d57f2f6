"""The arrays and strokes that the pictures of clusters are made of, in any number of panels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_base.labels import BaseLabeller
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.text import Text

from ppl_models.plots.reading import (
    as_samples,
    clusters_of,
    covariances,
    family,
    feature_names,
    group,
    is_point,
    kept_rows,
    mean_weights,
    observed,
    responsibilities,
)
from ppl_models.plots.style import badge, faded


@dataclass(frozen=True)
class ClusterArrays:
    """Parameters of a sample of draws and the rows that are shown, for the chosen features.

    Attributes:
        names: features (feature).
        loc: centres (sample, cluster, feature).
        covariance: (sample, cluster, feature, feature); None without a spread (k-means).
        weights: (sample, cluster).
        centre: posterior mean of loc (cluster, feature).
        share: posterior mean of the weights (cluster).
        x: rows (row, feature).
        best: the most probable cluster (row); -1 where assignments are unknown.
        certainty: its probability (row).
        rows: how many rows there are, shown or not.
        point: whether the fit is a point.
    """

    names: list[str]
    loc: np.ndarray
    covariance: np.ndarray | None
    weights: np.ndarray
    centre: np.ndarray
    share: np.ndarray
    x: np.ndarray
    best: np.ndarray
    certainty: np.ndarray
    rows: int
    point: bool

    @property
    def clusters(self) -> int:
        """The number of clusters."""
        return self.centre.shape[0]

    def note(self) -> str:
        """A second line of a title: what the lines are and which rows are shown."""
        draws = "" if self.point else f"thin lines: {len(self.loc)} posterior draws"
        shown = f"{len(self.x):,} of {self.rows:,} rows shown" if len(self.x) < self.rows else ""
        return "; ".join(part for part in (draws, shown) if part)


def cluster_arrays(
    tree: xr.DataTree, names: list[str] | None, draws: int, max_rows: int
) -> ClusterArrays:
    """Read what a picture of clusters shows; `names` None means a univariate fit."""
    posterior = _with_feature_dim(group(tree, "posterior", "a picture of clusters"))
    names = names or feature_names(posterior["loc"])
    sample = as_samples(posterior, draws)
    clusters = len(clusters_of(tree))
    share = mean_weights(tree)
    share = np.full(clusters, 1.0 / clusters) if share is None else share
    centre = posterior["loc"].mean(["chain", "draw"]).sel(feature=names)
    x, best, certainty, rows = _rows(tree, names, max_rows)
    return ClusterArrays(
        names=names,
        loc=sample["loc"].sel(feature=names).transpose("sample", "cluster", "feature").values,
        covariance=None if family(tree) == "centres" else _covariance(sample, names),
        weights=_weights(sample, share),
        centre=centre.transpose("cluster", "feature").values,
        share=share,
        x=x,
        best=best,
        certainty=certainty,
        rows=rows,
        point=is_point(tree),
    )


def _covariance(sample: xr.Dataset, names: list[str]) -> np.ndarray | None:
    matrix = covariances(sample)
    if matrix is None:
        return None
    chosen = matrix.sel(feature=names, feature_other=names)
    return chosen.transpose("sample", "cluster", "feature", "feature_other").values


def _weights(sample: xr.Dataset, share: np.ndarray) -> np.ndarray:
    if "weights" in sample:
        return sample["weights"].transpose("sample", "cluster").values
    return np.tile(share, (sample.sizes["sample"], 1))


def _with_feature_dim(posterior: xr.Dataset) -> xr.Dataset:
    """Univariate parameters as those of one feature named x; features labelled by strings."""
    if "feature" not in posterior["loc"].dims:
        posterior = posterior.assign(
            {
                name: posterior[name].expand_dims(feature=["x"], axis=-1)
                for name in ("loc", "scale")
                if name in posterior
            }  # fmt: skip
        )
    labels = feature_names(posterior["loc"])
    dims = [dim for dim in ("feature", "feature_other") if dim in posterior.dims]
    return posterior.assign_coords({dim: labels for dim in dims})


def _rows(
    tree: xr.DataTree, names: list[str], max_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    data = observed(tree)
    if data is None:
        return np.empty((0, len(names))), np.empty(0, int), np.empty(0), 0
    if "feature" not in data.dims:
        data = data.expand_dims(feature=["x"], axis=-1)
    data = data.assign_coords(feature=feature_names(data)).sel(feature=names)
    x = data.transpose("row", "feature").values.astype(float)
    kept = kept_rows(len(x), max_rows)
    if "responsibilities" not in tree.children:
        return x[kept], np.full(len(kept), -1), np.ones(len(kept)), len(x)
    probability = responsibilities(tree).values[kept]
    return x[kept], probability.argmax(1), probability.max(1), len(x)


class ShareLabeller(BaseLabeller):
    """Legend entries such as "0: 36 %"."""

    def __init__(self, share: np.ndarray) -> None:
        """Keep the share of every cluster."""
        self.share = share

    def sel_to_str(self, sel: Mapping[Any, Hashable], isel: Mapping[Any, Any]) -> str:
        """The entry of one cluster."""
        return f"{sel['cluster']}: {self.share[int(isel['cluster'])]:.0%}"


def add_cluster_legend(collection: PlotCollection, share: np.ndarray) -> None:
    """A legend of clusters and weights beside the panels; left out for more than 20 clusters."""
    if len(share) <= 20:
        collection.add_legend(
            "cluster",
            title="cluster: weight",
            labeller=ShareLabeller(share),
            visual_kwargs={"linestyle": "none", "marker": "o", "markersize": 6},
        )


def draw_points(
    da: xr.DataArray, target: Axes, *, arrays: ClusterArrays, color: str
) -> PathCollection:
    """The rows whose most probable cluster is this one; the more certain, the stronger."""
    pair = [arrays.names.index(str(da[dim].item())) if dim in da.coords else position
            for position, dim in enumerate(("feature_x", "feature_y"))]  # fmt: skip
    mine = arrays.best == int(da["cluster"])
    x, certainty = arrays.x[mine][:, pair], arrays.certainty[mine]
    least = 1.0 / max(arrays.clusters, 2)
    strength = np.clip((certainty - least) / (1.0 - least), 0.0, 1.0)
    size = 14.0 if len(arrays.x) <= 1000 else 6.0
    return target.scatter(
        x[:, 0], x[:, 1], s=size, c=faded(color, 0.15 + 0.5 * strength), linewidths=0, zorder=2
    )


def draw_curves(
    da: xr.DataArray, target: Axes, *, color: str, alpha: float, width: float
) -> LineCollection:
    """Curves of `da` (..., point, axis) as lines; the panel grows to hold nine in ten of them."""
    curves = da.transpose(..., "point", "axis").values
    curves = curves.reshape(-1, *curves.shape[-2:])
    ends = np.nanmin(curves, axis=1), np.nanmax(curves, axis=1)
    corners = np.quantile(ends[0], 0.1, axis=0), np.quantile(ends[1], 0.9, axis=0)
    if len(curves) <= 2:
        corners = ends[0].min(0), ends[1].max(0)
    lines = LineCollection(list(curves), colors=color, alpha=alpha, linewidths=width, zorder=3)
    target.add_collection(lines, autolim=False)
    target.update_datalim(np.stack(corners))
    target.autoscale_view()
    return lines


def draw_number(da: xr.DataArray, target: Axes, *, color: str) -> Text:
    """The cluster's number at its centre `da` (axis)."""
    x, y = da.values
    return badge(target, x, y, str(int(da["cluster"])), color)
