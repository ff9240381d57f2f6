"""The section on the number of clusters: a comparison if there is one, else the weights."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models import catalogue
from ppl_models.plots.drawing.reading import as_samples, is_point, mean_weights, responsibilities
from ppl_models.posterior.result.names import component_labels, component_names
from ppl_models.posterior.result.schema import cluster_weights, facts_of
from ppl_models.program.arguments.json_text import from_json
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection
from ppl_models.report.tables import INTERVAL


def weights_or_comparison(fit: FittedModel) -> Iterator[Block]:
    """The table of candidates where fits were compared, else the weights of this fit."""
    if "comparison" in fit.tree.children:
        table = fit.tree["comparison"].to_dataset().to_dataframe().reset_index()
        yield Block("", "Fits with other numbers of clusters, side by side.", table=table)
        return
    table = weight_table(fit.tree)
    if len(table):
        text = _number(fit.tree, len(table)) + _beyond(fit.tree, len(table)) + _empty(fit.tree)
        yield Block("", text, table=table)


def heading(fit: FittedModel) -> str:
    """The heading, by whether the number of clusters was chosen."""
    if _size(fit.tree, fit.clusters) is None and "comparison" not in fit.tree.children:
        return "How common is each cluster?"
    return "How many clusters?"


NUMBER_OF_CLUSTERS = ReportSection("number of clusters", heading, weights_or_comparison)


def _size(tree: xr.DataTree, count: int) -> tuple[str, int] | None:
    """The program's argument for the number of clusters, and its value; None where none is.

    It is called ``clusters``, or else has their number as its value and no default.
    """
    if "arguments" not in tree.attrs:
        return "clusters", count
    arguments = from_json(tree.attrs["arguments"])
    if arguments.get("clusters") is not None:
        return "clusters", int(arguments["clusters"])
    program = str(tree.attrs.get("program", ""))
    if program in catalogue.model_names():
        known = inspect.signature(catalogue.program(program)).parameters
        arguments = {n: v for n, v in arguments.items() if known[n].default is known[n].empty}
    equal = {n: v for n, v in arguments.items() if isinstance(v, int) and v == count}
    return next(iter(equal.items()), None)


def _number(tree: xr.DataTree, count: int) -> str:
    size = _size(tree, count)
    if size is None:
        return f"The program has {count} clusters, as the data or the program itself decide."
    name, asked = size
    fixed = "1 cluster" if asked == 1 else f"{asked} clusters"
    beyond = component_names(tree, count)[asked:]
    for other in beyond:
        fixed += f" and a {other} component"
    option = "" if name == "clusters" else f' with `size="{name}"`'
    return (
        f"The model was fitted with {fixed}. Whether another number describes the data better is "
        f"answered by `choose_clusters`{option}, which compares fits."
    )


def _beyond(tree: xr.DataTree, count: int) -> str:
    """What the components beyond the clusters hold, such as noise, as sentences."""
    size, weights = _size(tree, count), cluster_weights(tree)
    if size is None or weights is None or size[1] >= count:
        return ""
    told, unit = "", facts_of(tree).unit
    drawn = weights.transpose(..., "cluster").values.reshape(-1, count)
    for k, name in list(enumerate(component_names(tree, count)))[size[1] :]:
        low, high = np.quantile(drawn[:, k], [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
        interval = "" if is_point(tree) else f" ({low:.1%} to {high:.1%})"
        told += f" The {name} component makes {drawn[:, k].mean():.1%}{interval} of the {unit}s."
    return told


def _empty(tree: xr.DataTree) -> str:
    if "responsibilities" not in tree.children:
        return ""
    probability, unit = responsibilities(tree).values, facts_of(tree).unit
    sizes = np.bincount(probability.argmax(1), minlength=probability.shape[1])
    names = component_names(tree, len(sizes))
    empty = [names[k] for k in np.flatnonzero(sizes == 0)]
    if not empty:
        return ""
    which = "Cluster " if len(empty) == 1 else "Clusters "
    verb = "is" if len(empty) == 1 else "are"
    return f" {which}{', '.join(empty)} {verb} the most probable cluster of no {unit}."


def weight_table(tree: xr.DataTree) -> pd.DataFrame:
    """Weights of the clusters, with intervals where there are draws; empty without clusters."""
    weights, facts = mean_weights(tree), facts_of(tree)
    if weights is None:
        return pd.DataFrame()
    index = pd.Index(component_labels(tree, len(weights)), name="cluster")
    draws = cluster_weights(tree)
    if is_point(tree) or draws is None or facts.assignments == "hard":
        hard = facts.assignments == "hard"
        return pd.DataFrame({f"share of {facts.unit}s" if hard else "weight": weights}, index=index)
    sample = as_samples(draws.to_dataset(name="weights"))["weights"]
    low, high = sample.quantile([(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], "sample").values
    return pd.DataFrame(
        {"weight": sample.mean("sample"), "sd": sample.std("sample"), "3%": low, "97%": high},
        index=index,
    )
