"""Clusters trade labels, where it matters which label a cluster has.

Under stick breaking an early cluster is larger than a late one a priori, so that the labels of a
partition have a posterior of their own; so they have wherever a prior or held weights tell
clusters apart. Moving one row after another a sampler all but never gets from one labelling to
another, and what depends on the labelling (the sticks, their strength) is drawn from one mode
alone. So whole clusters propose to change places, with rows and parameters, by Metropolis steps
that do not look at the rows. Papaspiliopoulos and Roberts (2008), section 3.4; sticks are summed
out of the step and drawn after it, which lets nearly all of the steps through.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax, random
from jax.scipy.special import betaln

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.priors import plain
from ppl_models.program.axes import permute_clusters
from ppl_models.program.exchangeability import LabelSwaps
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure


def stick_conditional(prior: Any, counts: Array) -> BetaConditional:
    """Posterior of sticks with a beta prior, given the rows of every cluster.

    v_k ~ Beta(a + N_k, b + N_(k+1) + ... + N_K).  Ishwaran and James (2001), section 5.2.
    """
    beta = plain(prior)
    later = jnp.cumsum(counts[::-1])[::-1][1:]
    return BetaConditional(beta.concentration1 + counts[:-1], beta.concentration0 + later)


def without_sticks(prior: Any, sticks: Array, counts: Array) -> Array:
    """What summing sticks out adds to the log joint density, but for the assignments' own term.

    The log-density of the sticks goes, that of the partition given their prior comes.
    """
    after, before = stick_conditional(prior, counts), stick_conditional(prior, 0 * counts)
    gain = betaln(after.ones, after.zeros) - betaln(before.ones, before.zeros)
    return gain.sum() - prior.log_prob(sticks).sum()


def swap_labels(
    key: Array,
    moves: LabelSwaps,
    model: Model,
    structure: Structure,
    values: Globals,
    counts: Array,
) -> tuple[Globals, Array]:
    """As many proposals to swap two clusters as there are clusters; then sticks anew.

    Args:
        key: random key.
        moves: what goes with a label.
        model: the program with its data.
        structure: what was read off it.
        values: of the global sites.
        counts: rows of every cluster, ``(cluster,)``.

    Returns:
        The sites' new values, and the order ``(cluster,)`` of old clusters in new places.
    """
    clusters = structure.clusters
    swap_key, stick_key = random.split(key)
    tiny = jnp.log(jnp.finfo(counts.dtype).tiny)

    def log_density(order: Array) -> Array:
        """Of labels and sites given the partition, up to a constant, sticks summed out."""
        moved = permute_clusters(values, moves.axes, order)
        pieces = model.pieces(moved, structure)
        assert pieces.log_weights is not None
        if moves.sticks is not None:
            prior = pieces.priors[moves.sticks]
            return pieces.log_prior + without_sticks(prior, moved[moves.sticks], counts[order])
        log_weights = jnp.clip(pieces.log_weights[:, 0], tiny)
        return pieces.log_prior + (counts[order] * log_weights).sum()

    def propose(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        order, density = carry
        first_key, second_key, accept_key = random.split(key, 3)
        first = random.randint(first_key, (), 0, clusters)
        second = (first + random.randint(second_key, (), 1, clusters)) % clusters
        swapped = order.at[first].set(order[second]).at[second].set(order[first])
        there = log_density(swapped)
        chance = random.uniform(accept_key, (), density.dtype)
        accepted = jnp.log(chance) < there - density
        return (jnp.where(accepted, swapped, order), jnp.where(accepted, there, density)), None

    start = jnp.arange(clusters)
    keys = random.split(swap_key, clusters)
    (order, _), _ = lax.scan(propose, (start, log_density(start)), keys)
    values = permute_clusters(values, moves.axes, order)
    if moves.sticks is not None:
        prior = model.pieces(values, structure).priors[moves.sticks]
        drawn = stick_conditional(prior, counts[order]).sample(stick_key)
        # a stick that rounding takes to its end would have no density and no finite logarithm
        limits = jnp.finfo(drawn.dtype)
        drawn = jnp.clip(drawn, limits.tiny, 1 - limits.epsneg)
        values[moves.sticks] = drawn.astype(values[moves.sticks].dtype)
    return values, order
