"""One pass over the data: assignments are summed out, maximised or drawn; statistics remain.

Rows are taken in chunks that fit a processor's cache, by a scan, so that memory is bounded
whatever the number of rows. Logits are kept as (cluster, row): maxima, exponentials and sums then
run along rows. Statistics add up, so that the chunks of long data are shared between JAX's devices,
of which only the sums are exchanged; ``JAX_NUM_CPU_DEVICES=4`` makes devices of four cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..distributions.exponential_family import (
    ExponentialFamily,
    StackedFamily,
    Statistics,
)
from .compiling import QUICK
from .program import Pieces, Structure

CHUNK_BYTES = 200_000  #: of what a pass has at hand: it stays in a core's own cache
EXCHANGE = 8  #: chunks a device from which on it pays to wait for the others' sums
CHUNK_ROWS = (500, 20_000)  #: fewest and most rows of a chunk

Families = Mapping[str, ExponentialFamily]

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
    """Data cut into chunks: ``arrays[site]`` is ``(chunk, ...)``, rows as passes need them.

    ``present (chunk, row)`` is 1 for a row, 0 for the padding of the last chunk. ``missing`` says
    whether a site has gaps, ``centres`` holds a point amid every site's data. Chunks of long data
    lie on the devices of a ``mesh``, None where there is one device or little data.
    """

    arrays: dict[str, Array]
    present: Array
    centres: dict[str, Array]
    missing: tuple[tuple[str, bool], ...]
    mesh: Mesh | None = None

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays are leaves; which sites have gaps, and the devices, are static."""
        return (self.arrays, self.present, self.centres), (self.missing, self.mesh)

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> Chunks:
        """Inverse of flatten."""
        return cls(*leaves, *static)


