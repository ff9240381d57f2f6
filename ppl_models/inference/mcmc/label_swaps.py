"""Metropolis label swaps, for mixtures whose labels are not exchangeable.

Under stick breaking an early cluster is larger than a late one a priori, so that the labelling of
a partition has a posterior of its own; so it has wherever a prior or fixed weights tell clusters
apart. A sampler that moves one row at a time hardly ever changes the labelling, and parameters
that depend on it (the sticks, their concentration) are drawn from one mode alone. So two clusters
propose to swap labels, rows and parameters included, by Metropolis steps that need the clusters'
counts and no row. Papaspiliopoulos and Roberts (2008), section 3.4. Sticks are integrated out of
the step and drawn after it, which makes nearly all proposals accepted.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax, random
from jax.scipy.special import betaln

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.priors.scales_and_blocks import plain
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import permute_clusters
from ppl_models.program.parameters.exchangeability import LabelSwaps
from ppl_models.program.trace.structure import Structure


def stick_conditional(prior: Any, counts: Array) -> BetaConditional:
    """Posterior of sticks with a beta prior, given the rows of every cluster.

    v_k ~ Beta(a + N_k, b + N_(k+1) + ... + N_K).  Ishwaran and James (2001), section 5.2.
    """
    beta = plain(prior)
    later = jnp.cumsum(counts[::-1])[::-1][1:]
    return BetaConditional(beta.concentration1 + counts[:-1], beta.concentration0 + later)


def without_sticks(prior: Any, sticks: Array, counts: Array) -> Array:
    """Change of the log joint density when sticks are integrated out.

    The log-density of the sticks is replaced by that of the partition given their prior.
    """
    after, before = stick_conditional(prior, counts), stick_conditional(prior, 0 * counts)
    gain = betaln(after.ones, after.zeros) - betaln(before.ones, before.zeros)
    return gain.sum() - prior.log_prob(sticks).sum()


def swap_labels(
    key: Array,
    swaps: LabelSwaps,
    model: Model,
    structure: Structure,
    values: Globals,
    counts: Array,
) -> tuple[Globals, Array]:
    """Propose as many swaps of two labels as there are clusters; then draw the sticks.

    Args:
        key: random key.
        swaps: axes and sites that are permuted with the labels.
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
        moved = permute_clusters(values, swaps.axes, order)
        pieces = model.pieces(moved, structure)
        assert pieces.log_weights is not None
        if swaps.sticks is not None:
            prior = pieces.priors[swaps.sticks]
            return pieces.log_prior + without_sticks(prior, moved[swaps.sticks], counts[order])
        log_weights = jnp.clip(pieces.log_weights[:, 0], tiny)
        return pieces.log_prior + (counts[order] * log_weights).sum()

    def propose(carry: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        order, density = carry
        first_key, second_key, accept_key = random.split(key, 3)
        first = random.randint(first_key, (), 0, clusters)
        second = (first + random.randint(second_key, (), 1, clusters)) % clusters
        swapped = order.at[first].set(order[second]).at[second].set(order[first])
        proposed = log_density(swapped)
        uniform = random.uniform(accept_key, (), density.dtype)
        accepted = jnp.log(uniform) < proposed - density
        return (jnp.where(accepted, swapped, order), jnp.where(accepted, proposed, density)), None

    start = jnp.arange(clusters)
    keys = random.split(swap_key, clusters)
    (order, _), _ = lax.scan(propose, (start, log_density(start)), keys)
    values = permute_clusters(values, swaps.axes, order)
    if swaps.sticks is not None:
        prior = model.pieces(values, structure).priors[swaps.sticks]
        drawn = stick_conditional(prior, counts[order]).sample(stick_key)
        # a stick that rounding takes to its end would have no density and no finite logarithm
        limits = jnp.finfo(drawn.dtype)
        drawn = jnp.clip(drawn, limits.tiny, 1 - limits.epsneg)
        values[swaps.sticks] = drawn.astype(values[swaps.sticks].dtype)
    return values, order
