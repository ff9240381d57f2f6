"""Rows, or the steps of sequences, as points among which the seeds of starts are looked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.initial.known import sampled_rows
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import by_length

SEED_ROWS = 10_000  #: rows that seeds are looked for among
LONG = 2.0  #: of sequences, so many times the mean length: what is beyond is left out there


def seed_points(problem: Problem, key: Array) -> tuple[Array, dict[str, Array], Array | None]:
    """Rows as standardised points, at most ``SEED_ROWS`` of them, the same rows' data and weights.

    Where rows hide paths the points are their steps; where such rows are assigned to clusters,
    moments of their steps.
    """
    weights = problem.model.weights
    data: Mapping[str, Any] = problem.model.data
    chosen = sampled_rows(problem, key, SEED_ROWS)
    if chosen is not None:
        data = {name: np.asarray(value)[chosen] for name, value in data.items()}
        weights = None if weights is None else np.asarray(weights)[chosen]
    if problem.states:
        data = {name: _not_too_long(problem, name, np.asarray(v)) for name, v in data.items()}
    arrays = {name: jnp.asarray(data[name]) for name in problem.families}
    points = [
        _points(f, arrays[name], by_step=bool(problem.states))
        for name, f in problem.families.items()
    ]
    return jnp.concatenate(points, -1), arrays, None if weights is None else jnp.asarray(weights)


def _points(family: ExponentialFamily, value: Array, *, by_step: bool) -> Array:
    if family.latent and not by_step:
        return standardise(_step_moments(family, value))
    points = family.start_points(value)
    return _one_scale(points) if family.points_on_one_scale else standardise(points)


def _step_moments(family: ExponentialFamily, value: Array) -> Array:
    """Of every sequence's steps, by coordinate: mean, standard deviation and mean squared change.

    ``(sequence, coordinate)``. The changes tell sequences apart that pass through the same states
    for longer or shorter.
    """
    points = family.start_points(value)
    steps = points.astype(jnp.result_type(points, float)).reshape(-1, len(value), points.shape[-1])
    moments = [jnp.nanmean(steps, 0), jnp.nanstd(steps, 0)]
    if len(steps) > 1:
        moments.append(jnp.nanmean((steps[1:] - steps[:-1]) ** 2, 0))
    return jnp.concatenate(moments, -1)


def _not_too_long(problem: Problem, name: str, value: np.ndarray) -> np.ndarray:
    """Sequences without what is beyond most of them, where all would mostly be padding."""
    family = problem.families[name]
    if len(by_length({name: family}, {name: value})) == 1:
        return value
    lengths = family.lengths(value)
    return value[:, : math.ceil(LONG * lengths.mean())] if lengths is not None else value


@jax.jit
def standardise(points: Array) -> Array:
    """Points whose coordinates each have mean 0 and standard deviation 1; what is missing is 0."""
    points = points.astype(jnp.result_type(points, float))
    spread = jnp.nanstd(points, 0)
    points = (points - jnp.nanmean(points, 0)) / jnp.where(spread > 0, spread, 1)
    return jnp.nan_to_num(points)


@jax.jit
def _one_scale(points: Array) -> Array:
    """Points whose coordinates keep their spreads relative to each other, 1 in the mean square."""
    points = points - points.mean(0)
    spread = jnp.sqrt((points**2).mean())
    return points / jnp.where(spread > 0, spread, 1)


def window_means(points: Array, sequences: int, width: Array) -> Array:
    """Means of the points ``(position × sequence, coordinate)`` from so many steps around each.

    A single step of categories is one of few points; what is near to it tells states that last
    apart.
    """
    steps = points.reshape(-1, sequences, points.shape[-1])
    sums = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps, 0)])
    place = jnp.arange(len(steps))
    last = jnp.minimum(place + width + 1, len(steps))
    first = jnp.maximum(place - width, 0)
    means = (sums[last] - sums[first]) / (last - first)[:, None, None]
    return means.reshape(points.shape)
