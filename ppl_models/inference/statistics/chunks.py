"""The data cut into chunks, over which sufficient statistics are summed.

Rows are taken in chunks that fit a processor's cache, by a scan, so that memory is bounded whatever
the number of rows; on a GPU a chunk is as large as its memory allows, see ``device.py``. Rows that
end (sequences) whose lengths differ much come in parts by length, each as wide as its longest row.
The chunks of long data are shared between JAX's devices, of which only the sums are exchanged;
``JAX_NUM_CPU_DEVICES=4`` makes devices of four cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ppl_models import device, memory
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.inference.statistics.lengths import edges
from ppl_models.program.runtime.compiling import quickly

EXCHANGE = 8  #: chunks a device from which on it pays to wait for the others' sums
ASSIGNED = ""  #: the assignment, among the names of emissions
PARTS = 4  #: most parts by length: each is compiled for itself

Families = Mapping[str, ExponentialFamily]


class Part(NamedTuple):
    """Rows of similar length: ``arrays[site] (chunk, ...)``, and how often each counts.

    ``present`` is false, or 0, of padding; it is true, or the weight of the row, of others.

    ``scales[site] (chunk, row)`` are the factors of the log-densities of emissions and, under
    ``ASSIGNED``, of the assignment, of those that have one. Under ``KNOWN_CLUSTER`` they hold the
    clusters of rows that are known, negative numbers for others.
    """

    arrays: dict[str, Any]
    present: Array  #: (chunk, row)
    scales: Mapping[str, Array] = {}


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Chunks:
    """Data cut into chunks, rows as passes need them.

    Args:
        parts: of the data, by length; one where rows do not end, or are much alike.
        order: where every row lies among all rows of all chunks, padding included, ``(row,)``.
        centres: a point amid every site's data.
        missing: whether a site has missing cells.
        mesh: devices on which chunks of long data lie; None: one device, or little data.
        weighted: whether rows count more or less than once.
    """

    parts: tuple[Part, ...]
    order: Array
    centres: dict[str, Array]
    missing: tuple[tuple[str, bool], ...]
    mesh: Mesh | None = None
    weighted: bool = False

    @property
    def count(self) -> int:
        """Number of chunks."""
        return sum(part.present.shape[0] for part in self.parts)

    def in_order(self, by_part: Sequence[Array]) -> Array:
        """Outputs by row, given by part as ``(chunk, row)``, in the order of the rows."""
        return jnp.concatenate([k.reshape(-1) for k in by_part])[self.order]

    def tree_flatten(self) -> tuple[tuple, tuple]:
        """Arrays are leaves; gaps, devices and whether rows have weights are static."""
        return (self.parts, self.order, self.centres), (self.missing, self.mesh, self.weighted)

    @classmethod
    def tree_unflatten(cls, static: tuple, leaves: tuple) -> Chunks:
        """Inverse of flatten."""
        return cls(*leaves, *static)


def cut(
    data: Mapping[str, Any],
    families: Families,
    chunk_rows: int | None = None,
    parts: int | None = None,
    scales: Mapping[str, np.ndarray] | None = None,
    weights: np.ndarray | None = None,
    present: np.ndarray | None = None,
    like: Chunks | None = None,
) -> Chunks:
    """Cut concrete data into chunks.

    Args:
        data: site name -> ``(row, ...)``.
        families: the emission family of every site, for its centre.
        chunk_rows: most rows of a chunk (default: as many as fit a cache).
        parts: most parts by length (default: few, and one where that wastes little).
        scales: emission, or ``ASSIGNED``, -> ``(row,)``, the factor of its log-density, of those
            that have one.
        weights: ``(row,)``, how often each row counts (default: once).
        present: ``(row,)``, which rows are no padding (default: all).
        like: chunks whose centres and gaps these have, so that their statistics add up.
    """
    arrays = {n: np.asarray(data[n]) for n in sorted(families)}
    if like is not None:
        missing, centres = dict(like.missing), like.centres
    else:
        missing = {n: family.has_missing_cells(arrays[n]) for n, family in families.items()}
        centres = {n: _centre(families[n], v) for n, v in arrays.items()}
    pieces = []
    if any(family.keeps_rows for family in families.values()):
        chunk_rows, parts = len(next(iter(arrays.values()))), 1
    for rows, width in by_length(families, arrays, parts):
        mine = {n: v[rows] if width is None else v[rows, :width] for n, v in arrays.items()}
        pieces.append((rows, mine, chunk_rows or _most_rows(mine, families, missing)))
    counts = [
        max(math.ceil(len(rows) / most), _fewest_chunks(len(rows))) for rows, _, most in pieces
    ]
    mesh = _devices(max(counts))
    if mesh is not None:
        counts = [math.ceil(count / mesh.size) * mesh.size for count in counts]
    chunks, cells, order = [], 0, np.empty(len(next(iter(arrays.values()))), np.int32)
    for (rows, mine, _), count in zip(pieces, counts, strict=True):
        size = _whole_pieces(math.ceil(len(rows) / count))
        prepared = {}
        for name, value in mine.items():
            padding = np.repeat(value[:1], count * size - len(rows), axis=0)
            padded = np.concatenate([value, padding]) if len(padding) else value
            chunked = padded.reshape(count, size, *value.shape[1:])
            ready = _prepare(families[name], chunked, centres[name], missing[name])
            prepared[name] = _place(ready, mesh)
        counts_of = _place(_present(rows, count, size, weights, present), mesh)
        factors = {}
        for name, factor in (scales or {}).items():
            padded = np.ones(count * size)
            padded[: len(rows)] = factor[rows]
            cells_of = padded.reshape(count, size).astype(jnp.result_type(float))
            factors[name] = _place(cells_of, mesh)
        chunks.append(Part(prepared, counts_of, factors))
        order[rows] = cells + np.arange(len(rows))
        cells += count * size
    gaps_of = tuple(sorted(missing.items()))
    weighted = weights is not None
    return Chunks(tuple(chunks), jax.device_put(order), centres, gaps_of, mesh, weighted)


def layout(
    rows: int, data: Mapping[str, np.ndarray], families: Families, missing: Mapping[str, bool]
) -> tuple[int, int]:
    """How many chunks `cut` makes of so many rows, and how many rows each has.

    Args:
        rows: that are cut, in one part.
        data: some of them.
        families: the emission family of every site.
        missing: whether a site has missing cells.
    """
    most = _most_rows(data, families, missing)
    count = max(math.ceil(rows / most), _fewest_chunks(rows))
    mesh = _devices(count)
    if mesh is not None:
        count = math.ceil(count / mesh.size) * mesh.size
    return count, _whole_pieces(math.ceil(rows / count))


def _centre(family: ExponentialFamily, value: np.ndarray) -> Array:
    """A point amid the data, on the host where the family's rows are as they come."""
    centre: Any = family.centre(jnp.asarray(value) if family.latent else value)  # type: ignore[arg-type]
    return jax.device_put(centre)


