"""Checks of a Hamiltonian sampler's statistics: divergences, tree depth, energy."""

from __future__ import annotations

import arviz_stats
import numpy as np
import xarray as xr

from ppl_models.diagnostics.findings import Finding
from ppl_models.posterior.labels.allocations import dataset_of
from ppl_models.program.arguments.json_text import from_json

#: More divergent transitions than this fraction are a problem; any is a warning (Betancourt 2017, A
#: conceptual introduction to Hamiltonian Monte Carlo, section 6.2).
DIVERGENT_FRACTION = 0.01
#: E-BFMI below this is low: Betancourt (2016), Diagnosing suboptimal cotangent disintegrations;
#: the threshold of Stan and ArviZ.
LOW_BFMI = 0.3
#: A larger fraction of transitions that end at the maximum tree depth is a warning.
SATURATED_FRACTION = 0.01


def sampler_findings(tree: xr.DataTree) -> list[Finding]:
    """Findings from ``sample_stats``; none if the sampler has no such statistics."""
    statistics = dataset_of(tree, "sample_stats")
    low = _low_energy_chains(statistics)
    return _divergences(statistics, low) + _energy(statistics, low) + _depth(tree, statistics)


def _divergences(statistics: xr.Dataset, low: list[int]) -> list[Finding]:
    """Divergent transitions; together with a low E-BFMI they indicate a funnel."""
    if "diverging" not in statistics:
        return []
    diverging = statistics["diverging"].values.astype(bool)
    count, fraction = int(diverging.sum()), float(diverging.mean())
    if not count:
        return [Finding("ok", "No transition diverged.")]
    shape = " and the energy hardly moves, as in a funnel" if low else ""
    return [
        Finding(
            "problem" if fraction > DIVERGENT_FRACTION or low else "warning",
            f"{count} transitions ({fraction:.2%}) diverged{shape}: the draws may miss a part of "
            "the posterior.",
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
            f"E-BFMI is below {LOW_BFMI} in chain {which}: the sampler explores the tails slowly.",
            "Reparameterise (a non-centred form), or warm up for longer.",
        )
    ]


def _depth(tree: xr.DataTree, statistics: xr.Dataset) -> list[Finding]:
    """Transitions that ended at the maximum tree depth."""
    if "reached_max_treedepth" not in statistics:
        return []
    fraction = float(statistics["reached_max_treedepth"].values.mean())
    if fraction <= SATURATED_FRACTION:
        return []
    deepest = from_json(tree.attrs["configuration"])["max_tree_depth"]
    return [
        Finding(
            "warning",
            f"{fraction:.1%} of the transitions ended at the maximum tree depth, {deepest}: "
            "sampling is inefficient, but not biased.",
            "Rescale the data or parameters, or raise max_tree_depth.",
        )
    ]
