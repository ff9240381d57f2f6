"""Diagnosis of the groups of `fit_many`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.diagnostics.diagnose import Diagnosis, concluded
from ppl_models.diagnostics.draws import (
    ENOUGH_DRAWS,
    ESS_PER_CHAIN,
    ESS_PROBLEM,
    R_HAT_PROBLEM,
    R_HAT_PROBLEM_FEW_DRAWS,
    R_HAT_WARNING,
    UNCLEAR_SHARE,
)
from ppl_models.diagnostics.findings import Finding
from ppl_models.posterior.labels.convergence import convergence
from ppl_models.program.arguments.json_text import from_json

DOUBTS = {
    "failed": ("problem", "have no fit", "read tree['groups']['failure']"),
    "chains disagree": (
        "problem",
        "have chains that do not agree in the log density",
        "raise warmup and draws, or look at the group alone: diagnose(group(tree, label))",
    ),
    "few effective draws": (
        "problem",
        f"have fewer than {ESS_PROBLEM} effective draws of the log density",
        "raise draws",
    ),
    "collapsed": (
        "problem",
        "collapsed a component onto too few rows",
        "use fewer clusters, or priors='program'",
    ),
    "not converged": ("warning", "did not converge", "raise iterations"),
    "slow mixing": (
        "warning",
        f"have an R-hat above {R_HAT_WARNING}, or fewer than {ESS_PER_CHAIN} effective draws of "
        "the log density a chain",
        "raise draws",
    ),
    "labels unclear": (
        "warning",
        f"have more than {UNCLEAR_SHARE:.0%} of draws whose labels are not clear-cut",
        "read quantities that do not depend on labels, or use fewer clusters",
    ),
    "one start": (
        "warning",
        "came to their best optimum from one start alone",
        "raise starts",
    ),
}


def diagnose_groups(tree: xr.DataTree) -> Diagnosis:
    """Diagnose the groups of `fit_many`.

    Of draws, R-hat and effective draws are those of the log density, which no labelling changes;
    ``diagnose(group(tree, label))`` looks at everything of one group.

    Args:
        tree: what ``fit_many`` returned.

    Returns:
        A diagnosis whose table has a row a group, the doubtful ones first, and says why.
    """
    table = tree["groups"].to_dataset().to_dataframe().drop(columns="failure")
    draws = tree.attrs["kind"] == "draws"
    doubts: dict[str, np.ndarray] = {"failed": ~table["fitted"].to_numpy(bool)}
    fitted = ~doubts["failed"]
    if draws:
        lp = tree["sample_stats"].to_dataset()[["lp"]]
        rhat, ess = convergence(lp)
        table["r_hat"], table["ess"] = rhat["lp"].values, ess["lp"].values
        chains, count = lp.sizes["chain"], lp.sizes["draw"]
        most = R_HAT_PROBLEM if count >= ENOUGH_DRAWS else R_HAT_PROBLEM_FEW_DRAWS
        doubts["chains disagree"] = fitted & ~(table["r_hat"].to_numpy() <= most)
        doubts["few effective draws"] = fitted & ~(table["ess"].to_numpy() >= ESS_PROBLEM)
        worse = doubts["chains disagree"] | doubts["few effective draws"]
        slow = (table["r_hat"].to_numpy() > R_HAT_WARNING) & (count >= ENOUGH_DRAWS)
        slow |= table["ess"].to_numpy() < ESS_PER_CHAIN * chains
        doubts["slow mixing"] = fitted & slow & ~worse
        if "unclear" in table:
            doubts["labels unclear"] = fitted & (table["unclear"].to_numpy() > UNCLEAR_SHARE)
        drawn = ("converged", "iterations", "collapsed", "objective", "starts_at_best")
        table = table.drop(columns=[c for c in drawn if c in table])  # those of the search
    else:
        if "collapsed" in table:
            doubts["collapsed"] = fitted & (table["collapsed"].to_numpy() == 1)
        if "converged" in table:
            doubts["not converged"] = fitted & (table["converged"].to_numpy() == 0)
        if "starts_at_best" in table and _several_starts(tree):
            doubts["one start"] = fitted & (table["starts_at_best"].to_numpy() == 1)
    findings = []
    for name, which in doubts.items():
        severity, what, advice = DOUBTS[name]
        if which.any():
            labels = ", ".join(map(str, table.index[which][:5]))
            more = ", ..." if which.sum() > 5 else ""
            told = f"{which.sum()} of {len(table)} groups {what}: {labels}{more}"
            findings.append(Finding(severity, told, advice))
    names = np.array(list(doubts))
    marks = np.stack(list(doubts.values()), 1)
    table["doubt"] = ["; ".join(names[row]) for row in marks]
    order = np.argsort(-marks.sum(1), kind="stable")
    if not findings:
        findings = [Finding("ok", f"all {len(table)} groups are in order")]
    return concluded(findings, pd.DataFrame(table.iloc[order]))


def _several_starts(tree: xr.DataTree) -> bool:
    return int(from_json(tree.attrs["configuration"]).get("starts") or 1) > 1
