"""Gibbs sampling: assignments in one pass, globals from sufficient statistics, or from the rows.

Several chains side by side. Diebolt and Robert (1994); for sites without a closed form, Hamiltonian
steps within Gibbs (Neal 2011), on a density that sees the rows only if no statistics sum them up.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import (
    CONTINUOUS_SITES,
    DRAWABLE_CELLS,
    PATHS_BY_STATISTICS,
    ROW_DENSITIES,
)
from ppl_models.inference.mcmc.blocks_of_draws import Lengths
from ppl_models.inference.mcmc.chain_starts import dispersed_starts
from ppl_models.inference.mcmc.gibbs_blocks import run_gibbs_over_blocks
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.mcmc.gibbs_run import run_gibbs
from ppl_models.inference.mcmc.networks import log_joint_at_draws
from ppl_models.inference.mcmc.rowwise_gibbs import RowwiseGibbs
from ppl_models.inference.method import Calibration, Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.row_weights import copies_drawn
from ppl_models.inference.simulated_data import Draws, Plan, on_simulated_data, run_chain
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.keys import fold_in, split, split_apart

SHORT_RUNS = 4  #: of which calibration goes on with the best, as a fit goes on with EM's best start
SHORT = 50  #: sweeps of a short run


def _of_simulated_data(key: Array, model: Model, plan: Plan) -> Draws:
    problem = on_simulated_data(plan.problem, model)
    kernel: Any
    if problem.sums_rows_up:
        kernel, start = StatisticsGibbs(problem), None
    else:
        kernel = RowwiseGibbs(problem)
        start = _best_short_run(fold_in(key, SHORT_RUNS), kernel)
    state = kernel.init(key, plan.warmup, start, (), {})
    return run_chain(lambda s: kernel.sample(s, (), {}), state, plan, lambda s: s.z), {}


def _best_short_run(key: Array, kernel: RowwiseGibbs) -> Globals | None:
    """Where the short run with the highest density ended; None where a density is not at hand."""
    problem = kernel.problem
    structure = problem.structure
    if structure.coupled or structure.locals or not problem.offers(*ROW_DENSITIES):
        return None

    def run(key: Array) -> tuple[Globals, Array]:
        state = kernel.init(key, SHORT, None, (), {})
        ended = lax.fori_loop(0, SHORT, lambda _, s: kernel.sample(s, (), {}), state).z
        return ended, log_joint(problem.model, structure, ended)

    ended, heights = jax.vmap(run)(split(key, SHORT_RUNS))
    best = jnp.nan_to_num(heights, nan=-jnp.inf).argmax()
    return {n: v[best] for n, v in ended.items()}


METHOD = Method(
    "draws",
    needs=(CONTINUOUS_SITES, PATHS_BY_STATISTICS, DRAWABLE_CELLS),
    calibration=Calibration(_of_simulated_data, draws_locals=True),
    pads_rows=True,
    row_weights="integer",
    keeps_states=True,
    many=True,
    passes_over_blocks=True,
)


def gibbs(
    problem: Problem,
    key: Array,
    *,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 1000,
    thinning: int = 1,
    dispersion: float = 0.1,
    starts: int = 8,
    keep_assignments: bool = False,
) -> Result:
    """Draw the global sites (and assignments) from their posterior.

    Of rows in blocks every sweep is a pass over the source, all chains in the same pass; where they
    are few enough, the source is read once. The draws are those of the same rows in memory, but for
    rounding; of more than 10,000 rows, whose starts are looked for among others, in law.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains, moved side by side.
        warmup: sweeps a chain that are not kept.
        draws: draws a chain that are kept.
        thinning: sweeps a kept draw.
        dispersion: standard deviation of the starts about EM's mode, in the unconstrained space.
        starts: starts of EM that look for the mode; 0 starts at random.
        keep_assignments: keep the assignments of every draw, ``assignment (chain, draw, row)``;
            those of a network's nodes, each drawn given the others', are always kept.

    Returns:
        Draws; where each chain started is in ``starts``.

    Raises:
        InputError: options out of range.
    """
    if min(chains, warmup, draws, thinning) < 1:
        raise InputError(
            f"chains ({chains}), warmup ({warmup}), draws ({draws}) and thinning ({thinning}) "
            "must be at least 1"
        )
    if problem.blocks is not None and keep_assignments:
        raise InputError(
            "keep_assignments is for rows in memory: of rows in blocks, predict_to(tree, source, "
            "path) writes the probabilities of their clusters"
        )
    start_key, run_key = split_apart(key)
    if problem.structure.locals:
        # EM's mode is no place to start from: rows' own sites are not summed out there
        problem, starts = problem.with_locals(), 0
    keep_assignments = keep_assignments or problem.structure.coupled
    problem = copies_drawn("gibbs", problem, keep_assignments=keep_assignments)
    points, _, reported, notes = dispersed_starts(problem, start_key, chains, starts, dispersion)
    structure = problem.structure
    kernel_type = StatisticsGibbs if problem.sums_rows_up else RowwiseGibbs
    kernel: Any = kernel_type(problem, keep_assignments=keep_assignments)
    run = run_gibbs if problem.blocks is None else run_gibbs_over_blocks
    _, recorded = run(kernel, run_key, points, Lengths(warmup, draws, thinning))
    values = {n: recorded[n] for n in structure.names}
    stats = {"acceptance_rate": recorded[".acceptance_rate"]} if kernel.free else {}
    if problem.blocks is not None:
        stats["lp"] = recorded[".log_joint"]
    drawn = None
    if keep_assignments:
        drawn = recorded[".assignment"].astype(np.int16)
    if structure.coupled:
        assert drawn is not None
        stats["lp"] = log_joint_at_draws(problem.model, values, drawn, structure=structure)
    searched = LOG_POSTERIOR if "objective" in reported else None
    return Result(
        values, METHOD, stats, reported, assignment=drawn, notes=notes, objective=searched
    )
