"""Density and assignment probabilities of new rows."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.distributions import HiddenMarkov
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.posterior.density.rows import logits_in_blocks
from ppl_models.posterior.density.sequences import sequence_writer
from ppl_models.posterior.result.restore import RestoredFit, restore
from ppl_models.program.model import Globals, Model
from ppl_models.program.precision import scope
from ppl_models.program.structure import Structure

STEP_CELLS = 4_000_000  #: draw × step × state at once


def log_density(
    tree: xr.DataTree, data: Any = None, *, by_draw: bool = False, draws: int | None = None
) -> xr.DataArray:
    """Log-density of rows, or log-probability of whole sequences, assignments summed out.

    Args:
        tree: a fit.
        data: new rows in any container that ``fit`` takes (default: the fitted ones); missing
            cells are marginalised, where the program can do that.
        by_draw: one value a draw, ``(chain, draw, row)``, instead of the posterior predictive
            density, which is the mean over draws of the density itself.
        draws: use at most this many draws a chain.

    Returns:
        ``(row,)`` or ``(sequence,)``; with chain and draw before it if ``by_draw``.

    Raises:
        InputError: rows that do not have the fit's features, levels or tokens, or that have gaps
            which a network or a chain of n-grams cannot sum out.

    >>> from ppl_models import fit
    >>> tree = fit("poisson_mixture", [1, 2, 3, 9, 8, 9], method="em", seed=0, clusters=1)
    >>> float(log_density(tree, [2]).values[0]) < 0
    True
    """
    with scope(tree.attrs.get("precision", "float64")):
        found = restore(tree, data, draws=draws)
        _refuse_gaps(found)
        rows = found.problem.structure.rows
        every = np.empty((len(_first(found)), rows)) if by_draw else None
        best, scaled = np.full(rows, -np.inf), np.zeros(rows)
        blocks = logits_in_blocks(found.problem, found.values)
        for draw_slice, rows_here, logits in blocks:
            density = np.asarray(logsumexp(logits, axis=1), np.float64)
            if every is not None:
                every[draw_slice, rows_here] = density
                continue
            # a running log-sum-exp over draws
            top = np.maximum(best[rows_here], density.max(0))
            safe = np.where(np.isfinite(top), top, 0)
            scaled[rows_here] = scaled[rows_here] * np.exp(best[rows_here] - safe) + np.exp(
                density - safe
            ).sum(0)
            best[rows_here] = top
    coords = _row_coords(found)
    if every is not None:
        shaped = every.reshape(*found.shape, rows)
        return xr.DataArray(shaped, coords, ("chain", "draw", found.plate), name="log_density")
    with np.errstate(divide="ignore"):
        mean = best + np.log(scaled) - np.log(len(_first(found)))
    return xr.DataArray(mean, coords, (found.plate,), name="log_density")


def _refuse_gaps(found: RestoredFit) -> None:
    """Refuse rows with gaps of which the program has no density."""
    for site, reading in found.observed.items():
        values = reading.values
        gaps = np.isnan(values) if values.dtype.kind == "f" else values < 0
        if not gaps.any() or (written := sequence_writer(found)) is None:
            continue
        if written[1].needs_whole_rows:
            row = int(gaps.reshape(len(gaps), -1).any(1).argmax())
            raise InputError(
                f"{reading.dims[0]} {row} of {site} has a gap, and {type(written[1]).__name__} has "
                "no density of a row with gaps: fill it in with impute"
            )


def predict(
    tree: xr.DataTree, data: Any = None, *, by_draw: bool = False, draws: int | None = None
) -> xr.DataArray:
    """Assignment probabilities of rows.

    Args:
        tree: a fit of a program that assigns.
        data: new rows (default: the fitted ones); missing cells are marginalised.
        by_draw: one table a draw instead of their mean.
        draws: use at most this many draws a chain.

    Returns:
        ``(row, cluster)``; with chain and draw before it if ``by_draw``. Hard methods give zeros
        and ones.

    Raises:
        InputError: a program that assigns nothing, or rows that do not fit.
    """
    with scope(tree.attrs.get("precision", "float64")):
        found = restore(tree, data, draws=draws)
        structure = found.problem.structure
        if structure.assignment is None:
            raise InputError(
                f"the program {tree.attrs['program']} assigns nothing, so that there is no "
                f"cluster to predict: use {_what_serves(found)}"
            )
        count = len(_first(found))
        shape = (structure.rows, structure.clusters)
        table: np.ndarray = np.zeros((count, *shape) if by_draw else shape)
        blocks = logits_in_blocks(found.problem, found.values, shares=True)
        for draw_slice, rows_here, logits in blocks:
            share = _share(logits, found.temperature)
            if by_draw:
                table[draw_slice, rows_here] = share
            else:
                table[rows_here] += share.sum(0) / count
    coords = _row_coords(found) | {"cluster": np.arange(structure.clusters)}
    dims: tuple[str, ...] = (found.plate, "cluster")
    if by_draw:
        table, dims = table.reshape(*found.shape, *shape), ("chain", "draw", *dims)
    return xr.DataArray(table, coords, dims, name="responsibilities")


def _what_serves(found: RestoredFit) -> str:
    """What can be asked of a program that assigns nothing."""
    if found.problem.latent:
        return "state_probabilities or best_paths for the states of its hidden paths"
    if any("offset" in reading.coords for reading in found.observed.values()):
        return "log_density or generate_graphs"
    return "log_density, generate or impute"


def responsibilities(
    tree: xr.DataTree, rows: np.ndarray | None = None, draws: Any = None
) -> np.ndarray:
    """Responsibilities of fitted rows at every draw, ``(chain * draw, row, cluster)``.

    Where nothing is assigned but paths are hidden, the shares of the states at every step of every
    sequence, ``(chain * draw, sequence × position, state)``; zeros after a sequence's end.

    Args:
        tree: a fit.
        rows: positions of rows (default: all).
        draws: positions of the flattened draws, or a slice (default: all).
    """
    with scope(tree.attrs.get("precision", "float64")):
        found = restore(tree)
        model, structure = found.problem.model, found.problem.structure
        values = found.values if draws is None else {n: v[draws] for n, v in found.values.items()}
        if found.problem.states:
            return _of_steps(found.problem, values, rows)
        problem = found.problem
        if rows is not None:
            model = model.with_data({n: np.asarray(v)[rows] for n, v in model.data.items()})
            structure = model.structure()
            problem = Problem(model, structure)
        count = len(next(iter(values.values())))
        table = np.empty((count, structure.rows, structure.clusters), np.float32)
        for draw_slice, rows_here, logits in logits_in_blocks(problem, values, shares=True):
            table[draw_slice, rows_here] = _share(logits, found.temperature)
    return table


def _of_steps(
    problem: Problem, values: dict[str, np.ndarray], steps: np.ndarray | None
) -> np.ndarray:
    """Shares of hidden states, ``(draw, step, state)``."""
    count = len(next(iter(values.values())))
    positions = np.shape(next(iter(problem.model.data.values())))[1]
    chosen = np.arange(problem.structure.rows * positions) if steps is None else steps
    needed, where = np.unique(chosen // positions, return_inverse=True)
    model = problem.model.with_data(
        {n: np.asarray(v)[needed] for n, v in problem.model.data.items()}
    )
    structure = model.structure()
    table = np.empty((count, len(chosen), problem.states), np.float32)
    at_once = max(1, STEP_CELLS // (len(needed) * positions * problem.states))
    for first in range(0, count, at_once):
        block = {n: jnp.asarray(v[first : first + at_once]) for n, v in values.items()}
        shares = np.asarray(_state_shares(model, block, structure=structure))
        table[first : first + at_once] = shares[:, where, chosen % positions]
    return table


@partial(jax.jit, static_argnames=("structure",))
def _state_shares(model: Model, values: Globals, *, structure: Structure) -> Array:
    """``(draw, sequence, position, state)``."""

    def one(held: Globals) -> Array:
        families = model.pieces(held, structure).families()
        name, family = next((n, f) for n, f in families.items() if isinstance(f, HiddenMarkov))
        return family.state_shares(jnp.asarray(model.data[name]))

    return jax.lax.map(one, values)


def _share(logits: Any, temperature: int) -> np.ndarray:
    """``(draw, row, cluster)`` from ``(draw, cluster, row)`` logits."""
    if temperature == 0:
        winner = np.asarray(logits).argmax(1)
        return np.eye(logits.shape[1])[winner]
    return np.asarray(_soft_share(logits)).swapaxes(1, 2)


@jax.jit
def _soft_share(logits: Any) -> Any:
    return jnp.exp(logits - logsumexp(logits, axis=1, keepdims=True))


def _first(found: RestoredFit) -> np.ndarray:
    return next(iter(found.values.values())) if found.values else np.zeros((1,))


def _row_coords(found: RestoredFit) -> dict[str, Any]:
    labels = next(iter(found.observed.values())).coords.get(found.plate)
    rows = found.problem.structure.rows
    known = labels is not None and len(labels) == rows
    return {found.plate: labels if known else np.arange(rows)}
