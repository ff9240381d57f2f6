"""Posterior and prior predictive draws against the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.graph_counts import bits_a_row, graph_counts
from ppl_models.plots.drawing.panels import figure_of, new_panels, panel
from ppl_models.plots.drawing.place import add_key
from ppl_models.plots.drawing.predictive.counts import (
    draw_fractions_of_ones,
    draw_frequencies,
    value_edges,
)
from ppl_models.plots.drawing.predictive.density import draw_densities
from ppl_models.plots.drawing.predictive.tokens import draw_lengths, draw_tokens
from ppl_models.plots.drawing.reading import (
    emission_of,
    feature_names,
    level_names,
    observed,
    predictive,
    token_names,
)
from ppl_models.plots.drawing.style import headline, shorten
from ppl_models.posterior.result.schema import EmissionFacts

Comparison = Literal["continuous", "bits", "levels", "counts", "tokens", "graphs"]
BY_KIND: dict[str, Comparison] = {
    "Bits": "bits", "Categories": "levels", "Counts": "counts", "Tokens": "tokens",
    "Graphs": "graphs",
}  # fmt: skip


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    groups = [tree[n] for n in ("observed_data", "posterior_predictive") if n in tree.children]
    return len(groups) == 2 and all(emission.site in node.data_vars for node in groups)


def _caption(tree: xr.DataTree) -> str:
    prior = " and prior" if "prior_predictive" in tree.children else ""
    return f"Posterior{prior} predictive draws against the data, which should not stand out."


@register_plot(
    section="predictions", order=310, caption=_caption, serves=_serves, each_emission=True
)
def plot_predictive(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    features: Sequence[str] | None = None,
    draws: int = 50,
    max_features: int = 12,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """The data beside data that the fitted program, and the program before any data, generate.

    Continuous features: densities (one thin line a replicated data set; the prior as one dotted
    line). Bits: the fraction of ones of every feature with 94% intervals. Levels and counts: how
    often each value occurs, with 94% intervals; counts on a square-root scale (a rootogram).
    Tokens: the lengths of sequences and how often each token occurs. Graphs: counts of their nodes,
    edges and triangles.

    Args:
        tree: a fit with `observed_data` and `posterior_predictive` (`prior_predictive` if wanted).
        site: which observed site (default: the main one).
        features: which features to show.
        draws: maximum number of replicated data sets.
        max_features: the number of features shown when `features` is not given.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dim `feature` (or `panel` for tokens).
        backend: only "matplotlib".

    Raises:
        InputError: when neither predictive group nor data are there, or a feature is unknown.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("poisson_mixture", [[1], [0], [9], [8]], method="em", seed=0, clusters=2,
        ...            starts=2, predictive=5)
        >>> plot_predictive(tree).viz["plot"].sizes["feature"]
        1
    """
    emission = emission_of(tree, site)
    data = observed(tree, site)
    replicated = _replicated(tree, emission, draws)
    if data is None or not replicated:
        raise InputError(
            "plot_predictive needs `observed_data` and `posterior_predictive` or "
            "`prior_predictive` in the tree: fit with predictive=100, say."
        )
    how = comparison(emission, replicated)
    if how == "graphs":
        width = bits_a_row(tree, emission)
        data = graph_counts(data, width)
        replicated = {which: graph_counts(v, width) for which, v in replicated.items()}
        drawn = _Comparison(emission, "counts", "graphs", data, replicated)
        return _by_feature(tree, drawn, plot_collection, backend)
    if how == "tokens":
        return _tokens(tree, emission, data, replicated, plot_collection, backend)
    data = _as_table(tree, emission, data)
    replicated = {which: _as_table(tree, emission, v) for which, v in replicated.items()}
    known = [str(name) for name in data["feature"].values]
    names = _chosen(known, features, 64 if how == "bits" else max_features)
    data = data.sel(feature=names)
    replicated = {which: values.sel(feature=names) for which, values in replicated.items()}
    if how == "bits":
        wide = float(np.clip(2.5 + 0.3 * len(names), 6.4, 12.0))
        made = plot_collection or new_panels(size=(wide, 4.0), backend=backend)
        draw_fractions_of_ones(panel(made), data, replicated)
        return made
    return _by_feature(tree, _Comparison(emission, how, "rows", data, replicated), plot_collection,
                       backend)  # fmt: skip


def comparison(emission: EmissionFacts, replicated: Mapping[str, xr.DataArray]) -> Comparison:
    """How values are compared, by their data kind.

    Real numbers, which a program takes that says nothing of its data, are compared as counts or as
    bits where all that the program itself generates is whole: its emission is discrete then.
    """
    if emission.kind in BY_KIND:
        return BY_KIND[emission.kind]
    values = np.concatenate([v.values.ravel().astype(float) for v in replicated.values()])
    values = values[np.isfinite(values)]
    if len(values) == 0 or (values < 0).any() or (values != np.round(values)).any():
        return "continuous"
    return "bits" if values.max() <= 1 else "counts"


@dataclass(frozen=True)
class _Comparison:
    """A comparison feature by feature: how it is drawn, what is counted, and the values."""

    emission: EmissionFacts
    how: Comparison
    unit: str
    data: xr.DataArray
    replicated: dict[str, xr.DataArray]


def _replicated(tree: xr.DataTree, emission: EmissionFacts, draws: int) -> dict[str, xr.DataArray]:
    """Evenly thinned replicated data sets of the posterior and of the prior, where they exist."""
    replicated: dict[str, xr.DataArray] = {}
    for which in ("posterior", "prior"):
        values = predictive(tree, which, emission.site)
        if values is not None:
            total = values.sizes["sample"]
            chosen = np.linspace(0, total - 1, min(draws, total)).astype(int)
            replicated[which] = values.isel(sample=chosen)
    return replicated


def _as_table(tree: xr.DataTree, emission: EmissionFacts, values: xr.DataArray) -> xr.DataArray:
    """Values with an axis `feature` labelled by strings."""
    if "feature" not in values.dims:
        values = values.expand_dims(feature=1, axis=-1)
    names = feature_names(tree, emission, values.sizes["feature"])
    return values.assign_coords(feature=names).transpose(..., "row", "feature")


def _chosen(names: list[str], wanted: Sequence[str] | None, at_most: int) -> list[str]:
    for name in wanted or ():
        if name not in names:
            raise InputError(f"There is no feature {name!r}: choose from {', '.join(names)}.")
    return list(wanted) if wanted else names[:at_most]


def _by_feature(
    tree: xr.DataTree, compared: _Comparison, collection: PlotCollection | None, backend: str
) -> PlotCollection:
    names = [str(name) for name in compared.data["feature"].values]
    wrap = min(len(names), 4 if len(names) != 3 else 3)
    lines = -(-len(names) // wrap)
    width = {1: 6.8, 2: 9.6}.get(wrap, 2.9 * wrap)
    made = collection or new_panels(
        {"feature": names}, size=(width, 3.6 if lines == 1 else 2.7 * lines), columns=["feature"],
        wrap=wrap, backend=backend,
    )  # fmt: skip
    for index, name in enumerate(names):
        target = panel(made, feature=name)
        _draw_feature(tree, compared, name, target)
        target.set_xlabel(shorten(name))
        if index == 0:
            headline(target, "Predicted and observed, by feature")
        if index % wrap == 0:
            target.set_ylabel("density" if compared.how == "continuous" else compared.unit)
    _legend(made)
    return made


def _draw_feature(tree: xr.DataTree, compared: _Comparison, name: str, target: Axes) -> None:
    values = compared.data.sel(feature=name).values.astype(float)
    drawn = {which: array.sel(feature=name).values for which, array in compared.replicated.items()}
    if compared.how == "continuous":
        draw_densities(target, values, drawn)
        return
    labels = level_names(tree, compared.emission, name) if compared.how == "levels" else None
    edges = value_edges(values, drawn, labels)
    draw_frequencies(target, values, drawn, edges, labels, root=compared.how == "counts")


def _legend(made: PlotCollection) -> None:
    """One legend for all panels, above them."""
    handles, labels = made.viz["plot"].values.flat[0].get_legend_handles_labels()
    add_key(figure_of(made), handles, labels, loc="outside upper left", ncols=len(labels))


def _tokens(
    tree: xr.DataTree,
    emission: EmissionFacts,
    data: xr.DataArray,
    replicated: dict[str, xr.DataArray],
    collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    coords = {"panel": ["lengths", "tokens"]}
    names = token_names(tree, emission.site)
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
        _legend(made)
    return made
