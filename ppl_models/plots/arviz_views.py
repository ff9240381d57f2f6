"""ArviZ's own pictures of draws, given a readable part of the posterior and our style."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import arviz_plots
import arviz_stats
import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from arviz_stats.utils import ELPDData

from ppl_models.errors import InputError
from ppl_models.plots.panels import figure_of
from ppl_models.plots.reading import observed
from ppl_models.plots.style import INK, cluster_colors, headline, styled

FIRST = ("weights", "loc", "scale", "rate", "probs", "initial", "transition", "covariance")
FOREST_ORDER = ("loc", "rate", "probs", "initial", "weights", "scale", "transition", "covariance")
TRACED, RANKED, FOREST = 7, 11, 30  #: panels of traces, panels of ranks, lines of a forest
UNITS = {"row", "sequence", "position"}
CHAINS = ("#1A1A1A", "#6E6E6E", "#A3A3A3", "#C9A66B")


def shown_parameters(tree: xr.DataTree, at_most: int, order: Sequence[str] = FIRST) -> xr.Dataset:
    """A readable part of the posterior: at most so many numbers that vary, foremost first.

    Args:
        tree: a fit with draws.
        at_most: how many single numbers (elements of variables) to keep.
        order: which variables come first; unknown ones come before them, small before large.

    Returns:
        Variables (chain, draw, ...), large ones cut to their first features (the same for all).
    """
    posterior = tree["posterior"].to_dataset()
    names = parameters(tree)
    # of a network the few biases and scales are read, hardly the first of its many weights
    sizes = {name: _numbers(posterior[name]) for name in names}
    names.sort(key=lambda name: (order.index(name), 0) if name in order else (-1, sizes[name]))
    kept: dict[str, xr.DataArray] = {}
    lengths: dict[str, int] = {}
    for name in names:
        free = at_most - sum(_numbers(array) for array in kept.values())
        values = _cut(posterior[name], free, lengths)
        if values is not None and bool((values.std(["chain", "draw"]) > 0).all()):
            kept[name] = values
            lengths |= {str(dim): size for dim, size in values.sizes.items()}
    return xr.Dataset(kept)


def parameters(tree: xr.DataTree) -> list[str]:
    """Variables of the posterior that are no rows' (assignments and the like)."""
    posterior = tree["posterior"].to_dataset()
    units = UNITS | {str(tree.attrs.get("plate", "row"))}
    return [str(name) for name in posterior.data_vars if not units & set(posterior[name].dims)]


def shown_and_all(tree: xr.DataTree, picture: str) -> tuple[int, int]:
    """How many numbers of the posterior "trace", "rank" or "forest" shows, and how many it has."""
    posterior = tree["posterior"].to_dataset()
    if picture == "forest":
        shown = _legible(shown_parameters(tree, FOREST, FOREST_ORDER))
    else:
        per_panel = posterior.sizes.get("cluster", 1)
        shown = shown_parameters(tree, TRACED * per_panel if picture == "trace" else RANKED)
    total = sum(_numbers(posterior[name]) for name in parameters(tree))
    return sum(_numbers(values) for values in shown.data_vars.values()), total


def _numbers(values: xr.DataArray) -> int:
    return values.size // (values.sizes["chain"] * values.sizes["draw"])


