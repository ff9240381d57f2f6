"""Plots that answer to the mouse: ArviZ's collections with plotly as their backend."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots.drawing.cluster_strokes import ClusterArrays
from ppl_models.plots.drawing.ellipses import ellipse_curves
from ppl_models.plots.drawing.reading import emission_of, thinned_rows
from ppl_models.plots.drawing.style import INK, MUTED, cluster_colors

BACKENDS = ("matplotlib", "plotly")  #: of plots that ArviZ draws, and of clusters
MOST_DRAWS = 250  #: draws of a chain that an interactive trace shows
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def require_plotly() -> None:
    """Refuse where what interactive plots need is not installed.

    Raises:
        InputError: names the extra.
    """
    try:
        import arviz_plots.backend.plotly  # noqa: F401
    except ImportError:
        raise InputError(
            "interactive plots need packages more: pip install 'ppl-models[plotly]'"
        ) from None


def checked_backend(backend: str) -> bool:
    """Whether the backend is plotly.

    Raises:
        InputError: neither plotly nor Matplotlib, or plotly is not installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"The backend {backend!r} is not drawn here: use {' or '.join(BACKENDS)}.")
    if backend == "plotly":
        require_plotly()
    return backend == "plotly"


def dots(width: float, height: float) -> dict[str, Any]:
    """A size in inches as ArviZ's plotly backend takes it."""
    return {"figsize": (100.0 * width, 100.0 * height), "figsize_units": "dots"}


def thinned_draws(tree: xr.DataTree) -> xr.DataTree:
    """At most so many draws a chain: a page holds every point of a line."""
    step = -(-tree["posterior"].sizes["draw"] // MOST_DRAWS)
    return tree.isel(draw=slice(None, None, step))


def finished(made: PlotCollection, title: str = "") -> PlotCollection:
    """The collection with fonts, ground and room of the pages that it stands in."""
    figure = made.viz["figure"].item()
    figure.update_layout(
        template="plotly_white", font={"family": FONT, "size": 12, "color": INK},
        margin={"l": 50, "r": 20, "t": 64, "b": 45}, autosize=True, width=None,
        title={"text": title, "x": 0.02, "xanchor": "left", "font": {"size": 15}},
    )  # fmt: skip
    return made


def html(made: PlotCollection) -> str:
    """The plot as a part of a page that holds plotly.js."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return made.viz["figure"].item().to_html(
            full_html=False, include_plotlyjs=False, default_width="100%",
            config={"displaylogo": False, "responsive": True},
        )  # fmt: skip


def clusters_plane(
    tree: xr.DataTree, arrays: ClusterArrays, probabilities: tuple[float, ...], site: str | None
) -> PlotCollection:
    """Rows of two features with what is known of each, and the regions of the clusters."""
    from plotly import graph_objects as go

    data = xr.Dataset({"layout": ((), 0.0)})
    made = PlotCollection.wrap(data, backend="plotly", figure_kwargs=dots(7.6, 5.4))
    figure, colors = made.viz["figure"].item(), cluster_colors(arrays.clusters)
    known = tree["observed_data"].to_dataset()[emission_of(tree, site).site]
    labels = known[known.dims[0]].values[thinned_rows(arrays.rows, len(arrays.x))]
    each = [" · ".join(f"{n} {v:.4g}" for n, v in zip(arrays.names, x, strict=True))
            for x in arrays.x]  # fmt: skip
    for k in (*([-1] if (arrays.best < 0).any() else []), *range(arrays.clusters)):
        name, color = ("rows", MUTED) if k < 0 else (arrays.called[k], colors[k])
        members = np.flatnonzero(arrays.best == k)
        weight = "" if k < 0 else f" ({arrays.mean_weights[k]:.0%})"
        texts = [
            f"{known.dims[0]} {labels[i]}<br>{each[i]}<br>cluster {name}: {arrays.certainty[i]:.0%}"
            for i in members
        ]
        figure.add_trace(
            go.Scatter(
                x=arrays.x[members, 0], y=arrays.x[members, 1], mode="markers", text=texts,
                hoverinfo="text", name=f"{name}{weight}", legendgroup=str(k),
                marker={"color": color, "size": 6, "opacity": 0.7},
            )
        )  # fmt: skip
        if k < 0 or arrays.covariance is None or not np.isfinite(arrays.centre[k]).all():
            continue
        covariance = arrays.covariance.mean(0)[k]
        df = None if arrays.df is None else arrays.df.mean(0)[k]
        for part in probabilities:
            curve = ellipse_curves(arrays.loc.mean(0)[k], covariance, part, df=df)
            figure.add_trace(
                go.Scatter(
                    x=curve[:, 0], y=curve[:, 1], mode="lines", legendgroup=str(k),
                    showlegend=False, hoverinfo="text", line={"color": color, "width": 1.5},
                    text=f"holds {part:.0%} of cluster {name}",
                )
            )  # fmt: skip
    figure.update_layout(legend={"title": {"text": "cluster (weight)"}}, showlegend=True)
    figure.update_xaxes(title_text=arrays.names[0])
    figure.update_yaxes(title_text=arrays.names[1])
    return finished(made, arrays.title)
