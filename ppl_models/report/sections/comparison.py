"""The section on numbers for the comparison with other fits of the same data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData

from ppl_models.data.missing import known_tokens
from ppl_models.plots.drawing.reading import is_point, observed, series, token_names
from ppl_models.posterior.result.schema import facts_of, row_weights
from ppl_models.report.fitted import FittedModel
from ppl_models.report.page import Block
from ppl_models.report.section import ReportSection
from ppl_models.report.sections.trust import final_objective
from ppl_models.report.tables import number


def numbers(fit: FittedModel) -> Iterator[Block]:
    """Leave-one-out for draws; objective, log-likelihood, AIC and BIC for a point."""
    if is_point(fit.tree):
        table = point_numbers(fit.tree)
        if len(table):
            text = (
                "AIC and BIC are −2 times the log-likelihood plus a penalty for every free "
                "parameter: lower is better, among fits of the same data."
            )
            yield Block("", text if "BIC" in table.index else "", table=table)
    elif fit.loo is not None:
        table, reliability = leave_one_out_tables(fit.loo, fit.facts.unit)
        text = (
            f"Leave-one-out cross-validation. ELPD is the log density of each {fit.facts.unit} "
            f"given all others, summed over the {fit.facts.unit}s: higher is better. Pareto k says "
            f"for which {fit.facts.unit}s the estimate is reliable."
        )
        emission = fit.facts.emission
        if emission.kind == "Categories" and emission.dims == (fit.facts.unit,):
            perplexity = np.exp(-fit.loo.elpd / fit.loo.n_data_points)
            table.loc["perplexity"] = [perplexity, perplexity * fit.loo.se / fit.loo.n_data_points]
            text += (
                f" Perplexity is exp(−ELPD / number of {fit.facts.unit}s): so many equally "
                "probable values would be as hard to predict."
            )
        yield Block("", text, table=table)
        yield Block("", table=reliability)


COMPARISON = ReportSection("comparison", lambda fit: "Numbers for model comparison", numbers)


def leave_one_out_tables(loo: ELPDData, unit: str = "row") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of ArviZ's leave-one-out estimates and of the rows by Pareto k."""
    estimates = pd.DataFrame(
        {"value": [loo.elpd, loo.p], "standard error": [loo.se, np.nan]},
        index=["ELPD (LOO)", "effective number of parameters"],
    )
    shapes = np.asarray(loo.pareto_k)
    edges = [-np.inf, loo.good_k, 1.0, np.inf]
    counts = np.histogram(shapes, edges)[0]
    names = [f"k ≤ {loo.good_k:.2f}: good", f"{loo.good_k:.2f} < k ≤ 1: bad",
             "k > 1: very bad"]  # fmt: skip
    table = pd.DataFrame({f"{unit}s": counts, "share": counts / max(1, shapes.size)}, index=names)
    return estimates, table


def point_numbers(tree: xr.DataTree) -> pd.DataFrame:
    """Objective, log-likelihood, free parameters, AIC and BIC of a point, if available.

    A cost that is minimised (k-means) is no density, so that there is no likelihood beside it.
    """
    facts, values = facts_of(tree), {}
    costs = facts.objective is not None and facts.objective.direction == "minimise"
    if facts.objective is not None and "starts" in tree.children:
        final = final_objective(tree["starts"].to_dataset())
        best = np.nanmax(final * facts.objective.sign) * facts.objective.sign
        values[facts.objective.name] = float(best)
    if "log_likelihood" in tree.children and not costs:
        densities = tree["log_likelihood"].to_dataset()[facts.emission.site]
        weights = row_weights(tree)
        counted = np.ones(densities.size) if weights is None else weights
        total = float(np.asarray(densities.values).reshape(-1) @ counted)
        count = observation_count(tree, counted)
        values["log-likelihood"] = total
        if "parameters" in tree.attrs:
            free = int(tree.attrs["parameters"])
            values |= {
                "free parameters": float(free),
                "AIC": 2.0 * free - 2.0 * total,
                "BIC": free * np.log(count) - 2.0 * total,
            }
    texts = [number(value, 3).removesuffix(".000") for value in values.values()]
    return pd.DataFrame({"value": texts}, index=list(values))


def observation_count(tree: xr.DataTree, counted: np.ndarray) -> float:
    """Number of observations in BIC: units, or observed steps of hidden Markov models.

    Args:
        tree: a fit.
        counted: how often each unit counts, ``(unit,)``.
    """
    facts, data = facts_of(tree), observed(tree)
    if not facts.states or data is None:
        return float(counted.sum())
    if facts.emission.kind == "Tokens":  # what comes after them is <end>
        seen = known_tokens(data.values, len(token_names(tree)))
        return float(seen.reshape(len(counted), -1).sum(1) @ counted)
    steps = series(tree)
    if steps is None:
        return float(counted.sum())
    seen = steps.notnull().any("feature").transpose("sequence", ...).values
    return float(seen.reshape(len(seen), -1).sum(1) @ counted)
