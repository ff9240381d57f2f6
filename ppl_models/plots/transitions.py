"""Transition matrices of tokens or hidden states as heat maps."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from ppl_models.errors import InputError
from ppl_models.plots.declaration import register_plot
from ppl_models.plots.drawing.components import transition_axes
from ppl_models.plots.drawing.heat import draw_heat
from ppl_models.plots.drawing.panels import across, new_panels, panel, with_cluster_colors
from ppl_models.plots.drawing.reading import (
    axis_names,
    emission_of,
    known_labels,
    mean_weights,
)
from ppl_models.plots.drawing.style import headline, readable, shorten
from ppl_models.posterior.result.names import component
from ppl_models.posterior.result.schema import EmissionFacts, emission_parameters

ENDS = ("next_state", "next_token")


def _serves(tree: xr.DataTree, emission: EmissionFacts) -> bool:
    axes = transition_axes(emission)
    return len(axes) > 1 and axes[-1] in ENDS and axes[-2] in ("state", "token")


@register_plot(
    section="components",
    order=150,
    caption="Probability of the next token or state given the present one, from the start of a "
    "sequence (first row) to its end (last column).",
    serves=_serves,
    each_emission=True,
)
def plot_transitions(
    tree: xr.DataTree,
    *,
    site: str | None = None,
    max_tokens: int = 60,
    ax: Axes | None = None,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Posterior mean probability of the next token, or hidden state, given the present one.

    The first row is how a sequence begins, the last column that it ends. The colour scale rises as
    the square root, so that rare transitions can be told from impossible ones. Where the next
    state depends on the last two, each pair of them is a row.

    Args:
        tree: a fit of a Markov chain of tokens, or of hidden states; by cluster, a panel each.
        site: which observed site (default: the main one).
        max_tokens: of more tokens than this, those that follow most often are shown.
        ax: draw into these axes, which are returned; several panels share their place.
        plot_collection: draw into this collection, of one panel or over the dim `cluster`.
        backend: only "matplotlib".

    Raises:
        InputError: when the emission declares no transitions.

    Example:
        >>> from ppl_models import fit
        >>> tree = fit("markov_chain", ["ab", "abb"], method="em", seed=0, predictive=0)
        >>> plot_transitions(tree).viz["plot"].item().get_xlabel()
        'next token'
    """
    emission = emission_of(tree, site)
    if not _serves(tree, emission):
        raise InputError(
            f"The emission of {emission.site!r}, {emission.family.partition(':')[2]}, declares no "
            "transitions from each token or state to the next: plot_transitions draws Markov "
            "chains of order 1 and hidden Markov chains."
        )
    parameters = labelled_parameters(tree, emission)
    dims = parameters["transition"].dims
    if "cluster" in dims:
        return _by_cluster(tree, parameters, max_tokens, plot_collection, backend)
    matrix, rows, columns = transition_table(parameters)
    total = len(rows)
    if total > max_tokens:
        matrix, rows, columns = _most_frequent(matrix, rows, columns, max_tokens)
    side = float(np.clip(2.4 + 0.23 * len(columns), 5.0, 13.0))
    made = plot_collection or new_panels(size=(side + 0.8, side), backend=backend)
    target = panel(made)
    labels = [[shorten(readable(name), 12) for name in names] for names in (rows, columns)]
    what = str(dims[-2])
    draw_heat(
        target, matrix, *labels, norm=PowerNorm(0.5, 0.0, float(np.nanmax(matrix))),
        label="probability", at_most=max_tokens + 2, annotate=len(columns) <= 8,
    )  # fmt: skip
    pairs = "previous_state" in dims
    target.set(xlabel=f"next {what}", ylabel="the last two states" if pairs else what)
    note = "" if len(rows) == total else f"the most frequent of {total} {what}s"
    headline(target, f"Transitions between {what}s", note)
    return made


def labelled_parameters(tree: xr.DataTree, emission: EmissionFacts) -> xr.Dataset:
    """An emission's parameters with the names of the tokens on their axes."""
    parameters = emission_parameters(tree, emission.site)
    labels = known_labels(tree, emission)
    if "token" in labels:
        labels["next_token"] = [*labels["token"], "<end>"]
    fitting = {
        axis: names
        for axis, names in labels.items()
        if axis in ("token", "next_token") and parameters.sizes.get(axis) == len(names)
    }
    return parameters.assign_coords(fitting)


