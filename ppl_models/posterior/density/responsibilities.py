"""Probabilities of clusters, or of hidden states, at every draw (responsibilities)."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models import memory
from ppl_models.inference.problem import Problem
from ppl_models.posterior.density.rows import logits_in_blocks
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.component_densities import term_log_joint
from ppl_models.program.trace.structure import Structure


def responsibilities(
    fitted: RestoredFit, rows: np.ndarray | None = None, samples: Any = None
) -> np.ndarray:
    """Responsibilities of rows at every draw, ``(sample, row, cluster)``.

    Where nothing is assigned but states are hidden, the probabilities of the states at every step
    of every sequence, ``(sample, sequence × position, state)``; zeros after a sequence's end.
    Of a mixture that is a distribution, without a discrete site, the probabilities of its terms.

    Args:
        fitted: a fit with the rows.
        rows: positions of rows, or of steps (default: all).
        samples: positions of the draws of all chains, or a slice (default: all).
    """
    values = fitted.at(samples)
    if fitted.problem.states:
        return _state_probabilities(fitted, values, rows)
    if fitted.problem.terms:
        return _term_probabilities(fitted, values, rows)
    if rows is not None and fitted.problem.row_order:
        return responsibilities(fitted, None, samples)[:, rows]
    problem = fitted.problem if rows is None else Problem(*fitted.rows(rows))
    structure = problem.structure
    count = len(next(iter(values.values())))
    table = np.empty((count, structure.rows, structure.clusters), np.float32)
    assignments = fitted.facts.assignments
    for block, here, row_logits in logits_in_blocks(problem, values, assignments=assignments):
        table[block, here] = row_logits.responsibilities(hard=fitted.hard)
    return table


def _term_probabilities(
    fitted: RestoredFit, values: dict[str, np.ndarray], rows: np.ndarray | None
) -> np.ndarray:
    """Probabilities of the terms of a mixture distribution, ``(sample, row, term)``."""
    chosen = slice(None) if rows is None else rows
    count = len(next(iter(values.values())))
    numbers = fitted.structure.rows * fitted.problem.terms
    at_once = max(1, memory.BLOCK_NUMBERS // numbers)
    blocks = []
    for first in range(0, count, at_once):
        block = {n: jnp.asarray(v[first : first + at_once]) for n, v in values.items()}
        probabilities = np.asarray(_of_terms(fitted.model, block, structure=fitted.structure))
        blocks.append(probabilities.swapaxes(1, 2)[:, chosen].astype(np.float32))
    return np.concatenate(blocks)


@partial(jax.jit, static_argnames=("structure",))
def _of_terms(model: Model, values: Globals, *, structure: Structure) -> Array:
    """``(draw, term, row)``."""

    def one(held: Globals) -> Array:
        logits = term_log_joint(model, held, structure)
        return jnp.exp(logits - logsumexp(logits, axis=0))

    return jax.lax.map(one, values)


def _state_probabilities(
    fitted: RestoredFit, values: dict[str, np.ndarray], steps: np.ndarray | None
) -> np.ndarray:
    """Probabilities of hidden states, ``(sample, step, state)``."""
    states = fitted.problem.states
    count = len(next(iter(values.values())))
    positions = np.shape(next(iter(fitted.model.data.values())))[1]
    chosen = np.arange(fitted.structure.rows * positions) if steps is None else steps
    sequences, where = np.unique(chosen // positions, return_inverse=True)
    model, structure = fitted.rows(sequences)
    table = np.empty((count, len(chosen), states), np.float32)
    at_once = max(1, memory.BLOCK_NUMBERS // (len(sequences) * positions * states))
    for first in range(0, count, at_once):
        block = {n: jnp.asarray(v[first : first + at_once]) for n, v in values.items()}
        responsibilities = np.asarray(_of_sequences(model, block, structure=structure))
        table[first : first + at_once] = responsibilities[:, where, chosen % positions]
    return table


@partial(jax.jit, static_argnames=("structure",))
def _of_sequences(model: Model, values: Globals, *, structure: Structure) -> Array:
    """``(draw, sequence, position, state)``."""

    def one(held: Globals) -> Array:
        families: dict[str, Any] = dict(model.pieces(held, structure).families())
        name, family = next((n, f) for n, f in families.items() if f.states)
        return family.state_probabilities(jnp.asarray(model.data[name]))

    return jax.lax.map(one, values)
