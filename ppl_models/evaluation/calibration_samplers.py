"""The samplers that simulation-based calibration runs, inside one compiled function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro import handlers

from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.methods import nuts, telescoping
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, Part
from ppl_models.inference.statistics.e_step import e_step
from ppl_models.inference.statistics.m_step import conditional, conjugate_sites
from ppl_models.program.model import Globals, Model

More = dict[str, Array]  #: further quantities that are ranked

#: doublings of a trajectory of NUTS at most. Side by side, every trajectory takes as long as the
#: longest of all simulations; cut short, it leaves the posterior as it is all the same
DOUBLINGS = 6


class Plan(NamedTuple):
    """What is read outside the compiled function."""

    problem: Problem
    draws: int
    warmup: int
    thinning: int


def simulate(source: Model, key: Array) -> dict[str, Array]:
    """Every site of the program, drawn."""
    trace = handlers.trace(handlers.seed(source.run, key)).get_trace()
    return {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}


def _from_program(source: Model, plan: Plan, key: Array) -> tuple[dict[str, Array], More]:
    return simulate(source, key), {}


class Sampler(NamedTuple):
    """A method.

    Args:
        draw: ``(key, program with simulated data, plan) -> draws, further quantities of them``.
        simulate: ``(program, plan, key) -> every site, the further quantities' true values``.
    """

    draw: Callable[[Array, Model, Plan], tuple[Globals, More]]
    simulate: Callable[[Model, Plan, Array], tuple[dict[str, Array], More]] = _from_program


def _inside(problem: Problem, model: Model) -> Problem:
    """The problem on simulated data: read once, its numbers replaced."""
    missing = dict(problem.chunks.missing)
    data = {n: jnp.asarray(model.data[n]) for n in problem.families}
    centres = {n: f.centre(data[n]) for n, f in problem.families.items()}
    prepared = {
        n: f.prepare(data[n], missing=missing[n], centre=centres[n])
        for n, f in problem.families.items()
    }
    arrays = jax.tree.map(lambda v: v[None], prepared)  # one chunk
    present = jnp.ones((1, problem.structure.rows), bool)
    order = jnp.arange(problem.structure.rows)
    scales = {n: jnp.asarray(v)[None] for n, v in problem.scales.items()}
    parts = (Part(arrays, present, scales),)
    return problem.on_data(model, Chunks(parts, order, centres, problem.chunks.missing))


def _sampled(step: Callable[[Any], Any], state: Any, plan: Plan, read: Callable) -> Any:
    """The draws that are kept. One loop goes through warmup too, or it would be compiled twice."""

    def keep(state: Any, count: Array) -> tuple[Any, Any]:
        state = lax.fori_loop(0, count, lambda _, s: step(s), state)
        return state, read(state)

    sweeps = jnp.full(plan.draws, plan.thinning).at[0].add(plan.warmup)
    return lax.scan(keep, state, sweeps)[1]


def _gibbs(key: Array, model: Model, plan: Plan) -> tuple[Globals, More]:
    kernel = StatisticsGibbs(_inside(plan.problem, model))
    state = kernel.init(key, plan.warmup, None, (), {})
    return _sampled(lambda s: kernel.sample(s, (), {}), state, plan, lambda s: s.z), {}


def _nuts(key: Array, model: Model, plan: Plan) -> tuple[Globals, More]:
    structure = plan.problem.structure
    start_key, run_key = random.split(key)
    start = structure.space.unconstrain(structure.initial(start_key))
    kernel = nuts.no_u_turns(_inside(plan.problem, model), max_tree_depth=DOUBLINGS)
    state = kernel.init(run_key, plan.warmup, start, (), {})

    def read(state: Any) -> Globals:
        return structure.space.constrain(state.z)

    return _sampled(lambda s: kernel.sample(s, (), {}), state, plan, read), {}


def _exact(key: Array, model: Model, plan: Plan) -> tuple[Globals, More]:
    problem = plan.problem
    inner = _inside(problem, model)
    structure = problem.structure
    links, _ = conjugate_sites(problem.model, structure, problem.parameter_map, problem.chunks)
    values = structure.initial(key)
    pieces = model.pieces(values, structure)
    expected = e_step(pieces, structure, inner.chunks)

    def draw(key: Array) -> Globals:
        found = {}
        for link in links:
            key, own = random.split(key)
            posterior = conditional(
                link, pieces, structure, expected, inner.chunks, values, flat=False
            )
            assert posterior is not None
            found[link.site] = posterior.sample(own)
        return found

    return lax.map(draw, random.split(key, plan.draws)), {}


def _telescoping(key: Array, model: Model, plan: Plan) -> tuple[Globals, More]:
    problem = plan.problem
    inner, structure = _inside(problem, model), problem.structure
    links, _ = conjugate_sites(problem.model, structure, problem.parameter_map, problem.chunks)
    step = partial(telescoping.telescope, model, inner.chunks, structure, links, False)
    start_key, run_key = random.split(key)
    begin = structure.initial(start_key), jnp.array(structure.clusters), jnp.ones(())

    def once(state: tuple) -> tuple:
        return step(*state[0])

    start = step(*begin, run_key)
    kept = _sampled(once, start, plan, lambda state: state[1])
    return kept["values"], {n: kept[n] for n in ("components", "filled", "alpha")}


def _unknown_number(source: Model, plan: Plan, key: Array) -> tuple[dict[str, Array], More]:
    """The number of clusters and their shares from their own prior, all else from the program."""
    problem = plan.problem
    assignment = problem.structure.assignment
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    (weights,) = (w.site for w in links if w.emission == assignment)
    prior_key, rest_key = random.split(key)
    components, alpha, shares = telescoping.draw_prior(prior_key, problem.structure.clusters)
    program = handlers.substitute(source.run, data={weights: shares})
    trace = handlers.trace(handlers.seed(program, rest_key)).get_trace()
    drawn = {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}
    rows = (drawn[assignment][None] == jnp.arange(problem.structure.clusters)[:, None]).sum(-1)
    return drawn, {"components": components, "filled": (rows > 0).sum(), "alpha": alpha}


SAMPLERS = {
    "gibbs": Sampler(_gibbs),
    "nuts": Sampler(_nuts),
    "exact": Sampler(_exact),
    "telescoping": Sampler(_telescoping, _unknown_number),
}
