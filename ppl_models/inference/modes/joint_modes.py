"""Scales that a joint mode sets too small, or to zero.

The joint posterior density of effects u_1 ... u_J ~ Normal(m, τ) and of τ grows without bound where
all u_j = m and τ → 0, whatever the data: a point of the highest joint density tells nothing of τ.
Effects that a program has a value of per row are integrated out by EM; others, of groups of rows,
are not. Lindley and Smith (1972) §7.3; Gelman et al. (2013), Bayesian Data Analysis, §13.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpyro.distributions as dist

from ppl_models.inference.problem import Problem
from ppl_models.program.trace.sites import Site

JOINT_MODE_SCALES = "joint_mode_scales"  #: of a fit, as JSON
FEWEST_EFFECTS = 3  #: values under one prior, from which on its scale is a scale of them
NEXT_TO_ZERO = 1e-3  #: share of its prior's mass below a scale, up to which it went to zero


def joint_mode_scales(problem: Problem, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Positive sites that are scales of other sites' priors at a joint mode.

    Args:
        problem: program and data.
        values: of a point, ``(1, 1, ...)``.

    Returns:
        Scale -> the site whose prior it scales, and whether the scale went to zero.
    """
    sites = {site.name: site for site in problem.structure.sites}
    collapsed: dict[str, Any] = {}
    for name in sites:
        if name not in values or np.size(values[name]) < FEWEST_EFFECTS:
            continue
        prior = problem.example.priors.get(name)
        while isinstance(prior, dist.ExpandedDistribution | dist.Independent):
            prior = prior.base_dist
        if not any(hasattr(prior, parameter) for parameter in ("scale", "scale_tril")):
            continue
        for scale in sorted(problem.dependencies.get(name, ())):
            if scale in problem.free_sites or not _is_positive_number(sites.get(scale)):
                continue
            if scale in values:
                collapsed[scale] = [name, _went_to_zero(problem, scale, values[scale])]
    return collapsed


def _is_positive_number(site: Site | None) -> bool:
    if site is None or site.shape:
        return False
    support = site.support
    return getattr(support, "lower_bound", None) == 0 and not support.is_discrete


def _went_to_zero(problem: Problem, scale: str, value: np.ndarray) -> bool:
    """Whether hardly any of a scale's prior mass is below its value."""
    prior = problem.known_priors.get(scale)
    if prior is None:
        return False
    try:
        below = prior.cdf(np.asarray(value).reshape(()))
    except NotImplementedError:
        return False
    return bool(below < NEXT_TO_ZERO)
