"""What the limits of spherical Gaussian mixtures share: k-means and DP-means."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.capabilities import (
    ASSIGNMENT,
    PLAIN_PRIORS,
    STATISTICS,
    UNSCALED,
)
from ppl_models.inference.method import Capability, Lack
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import prior_modes


def _no_sphere(problem: Problem) -> Lack | None:
    if len(problem.families) != 1:
        return Lack(f"there are {len(problem.families)} observed sites")
    ((name, family),) = problem.families.items()
    if family.distance_scale is not None:
        return None
    chosen = "covariance" in inspect.signature(problem.model.function).parameters
    gaussian = family.component_picture == "ellipses" and not family.last_is_noise
    advice = "give covariance='spherical'" if chosen and gaussian else ""
    return Lack(f"site '{name}' emits from {type(family).__name__}", advice)


def _missing_cells(problem: Problem) -> Lack | None:
    for name, missing in problem.chunks.missing:
        if missing:
            return Lack(f"site '{name}' has missing cells, which have no distance")
    return None


def _held_sites(problem: Problem) -> Lack | None:
    held = [*problem.model.fixed, *problem.model.partly]
    return Lack(f"site '{held[0]}' is held by fixed=") if held else None


FREE_SITES = Capability("sites that nobody holds", _held_sites)
SPHERE = Capability("one spherical Gaussian emission, whose limit it is", _no_sphere)
COMPLETE_ROWS = Capability("complete rows", _missing_cells)
SPHERES = (*STATISTICS, ASSIGNMENT, UNSCALED, PLAIN_PRIORS, FREE_SITES, SPHERE, COMPLETE_ROWS)


@jax.jit
def log_density(family: ExponentialFamily, rows: Array, centre: Array) -> Array:
    """Log-densities of rows ``(cluster, row)``; of the unit sphere, squared distances."""
    return family.contract(rows, missing=False, centre=centre)


def point_of_spheres(problem: Problem, by_parameter: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Values of the global sites ``(1, 1, ...)`` from those of the emission's parameters.

    Rates of other sites' priors are at their modes given these.

    Args:
        problem: program and data.
        by_parameter: "loc", "scale", and "probs" of the assignment.
    """
    values = {}
    for link in problem.parameter_map.links:
        site = next(s for s in problem.structure.sites if s.name == link.site)
        values[link.site] = np.broadcast_to(by_parameter[link.parameter], site.shape)
    values_of_sites = prior_modes(problem.model, problem.structure, problem.parameter_map, values)
    return {n: np.array(v)[None, None] for n, v in values_of_sites.items()}
