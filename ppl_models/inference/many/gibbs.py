"""Gibbs sampling on many data sets at once: all chains of a batch of groups side by side.

A chain of a group is what ``methods.gibbs`` runs, from a start near the group's own mode. Labels
are compared with the assignments at that mode, draw by draw (ECR of Papastamoulis and Iliopoulos
2010): all that is kept for it is how many rows of each cluster of a draw are of each cluster there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from jax.scipy.special import logsumexp

from ppl_models.data.progress import progress_bar
from ppl_models.distributions.contraction import matmul
from ppl_models.inference.initial.boundary import off_boundary
from ppl_models.inference.many.buckets import Bucket, Groups, Reading, batches, by_batch, lanes_of
from ppl_models.inference.many.em import Points, densities, em_of_bucket, row_logits
from ppl_models.inference.many.known import GroupModel
from ppl_models.inference.many.starts import keys_of
from ppl_models.inference.mcmc.chain_starts import SEARCH_ITERATIONS
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model


class Plan(NamedTuple):
    """The length of the chains; static."""

    chains: int
    warmup: int
    draws: int
    thinning: int


@dataclass
class Draws:
    """What Gibbs sampling found of every group.

    Args:
        values: ``(group, chain, draw, ...)``.
        lp: log posterior density, up to a constant, ``(group, chain, draw)``.
        agreement: rows of each cluster of a draw that are of each cluster at the mode,
            ``(group, chain, draw, cluster, cluster at the mode)``.
        accepted: acceptance rate of sites without a closed form, ``(group,)``.
        mode: where the chains started about.
    """

    values: dict[str, np.ndarray]
    lp: np.ndarray
    agreement: np.ndarray
    accepted: np.ndarray
    mode: Points


def gibbs_of_bucket(
    problem: Problem,
    bucket: Bucket,
    key: Array,
    plan: Plan,
    *,
    dispersion: float,
    starts: int,
) -> Draws:
    """Draws of every group of a bucket.

    Args:
        problem: the program with the data of one group.
        bucket: the groups.
        key: random key.
        plan: the length of the chains.
        dispersion: standard deviation of the starts about the mode, in the unconstrained space.
        starts: of EM, which looks for the mode.
    """
    em_key, run_key = random.split(key)
    mode = em_of_bucket(
        problem,
        bucket,
        em_key,
        starts=starts,
        iterations=SEARCH_ITERATIONS,
        tolerance=None,
        flat=False,
    )
    _, responsibilities, _ = densities(problem, bucket, mode.values)
    pivot = responsibilities.argmax(1).astype(np.int32)
    count = len(bucket.members)
    size = max(1, lanes_of(problem, bucket.length) // plan.chains)
    model = jax.tree.map(jnp.asarray, problem.model)
    keys = keys_of(run_key, bucket.members)
    reading = Reading(problem)
    draws_by_batch: list[Any] = []
    with progress_bar(count, f"gibbs, {count} groups", problem.progress) as bar:
        for places, new in batches(count, size):
            batch = jax.tree.map(
                lambda v, p=places: v[p], (bucket.groups, mode.values, pivot, keys)
            )
            result = _chains(model, *batch, dispersion, reading=reading, plan=plan)
            draws_by_batch.append(jax.tree.map(lambda v, n=new: np.asarray(v)[:n], result))
            bar.update(new)
    values, lp, agreement, accepted = jax.tree.map(lambda *v: np.concatenate(v), *draws_by_batch)
    return Draws(values, lp, agreement, accepted, mode)


@partial(jax.jit, static_argnames=("reading", "plan"))
def _chains(
    model: Model,
    groups: Groups,
    mode: Globals,
    pivot: Array,
    keys: Array,
    dispersion: Any,
    *,
    reading: Reading,
    plan: Plan,
) -> tuple[Globals, Array, Array, Array]:
    """Values, lp and agreement ``(group, chain, draw, ...)``, acceptance rates ``(group,)``."""
    structure = reading.problem.structure

    def of_group(groups: Groups, mode: Globals, pivot: Array, key: Array) -> Any:
        group = GroupModel.of(model, groups.known)
        kernel = StatisticsGibbs(reading.problem.on_data(group, groups.chunks))
        present = groups.chunks.parts[0].present[0]
        at_mode = (pivot == jnp.arange(structure.clusters)[:, None]) & (present > 0)
        inside_key, move_key, key = random.split(key, 3)
        inside = structure.initial(inside_key, radius=0.5)
        space = structure.space
        free = {s.name: off_boundary(s, mode[s.name], inside[s.name]) for s in space.sites}

        def chain(move_key: Array, key: Array) -> Any:
            names = zip(random.split(move_key, len(free)), free.items(), strict=True)
            moved = {n: v + dispersion * random.normal(k, v.shape, v.dtype) for k, (n, v) in names}
            state = kernel.init(key, plan.warmup, space.constrain(moved), (), {})

            def keep(state: Any, sweeps: Array) -> tuple[Any, Any]:
                state = lax.fori_loop(0, sweeps, lambda _, s: kernel.sample(s, (), {}), state)
                pieces = group.pieces(state.z, structure)
                logits = row_logits(pieces, groups)
                density = logsumexp(logits, axis=0)
                probabilities = jnp.exp(logits - density)
                lp = (density * (present > 0)).sum() + pieces.log_prior
                agreement = matmul(probabilities, at_mode.T.astype(probabilities.dtype))
                return state, (state.z, lp, agreement, state.accept_prob)

            sweeps = jnp.full(plan.draws, plan.thinning).at[0].add(plan.warmup)
            return lax.scan(keep, state, sweeps)[1]

        chains = plan.chains
        return jax.vmap(chain)(random.split(move_key, chains), random.split(key, chains))

    values, lp, agreement, accepted = jax.vmap(of_group)(groups, mode, pivot, keys)
    return values, lp, agreement, accepted.mean((1, 2))


def densities_of_draws(
    problem: Problem, bucket: Bucket, values: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Log-densities ``(group, draw, row)``, and mean responsibilities ``(group, cluster, row)``.

    Args:
        problem: the program with the data of one group.
        bucket: the groups.
        values: of the global sites, ``(group, draw, ...)``.
    """
    size = max(1, lanes_of(problem, bucket.length) // 4)
    find = partial(_densities_of_draws, problem.model, reading=Reading(problem))
    return by_batch(find, size, len(bucket.members), bucket.groups, dict(values))


@partial(jax.jit, static_argnames=("reading",))
def _densities_of_draws(
    model: Model, groups: Groups, values: Globals, *, reading: Reading
) -> tuple[Array, Array]:
    structure = reading.problem.structure

    def of_group(groups: Groups, values: Globals) -> tuple[Array, Array]:
        group = GroupModel.of(model, groups.known)

        def one(total: Array, at: Globals) -> tuple[Array, Array]:
            logits = row_logits(group.pieces(at, structure), groups)
            density = logsumexp(logits, axis=0)
            possible = jnp.where(jnp.isneginf(density), 0, density)
            return total + jnp.exp(logits - possible), density

        rows = groups.chunks.parts[0].present.shape[-1]
        count = jax.tree.leaves(values)[0].shape[0]
        zero = jnp.zeros((structure.clusters, rows), jnp.result_type(float))
        total, density = lax.scan(one, zero, values)
        return density, total / count

    return jax.vmap(of_group)(groups, values)
