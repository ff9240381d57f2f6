"""The E-step: expected sufficient statistics, assignments summed out, maximised or drawn.

Logits are laid out as (cluster, row): maxima, exponentials and sums then run along rows. Statistics
are summed over chunks, see ``chunks.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import logsumexp

from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.scaled import times
from ppl_models.inference.statistics.chunks import ASSIGNED, Chunks, Families, over_chunks
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import KNOWN_CLUSTER, only_known
from ppl_models.program.trace.structure import Structure

#: logits (cluster, row) -> weights (cluster, row), log-normaliser (row,)
Assign = Callable[[Array, Array], tuple[Array, Array]]
Scales = Mapping[str, Array]  #: of a chunk, see ``chunks.Part``


class Expectations(NamedTuple):
    """Expected sufficient statistics of all rows, and the log-normaliser."""

    log_normaliser: Array  #: summed over rows: log p(x) (soft) or the largest log p(z, x) (hard)
    counts: Array  #: rows a cluster, (cluster,)
    statistics: dict[str, Statistics]  #: by emission site


def soft(logits: Array, present: Array) -> tuple[Array, Array]:
    """Responsibilities and log-normalisers: temperature 1."""
    top = lax.stop_gradient(logits.max(0))
    shifted = jnp.exp(logits - top)
    total = shifted.sum(0)
    density = top + jnp.log(total)
    # a row that counts for nothing may be one that every cluster holds impossible
    counts = present > 0
    responsibility = jnp.where(counts, present / total, 0)
    return jnp.where(counts, shifted, 0) * responsibility, jnp.where(counts, density * present, 0)


def winners(logits: Array) -> tuple[Array, Array]:
    """The largest value over clusters and its cluster, the first of equals.

    A running comparison over clusters is one fused pass; ``argmax`` is slow on CPUs.
    """
    best, winner = logits[0], jnp.zeros(logits.shape[1], jnp.int32)
    for k in range(1, logits.shape[0]):
        better = logits[k] > best
        best, winner = jnp.where(better, logits[k], best), jnp.where(better, k, winner)
    return best, winner


def hard(logits: Array, present: Array) -> tuple[Array, Array]:
    """All weight on the best cluster: temperature 0."""
    best, winner = winners(logits)
    one_hot = winner[None, :] == jnp.arange(logits.shape[0])[:, None]
    return one_hot * present, jnp.where(present > 0, best * present, 0)


def e_step(
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    assign: Assign = soft,
    active: Array | None = None,
    nearby: Nearby | None = None,
) -> Expectations:
    """Expected sufficient statistics of all rows under the current parameters.

    Args:
        pieces: the program's densities at given values of the global sites.
        structure: what was read off the program.
        chunks: the data.
        assign: what becomes of the assignments.
        active: ``(cluster,)``, the clusters that may have rows (default: all).
        nearby: a point that log-densities are measured from.

    Returns:
        Log-normaliser, counts and statistics, summed over rows.
    """
    added = sums_over_rows(pieces, structure, chunks, assign, active, nearby)
    return finalize(added, pieces.families(), dict(chunks.missing), chunks)


def sums_over_rows(
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    assign: Assign = soft,
    active: Array | None = None,
    nearby: Nearby | None = None,
) -> Expectations:
    """Sums over rows, to be added up over blocks and passed to :func:`finalize`.

    Args:
        pieces: as of :func:`e_step`, and so are all others.
        structure: what was read off the program.
        chunks: the data.
        assign: what becomes of the assignments.
        active: the clusters that may have rows.
        nearby: a point that log-densities are measured from.
    """
    families = pieces.families()
    missing = dict(chunks.missing)
    how = "best" if assign is hard else "mean"

    def chunk(
        arrays: Mapping[str, Any], present: Array, scales: Scales, *known: Array
    ) -> tuple[Expectations, None]:
        if nearby is None:
            logits, arrays = log_joint_and_latents(pieces, families, arrays, chunks, how, scales)
        else:
            logits = _add_up(nearby.point, arrays, scales) - known[0]
            logits = _possible(logits + _add_up(nearby.step, arrays, scales), scales)
        if active is not None:
            logits = jnp.where(active[:, None], logits, -jnp.inf)
        weights, normaliser = assign(logits, present.astype(logits.dtype))
        added = {
            name: family.chunk_statistics(
                scaled(weights, scales, name),
                arrays[name],
                missing=missing[name],
                centre=chunks.centres[name],
            )
            for name, family in families.items()
        }
        counts = scaled(weights, scales, ASSIGNED).sum(-1)
        return Expectations(normaliser.sum(), counts, added), None

    return over_chunks(chunk, chunks, *([] if nearby is None else [nearby.rows]))[0]


def scaled(weights: Array, scales: Scales, site: str) -> Array:
    """Weights of rows ``(cluster, row)``, or logits, times the factor of a site's log-density.

    A factor s of log p(x_n | z) counts the row's statistics s times, and so it does the row's
    assignment where it is one of log p(z).
    """
    return times(scales[site], weights) if site in scales else weights


def finalize(
    added: Expectations, families: Families, missing: Mapping[str, bool], chunks: Chunks
) -> Expectations:
    """Sums over chunks as `Expectations`, the statistics of every family by name."""
    statistics = {
        name: family.finalize(
            added.statistics[name], missing=missing[name], centre=chunks.centres[name]
        )
        for name, family in families.items()
    }
    return added._replace(statistics=statistics)


class Coefficients(NamedTuple):
    """Natural parameters and log-normalisers, where families stack their statistics."""

    log_weights: Array  #: (cluster, 1)
    natural: dict[str, Array]  #: by site, (cluster, statistic)


class Nearby(NamedTuple):
    """A reference point, and the difference of the current coefficients from it.

    A step's coefficients are as small as the step is, and so are their rounding errors, which are
    the same in every row and would otherwise add up over all of them.
    """

    point: Coefficients
    step: Coefficients
    rows: list[Array]  #: log-densities of the rows at the point by part, (chunk, row)


def _add_up(coefficients: Coefficients, arrays: Mapping[str, Array], scales: Scales) -> Array:
    return scaled(coefficients.log_weights, scales, ASSIGNED) + sum(
        scaled(matmul(c, arrays[n]), scales, n) for n, c in coefficients.natural.items()
    )


def coefficients(log_weights: Array, families: Families, chunks: Chunks) -> Coefficients:
    """In double precision, whatever the precision of the parameters."""
    missing = dict(chunks.missing)
    with jax.enable_x64(True):
        log_weights = log_weights.astype(jnp.float64)
        log_weights = log_weights - logsumexp(log_weights)
        natural = {}
        for name, family in families.items():
            flat: Any = family.components()
            exact = flat.replace(
                **{n: getattr(flat, n).astype(jnp.float64) for n in flat.parameter_dims}
            )
            centre = chunks.centres[name].astype(jnp.float64)
            natural[name] = exact.coefficients(missing=missing[name], centre=centre)
        return Coefficients(log_weights, natural)


def _possible(logits: Array, scales: Scales) -> Array:
    """Logits, ``-inf`` where a row is known to be of another cluster."""
    return only_known(logits, scales[KNOWN_CLUSTER]) if KNOWN_CLUSTER in scales else logits


def row_normalisers(point: Coefficients, chunks: Chunks) -> list[Array]:
    """The log-normaliser of every row by part, ``(chunk, row)``; 0 for padding."""

    def chunk(
        arrays: Mapping[str, Array], present: Array, scales: Scales
    ) -> tuple[tuple[()], Array]:
        logits = _possible(_add_up(point, arrays, scales), scales)
        return (), soft(logits, (present > 0).astype(logits.dtype))[1]

    return over_chunks(chunk, chunks)[1]


def log_joint_and_latents(
    pieces: Pieces,
    families: Families,
    arrays: Mapping[str, Any],
    chunks: Chunks,
    how: str,
    scales: Scales,
    keys: Sequence[Array] | None = None,
) -> tuple[Array, dict[str, Any]]:
    """``log p(z = k, x_n)`` of one chunk, and its rows with the posterior of their latents.

    Args:
        pieces: the program's densities.
        families: its emissions.
        arrays: the chunk's rows.
        chunks: centres and gaps.
        how: what becomes of what an emission hides: "mean", "best" or "draw".
        scales: factors of the log-densities of the chunk's rows, see ``chunks.Part``.
        keys: random keys of draws, one a site.
    """
    total: Any = 0.0
    if pieces.log_weights is not None:
        total = scaled(pieces.log_weights, scales, ASSIGNED)
    missing, values_of_data = dict(chunks.missing), dict(arrays)
    for place, (name, family) in enumerate(families.items()):
        logits, values_of_data[name] = family.infer_latents(
            arrays[name],
            missing=missing[name],
            centre=chunks.centres[name],
            how=how,
            key=None if keys is None else keys[place],
        )
        total = total + scaled(logits, scales, name)
    return _possible(total, scales), values_of_data


def expected_log_joint(
    pieces: Pieces, expected: Expectations, chunks: Chunks, *, flat: bool = False
) -> Array:
    """Log joint density of globals, assignments and data that the statistics imply.

    log prior(θ) + Σ_k N_k log π_k + Σ_k <S_k, η_k> - N_k A(η_k): a function of the globals that
    costs the same whatever the number of rows. With ``flat`` the prior is left out: never by taking
    it away again, for it may be infinite where a weight is zero.
    """
    total: Array = jnp.zeros(()) if flat else pieces.log_prior
    if pieces.log_weights is not None:
        tiny = jnp.log(jnp.finfo(expected.counts.dtype).tiny)
        total = total + (expected.counts * jnp.clip(pieces.log_weights[:, 0], tiny)).sum()
    for name, family in pieces.families().items():
        density = family.expected_log_density(expected.statistics[name], chunks.centres[name])
        total = total + density.sum()
    return total
