"""Numbers of hidden states compared, each fitted by maximum likelihood."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.errors import InputError
from ppl_models.evaluation.candidates import (
    Search,
    criteria,
    maximise_likelihood,
    parameter_count,
)
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure

FEW = 10  #: with fewer sequences, standard errors over sequences are unreliable


def need_several(count: int, what: str) -> None:
    """Refuse criteria that leave out sequences if there is only one.

    Raises:
        InputError: the data are a single sequence.
    """
    if count < 2:
        raise InputError(
            f"the data are one sequence, and {what} leaves out whole sequences: use "
            "criterion='bic' or 'aic', or hide steps and compare log_density with and without "
            "them"
        )


def notes(count: int) -> list[str]:
    """Notes on criteria that few sequences do not support."""
    if count == 1:
        return [
            "the data are one sequence: held-out density and leave-one-out, which judge whole "
            "sequences by the others, do not apply"
        ]
    if count < FEW:
        return [
            f"there are {count} sequences: held-out density and leave-one-out over so few say "
            "little"
        ]
    return []


def fit_states(search: Search) -> list[dict[str, Any]]:
    """Rows of the table for one family: one fit for every number of states.

    States cannot be switched off as clusters can: paths would still pass through them, and updates
    that are not in closed form (a stationary start) would change them. Each number of states is
    therefore a program of its own.

    Raises:
        UnsupportedError: a program without EM or without hidden state sequences.
    """
    rows = []
    for states in search.candidates:
        problem, held_out = search.problem("states", states)
        model = problem.model
        maximum = maximise_likelihood(search, problem, states, "states")
        values, log_likelihood = maximum.values, maximum.log_likelihood
        chunks = problem.chunks
        entropy = float(
            _path_entropy(
                model, values, chunks.centres, structure=problem.structure, missing=chunks.missing
            )
        )
        row = {
            **search.varied,
            "states": states,
            **criteria(log_likelihood, parameter_count(problem), _steps(problem), entropy),
            **maximum.report,
        }
        if held_out is not None:
            density = _density(held_out.model, values, structure=held_out.structure)
            row["heldout"] = float(density[held_out.rows].mean())
        rows.append(row)
    return rows


def _steps(problem: Problem) -> float:
    """Number of observed steps of all sequences, the n of BIC."""
    name = problem.structure.emissions[0]
    missing, centre = dict(problem.chunks.missing)[name], problem.chunks.centres[name]
    value = jnp.asarray(problem.model.data[name])
    prepared = problem.families[name].prepare(value, missing=missing, centre=centre)
    seen = jnp.asarray(prepared["seen"])
    if problem.model.weights is None:
        return int(seen.sum())
    # sequences are the last axis of prepared data
    return float((seen * problem.model.weights).sum())


@partial(jax.jit, static_argnames=("structure", "missing"))
def _path_entropy(
    model: Model,
    values: Globals,
    centres: dict[str, Array],
    *,
    structure: Structure,
    missing: tuple[tuple[str, bool], ...],
) -> Array:
    """-Σ log of the most probable path's probability given its sequence."""
    total, gaps = jnp.zeros(()), dict(missing)
    for name, family in model.pieces(values, structure).families().items():
        options: dict[str, Any] = {"missing": gaps[name], "centre": centres[name]}
        prepared = family.prepare(jnp.asarray(model.data[name]), **options)
        summed, best = (
            family.infer_latents(prepared, **options, how=how)[0] for how in ("mean", "best")
        )
        total = total + model.summed((summed - best).reshape(-1))
    return total


@partial(jax.jit, static_argnames=("structure",))
def _density(model: Model, values: Globals, *, structure: Structure) -> Array:
    return logsumexp(model.logits(values, structure), axis=0)
