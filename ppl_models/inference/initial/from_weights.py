"""Global sites from probabilities of clusters, or of hidden states, by a few M-steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.inference.initial.points import standardise
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Expectations, hard
from ppl_models.inference.statistics.m_step import maximise
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.trace.structure import Structure

SMOOTHING = 0.1  #: share of each row that is spread over all clusters at the start
SWEEPS = 3  #: M-steps, each of all sites in turn


@dataclass(frozen=True)
class Update:
    """What an M-step from given weights does; static."""

    structure: Structure
    links: tuple[ParameterLink, ...]
    free: tuple[str, ...]
    flat: bool
    missing: tuple[tuple[str, bool], ...]


def smoothed(weights: Array, counted: Array | float = 1.0) -> Array:
    """Weights ``(cluster, point)`` with a share of every point spread over all clusters.

    Args:
        weights: of the clusters.
        counted: how often each point counts, ``(point,)``.
    """
    return (1 - SMOOTHING) * weights + SMOOTHING / len(weights) * counted


def values_from_weights(
    model: Model,
    update: Update,
    arrays: dict[str, Array],
    centres: dict[str, Array],
    values: Globals,
    weights: Array,
    key: Array | None = None,
    *,
    sweeps: int = SWEEPS,
) -> Globals:
    """Global sites that given weights make most probable.

    Args:
        model: the program with data.
        update: which sites are moved, and how.
        arrays: rows that weights are given of, by emission.
        centres: a point amid every site's data.
        values: of the global sites, to begin with.
        weights: of the clusters, ``(cluster, row)``; where there is no assignment, of the hidden
            states, ``(state, step × sequence)``.
        key: of seeds for the states of hidden chains that are assigned to clusters; None: they keep
            the states that ``values`` give them.
        sweeps: M-steps.
    """
    structure, gaps = update.structure, dict(update.missing)
    chunks = Chunks((), jnp.arange(weights.shape[1]), centres, update.missing)
    by_state = structure.assignment is None

    statistics = {}
    for name, family in model.pieces(values, structure).families().items():
        options: dict[str, Any] = {"missing": gaps[name], "centre": centres[name]}
        if by_state:
            summary = family.seed_statistics(weights, arrays[name], **options)
        elif family.latent and key is not None:
            summary = _seeded_chains(key, family, weights, arrays[name], **options)
        else:
            summary = family.expected_statistics(weights, arrays[name], **options)
        statistics[name] = summary
    counts = weights.sum(-1)
    if by_state:
        counts = counts.sum(keepdims=True)
    expected = Expectations(jnp.zeros(()), counts, statistics)

    def improve(_: int, values: Globals) -> Globals:
        return maximise(
            model,
            structure,
            update.links,
            update.free,
            values,
            expected,
            chunks,
            flat=update.flat,
            again=True,
        )

    return lax.fori_loop(0, sweeps, improve, values)


def _seeded_chains(
    key: Array, family: Any, weights: Array, value: Array, *, missing: bool, centre: Array
) -> Statistics:
    """Statistics of hidden chains, one a cluster, whose steps go to the nearest of drawn seeds.

    From values that are next to equal for all states EM would hardly get away.

    Args:
        key: random key.
        family: hidden chains, one a component.
        weights: of the sequences, ``(cluster, sequence)``.
        value: the sequences.
        missing: whether steps are missing in part.
        centre: the shift of the rows.
    """
    points, seen = standardise(family.start_points(value)), family.observed_points(value)
    shape = (len(weights), family.states)
    chosen = random.choice(key, len(points), shape, p=seen / seen.sum())
    one = family.replace(
        **{
            name: getattr(family, name)[:1]
            for name in family.parameter_dims
            if name not in family.shared_parameters
        }
    )

    def of_cluster(chosen: Array, weight: Array) -> Statistics:
        centres_at = points[chosen]
        distance = (centres_at**2).sum(-1)[:, None] - matmul(2 * centres_at, points.T)
        states, _ = hard(-distance, jnp.ones(len(points), points.dtype))
        states = smoothed(states) * jnp.tile(weight, len(points) // len(weight))
        return one.seed_statistics(states, value, missing=missing, centre=centre)

    # the leading axis is the component's, or that of all states of all components
    by_cluster = jax.vmap(of_cluster)(chosen, weights)
    return jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), by_cluster)
