"""Which token or hidden state follows which, as a heat map from a sequence's start to its end."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.colors import PowerNorm

from ppl_models.errors import InputError
from ppl_models.plots.heat import draw_heat
from ppl_models.plots.panels import new_panels, panel
from ppl_models.plots.reading import feature_names, group
from ppl_models.plots.style import headline, readable, shorten, styled


@styled
def plot_transitions(
    tree: xr.DataTree,
    *,
    max_tokens: int = 60,
    plot_collection: PlotCollection | None = None,
    backend: str = "matplotlib",
) -> PlotCollection:
    """Posterior mean probability of the next token, or hidden state, given the present one.

    The first row is how a sequence begins, the last column that it ends. The colour scale rises as
    the square root, so that rare transitions can be told from impossible ones.

    Args:
        tree: a fit with `transition (token, next_token)`, or of states, and `initial (token)` if
            it has one.
        max_tokens: of more tokens than this, those that follow most often are shown.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: when the posterior has no transitions.

    Example:
        >>> plot_transitions(tree).savefig("transitions.png")  # doctest: +SKIP
    """
    posterior = group(tree, "posterior", "plot_transitions")
    if "transition" not in posterior:
        raise InputError(
            f"The program {tree.attrs.get('program', '?')!r} has no `transition (token, "
            "next_token)`: plot_transitions draws Markov chains."
        )
    matrix, rows, columns = transition_table(posterior)
    total = len(rows)
    if total > max_tokens:
        matrix, rows, columns = _most_frequent(matrix, rows, columns, max_tokens)
    side = float(np.clip(2.4 + 0.23 * len(columns), 5.0, 13.0))
    made = plot_collection or new_panels(size=(side + 0.8, side), backend=backend)
    target = panel(made)
    labels = [[shorten(readable(name), 12) for name in names] for names in (rows, columns)]
    what = str(posterior["transition"].dims[-2])
    draw_heat(
        target, matrix, *labels, norm=PowerNorm(0.5, 0.0, float(np.nanmax(matrix))),
        label="probability", at_most=max_tokens + 2, annotate=len(columns) <= 8,
    )  # fmt: skip
    target.set(xlabel=f"next {what}", ylabel=what)
    note = "" if len(rows) == total else f"the most frequent of {total} {what}s"
    headline(target, f"Which {what} follows which", note)
    return made


def transition_table(posterior: xr.Dataset) -> tuple[np.ndarray, list[str], list[str]]:
    """Mean transitions with how sequences begin as the first row, and the names of both sides.

    Returns:
        Probabilities (token, next token) with NaN where nothing is defined, row and column names.
    """
    mean = posterior.mean(["chain", "draw"])
    what, following = map(str, posterior["transition"].dims[-2:])
    matrix = mean["transition"].transpose(what, following).values
    rows = feature_names(mean["transition"], what)
    columns = feature_names(mean["transition"], following)
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
    kept = [i for i, name in enumerate(rows) if name in names]
    return matrix[np.ix_(kept, common)], [rows[i] for i in kept], [columns[j] for j in common]
