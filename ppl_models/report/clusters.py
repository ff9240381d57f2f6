"""How many clusters there are, who is in which, and what they are like."""

from __future__ import annotations

from collections.abc import Iterator

import arviz_stats
import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.arviz_views import UNITS
from ppl_models.plots.choose import choose_plots
from ppl_models.plots.comparison import plot_comparison
from ppl_models.plots.reading import (
    as_samples,
    family,
    feature_names,
    is_point,
    mean_weights,
    observed,
    responsibilities,
)
from ppl_models.plots.responsibilities import plot_responsibilities
from ppl_models.plots.similarity import plot_similarity
from ppl_models.plots.style import readable
from ppl_models.plots.transitions import transition_table
from ppl_models.report.page import Block

INTERVAL = 0.94
CAPTIONS = {
    "clusters": "The data in the colours of the clusters, with what the fit believes about each.",
    "profiles": "What the clusters are like, feature by feature.",
    "prototypes": "Each cluster's probability of ink, pixel by pixel, titled with its weight.",
    "transitions": "How probable each next token is, from the start of a sequence to its end.",
}


def how_many(tree: xr.DataTree) -> Iterator[Block]:
    """The section on the number of clusters: a comparison if there is one, else the weights."""
    if "comparison" in tree.children:
        table = tree["comparison"].to_dataset().to_dataframe().reset_index()
        yield Block(
            "How many clusters?", "Fits with other numbers of clusters, side by side.",
            table=table, figures=(plot_comparison(table),),
            captions=("Criteria by number of clusters; the best is ringed.",),
        )  # fmt: skip
        return
    weights = mean_weights(tree)
    if weights is None:
        return
    count = len(weights)
    given = "One cluster was" if count == 1 else f"{count} clusters were"
    text = (
        f"{given} asked for; this fit alone does not say whether another number would serve "
        "better. Fit with other numbers and compare them to find out."
    )
    yield Block("How many clusters?", text + _empty(tree), table=weight_table(tree))


def _empty(tree: xr.DataTree) -> str:
    if "responsibilities" not in tree.children:
        return ""
    probability = responsibilities(tree).values
    sizes = np.bincount(probability.argmax(1), minlength=probability.shape[1])
    empty = [str(k) for k in np.flatnonzero(sizes == 0)]
    if not empty:
        return " Every cluster holds rows of its own."
    which = "Cluster " if len(empty) == 1 else "Clusters "
    return f" {which}{', '.join(empty)} hold no row of their own: fewer may do."


def weight_table(tree: xr.DataTree) -> pd.DataFrame:
    """Weights of the clusters, with intervals where there are draws."""
    index = pd.RangeIndex(len(mean_weights(tree)), name="cluster")
    posterior = tree["posterior"].to_dataset()
    if is_point(tree) or "weights" not in posterior:
        return pd.DataFrame({"weight": mean_weights(tree)}, index=index)
    draws = as_samples(posterior[["weights"]])["weights"]
    low, high = draws.quantile([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], "sample").values
    return pd.DataFrame(
        {"weight": draws.mean("sample"), "sd": draws.std("sample"), "3%": low, "97%": high},
        index=index,
    )


def who_where(tree: xr.DataTree) -> Iterator[Block]:
    """The section on assignments: sizes, the picture, and the rows that are least sure."""
    if "responsibilities" not in tree.children:
        return
    yield Block(
        "Who is in which?",
        "A row belongs to its most probable cluster; the certainty is that probability.",
        table=size_table(tree), figures=(plot_responsibilities(tree),),
        captions=("Every row as one thin column, in the colours of the clusters.",),
    )  # fmt: skip
    doubtful = doubtful_table(tree)
    if len(doubtful):
        yield Block("The least certain rows", table=doubtful, level=3)
    if "similarity" in tree.children:
        caption = "The probability that two rows share a cluster, in the partition's order."
        yield Block("Which rows belong together", figures=(plot_similarity(tree),),
                    captions=(caption,), level=3)  # fmt: skip


def size_table(tree: xr.DataTree) -> pd.DataFrame:
    """Rows, shares and certainty by cluster."""
    probability = responsibilities(tree).values
    best, certainty = probability.argmax(1), probability.max(1)
    rows = []
    for k in range(probability.shape[1]):
        mine = certainty[best == k]
        rows.append({
            "rows": len(mine),
            "share": len(mine) / len(best),
            "expected rows": probability[:, k].sum(),
            "mean certainty": mine.mean() if len(mine) else np.nan,
            "less than 90% sure": int((mine < 0.9).sum()),
        })  # fmt: skip
    return pd.DataFrame(rows, index=pd.RangeIndex(len(rows), name="cluster"))


