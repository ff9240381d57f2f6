"""A block of rows cut into chunks, and the sums of statistics over it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from ppl_models.inference.statistics.chunks import Chunks, Families, cut
from ppl_models.inference.statistics.e_step import Assign, Expectations, sums_over_rows
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure


def padded_chunks(
    array: np.ndarray,
    size: int,
    families: Families,
    like: Chunks,
    chunk_rows: int | None = None,
) -> Chunks:
    """Rows as chunks of a block of ``size``, whose sums add up over blocks.

    Args:
        array: rows of the one site, at most so many.
        size: rows of every block, padding included.
        families: the site's family.
        like: chunks whose centres and gaps these have.
        chunk_rows: rows of a chunk (default: as many as fit a cache).
    """
    ((name, _),) = families.items()
    count = len(array)
    stacked = (
        np.concatenate([array, np.repeat(array[:1], size - count, 0)]) if count < size else array
    )
    chunks = cut({name: stacked}, families, parts=1, like=like)
    (part,) = chunks.parts
    # (that of `cut` has its own padding, to whole chunks, left out)
    places = np.arange(part.present.size).reshape(part.present.shape)
    present = jax.device_put((places < count).astype(part.present.dtype), part.present.sharding)
    return replace(chunks, parts=(part._replace(present=present),))


@partial(jax.jit, static_argnames=("structure", "assign"))
def sums_of_block(
    model: Model,
    values: Globals,
    chunks: Chunks,
    known: dict[str, Any],
    *,
    structure: Structure,
    assign: Assign,
) -> Expectations:
    """Sums over the rows of a block."""
    return sums_over_rows(model.pieces(values, structure, known), structure, chunks, assign)
