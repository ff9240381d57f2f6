"""Gibbs sampling: assignments in one pass, globals from sufficient statistics, or from the rows.

Several chains side by side. Diebolt and Robert (1994); for sites without a closed form, Hamiltonian
steps within Gibbs (Neal 2011), on a density that sees the rows only if no statistics sum them up.
"""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.infer import MCMC

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import CONTINUOUS_SITES, DRAWABLE_CELLS, PATHS_BY_STATISTICS
from ppl_models.inference.mcmc.chain_starts import dispersed_starts
from ppl_models.inference.mcmc.gibbs_base import GibbsKernel, GibbsState
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.mcmc.gibbs_run import run_gibbs
from ppl_models.inference.mcmc.rowwise_gibbs import RowwiseGibbs
from ppl_models.inference.method import Calibration, Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem, Result
from ppl_models.inference.row_weights import copies_drawn
from ppl_models.inference.simulated_data import Draws, Plan, on_simulated_data, run_chain
from ppl_models.program.model import Globals, Model


def _of_simulated_data(key: Array, model: Model, plan: Plan) -> Draws:
    kernel_type = StatisticsGibbs if plan.problem.sums_rows_up else RowwiseGibbs
    kernel = kernel_type(on_simulated_data(plan.problem, model))
    state = kernel.init(key, plan.warmup, None, (), {})
    return run_chain(lambda s: kernel.sample(s, (), {}), state, plan, lambda s: s.z), {}


METHOD = Method(
    "draws",
    needs=(CONTINUOUS_SITES, PATHS_BY_STATISTICS, DRAWABLE_CELLS),
    calibration=Calibration(_of_simulated_data, draws_locals=True),
    row_weights="whole",
    many=True,
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

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains, moved side by side.
        warmup: sweeps a chain that are not kept.
        draws: draws a chain that are kept.
        thinning: sweeps a kept draw.
        dispersion: standard deviation of the starts about EM's mode, in the unconstrained space.
        starts: starts of EM that look for the mode; 0 starts at random.
        keep_assignments: keep the assignments of every draw, ``assignment (chain, draw, row)``.

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
    start_key, run_key = random.split(key)
    if problem.structure.locals:
        # EM's mode is no place to start from: rows' own sites are not summed out there
        problem, starts = problem.with_locals(), 0
    problem = copies_drawn("gibbs", problem, keep_assignments=keep_assignments)
    points, _, reported, notes = dispersed_starts(problem, start_key, chains, starts, dispersion)
    structure = problem.structure
    kernel_type = StatisticsGibbs if problem.sums_rows_up else RowwiseGibbs
    kernel = kernel_type(problem, keep_assignments=keep_assignments)
    lengths = {"warmup": warmup, "draws": draws, "thinning": thinning}
    if structure.locals or problem.progress:
        states = _by_numpyro(kernel, run_key, points, chains=chains, **lengths)
    else:
        states = run_gibbs(kernel, run_key, points, **lengths)
    values = {n: np.asarray(states.z[n]) for n in structure.names}
    stats = {"acceptance_rate": np.asarray(states.accept_prob)} if kernel.free else {}
    drawn = None
    if keep_assignments:
        drawn = np.asarray(states.assignment).astype(np.int16)
        drawn = drawn.reshape(chains, draws, structure.rows)
    searched = LOG_POSTERIOR if "objective" in reported else None
    return Result(
        values, METHOD, stats, reported, assignment=drawn, notes=notes, objective=searched
    )


def _by_numpyro(
    kernel: GibbsKernel,
    key: Array,
    points: Globals,
    *,
    chains: int,
    warmup: int,
    draws: int,
    thinning: int,
) -> GibbsState:
    """The same by ``MCMC``, which shows progress; its loop is compiled for every fit.

    So do programs with continuous sites of the rows go, whose data stay constants of the loop.
    """
    sampler = MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws * thinning,
        thinning=thinning,
        num_chains=chains,
        chain_method=jax.vmap if chains > 1 else "sequential",
        progress_bar=kernel.problem.progress,
    )
    if chains == 1:
        points = {n: v[0] for n, v in points.items()}
    with warnings.catch_warnings():
        # under vmap NumPyro gives away buffers that XLA then does not need
        warnings.filterwarnings("ignore", "Some donated buffers", UserWarning)
        sampler.run(key, init_params=points, extra_fields=("accept_prob",))
    states = sampler._states
    return GibbsState(
        states["z"],
        None,
        states["accept_prob"],
        states.get("assignment"),
        jnp.zeros(()),
        key,
    )
