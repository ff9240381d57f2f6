"""Starts with a finite density, and a refusal where data have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.distributions.convert import is_own
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure


def may_lack_density(problem: Problem) -> bool:
    """Whether an emission is foreign: families of this package have a density on all data."""
    return not all(is_own(emission) for emission in problem.example.emissions.values())


def finite_starts(problem: Problem, starts: Mapping[str, Any]) -> np.ndarray:
    """Which starts have a finite density, ``(start,)``.

    Args:
        problem: program and data.
        starts: global sites, ``(start, ...)``.

    Raises:
        InputError: none has; what the density is at the first, and which row makes it so.
    """
    priors, rows = (
        np.asarray(v) for v in _densities(problem.model, dict(starts), structure=problem.structure)
    )
    weights = problem.model.weights
    counted = np.ones(rows.shape[1], bool) if weights is None else np.asarray(weights) > 0
    finite = np.isfinite(priors) & (np.isfinite(rows) | ~counted).all(1)
    if finite.any():
        return finite
    if not np.isfinite(priors[0]):
        raise InputError(
            f"no start has a finite density: the prior's logarithm is {priors[0]} there; look for "
            "a prior whose arguments depend on other sites and leave their range"
        )
    wrong = ~np.isfinite(rows[0]) & counted
    raise InputError(
        f"no start has a finite density: that of {wrong.sum()} of {counted.sum()} rows has the "
        f"logarithm {rows[0][wrong.argmax()]} there, the first of them row {wrong.argmax()}; look "
        "for an emission whose support excludes such rows, or for a parameter that leaves its range"
    )


@quickly(static=("structure",))
def _densities(model: Model, starts: Globals, *, structure: Structure) -> tuple[Array, Array]:
    """Log prior density ``(start,)`` and log-densities of rows ``(start, row)``."""

    def one(values: Globals) -> tuple[Array, Array]:
        rows = logsumexp(model.logits(values, structure), axis=0)
        return model.pieces(values, structure).log_prior, rows

    return jax.lax.map(one, starts)
