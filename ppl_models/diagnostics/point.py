"""What is wrong with a point: starts that disagree, no convergence, components that died."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.diagnostics.findings import Finding
from ppl_models.errors import InputError
from ppl_models.posterior.labels.allocations import cluster_count, dataset_of, unit_dimension

#: Starts whose objective is within this of the kept one's, relative, have reached it.
SAME_OBJECTIVE = 1e-6
#: A component with fewer expected rows is empty.
EMPTY_ROWS = 1.0
#: A component narrower than this share of the data's standard deviation has collapsed.
COLLAPSED = 1e-3
#: Methods whose scale is zero by construction.
HARD_METHODS = ("kmeans", "hard")


def examine_point(tree: xr.DataTree) -> tuple[list[Finding], pd.DataFrame]:
    """All findings about a point, and the table of starts."""
    table = starts_table(tree)
    options = _options(tree)
    alone = len(table) == 1 and bool(tree.attrs.get("closed_form", 0))
    findings = [] if alone else _starts(table, options)
    findings += _converged(table, options) + _empty(tree)
    if tree.attrs.get("method") not in HARD_METHODS:
        findings += _collapsed(tree) or _collapsed_start(table)
    return findings, table


def _options(tree: xr.DataTree) -> Mapping[str, Any]:
    """The method's options, by name, for advice must not name what the method has not."""
    options = json.loads(tree.attrs.get("configuration", "{}"))
    return options or dict.fromkeys(("starts", "iterations", "tolerance"))


def starts_table(tree: xr.DataTree) -> pd.DataFrame:
    """A row a start: the objective where it ended, ``iterations``, and what the method says.

    That is ``converged``, ``kept`` and, where the tree has it, ``collapsed``.
    """
    columns = ["objective", "iterations", "converged", "kept"]
    if "starts" not in tree.children:
        return pd.DataFrame(columns=columns)
    starts = dataset_of(tree, "starts")
    objective = starts["objective"].transpose("start", "iteration").values
    finite = np.isfinite(objective)
    last = np.where(finite.any(axis=1), objective.shape[1] - 1 - finite[:, ::-1].argmax(axis=1), 0)
    table = pd.DataFrame({"objective": objective[np.arange(len(objective)), last]})
    table["iterations"] = starts["iterations"].values if "iterations" in starts else last
    for name in ("converged", "collapsed", "kept"):
        if name in starts:
            table[name] = starts[name].values.astype(bool)
    table.index.name = "start"
    return table


def _starts(table: pd.DataFrame, options: Mapping[str, Any]) -> list[Finding]:
    """How many starts reached the kept one's objective."""
    if table.empty or "kept" not in table or not table["kept"].any():
        return []
    findings = []
    failed = int((~np.isfinite(table["objective"])).sum())
    if failed:
        findings.append(
            Finding(
                "warning",
                f"{failed} of {len(table)} starts ended without a number.",
                "Look for constant columns or far outliers in the data.",
            )
        )
    best = float(table.loc[table["kept"], "objective"].iloc[0])
    close = np.abs(table["objective"] - best) <= SAME_OBJECTIVE * max(1.0, abs(best))
    agreeing, count = int(close.sum()), len(table)
    if count == 1:
        what = "There was only one start, so nothing tells whether it found the best optimum."
        return [*findings, Finding("warning", what, _more_starts(options))]
    if agreeing == 1:
        what = f"Only one of {count} starts reached the best objective, {best:.6g}."
        advice = "Fit with more starts, until the best is reached several times."
        return [*findings, Finding("warning", what, advice)]
    what = f"{agreeing} of {count} starts reached the best objective, {best:.6g}."
    return [*findings, Finding("ok", what)]


def _more_starts(options: Mapping[str, Any]) -> str:
    """How to have another start than the one there was."""
    if "starts" not in options:  # DP-means starts from the mean of all rows
        return "Compare it with method='kmeans', of as many clusters and with starts=20."
    if options.get("centres") is not None:
        return "Leave centres out, and fit with starts=20."
    if (options["starts"] or 1) > 1:  # which the method would not take
        return "The method takes one start for this program: compare it with method='map'."
    return "Fit with starts=20."


