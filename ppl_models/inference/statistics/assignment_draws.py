"""One pass over the data that draws assignments, and missing cells where that is needed.

One uniform number per row is compared with the running sum of the clusters' probabilities: a fused
pass, where a Gumbel number for every row and cluster would cost several times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array, random

from ppl_models.inference.statistics.chunks import ASSIGNED, Chunks, Families, over_chunks
from ppl_models.inference.statistics.e_step import (
    Expectations,
    Scales,
    finalize,
    log_joint_and_latents,
    scaled,
    soft,
)
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.trace.structure import Structure


def draw_clusters(key: Array, logits: Array) -> Array:
    """Draw a cluster for every row.

    Args:
        key: random key.
        logits: ``(cluster, row)``, not normalised.

    Returns:
        ``(row,)`` of integers.

    >>> draw_clusters(random.key(0), jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]))).tolist()
    [1, 0]
    """
    unnormalised = jnp.exp(logits - logits.max(0))
    # below 1, so that rounding never chooses a last cluster of probability 0
    uniform = random.uniform(key, (logits.shape[1],), logits.dtype)
    target = uniform * (1 - 4 * jnp.finfo(logits.dtype).eps) * unnormalised.sum(0)
    running, chosen = jnp.zeros_like(target), jnp.zeros(logits.shape[1], jnp.int32)
    for k in range(logits.shape[0] - 1):
        running = running + unnormalised[k]
        chosen = chosen + (running <= target)
    return chosen


def draw_counts(key: Array, logits: Array, copies: Array) -> Array:
    """How many copies of every row are in each cluster: multinomial draws, ``(cluster, row)``.

    Args:
        key: random key.
        logits: ``(cluster, row)``, not normalised.
        copies: whole numbers ``(row,)``.

    >>> draw_counts(random.key(0), jnp.log(jnp.array([[0.0], [1.0]])), jnp.array([5.0])).tolist()
    [[0.0], [5.0]]
    """
    unnormalised = jnp.exp(logits - logits.max(0))
    left, rest = copies.astype(logits.dtype), unnormalised.sum(0)
    counts_so_far = []
    for k, own in enumerate(random.split(key, logits.shape[0] - 1)):
        # what is left over by rounding goes to no cluster of probability 0
        probability = jnp.clip(unnormalised[k] / jnp.where(rest > 0, rest, 1), 0, 1)
        probability = jnp.where(unnormalised[k + 1 :].sum(0) > 0, probability, 1)
        drawn = jnp.where(
            probability >= 1, left, random.binomial(own, left, probability, dtype=left.dtype)
        )
        drawn = jnp.where(probability > 0, drawn, 0)
        counts_so_far.append(drawn)
        left, rest = left - drawn, rest - unnormalised[k]
    return jnp.stack([*counts_so_far, left])


def draw_and_sum(
    key: Array,
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    *,
    keep: bool = False,
    active: Array | None = None,
) -> tuple[Expectations, Array | None]:
    """Draw every row's assignment and sum the sufficient statistics.

    Args:
        key: random key.
        pieces: the program's densities at the current values of the global sites.
        structure: what was read off the program.
        chunks: the data.
        keep: return the assignments too; not of rows that count several times.
        active: ``(cluster,)``, the clusters that may have rows (default: all).

    Returns:
        Counts and statistics (the log-normaliser is left at zero), assignments ``(row,)``.
    """
    keys = random.split(key, chunks.count)
    added, chosen = draw_and_add(keys, pieces, structure, chunks, keep=keep, active=active)
    return finalize_drawn(added, pieces.families(), chunks), chosen


def finalize_drawn(added: Expectations, families: Families, chunks: Chunks) -> Expectations:
    """Sums of `draw_and_add` as statistics by name, missing cells drawn where families say so.

    Args:
        added: sums over chunks, or over blocks.
        families: of the emissions.
        chunks: centres and gaps.
    """
    missing = dict(chunks.missing)
    left_out = {n: missing[n] and not family.draws_missing for n, family in families.items()}
    return finalize(added, families, left_out, chunks)


def draw_and_add(
    keys: Array,
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    *,
    keep: bool = False,
    active: Array | None = None,
    density: bool = False,
) -> tuple[Expectations, Array | None]:
    """As `draw_and_sum`, before `finalize_drawn`: sums that add up over blocks of rows.

    Args:
        keys: random keys, ``(chunk,)``.
        pieces: as of `draw_and_sum`, and so are all others.
        structure: what was read off the program.
        chunks: the data.
        keep: return the assignments too.
        active: the clusters that may have rows.
        density: sum the rows' log-densities up as well, assignments summed out.
    """
    families = pieces.families()
    missing = dict(chunks.missing)

    def chunk(
        arrays: Mapping[str, Any], present: Array, scales: Scales, key: Array
    ) -> tuple[Expectations, Any]:
        clusters_key, *cell_keys = random.split(key, 1 + len(families))
        logits, arrays = log_joint_and_latents(
            pieces, families, arrays, chunks, "draw", scales, cell_keys
        )
        if active is not None:
            logits = jnp.where(active[:, None], logits, -jnp.inf)
        if chunks.weighted:
            chosen = jnp.zeros(0, jnp.int32)  # the copies of a row may be in several
            weights = draw_counts(clusters_key, logits, present)
        else:
            chosen = draw_clusters(clusters_key, logits)
            one_hot = (chosen[None, :] == jnp.arange(structure.clusters)[:, None]) & present
            weights = one_hot.astype(logits.dtype)
        statistics = {}
        for cell_key, (name, family) in zip(cell_keys, families.items(), strict=True):
            centre = chunks.centres[name]
            value, gaps = family.draw_hidden(
                cell_key, arrays[name], chosen, missing=missing[name], centre=centre
            )
            own = scaled(weights, scales, name)
            statistics[name] = family.chunk_statistics(own, value, missing=gaps, centre=centre)
        counts = scaled(weights, scales, ASSIGNED).sum(-1)
        normaliser = jnp.zeros((), logits.dtype)
        if density:
            normaliser = soft(logits, present.astype(logits.dtype))[1].sum()
        expected = Expectations(normaliser, counts, statistics)
        return expected, chosen if keep else None

    by_part = []
    for part in chunks.parts:
        count = part.present.shape[0]
        by_part.append(keys[:count])
        keys = keys[count:]
    expected, chosen = over_chunks(chunk, chunks, by_part)
    return expected, chunks.in_order(chosen) if keep else None
