"""Data drawn from the posterior and from the prior, and the prior's draws, when first read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ppl_models import memory
from ppl_models.data.kinds import Observed
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.build.axes import Axes
from ppl_models.posterior.build.on_first_use import FirstUse
from ppl_models.posterior.simulate.predictive import draw_again, prior_draws, priors_are_drawable
from ppl_models.program.runtime.keys import split_apart


def predictive_groups(
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    key: Array,
    count: int,
    axes: Axes,
    notes: list[str],
) -> dict[str, xr.Dataset]:
    """``posterior_predictive``, ``prior`` and ``prior_predictive``; what has none, and a note.

    Args:
        problem: program and data.
        result: of the method.
        observed: the data as they were read, with coordinates.
        key: random key.
        count: draws.
        axes: of the sites.
        notes: to which is added why a group is left out.
    """
    cells = sum(o.values.size for o in observed.values())
    count = min(count, max(1, memory.KEPT_PREDICTIVE // max(cells, 1)))
    if count < 1:
        return {}
    if problem.model.weights is not None:
        notes.append(
            "no predictive draws: rows count several times, and drawn ones once; "
            "generate(tree, rows) draws rows"
        )
        return {}
    if problem.structure.undrawable:
        factor = problem.structure.undrawable[0]
        notes.append(f"no predictive draws: factor '{factor}' does not say how rows are drawn")
        return {}
    if problem.own_data is not None:
        notes.append(f"no predictive draws: {problem.own_data.reason}")
        return {}
    first, second = split_apart(key)
    # (rows' own continuous sites are drawn anew, as assignments are)
    sites = {n: v for n, v in result.values.items() if n not in problem.structure.locals}
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in sites.items()}
    total = len(next(iter(flat.values()))) if flat else 1
    # a point predicts as often as draws do: each predictive draw is new data from it
    chosen = np.linspace(0, total - 1, count).astype(int)
    values = {n: v[chosen] for n, v in flat.items()}

    def replicated() -> dict[str, Any]:
        drawn = draw_again(problem, values, first, count)
        return {n: v[None] for n, v in drawn.items()}

    def data(arrays: FirstUse) -> xr.Dataset:
        return axes.dataset(
            {
                n: (
                    ("chain", "draw", *observed[n].dims),
                    arrays.variable(n, (1, count, *observed[n].values.shape), _type(problem, n)),
                )
                for n in problem.structure.emissions
            }
        )

    groups = {"posterior_predictive": data(FirstUse(replicated))}
    if not priors_are_drawable(problem):
        notes.append("no prior draws: a prior of the program cannot be drawn from")
        return groups

    def of_the_prior() -> dict[str, Any]:
        drawn, replicated = prior_draws(problem, second, count)
        return {n: v[None] for n, v in {**drawn, **replicated}.items()}

    prior = FirstUse(of_the_prior)
    groups["prior"] = axes.dataset(
        {
            n: axes.by_draw(n, prior.variable(n, (1, count, *v.shape[1:]), v.dtype))
            for n, v in values.items()
            if n in problem.structure.names
        }
    )
    groups["prior_predictive"] = data(prior)
    return groups


def _type(problem: Problem, name: str) -> np.dtype:
    """Data type of drawn data: that of the data, integers as wide as JAX's."""
    own = np.asarray(problem.model.data[name]).dtype
    return np.dtype(jnp.result_type(int)) if own.kind in "bui" else own
