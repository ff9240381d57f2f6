"""Steps of stochastic gradients on mini-batches, a run of them in one compiled call."""

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
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class TrainingOptions:
    """How a guide is trained; static.

    Args:
        steps: most steps.
        batch_size: rows of a batch.
        learning_rate: the largest; it falls to zero towards the last step.
        clip_norm: largest norm of the gradient of the objective per row.
        validation_fraction: share of rows that are not fitted; training stops when they are
            predicted worse.
        patience: rounds (of 20) without a gain on these rows before it stops.
    """

    steps: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    validation_fraction: float
    patience: int

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if min(self.steps, self.batch_size, self.patience) < 1:
            raise InputError(
                f"steps ({self.steps}), batch_size ({self.batch_size}) and patience "
                f"({self.patience}) must be at least 1"
            )
        if min(self.learning_rate, self.clip_norm) <= 0:
            raise InputError(
                f"learning_rate ({self.learning_rate}) and clip_norm ({self.clip_norm}) must be "
                "above 0"
            )
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                f"validation_fraction is {self.validation_fraction}: give a share from 0 to below 1"
            )


class TrainingState(NamedTuple):
    """Parameters of the guide, moments of the optimiser, steps taken."""

    params: Params
    moments: Any
    step: Array


@lru_cache(maxsize=64)
def optimiser(options: TrainingOptions) -> optax.GradientTransformation:
    """Adam with a bounded gradient norm; the learning rate rises briefly, then falls to zero."""
    rate = optax.warmup_cosine_decay_schedule(
        0.1 * options.learning_rate,
        options.learning_rate,
        max(1, options.steps // 50),
        max(2, options.steps),
    )
    return optax.chain(optax.clip_by_global_norm(options.clip_norm), optax.adam(rate))


def row_log_densities(
    model: Model, structure: Structure, values: Globals, data: Mapping[str, Array]
) -> Array:
    """Log-density of the rows of a batch, assignments summed out, ``(row,)``."""
    if structure.own_axes:  # a batch is all rows
        return logsumexp(model.logits(values, structure), axis=0)
    rows = next(iter(data.values())).shape[0]
    batch = model.with_data(data)
    return logsumexp(batch.logits(values, replace(structure, rows=rows)), axis=0)


@partial(jax.jit, static_argnames=("guide", "options"))
def take_steps(
    model: Model,
    known: Mapping[str, Any],
    key: Array,
    state: TrainingState,
    buckets: tuple[tuple[Mapping[str, Array], Array | None], ...],
    rows: tuple[Array, ...],
    count: Any,
    *,
    guide: Guide,
    options: TrainingOptions,
) -> tuple[TrainingState, Array]:
    """Take a run of steps.

    Args:
        model: the program with data.
        known: priors that do not depend on other sites.
        key: random key.
        state: to go on from.
        buckets: rows of similar length, and how often each counts.
        rows: see :class:`Run`.
        count: steps to take.
        guide: what is trained.
        options: how.

    Returns:
        The state after them, and the estimates of the objective per row, summed over the steps.
    """
    structure = guide.structure
    total_rows = model.row_count(structure)

    def loss(params: Params, key: Array, place: Any) -> Array:
        values, log_volume = guide.values(params, key)
        log_likelihood = jnp.zeros(())
        for (bucket, weights), chosen in zip(buckets, rows, strict=True):
            data, scale = bucket, 1.0
            if not structure.own_axes:
                data = {n: v[chosen[place]] for n, v in bucket.items()}
                scale = len(next(iter(bucket.values()))) / chosen.shape[1]
                weights = None if weights is None else weights[chosen[place]]
            by_row = row_log_densities(model, structure, values, data)
            by_row = by_row if weights is None else by_row * weights
            log_likelihood += scale * by_row.sum()
        log_prior = model.pieces(values, structure, known).log_prior
        return -(log_likelihood + log_prior + log_volume + guide.entropy(params)) / total_rows

    def step(place: Any, carry: tuple[TrainingState, Array]) -> tuple[TrainingState, Array]:
        state, total = carry
        step_key = random.fold_in(key, state.step)
        value, gradient = jax.value_and_grad(loss)(state.params, step_key, place)
        moves, moments = optimiser(options).update(gradient, state.moments, state.params)
        params = optax.apply_updates(state.params, moves)
        return TrainingState(params, moments, state.step + 1), total - value

    return lax.fori_loop(0, count, step, (state, jnp.zeros(())))


def total_log_density(problem: Problem, values: Globals, batches: Batches) -> float:
    """Summed log-density of all rows of batches."""
    total = 0.0
    for bucket in batches.buckets:
        for first in range(0, bucket.rows, batches.size):
            rows = np.arange(first, first + batches.size)
            density = _summed_density(
                problem.model,
                values,
                bucket.data,
                bucket.weights,
                np.minimum(rows, bucket.rows - 1),
                rows < bucket.rows,
                structure=problem.structure,
            )
            total += float(density)
    return total


@partial(jax.jit, static_argnames=("structure",))
def _summed_density(
    model: Model,
    values: Globals,
    bucket: Mapping[str, Array],
    weights: Array | None,
    rows: Array,
    present: Array,
    *,
    structure: Structure,
) -> Array:
    data = bucket if structure.own_axes else {n: v[rows] for n, v in bucket.items()}
    by_row = jnp.where(present, row_log_densities(model, structure, values, data), 0)
    return (by_row if weights is None else by_row * weights[rows]).sum()
