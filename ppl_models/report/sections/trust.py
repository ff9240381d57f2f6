"""The section on whether the fit can be trusted: the diagnosis, and convergence in numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.inference.objective import Objective
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block, Tone
from ppl_models.report.section import ReportSection
from ppl_models.report.tables import number

WORST = 20  #: numbers of the table of convergence
STATISTICS = (
    "log_likelihood", "iterations", "converged", "collapsed", "best", "initialization",
)  # fmt: skip
COLUMNS = {
    "r_hat": "R-hat", "ess_bulk": "ESS (bulk)", "ess_tail": "ESS (tail)",
    "log_likelihood": "log-likelihood", "initialization": "initial values",
}  # fmt: skip
SAME = 1e-6  #: objectives that differ by less, relatively, are the same optimum


def verdict(fit: FittedModel) -> Iterator[Block]:
    """The verdict, the findings behind it, and the table of starts or of convergence."""
    diagnosis = fit.diagnosis
    severities = [finding.severity for finding in diagnosis.findings]
    tone: Tone = "ok"
    if not diagnosis.trustworthy:
        tone = "problem"
    elif "warning" in severities:
        tone = "warning"
    yield Block("", diagnosis.verdict, tone=tone)
    if diagnosis.findings:
        findings = [(f.severity, f.what, f.advice) for f in diagnosis.findings]
        table = pd.DataFrame(findings, columns=["", "Finding", "What to do"])
        if not table["What to do"].any():
            table = table.drop(columns="What to do")
        yield Block("", table=table)
    if fit.is_point:
        yield from starts_table(fit)
    elif diagnosis.table is not None and len(diagnosis.table):
        shown = min(WORST, len(diagnosis.table))
        text = (
            "R-hat near 1 means that the chains agree; the effective sample size (ESS) is the "
            "number of independent draws with the same Monte Carlo error. "
            f"Shown are the {shown} worst of {len(diagnosis.table)} quantities."
        )
        table = worst_first(diagnosis.table).head(WORST).rename(columns=COLUMNS)
        yield Block("Convergence by quantity", text, table=table, level=3)


TRUST = ReportSection("trust", lambda fit: "Can it be trusted?", verdict)


def worst_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by falling R-hat, then rising ESS, where there are such columns."""
    columns = [name for name in ("r_hat", "ess_bulk") if name in table]
    if not columns:
        return table
    return table.sort_values(columns, ascending=[name != "r_hat" for name in columns])


def starts_table(fit: FittedModel) -> Iterator[Block]:
    """How many starts reached the best objective, and the end of every start."""
    objective = fit.facts.objective
    if "starts" not in fit.tree.children or objective is None:
        return
    starts = fit.tree["starts"].to_dataset()
    final = final_objective(starts)
    best = float(np.nanmax(objective.sign * final)) * objective.sign
    reached = int((np.abs(final - best) <= SAME * max(1.0, abs(best))).sum())
    columns = {objective.name: final}
    for name in STATISTICS:
        if name in starts and starts[name].dims == ("start",):
            columns[COLUMNS.get(name, name)] = starts[name].values
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(final), name="start"))
    table = table.sort_values(objective.name, ascending=objective.direction == "minimise")
    yield Block("Starts", _agreement(fit, objective, reached, len(final), best), table=table,
                level=3)  # fmt: skip


def _agreement(
    fit: FittedModel, objective: Objective, reached: int, count: int, best: float
) -> str:
    extreme = "highest" if objective.direction == "maximise" else "lowest"
    starts = "The only start" if count == 1 else f"{reached} of {count} starts"
    text = f"{starts} reached the {extreme} {objective.name}, {number(best, 3)}. "
    if fit.tree.attrs.get("closed_form", 0):
        return text + "It is the only optimum, which has a closed form."
    return text + "The more starts agree, the less likely it is that a better optimum was missed."


def final_objective(starts: xr.Dataset) -> np.ndarray:
    """The last objective of every start (start,)."""
    if "final" in starts:
        return starts["final"].values.astype(float)
    objective = starts["objective"].transpose("start", "iteration").values
    return np.array([row[np.isfinite(row)][-1] if np.isfinite(row).any() else np.nan
                     for row in objective])  # fmt: skip
