"""Log-densities of rows whose own continuous sites are integrated out, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models import memory
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.density.rows import row_blocks
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.program.densities.local_integrals import SHIFTS, integrated_logits
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.trace.structure import Structure

ASKED = 4  #: draws by which a fit's standard error is told


def integrated_log_density(fitted: RestoredFit, *, by_draw: bool = False) -> xr.DataArray:
    """Log-density of rows, averaged over the draws or ``by_draw``.

    Its attributes name the exchangeable unit, the sites that are integrated out, and the method of
    integration. With importance sampling, the coordinate ``standard_error`` holds the Monte Carlo
    standard error of every log-density.

    Args:
        fitted: a fit with the rows.
        by_draw: one value a draw, ``(chain, draw, row)``.
    """
    structure, rows = fitted.structure, fitted.structure.rows
    dims: tuple[str, ...] = (fitted.unit,)
    table: np.ndarray
    error: np.ndarray
    if by_draw:
        dims = ("chain", "draw", fitted.unit)
        table = np.empty((fitted.samples, rows))
        error = np.zeros((fitted.samples, rows))
        for draws, here, shift in _by_shift(fitted.problem, fitted.values):
            table[draws, here], error[draws, here] = _mean_and_error(shift.swapaxes(0, 1))
        table, error = (v.reshape(*fitted.shape, rows) for v in (table, error))
    else:
        shifts = None
        for _, here, shift in _by_shift(fitted.problem, fitted.values):
            if shifts is None:
                shifts = np.full((shift.shape[1], rows), -np.inf)
            block = logsumexp(shift, axis=0)
            shifts[:, here] = np.logaddexp(shifts[:, here], block)
        assert shifts is not None
        table, error = _mean_and_error(shifts - np.log(fitted.samples))
    coords: dict[str, Any] = dict(fitted.row_coordinates())
    if not structure.gaussian_locals:
        coords["standard_error"] = (dims, error)
    array = xr.DataArray(table, coords, dims, name="log_density")
    array.attrs = {
        "unit": fitted.unit,
        "integrated_out": ", ".join(structure.locals),
        "integral": "exact" if structure.gaussian_locals else "importance sampling",
    }
    return array


def integral_note(problem: Problem, result: Result) -> str:
    """A sentence on how the rows' continuous sites are integrated out of a fit's densities."""
    structure = problem.structure
    names = " and ".join(f"'{name}'" for name in structure.locals)
    said = f"log_likelihood is that of every {structure.plate} with {names} integrated out"
    if structure.gaussian_locals:
        return f"{said}, exactly"
    flat = {n: result.values[n].reshape(-1, *result.values[n].shape[2:]) for n in structure.names}
    count = len(next(iter(flat.values()))) if flat else 1
    chosen = np.unique(np.linspace(0, count - 1, ASKED).astype(int))
    values = {n: v[chosen] for n, v in flat.items()}
    worst = max(
        float(_mean_and_error(shift.swapaxes(0, 1))[1].max())
        for _, _, shift in _by_shift(problem, values)
    )
    return f"{said}, by importance sampling with a standard error of at most {worst:.2g} a draw"


def _mean_and_error(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the densities' mean over shifts, the first axis, and its standard error."""
    count = len(shifts)
    mean = np.asarray(logsumexp(shifts, axis=0)) - np.log(count)
    if count == 1:
        return mean, np.zeros(mean.shape)
    with np.errstate(invalid="ignore"):
        relative = np.exp(shifts - mean)
    return mean, np.nan_to_num(relative.std(0, ddof=1) / np.sqrt(count))


def _by_shift(
    problem: Problem, values: Mapping[str, np.ndarray]
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Indices of draws and rows, and their log-densities ``(draw, shift, row)``."""
    structure = problem.structure
    count = len(next(iter(values.values()))) if values else 1
    for rows, model, part, abreast in row_blocks(problem):
        at_once = max(1, memory.DENSITY_NUMBERS // (SHIFTS * part.rows))
        for first in range(0, count, at_once):
            draws = slice(first, min(first + at_once, count))
            block = {n: jnp.asarray(v[draws]) for n, v in values.items() if n in structure.names}
            shift = _shifts(model, block, structure=part, abreast=abreast)
            yield draws, rows, np.asarray(shift, np.float64)[..., : len(rows)]


@partial(jax.jit, static_argnames=("structure", "abreast"))
def _shifts(model: Model, values: Globals, *, structure: Structure, abreast: int) -> Array:
    def one(values: Globals) -> Array:
        return logsumexp(integrated_logits(model, values, structure), axis=1)

    return in_batches(one, values, abreast) if values else one({})[None]
