"""NumPyro's no-U-turn sampler on the program with assignments summed out.

Several chains, each from a mode that EM found, moved off it at random in the unconstrained space.
Hoffman and Gelman (2014).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.infer import MCMC, NUTS, init_to_uniform

from ...errors import InputError, UnsupportedError
from ..marginal import marginal_program
from ..problem import Problem, Result
from .em import em

#: NumPyro's names of what is recorded -> ArviZ's
FIELDS = {
    "diverging": "diverging",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "energy": "energy",
    "adapt_state.step_size": "step_size",
}
NEAR_BEST = 5.0  #: log-density below the best mode at which a mode still is a start


def check(problem: Problem) -> None:
    """Serves every program; discrete sites beyond one assignment are refused by the reading."""


def nuts(
    problem: Problem,
    key: Array,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    dispersion: float = 0.1,
    starts: int = 8,
) -> Result:
    """Draw the global sites from their posterior.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains, moved side by side.
        warmup: draws a chain for adaptation, not kept.
        draws: draws a chain that are kept.
        target_accept: acceptance probability that the step size is adapted to.
        max_tree_depth: doublings of a trajectory at most.
        dispersion: standard deviation of the starts about EM's modes, in the unconstrained space.
        starts: starts of EM that look for modes; 0 starts uniformly at random.

    Returns:
        Draws; where each chain started is in ``starts``.

    Raises:
        InputError: options out of range.
    """
    if min(chains, warmup, draws) < 1:
        raise InputError(f"chains ({chains}), warmup ({warmup}) and draws ({draws}) must be >= 1")
    start_key, run_key = random.split(key)
    initial, reported, notes = _starting_points(problem, start_key, chains, starts, dispersion)
    kernel = NUTS(
        marginal_program(problem), target_accept_prob=target_accept,
        max_tree_depth=max_tree_depth, init_strategy=init_to_uniform(radius=1),
    )
    sampler = MCMC(
        kernel, num_warmup=warmup, num_samples=draws, num_chains=chains,
        chain_method="vectorized", progress_bar=problem.progress,
    )
    sampler.run(run_key, init_params=initial, extra_fields=tuple(FIELDS))
    samples = sampler.get_samples(group_by_chain=True)
    extra = sampler.get_extra_fields(group_by_chain=True)
    stats = {name: np.asarray(extra[field]) for field, name in FIELDS.items()}
    stats["tree_depth"] = np.log2(stats["n_steps"] + 1).astype(int)
    stats["reached_max_treedepth"] = stats["tree_depth"] >= max_tree_depth
    names = (*problem.structure.names, *problem.structure.locals)
    values = {n: np.asarray(samples[n]) for n in names}
    return Result(values, "draws", stats, reported, notes=notes)


def _starting_points(
    problem: Problem, key: Array, chains: int, starts: int, dispersion: float
) -> tuple[dict[str, Array] | None, dict[str, Any], list[str]]:
    """Unconstrained starts ``(chain, ...)``, a report of them, and notes."""
    if starts == 0 or problem.structure.locals:
        return None, {}, []
    try:
        problem.need_statistics("em")
        found = em(problem, key, starts=starts, iterations=200)
    except UnsupportedError as error:
        return None, {}, [f"started uniformly at random, for em cannot look for modes: {error}"]
    mode = {n: jnp.asarray(v[0, 0]) for n, v in found.values.items()}
    model, structure = problem.model, problem.structure
    free = model.unconstrain(mode, structure)
    keys = random.split(key, len(free))
    initial = {
        n: v + dispersion * random.normal(k, (chains, *v.shape), v.dtype)
        for k, (n, v) in zip(keys, free.items(), strict=True)
    }
    if not all(bool(jnp.isfinite(v).all()) for v in initial.values()):
        # a mode on the boundary (a probability of exactly zero) has no finite unconstrained image
        return None, {}, ["started uniformly at random, for the mode lies on a boundary"]
    points = jax.vmap(lambda u: model.constrain(u, structure))(initial)
    reported = {
        f"chain_{n}": (("chain", *_axes(problem, n)), np.asarray(v)) for n, v in points.items()
    }
    return initial, {**found.starts, **reported}, found.notes


def _axes(problem: Problem, name: str) -> tuple[str, ...]:
    return next(s.dims for s in problem.structure.sites if s.name == name)
