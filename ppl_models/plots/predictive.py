"""Would the fit have produced such data? Prior and posterior predictive against the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection

from ppl_models.errors import InputError
from ppl_models.plots.graph_counts import bits_a_row, graph_counts
from ppl_models.plots.panels import new_panels, panel
from ppl_models.plots.predictive_counts import draw_frequencies, draw_shares, value_range
from ppl_models.plots.predictive_density import draw_densities
from ppl_models.plots.predictive_tokens import draw_lengths, draw_tokens
from ppl_models.plots.reading import (
    Family,
    family,
    feature_names,
    level_labels,
    observed,
    predictive,
    token_names,
)
from ppl_models.plots.style import headline, shorten, styled


@styled
def plot_predictive(
    tree: xr.DataTree,
    *,
    features: Sequence[str] | None = None,
    draws: int = 50,
    max_features: int = 12,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The data beside data that the fitted program, and the program before any data, produce.

    Continuous features: densities (one thin line a replicated data set; the prior as one dotted
    line). Bits: the share of ones of every feature with 94% intervals. Levels and counts: how often
    each value occurs, with 94% intervals; counts on a square-root scale (a rootogram). Tokens: the
    lengths of sequences and how often each token occurs. Graphs: counts of their nodes, edges and
    triangles.

    Args:
        tree: a fit with `observed_data` and `posterior_predictive` (`prior_predictive` if wanted).
        features: which features to show.
        draws: at most so many replicated data sets.
        max_features: the number of features shown when `features` is not given.
        plot_collection: a collection over the dim `feature` (or `panel` for tokens).
        backend: only "matplotlib".

    Raises:
        InputError: when neither predictive group nor data are there, or a feature is unknown.

    Example:
        >>> plot_predictive(tree).savefig("predictive.png")  # doctest: +SKIP
    """
    data = observed(tree)
    replicated = _replicated(tree, draws)
    if data is None or not replicated:
        raise InputError(
            "plot_predictive needs `observed_data` and `posterior_predictive` or "
            "`prior_predictive` in the tree: fit again with predictive draws."
        )
    width = bits_a_row(tree)
    if width is not None:
        data = graph_counts(data, width)
        replicated = {which: graph_counts(v, width) for which, v in replicated.items()}
        return _by_feature(tree, "counts", data, replicated, plot_collection, backend, "graphs")
    if "position" in data.dims:
        return _tokens(tree, data, replicated, plot_collection, backend)
    kind = data_kind(family(tree), data)
    data, replicated = _as_table(data), {k: _as_table(v) for k, v in replicated.items()}
    names = _chosen(feature_names(data), features, 64 if kind == "bits" else max_features)
    data = data.sel(feature=names)
    replicated = {which: values.sel(feature=names) for which, values in replicated.items()}
    if kind == "bits":
        wide = float(np.clip(2.5 + 0.3 * len(names), 6.4, 12.0))
        made = plot_collection or new_panels(size=(wide, 4.0), backend=backend)
        draw_shares(panel(made), data, replicated)
        return made
    return _by_feature(tree, kind, data, replicated, plot_collection, backend)


def data_kind(of: Family, data: xr.DataArray) -> str:
    """How values are compared: "bits", "levels", "counts" or "continuous"."""
    known = {"bernoulli": "bits", "categorical": "levels", "poisson": "counts"}
    if of in known:
        return known[of]
    if of in ("gaussian", "univariate", "centres"):
        return "continuous"
    values = data.values[np.isfinite(data.values.astype(float))]
    if np.isin(values, (0, 1)).all():
        return "bits"
    return "counts" if (values >= 0).all() and (values == np.round(values)).all() else "continuous"


def _replicated(tree: xr.DataTree, draws: int) -> dict[str, xr.DataArray]:
    """Evenly thinned replicated data sets of the posterior and of the prior, as far as they are."""
    found: dict[str, xr.DataArray] = {}
    for which in ("posterior", "prior"):
        values = predictive(tree, which)
        if values is not None:
            total = values.sizes["sample"]
            chosen = np.linspace(0, total - 1, min(draws, total)).astype(int)
            found[which] = values.isel(sample=chosen)
    return found


def _as_table(values: xr.DataArray) -> xr.DataArray:
    """Values with a dim `feature` labelled by strings."""
    if "feature" not in values.dims:
        values = values.expand_dims(feature=["x"], axis=-1)
    return values.assign_coords(feature=feature_names(values)).transpose(..., "row", "feature")


def _chosen(names: list[str], wanted: Sequence[str] | None, at_most: int) -> list[str]:
    for name in wanted or ():
        if name not in names:
            raise InputError(f"There is no feature {name!r}: choose from {', '.join(names)}.")
    return list(wanted) if wanted else names[:at_most]


def _by_feature(
    tree: xr.DataTree,
    kind: str,
    data: xr.DataArray,
    replicated: dict[str, xr.DataArray],
    collection: PlotCollection | None,
    backend: str,
    unit: str = "rows",
) -> PlotCollection:
    names = list(data["feature"].values)
    wrap = min(len(names), 4 if len(names) != 3 else 3)
    lines = -(-len(names) // wrap)
    width = {1: 6.8, 2: 9.6}.get(wrap, 2.9 * wrap)
    made = collection or new_panels(
        {"feature": names}, size=(width, 3.6 if lines == 1 else 2.7 * lines), columns=["feature"],
        wrap=wrap, backend=backend,
    )  # fmt: skip
    for index, name in enumerate(names):
        target = panel(made, feature=name)
        values = data.sel(feature=name).values.astype(float)
        drawn = {which: array.sel(feature=name).values for which, array in replicated.items()}
        if kind == "continuous":
            draw_densities(target, values, drawn)
        else:
            labels = level_labels(tree, name) if kind == "levels" else None
            shown = value_range(values, drawn, labels)
            draw_frequencies(target, values, drawn, shown, labels, root=kind == "counts")
        target.set_xlabel(shorten(name))
        if index == 0:
            headline(target, "Predicted and observed, by feature")
        if index % wrap == 0:
            target.set_ylabel("density" if kind == "continuous" else unit)
    _legend(made, kind)
    return made


def _legend(made: PlotCollection, kind: str) -> None:
    """One legend for all panels, above them."""
    figure = made.viz["figure"].item()
    handles, labels = made.viz["plot"].values.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))


def _tokens(
    tree: xr.DataTree,
    data: xr.DataArray,
    replicated: dict[str, xr.DataArray],
    collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    coords = {"panel": ["lengths", "tokens"]}
    names = token_names(tree)
    width = float(np.clip(4.0 + 0.26 * len(names), 7.0, 11.0))
    made = collection or new_panels(
        coords, size=(4.2 + width, 4.0), columns=["panel"], backend=backend,
        width_ratios=[4.2, width],
    )  # fmt: skip
    codes = data.transpose("sequence", "position").values
    drawn = {
        which: values.transpose("sample", "sequence", "position").values
        for which, values in replicated.items()
    }
    draw_lengths(panel(made, panel="lengths"), codes, drawn, end=len(names))
    draw_tokens(panel(made, panel="tokens"), codes, drawn, names)
    if collection is None:
        _legend(made, "tokens")
    return made
