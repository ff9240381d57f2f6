"""Densities and assignment probabilities of rows at every draw, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from ..inference.problem import Problem, Result
from ..inference.program import Globals, Model, Structure
from ..inference.vanishing import with_impossible

CHUNK_CELLS = 8_000_000  #: draw x cluster x row at once
CHUNK_ROWS = 20_000


@dataclass
class Densities:
    """Marginal log-densities of rows, and what goes with them.

    Args:
        log_density: ``(chain, draw, row)``, every ``every``-th draw.
        total: summed over rows, of all draws, ``(chain, draw)``.
        responsibilities: mean over all draws ``(row, cluster)``, None where nothing is assigned.
        every: thinning of ``log_density``.
    """

    log_density: np.ndarray
    total: np.ndarray
    responsibilities: np.ndarray | None
    every: int


def density_of_draws(problem: Problem, result: Result, most_cells: int) -> Densities:
    """Log-densities of the data's rows at every draw of a result."""
    structure = problem.structure
    chains, draws = next(iter(result.values.values())).shape[:2] if result.values else (1, 1)
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    count, rows = chains * draws, structure.rows
    every = int(np.ceil(count * rows / most_cells)) if result.kind == "draws" else 1
    keep = np.arange(count).reshape(chains, draws)[:, ::every]
    kept = np.empty((keep.size, rows), np.float64)
    place = np.full(count, -1)
    place[keep.ravel()] = np.arange(keep.size)
    total = np.zeros(count)
    mean = np.zeros((rows, structure.clusters)) if structure.assignment else None
    for draw_slice, row_slice, logits in logits_in_blocks(problem.model, structure, flat):
        density, shares = (np.asarray(v) for v in _summed_out(logits))
        total[draw_slice] += density.sum(1, dtype=np.float64)
        wanted = place[draw_slice]
        kept[wanted[wanted >= 0], row_slice] = density[wanted >= 0]
        if mean is not None:
            mean[row_slice] += shares.T / count
    if result.assignment is not None and result.kind == "point" and mean is not None:
        mean = np.eye(structure.clusters)[result.assignment[0, 0]]
    return Densities(kept.reshape(chains, -1, rows), total.reshape(chains, draws), mean, every)


@jax.jit
def _summed_out(logits: Array) -> tuple[Array, Array]:
    """Log-densities ``(draw, row)``, responsibilities summed over draws ``(cluster, row)``."""
    density = logsumexp(logits, axis=1)
    possible = jnp.where(jnp.isneginf(density), 0, density)
    return density, jnp.exp(logits - possible[:, None]).sum(0)


def logits_in_blocks(
    model: Model, structure: Structure, values: Mapping[str, np.ndarray], *, shares: bool = False
) -> Iterator[tuple[slice, slice, Array]]:
    """``log p(z = k, x_n)`` as ``(draw, cluster, row)`` blocks of draws and rows.

    Args:
        model: the program with the data whose rows are meant.
        structure: its structure.
        values: global sites ``(draw, ...)``.
        shares: what is asked is which cluster a row is of. One that no cluster can have made
            is then of those that it contradicts least, in place of ``-inf`` for all.
    """
    count = len(next(iter(values.values()))) if values else 1
    for begin in range(0, structure.rows, CHUNK_ROWS):
        rows = slice(begin, min(begin + CHUNK_ROWS, structure.rows))
        part = model.with_data({n: v[rows] for n, v in model.data.items()})
        part_structure = _with_rows(structure, rows.stop - rows.start)
        at_once = max(1, CHUNK_CELLS // (structure.clusters * (rows.stop - rows.start)))
        for first in range(0, count, at_once):
            draws = slice(first, min(first + at_once, count))
            block = {n: jnp.asarray(v[draws]) for n, v in values.items()}
            logits = _logits(part, block, structure=part_structure)
            exact, never = with_impossible(logits, part, block, part_structure)
            if shares:
                exact = jnp.where(never.all(1, keepdims=True), logits, exact)
            yield draws, rows, exact


def _with_rows(structure: Structure, rows: int) -> Structure:
    from dataclasses import replace

    return replace(structure, rows=rows)


@partial(jax.jit, static_argnames=("structure",))
def _logits(model: Model, values: Globals, *, structure: Structure) -> Array:
    if not values:
        return model.logits({}, structure)[None]
    return jax.lax.map(lambda v: model.logits(v, structure), values, batch_size=16)


def log_prior_of_draws(problem: Problem, result: Result) -> dict[str, np.ndarray]:
    """Log prior density of every global site at every draw, ``(chain, draw)``."""
    shape = next(iter(result.values.values())).shape[:2]
    flat = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])) for n, v in result.values.items()}
    found = _log_prior(problem.model, flat, structure=problem.structure)
    return {n: np.asarray(v).reshape(shape) for n, v in found.items()}


@partial(jax.jit, static_argnames=("structure",))
def _log_prior(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    def one(values: Globals) -> Any:
        priors = model.pieces(values, structure).priors
        return {n: prior.log_prob(values[n]).sum() for n, prior in priors.items()}

    return jax.lax.map(one, values, batch_size=100)
