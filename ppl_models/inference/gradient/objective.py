"""Steps of stochastic gradients, compiled: a run of batches at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax, random
from jax.scipy.special import logsumexp

from ppl_models.errors import InputError
from ppl_models.inference.gradient.batches import Batches
from ppl_models.inference.gradient.guides import Guide, Params
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure


@dataclass(frozen=True)
class Training:
    """How a guide is trained; static.

    Args:
        steps: most steps.
        batch: rows of a batch.
        rate: largest learning rate.
        clip: largest norm of the gradient of the objective per row.
        held_out: share of rows kept aside, on which training stops when they are predicted worse.
        patience: rounds (of 20) without a gain there before it stops.
    """

    steps: int
    batch: int
    rate: float
    clip: float
    held_out: float
    patience: int

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if min(self.steps, self.batch, self.patience) < 1:
            raise InputError(
                f"steps ({self.steps}), batch ({self.batch}) and patience ({self.patience}) must "
                "be at least 1"
            )
        if min(self.rate, self.clip) <= 0:
            raise InputError(f"rate ({self.rate}) and clip ({self.clip}) must be above 0")
        if not 0 <= self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}: give a share from 0 to below 1")


class State(NamedTuple):
    """Where training stands."""

    params: Params
    moments: Any
    step: Array


@lru_cache(maxsize=64)
def optimiser(plan: Training) -> optax.GradientTransformation:
    """Adam, its gradient's norm bounded, its rate rising for a moment and then falling to zero."""
    rate = optax.warmup_cosine_decay_schedule(
        0.1 * plan.rate, plan.rate, max(1, plan.steps // 50), max(2, plan.steps)
    )
    return optax.chain(optax.clip_by_global_norm(plan.clip), optax.adam(rate))


def row_densities(
    model: Model, structure: Structure, values: Globals, data: Mapping[str, Array]
) -> Array:
    """Log-density of the rows of a batch, assignments summed out, ``(row,)``."""
    rows = next(iter(data.values())).shape[0]
    part = model.with_data(data)
    return logsumexp(part.logits(values, replace(structure, rows=rows)), axis=0)


@partial(jax.jit, static_argnames=("guide", "plan"))
def advance(
    model: Model,
    known: Mapping[str, Any],
    key: Array,
    state: State,
    buckets: tuple[Mapping[str, Array], ...],
    rows: tuple[Array, ...],
    count: Any,
    *,
    guide: Guide,
    plan: Training,
) -> tuple[State, Array]:
    """Take a run of steps; the objective's estimates per row, summed over them.

    Args:
        model: the program with data.
        known: priors that no site moves.
        key: random key.
        state: where training stands.
        buckets: rows of similar length.
        rows: see :class:`Run`.
        count: steps to take.
        guide: what is trained.
        plan: how.
    """
    structure = guide.structure
    total_rows = structure.rows

    def loss(params: Params, key: Array, place: Any) -> Array:
        values, volume = guide.values(params, key)
        fitted = jnp.zeros(())
        for bucket, chosen in zip(buckets, rows, strict=True):
            data = {n: v[chosen[place]] for n, v in bucket.items()}
            scale = len(next(iter(bucket.values()))) / chosen.shape[1]
            fitted = fitted + scale * row_densities(model, structure, values, data).sum()
        prior = model.pieces(values, structure, known).log_prior
        return -(fitted + prior + volume + guide.entropy(params)) / total_rows

    def step(place: Any, carry: tuple[State, Array]) -> tuple[State, Array]:
        state, total = carry
        here = random.fold_in(key, state.step)
        value, slope = jax.value_and_grad(loss)(state.params, here, place)
        moves, moments = optimiser(plan).update(slope, state.moments, state.params)
        params = optax.apply_updates(state.params, moves)
        return State(params, moments, state.step + 1), total - value

    return lax.fori_loop(0, count, step, (state, jnp.zeros(())))


def row_total(problem: Problem, values: Globals, batches: Batches) -> float:
    """Summed log-density of all rows of batches."""
    total = 0.0
    for bucket in batches.buckets:
        for first in range(0, bucket.rows, batches.size):
            rows = np.arange(first, first + batches.size)
            found = _densities(
                problem.model,
                values,
                bucket.data,
                np.minimum(rows, bucket.rows - 1),
                rows < bucket.rows,
                structure=problem.structure,
            )
            total += float(found)
    return total


@partial(jax.jit, static_argnames=("structure",))
def _densities(
    model: Model,
    values: Globals,
    bucket: Mapping[str, Array],
    rows: Array,
    present: Array,
    *,
    structure: Structure,
) -> Array:
    data = {n: v[rows] for n, v in bucket.items()}
    return jnp.where(present, row_densities(model, structure, values, data), 0).sum()