def _present(
    rows: np.ndarray,
    count: int,
    size: int,
    weights: np.ndarray | None,
    present: np.ndarray | None,
) -> np.ndarray:
    """Which rows are no padding, or how often each counts, ``(chunk, row)``."""
    if weights is None:
        mask = np.zeros(count * size, bool)
        mask[: len(rows)] = True if present is None else present[rows]
        return mask.reshape(count, size)
    counted = np.zeros(count * size, jnp.result_type(float))
    counted[: len(rows)] = np.asarray(weights)[rows]
    return counted.reshape(count, size)


def by_length(
    families: Families, arrays: Mapping[str, np.ndarray], parts: int | None = None
) -> list[tuple[np.ndarray, int | None]]:
    """Rows of every part, and the number of positions of each (None: all).

    Args:
        families: the emission family of every site.
        arrays: the data.
        parts: most parts (default: few, and one where that wastes little).
    """
    count = len(next(iter(arrays.values())))
    groups: list[tuple[np.ndarray, int | None]] = [(np.arange(count), None)]
    if len(families) > 1:
        return groups  # sites may differ in their lengths
    (name,) = families
    lengths = families[name].lengths(arrays[name])
    if lengths is None or parts == 1:
        return groups
    if parts is None:
        held = count * families[name].numbers_per_row(arrays[name], missing=False)
        padding = 1 - lengths.sum() / (count * arrays[name].shape[1])
        if jnp.result_type(float).itemsize * held * padding < memory.PADDING_BYTES:
            return groups
    widths = edges(lengths, parts or PARTS)
    place = np.searchsorted(widths, lengths)
    members = [np.flatnonzero(place == i) for i in range(len(widths))]
    return [(rows, int(w)) for rows, w in zip(members, widths, strict=True) if len(rows)]