def _cut(values: xr.DataArray, free: int, lengths: dict[str, int]) -> xr.DataArray | None:
    """The first entries of dims that no kept variable has, clusters last; None if it never fits."""
    shared = {dim: slice(0, lengths[str(dim)]) for dim in values.dims if dim in lengths}
    values = values.isel(shared)
    able = [dim for dim in values.dims if dim not in ("chain", "draw") and dim not in lengths]
    able.sort(key=lambda dim: (dim == "cluster", -values.dims.index(dim)))
    for dim in able:
        if _numbers(values) > free:
            others = _numbers(values) // values.sizes[dim]
            values = values.isel({dim: slice(0, max(1, free // others))})
    return values if _numbers(values) <= free else None


def _shown_tree(tree: xr.DataTree, at_most: int) -> xr.DataTree:
    shown = {"posterior": shown_parameters(tree, at_most)}
    if not shown["posterior"].data_vars:
        raise InputError(f"No parameter can be shown with {at_most} numbers: allow more of them.")
    if "sample_stats" in tree.children:
        statistics = tree["sample_stats"].to_dataset()
        if "lp" in statistics:
            shown["posterior"] = shown["posterior"].assign(lp=statistics["lp"])
        shown["sample_stats"] = statistics
    return xr.DataTree.from_dict({name: _counted(dataset) for name, dataset in shown.items()})


def _counted(dataset: xr.Dataset) -> xr.Dataset:
    """Axes without labels labelled 0, 1, ...: ArviZ's pictures select by these."""
    missing = [dim for dim in dataset.dims if dim not in dataset.coords]
    return dataset.assign_coords({dim: np.arange(dataset.sizes[dim]) for dim in missing})


def _inches(width: float, height: float) -> dict[str, object]:
    return {"figsize": (width, height), "figsize_units": "inches"}


@styled
def trace(tree: xr.DataTree, *, panels: int = TRACED) -> PlotCollection:
    """ArviZ's traces and marginal densities of the log density and the foremost parameters.

    Clusters share a panel and have their colours; every line is a chain.
    """
    shown = _shown_tree(tree, panels * tree["posterior"].sizes.get("cluster", 1))
    posterior = shown["posterior"].to_dataset()
    facets = [str(dim) for dim in posterior.dims if dim not in ("chain", "draw", "cluster")]
    layout: dict[str, Any] = {"rows": ["__variable__", *facets]}
    if "cluster" in posterior.dims:
        plain = any("cluster" not in values.dims for values in posterior.data_vars.values())
        colors = [*([INK] if plain else []), *cluster_colors(posterior.sizes["cluster"])]
        aesthetics = {"color": ["cluster"], "overlay": ["chain"], "overlay_cluster": ["cluster"]}
        layout |= {"aes": aesthetics, "color": colors}
        layout["aes_by_visuals"] = {"divergence": ["overlay_cluster"]}
    else:
        layout |= {"aes": {"color": ["chain"]}, "color": list(CHAINS)}
    lines = sum(
        int(np.prod([values.sizes[dim] for dim in facets if dim in values.dims]))
        for values in posterior.data_vars.values()
    )
    made = arviz_plots.plot_trace_dist(
        shown, compact=False, combined=False, kind="kde", backend="matplotlib",
        figure_kwargs=_inches(10.0, 1.55 * lines + 0.4), **layout,
    )  # fmt: skip
    for axes in figure_of(made).axes:
        axes.locator_params(axis="x", nbins=5)
        axes.locator_params(axis="y", nbins=4)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
    return made


@styled
def rank(tree: xr.DataTree, *, at_most: int = RANKED) -> PlotCollection:
    """ArviZ's rank curves of the log density and at most so many parameters; grey lines: chains."""
    shown = _shown_tree(tree, at_most)
    total = sum(_numbers(values) for values in shown["posterior"].data_vars.values())
    made = arviz_plots.plot_rank(
        shown, backend="matplotlib", col_wrap=4, color=list(CHAINS),
        figure_kwargs=_inches(11.0, 2.0 * -(-total // 4) + 0.3),
    )  # fmt: skip
    for axes in figure_of(made).axes:
        axes.title.set_fontsize(9)
    return made


@styled
def forest(tree: xr.DataTree, *, at_most: int = FOREST) -> PlotCollection:
    """ArviZ's forest of intervals, of parameters that can be read off one common axis."""
    dataset = _legible(shown_parameters(tree, at_most, FOREST_ORDER))
    total = sum(_numbers(values) for values in dataset.data_vars.values())
    return arviz_plots.plot_forest(
        xr.DataTree.from_dict({"posterior": dataset}), combined=True, backend="matplotlib",
        figure_kwargs=_inches(8.0, 0.32 * total + 1.3),
    )  # fmt: skip


def _legible(dataset: xr.Dataset) -> xr.Dataset:
    """The variables whose intervals are not mere points on the axis that holds them all."""
    kept: list[str] = []
    for name in map(str, dataset.data_vars):
        ends = dataset[[*kept, name]].quantile([0.03, 0.97], ["chain", "draw"])
        low, high = (np.concatenate([v.sel(quantile=q).values.ravel() for v in ends.values()])
                     for q in (0.03, 0.97))  # fmt: skip
        if np.quantile(high - low, 0.25) > 0.005 * (high.max() - low.min()):
            kept.append(name)
    return dataset[kept or [str(next(iter(dataset.data_vars)))]]


@styled
def ppc(tree: xr.DataTree, *, draws: int = 50) -> PlotCollection:
    """ArviZ's posterior predictive densities over the data, a panel for each of four features."""
    data = observed(tree)
    if data is None or "posterior_predictive" not in tree.children:
        raise InputError("The tree holds no data or no posterior predictive draws: fit again.")
    shown = tree.filter(lambda node: node.name in ("observed_data", "posterior_predictive"))
    columns, count = ["__variable__"], min(data.sizes.get("feature", 1), 4)
    if "feature" in data.dims:
        columns.append("feature")
        shown = shown.map_over_datasets(
            lambda dataset: dataset.isel(feature=slice(0, 4), missing_dims="ignore")
        )
    sizes = shown["posterior_predictive"].sizes
    return arviz_plots.plot_ppc_dist(
        shown, cols=columns, num_samples=min(draws, sizes["chain"] * sizes["draw"]),
        backend="matplotlib", figure_kwargs=_inches(max(5.0, 3.0 * count), 3.2),
    )  # fmt: skip


def leave_one_out(tree: xr.DataTree) -> ELPDData:
    """ArviZ's LOO by row; what its warning would say, the Pareto k that it holds say better."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        return arviz_stats.loo(tree, pointwise=True, var_name=likelihood_name(tree))


@styled
def khat(tree: xr.DataTree, *, result: ELPDData | None = None) -> PlotCollection:
    """ArviZ's Pareto k of every row under leave-one-out; above 0.7 a row is too weighty."""
    result = leave_one_out(tree) if result is None else result
    made = arviz_plots.plot_khat(
        result, backend="matplotlib", visuals={"hlines": True}, color=cluster_colors(1)[0],
        figure_kwargs=_inches(8.0, 3.6),
    )  # fmt: skip
    axes = figure_of(made).axes[0]
    axes.set(xlabel=str(result.pareto_k.dims[0]), ylabel="Pareto k")
    high = int((result.pareto_k > result.good_k).sum())
    note = f"{high} of {result.n_data_points} are above {result.good_k:.2f}"
    headline(axes, "Is leave-one-out reliable? Pareto k", note)
    return made


def likelihood_name(tree: xr.DataTree) -> str:
    """The variable of `log_likelihood` that belongs to the data."""
    names = [str(name) for name in tree["log_likelihood"].data_vars]
    site = str(tree.attrs.get("data_site", "x"))
    return site if site in names else names[0]
