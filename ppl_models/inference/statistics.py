"""One pass over the data: assignments are summed out, maximised or drawn; statistics remain.

Rows are taken in chunks that fit a processor's cache, by a scan, so that memory is bounded
whatever the number of rows. Logits are kept as (cluster, row): maxima, exponentials and sums then
run along rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..distributions.exponential_family import ExponentialFamily, Statistics, has_missing
from .program import Pieces, Structure

CHUNK_ROWS = 20_000

#: logits (cluster, row) -> weights (cluster, row), log-normaliser (row,)
Assign = Callable[[Array, Array], tuple[Array, Array]]


class Pass(NamedTuple):
    """What a pass over the data leaves."""

    log_normaliser: Array  #: summed over rows: log p(x) (soft) or the largest log p(z, x) (hard)
    counts: Array  #: rows a cluster, (cluster,)
    statistics: dict[str, Statistics]  #: by emission site


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Chunks:
    """Data cut into chunks of rows: ``arrays[site]`` is ``(chunk, row, ...)``.

    ``present (chunk, row)`` is 1 for a row, 0 for the padding of the last chunk. ``missing`` says
    whether a site has gaps, ``centres`` holds a point amid every site's data.
    """

    arrays: dict[str, Array]
    present: Array
    centres: dict[str, Array]
    missing: tuple[tuple[str, bool], ...]

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays are leaves; which sites have gaps is static."""
        return (self.arrays, self.present, self.centres), (self.missing,)

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> Chunks:
        """Inverse of flatten."""
        return cls(*leaves, *static)


def cut(
    data: Mapping[str, Any], families: Mapping[str, ExponentialFamily], chunk_rows: int = CHUNK_ROWS
) -> Chunks:
    """Cut concrete data into chunks.

    Args:
        data: site name -> ``(row, ...)``.
        families: the emission family of every site, for its centre.
        chunk_rows: most rows of a chunk.
    """
    rows = len(next(iter(data.values())))
    count = max(1, math.ceil(rows / chunk_rows))
    size = math.ceil(rows / count)
    padding = count * size - rows
    arrays, centres, missing = {}, {}, []
    for name in sorted(families):
        value = np.asarray(data[name])
        centres[name] = families[name].centre(jnp.asarray(value))
        gaps = has_missing(value) or bool(
            np.issubdtype(value.dtype, np.integer)
            and families[name].event_dim
            and (value < 0).any()
        )
        missing.append((name, gaps))
        if padding:
            value = np.concatenate([value, np.repeat(value[:1], padding, axis=0)])
        arrays[name] = jnp.asarray(value).reshape(count, size, *value.shape[1:])
    present = (jnp.arange(count * size) < rows).reshape(count, size)
    return Chunks(arrays, present, centres, tuple(missing))


def soft(logits: Array, present: Array) -> tuple[Array, Array]:
    """Responsibilities and log-normalisers: temperature 1."""
    top = lax.stop_gradient(logits.max(0))
    shifted = jnp.exp(logits - top)
    total = shifted.sum(0)
    return shifted * (present / total), (top + jnp.log(total)) * present


def hard(logits: Array, present: Array) -> tuple[Array, Array]:
    """All weight on the best cluster (the first of equals): temperature 0.

    A running comparison over clusters is one fused pass; ``argmax`` is slow on CPUs.
    """
    best, winner = logits[0], jnp.zeros(logits.shape[1], jnp.int32)
    for k in range(1, logits.shape[0]):
        better = logits[k] > best
        best, winner = jnp.where(better, logits[k], best), jnp.where(better, k, winner)
    one_hot = winner[None, :] == jnp.arange(logits.shape[0])[:, None]
    return one_hot * present, best * present


def sweep(
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    assign: Assign = soft,
    active: Array | None = None,
) -> Pass:
    """One pass over all rows.

    Args:
        pieces: the program's densities at given values of the global sites.
        structure: what was read off the program.
        chunks: the data.
        assign: what becomes of the assignments.
        active: ``(cluster,)``, the clusters that may have rows (default: all).

    Returns:
        Log-normaliser, counts and statistics, summed over rows.
    """
    families = pieces.families()
    missing = dict(chunks.missing)

    def chunk(arrays: Mapping[str, Array], present: Array) -> Pass:
        logits = chunk_logits(pieces, families, structure, arrays, chunks.centres, missing)
        if active is not None:
            logits = jnp.where(active[:, None], logits, -jnp.inf)
        weights, normaliser = assign(logits, present.astype(logits.dtype))
        statistics = {
            name: family.expected_statistics(
                weights, arrays[name], missing=missing[name], centre=chunks.centres[name]
            )
            for name, family in families.items()
        }
        return Pass(normaliser.sum(), weights.sum(-1), statistics)

    if chunks.present.shape[0] == 1:
        return chunk({n: a[0] for n, a in chunks.arrays.items()}, chunks.present[0])

    def add(total: Pass, piece: tuple[Mapping[str, Array], Array]) -> tuple[Pass, None]:
        return jax.tree.map(jnp.add, total, chunk(*piece)), None

    first = {n: a[0] for n, a in chunks.arrays.items()}
    shapes = jax.eval_shape(chunk, first, chunks.present[0])
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return lax.scan(add, zero, (chunks.arrays, chunks.present))[0]


def chunk_logits(
    pieces: Pieces,
    families: Mapping[str, ExponentialFamily],
    structure: Structure,
    arrays: Mapping[str, Array],
    centres: Mapping[str, Array],
    missing: Mapping[str, bool],
) -> Array:
    """``log p(z = k, x_n)`` of one chunk, ``(cluster, row)``."""
    total: Any = 0.0 if pieces.log_weights is None else pieces.log_weights
    for name, family in families.items():
        total = total + family.contract(arrays[name], missing=missing[name], centre=centres[name])
    return total


def expected_log_joint(pieces: Pieces, swept: Pass, chunks: Chunks) -> Array:
    """Log joint density of globals, assignments and data that the statistics imply.

    log prior(θ) + Σ_k N_k log π_k + Σ_k <S_k, η_k> - N_k A(η_k): a function of the globals that
    costs the same whatever the number of rows.
    """
    total = pieces.log_prior
    if pieces.log_weights is not None:
        tiny = jnp.log(jnp.finfo(swept.counts.dtype).tiny)
        total = total + (swept.counts * jnp.clip(pieces.log_weights[:, 0], tiny)).sum()
    for name, family in pieces.families().items():
        density = family.expected_log_density(swept.statistics[name], chunks.centres[name])
        total = total + density.sum()
    return total