def _most_rows(
    data: Mapping[str, np.ndarray], families: Families, missing: Mapping[str, bool]
) -> int:
    """The largest number of rows in a chunk."""
    cells = sum(families[n].numbers_per_row(v, missing=missing[n]) for n, v in data.items())
    of_row = jnp.result_type(float).itemsize * cells
    if device.is_wide():
        return max(1, device.chunk_bytes() // of_row)
    fitting = int(np.clip(memory.CACHE_BYTES // of_row, *memory.CHUNK_ROWS))
    return max(1, min(fitting, memory.CHUNK_BYTES // of_row))


def _whole_pieces(rows: int) -> int:
    """Rows of a chunk that a wide device adds up in pieces, without one that is not whole."""
    if rows < memory.WIDE_ROWS or not device.is_wide():
        return rows
    return -(-rows // memory.WIDE_ROWS) * memory.WIDE_ROWS


@quickly(static=("missing",))
def _prepare(family: ExponentialFamily, value: Array, centre: Array, missing: bool) -> Any:
    """A site's rows as passes need them, chunk by chunk."""
    return lax.map(lambda v: family.prepare(v, missing=missing, centre=centre), value)


def _fewest_chunks(rows: int) -> int:
    """As many as there are wide devices, where each of them has many rows."""
    devices = len(jax.devices()) if device.is_wide() else 1
    return devices if rows >= EXCHANGE * devices * memory.WIDE_ROWS else 1


def _devices(count: int) -> Mesh | None:
    """The devices that share so many chunks, those of all processes of ``jax.distributed``."""
    devices = jax.devices()
    of_each = 1 if device.is_wide() else EXCHANGE
    if len(devices) < 2 or count < of_each * len(devices):
        return None
    return Mesh(np.array(devices), ("chunk",))


def _place(value: Any, mesh: Mesh | None) -> Any:
    if mesh is None:
        return jax.device_put(value)
    return jax.device_put(value, NamedSharding(mesh, PartitionSpec("chunk")))


def _lost(total: Any) -> list[Array]:
    """Compensation terms of empty sums; none in double precision, which needs none."""
    return [jnp.zeros_like(v) for v in jax.tree.leaves(total) if v.dtype == jnp.float32]


def _compensated(state: tuple[Any, list[Array]], added: Any) -> tuple[Any, list[Array]]:
    """Sums with one more chunk, and the rounding error of each: Knuth (1997), §4.2.2.

    A hundred million rows are tens of thousands of chunks, and a plain sum of so many numbers in
    single precision would lose two or three of its seven digits.
    """
    total, lost = state
    sums, tree = jax.tree.flatten(total)
    left = iter(lost)
    totals, errors = [], []
    for old, new in zip(sums, jax.tree.leaves(added), strict=True):
        together = old + new
        totals.append(together)
        if old.dtype == jnp.float32:
            part = together - old
            errors.append(next(left) + ((old - (together - part)) + (new - part)))
    return jax.tree.unflatten(tree, totals), errors


def _restored(total: Any, lost: list[Array]) -> Any:
    left = iter(lost)
    return jax.tree.map(lambda v: v + next(left) if v.dtype == jnp.float32 else v, total)


def over_chunks(
    chunk: Callable[..., tuple[Any, Any]], chunks: Chunks, *extra: Sequence[Array]
) -> tuple[Any, list[Any]]:
    """Map a function over chunks: its sums over chunks, and its outputs by chunk.

    Args:
        chunk: ``(arrays, present, scales, *extra) -> (added up over chunks, stacked by chunk)``.
        chunks: the data.
        *extra: more arrays by part, with a leading chunk axis.

    Returns:
        The sums over all chunks; what was kept by part, ``(chunk, ...)``.
    """

    def add(total: tuple[Any, Any], piece: tuple) -> tuple[Any, Any]:
        added, by_row = chunk(*piece)
        return _compensated(total, added), by_row

    def all_of(pieces: tuple) -> tuple[Any, Any]:
        first = jax.tree.map(lambda a: a[0], pieces)
        if pieces[1].shape[0] == 1:
            added, by_row = chunk(*first)
            return added, jax.tree.map(lambda a: a[None], by_row)
        shapes = jax.eval_shape(chunk, *first)[0]
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        (total, lost), by_row = lax.scan(add, (zero, _lost(zero)), pieces)
        return _restored(total, lost), by_row

    def of_device(pieces: tuple) -> tuple[Any, Any]:
        added, by_row = all_of(pieces)
        one, apart = ravel_pytree(added)  # devices wait for each other once for every array
        return apart(lax.psum(one, "chunk")), by_row

    of_part = all_of
    if chunks.mesh is not None:
        by_chunk = PartitionSpec("chunk")
        of_part = jax.shard_map(
            of_device,
            mesh=chunks.mesh,
            in_specs=(by_chunk,),
            out_specs=(PartitionSpec(), by_chunk),
            check_vma=False,
        )
    by_part = zip(chunks.parts, *extra, strict=True) if extra else ((p,) for p in chunks.parts)
    parts_done = [of_part((*part, *more)) for part, *more in by_part]
    total = parts_done[0][0]
    for added, _ in parts_done[1:]:
        total = jax.tree.map(jnp.add, total, added)
    return total, [of_rows for _, of_rows in parts_done]
