"""Deterministic sites within the data plate, at every draw: one value a row."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models import memory
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.e_step import winners
from ppl_models.program.chains.chain_densities import best_paths, draw_assignments
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.trace.structure import Structure


def row_deterministics(
    problem: Problem, result: Result, key: Array, notes: list[str]
) -> dict[str, np.ndarray]:
    """Deterministic sites within the data plate, ``(chain, draw, row, ...)``.

    A site that depends on the row's assignment is evaluated at the assignment of the same draw: the
    one that the method drew, or one drawn from its conditional distribution; at a point estimate,
    the most probable one.

    Args:
        problem: program and data.
        result: of the method.
        key: random key of the assignments.
        notes: a sentence is added where the sites are left out, being too many numbers.
    """
    structure = problem.structure
    if not structure.row_deterministics:
        return {}
    values = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])) for n, v in result.values.items()}
    shape = next(iter(result.values.values())).shape[:2] if values else (1, 1)
    if not values:
        values = {"": jnp.zeros(1)}  # every site is held
    count = math.prod(shape)
    drawn = None
    if result.assignment is not None:
        drawn = jnp.asarray(result.assignment.reshape(count, -1).astype(np.int32))
    keys, point = random.split(key, count), result.kind == "point"
    at_draws = partial(_at_draws, structure=structure, point=point)
    shapes = jax.eval_shape(at_draws, problem.model, values, keys, drawn)
    if sum(math.prod(s.shape) for s in shapes.values()) > memory.KEPT_ROW_SITES:
        names = ", ".join(shapes)
        notes.append(f"{names} of every row are left out, being too many: ask for fewer draws")
        return {}
    deterministic = at_draws(problem.model, values, keys, drawn)
    return {n: np.asarray(v).reshape(*shape, *v.shape[1:]) for n, v in deterministic.items()}


@partial(jax.jit, static_argnames=("structure", "point"))
def _at_draws(
    model: Model,
    values: Globals,
    keys: Array,
    drawn: Array | None,
    *,
    structure: Structure,
    point: bool,
) -> dict[str, Array]:
    def one(each: tuple[Globals, Array, Array | None]) -> dict[str, Array]:
        held, key, chosen = each
        if structure.assignment is not None and chosen is None:
            with_locals = structure.with_locals()  # whose values the draws have
            if point and structure.chain is None:
                chosen = winners(model.logits(held, with_locals))[1]
            elif point:
                chosen = best_paths(model, held, structure)
            else:
                chosen = draw_assignments(model, key, held, with_locals)
        trace = model.trace_at(held, structure, assignment=chosen)
        return {
            n: jnp.broadcast_to(trace[n]["value"], _shape(trace[n]["value"], dims, structure))
            for n, dims in structure.row_deterministics
        }

    return in_batches(one, (values, keys, drawn), 16)


def _shape(value: Array, dims: tuple[str, ...], structure: Structure) -> tuple[int, ...]:
    """Shape of the site with one assignment per row."""
    own = jnp.shape(value)
    return own if structure.plate not in dims else (structure.rows, *own[1:])
