"""How many clusters there are, who is in which, and what they are like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.choose import choose_plots
from ppl_models.plots.comparison import plot_comparison
from ppl_models.plots.drawing.reading import (
    as_samples,
    decoded,
    family,
    feature_names,
    is_point,
    mean_weights,
    observed,
    responsibilities,
)
from ppl_models.plots.responsibilities import plot_responsibilities
from ppl_models.plots.similarity import plot_similarity
from ppl_models.report.page import Block
from ppl_models.report.parameters import INTERVAL, parameter_blocks

PARTITION = (
    "The partition of the rows that is nearest to all draws on average; it needs no labels and "
    "chooses its own number of groups. A row's certainty is its mean probability of being with "
    "the others of its group."
)
CAPTIONS = {
    "clusters": "The data in the colours of the clusters, with what the fit believes about each.",
    "profiles": "What the clusters are like, feature by feature.",
    "prototypes": "Each cluster's probability of ink, pixel by pixel, titled with its weight.",
    "states": "The series in the colours of its hidden states, and how probable each of them is.",
    "transitions": "How probable each next one is, from the start of a sequence to its end.",
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
    posterior = tree["posterior"].to_dataset()
    index = pd.RangeIndex(posterior.sizes["cluster"], name="cluster")
    if is_point(tree) or "weights" not in posterior:
        name = "share of rows" if family(tree) == "centres" else "weight"
        return pd.DataFrame({name: mean_weights(tree)}, index=index)
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
    if "partition" in tree.children and "labels" in tree["partition"].data_vars:
        yield Block("One partition for all draws", PARTITION, table=partition_table(tree), level=3)
    if "similarity" in tree.children:
        caption = "The probability that two rows share a cluster, in the partition's order."
        yield Block("Which rows belong together", figures=(plot_similarity(tree),),
                    captions=(caption,), level=3)  # fmt: skip


def partition_table(tree: xr.DataTree) -> pd.DataFrame:
    """Sizes and certainty of the groups of the point partition."""
    found = tree["partition"].to_dataset()
    labels = found["labels"].values
    groups, counts = np.unique(labels, return_counts=True)
    table = pd.DataFrame({"rows": counts, "share": counts / len(labels)}, index=groups)
    if "certainty" in found:
        certain = found["certainty"].values
        table["mean certainty"] = [certain[labels == name].mean() for name in groups]
    return table.rename_axis("group")


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
            table[name] = decoded(tree, name, values[:, position])
    return table


def what_like(tree: xr.DataTree) -> Iterator[Block]:
    """The section on parameters, with the pictures of clusters (or of transitions)."""
    pictures = [(name, draw) for name, draw in choose_plots(tree) if name in CAPTIONS]
    several = bool({"cluster", "state"} & set(tree["posterior"].dims))
    yield Block(
        "What are they like?" if several else "What is it like?",
        figures=tuple(draw(tree) for _, draw in pictures),
        captions=tuple(CAPTIONS[name] for name, _ in pictures),
    )
    yield from parameter_blocks(tree)
