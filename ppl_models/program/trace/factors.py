"""The ``numpyro.factor`` of a program: of its global sites, of its rows, or all of its data."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from numpyro.distributions import ExpandedDistribution
from numpyro.distributions.distribution import MaskedDistribution, Unit

from ppl_models.errors import UnsupportedError
from ppl_models.program.trace.layout import Layout, plates_of


def _is_factor(distribution: Any) -> bool:
    while isinstance(distribution, ExpandedDistribution | MaskedDistribution):
        distribution = distribution.base_dist
    return isinstance(distribution, Unit)


def split_factors(
    samples: Mapping[str, Mapping[str, Any]], fixed: set[str]
) -> tuple[tuple[str, ...], dict[str, Mapping[str, Any]]]:
    """Names of the program's ``numpyro.factor``, and the sites that are observed data."""
    observed = {n: s for n, s in samples.items() if s["is_observed"] and n not in fixed}
    factors = tuple(n for n, s in observed.items() if _is_factor(s["fn"]))
    return factors, {n: s for n, s in observed.items() if n not in factors}


def likelihood_factors(factors: tuple[str, ...], parameters: Set[str]) -> tuple[str, ...]:
    """The factors that are called as data are, whose log-density they are then."""
    return tuple(n for n in factors if n in parameters)


def row_factors_of(
    factors: tuple[str, ...], samples: Mapping[str, Mapping[str, Any]], layout: Layout
) -> tuple[str, ...]:
    """The factors that have an entry a row; those of other plates are of the global sites."""
    lines, names = {axis for _, axis, _ in layout.lines}, []
    for name in factors:
        plates = plates_of(samples[name])
        if plates == {-1: layout.plate}:
            names.append(name)
        elif layout.plate in plates.values() or lines & set(plates.values()):
            raise UnsupportedError(
                f"factor '{name}' is within plates {', '.join(map(repr, plates.values()))}, not "
                "within that of the rows alone: sum it over the others for each "
                f"'{layout.plate}', and put it there"
            )
    return tuple(names)
