"""Densities and assignment probabilities of rows at every draw, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp
from numpyro.distributions import Distribution

from ppl_models.distributions.priors import prior_density
from ppl_models.inference.capabilities import FAMILIES
from ppl_models.inference.problem import Problem, Result
from ppl_models.inference.statistics.chunks import Families, by_length
from ppl_models.posterior.density.impossible import with_impossible
from ppl_models.program.compiling import QUICK, in_batches
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure

CHUNK_CELLS = 8_000_000  #: draw x cluster x row at once
CHUNK_ROWS = 20_000
ABREAST = 16  #: draws side by side
FEW_CELLS = 500_000  #: data of which so few cells are all taken at once


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
    for draw_slice, rows_here, logits in logits_in_blocks(problem, flat):
        density, shares = (np.asarray(v) for v in _summed_out(logits))
        total[draw_slice] += density.sum(1, dtype=np.float64)
        wanted = place[draw_slice]
        kept[np.ix_(wanted[wanted >= 0], rows_here)] = density[wanted >= 0]
        if mean is not None:
            mean[rows_here] += shares.T / count
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
    problem: Problem, values: Mapping[str, np.ndarray], *, shares: bool = False
) -> Iterator[tuple[slice, np.ndarray, Array]]:
    """``log p(z = k, x_n)`` as ``(draw, cluster, row)`` blocks: which draws, which rows, and these.

    Args:
        problem: the program with the data whose rows are meant.
        values: global sites ``(draw, ...)``.
        shares: what is asked is which cluster a row is of. One that no cluster can have made
            is then of those that it contradicts least, in place of ``-inf`` for all.
    """
    structure = problem.structure
    count = len(next(iter(values.values()))) if values else 1
    for rows, part, held, abreast in _blocks(problem):
        mine = replace(structure, rows=held)
        at_once = max(1, CHUNK_CELLS // (structure.clusters * held))
        for first in range(0, count, at_once):
            draws = slice(first, min(first + at_once, count))
            block = {n: jnp.asarray(v[draws]) for n, v in values.items()}
            logits = _logits(part, block, structure=mine, abreast=abreast)
            exact, never = with_impossible(logits, part, block, mine)
            if shares:
                exact = jnp.where(never.all(1, keepdims=True), logits, exact)
            yield draws, rows, exact if held == len(rows) else exact[..., : len(rows)]


def _blocks(problem: Problem) -> Iterator[tuple[np.ndarray, Model, int, int]]:
    """Rows at once, the program with their data, of how many rows, and how many draws go abreast.

    Where rows end those at once are of similar length. Of these all blocks are of one size, so
    that one is compiled: the last is filled up with rows that were there before.
    """
    data = {n: np.asarray(v) for n, v in problem.model.data.items()}
    families: Families = {}
    if sum(v.size for v in data.values()) > FEW_CELLS:  # else all fit, whatever they are
        if problem.offers(FAMILIES):  # others have no lengths
            families = problem.families
    whole = [(np.arange(problem.structure.rows), None)]
    for rows, width in by_length(families, data) if families else whole:
        here = {n: v if width is None else v[:, :width] for n, v in data.items()}
        most, abreast = CHUNK_ROWS, ABREAST
        if families and problem.latent:
            cells = sum(f.numbers_per_row(here[n], missing=False) for n, f in families.items())
            most = max(1, min(CHUNK_ROWS, CHUNK_CELLS // cells))
            abreast = max(1, min(ABREAST, CHUNK_CELLS // (cells * min(most, len(rows)))))
        size = math.ceil(len(rows) / max(1, math.ceil(len(rows) / most)))
        for first in range(0, len(rows), size or 1):
            chosen = rows[first : first + size]
            filled = np.concatenate([chosen, rows[: size - len(chosen)]])
            part = problem.model.with_data({n: v[filled] for n, v in here.items()})
            yield chosen, part, size, abreast


@partial(jax.jit, static_argnames=("structure", "abreast"))
def _logits(model: Model, values: Globals, *, structure: Structure, abreast: int) -> Array:
    if not values:
        return model.logits({}, structure)[None]
    return in_batches(lambda v: model.logits(v, structure), values, abreast)


def log_prior_of_draws(problem: Problem, result: Result) -> dict[str, np.ndarray]:
    """Log prior density of every global site at every draw, ``(chain, draw)``."""
    shape = next(iter(result.values.values())).shape[:2]
    flat = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])) for n, v in result.values.items()}
    priors = problem.independent_priors
    if priors is not None:  # each for itself: compiled once for data of all sizes
        found = {n: _log_density_of_site(prior, flat[n]) for n, prior in priors.items()}
    else:
        found = _log_prior(problem.model, flat, structure=problem.structure)
    return {n: np.asarray(v).reshape(shape) for n, v in found.items()}


@partial(jax.jit, compiler_options=QUICK)
def _log_density_of_site(prior: Distribution, values: Array) -> Array:
    return jax.vmap(lambda v: prior_density(prior, v).sum())(values)


@partial(jax.jit, static_argnames=("structure",))
def _log_prior(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    def one(values: Globals) -> Any:
        priors = model.pieces(values, structure).priors
        return {n: prior_density(p, values[n]).sum() for n, p in priors.items()}

    return in_batches(one, values, 100)
