"""Checks of a fit with draws: convergence, effective draws, labels, empty components.

The constants below are the thresholds, with their sources. A quantity is flagged at R-hat 1.01 only
if there are enough draws to distinguish 1.01 from chance.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models.diagnostics.approximation import approximation_findings, is_approximation
from ppl_models.diagnostics.components import component_findings
from ppl_models.diagnostics.findings import Finding
from ppl_models.diagnostics.label_invariants import convergence_table, invariants, numbers
from ppl_models.diagnostics.sampler import sampler_findings
from ppl_models.posterior.labels.allocations import (
    Allocations,
    Responsibilities,
    dataset_of,
)
from ppl_models.posterior.labels.methods import METHODS
from ppl_models.posterior.result.schema import cluster_weights, facts_of

#: Rank-normalised split R-hat above this is a warning: Vehtari, Gelman, Simpson, Carpenter and
#: Buerkner (2021), Rank-normalization, folding, and localization, Bayesian Analysis 16, section 4.
R_HAT_WARNING = 1.01
#: Above this it is a problem: half-way (in the excess) to the 1.1 of Gelman and Rubin (1992).
R_HAT_PROBLEM = 1.05
#: With fewer draws a chain, 1.05 is within chance, and only this is a problem.
R_HAT_PROBLEM_FEW_DRAWS = 1.3
ENOUGH_DRAWS = 100
#: Effective draws a chain below which there is a warning: the 400 for four chains of Vehtari et
#: al. (2021), section 4.
ESS_PER_CHAIN = 100
#: Total effective sample size below which there is a problem: the standard error of a mean is then
#: a tenth of the posterior standard deviation.
ESS_PROBLEM = 100
#: Chains whose means differ by this many within-chain standard deviations are in different modes.
MODE_GAP = 2.0
#: A component whose weight times the number of rows is below EMPTY_ROWS in more than EMPTY_SHARE
#: of the draws is empty.
EMPTY_ROWS = 1.0
EMPTY_SHARE = 0.5
#: A larger fraction of draws with ambiguous relabelling is a warning.
UNCLEAR_SHARE = 0.1


def examine_draws(
    tree: xr.DataTree, responsibilities: Responsibilities | None, seed: int
) -> tuple[list[Finding], pd.DataFrame]:
    """All findings about a fit with draws, and the table of R-hat and ESS."""
    allocations = Allocations(tree, responsibilities)
    quantities = invariants(
        allocations, responsibilities=allocations.computes_responsibilities, seed=seed
    )
    table = convergence_table(tree, quantities)
    chains, draws = allocations.shape
    invariant = table[table["kind"] != "component"]
    if invariant.empty and not allocations.components:
        invariant = table
    findings = _not_finite(tree) + _still(tree) + sampler_findings(tree)
    if is_approximation(tree):  # chains of independent draws agree even where the fit is poor
        findings += approximation_findings(tree)
        findings += _relabelling(tree) + _empty(allocations)
        return findings + component_findings(allocations), table
    agreement = _agreement(tree, quantities, invariant, chains, draws)
    findings += agreement
    if not any(finding.severity == "problem" for finding in agreement):
        findings += _effective_draws(table, chains)
        findings += _labels(tree, table, draws)
    findings += _relabelling(tree) + _empty(allocations) + component_findings(allocations)
    return findings, table


def _not_finite(tree: xr.DataTree) -> list[Finding]:
    """Draws that are not finite."""
    for name, variable in dataset_of(tree, "posterior").data_vars.items():
        if variable.dtype.kind == "f":
            values = variable.transpose("chain", "draw", ...).values
            finite = np.isfinite(values).reshape(values.shape[0] * values.shape[1], -1)
            bad = int((~finite.all(axis=1)).sum())
            if bad:
                return [
                    Finding(
                        "problem",
                        f"{bad} draws of {name} are not finite.",
                        "Use a tighter prior, or fit in float64.",
                    )
                ]
    return []


def _still(tree: xr.DataTree) -> list[Finding]:
    """Sites whose draws are all equal within every chain, which R-hat says nothing of."""
    posterior = dataset_of(tree, "posterior")
    sampled = dataset_of(tree, "log_prior").data_vars if "log_prior" in tree.children else ()
    still = []
    for name in (n for n in sampled if n in posterior.data_vars):
        values = posterior[name].transpose("chain", "draw", ...).values
        certain = values.ndim > 2 and values.shape[-1] == 1 and (values == 1).all()  # one weight
        if values.shape[1] > 1 and not certain and (values == values[:, :1]).all():
            still.append(f"'{name}'")
    if not still:
        return []
    noun, verb = ("Site", "stands") if len(still) == 1 else ("Sites", "stand")
    return [
        Finding(
            "problem",
            f"{noun} {', '.join(still)} {verb} still: all draws of a chain are equal.",
            "Do not use these draws: fit with another method or more warm-up, and hold a site "
            "that is meant to be known by fixed=.",
        )
    ]


def _agreement(
    tree: xr.DataTree, quantities: xr.Dataset, table: pd.DataFrame, chains: int, draws: int
) -> list[Finding]:
    """Whether chains agree on label-invariant quantities."""
    if chains < 2:
        return [
            Finding(
                "warning",
                "There is only one chain, so that modes that it missed cannot be detected.",
                "Fit with chains=4.",
            )
        ]
    r_hat = table["r_hat"].dropna()
    if r_hat.empty:
        return []
    worst, value = str(r_hat.idxmax()), float(r_hat.max())
    enough = draws >= ENOUGH_DRAWS
    if value > (R_HAT_PROBLEM if enough else R_HAT_PROBLEM_FEW_DRAWS):
        suspects = r_hat[r_hat > R_HAT_PROBLEM]
        stuck = _apart(numbers(tree, quantities), suspects, MODE_GAP + 4 / np.sqrt(draws))
        if stuck is not None:
            return [stuck]
        if enough:
            return [_unmixed(worst, value)]
    if not enough and value > R_HAT_PROBLEM:
        # with so few draws this is within chance; another finding reports too few draws
        return []
    if value > R_HAT_WARNING and enough:
        return [
            Finding(
                "warning",
                f"The chains have not fully mixed: R-hat of {worst} is {value:.3f}.",
                "Draw at least twice as many.",
            )
        ]
    return [Finding("ok", f"All {chains} chains agree: R-hat is at most {value:.3f} ({worst}).")]


def _apart(
    every: Iterable[tuple[str, str, np.ndarray]], r_hat: pd.Series, least: float
) -> Finding | None:
    """A finding about chains in different modes, by ``lp`` or what separates them best.

    Chains are separate at ``least`` within-chain standard deviations, which allows for the Monte
    Carlo error of the means.
    """
    gaps = {}
    for name, _, values in every:
        if name in r_hat.index:
            gaps[name] = _gap(values)
    wide = {name: gap for name, gap in gaps.items() if gap[0] > least}
    if not wide:
        return None
    name = "lp" if "lp" in wide else max(wide, key=lambda key: wide[key][0])
    _, apart, rest, low, high = wide[name]
    noun, verb = ("Chain", "sits") if len(apart) == 1 else ("Chains", "sit")
    return Finding(
        "problem",
        f"{noun} {', '.join(map(str, apart))} {verb} in another mode than "
        f"{', '.join(map(str, rest))}: the mean of {name} is {low:.6g} against {high:.6g} "
        f"(R-hat {r_hat[name]:.2f}).",
        "The draws cannot be pooled. Start chains from the best of many EM starts, run longer, "
        "or compare the modes by lp and report them separately.",
    )


def _gap(values: np.ndarray) -> tuple[float, list[int], list[int], float, float]:
    """The widest gap between sorted means of chains, and the chains on one side of it.

    The gap is in within-chain standard deviations. Returned are also the smaller group of chains,
    its mean, and the mean of the others.
    """
    means, spread = values.mean(axis=1), float(values.std(axis=1).mean())
    order = np.argsort(means, kind="stable")
    gaps = np.diff(means[order])
    cut = int(gaps.argmax()) + 1
    apart, rest = sorted([sorted(order[:cut].tolist()), sorted(order[cut:].tolist())], key=len)
    width = float(gaps.max()) / spread if spread > 0 else np.inf
    return width, apart, rest, float(means[apart].mean()), float(means[rest].mean())


def _unmixed(name: str, r_hat: float) -> Finding:
    """Chains that overlap but have not mixed."""
    return Finding(
        "problem",
        f"The chains have not mixed: R-hat of {name} is {r_hat:.2f}.",
        "Draw at least four times as many, with more warm-up; if R-hat stays, simplify the model "
        "or give it more informative priors.",
    )


def _effective_draws(table: pd.DataFrame, chains: int) -> list[Finding]:
    """Whether the effective sample sizes suffice, label-invariant quantities first."""
    label_free = table[table["kind"] != "component"]
    judged = label_free if len(label_free) else table
    if judged.empty:
        return []
    if judged[["ess_bulk", "ess_tail"]].isna().all(axis=None):
        return [
            Finding(
                "problem",
                "There are too few draws for R-hat or an effective sample size.",
                "Draw at least 1,000 a chain.",
            )
        ]
    sizes = judged[["ess_bulk", "ess_tail"]].min(axis=1)
    worst, value = sizes.idxmin(), float(sizes.min())
    what = f"{worst} has {value:.0f} effective draws"
    if value >= ESS_PER_CHAIN * chains:
        return [Finding("ok", f"There are enough draws: {what} at least.")]
    severity = "problem" if value < ESS_PROBLEM else "warning"
    factor = int(np.ceil(ESS_PER_CHAIN * chains / max(value, 1)))
    return [
        Finding(
            severity,
            f"There are too few draws: {what}, fewer than {ESS_PER_CHAIN * chains}.",
            f"Draw about {max(2, min(factor, 100))} times as many.",
        )
    ]


def _labels(tree: xr.DataTree, table: pd.DataFrame, draws: int) -> list[Finding]:
    """Component parameters that differ between chains whose invariants agree."""
    r_hat = table.loc[table["kind"] == "component", "r_hat"].dropna()
    if r_hat.empty:
        return []
    worst, value = r_hat.idxmax(), float(r_hat.max())
    enough = draws >= ENOUGH_DRAWS
    relabelled = "labels" in tree.children
    labels = facts_of(tree).labels
    if value > (R_HAT_PROBLEM if enough else R_HAT_PROBLEM_FEW_DRAWS):
        if not labels.classes:
            return [
                Finding(
                    "warning",
                    f"Components differ between chains: R-hat of {worst} is {value:.2f} although "
                    "the chains agree on all label-invariant quantities.",
                    "Draw more, or report label-free quantities (partition, co-assignment, "
                    f"density): the components cannot be relabelled, since {labels.reason}.",
                )
            ]
        if not relabelled:
            return [
                Finding(
                    "warning",
                    f"Labels have switched: R-hat of {worst} is {value:.2f} although the chains "
                    "agree on all label-invariant quantities.",
                    "Call relabel(tree) before interpreting single components.",
                )
            ]
        return [
            Finding(
                "warning",
                f"Relabelling has not resolved the components: R-hat of {worst} is {value:.2f} "
                "although the chains agree on all label-invariant quantities.",
                "Report label-free quantities (partition, co-assignment, density), try "
                "relabel(tree, 'stephens'), or fit fewer clusters.",
            )
        ]
    if value > R_HAT_WARNING and enough:
        return [
            Finding(
                "warning",
                f"Components have not fully mixed: R-hat of {worst} is {value:.3f}.",
                "Draw more, or interpret single components with care.",
            )
        ]
    return [Finding("ok", f"Components keep their labels: R-hat is at most {value:.3f}.")]


def _relabelling(tree: xr.DataTree) -> list[Finding]:
    """Whether the relabelling is ambiguous for many draws."""
    if "labels" not in tree.children:
        return []
    attributes = dataset_of(tree, "labels").attrs
    unclear = float(attributes.get("share_unclear", 0.0))
    if unclear <= UNCLEAR_SHARE:
        return [Finding("ok", f"Relabelling is clear-cut for {1 - unclear:.1%} of the draws.")]
    what = (
        f"Relabelling is not clear-cut for {unclear:.1%} of the draws: some components can hardly"
    )
    if not METHODS[attributes.get("method", "ecr")].by_rows:
        advice = "Order by a variable that tells components apart, or call relabel(tree, 'ecr')."
        return [Finding("warning", f"{what} be ordered.", advice)]
    advice = "Report label-free quantities, or fit fewer clusters."
    return [Finding("warning", f"{what} be told apart.", advice)]


def _empty(allocations: Allocations) -> list[Finding]:
    """Clusters that are empty in most draws."""
    clusters = allocations.facts.clusters
    weights = cluster_weights(allocations.tree)
    if weights is not None:
        counts = weights.values.reshape(-1, clusters) * allocations.unit_total
    elif (drawn := allocations.counts()) is not None:
        counts = drawn
    else:
        return []
    ranked = np.sort(counts, axis=1)
    empty = int(((ranked < EMPTY_ROWS).mean(axis=0) > EMPTY_SHARE).sum())
    if not empty:
        return [Finding("ok", f"All {clusters} components are in use.")]
    noun, verb = ("component", "is") if empty == 1 else ("components", "are")
    return [
        Finding(
            "warning",
            f"{empty} of {clusters} {noun} {verb} empty: less than one row is expected there in "
            "most draws.",
            f"Fit with {clusters - empty} clusters, unless spare components are meant to be empty.",
        )
    ]
