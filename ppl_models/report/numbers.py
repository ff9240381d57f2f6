"""Numbers that compare this fit with others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDData

from ppl_models.plots.arviz_views import khat, leave_one_out, likelihood_name
from ppl_models.plots.choose import choose_plots
from ppl_models.plots.profiles import level_blocks
from ppl_models.plots.drawing.reading import family, feature_names, is_point, observed
from ppl_models.report.page import Block
from ppl_models.report.tables import number

HEADING = "Numbers for comparison"


def comparison_numbers(tree: xr.DataTree) -> Iterator[Block]:
    """The section with leave-one-out for draws, or likelihood, AIC and BIC for a point."""
    if is_point(tree):
        table = point_numbers(tree)
        if len(table):
            text = (
                "AIC and BIC are −2 log-likelihood plus a price for every free parameter: lower is "
                "better, among fits of the same data."
            )
            yield Block(HEADING, text if "BIC" in table.index else "", table=table)
        return
    if "khat" not in [name for name, _ in choose_plots(tree)]:
        return
    found = leave_one_out(tree)
    table, reliability = leave_one_out_tables(found)
    text = (
        "Leave-one-out cross-validation: ELPD is the log density that the fit gives to a row it "
        "has not seen, summed over rows (higher is better). Pareto k says for which rows the "
        "estimate is reliable."
    )
    yield Block(HEADING, text, table=table)
    yield Block(
        "",
        table=reliability,
        figures=(khat(tree, result=found),),
        captions=("Pareto k of every row; a large k is a row that the fit leans on.",),
    )


def leave_one_out_tables(found: ELPDData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ArviZ's LOO as a table of numbers and one of how many rows have which Pareto k."""
    numbers = pd.DataFrame(
        {"value": [found.elpd, found.p], "standard error": [found.se, np.nan]},
        index=["ELPD (LOO)", "effective number of parameters"],
    )
    shapes = np.asarray(found.pareto_k)
    edges = [-np.inf, found.good_k, 1.0, np.inf]
    counts = np.histogram(shapes, edges)[0]
    names = [f"k ≤ {found.good_k:.2f}: good", f"{found.good_k:.2f} < k ≤ 1: bad",
             "k > 1: very bad"]  # fmt: skip
    table = pd.DataFrame({"rows": counts, "share": counts / max(1, shapes.size)}, index=names)
    return numbers, table


def point_numbers(tree: xr.DataTree) -> pd.DataFrame:
    """Log-likelihood, number of free parameters, AIC and BIC of a point, as far as they exist."""
    numbers: dict[str, float] = {}
    statistics = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else {}
    if "inertia" in statistics:
        numbers["J, sum of squared distances to the centres"] = float(statistics["inertia"].mean())
    if "lp" in statistics and family(tree) != "centres":
        numbers["log joint density"] = float(statistics["lp"].mean())
    if "log_likelihood" in tree.children and family(tree) != "centres":
        values = tree["log_likelihood"][likelihood_name(tree)]
        total, units = float(values.sum()), _units(tree, values.size)
        numbers["log-likelihood"] = total
        free = free_parameters(tree)
        if free is not None:
            numbers |= {
                "free parameters": float(free),
                "AIC": 2.0 * free - 2.0 * total,
                "BIC": free * np.log(units) - 2.0 * total,
            }
    texts = [number(value, 3).removesuffix(".000") for value in numbers.values()]
    return pd.DataFrame({"value": texts}, index=list(numbers))


def _units(tree: xr.DataTree, sequences: int) -> int:
    """Observations in BIC: rows, or steps that were observed of sequences with hidden states."""
    data = observed(tree)
    if family(tree) != "hidden" or data is None:
        return sequences
    if "feature" not in data.dims:  # tokens; what comes after them is <end>
        end = tree["posterior"].sizes.get("token", np.inf)
        return int(((data.values >= 0) & (data.values < end)).sum())
    return int(np.isfinite(data.values.astype(float)).any(-1).sum())


def free_parameters(tree: xr.DataTree) -> int | None:
    """The number of free parameters of a built-in family; None for others.

    A symmetric matrix counts its triangle, probabilities that add up to one count one less.
    """
    if "parameters" in tree.attrs:  # counted from the program's own sites
        return int(tree.attrs["parameters"])
    kind = family(tree)
    if kind == "other":
        return None
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=0)
    if kind == "chain":
        tokens = posterior.sizes["token"]
        return tokens - 1 + tokens * (posterior.sizes["next_token"] - 1)
    total = posterior.sizes["cluster"] - 1
    for name in ("loc", "scale", "rate"):
        total += posterior[name].size if name in posterior else 0
    if "covariance" in posterior:
        side = posterior.sizes["feature"]
        total += posterior["covariance"].size // side**2 * (side * (side + 1) // 2)
    if "probs" in posterior:
        total += _free_probabilities(posterior["probs"])
    return total


def _free_probabilities(probs: xr.DataArray) -> int:
    if "level" not in probs.dims:
        return probs.size
    levels = feature_names(probs, "level")
    return probs.sizes["cluster"] * (len(levels) - len(level_blocks(levels)))
