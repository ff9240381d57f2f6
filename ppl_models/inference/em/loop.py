"""The loop that EM and its hard-assignment limit share: E-step and M-step until convergence.

All starts are iterated in one compiled block; a start that has converged is left unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models import device, memory
from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.states import RunStates
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise import m_step as rowwise
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign, Expectations, e_step, soft
from ppl_models.inference.statistics.m_step import maximise
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.runtime.distribution_trees import by_name, plain_trees
from ppl_models.program.trace.structure import Structure

BLOCK = 25  #: iterations between looks at the clock


@dataclass(frozen=True)
class Plan:
    """What one iteration does; static, so that equal plans share a compiled block.

    Where no statistics sum the rows up, ``rowwise`` says how the M-step moves the sites.
    """

    structure: Structure
    links: tuple[ParameterLink, ...]
    free: tuple[str, ...]
    flat: bool
    assign: Assign
    side_by_side: bool
    record: bool
    rowwise: rowwise.RowwisePlan | None = None

    def m_step(
        self,
        model: Model,
        values: Globals,
        expected: Expectations,
        chunks: Chunks,
        known: dict[str, Any],
    ) -> Globals:
        """The M-step from expected statistics.

        Args:
            model: the program with its data.
            values: of the global sites.
            expected: statistics of all rows.
            chunks: centres and gaps of the data that the statistics are of.
            known: priors that do not depend on other sites.
        """
        return maximise(
            model,
            self.structure,
            self.links,
            self.free,
            values,
            expected,
            chunks,
            flat=self.flat,
            known=known,
        )


@dataclass
class EMRuns:
    """The EM iterations of all starts."""

    values: dict[str, np.ndarray]  #: (start, ...)
    objective: np.ndarray  #: (start, iteration), NaN after convergence
    iterations: np.ndarray
    converged: np.ndarray
    path: dict[str, np.ndarray]  #: (start, iteration, ...), empty where too large


def run_em(
    problem: Problem,
    start: Globals,
    *,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    iterations: int,
    tolerance: float,
    flat: bool = False,
    assign: Assign = soft,
    label: str = "em",
    active: Array | None = None,
) -> EMRuns:
    """Iterate every start until the objective gains less than ``tolerance``, relatively.

    Args:
        problem: program and data.
        start: global sites ``(start, ...)``.
        links: sites with a closed form.
        free: sites without.
        iterations: maximum number of iterations.
        tolerance: relative gain of the objective below which iterations stop, at least four units
            in the last place.
        flat: leave the priors out.
        assign: soft or hard assignment.
        label: of the progress bar.
        active: ``(start, cluster)``, the clusters that each start may use (default: all).
    """
    # the last digit of a sum may go to and fro for ever
    tolerance = max(tolerance, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    count = len(next(iter(start.values())))
    cells = count * problem.structure.clusters * problem.cells
    numbers = sum(np.size(v) for v in start.values()) * BLOCK
    plan = Plan(
        problem.structure,
        links,
        free,
        flat,
        assign,
        cells <= device.starts_numbers(),
        numbers <= memory.KEPT_PATH,
        None if problem.sums_rows_up else rowwise.rowwise_plan(problem, flat=flat),
    )
    chunks = problem.chunks if problem.sums_rows_up else None
    values, done = start, np.zeros(count, bool)
    # of a stated type, or the second block would be compiled anew
    last = np.full(count, -np.inf, jnp.result_type(float))
    objectives: list[np.ndarray] = []
    paths: list[dict[str, np.ndarray]] = []
    model = jax.device_put(problem.model)  # on the device once, not in every block
    states = None if problem.checkpoint is None else RunStates(problem.checkpoint)
    if states is not None and (resumed := states.begun(values)) is not None:
        values, last, done, objectives, paths = resumed
    begun = BLOCK * len(objectives)
    with progress_bar(iterations, f"{label}, {count} starts", problem.progress) as bar:
        bar.update(begun)
        for begin in range(begun, iterations, BLOCK):
            if np.asarray(done).all():
                break
            left = iterations - begin
            values, last, done, objective, path = _block(
                model,
                chunks,
                values,
                last,
                done,
                tolerance,
                left,
                by_name(problem.known_priors),
                active,
                plan=plan,
            )
            objectives.append(np.asarray(objective))
            paths.append(jax.tree.map(np.asarray, path))
            bar.update(BLOCK)
            if states is not None:
                ended = begin + BLOCK >= iterations or bool(np.asarray(done).all())
                states.keep(values, last, done, objectives, paths, ended=ended)
    objective = np.concatenate(objectives).T
    path = {n: np.concatenate([p[n] for p in paths]).swapaxes(0, 1) for n in paths[0]}
    return EMRuns(
        {n: np.asarray(v) for n, v in values.items()},
        objective,
        np.isfinite(objective).sum(1),
        # one that came where there is no density stands still too
        np.asarray(done) & np.isfinite(np.asarray(last)),
        path,
    )


def _iterated(
    model: Model,
    chunks: Chunks | None,
    plan: Plan,
    values: Globals,
    known: dict[str, Any],
    active: Array | None,
) -> tuple[Globals, Array]:
    """The global sites after an iteration, and the objective before it."""
    if chunks is None:
        assert plan.rowwise is not None
        weights, normaliser = rowwise.row_weights(
            model, plan.structure, values, plan.assign, active
        )
        moved = rowwise.maximise(
            model, plan.structure, plan.rowwise, values, weights, flat=plan.flat, known=known
        )
        log_prior = model.pieces(values, plan.structure, known).log_prior
        return moved, normaliser + (0.0 if plan.flat else log_prior)
    pieces = model.pieces(values, plan.structure, known)
    expected = e_step(pieces, plan.structure, chunks, plan.assign, active)
    moved = plan.m_step(model, values, expected, chunks, known)
    return moved, expected.log_normaliser + (0.0 if plan.flat else pieces.log_prior)


@partial(jax.jit, static_argnames=("plan",))
def _block(
    model: Model,
    chunks: Chunks | None,
    values: Globals,
    last: Array,
    done: Array,
    tolerance: Any,
    left: Any,
    known: dict[str, Any],
    usable: Array | None = None,
    *,
    plan: Plan,
) -> tuple[Globals, Array, Array, Array, dict[str, Array]]:
    known = plain_trees(known)

    def one(state: tuple[Globals, Array, Array, Any]) -> tuple[Globals, Array, Array, Array]:
        values, last, done, active = state
        moved, objective = _iterated(model, chunks, plan, values, known, active)
        gain = objective - last
        now_done = done | (jnp.abs(gain) <= tolerance * (1 + jnp.abs(objective)))
        now_done |= ~jnp.isfinite(objective)
        frozen = jax.tree.map(lambda a, b: jnp.where(now_done, a, b), values, moved)
        recorded = jnp.where(done, jnp.nan, objective)
        return frozen, jnp.where(done, last, objective), now_done, recorded

    # a start of its own is not mapped over: a loop more would copy the data at every iteration
    alone = done.shape[0] == 1

    def all_starts(state: Any) -> Any:
        if alone:
            only = one(jax.tree.map(lambda v: v[0], state))
            return jax.tree.map(lambda v: v[None], only)
        return (jax.vmap(one) if plan.side_by_side else partial(lax.map, one))(state)

    def going(state: Any) -> Array:
        index, (_, _, done), _ = state
        return (index < jnp.minimum(BLOCK, left)) & ~done.all()

    def iteration(state: Any) -> Any:
        index, (values, last, done), history = state
        *now, recorded = all_starts((values, last, done, usable))
        seen = (recorded, values if plan.record else {})
        history = jax.tree.map(lambda all, new: all.at[index].set(new), history, seen)
        return index + 1, tuple(now), history

    blank = (jnp.full((BLOCK, *last.shape), jnp.nan, last.dtype), values if plan.record else {})
    blank = (blank[0], jax.tree.map(lambda v: jnp.zeros((BLOCK, *v.shape), v.dtype), blank[1]))
    index, (values, last, done), (objective, path) = lax.while_loop(
        going, iteration, (0, (values, last, done), blank)
    )
    unused = jnp.arange(BLOCK) >= index
    path = jax.tree.map(
        lambda all, end: jnp.where(unused.reshape(-1, *[1] * end.ndim), end, all),
        path,
        values if plan.record else {},
    )
    return values, last, done, objective, path