def _converged(table: pd.DataFrame, options: Mapping[str, Any]) -> list[Finding]:
    """Whether the kept start converged."""
    if table.empty or "converged" not in table or "kept" not in table or not table["kept"].any():
        return []
    kept = table[table["kept"]].iloc[0]
    unit = "steps" if "steps" in options else "iterations"
    if kept["converged"]:
        return [Finding("ok", f"The kept start converged in {kept['iterations']} {unit}.")]
    what = f"The kept start had not converged after {kept['iterations']} {unit}."
    advice = f"Allow more {unit}{', or a larger tolerance' if 'tolerance' in options else ''}."
    return [Finding("problem", what, advice)]


def _empty(tree: xr.DataTree) -> list[Finding]:
    """Components with less than one expected row."""
    posterior, clusters = dataset_of(tree, "posterior"), cluster_count(tree)
    if not clusters or "weights" not in posterior:
        return []
    try:
        rows = unit_dimension(tree)[1]
    except InputError:
        return []
    weights = posterior["weights"].values.reshape(-1, clusters)[0]
    empty = np.flatnonzero(weights * rows < EMPTY_ROWS)
    if not len(empty):
        return [Finding("ok", f"All {clusters} components are in use.")]
    return [
        Finding(
            "warning",
            f"{_components(empty)} empty: less than one row is expected there.",
            f"Fit with {clusters - len(empty)} clusters.",
        )
    ]


def _collapsed(tree: xr.DataTree) -> list[Finding]:
    """Gaussian components that have shrunk to a point or a line."""
    posterior = dataset_of(tree, "posterior")
    spread = _data_spread(tree)
    if spread is None or not cluster_count(tree):
        return []
    width = None
    if "covariance" in posterior:
        covariance = posterior["covariance"].isel(chain=0, draw=0).values
        scaled = covariance / np.multiply.outer(spread, spread)
        width = np.sqrt(np.maximum(np.linalg.eigvalsh(scaled)[..., 0], 0))
    elif "scale" in posterior:
        scale = posterior["scale"].isel(chain=0, draw=0)
        values = scale.transpose("cluster", ...).values if "cluster" in scale.dims else scale.values
        width = (values / spread).min(axis=-1) if values.ndim == 2 else values / spread.min()
    if width is None:
        return []
    collapsed = np.flatnonzero(np.atleast_1d(width) < COLLAPSED)
    if not len(collapsed):
        return []
    return [
        Finding(
            "problem",
            f"{_components(collapsed)} collapsed, narrower in some direction than "
            f"{COLLAPSED:g} of the data's standard deviation.",
            "Give the scale a prior that keeps it from zero, or fit fewer clusters.",
        )
    ]


def _collapsed_start(table: pd.DataFrame) -> list[Finding]:
    """What the method itself says about the kept start."""
    if "collapsed" not in table or "kept" not in table:
        return []
    if not (table["collapsed"] & table["kept"]).any():
        return []
    return [
        Finding(
            "problem",
            "The kept start ended with a collapsed component.",
            "Give the scale a prior that keeps it from zero, or fit fewer clusters.",
        )
    ]


def _data_spread(tree: xr.DataTree) -> np.ndarray | None:
    """The standard deviation ``(feature)`` of real data, or None."""
    if "observed_data" not in tree.children:
        return None
    group = dataset_of(tree, "observed_data")
    site = tree.attrs.get("data_site", next(iter(group.data_vars), None))
    if site not in group.data_vars or group[site].dtype.kind != "f":
        return None
    values = group[site].values
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or np.isnan(values).all(axis=0).any():
        return None
    spread = np.nanstd(values, axis=0)
    return spread if (spread > 0).all() else None


def _components(indices: np.ndarray) -> str:
    """Component 1 is, components 0, 2 are."""
    which = ", ".join(map(str, indices))
    return f"Component {which} is" if len(indices) == 1 else f"Components {which} are"
