"""NumPyro's no-U-turn sampler on the program with assignments summed out.

The clusters of a network's nodes have no exact sum: a Gibbs sweep draws them between trajectories.
Several chains, each from a mode that EM found, moved off it at random in the unconstrained space.
Hoffman and Gelman (2014).
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.infer import NUTS, init_to_uniform
from numpyro.infer.hmc import HMCState

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import CONTINUOUS_SITES
from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks, sweep_block
from ppl_models.inference.mcmc.chain_starts import dispersed_starts
from ppl_models.inference.mcmc.marginal_density import (
    marginal_program,
    reference_point_at,
)
from ppl_models.inference.mcmc.networks import (
    NetworkNUTS,
    log_joint_at_draws,
    run_network_nuts,
)
from ppl_models.inference.mcmc.nuts_run import no_u_turns, run_nuts
from ppl_models.inference.method import Calibration, Method
from ppl_models.inference.objective import LOG_POSTERIOR
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.simulated_data import Draws, Plan, on_simulated_data, run_chain
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.keys import split, split_apart

MANY = 50_000  #: rows whose log-density single precision cannot tell from a neighbour's

#: ArviZ's names of what is recorded -> NumPyro's
FIELDS = {
    "diverging": "diverging",
    "n_steps": "num_steps",
    "acceptance_rate": "accept_prob",
    "energy": "energy",
    "step_size": "adapt_state.step_size",
}

#: doublings of a trajectory at most in calibration. Side by side, every trajectory takes as long as
#: the longest of all simulations; cut short, it leaves the posterior as it is all the same
DOUBLINGS = 6


def _of_simulated_data(key: Array, model: Model, plan: Plan) -> Draws:
    structure = plan.problem.structure
    start_key, run_key = random.split(key)
    start = structure.space.unconstrain(structure.initial(start_key))
    if structure.coupled:
        network = NetworkNUTS(model, structure, plan.warmup, max_tree_depth=DOUBLINGS)
        begun = network.init(run_key, start)
        return run_chain(
            network.sample, begun, plan, lambda s: structure.space.constrain(s.hmc.z)
        ), {}
    kernel = no_u_turns(on_simulated_data(plan.problem, model), max_tree_depth=DOUBLINGS)
    state = kernel.init(run_key, plan.warmup, start, (), {})

    def read(state: Any) -> Globals:
        return structure.space.constrain(state.z)

    return run_chain(lambda s: kernel.sample(s, (), {}), state, plan, read), {}


METHOD = Method(
    "draws",
    needs=(CONTINUOUS_SITES,),
    calibration=Calibration(_of_simulated_data),
    pads_rows=True,
    row_weights="any",
    keeps_states=True,
)


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
        Draws; where each chain started is in ``starts``. Of a network they include the nodes'
        clusters, ``assignment (chain, draw, row)``.

    Raises:
        InputError: options out of range.
    """
    if min(chains, warmup, draws) < 1:
        raise InputError(f"chains ({chains}), warmup ({warmup}) and draws ({draws}) must be >= 1")
    tuning = {"target_accept_prob": target_accept, "max_tree_depth": max_tree_depth}
    start_key, run_key = split_apart(key)
    lengths = Lengths(warmup, draws)
    if problem.structure.locals:  # NumPyro starts programs in which rows have latents
        program = marginal_program(problem)
        kernel = NUTS(program, init_strategy=init_to_uniform(radius=1), **tuning)
        try:
            recorded = _run(kernel, problem, _keys(run_key, chains), None, lengths)
        except RuntimeError as error:
            if "valid initial parameters" not in str(error):
                raise
            raise InputError(
                "no start has a finite density: look for a site whose support excludes some rows, "
                "or for a parameter that leaves its range"
            ) from error
        reported: dict[str, Any] = {}
        notes: list[str] = []
        offset = 0.0
    else:
        points, initial, reported, notes = dispersed_starts(
            problem, start_key, chains, starts, dispersion
        )
        coupled, offset = problem.structure.coupled, 0.0
        reference = None
        if not coupled:
            reference = reference_point_at(problem, {n: v[0] for n, v in points.items()})
        if reference is None:
            notes = [*notes, *_doubts(problem)]
        else:
            offset = reference.total
        record: dict[str, Any] = {"fields": FIELDS, "tuning": tuning}
        if coupled:
            recorded = run_network_nuts(problem, run_key, initial, lengths, **record)
        else:
            recorded = run_nuts(problem, run_key, initial, reference, lengths, **record)
    stats = {name: recorded[f".{name}"] for name in FIELDS}
    stats["energy"] = stats["energy"] - offset  # what was taken off the log density comes back
    stats["tree_depth"] = np.log2(stats["n_steps"] + 1).astype(int)
    stats["reached_max_treedepth"] = stats["tree_depth"] >= max_tree_depth
    names = (*problem.structure.names, *problem.structure.locals)
    values = {n: recorded[n] for n in names}
    drawn = None
    if problem.structure.coupled:
        drawn = recorded[".assignment"].astype(np.int16)
        stats["lp"] = log_joint_at_draws(problem.model, values, drawn, structure=problem.structure)
    searched = LOG_POSTERIOR if "objective" in reported else None
    return Result(
        values, METHOD, stats, reported, assignment=drawn, notes=notes, objective=searched
    )


def _doubts(problem: Problem) -> list[str]:
    """A note where the log-density of many rows is summed in single precision."""
    if jnp.result_type(float) == jnp.float64 or problem.structure.rows < MANY:
        return []
    return [
        f"the log density of {problem.structure.rows:,} rows was summed up in single precision, "
        "whose rounding decides on some proposals: use precision='float64'"
    ]


def _keys(key: Array, chains: int) -> Array:
    """A key a chain; of one chain its own, as NumPyro's ``MCMC`` does."""
    return split(key, chains) if chains > 1 else key


def _run(
    kernel: NUTS, problem: Problem, keys: Array, initial: Globals | None, lengths: Lengths
) -> dict[str, np.ndarray]:
    """Draws by site, and what is recorded under names that no site can have."""
    state = kernel.init(keys, lengths.warmup, initial, (), {})
    space, names = problem.structure.space, (*problem.structure.names, *problem.structure.locals)
    alone = keys.ndim == 0
    # (the program itself says what its rows' own sites are)
    back = space.constrain if initial is not None else kernel.get_constrain_fn()

    def step(state: HMCState) -> HMCState:
        moved: HMCState = kernel.sample(state, (), {})
        return moved

    def read(state: HMCState) -> dict[str, Array]:
        sites = back(state.z) if alone else jax.vmap(back)(state.z)
        recorded = {f".{n}": attrgetter(field)(state) for n, field in FIELDS.items()}
        fields = {n: sites[n] for n in names} | recorded
        return {n: jnp.asarray(v)[None] for n, v in fields.items()} if alone else fields

    block = jax.jit(partial(sweep_block, step, read))
    return run_in_blocks(problem, block, state, lengths, "nuts")[1]
