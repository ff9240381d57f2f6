"""Checks of draws from an approximation: its mode, its starts, and its Pareto k."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ppl_models.diagnostics.findings import Finding
from ppl_models.posterior.labels.allocations import dataset_of

#: Pareto k above this: importance weights cannot correct the approximation. Yao, Vehtari, Simpson
#: and Gelman (2018), Yes, but did it work?, section 3.1.
PARETO_K = 0.7
#: A mode that is higher than the centre of the approximation by more nats is another mode.
MODE_NATS = 10.0
#: Bounds of short runs within this many nats plus this fraction of the best are of the same mode.
SAME_BOUND, SAME_SHARE = 3.0, 1e-3


def is_approximation(tree: xr.DataTree) -> bool:
    """Whether draws are independent draws of an approximation, on which chains always agree."""
    return "pareto_k" in tree.attrs


def approximation_findings(tree: xr.DataTree) -> list[Finding]:
    """Findings about an approximation."""
    return _mode(tree) + _starts(tree) + _shape(tree)


def _mode(tree: xr.DataTree) -> list[Finding]:
    """Whether EM finds a higher mode than the one that is approximated."""
    known = tree.attrs.get("log_joint_mode")
    if known is None:
        return []
    centre, known = float(tree.attrs["log_joint_centre"]), float(known)
    numbers = _numbers(tree)
    # draws of a normal posterior are on average half a nat per coordinate below its mode
    if known - centre > MODE_NATS + numbers:
        return [
            Finding(
                "problem",
                f"The approximation is at a poorer mode: the log posterior density is "
                f"{centre:.6g} at its centre and {known:.6g} at the mode that EM finds.",
                "Fit with more starts, or with another seed, or by method='gibbs' or 'nuts'.",
            )
        ]
    what = f"The approximation is at the best known mode ({known:.6g} by EM)."
    return [Finding("ok", what)]


def _numbers(tree: xr.DataTree) -> int:
    """Number of scalars of one draw."""
    posterior = dataset_of(tree, "posterior")
    return sum(v.size for v in posterior.isel(chain=0, draw=0).data_vars.values())


def _starts(tree: xr.DataTree) -> list[Finding]:
    """Whether starts agree on the bound."""
    starts = dataset_of(tree, "starts")
    if "bound_of_short_run" not in starts:
        if "log_joint_mode" in tree.attrs:
            return []
        what = "There was only one start, so nothing tells whether it found the best mode."
        return [Finding("warning", what, "Fit with starts=4.")]
    bounds = starts["bound_of_short_run"].values
    best = float(bounds.max())
    near = int((best - bounds <= SAME_BOUND + SAME_SHARE * abs(best)).sum())
    shown = ", ".join(f"{value:.6g}" for value in np.sort(bounds)[::-1])
    what = f"{near} of {len(bounds)} starts came near the best bound after short runs ({shown})."
    if near > 1 or "log_joint_mode" in tree.attrs:  # EM's starts have been compared, too
        return [Finding("ok", what)]
    advice = "Fit with more starts, until the best is reached several times."
    return [Finding("warning", what.replace("1 of", "Only one of", 1), advice)]


def _shape(tree: xr.DataTree) -> list[Finding]:
    """Pareto k of the importance weights."""
    shape, bound = float(tree.attrs["pareto_k"]), float(tree.attrs["evidence_bound"])
    if shape <= PARETO_K:
        what = f"The approximation covers its mode: Pareto k is {shape:.2f}, the bound {bound:.6g}."
        return [Finding("ok", what)]
    what = (
        f"The approximation differs from the posterior: Pareto k is {shape:.2f}, above {PARETO_K} "
        f"(the bound is {bound:.6g}). Means may serve; spreads and tails do not."
    )
    advice = "Fit with guide='full_rank', or by method='nuts' or 'gibbs'."
    return [Finding("warning", what, advice)]
