"""Variational Bayes by passes over all rows, from several starts.

An iteration is a pass of EM at the plug-in values of the last update, and the update by its
statistics; rows are in memory, in blocks, or on a cluster's workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.data.progress import progress_bar
from ppl_models.inference.em.blocks import BlockStatistics
from ppl_models.inference.em.loop import EMRuns, Plan
from ppl_models.inference.em.mini_batches import expected_of_rows
from ppl_models.inference.em.states import RunStates
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign, Expectations, soft
from ppl_models.inference.statistics.running import exact
from ppl_models.inference.variational.update import Updated, update, update_order
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.trace.structure import Structure

#: what goes with the plug-in values of a start, under names that no site can have: how much more
#: the evidence bound is than the log-normalisers of all rows, and the numbers that q has by site
BOUND, OF_Q = ".bound", ".q."


class Updates:
    """Updates from the statistics of all rows, for one problem.

    Args:
        problem: program and data.
        links: all global sites.
        counted: sum of the weights of all rows.
    """

    def __init__(self, problem: Problem, links: tuple[ParameterLink, ...], counted: float):
        self._problem, self._counted = problem, counted
        self._links = update_order(links, problem.structure, problem.families)
        self._model = jax.tree.map(jnp.asarray, problem.model)
        self._blank = replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None)

    def __call__(self, values: Mapping[str, Any], expected: Expectations) -> dict[str, np.ndarray]:
        """The next plug-in values, and what goes with them."""
        number = jnp.result_type(float)
        updated = _updated(
            self._model,
            sites_of(values),
            jax.tree.map(lambda v: np.asarray(v, number), expected),
            self._blank,
            self._problem.known_priors,
            structure=self._problem.structure,
            links=self._links,
        )
        bound = self._counted * float(updated.row_constant) - float(updated.divergence)
        moved = {n: np.asarray(v) for n, v in updated.values.items()}
        for site, q in updated.posterior.items():
            for place, leaf in enumerate(jax.tree.leaves(q)):
                moved[f"{OF_Q}{site}.{place}"] = np.asarray(leaf)
        return moved | {BOUND: np.asarray(bound)}

    def posterior(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The distribution of every site, of which ``values`` hold the numbers."""
        example = jax.eval_shape(
            partial(_updated, structure=self._problem.structure, links=self._links),
            self._model,
            sites_of(values),
            self._example(sites_of(values)),
            self._blank,
            self._problem.known_priors,
        )
        posterior = {}
        for site, q in example.posterior.items():
            count = len(jax.tree.leaves(q))
            leaves = [jnp.asarray(values[f"{OF_Q}{site}.{place}"]) for place in range(count)]
            posterior[site] = jax.tree.unflatten(jax.tree.structure(q), leaves)
        return posterior

    def _example(self, values: Globals) -> Any:
        problem = self._problem
        plan = Plan(problem.structure, (), (), False, soft, False, False)
        return jax.eval_shape(
            partial(expected_of_rows, plan=plan),
            self._model,
            values,
            problem.chunks,
            problem.known_priors,
        )


def sites_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plug-in values without what goes with them.

    >>> sites_of({"loc": 1.0, ".bound": 2.0})
    {'loc': 1.0}
    """
    return {n: v for n, v in values.items() if not n.startswith(".")}


@partial(jax.jit, static_argnames=("structure", "links"))
def _updated(
    model: Model,
    values: Globals,
    expected: Expectations,
    blank: Chunks,
    known: dict[str, Any],
    *,
    structure: Structure,
    links: tuple[ParameterLink, ...],
) -> Updated:
    return update(model, structure, links, values, expected, blank, known)


def counted_rows(problem: Problem) -> float:
    """Sum of the weights of all rows."""
    if problem.blocks is not None:
        return float(problem.blocks.summary.rows)
    weights = problem.model.weights
    return float(problem.structure.rows if weights is None else np.sum(weights))


class _Memory:
    """Expected statistics of rows in memory."""

    def __init__(self, problem: Problem):
        self._problem = problem
        self._model = jax.device_put(problem.model)
        self._plan = Plan(problem.structure, (), (), False, soft, False, False)

    def __call__(self, starts: Sequence[Globals]) -> list[Expectations]:
        problem = self._problem
        return [
            exact(
                expected_of_rows(
                    self._model, v, problem.chunks, problem.known_priors, plan=self._plan
                ),
                problem.chunks.centres,
            )
            for v in starts
        ]


def run_variational(
    problem: Problem,
    start: Globals,
    *,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    iterations: int,
    tolerance: float,
    flat: bool = False,
    assign: Assign = soft,
    label: str = "vb",
) -> EMRuns:
    """As ``em.loop.run_em``, with plug-in values and the evidence bound as the objective.

    Args:
        problem: program and data.
        start: global sites ``(start, ...)``.
        links: all sites.
        free: none.
        iterations: maximum number of iterations.
        tolerance: relative gain of the bound below which iterations stop.
        flat: not served: without priors there is no bound.
        assign: not served: soft.
        label: of the progress bar.
    """
    tolerance = max(tolerance, 4 * float(jnp.finfo(jnp.result_type(float)).eps))
    count = len(next(iter(start.values())))
    updates = Updates(problem, links, counted_rows(problem))
    passed = _Memory(problem) if problem.blocks is None else BlockStatistics(problem, soft)
    points = [{n: jnp.asarray(v[i]) for n, v in sites_of(start).items()} for i in range(count)]
    states = None if problem.checkpoint is None else RunStates(problem.checkpoint)
    first = [updates(v, e) for v, e in zip(points, passed(points), strict=True)]
    values = {n: np.stack([each[n] for each in first]) for n in first[0]}
    last, done = np.full(count, -np.inf), np.zeros(count, bool)
    objectives: list[np.ndarray] = []
    if states is not None and (resumed := states.begun(values)) is not None:
        values, last, done, objectives, _ = resumed
    begun = len(objectives)
    with progress_bar(iterations, f"{label}, {count} starts", problem.progress) as bar:
        bar.update(begun)
        for index in range(begun, iterations):
            if done.all():
                break
            going = np.flatnonzero(~done)
            at = [{n: v[i] for n, v in values.items()} for i in going]
            expectations = passed([sites_of(v) for v in at])
            reached = np.array(
                [float(e.log_normaliser + v[BOUND]) for v, e in zip(at, expectations, strict=True)]
            )
            recorded = np.full(count, np.nan)
            recorded[going] = reached
            gain = np.abs(reached - last[going])
            stops = (gain <= tolerance * (1 + np.abs(reached))) | ~np.isfinite(reached)
            for i, stop, before, expected in zip(going, stops, at, expectations, strict=True):
                if not stop:
                    for n, v in updates(before, expected).items():
                        values[n][i] = v
            last[going] = reached
            done[going[stops]] = True
            objectives.append(recorded)
            bar.update(1)
            if states is not None:
                ended = index + 1 == iterations or bool(done.all())
                states.keep(values, last, done, objectives, [], ended=ended)
    objective = np.stack(objectives, 1)
    return EMRuns(values, objective, np.isfinite(objective).sum(1), done & np.isfinite(last), {})
