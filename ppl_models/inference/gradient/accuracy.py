"""How near a guide is to the posterior: its evidence bound, and the tail of importance weights.

Draws θ_s of a guide q have the weights w_s = p(x, θ_s) / q(θ_s). Their mean logarithm is the
evidence lower bound. The shape k of a Pareto distribution fitted to the largest of them says
whether the draws cover the posterior where they lie: above 0.7 they do not. Yao, Vehtari, Simpson
and Gelman (2018), Yes, but did it work? Of modes that the guide does not reach it knows nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import arviz_stats  # noqa: F401  the accessor of xarray
import jax
import numpy as np
import xarray as xr
from jax import Array, random

from ppl_models.inference.gradient.batches import make_batches
from ppl_models.inference.gradient.guides import Guide, Params
from ppl_models.inference.gradient.steps import total_log_density
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly

DRAWS = 200  #: of the guide, by which it is judged
PASSES = 50_000_000  #: rows × draws beyond which fewer draws are taken
FEWEST = 25  #: draws without which no bound is estimated


def log_weights(problem: Problem, guide: Guide, params: Params, key: Array) -> np.ndarray:
    """Logarithms of the importance weights of draws of a guide, ``(draw,)``.

    Args:
        problem: program and data.
        guide: the approximation.
        params: of it.
        key: random key: guides that are compared are given the same one.
    """
    rows = problem.structure.rows
    count = int(np.clip(PASSES // rows, FEWEST, DRAWS))
    batches = make_batches(problem, np.arange(rows), min(rows, 10_000), 0)
    keys = random.split(key, count)
    values, rest = _draws(problem.model, params, keys, problem.known_priors, guide=guide)
    log_likelihood = [
        total_log_density(problem, {n: v[i] for n, v in values.items()}, batches)
        for i in range(count)
    ]
    return np.asarray(rest) + np.array(log_likelihood)


@quickly(static=("guide",))
def _draws(
    model: Model, params: Params, keys: Array, known: Mapping[str, Any], *, guide: Guide
) -> tuple[Globals, Array]:
    """Draws of the global sites, and their weights but for the likelihood."""

    def one(key: Array) -> tuple[Globals, Array]:
        values, weight = guide.weighted_values(params, key)
        return values, model.pieces(values, guide.structure, known).log_prior + weight

    return jax.lax.map(one, keys)


def bound(weights: np.ndarray) -> float:
    """The evidence lower bound from log-weights; ``-inf`` where one is not finite.

    >>> bound(np.array([-1.0, -3.0]))
    -2.0
    """
    return float(weights.mean()) if np.isfinite(weights).all() else -np.inf


def pareto_shape(weights: np.ndarray) -> float:
    """Pareto k of log-weights, by ArviZ; infinite where one is not finite.

    >>> pareto_shape(np.random.default_rng(0).normal(size=200)) < 0.7
    True
    """
    if not np.isfinite(weights).all():
        return np.inf
    if np.ptp(weights) < 1e-6 * (1 + np.abs(weights).max()):
        return -np.inf  # the guide is the posterior: equal weights have no tail
    ratios = xr.DataArray(weights[None], dims=("chain", "draw"))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        return float(ratios.azstats.psislw(dim=["chain", "draw"])[1])
