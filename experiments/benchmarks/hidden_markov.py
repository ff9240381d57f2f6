"""Hidden Markov models: EM, gradients and draws of paths beside hmmlearn, dynamax and NumPyro."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.contrib.control_flow import scan
from numpyro.infer.util import initialize_model

from ppl_models.distributions import DiagonalGaussian, HiddenMarkov
from ppl_models.inference.em.loop import BLOCK, Plan, _block
from ppl_models.inference.mcmc.marginal_density import marginal_program
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import soft
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.models.hidden_markov import hidden_markov
from ppl_models.program.model import Model

from .em import all_sites
from .timing import Row, a_call, paired

SEQUENCES, STEPS, FEATURES, STATES = 20, 1_000, 2, 5
SIZE = f"{SEQUENCES} × {STEPS:,} × {FEATURES}, {STATES} states"
PEER_ITERATIONS = 8


def data(sequences: int = SEQUENCES, steps: int = STEPS) -> np.ndarray:
    """Sequences ``(sequence, step, feature)`` of a sticky chain with overlapping states."""
    generator = np.random.default_rng(0)
    step = np.full((STATES, STATES), 0.1 / (STATES - 1))
    np.fill_diagonal(step, 0.9)
    edges = step.cumsum(1)
    loc = generator.normal(size=(STATES, FEATURES)) * 2.5
    path = np.empty((sequences, steps), int)
    path[:, 0] = generator.integers(0, STATES, sequences)
    for t in range(1, steps):
        path[:, t] = (generator.random(sequences)[:, None] > edges[path[:, t - 1]]).sum(1)
    return loc[path] + generator.normal(size=(sequences, steps, FEATURES))


def ours(x: np.ndarray, start: np.ndarray) -> Callable[[], float]:
    """Seconds an iteration of EM of one start, priors included."""
    model = Model(hidden_markov, {"x": x}, {"states": STATES}, {})
    problem = Problem(model, model.structure())
    links, free = conjugate_sites(model, problem.structure, problem.parameter_map, problem.chunks)
    plan = Plan(problem.structure, links, free, False, soft, False, False)
    even = np.full((STATES, STATES), 1 / STATES)
    values = {"initial": even[0], "transition": even, "loc": start, "scale": np.ones_like(start)}
    values = all_sites(problem.structure, values)
    state = {n: jnp.asarray(v, jnp.result_type(float))[None] for n, v in values.items()}
    before = (state, jnp.full(1, -jnp.inf, jnp.result_type(float)), jnp.zeros(1, bool))
    known, model = problem.known_priors, jax.tree.map(jnp.asarray, model)

    def block() -> None:
        jax.block_until_ready(_block(model, problem.chunks, *before, -1.0, BLOCK, known, plan=plan))

    return lambda: a_call(block) / BLOCK


def with_hmmlearn(x: np.ndarray, start: np.ndarray) -> Callable[[], float]:
    """hmmlearn's seconds an iteration, by the difference of a long and a short fit."""
    from hmmlearn.hmm import GaussianHMM

    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    flat, lengths = x.reshape(-1, FEATURES), [STEPS] * SEQUENCES

    def seconds(iterations: int) -> float:
        peer = GaussianHMM(
            STATES,
            covariance_type="diag",
            implementation="scaling",
            n_iter=iterations,
            tol=-np.inf,
            init_params="",
            params="stmc",
        )
        peer.startprob_ = np.full(STATES, 1 / STATES)
        peer.transmat_ = np.full((STATES, STATES), 1 / STATES)
        peer.means_, peer.covars_ = start, np.ones((STATES, FEATURES))
        return a_call(lambda: peer.fit(flat, lengths))

    return lambda: (seconds(1 + PEER_ITERATIONS) - seconds(1)) / PEER_ITERATIONS


def with_dynamax(x: np.ndarray, start: np.ndarray) -> Callable[[], float]:
    """dynamax's seconds an iteration: the steps of its ``fit_em``, compiled once.

    ``fit_em`` itself compiles anew at every call, which takes more than the iterations.
    """
    from dynamax.hidden_markov_model import DiagonalGaussianHMM

    peer = DiagonalGaussianHMM(STATES, FEATURES)
    even = jnp.full((STATES, STATES), 1 / STATES)
    parameters, properties = peer.initialize(
        random.key(0),
        initial_probs=even[0],
        transition_matrix=even,
        emission_means=jnp.asarray(start),
        emission_scale_diags=jnp.ones((STATES, FEATURES)),
    )
    rows, before = jnp.asarray(x), peer.initialize_m_step_state(parameters, properties)

    @jax.jit
    def iteration(parameters: Any, state: Any) -> tuple[Any, Any, Any]:
        statistics, values = jax.vmap(partial(peer.e_step, parameters))(rows)
        value = peer.log_prior(parameters) + values.sum()
        return *peer.m_step(parameters, properties, statistics, state), value

    def run() -> None:
        at, state = parameters, before
        for _ in range(PEER_ITERATIONS):
            at, state, value = iteration(at, state)
        jax.block_until_ready(value)

    return lambda: a_call(run) / PEER_ITERATIONS


