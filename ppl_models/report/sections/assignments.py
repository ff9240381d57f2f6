"""The section on assignments: sizes of the clusters, the least certain rows, the partition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.drawing.reading import (
    SEQUENCES,
    decoded,
    feature_names,
    observed,
    responsibilities,
)
from ppl_models.posterior.result.names import component_labels
from ppl_models.posterior.result.schema import facts_of, row_weights
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection

CERTAIN = 0.9
MOST_VALUES = 6  #: of a doubtful row that are shown
PARTITION = (
    "The partition with the smallest expected loss over the draws. It needs no labels and has its "
    "own number of groups. A row's certainty is its mean probability of being in one cluster with "
    "the other rows of its group."
)


def sizes(fit: FittedModel) -> Iterator[Block]:
    """How many rows each cluster has."""
    if "responsibilities" not in fit.tree.children:
        return
    unit = fit.facts.unit
    text = (
        f"Each {unit} is counted in its most probable cluster; its certainty is the probability "
        "of that cluster."
    )
    if row_weights(fit.tree) is not None:
        text += f" Every {unit} counts as often as it weighs."
    yield Block("", text, table=size_table(fit.tree))


def doubtful_and_partition(fit: FittedModel) -> Iterator[Block]:
    """The least certain rows, and the partition."""
    if "responsibilities" in fit.tree.children:
        doubtful = doubtful_table(fit.tree)
        if len(doubtful):
            yield Block(f"The least certain {fit.facts.unit}s", table=doubtful, level=3)
    if "partition" in fit.tree.children and "labels" in fit.tree["partition"].data_vars:
        table = partition_table(fit.tree)
        yield Block("One partition for all draws", PARTITION, table=table, level=3)


ASSIGNMENTS = ReportSection(
    "assignments",
    lambda fit: f"Which cluster is each {fit.facts.unit} in?",
    sizes,
    doubtful_and_partition,
)


def partition_table(tree: xr.DataTree) -> pd.DataFrame:
    """Sizes and certainty of the groups of the point partition."""
    partition = tree["partition"].to_dataset()
    labels, unit = partition["labels"].values, facts_of(tree).unit
    groups, counts = np.unique(labels, return_counts=True)
    table = pd.DataFrame({f"{unit}s": counts, "share": counts / len(labels)}, index=groups)
    if "certainty" in partition:
        certain = partition["certainty"].values
        table["mean certainty"] = [certain[labels == name].mean() for name in groups]
    return table.rename_axis("group")


def size_table(tree: xr.DataTree) -> pd.DataFrame:
    """Rows, shares and certainty by cluster."""
    probability, unit = responsibilities(tree).values, facts_of(tree).unit
    best, certainty = probability.argmax(1), probability.max(1)
    weights = row_weights(tree)
    counted = np.ones(len(best)) if weights is None else weights
    lines = []
    for k in range(probability.shape[1]):
        members, own = certainty[best == k], counted[best == k]
        lines.append({
            f"{unit}s": len(members) if weights is None else own.sum(),
            "share": own.sum() / counted.sum(),
            f"expected {unit}s": counted @ probability[:, k],
            "mean certainty": members @ own / own.sum() if own.sum() else np.nan,
            f"certainty below {CERTAIN:.0%}": int(own[members < CERTAIN].sum()),
        })  # fmt: skip
    return pd.DataFrame(lines, index=_clusters(tree, len(lines)))


def _clusters(tree: xr.DataTree, count: int) -> pd.Index:
    """Row labels of a table with one row per cluster."""
    return pd.Index(component_labels(tree, count), name="cluster")


def doubtful_table(tree: xr.DataTree, *, at_most: int = 10) -> pd.DataFrame:
    """The rows with the lowest certainty: their two best clusters and their first values."""
    assigned = responsibilities(tree)
    probability = assigned.values
    if probability.shape[1] < 2:
        return pd.DataFrame()
    certainty = probability.max(1)
    order = np.argsort(certainty, kind="stable")[:at_most]
    order = order[certainty[order] < 0.999]
    ranked = np.argsort(-probability[order], axis=1, kind="stable")
    called = component_labels(tree, probability.shape[1])
    labels = assigned["row"].values if "row" in assigned.coords else np.arange(len(probability))
    table = pd.DataFrame(
        {
            "cluster": called[ranked[:, 0]],
            "certainty": certainty[order],
            "second": called[ranked[:, 1]],
            "its probability": np.take_along_axis(probability[order], ranked, 1)[:, 1],
        },
        index=pd.Index(labels[order], name=facts_of(tree).unit),
    )
    for emission in facts_of(tree).emissions:
        data = observed(tree, emission.site)
        by_row = not facts_of(tree).units  # other data have no values of a row's own
        if data is None or not by_row or emission.kind in SEQUENCES:
            continue
        values = data.values.reshape(len(probability), -1)[order]
        names = feature_names(tree, emission, values.shape[1])
        for position, name in enumerate(names[: MOST_VALUES - (table.shape[1] - 4)]):
            table[name] = decoded(tree, emission, name, values[:, position])
    return table
