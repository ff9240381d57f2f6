"""The same draws before and after relabelling: traces and rank curves of each cluster."""

from __future__ import annotations

import arviz_stats
import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes

from ppl_models.errors import InputError
from ppl_models.plots.drawing.cluster_strokes import add_cluster_legend
from ppl_models.plots.drawing.panels import new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import axis_names, group, mean_weights
from ppl_models.plots.drawing.style import MUTED, cluster_colors, headline, shorten, styled
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import FACTS


@styled
def plot_labels(
    before_tree: xr.DataTree,
    after_tree: xr.DataTree,
    variable: str,
    *,
    feature: str | None = None,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Traces and rank curves of one variable's clusters, before and after relabelling.

    Traces: the chains side by side, one colour a label; where labels switch, colours jump. Ranks:
    for every chain and label, the fraction of draws up to each rank minus what it would be if all
    chains explored the same posterior; good chains stay near zero.

    Args:
        before_tree: the fit as it was drawn.
        after_tree: the same fit, relabelled.
        variable: a variable of the posterior with the dim `cluster`, such as "loc".
        feature: which feature (or level) of it; the first if it has several.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: a collection over the dims `what` (trace, rank) and `when` (before, after).
        backend: only "matplotlib".

    Raises:
        InputError: when the variable is missing or has no clusters.

    Example:
        >>> import numpy as np
        >>> loc = np.random.default_rng(0).normal([0, 9], 1, (2, 20, 2))  # chain, draw, cluster
        >>> drawn = xr.DataArray(loc, dims=("chain", "draw", "cluster"), name="loc")
        >>> tree = xr.DataTree.from_dict({"posterior": drawn.to_dataset()})
        >>> plot_labels(tree, tree, "loc").viz["figure"].item().number > 0
        True
    """
    coords = {"what": ["trace", "rank"], "when": ["before", "after"]}
    drawn = {
        when: component_draws(tree, variable, feature)
        for when, tree in zip(coords["when"], (before_tree, after_tree), strict=True)
    }
    clusters = drawn["before"][0].sizes["cluster"]
    made = (
        new_panels(coords, size=(11.0, 6.0), rows=["what"], columns=["when"], sharey="row",
                   clusters=range(clusters), backend=backend)
        if plot_collection is None
        else with_cluster_colors(plot_collection, range(clusters))
    )  # fmt: skip
    for when, (values, name) in drawn.items():
        trace, rank = (panel(made, what=what, when=when) for what in coords["what"])
        draw_trace(trace, values)
        headline(trace, f"{when.capitalize()} relabelling", worst_rhat(values))
        draw_ranks(rank, values)
        if when == "before":
            trace.set_ylabel(shorten(name))
            rank.set_ylabel("rank curve minus uniform")
        rank.set_xlabel("rank among all draws (fraction)")
    if plot_collection is None:
        # draws of another sampler have no facts, and so no weights
        weights = mean_weights(after_tree) if FACTS in after_tree.attrs else None
        heights = np.full(clusters, 1 / clusters) if weights is None else weights
        add_cluster_legend(made, heights, component_names(after_tree, clusters))
    return made


def component_draws(
    tree: xr.DataTree, variable: str, feature: str | None
) -> tuple[xr.DataArray, str]:
    """Draws (chain, draw, cluster) of one variable and what to call them."""
    posterior = group(tree, "posterior", "plot_labels")
    if variable not in posterior or "cluster" not in posterior[variable].dims:
        able = [name for name, values in posterior.data_vars.items() if "cluster" in values.dims]
        raise InputError(
            f"plot_labels needs a variable with clusters, which {variable!r} is not: choose from "
            f"{', '.join(map(str, able)) or 'none'}."
        )
    values, name = posterior[variable], variable
    for dim in [dim for dim in values.dims if dim not in ("chain", "draw", "cluster")]:
        labels = axis_names(values, str(dim))
        wanted = feature if feature in labels else labels[0]
        values, name = values.isel({dim: labels.index(wanted)}), f"{name}, {wanted}"
    return values.transpose("chain", "draw", "cluster"), name


def worst_rhat(values: xr.DataArray) -> str:
    """The largest R-hat over clusters, in words; empty for a single short chain."""
    if values.sizes["draw"] < 4:
        return ""
    rhat = arviz_stats.rhat(values.to_dataset(name="values"))["values"]
    return f"R-hat up to {float(rhat.max()):.2f}"


def draw_trace(target: Axes, values: xr.DataArray) -> None:
    """Chains side by side, one line a cluster."""
    chains, draws, clusters = values.shape
    for chain in range(chains):
        x = chain * draws + np.arange(draws)
        for k, color in enumerate(cluster_colors(clusters)):
            target.plot(x, values[chain, :, k], color=color, linewidth=0.6)
        if chain:
            target.axvline(chain * draws, color=MUTED, linewidth=0.8)
    target.set_xticks([(chain + 0.5) * draws for chain in range(chains)],
                      [f"chain {chain}" for chain in range(chains)])  # fmt: skip
    target.tick_params(axis="x", length=0)
    target.margins(x=0.0)


def rank_curves(values: np.ndarray) -> np.ndarray:
    """Fraction of a chain's draws up to each rank minus the rank's fraction of all draws.

    Args:
        values: draws (chain, draw) of one quantity.

    Returns:
        Differences (chain, draw), at evenly spaced ranks.

    >>> rank_curves(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[ 0.5,  0. ],
           [-0.5,  0. ]])
    """
    chains, draws = values.shape
    ranks = (values.ravel().argsort(kind="stable").argsort() + 1).reshape(chains, draws)
    at = np.arange(1, draws + 1) / draws
    below = ranks[:, :, None] <= at * chains * draws
    return below.mean(1) - at


def draw_ranks(target: Axes, values: xr.DataArray) -> None:
    """Rank curves, one line a chain and cluster."""
    at = np.arange(1, values.sizes["draw"] + 1) / values.sizes["draw"]
    step = max(1, values.sizes["draw"] // 400)
    for k, color in enumerate(cluster_colors(values.sizes["cluster"])):
        for curve in rank_curves(values[:, ::step, k].values):
            x = np.linspace(at[0], 1.0, len(curve))
            target.plot(x, curve, color=color, linewidth=0.9, alpha=0.8)
    target.axhline(0.0, color=MUTED, linewidth=0.8)