def doubtful_table(tree: xr.DataTree, *, at_most: int = 10) -> pd.DataFrame:
    """The rows with the lowest certainty: their two best clusters and their first values."""
    shares = responsibilities(tree)
    probability = shares.values
    if probability.shape[1] < 2:
        return pd.DataFrame()
    certainty = probability.max(1)
    order = np.argsort(certainty, kind="stable")[:at_most]
    order = order[certainty[order] < 0.999]
    ranked = np.argsort(-probability[order], axis=1, kind="stable")
    labels = shares["row"].values if "row" in shares.coords else np.arange(len(probability))
    table = pd.DataFrame(
        {
            "cluster": ranked[:, 0],
            "certainty": certainty[order],
            "second": ranked[:, 1],
            "its probability": np.take_along_axis(probability[order], ranked, 1)[:, 1],
        },
        index=pd.Index(labels[order], name="row"),
    )
    data = observed(tree)
    if data is not None and data.ndim <= 2 and "position" not in data.dims:
        values = data.values.reshape(len(probability), -1)[order]
        names = feature_names(data) if "feature" in data.dims else [str(data.name)]
        for position, name in enumerate(names[:6]):
            table[name] = values[:, position]
    return table


def what_like(tree: xr.DataTree) -> Iterator[Block]:
    """The section on parameters, with the pictures of clusters (or of transitions)."""
    pictures = [(name, draw) for name, draw in choose_plots(tree) if name in CAPTIONS]
    plural = "What is it like?" if "cluster" not in tree["posterior"].dims else "What are they like?"
    yield Block(
        plural,
        figures=tuple(draw(tree) for _, draw in pictures),
        captions=tuple(CAPTIONS[name] for name, _ in pictures),
    )
    if family(tree) == "chain":
        yield Block("The most probable next tokens", table=next_tokens(tree), level=3)
        return
    if is_point(tree):
        yield Block("Parameters", table=point_table(tree), level=3)
    else:
        text = f"Posterior mean, standard deviation and {INTERVAL:.0%} interval of every parameter."
        yield Block("Parameters", text, table=summary_table(tree), level=3)


def _parameters(tree: xr.DataTree) -> list[str]:
    posterior = tree["posterior"].to_dataset()
    units = UNITS | {str(tree.attrs.get("plate", "row"))}
    return [str(name) for name in posterior.data_vars if not units & set(posterior[name].dims)]


def summary_table(tree: xr.DataTree) -> pd.DataFrame:
    """ArviZ's summary with our interval, not rounded."""
    table = arviz_stats.summary(
        tree, var_names=_parameters(tree), ci_prob=INTERVAL, round_to="none"
    )
    names = {"eti94_lb": "3%", "eti94_ub": "97%", "r_hat": "R-hat"}
    wanted = ["mean", "sd", "eti94_lb", "eti94_ub", "ess_bulk", "r_hat"]
    table = pd.DataFrame(table)[[name for name in wanted if name in table]]
    return table.rename(columns=names).astype(float)


def point_table(tree: xr.DataTree) -> pd.DataFrame:
    """Values by cluster, one column a feature; other variables below as plain numbers."""
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    columns: dict[str, np.ndarray] = {}
    for name in _parameters(tree):
        values = posterior[name]
        if values.dims[:1] != ("cluster",):
            continue
        flat = values.values.reshape(values.sizes["cluster"], -1)
        labels = _labels(values)
        columns |= {f"{name}{label}": flat[:, i] for i, label in enumerate(labels)}
    if columns:
        kept = dict(list(columns.items())[:16])
        return pd.DataFrame(kept, index=pd.RangeIndex(len(next(iter(kept.values()))),
                                                      name="cluster"))  # fmt: skip
    numbers = {
        f"{name}{label}": value
        for name in _parameters(tree)
        for label, value in zip(_labels(posterior[name]), posterior[name].values.flat, strict=True)
    }
    return pd.DataFrame({"value": numbers})


def _labels(values: xr.DataArray) -> list[str]:
    """A label such as "[length, width]" for every number, the dim `cluster` left out."""
    dims = [dim for dim in values.dims if dim not in ("chain", "draw", "cluster")]
    if not dims:
        return [""]
    names = [feature_names(values, str(dim)) for dim in dims]
    index = np.indices([len(part) for part in names]).reshape(len(dims), -1).T
    return [f"[{', '.join(part[i] for part, i in zip(names, row, strict=True))}]" for row in index]


def next_tokens(tree: xr.DataTree, *, at_most: int = 4) -> pd.DataFrame:
    """For every token the most probable next ones with their probabilities."""
    matrix, rows, columns = transition_table(tree["posterior"].to_dataset())
    table = {}
    for position, name in enumerate(rows):
        values = np.nan_to_num(matrix[position])
        best = np.argsort(-values, kind="stable")[:at_most]
        table[readable(name)] = [f"{readable(columns[j])} ({values[j]:.0%})" for j in best]
    names = ["most probable", *(f"{place}." for place in range(2, at_most + 1))]
    frame = pd.DataFrame.from_dict(table, orient="index")
    return frame.set_axis(names[: frame.shape[1]], axis=1).rename_axis("token")
