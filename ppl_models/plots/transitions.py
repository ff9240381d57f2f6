"""Which token or hidden state follows which, as a heat map from a sequence's start to its end."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_plots import PlotCollection
from matplotlib.colors import PowerNorm

from ppl_models.errors import InputError
from ppl_models.plots.heat import draw_heat
from ppl_models.plots.panels import across, given_panels, new_panels, panel
from ppl_models.plots.reading import feature_names, group, mean_weights
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
    the square root, so that rare transitions can be told from impossible ones. Where the next
    state depends on the last two, each pair of them is a row.

    Args:
        tree: a fit with `transition (token, next_token)`, or of states, and `initial (token)` if
            it has one; by cluster, a panel each, if they have a dim `cluster`.
        max_tokens: of more tokens than this, those that follow most often are shown.
        plot_collection: draw into this one-panel collection.
        backend: only "matplotlib".

    Raises:
        InputError: when the posterior has no transitions.

    Example:
        >>> plot_transitions(tree).savefig("transitions.png")  # doctest: +SKIP
    """
    posterior = group(tree, "posterior", "plot_transitions")
    dims = posterior["transition"].dims if "transition" in posterior else ()
    if not {"token", "state"} & set(dims):
        raise InputError(
            f"The program {tree.attrs.get('program', '?')!r} has no `transition (token, "
            "next_token)`: plot_transitions draws Markov chains."
        )
    if "cluster" in posterior["transition"].dims:
        return _by_cluster(tree, posterior, max_tokens, plot_collection, backend)
    matrix, rows, columns = transition_table(posterior)
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
    headline(target, f"Which {what} follows which", note)
    return made


def _by_cluster(
    tree: xr.DataTree,
    posterior: xr.Dataset,
    max_tokens: int,
    plot_collection: PlotCollection | None,
    backend: str,
) -> PlotCollection:
    """A panel a cluster, all on one scale and of the same tokens."""
    count = posterior.sizes["cluster"]
    names = [n for n in ("initial", "transition") if n in posterior]
    tables = [transition_table(posterior[names].isel(cluster=k)) for k in range(count)]
    whole = np.mean([matrix for matrix, _, _ in tables], axis=0)
    _, rows, columns = tables[0]
    total = len(rows)
    if total > max_tokens:
        _, rows, columns = _most_frequent(whole, rows, columns, max_tokens)
    kept = np.ix_([tables[0][1].index(r) for r in rows], [tables[0][2].index(c) for c in columns])
    top = max(float(np.nanmax(matrix)) for matrix, _, _ in tables)
    if plot_collection is None:
        wide = across(count)
        side = float(np.clip(2.0 + 0.2 * len(columns), 3.6, 7.0))
        size = ((side + 0.9) * wide, (side + 0.4) * -(-count // wide))
        made = new_panels({"cluster": list(range(count))}, columns=["cluster"], wrap=wide,
                          size=size, backend=backend)  # fmt: skip
    else:
        made = given_panels(plot_collection, range(count))
    labels = [[shorten(readable(name), 12) for name in names] for names in (rows, columns)]
    weights = mean_weights(tree)
    for k, (matrix, _, _) in enumerate(tables):
        target = panel(made, cluster=k)
        draw_heat(
            target, matrix[kept], *labels, norm=PowerNorm(0.5, 0.0, top), label="probability",
            at_most=max_tokens + 2,
        )  # fmt: skip
        target.set(xlabel="next token", ylabel="token")
        headline(target, f"cluster {k}", "" if weights is None else f"{weights[k]:.0%}")
    return made


def transition_table(posterior: xr.Dataset) -> tuple[np.ndarray, list[str], list[str]]:
    """Mean transitions with how sequences begin as the first row, and the names of both sides.

    Returns:
        Probabilities (token, next token) with NaN where nothing is defined, row and column names.
    """
    mean = posterior.mean(["chain", "draw"])
    what, following = map(str, posterior["transition"].dims[-2:])
    rows = feature_names(mean["transition"], what)
    columns = feature_names(mean["transition"], following)
    if what == "state" and len(columns) > len(rows):
        columns[-1] = "<end>"
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
    kept = [i for i, name in enumerate(rows) if name in names]
    return matrix[np.ix_(kept, common)], [rows[i] for i in kept], [columns[j] for j in common]