def _by_cluster(
    tree: xr.DataTree,
    parameters: xr.Dataset,
    max_tokens: int,
    plot_collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    """A panel a cluster, all on one scale and of the same tokens."""
    count = parameters.sizes["cluster"]
    tables = [transition_table(parameters.isel(cluster=k)) for k in range(count)]
    average = np.mean([matrix for matrix, _, _ in tables], axis=0)
    what = str(parameters["transition"].dims[-2])
    _, rows, columns = tables[0]
    total = len(rows)
    if total > max_tokens:
        _, rows, columns = _most_frequent(average, rows, columns, max_tokens)
    frequent = np.ix_(
        [tables[0][1].index(r) for r in rows], [tables[0][2].index(c) for c in columns]
    )
    top = max(float(np.nanmax(matrix)) for matrix, _, _ in tables)
    if plot_collection is None:
        wide = across(count)
        side = float(np.clip(2.0 + 0.2 * len(columns), 3.6, 7.0))
        size = ((side + 0.9) * wide, (side + 0.4) * -(-count // wide))
        made = new_panels({"cluster": list(range(count))}, columns=["cluster"], wrap=wide,
                          size=size, backend=backend)  # fmt: skip
    else:
        made = with_cluster_colors(plot_collection, range(count))
    labels = [[shorten(readable(name), 12) for name in names] for names in (rows, columns)]
    weights = mean_weights(tree)
    for k, (matrix, _, _) in enumerate(tables):
        target = panel(made, cluster=k)
        draw_heat(
            target, matrix[frequent], *labels, norm=PowerNorm(0.5, 0.0, top), label="probability",
            at_most=max_tokens + 2,
        )  # fmt: skip
        target.set(xlabel=f"next {what}", ylabel=what)
        headline(
            target, component(tree, "cluster", k), "" if weights is None else f"{weights[k]:.0%}"
        )
    return made


def transition_table(parameters: xr.Dataset) -> tuple[np.ndarray, list[str], list[str]]:
    """Mean transition matrix below the initial probabilities, and the labels of both sides.

    Returns:
        Probabilities (token, next token) with NaN where nothing is defined, row and column names.
    """
    names = [n for n in ("initial", "initial_transition", "transition") if n in parameters]
    mean = parameters[names].mean(["chain", "draw"])
    what, following = map(str, parameters["transition"].dims[-2:])
    rows = axis_names(mean["transition"], what)
    columns = axis_names(mean["transition"], following)
    if what == "state":  # numbers, or names; a further column is the end
        numbered = what not in mean["transition"].coords
        rows = [str(k) for k in range(len(rows))] if numbered else rows
        columns = (rows + ["<end>"])[: len(columns)]
    if "previous_state" in mean["transition"].dims:
        table = mean["transition"].transpose("previous_state", what, following)
        second = mean["initial_transition"].transpose(what, following).values
        matrix = np.concatenate([second, table.values.reshape(-1, len(columns))])
        rows = [f"{before}, {here}" for before in ("<start>", *rows) for here in rows]
    else:
        matrix = mean["transition"].transpose(what, following).values
    if "initial" in mean:
        first = np.full((1, matrix.shape[1]), np.nan)
        first[0, : mean["initial"].size] = mean["initial"].values
        matrix, rows = np.concatenate([first, matrix]), ["<start>", *rows]
    return matrix, rows, columns


def _most_frequent(
    matrix: np.ndarray, rows: list[str], columns: list[str], count: int
) -> tuple[np.ndarray, list[str], list[str]]:
    common = np.sort(np.argsort(-np.nanmean(matrix, axis=0), kind="stable")[:count])
    names = {columns[j] for j in common} | {"<start>"}
    shown = [i for i, name in enumerate(rows) if name in names]
    return matrix[np.ix_(shown, common)], [rows[i] for i in shown], [columns[j] for j in common]
