"""The arrays and strokes that plots of clusters are made of, in any number of panels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_base.labels import BaseLabeller
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.lines import Line2D
from matplotlib.text import Text

from ppl_models.plots.drawing.components import (
    component_freedom,
    component_moments,
    noise_box,
)
from ppl_models.plots.drawing.place import add_key, place
from ppl_models.plots.drawing.reading import (
    as_samples,
    emission_of,
    feature_names,
    is_point,
    mean_weights,
    observed,
    responsibilities,
    thinned_rows,
)
from ppl_models.plots.drawing.style import badge, faded, shorten
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import cluster_weights, facts_of


@dataclass(frozen=True)
class ClusterArrays:
    """Parameters of a sample of draws and the rows that are shown, for the chosen features.

    Attributes:
        names: features (feature).
        loc: means (sample, cluster, feature).
        covariance: (sample, cluster, feature, feature); None where the nearest mean decides.
        weights: (sample, cluster).
        centre: mean of loc over draws (cluster, feature); NaN for a cluster that holds no row of a
            method that assigns rows wholly, and so has no place.
        mean_weights: mean of the weights over draws (cluster).
        x: rows (row, feature).
        best: the most probable cluster (row); -1 where assignments are unknown.
        certainty: its probability (row).
        rows: how many rows there are, shown or not.
        point: whether the fit is a point.
        called: what the clusters are called (cluster).
        df: degrees of freedom (sample, cluster) of clusters that are Student's t; None of normals.
        box: where the last component is noise, the ends (2, feature) of its constant density; its
            loc and centre are NaN. None where all components are clusters.
    """

    names: list[str]
    loc: np.ndarray
    covariance: np.ndarray | None
    weights: np.ndarray
    centre: np.ndarray
    mean_weights: np.ndarray
    x: np.ndarray
    best: np.ndarray
    certainty: np.ndarray
    rows: int
    point: bool
    called: list[str]
    df: np.ndarray | None = None
    box: np.ndarray | None = None

    @property
    def clusters(self) -> int:
        """The number of components, noise among them."""
        return self.centre.shape[0]

    @property
    def title(self) -> str:
        """How many clusters there are, in words."""
        count = self.clusters - (self.box is not None)
        told = "1 cluster" if count == 1 else f"{count} clusters"
        return told if self.box is None else f"{told} and {self.called[-1]}"

    def note(self) -> str:
        """A second line of a title: what the lines are and which rows are shown."""
        draws = "" if self.point else f"thin lines: {len(self.loc)} posterior draws"
        shown = f"{len(self.x):,} of {self.rows:,} rows shown" if len(self.x) < self.rows else ""
        return "; ".join(part for part in (draws, shown) if part)


def cluster_arrays(
    tree: xr.DataTree, names: list[str], draws: int, max_rows: int, site: str | None = None
) -> ClusterArrays:
    """Arrays that a plot of clusters shows of the named features."""
    emission = emission_of(tree, site)
    every, _ = component_moments(tree, site)
    loc, covariance = component_moments(tree, site, draws)
    known = feature_names(tree, emission, loc.shape[-1])
    chosen = [known.index(name) for name in names]
    clusters = loc.shape[1]
    weights = mean_weights(tree)
    weights = np.full(clusters, 1.0 / clusters) if weights is None else weights
    centre = every.mean(0)
    if facts_of(tree).assignments == "hard":
        centre = np.where(weights[:, None] > 0, centre, np.nan)
    if covariance is not None and nearest_mean_decides(tree, centre, covariance, site):
        covariance = None
    box = noise_box(tree, site)
    if box is not None:  # a constant density has no place
        loc, centre = loc.copy(), centre.copy()
        loc[:, -1], centre[-1] = np.nan, np.nan
    x, best, certainty, rows = _rows(tree, emission.site, chosen, max_rows)
    return ClusterArrays(
        names=list(names),
        loc=loc[..., chosen],
        covariance=None if covariance is None else covariance[..., chosen, :][..., chosen],
        weights=_weights(tree, weights, draws, len(loc)),
        centre=centre[:, chosen],
        mean_weights=weights,
        x=x,
        best=best,
        certainty=certainty,
        rows=rows,
        point=is_point(tree),
        called=component_names(tree, clusters),
        df=component_freedom(tree, site, draws),
        box=None if box is None else box[:, chosen],
    )


def nearest_mean_decides(
    tree: xr.DataTree, centre: np.ndarray, covariance: np.ndarray, site: str | None
) -> bool:
    """Whether rows belong wholly to the cluster of the nearest mean, as k-means assigns them.

    So it is where assignments are hard, all clusters have the covariance of one same sphere, and
    no row has a nearer mean than its own cluster's: then cells of nearest means are what the fit
    says, and ellipses would claim a spread that decides nothing.
    """
    facts, data = facts_of(tree), observed(tree, site)
    if facts.assignments != "hard" or data is None or "responsibilities" not in tree.children:
        return False
    sphere = covariance[:1, :1, :1, :1] * np.eye(covariance.shape[-1])
    x = data.values.reshape(len(data), -1)
    if not np.allclose(covariance, sphere) or not np.isfinite(x).all():
        return False
    own = centre[responsibilities(tree).values.argmax(1)]
    distance = ((x - own) ** 2).sum(1)
    return all(
        (distance <= ((x - other) ** 2).sum(1) * (1 + 1e-9) + 1e-12).all()
        for other in centre[np.isfinite(centre).all(1)]
    )


def _weights(tree: xr.DataTree, mean: np.ndarray, draws: int, count: int) -> np.ndarray:
    """Weights (sample, cluster) of the same draws as the moments, else their means."""
    stored = cluster_weights(tree)
    if stored is not None and facts_of(tree).assignments == "soft":
        sample = as_samples(stored.to_dataset(name="weights"), draws)["weights"]
        if len(sample) == count:
            return sample.transpose("sample", "cluster").values
    return np.tile(mean, (count, 1))


def _rows(
    tree: xr.DataTree, site: str, chosen: list[int], max_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    data = observed(tree, site)
    if data is None:
        return np.empty((0, len(chosen))), np.empty(0, int), np.empty(0), 0
    x = data.values.reshape(len(data), -1)[:, chosen].astype(float)
    shown = thinned_rows(len(x), max_rows)
    if "responsibilities" not in tree.children:
        return x[shown], np.full(len(shown), -1), np.ones(len(shown)), len(x)
    probability = responsibilities(tree).values[shown]
    return x[shown], probability.argmax(1), probability.max(1), len(x)


class NameLabeller(BaseLabeller):
    """Legend entries that are the names of clusters or states."""

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the name of every component."""
        self.names = names

    def sel_to_str(self, sel: Mapping[Any, Hashable], isel: Mapping[Any, Any]) -> str:
        """The entry of one component."""
        return shorten(self.names[int(isel["cluster"])], 18)


