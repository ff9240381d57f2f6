"""Checks of a fit that is a point: starts that disagree, no convergence, components that died."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.data.missing import missing_cells
from ppl_models.diagnostics.components import component_findings
from ppl_models.diagnostics.findings import Finding
from ppl_models.distributions.registry import family_class
from ppl_models.inference.method import declaration
from ppl_models.inference.modes.joint_modes import JOINT_MODE_SCALES
from ppl_models.posterior.labels.allocations import Allocations, dataset_of
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.schema import (
    EmissionFacts,
    cluster_weights,
    emission_parameters,
    facts_of,
)
from ppl_models.program.arguments.json_text import from_json

#: Starts whose objective is within this relative distance of the best have reached it.
SAME_OBJECTIVE = 1e-6
#: With stochastic gradients: within a nat plus this fraction.
NOISE = 1e-4
#: A mode that is higher by more nats is another mode.
MODE_NATS = 3.0
#: A component with fewer expected rows is empty.
EMPTY_ROWS = 1.0
#: A component narrower than this fraction of the data's standard deviation has collapsed.
COLLAPSED = 1e-3


def examine_point(tree: xr.DataTree) -> tuple[list[Finding], pd.DataFrame]:
    """All findings about a point, and the table of starts."""
    table = starts_table(tree)
    options = from_json(tree.attrs["configuration"])
    only_optimum = len(table) == 1 and bool(tree.attrs.get("closed_form", 0))
    findings = [] if only_optimum else _starts(table, options)
    allocations = Allocations(tree)
    findings += (
        _joint_mode(tree)
        + _known_mode(tree, table)
        + _converged(table, options)
        + _empty(allocations)
    )
    findings += component_findings(allocations)
    # scales are not part of the objective of hard assignments, so that they may go to zero
    if facts_of(tree).assignments != "hard":
        findings += _collapsed(tree) or _collapsed_start(table)
    return findings, table


def _joint_mode(tree: xr.DataTree) -> list[Finding]:
    """Findings about values that are at their joint mode with the scale of their prior."""
    sites = facts_of(tree).locals
    advice = "Fit with method='nuts' or 'gibbs', which integrate them out."
    findings = []
    if sites and not declaration(tree.attrs["method"]).integrates_locals:
        unit, names = facts_of(tree).unit, " and ".join(f"'{site}'" for site in sites)
        what = (
            f"Every {unit} has its own value of {names}; the joint mode of these and the other "
            "sites underestimates their scales."
        )
        findings.append(Finding("problem", what, advice))
    for scale, (site, vanished) in from_json(tree.attrs.get(JOINT_MODE_SCALES, "{}")).items():
        what = (
            f"'{scale}' went to 0: where it does, the density of '{site}' grows without bound, "
            "whatever the data, and the point says nothing of either."
            if vanished
            else f"'{scale}' is a scale of '{site}', and both are at their joint mode, which "
            "underestimates it."
        )
        findings.append(Finding("problem" if vanished else "warning", what, advice))
    return findings


def starts_table(tree: xr.DataTree) -> pd.DataFrame:
    """A row per start: the last ``objective``, ``iterations``, ``converged``, ``best``.

    And ``collapsed``, if the method records it.
    """
    columns = ["objective", "iterations", "converged", "best"]
    if "starts" not in tree.children:
        return pd.DataFrame(columns=columns)
    starts = dataset_of(tree, "starts")
    objective = starts["objective"].transpose("start", "iteration").values
    finite = np.isfinite(objective)
    last = np.where(finite.any(axis=1), objective.shape[1] - 1 - finite[:, ::-1].argmax(axis=1), 0)
    table = pd.DataFrame({"objective": objective[np.arange(len(objective)), last]})
    table["iterations"] = starts["iterations"].values if "iterations" in starts else last
    for name in ("converged", "collapsed", "best"):
        if name in starts:
            table[name] = starts[name].values.astype(bool)
    table.index.name = "start"
    return table


def _starts(table: pd.DataFrame, options: Mapping[str, Any]) -> list[Finding]:
    """The number of starts that reached the best objective."""
    if table.empty or "best" not in table or not table["best"].any():
        return []
    findings = []
    failed = int((~np.isfinite(table["objective"])).sum())
    if failed:
        findings.append(
            Finding(
                "warning",
                f"{failed} of {len(table)} starts ended with NaN.",
                "Look for constant columns or extreme outliers in the data.",
            )
        )
    best = float(table.loc[table["best"], "objective"].iloc[0])
    close = np.abs(table["objective"] - best) <= _same(best, options)
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


def _same(best: float, options: Mapping[str, Any]) -> float:
    """The tolerance within which two objectives count as equal; larger for stochastic gradients."""
    if "learning_rate" in options:
        return 1.0 + NOISE * abs(best)
    return SAME_OBJECTIVE * max(1.0, abs(best))


def _known_mode(tree: xr.DataTree, table: pd.DataFrame) -> list[Finding]:
    """Whether EM finds a higher mode than the best start."""
    known = tree.attrs.get("log_joint_mode")
    if known is None or "best" not in table or not table["best"].any():
        return []
    objective, known = float(table.loc[table["best"], "objective"].iloc[0]), float(known)
    if known - objective <= MODE_NATS + NOISE * abs(known):
        return []
    return [
        Finding(
            "problem",
            f"The point is at a poorer mode: its log posterior density is {objective:.6g}, and "
            f"{known:.6g} at the mode that EM finds.",
            "Fit by method='em', or with a lower learning_rate and more starts and steps.",
        )
    ]


def _more_starts(options: Mapping[str, Any]) -> str:
    """Advice for more starts."""
    if "starts" not in options:  # DP-means starts from the mean of all rows
        return "Compare it with method='kmeans', of as many clusters and with starts=20."
    if options.get("centres") is not None:
        return "Leave centres out, and fit with starts=20."
    if (options["starts"] or 1) > 1:  # the method does not take more for this program
        return "The method takes one start for this program: compare it with method='map'."
    return "Fit with starts=20."


def _converged(table: pd.DataFrame, options: Mapping[str, Any]) -> list[Finding]:
    """Whether the best start converged."""
    if table.empty or "converged" not in table or "best" not in table or not table["best"].any():
        return []
    best = table[table["best"]].iloc[0]
    unit = "steps" if "steps" in options else "iterations"
    if best["converged"]:
        return [Finding("ok", f"The best start converged in {best['iterations']} {unit}.")]
    if best["iterations"] < options.get("iterations", 0):
        what = (
            f"The best start stands still after {best['iterations']} {unit} where the objective "
            "still rises: its estimates are no optimum."
        )
        return [Finding("problem", what, "Fit with more starts, or with precision='float64'.")]
    what = f"The best start had not converged after {best['iterations']} {unit}."
    advice = f"Allow more {unit}{', or a larger tolerance' if 'tolerance' in options else ''}."
    return [Finding("problem", what, advice)]


def _empty(allocations: Allocations) -> list[Finding]:
    """Clusters with less than one expected row."""
    weights = cluster_weights(allocations.tree)
    if weights is None:
        return []
    rows = weights.isel(chain=0, draw=0).values * allocations.unit_total
    empty, clusters = np.flatnonzero(rows < EMPTY_ROWS), allocations.facts.clusters
    if not len(empty):
        return [Finding("ok", f"All {clusters} components are in use.")]
    return [
        Finding(
            "warning",
            f"{_components(empty, allocations.tree, clusters)} empty: less than one row is "
            "expected there.",
            f"Fit with {clusters - len(empty)} clusters.",
        )
    ]


def _collapsed(tree: xr.DataTree) -> list[Finding]:
    """Gaussian components that have shrunk to a point or a line."""
    emission = facts_of(tree).emission
    deviations = _deviations(tree, emission)
    covariances = _covariances(tree, emission)
    if deviations is None or covariances is None:
        return []
    scaled = covariances / np.multiply.outer(deviations, deviations)
    widths = np.sqrt(np.maximum(np.linalg.eigvalsh(scaled)[..., 0], 0))
    narrowest = widths.reshape(len(widths), -1).min(axis=1)
    collapsed = np.flatnonzero(narrowest < COLLAPSED)
    if not len(collapsed):
        return []
    return [
        Finding(
            "problem",
            f"{_components(collapsed, tree, len(narrowest))} collapsed, narrower in some direction "
            f"than {COLLAPSED:g} of the data's standard deviation.",
            "Give the scale a prior that keeps it from zero, or fit fewer clusters.",
        )
    ]


def _covariances(tree: xr.DataTree, emission: EmissionFacts) -> np.ndarray | None:
    """Covariances ``(component, ..., feature, feature)``; None of families that declare none."""
    family: Any = family_class(emission.component_family or emission.family)
    component = emission.component_dim
    if component is None or family is None or family.component_picture != "ellipses":
        return None
    told = set(family.parameter_dims) - set(family.unreported_parameters)
    if not told <= set(emission.parameters):
        return None  # a parameter that differs from row to row, as in a regression
    point, arrays = emission_parameters(tree).isel(chain=0, draw=0), {}
    for name in emission.parameters:
        values = point[name]
        if component in values.dims:
            values = values.transpose(component, ...)
        elif name not in family.shared_parameters:  # the same for all, in this program
            values = values.expand_dims({component: point.sizes[component]})
        arrays[name] = values.values
    return family.component_moments(arrays)[1]


def _collapsed_start(table: pd.DataFrame) -> list[Finding]:
    """Whether the method itself recorded that the best start collapsed."""
    if "collapsed" not in table or "best" not in table:
        return []
    if not (table["collapsed"] & table["best"]).any():
        return []
    return [
        Finding(
            "problem",
            "The best start ended with a collapsed component.",
            "Give the scale a prior that keeps it from zero, or fit fewer clusters.",
        )
    ]


def _deviations(tree: xr.DataTree, emission: EmissionFacts) -> np.ndarray | None:
    """Standard deviations ``(feature,)`` of real data; of length one for a single feature.

    None for other data, or if a feature is constant.
    """
    data = dataset_of(tree, "observed_data")[emission.site]
    if data.dtype.kind != "f":
        return None
    features = data.sizes.get("feature", 1)
    values = data.transpose(..., "feature") if "feature" in data.dims else data
    flat = values.values.reshape(-1, features)
    if missing_cells(flat).all(axis=0).any():
        return None
    deviations = np.nanstd(flat, axis=0)
    return deviations if (deviations > 0).all() else None


def _components(indices: np.ndarray, tree: xr.DataTree, count: int) -> str:
    """Components with a verb: Component 1 is, Components 0, 2 are."""
    names = component_names(tree, count)
    which = ", ".join(names[k] for k in indices)
    return f"Component {which} is" if len(indices) == 1 else f"Components {which} are"
