"""Densities and assignment probabilities of rows at every draw, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models import memory
from ppl_models.distributions.priors.scales_and_blocks import prior_density
from ppl_models.distributions.scaled import times
from ppl_models.inference.capabilities import FAMILIES
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.chunks import Families, by_length
from ppl_models.posterior.density.impossible import with_impossible
from ppl_models.posterior.result.schema import Assignments
from ppl_models.program.chains.chain_densities import best_states
from ppl_models.program.densities.local_integrals import points_a_row
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Globals, Model
from ppl_models.program.rows.padding import padded_structure, with_rows
from ppl_models.program.runtime.compiling import in_batches, quickly
from ppl_models.program.runtime.distribution_trees import by_name, plain_trees
from ppl_models.program.trace.structure import Structure

ABREAST = 16  #: draws side by side
FEWEST = 200  #: draws that are evaluated, however long it takes


@dataclass
class Densities:
    """Marginal log-densities of rows, and what goes with them.

    Args:
        log_density: ``(chain, draw, unit)``, every ``every``-th draw; see ``Structure.unit_count``.
        total: summed over rows, of all draws, ``(chain, draw)``; of those kept where the rows'
            continuous sites are integrated out.
        responsibilities: mean over all draws ``(row, cluster)``, None where nothing is assigned.
        every: thinning of ``log_density``.
    """

    log_density: np.ndarray
    total: np.ndarray
    responsibilities: np.ndarray | None
    every: int


def density_of_draws(problem: Problem, result: Result, most_cells: int) -> Densities:
    """Log-densities of the data's rows at every draw of a result.

    Args:
        problem: program and data.
        result: of the method.
        most_cells: most numbers of pointwise log-densities that are kept; draws are thinned.
    """
    structure = problem.structure
    chains, draws = next(iter(result.values.values())).shape[:2] if result.values else (1, 1)
    values = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    samples, rows = chains * draws, structure.rows
    every = int(np.ceil(samples * rows / most_cells)) if result.kind == "draws" else 1
    if structure.locals:
        every = max(every, thinning_of_locals(problem, samples))
    evaluated = np.arange(samples).reshape(chains, draws)[:, ::every].ravel()
    if structure.locals:  # integrals take long, so that the draws left out are not evaluated
        values = {n: values[n][evaluated] for n in structure.names}
        samples, draws = len(evaluated), len(evaluated) // chains
        evaluated = np.arange(samples)
    weights = problem.model.weights
    counted = None if weights is None else np.asarray(weights, np.float64)
    units = structure.unit_count
    pointwise = np.empty((len(evaluated), units), np.float64)
    place = np.full(samples, -1)
    place[evaluated] = np.arange(len(evaluated))
    total = np.zeros(samples)
    mean = np.zeros((rows, structure.clusters)) if structure.assignment else None
    for block, here, row_logits in logits_in_blocks(problem, values):
        density, responsibilities = row_logits.summed_out()
        total[block] += (
            density.sum(1, dtype=np.float64) if counted is None else density @ counted[here]
        )
        wanted = place[block]
        places = np.ix_(wanted[wanted >= 0], here[:units])
        pointwise[places] = of_units(density[wanted >= 0], structure)
        if mean is not None:
            mean[here] += responsibilities.T / samples
    if result.assignment is not None and result.kind == "point" and mean is not None:
        mean = np.eye(structure.clusters)[result.assignment[0, 0]]
    total = total.reshape(chains, draws)
    return Densities(pointwise.reshape(chains, -1, units), total, mean, every)


def of_units(density: np.ndarray, structure: Structure) -> np.ndarray:
    """Log-densities of the exchangeable units from those of rows, ``(draw, row)``."""
    if structure.unit_count == structure.rows:
        return density
    return density.reshape(len(density), structure.unit_count, -1).sum(2)


@dataclass(frozen=True)
class RowLogits:
    """``log p(z = k, x_n)`` of some rows at some draws.

    Args:
        padded: ``(draw, cluster, row)``, rows that only fill up at the end.
        rows: how many do not.
        summed: what :func:`_summed_out` makes of it, where that is known.
    """

    padded: Array
    rows: int
    summed: tuple[Array, Array] | None = None

    @property
    def logits(self) -> np.ndarray:
        """``(draw, cluster, row)``."""
        return np.asarray(self.padded)[..., : self.rows]

    def summed_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-densities ``(draw, row)``, responsibilities summed over draws ``(cluster, row)``."""
        arrays = _summed_out(self.padded) if self.summed is None else self.summed
        density, responsibilities = (np.asarray(v)[:, : self.rows] for v in arrays)
        return density, responsibilities

    def responsibilities(self, *, hard: bool) -> np.ndarray:
        """``(draw, row, cluster)``; of a row's best cluster 1 if ``hard``."""
        if hard:
            return np.eye(self.padded.shape[1])[self.logits.argmax(1)]
        return np.asarray(_soft(self.padded)).swapaxes(1, 2)[:, : self.rows]


@jax.jit
def _soft(logits: Array) -> Array:
    return jnp.exp(logits - logsumexp(logits, axis=1, keepdims=True))


