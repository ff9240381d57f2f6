"""Leave rows out of data that cannot be sliced, by marking their cells as missing.

Rows cannot be sliced where their cells are behind an index array or in an inner plate, or where the
density of a row depends on its position. Missing cells carry no information: the hidden variables
of such a row sum or integrate to one, and the posterior is that of the data without the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jax import Array

from ppl_models import catalogue
from ppl_models.errors import UnsupportedError
from ppl_models.inference.capabilities import require
from ppl_models.inference.missing_cells import refuse_missing_cells
from ppl_models.inference.problem import Problem
from ppl_models.posterior.density.rows import logits_in_blocks
from ppl_models.program.arguments.signature import defaults
from ppl_models.program.densities.unit_reading import with_units
from ppl_models.program.model import Model
from ppl_models.program.trace.structure import Structure


def without_rows(model: Model, structure: Structure, rows: np.ndarray) -> Model:
    """The program with the cells of some rows missing.

    Args:
        model: the program with its data.
        structure: of the program.
        rows: indices of the rows.

    Raises:
        UnsupportedError: data that the program transforms before it observes them, or a family
            without a density for missing cells.
    """
    data = dict(model.data)
    for name in structure.emissions:
        if name not in data or name in structure.computed:
            raise UnsupportedError(
                f"site '{name}' observes what the program computes from its data, whose rows "
                "cannot be left out: give the program what it observes as data"
            )
        value = np.asarray(data[name])
        place = np.arange(structure.rows)
        if name in structure.indexed:
            assert model.units is not None
            place = np.asarray(model.units.rows[name])
        gone = np.isin(place, rows)
        # axes of cells come first, in the order of the data; the axes after them are of one cell
        each = gone.reshape(-1, 1).repeat(value.size // gone.size, axis=1).reshape(value.shape)
        data[name] = np.where(each, np.nan, value.astype(np.result_type(value, np.float32)))
    reduced = with_units(replace(model, data=data, units=None), structure)
    refuse_missing_cells(Problem(reduced, structure))
    return reduced


def scores_of_fold(
    problem: Problem,
    rows: np.ndarray,
    method: str,
    configuration: Mapping[str, Any],
    key: Array,
) -> np.ndarray:
    """Log-densities of some rows under the posterior without them, ``(row,)``.

    Args:
        problem: the program with all rows.
        rows: indices of the rows of the fold.
        method: one that draws.
        configuration: its options.
        key: random key.
    """
    model, structure = without_rows(problem.model, problem.structure, rows), problem.structure
    part = Problem(model, structure, known_row_order=problem.row_order)
    require(method, part)
    run = getattr(catalogue.method(method), method)
    options = {n: v for n, v in configuration.items() if n in defaults(run)}
    result = run(part, key, **options)
    values = {n: result.values[n].reshape(-1, *result.values[n].shape[2:]) for n in structure.names}
    blocks = []
    for draws, here, row_logits in logits_in_blocks(problem, values):
        blocks.append((draws, here, row_logits.summed_out()[0]))
    density = np.empty((max(d.stop for d, _, _ in blocks), structure.rows))
    for draws, here, block in blocks:
        density[np.ix_(np.arange(draws.start, draws.stop), here)] = block
    chosen = density[:, rows]
    highest = chosen.max(0)
    mean: np.ndarray = highest + np.log(np.exp(chosen - highest).mean(0))
    return mean