def sites() -> tuple[Any, Any, Any]:
    """The same global sites on both sides; the first state follows state 0."""
    with numpyro.plate("state", STATES):
        transition = numpyro.sample("transition", dist.Dirichlet(jnp.ones(STATES)))
        loc = numpyro.sample("loc", dist.Normal(jnp.zeros(FEATURES), 5.0).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(jnp.full(FEATURES, 2.0)).to_event(1))
    return transition, loc, scale


def summed(x: Any) -> None:
    """Ours: paths summed out."""
    transition, loc, scale = sites()
    with numpyro.plate("sequence", len(x)):
        emission = DiagonalGaussian(loc, scale)
        chain = HiddenMarkov(transition[0], transition, emission, positions=x.shape[1])
        numpyro.sample("x", chain, obs=x)


def enumerated(x: Any) -> None:
    """NumPyro's: ``scan`` with enumerated states."""
    transition, loc, scale = sites()

    def step(z: Any, here: Any) -> tuple[Any, None]:
        with numpyro.plate("sequence", SEQUENCES, dim=-1):
            z = numpyro.sample(
                "z", dist.Categorical(transition[z]), infer={"enumerate": "parallel"}
            )
            numpyro.sample("x", dist.Normal(loc[z], scale[z]).to_event(1), obs=here)
        return z, None

    scan(step, jnp.zeros(SEQUENCES, int), jnp.swapaxes(x, 0, 1))


def gradients(x: np.ndarray) -> Row:
    """Value and gradient as NUTS asks for them."""
    model = Model(summed, {"x": x}, {}, {})
    mine = marginal_program(Problem(model, model.structure()))
    both = []
    for program, arguments in ((mine, ()), (enumerated, (jnp.asarray(x),))):
        initial = initialize_model(
            random.key(0), program, model_args=arguments, validate_grad=False
        )
        both.append((jax.jit(jax.value_and_grad(initial.potential_fn)), initial.param_info.z))
    at = both[0][1]
    value, expected = (float(function(at)[0]) for function, _ in both)
    assert abs(value - expected) < 1e-4 * abs(expected), (value, expected)
    calls = [lambda f=f: a_call(lambda: jax.block_until_ready(f(at))) for f, _ in both]
    return paired(
        f"hidden Markov, value and gradient, float64, NumPyro's scan, {SIZE}", *calls, "≥ 10"
    )


def paths(x: np.ndarray, start: np.ndarray) -> Row:
    """One draw of all paths, given the global sites.

    NumPyro's ``infer_discrete`` does not serve ``scan`` (an assertion fails for draws, and maxima
    are not implemented), so that the value of its density alone, without which nothing could be
    drawn, stands for it.
    """
    even = jnp.full((STATES, STATES), 1 / STATES)
    emission = DiagonalGaussian(jnp.asarray(start), jnp.ones((STATES, FEATURES)))
    rows, key = jnp.asarray(x), random.key(0)

    @jax.jit
    def mine(key: Any, rows: Any) -> Any:
        model = HiddenMarkov(even[0], even, emission, positions=STEPS)
        return model.sample_states(key, rows)

    initial = initialize_model(key, enumerated, model_args=(rows,), validate_grad=False)
    theirs, at = jax.jit(initial.potential_fn), initial.param_info.z
    return paired(
        f"hidden Markov, a draw of all paths, float64, the value of NumPyro's scan, {SIZE}",
        lambda: a_call(lambda: jax.block_until_ready(mine(key, rows))),
        lambda: a_call(lambda: jax.block_until_ready(theirs(at))),
        "≥ 10",
    )


def run() -> list[Row]:
    """All comparisons; EM's in both precisions, of which hmmlearn has the double one only."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    rows = []
    for precision in (np.float64, np.float32):
        with jax.enable_x64(precision is np.float64):
            x = data().astype(precision)
            chosen = np.random.default_rng(1).choice(SEQUENCES * STEPS, STATES, replace=False)
            start = x.reshape(-1, FEATURES)[chosen]
            for name, peer, aim in (
                ("hmmlearn", with_hmmlearn, "≥ 8"), ("dynamax", with_dynamax, "≥ 20")
            ):  # fmt: skip
                what = f"hidden Markov, EM iteration, {precision.__name__}, {name}, {SIZE}"
                rows.append(paired(what, ours(x, start), peer(x, start), aim))
            if precision is np.float64:
                rows += [gradients(x), paths(x, start)]
    return rows
