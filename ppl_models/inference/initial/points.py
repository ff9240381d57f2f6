"""Rows, or the steps of sequences, as points among which the seeds of starts are chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.initial.known import sampled_rows
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import by_length
from ppl_models.program.block_rows import SEED_ROWS

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
    arrays = {name: np.asarray(data[name]) for name in problem.families}
    counted = None if weights is None else np.asarray(weights)
    points = [
        _points(f, _for(f, arrays[name]), counted, by_step=bool(problem.states))
        for name, f in problem.families.items()
    ]
    held = jax.device_put((arrays, counted))
    return jax.device_put(points[0]) if len(points) == 1 else jnp.concatenate(points, -1), *held


def _for(family: ExponentialFamily, value: np.ndarray) -> Any:
    """On the host where the rows are points as they come, which then are nothing to compile."""
    own = type(family).start_points is ExponentialFamily.start_points
    return value if own and not family.points_on_one_scale else jnp.asarray(value)


def _points(family: ExponentialFamily, value: Any, counted: Any, *, by_step: bool) -> Array:
    if family.latent and not by_step:
        return standardise(_step_moments(family, value), counted)
    points = family.start_points(value)
    if counted is not None and by_step:
        counted = jnp.tile(counted, len(points) // len(counted))
    if isinstance(points, np.ndarray):
        return _standardised(np, points, counted)
    scaled = _one_scale if family.points_on_one_scale else standardise
    return scaled(points, counted)


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
    """Sequences cut to a typical length where a few long ones would make most cells padding."""
    family = problem.families[name]
    if len(by_length({name: family}, {name: value})) == 1:
        return value
    lengths = family.lengths(value)
    return value[:, : math.ceil(LONG * lengths.mean())] if lengths is not None else value


@jax.jit
def standardise(points: Array, counted: Array | None = None) -> Array:
    """Points whose coordinates each have mean 0 and standard deviation 1; what is missing is 0.

    Args:
        points: ``(point, coordinate)``.
        counted: how often each point counts, ``(point,)`` (default: once).
    """
    return _standardised(jnp, points, counted)


def _standardised(library: Any, points: Any, counted: Any) -> Any:
    points = points.astype(jnp.result_type(points, float))
    count = library.ones(len(points), points.dtype) if counted is None else counted
    seen = library.where(missing_cells(points), 0, count.astype(points.dtype)[:, None])
    total = library.maximum(seen.sum(0), jnp.finfo(points.dtype).tiny)
    points = points - (seen * library.nan_to_num(points)).sum(0) / total
    spread = library.sqrt((seen * library.nan_to_num(points) ** 2).sum(0) / total)
    return library.nan_to_num(points / library.where(spread > 0, spread, 1))


@jax.jit
def _one_scale(points: Array, counted: Array | None = None) -> Array:
    """Points whose coordinates keep their spreads relative to each other, 1 in the mean square."""
    count = jnp.ones(len(points), points.dtype) if counted is None else counted
    count = (count / count.sum())[:, None]
    points = points - (count * points).sum(0)
    spread = jnp.sqrt((count * points**2).sum() / points.shape[1])
    return points / jnp.where(spread > 0, spread, 1)


def window_means(points: Array, sequences: int, width: Array) -> Array:
    """Means of the points ``(position × sequence, coordinate)`` from so many steps around each.

    Steps of categories take few distinct values; means over neighbouring steps tell apart states
    that last for several steps.
    """
    steps = points.reshape(-1, sequences, points.shape[-1])
    sums = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps, 0)])
    place = jnp.arange(len(steps))
    last = jnp.minimum(place + width + 1, len(steps))
    first = jnp.maximum(place - width, 0)
    means = (sums[last] - sums[first]) / (last - first)[:, None, None]
    return means.reshape(points.shape)
