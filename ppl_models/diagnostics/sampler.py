"""What a Hamiltonian sampler says about itself: divergences, tree depth, energy."""

from __future__ import annotations

import json

import arviz_stats
import numpy as np
import xarray as xr

from ppl_models.diagnostics.findings import Finding
from ppl_models.posterior.labels.allocations import dataset_of

#: More divergent transitions than this share are a problem; any is a warning (Betancourt 2017, A
#: conceptual introduction to Hamiltonian Monte Carlo, section 6.2).
DIVERGENT_SHARE = 0.01
#: E-BFMI below this is low: Betancourt (2016), Diagnosing suboptimal cotangent disintegrations;
#: the threshold of Stan and ArviZ.
LOW_BFMI = 0.3
#: More transitions than this share that end at the greatest tree depth are worth a warning.
SATURATED_SHARE = 0.01
#: NumPyro's greatest tree depth, when the tree's arguments name no other.
MAX_TREE_DEPTH = 10


def sampler_findings(tree: xr.DataTree) -> list[Finding]:
    """Findings from ``sample_stats``, none when the sampler left no such statistics."""
    if "sample_stats" not in tree.children:
        return []
    statistics = dataset_of(tree, "sample_stats")
    low = _low_energy_chains(statistics)
    return _divergences(statistics, low) + _energy(statistics, low) + _depth(tree, statistics)


def _divergences(statistics: xr.Dataset, low: list[int]) -> list[Finding]:
    """Divergent transitions; together with low energy they mean a funnel."""
    if "diverging" not in statistics:
        return []
    diverging = statistics["diverging"].values.astype(bool)
    count, share = int(diverging.sum()), float(diverging.mean())
    if not count:
        return [Finding("ok", "No transition diverged.")]
    shape = " and the energy hardly moves, as in a funnel" if low else ""
    return [
        Finding(
            "problem" if share > DIVERGENT_SHARE or low else "warning",
            f"{count} transitions ({share:.2%}) diverged{shape}: the sampler does not reach some "
            "part of the posterior.",
            "Raise target_accept to 0.95 or 0.99; if that does not help, reparameterise, or "
            "keep scales away from zero by their prior.",
        )
    ]


def _low_energy_chains(statistics: xr.Dataset) -> list[int]:
    """Chains whose E-BFMI is low."""
    if "energy" not in statistics or statistics.sizes["draw"] < 4:
        return []
    energy = statistics["energy"].transpose("chain", "draw").values
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = arviz_stats.bfmi(energy)
    return [int(chain) for chain in np.flatnonzero(np.asarray(fraction) < LOW_BFMI)]


def _energy(statistics: xr.Dataset, low: list[int]) -> list[Finding]:
    """Low E-BFMI, by chain."""
    if not low:
        return []
    which = ", ".join(map(str, low))
    return [
        Finding(
            "warning",
            f"E-BFMI is below {LOW_BFMI} in chain {which}: the tails are explored slowly.",
            "Reparameterise (a non-centred form), or warm up for longer.",
        )
    ]


def _depth(tree: xr.DataTree, statistics: xr.Dataset) -> list[Finding]:
    """Transitions that ended because the tree was full."""
    arguments = json.loads(tree.attrs.get("arguments", "{}") or "{}")
    depth = arguments.get("max_tree_depth", MAX_TREE_DEPTH) or MAX_TREE_DEPTH
    deepest = int(np.max(depth))
    if "tree_depth" in statistics:
        full = statistics["tree_depth"].values >= deepest
    elif "n_steps" in statistics:
        full = statistics["n_steps"].values >= 2**deepest - 1
    else:
        return []
    share = float(full.mean())
    if share <= SATURATED_SHARE:
        return []
    return [
        Finding(
            "warning",
            f"{share:.1%} of the transitions ended at the greatest tree depth, {deepest}: the "
            "sampler is slow, its draws are not wrong.",
            "Rescale the data or parameters, or raise max_tree_depth.",
        )
    ]
