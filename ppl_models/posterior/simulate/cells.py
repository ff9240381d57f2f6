"""New data for programs whose rows own cells through an index array or an inner plate.

The program is run as a whole, at a few draws of the posterior; the cells of a row are those of one
run, so that they share the row's cluster and its draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.result.stored_data import reread
from ppl_models.posterior.simulate.groups import read_covariates
from ppl_models.posterior.simulate.predictive import draw_data, program_covariates, resampled
from ppl_models.program.densities.units import units_of

RUNS = 100  #: of the whole program, at most, between which the rows are dealt


def draw_cells(
    restored: RestoredFit,
    key: Array,
    count: int,
    covariates: Mapping[str, Any] | None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """The emitted data, ``count`` lines of them.

    Args:
        restored: a fit.
        key: random key.
        count: lines, or entries of the first axis of the data.
        covariates: what the program is given, index arrays too (default: those of the fit).
        arguments: of the program that differ, such as a larger number of rows.

    Raises:
        InputError: another number of lines than the covariates have, or than the fit has.
    """
    if restored.structure.coupled:
        return _draw_network(restored, key, count, covariates)
    problem = restored.problem
    more = count > max(len(np.asarray(problem.model.data[n])) for n in problem.structure.emissions)
    free = not problem.structure.lines and not program_covariates(problem.model, problem.structure)
    if covariates is not None or arguments or (more and free):
        problem = _on_covariates(restored, count, covariates or {}, arguments or {})
    lengths = {n: len(np.asarray(problem.model.data[n])) for n in problem.structure.emissions}
    most = max(lengths.values())
    if count > most:
        wanted = ", ".join(program_covariates(problem.model, problem.structure))
        raise InputError(
            f"{count} lines are asked for, and the fit has {most}, each with its place among the "
            + (f"rows: give covariates= ({wanted}) of {count} lines" if wanted else "rows")
        )
    cells = sum(np.size(v) for v in problem.model.data.values())
    runs = max(1, min(RUNS, problem.structure.rows, memory.BLOCK_NUMBERS // max(cells, 1)))
    drawn = draw_data(problem, resampled(restored, key, runs), key, runs, larger=bool(arguments))
    units, made = units_of(problem.model), {}
    for name, values in drawn.items():
        row = np.asarray(units.rows.get(name, np.arange(problem.structure.rows)))
        shape = _leading(values.shape[1:], len(row))
        run = (row % runs).reshape(*shape, *[1] * (values.ndim - 1 - len(shape)))
        sampled = np.take_along_axis(values, np.broadcast_to(run, values.shape[1:])[None], axis=0)[
            0
        ]
        made[name] = sampled[:count]
    return made


def _draw_network(
    restored: RestoredFit, key: Array, count: int, covariates: Mapping[str, Any] | None
) -> dict[str, np.ndarray]:
    """The cells of one network at one draw, whose nodes' clusters are drawn anew."""
    lengths = {len(np.asarray(restored.model.data[n])) for n in restored.structure.emissions}
    if {count} != lengths or covariates is not None:
        sizes = " or ".join(map(str, sorted(lengths)))
        raise InputError(
            f"a network is drawn as a whole, of as many lines as the fitted one: ask for {sizes} "
            "rows, without covariates"
        )
    draw = int(random.randint(key, (), 0, restored.samples))
    values = {n: jnp.asarray(v[draw : draw + 1]) for n, v in restored.values.items()}
    drawn = draw_data(restored.problem, values, random.fold_in(key, 1), 1)
    return {n: v[0] for n, v in drawn.items()}


def _leading(shape: tuple[int, ...], cells: int) -> tuple[int, ...]:
    """Axes that count cells, without the event axes of a cell."""
    axes, product = 0, 1
    while product < cells and axes < len(shape):
        product *= shape[axes]
        axes += 1
    return shape[:axes]


def _on_covariates(
    restored: RestoredFit, count: int, covariates: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Problem:
    """The program with new covariates, and blank data of the same length."""
    wanted = program_covariates(restored.model, restored.structure)
    if set(covariates) != set(wanted):
        raise InputError(
            f"the data of {restored.program} depend on {', '.join(wanted) or 'no others'}, and "
            f"covariates holds {', '.join(covariates) or 'nothing'}: give just those"
        )
    read = read_covariates(restored.tree, covariates, arguments)
    # rows with cells in an inner plate are counted themselves, others by their lines
    of_rows = not restored.structure.lines
    lines = {n for n in read if of_rows or restored.observed[n].dims[0] != restored.unit}
    lengths = {len(read[n].values) for n in lines} or {count}
    if lengths != {count}:
        raise InputError(
            f"covariates holds {', '.join(map(str, sorted(lengths)))} "
            f"{'rows' if of_rows else 'lines'}, and {count} are asked for: give as many"
        )
    observed = {}
    for name, reading in restored.observed.items():
        blank = np.zeros((count, *reading.values.shape[1:]), reading.values.dtype)
        if reading.dims[0] == restored.unit and not of_rows:
            blank = np.zeros_like(reading.values)
        observed[name] = read[name] if name in read else replace(reading, values=blank)
    return Problem(*reread(restored.tree, observed, arguments))
