"""Running a method on simulated data inside one compiled function, for calibration.

A method's file declares ``Calibration(draw)``, a function that makes its draws by these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from numpyro import handlers

from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, Part
from ppl_models.program.model import Globals, Model

#: draws of the global sites ``(draw, ...)``, and further quantities that are ranked
Draws = tuple[Globals, dict[str, Array]]


class Plan(NamedTuple):
    """What is read outside the compiled function.

    Args:
        problem: the program with data of the shape of those simulated.
        draws: draws that a true value is ranked among.
        warmup: iterations before the first.
        thinning: iterations between them.
    """

    problem: Problem
    draws: int
    warmup: int
    thinning: int


def simulate(
    source: Model, key: Array, held: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Draw every site of the program.

    Args:
        source: the program without data.
        key: random key.
        held: values of some sites, which are not drawn.
    """
    program = handlers.substitute(source.run, data=dict(held or {}))
    trace = handlers.trace(handlers.seed(program, key)).get_trace()
    return {n: s["value"] for n, s in trace.items() if s["type"] == "sample"}


def on_simulated_data(problem: Problem, model: Model) -> Problem:
    """The problem on simulated data, which may be traced: nothing is read anew."""
    if not problem.sums_rows_up:  # nor is anything summed up
        return replace(problem, model=model, same_program=problem)
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


def run_chain(step: Callable[[Any], Any], state: Any, plan: Plan, read: Callable) -> Any:
    """Run a Markov chain and stack ``read(state)`` of the draws that are kept.

    One loop goes through warmup too, or the step would be compiled twice.
    """

    def keep(state: Any, count: Array) -> tuple[Any, Any]:
        state = lax.fori_loop(0, count, lambda _, s: step(s), state)
        return state, read(state)

    sweeps = jnp.full(plan.draws, plan.thinning).at[0].add(plan.warmup)
    return lax.scan(keep, state, sweeps)[1]