def cut(
    data: Mapping[str, Any],
    families: Families,
    chunk_rows: int | None = None,
) -> Chunks:
    """Cut concrete data into chunks.

    Args:
        data: site name -> ``(row, ...)``.
        families: the emission family of every site, for its centre.
        chunk_rows: most rows of a chunk (default: as many as fit a cache).
    """
    rows = len(next(iter(data.values())))
    gaps = {n: family.gaps(np.asarray(data[n])) for n, family in families.items()}
    if chunk_rows is None:
        cells = sum(f.cells(np.asarray(data[n]), missing=gaps[n]) for n, f in families.items())
        number = jnp.result_type(float).itemsize
        chunk_rows = int(np.clip(CHUNK_BYTES // (number * cells), *CHUNK_ROWS))
    count = max(1, math.ceil(rows / chunk_rows))
    mesh = _devices(count)
    if mesh is not None:
        count = math.ceil(count / mesh.size) * mesh.size
    size = math.ceil(rows / count)
    padding = count * size - rows
    arrays, centres = {}, {}
    for name in sorted(families):
        value = np.asarray(data[name])
        centres[name] = families[name].centre(jnp.asarray(value))
        if padding:
            value = np.concatenate([value, np.repeat(value[:1], padding, axis=0)])
        chunked = value.reshape(count, size, *value.shape[1:])
        arrays[name] = _place(_prepare(families[name], chunked, centres[name], gaps[name]), mesh)
    present = _place((np.arange(count * size) < rows).reshape(count, size), mesh)
    return Chunks(arrays, present, centres, tuple(sorted(gaps.items())), mesh)


@partial(jax.jit, static_argnames=("missing",), compiler_options=QUICK)
def _prepare(family: ExponentialFamily, value: Array, centre: Array, missing: bool) -> Any:
    """A site's rows as passes need them, chunk by chunk."""
    return lax.map(lambda v: family.prepare(v, missing=missing, centre=centre), value)


def _devices(count: int) -> Mesh | None:
    """The devices that share so many chunks."""
    devices = jax.local_devices()
    if len(devices) < 2 or count < EXCHANGE * len(devices):
        return None
    return Mesh(np.array(devices), ("chunk",))


def _place(value: Any, mesh: Mesh | None) -> Any:
    if mesh is None:
        return jax.tree.map(jnp.asarray, value)
    return jax.device_put(value, NamedSharding(mesh, PartitionSpec("chunk")))


def soft(logits: Array, present: Array) -> tuple[Array, Array]:
    """Responsibilities and log-normalisers: temperature 1."""
    top = lax.stop_gradient(logits.max(0))
    shifted = jnp.exp(logits - top)
    total = shifted.sum(0)
    return shifted * (present / total), (top + jnp.log(total)) * present


def winners(logits: Array) -> tuple[Array, Array]:
    """The highest value over clusters and whose it is, the first of equals.

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
    return one_hot * present, best * present


def sweep(
    pieces: Pieces,
    structure: Structure,
    chunks: Chunks,
    assign: Assign = soft,
    active: Array | None = None,
    nearby: Nearby | None = None,
) -> Pass:
    """One pass over all rows.

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
    families = pieces.families()
    missing = dict(chunks.missing)
    how = "best" if assign is hard else "mean"

    def chunk(arrays: Mapping[str, Any], present: Array, *known: Array) -> tuple[Pass, None]:
        if nearby is None:
            logits, arrays = look(pieces, families, arrays, chunks, how)
        else:
            logits = _add_up(nearby.point, arrays) - known[0] + _add_up(nearby.step, arrays)
        if active is not None:
            logits = jnp.where(active[:, None], logits, -jnp.inf)
        weights, normaliser = assign(logits, present.astype(logits.dtype))
        statistics = {
            name: family.sums(
                weights, arrays[name], missing=missing[name], centre=chunks.centres[name]
            )
            for name, family in families.items()
        }
        return Pass(normaliser.sum(), weights.sum(-1), statistics), None

    return over_chunks(chunk, chunks, *([] if nearby is None else [nearby.rows]))[0]


class Coefficients(NamedTuple):
    """What logits are made of, where all families keep their statistics side by side."""

    log_weights: Array  #: (cluster, 1)
    natural: dict[str, Array]  #: by site, (cluster, statistic)


class Nearby(NamedTuple):
    """A point that log-densities are measured from, and the step from it to where they are asked.

    A step's coefficients are as small as the step is, and so are their rounding errors, which are
    the same in every row and would otherwise add up over all of them.
    """

    point: Coefficients
    step: Coefficients
    rows: Array  #: log-densities of the rows at the point, (chunk, row)


def _add_up(coefficients: Coefficients, arrays: Mapping[str, Array]) -> Array:
    return coefficients.log_weights + sum(c @ arrays[n] for n, c in coefficients.natural.items())


def coefficients(log_weights: Array, families: Families, chunks: Chunks) -> Coefficients:
    """In double precision, whatever the precision of the parameters."""
    missing = dict(chunks.missing)
    with jax.enable_x64(True):
        log_weights = log_weights.astype(jnp.float64)
        log_weights = log_weights - logsumexp(log_weights)
        natural = {}
        for name, family in families.items():
            assert isinstance(family, StackedFamily)
            flat = family.components()
            exact = flat.replace(
                **{n: getattr(flat, n).astype(jnp.float64) for n in flat.parameter_dims}
            )
            centre = chunks.centres[name].astype(jnp.float64)
            natural[name] = exact.natural(missing=missing[name], centre=centre)
        return Coefficients(log_weights, natural)


def row_normalisers(point: Coefficients, chunks: Chunks) -> Array:
    """The log-normaliser of every row by chunk, ``(chunk, row)``; 0 for padding."""

    def chunk(arrays: Mapping[str, Array], present: Array) -> tuple[tuple[()], Array]:
        logits = _add_up(point, arrays)
        return (), soft(logits, present.astype(logits.dtype))[1]

    return over_chunks(chunk, chunks)[1]


def over_chunks(
    chunk: Callable[..., tuple[Any, Any]], chunks: Chunks, *extra: Array
) -> tuple[Any, Any]:
    """Sums, and what is kept by chunk, of a function of every chunk.

    Args:
        chunk: ``(arrays, present, *extra) -> (added up over chunks, stacked by chunk)``.
        chunks: the data.
        *extra: more arrays with a leading chunk axis.
    """
    pieces = (chunks.arrays, chunks.present, *extra)

    def add(total: Any, piece: tuple) -> tuple[Any, Any]:
        added, kept = chunk(*piece)
        return jax.tree.map(jnp.add, total, added), kept

    def all_of(pieces: tuple) -> tuple[Any, Any]:
        first = jax.tree.map(lambda a: a[0], pieces)
        if pieces[1].shape[0] == 1:
            added, kept = chunk(*first)
            return added, jax.tree.map(lambda a: a[None], kept)
        shapes = jax.eval_shape(chunk, *first)[0]
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return lax.scan(add, zero, pieces)

    if chunks.mesh is None:
        return all_of(pieces)

    def of_device(pieces: tuple) -> tuple[Any, Any]:
        added, kept = all_of(pieces)
        return lax.psum(added, "chunk"), kept

    by_chunk = PartitionSpec("chunk")
    shared = jax.shard_map(
        of_device,
        mesh=chunks.mesh,
        in_specs=(by_chunk,),
        out_specs=(PartitionSpec(), by_chunk),
        check_vma=False,
    )
    return shared(pieces)


def look(
    pieces: Pieces,
    families: Families,
    arrays: Mapping[str, Any],
    chunks: Chunks,
    how: str,
    keys: Sequence[Array] | None = None,
) -> tuple[Array, dict[str, Any]]:
    """``log p(z = k, x_n)`` of one chunk, and the chunk with what was found out about its rows.

    Args:
        pieces: the program's densities.
        families: its emissions.
        arrays: the chunk's rows.
        chunks: centres and gaps.
        how: what becomes of what an emission hides: "mean", "best" or "draw".
        keys: random keys of draws, one a site.
    """
    total: Any = 0.0 if pieces.log_weights is None else pieces.log_weights
    missing, found = dict(chunks.missing), dict(arrays)
    for place, (name, family) in enumerate(families.items()):
        logits, found[name] = family.look(
            arrays[name],
            missing=missing[name],
            centre=chunks.centres[name],
            how=how,
            key=None if keys is None else keys[place],
        )
        total = total + logits
    return total, found


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
        total = total + family.logits(arrays[name], missing=missing[name], centre=centres[name])
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
