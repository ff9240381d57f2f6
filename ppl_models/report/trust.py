"""What was fitted, and whether it can be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.plots.drawing.graph_counts import bits_a_row, graph_counts
from ppl_models.plots.drawing.predictive_tokens import sequence_lengths
from ppl_models.plots.drawing.reading import is_point, observed, sequence_steps, series, token_names
from ppl_models.report.page import Block, Tone
from ppl_models.report.tables import number

WORST = 20


def attribute(tree: xr.DataTree, name: str) -> dict:
    """A JSON attribute as a dictionary; empty when it is missing."""
    text = tree.attrs.get(name, "")
    found = json.loads(text) if isinstance(text, str) and text else text
    return found if isinstance(found, dict) else {}


def facts(tree: xr.DataTree) -> Iterator[Block]:
    """The section that names program, data, method, seed, time and versions."""
    attributes = tree.attrs
    seconds = attributes.get("wall_time_seconds")
    rows = {
        "Program": attributes.get("program", "unknown"),
        "Data": describe_data(tree),
        "Method": f"{attributes.get('method', 'unknown')}, {describe_draws(tree)}",
        "Seed": attributes.get("seed", "unknown"),
        "Precision": attributes.get("precision", "unknown"),
        "Time": "unknown" if seconds is None else describe_time(float(seconds)),
        "Versions": ", ".join(f"{name} {v}" for name, v in attribute(tree, "versions").items()),
    }
    table = pd.DataFrame({"": [str(value) for value in rows.values()]}, index=list(rows))
    yield Block("What was fitted", table=table[table[""] != ""])
    notes = attribute(tree, "notes").get("notes", [])
    if notes:
        yield Block("", "\n".join(f"- {note}" for note in notes), tone="warning")


def describe_time(seconds: float) -> str:
    """A duration as people say it.

    >>> describe_time(12.34), describe_time(150.0)
    ('12.3 seconds', '2 min 30 s')
    """
    if seconds < 100.0:
        return f"{seconds:.1f} seconds"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def describe_data(tree: xr.DataTree) -> str:
    """Size and missing cells of the data in words."""
    data = observed(tree)
    if data is None:
        return "not kept in the tree"
    whole = series(tree)
    if whole is not None:
        steps, features = sequence_steps(whole), whole.sizes["feature"]
        count = f"{len(steps):,} sequences" if len(steps) > 1 else "1 sequence"
        missing = float(np.isnan(data.values.astype(float)).mean())
        return (
            f"{count} of {steps.min():,} to {steps.max():,} steps ({steps.sum():,} in all) × "
            f"{features:,} features" if len(steps) > 1 else
            f"{count} of {steps.max():,} steps × {features:,} features"
        ) + (f", {missing:.1%} of the cells missing" if missing else "")  # fmt: skip
    width = bits_a_row(tree)
    if width is not None:
        counts = graph_counts(data, width)
        nodes, edges = (counts.sel(feature=name).values for name in ("nodes", "edges"))
        return (
            f"{len(nodes):,} graphs of {nodes.min()} to {nodes.max()} nodes, {edges.mean():.1f} "
            f"edges on average, in breadth-first order in rows of {width} bits"
        )
    if "position" in data.dims:
        codes = data.transpose("sequence", "position").values
        tokens = len(token_names(tree))
        lengths = sequence_lengths(codes, tokens)
        return (
            f"{len(codes):,} sequences of {lengths.min()} to {lengths.max()} tokens "
            f"({lengths.sum():,} in all), {tokens} distinct tokens"
        )
    values = data.values
    shape = f"{data.sizes['row']:,} rows" + (
        f" × {data.sizes['feature']:,} features" if "feature" in data.dims else ""
    )
    missing = np.isnan(values).mean() if values.dtype.kind == "f" else 0.0
    return shape + (f", {missing:.1%} of the cells missing" if missing else "")


def describe_draws(tree: xr.DataTree) -> str:
    """How many draws, or which point, in words."""
    sizes = tree["posterior"].sizes
    if not is_point(tree):
        chains, draws = sizes.get("chain", 1), sizes.get("draw", 1)
        plural = "chain" if chains == 1 else "chains"
        return f"{chains * draws:,} draws in {chains} {plural}"
    starts = tree["starts"].sizes.get("start", 0) if "starts" in tree.children else 0
    return f"one point, the best of {starts} starts" if starts > 1 else "one point"


def trust(tree: xr.DataTree) -> Iterator[Block]:
    """The section that says in words whether the fit can be trusted."""
    from ppl_models.diagnostics.diagnose import diagnose

    found = diagnose(tree)
    severities = [finding.severity for finding in found.findings]
    tone: Tone = (
        "problem" if not found.trustworthy else "warning" if "warning" in severities else "ok"
    )
    yield Block("Can it be trusted?", found.verdict, tone=tone)
    if found.findings:
        findings = [(f.severity, f.what, f.advice) for f in found.findings]
        table = pd.DataFrame(findings, columns=["", "What was found", "What to do"])
        if not table["What to do"].any():
            table = table.drop(columns="What to do")
        yield Block("", table=table)
    if is_point(tree):
        yield from starts_table(tree)
    elif found.table is not None and len(found.table):
        text = (
            "R-hat near 1 means that the chains agree; the effective sample sizes (ESS) say how "
            "many independent draws the chains are worth. "
        )
        text += f"The {min(WORST, len(found.table))} worst of {len(found.table)} numbers:"
        table = worst_first(found.table).head(WORST)
        yield Block("Convergence, number by number", text, table=table, level=3)


def worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by falling R-hat, then rising ESS, where there are such columns."""
    columns = [name for name in ("r_hat", "ess_bulk") if name in table]
    if not columns:
        return table
    return table.sort_values(columns, ascending=[name != "r_hat" for name in columns])


def starts_table(tree: xr.DataTree) -> Iterator[Block]:
    """How many starts reached the best, and every start's end."""
    if "starts" not in tree.children:
        return
    starts = tree["starts"].to_dataset()
    final = final_objective(starts)
    best = np.nanmax(final)
    reached = int((final >= best - 1e-6 * max(1.0, abs(best))).sum())
    columns = {"objective": final}
    for name in ("log_likelihood", "iterations", "converged", "collapsed", "kept", "origin"):
        if name in starts and starts[name].dims == ("start",):
            columns[name] = starts[name].values
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(final), name="start"))
    table = table.sort_values("objective", ascending=False)
    together = "1 start" if len(final) == 1 else f"{len(final)} starts"
    text = f"Of {together}, {reached} reached the best objective, {number(best, 3)}. "
    text += (
        "It is the only optimum, which the method has in closed form."
        if tree.attrs.get("closed_form", 0)
        else "The more of them agree, the less likely it is that a better one was missed."
    )
    yield Block("Starts", text, table=table, level=3)


def final_objective(starts: xr.Dataset) -> np.ndarray:
    """The last objective of every start (start), signed so that larger is better."""
    objective = starts["objective"].transpose("start", "iteration").values
    last = np.array([row[np.isfinite(row)][-1] if np.isfinite(row).any() else np.nan
                     for row in objective])  # fmt: skip
    falls = np.nansum(last - objective[:, 0]) < 0
    return -last if falls else last