@jax.jit
def _summed_out(logits: Array) -> tuple[Array, Array]:
    """Log-densities ``(draw, row)``, responsibilities summed over draws ``(cluster, row)``."""
    density = logsumexp(logits, axis=1)
    possible = jnp.where(jnp.isneginf(density), 0, density)
    return density, jnp.exp(logits - possible[:, None]).sum(0)


def thinning_of_locals(problem: Problem, draws: int) -> int:
    """Thinning of draws that bounds the cost of integrals over row-level sites."""
    structure = problem.structure
    cells = sum(np.size(v) for v in problem.model.data.values())
    work = cells * points_a_row(structure) * structure.clusters
    fewest = min(draws, FEWEST)
    return max(1, min(draws // fewest, math.ceil(draws * work / memory.INTEGRATED_NUMBERS)))


def logits_in_blocks(
    problem: Problem,
    values: Mapping[str, np.ndarray],
    *,
    assignments: Assignments | None = None,
) -> Iterator[tuple[slice, np.ndarray, RowLogits]]:
    """``log p(z = k, x_n)`` in blocks ``(draw, cluster, row)``.

    Args:
        problem: the program with the rows.
        values: global sites ``(draw, ...)``.
        assignments: "soft" or "hard" where the result serves to assign rows to clusters. A row of
            density zero under every cluster is then assigned to the clusters that it contradicts
            least, instead of ``-inf`` for all; with "hard" a cluster's density of a sequence is
            that of its Viterbi path.

    Yields:
        Which draws, which rows, and the block.
    """
    structure = problem.structure
    count = len(next(iter(values.values()))) if values else 1
    by_best_path = assignments == "hard" and problem.latent
    for rows, model, part, abreast in row_blocks(problem):
        missing = _with_missing(problem, model) if by_best_path else None
        at_once = max(1, memory.DENSITY_NUMBERS // (structure.clusters * part.rows))
        for first in range(0, count, at_once):
            draws = slice(first, min(first + at_once, count))
            block = jax.device_put({n: v[draws] for n, v in values.items()})
            if assignments == "hard" and structure.chain is not None:
                best = _on_best_paths(model, block, structure=part)
                yield draws, rows, RowLogits(best, len(rows))
                continue
            logits, above, *summed = _logits(
                model, block, structure=part, abreast=abreast, missing=missing
            )
            # (what is integrated out is not clipped; else nothing that is impossible is seen)
            if structure.locals or structure.coupled or bool(above):
                yield draws, rows, RowLogits(logits, len(rows), tuple(summed))
                continue
            exact, never = with_impossible(logits, model, block, part)
            if assignments is not None:
                exact = jnp.where(never.all(1, keepdims=True), logits, exact)
            yield draws, rows, RowLogits(exact, len(rows))


def row_blocks(problem: Problem) -> Iterator[tuple[np.ndarray, Model, Structure, int]]:
    """Rows per block, the model and structure of a block, and how many draws run side by side.

    Sequences of similar length share blocks. All blocks of one length have the same size, so that
    one program is compiled for them: the last block is padded with repeated rows.
    """
    chain = problem.structure.chain
    if chain is not None:
        numbers = chain.series * chain.steps * chain.runs
        abreast = max(1, min(ABREAST, memory.DENSITY_NUMBERS // numbers))
        yield np.arange(problem.structure.rows), problem.model, problem.structure, abreast
        return
    if problem.structure.indexed:
        count = problem.structure.rows
        sampled = problem.structure.locals and not problem.structure.gaussian_locals
        alone = problem.cells > memory.DENSITY_ROWS or sampled
        yield np.arange(count), problem.model, problem.structure, 1 if alone else ABREAST
        return
    data = {n: np.asarray(v) for n, v in problem.model.data.items()}
    families: Families = {}
    small = sum(v.size for v in data.values()) <= memory.SMALL_DATA_NUMBERS
    if not small and problem.offers(FAMILIES):  # others have no lengths
        families = problem.families
    together = [(np.arange(problem.structure.rows), None)]
    for rows, width in by_length(families, data) if families else together:
        here = {n: v if width is None else v[:, :width] for n, v in data.items()}
        most, abreast = memory.DENSITY_ROWS, ABREAST
        if problem.structure.locals:
            most = max(1, memory.BLOCK_NUMBERS // points_a_row(problem.structure))
            abreast = ABREAST if problem.structure.gaussian_locals else 1
        if families and problem.latent:
            cells = sum(f.numbers_per_row(here[n], missing=False) for n, f in families.items())
            most = max(1, min(memory.DENSITY_ROWS, memory.DENSITY_NUMBERS // cells))
            abreast = max(1, min(ABREAST, memory.DENSITY_NUMBERS // (cells * min(most, len(rows)))))
        size = math.ceil(len(rows) / max(1, math.ceil(len(rows) / most)))
        if len(rows) > size and problem.row_order:
            size, abreast = len(rows), 1
        if problem.row_order or problem.structure.locals:
            part = with_rows(problem.structure, size)
        else:
            # a pass over hidden states takes as long as its rows are many
            hidden = problem.latent and problem.offers(FAMILIES)
            part = padded_structure(problem.structure, size, here, narrow=not hidden)
            size = part.rows
        for first in range(0, len(rows), size or 1):
            chosen = rows[first : first + size]
            filled = np.concatenate([chosen, rows[np.arange(size - len(chosen)) % len(rows)]])
            model = problem.model.with_data({n: v[filled] for n, v in here.items()})
            yield chosen, model, part, abreast


def _with_missing(problem: Problem, model: Model) -> tuple[str, ...]:
    """Emissions whose data have missing cells."""
    return tuple(n for n, f in problem.families.items() if f.has_missing_cells(model.data[n]))


@partial(jax.jit, static_argnames=("structure", "abreast", "missing"))
def _logits(
    model: Model,
    values: Globals,
    *,
    structure: Structure,
    abreast: int,
    missing: tuple[str, ...] | None,
) -> tuple[Array, Array, Array, Array]:
    """``(draw, cluster, row)``, paths of hidden states summed out; see :func:`_best_paths`.

    Also whether all rows are above the log-density of an impossible row, and the result of
    :func:`_summed_out`: one compiled program computes all three.
    """

    def one(values: Globals) -> Array:
        if missing is None:
            return model.logits(values, structure)
        return _best_paths(model, values, structure, missing)

    logits = in_batches(one, values, abreast) if values else one({})[None]
    lowest = np.log(np.finfo(logits.dtype).tiny)
    return logits, (logits.max(1) > lowest).all(), *_summed_out(logits)


@partial(jax.jit, static_argnames=("structure",))
def _on_best_paths(model: Model, values: Globals, *, structure: Structure) -> Array:
    """``(draw, state, row)``: 0 on the best path of a chain, ``-inf`` elsewhere."""

    def one(values: Globals) -> Array:
        best = best_states(model, values, structure)
        return jnp.where(best == jnp.arange(structure.clusters)[:, None], 0.0, -jnp.inf)

    return in_batches(one, values, 1) if values else one({})[None]


def _best_paths(
    model: Model, values: Globals, structure: Structure, missing: tuple[str, ...]
) -> Array:
    """``(cluster, row)`` along each cluster's Viterbi path, as fits with hard assignments use.

    Args:
        model: the program with its data.
        values: global sites.
        structure: of the program.
        missing: emissions of whose data cells are missing.
    """
    pieces = model.pieces(values, structure)
    total = jnp.zeros((structure.clusters, structure.rows))
    if pieces.log_weights is not None:
        total = total + times(pieces.scales.get(str(structure.assignment)), pieces.log_weights)
    for name, family in pieces.families().items():
        value = jnp.asarray(model.data[name])
        options: dict[str, Any] = {"missing": name in missing, "centre": family.centre(value)}
        best = family.infer_latents(family.prepare(value, **options), **options, how="best")[0]
        total = total + times(pieces.scales.get(name), best)
    return model.possible(total)


def log_joint_of_draws(problem: Problem, result: Result) -> np.ndarray:
    """Log joint density of the data and all sites, those of the rows too, ``(chain, draw)``."""
    shape = next(iter(result.values.values())).shape[:2]
    flat = jax.device_put({n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()})
    log_joint = _log_joint(problem.model, flat, structure=problem.structure.with_locals())
    return np.asarray(log_joint, np.float64).reshape(shape)


@partial(jax.jit, static_argnames=("structure",))
def _log_joint(model: Model, values: Globals, *, structure: Structure) -> Array:
    return in_batches(partial(log_joint, model, structure), values, ABREAST)


def log_prior_of_draws(problem: Problem, result: Result) -> dict[str, np.ndarray]:
    """Log prior density of every global site, and factors, at every draw, ``(chain, draw)``."""
    shape = next(iter(result.values.values())).shape[:2]
    flat = jax.device_put({n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()})
    priors = problem.independent_priors
    if priors is not None:  # each for itself: compiled once for data of all sizes
        by_site = {n: _log_density_of_site(by_name(prior), flat[n]) for n, prior in priors.items()}
    else:
        model, structure = (problem.padded or problem).program
        by_site = _log_prior(model, flat, structure=structure)
    if problem.structure.factors:
        by_site = {**by_site, **_factors(problem.model, flat, structure=problem.structure)}
    return {n: np.asarray(v).reshape(shape) for n, v in by_site.items()}


@partial(jax.jit, static_argnames=("structure",))
def _factors(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    return in_batches(lambda held: dict(model.pieces(held, structure).factors), values, 100)


@quickly()
def _log_density_of_site(prior: Any, values: Array) -> Array:
    prior = plain_trees(prior)
    return jax.vmap(lambda v: prior_density(prior, v).sum())(values)


@partial(jax.jit, static_argnames=("structure",))
def _log_prior(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    def one(values: Globals) -> Any:
        priors = model.pieces(values, structure).priors
        return {n: prior_density(p, values[n]).sum() for n, p in priors.items()}

    return in_batches(one, values, 100)
