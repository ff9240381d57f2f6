"""The section on what was fitted: program, data, method, seed, time and versions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.data.missing import missing_cells
from ppl_models.plots.drawing.graph_counts import bits_a_row, graph_counts
from ppl_models.plots.drawing.network import adjacency
from ppl_models.plots.drawing.predictive.tokens import sequence_lengths
from ppl_models.plots.drawing.reading import is_point, observed, sequence_steps, series, token_names
from ppl_models.plots.network import link_counts
from ppl_models.posterior.result.schema import EmissionFacts, facts_of, row_labels, row_weights
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection

MOST_COLUMNS = 8  #: of covariates, that are named


def summary(fit: FittedModel) -> Iterator[Block]:
    """A table of what was fitted, and the notes of the fit."""
    attributes = fit.tree.attrs
    seconds = attributes.get("wall_time_seconds")
    rows = {
        "Program": attributes.get("program", "unknown"),
        "Data": describe_data(fit.tree),
        "Method": f"{attributes.get('method', 'unknown')}, {describe_draws(fit.tree)}",
        "Objective": fit.facts.objective.name if fit.is_point and fit.facts.objective else "",
        "Seed": attributes.get("seed", "unknown"),
        "Precision": attributes.get("precision", "unknown"),
        "Time": "unknown" if seconds is None else describe_time(float(seconds)),
        "Versions": ", ".join(f"{name} {v}" for name, v in fit.attribute("versions").items()),
    }
    table = pd.DataFrame({"": [str(value) for value in rows.values()]}, index=list(rows))
    yield Block("", table=table[table[""] != ""])
    notes = fit.attribute("notes").get("notes", [])
    if notes:
        yield Block("", "\n".join(f"- {note}" for note in notes), tone="warning")


OVERVIEW = ReportSection("overview", lambda fit: "What was fitted", summary)


def describe_time(seconds: float) -> str:
    """A duration in words.

    >>> describe_time(12.34), describe_time(150.0)
    ('12.3 seconds', '2 min 30 s')
    """
    if seconds < 100.0:
        return f"{seconds:.1f} seconds"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def describe_draws(tree: xr.DataTree) -> str:
    """The number of draws, or the kind of point estimate, in words."""
    sizes = tree["posterior"].sizes
    if not is_point(tree):
        chains, draws = sizes.get("chain", 1), sizes.get("draw", 1)
        plural = "chain" if chains == 1 else "chains"
        return f"{chains * draws:,} draws in {chains} {plural}"
    starts = tree["starts"].sizes.get("start", 0) if "starts" in tree.children else 0
    return f"one point, the best of {starts} starts" if starts > 1 else "one point"


def describe_data(tree: xr.DataTree) -> str:
    """Size and missing cells of the data of every observed site, in words."""
    emissions = facts_of(tree).emissions
    texts = [_describe(tree, emission) for emission in emissions]
    if len(emissions) == 1:
        return texts[0]
    return "; ".join(f"{e.site}: {text}" for e, text in zip(emissions, texts, strict=True))


def _describe(tree: xr.DataTree, emission: EmissionFacts) -> str:
    data = observed(tree, emission.site)
    if data is None:
        return "not stored in the tree"
    if emission.kind == "Series":
        return _describe_series(tree, emission, data)
    if emission.kind == "Graphs":
        return _describe_graphs(tree, emission, data)
    if emission.kind == "Tokens":
        codes = data.transpose("sequence", "position").values
        tokens = len(token_names(tree, emission.site))
        lengths = sequence_lengths(codes, tokens)
        return (
            f"{len(codes):,} sequences of {lengths.min()} to {lengths.max()} tokens "
            f"({lengths.sum():,} in all), {tokens} distinct tokens"
        )
    links = adjacency(tree, emission)
    if links is not None:
        return f"network of {facts_of(tree).units:,} {facts_of(tree).unit}s, {link_counts(links)}"
    features = f" × {data.sizes['feature']:,} features" if "feature" in data.dims else ""
    noun = emission.dims[0]
    weights = row_weights(tree)
    counted = "" if weights is None else f", which count {weights.sum():,.6g} times"
    known = row_labels(tree)
    told = "" if known is None else f", the cluster of {np.sum(known >= 0):,} of them given"
    of_things = _things(tree, emission) + _columns(tree, emission)
    return f"{data.sizes['row']:,} {noun}s{features}{of_things}{_missing(data)}{counted}{told}"


def _columns(tree: xr.DataTree, emission: EmissionFacts) -> str:
    """Tables that the program conditions on, such as covariates, and what their columns are."""
    if "constant_data" not in tree.children:
        return ""
    told = ""
    for name, values in tree["constant_data"].dataset.data_vars.items():
        if values.ndim == 2 and values.dims[0] == emission.dims[0]:
            columns = [str(column) for column in values[values.dims[1]].values]
            named = "" if columns[0].isdigit() else f" ({', '.join(columns[:MOST_COLUMNS])}"
            named += "" if not named else ", ...)" if len(columns) > MOST_COLUMNS else ")"
            told += f", {name} of {len(columns):,} columns{named}"
    return told


def _things(tree: xr.DataTree, emission: EmissionFacts) -> str:
    """How many items, annotators or documents the lines of the data are about.

    They are codes that the program conditions on, and axes of its sites.
    """
    if "constant_data" not in tree.children or len(emission.dims) != 1:
        return ""
    held = tree["constant_data"].dataset
    sizes: dict[str, int] = {}
    for group in ("responsibilities", "posterior"):
        if group in tree.children:
            sizes |= {str(dim): size for dim, size in tree[group].dataset.sizes.items()}
    about = [f"{sizes[str(name)]:,} {name}s" for name in held.data_vars if name in sizes]
    return f", of {' and '.join(about)}" if about else ""


def _describe_series(tree: xr.DataTree, emission: EmissionFacts, data: xr.DataArray) -> str:
    sequences = series(tree, emission.site)
    assert sequences is not None
    steps, features = sequence_steps(sequences), sequences.sizes["feature"]
    each = f"{features:,} feature" + ("s" if features > 1 else "")
    if len(steps) == 1:
        return f"1 sequence of {steps[0]:,} steps × {each}{_missing(data)}"
    lengths = f"{steps.min():,} to {steps.max():,} steps ({steps.sum():,} in all)"
    return f"{len(steps):,} sequences of {lengths} × {each}{_missing(data)}"


def _describe_graphs(tree: xr.DataTree, emission: EmissionFacts, data: xr.DataArray) -> str:
    width = bits_a_row(tree, emission)
    counts = graph_counts(data, width)
    nodes, edges = (counts.sel(feature=name).values for name in ("nodes", "edges"))
    return (
        f"{len(nodes):,} graphs of {nodes.min()} to {nodes.max()} nodes, {edges.mean():.1f} "
        f"edges on average, in breadth-first order in rows of {width} bits"
    )


def _missing(data: xr.DataArray) -> str:
    fraction = float(missing_cells(data.values).mean())
    return f", {fraction:.1%} of the cells missing" if fraction else ""