class WeightLabeller(BaseLabeller):
    """Legend entries such as "0: 36 %"."""

    def __init__(self, weights: np.ndarray, names: Sequence[str]) -> None:
        """Keep the weight and the name of every cluster."""
        self.weights, self.names = weights, names

    def sel_to_str(self, sel: Mapping[Any, Hashable], isel: Mapping[Any, Any]) -> str:
        """The entry of one cluster."""
        k = int(isel["cluster"])
        return f"{shorten(self.names[k], 18)}: {self.weights[k]:.0%}"


def add_cluster_legend(
    collection: PlotCollection, weights: np.ndarray, names: Sequence[str]
) -> None:
    """A legend of clusters and weights beside the panels; left out for more than 20 clusters."""
    if len(weights) <= 20:
        add_component_legend(collection, "cluster: weight", WeightLabeller(weights, names))


def add_component_legend(
    collection: PlotCollection, title: str, labeller: NameLabeller | WeightLabeller
) -> None:
    """A legend of the colours of clusters or states."""
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 6}
    if place() is None:
        collection.add_legend("cluster", title=title, labeller=labeller, visual_kwargs=style)
        return
    colors = collection.get_aes_as_dataset("color")["mapping"]
    handles = [Line2D([], [], color=str(color), **style) for color in colors.values]
    texts = [labeller.sel_to_str({"cluster": k}, {"cluster": k}) for k in range(len(handles))]
    add_key(None, handles, texts, loc="best", title=title)


def draw_points(
    da: xr.DataArray, target: Axes, *, arrays: ClusterArrays, color: str
) -> PathCollection:
    """Scatter the rows of one cluster, the more certain ones in a stronger colour."""
    pair = [arrays.names.index(str(da[dim].item())) if dim in da.coords else position
            for position, dim in enumerate(("feature_x", "feature_y"))]  # fmt: skip
    members = arrays.best == int(da["cluster"])
    x, certainty = arrays.x[members][:, pair], arrays.certainty[members]
    least = 1.0 / max(arrays.clusters, 2)
    strength = np.clip((certainty - least) / (1.0 - least), 0.0, 1.0)
    size = 14.0 if len(arrays.x) <= 1000 else 6.0
    return target.scatter(
        x[:, 0], x[:, 1], s=size, c=faded(color, 0.15 + 0.5 * strength), linewidths=0, zorder=2
    )


def draw_curves(
    da: xr.DataArray, target: Axes, *, color: str, alpha: float, width: float
) -> LineCollection:
    """Curves of `da` (..., point, axis) as lines; the axes' limits hold nine in ten of them."""
    curves = da.transpose(..., "point", "axis").values
    curves = curves.reshape(-1, *curves.shape[-2:])
    curves = curves[np.isfinite(curves).all((1, 2))]
    if not len(curves):  # noise, which has no place
        nowhere = LineCollection([])
        target.add_collection(nowhere, autolim=False)
        return nowhere
    ends = np.nanmin(curves, axis=1), np.nanmax(curves, axis=1)
    corners = np.quantile(ends[0], 0.1, axis=0), np.quantile(ends[1], 0.9, axis=0)
    if len(curves) <= 2:
        corners = ends[0].min(0), ends[1].max(0)
    lines = LineCollection(list(curves), colors=color, alpha=alpha, linewidths=width, zorder=3)
    target.add_collection(lines, autolim=False)
    target.update_datalim(np.stack(corners))
    target.autoscale_view()
    return lines


def draw_number(da: xr.DataArray, target: Axes, *, names: Sequence[str], color: str) -> Text | None:
    """The cluster's number or name at its mean `da` (axis); none where it has no place."""
    x, y = da.values
    if not np.isfinite([x, y]).all():
        return None
    return badge(target, x, y, shorten(names[int(da["cluster"])], 12), color)
