"""EM over blocks on the workers of a cluster: parameters go out, statistics come back.

The workers hold their rows in chunks. The program and its priors are sent once, as a future of
bytes that the scheduler keeps, so that workers that join later receive them too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.data.blocks.spread import SpreadBlocks
from ppl_models.data.summary import knowing
from ppl_models.inference.em.block_sums import padded_chunks, sums_of_block
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Assign
from ppl_models.program.block_rows import Reading, loaded, portable
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class Told:
    """What is sent to a worker once.

    Args:
        reading: how a block is read.
        function: the program.
        summary: of all rows, as JSON.
        model: the program with a sample of the data, its function left out.
        structure: what was read off the program.
        families: of the emissions.
        like: chunks of the sample, whose centres and gaps all have.
        known: priors that depend on no site.
        size: rows of a block.
        assign: what becomes of the assignments.
    """

    reading: Reading
    function: Any
    summary: str
    model: Model
    structure: Structure
    families: dict[str, Any]
    like: Chunks
    known: dict[str, Any]
    size: int
    assign: Assign


class Workers:
    """The workers' part of an iteration.

    Args:
        problem: whose rows are spread over workers.
        assign: what becomes of the assignments.
        size: rows of a block.
    """

    def __init__(self, problem: Problem, assign: Assign, size: int):
        rows = problem.blocks
        assert rows is not None
        assert isinstance(rows.blocks, SpreadBlocks)
        reading = Reading(rows.function, rows.site, rows.like, rows.precision)
        told = Told(
            reading,
            rows.function,
            rows.summary.to_text(),
            replace(problem.model, function=len),
            problem.structure,
            dict(problem.families),
            replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None),
            problem.known_priors,
            min(size, max(rows.blocks.ask(len))),
            assign,
        )
        self._blocks, self._rows = rows.blocks, json.loads(told.summary)["rows"]
        # NumPy's, for JAX's would be cut to single precision where they are unpacked
        plain = replace(
            told,
            **{
                n: jax.tree.map(np.asarray, getattr(told, n))
                for n in ("model", "families", "like", "known")
            },
        )
        self._told = rows.blocks.client.submit(loaded, portable(plain), pure=False)
        self._held = rows.blocks.hold(_prepared, self._told)

    def sums(self, starts: Sequence[Globals]) -> list[Any]:
        """Sums over all rows for every start, in double precision and in the order of the blocks.

        Args:
            starts: global sites of every start.
        """
        plain = [{n: np.asarray(v) for n, v in each.items()} for each in starts]
        client = self._blocks.client
        futures = [client.submit(_sums, held, self._told, plain, pure=False) for held in self._held]
        totals: list[Any] = []
        for answer in client.gather(futures):
            if answer is None:
                continue
            totals = answer if not totals else jax.tree.map(np.add, totals, answer)
        return totals


def _prepared(piece: Any, told: Told) -> list[Chunks] | None:
    """A worker's block as passes need it."""
    with scope(told.reading.precision):
        array = told.reading(piece)
        if array is None:
            return None
        families, like = jax.tree.map(jnp.asarray, (told.families, told.like))
        cut = [
            padded_chunks(array[first : first + told.size], told.size, families, like)
            for first in range(0, len(array), told.size)
        ]
        return [jax.tree.map(np.asarray, each) for each in cut]  # as they may go to other workers


def _sums(held: list[Chunks] | None, told: Told, starts: Sequence[Globals]) -> list[Any] | None:
    """Sums over the rows of a worker's block for every start."""
    if held is None:
        return None
    with scope(told.reading.precision):
        model = replace(told.model, function=knowing(told.function, told.summary))
        model = jax.tree.map(jnp.asarray, model)
        totals = []
        for values in starts:
            total: Any = None
            for chunks in held:
                added: Any = sums_of_block(
                    model,
                    {n: jnp.asarray(v) for n, v in values.items()},
                    chunks,
                    jax.tree.map(jnp.asarray, told.known),
                    structure=told.structure,
                    assign=told.assign,
                )
                exact = jax.tree.map(lambda v: np.asarray(v, np.float64), added)
                total = exact if total is None else jax.tree.map(np.add, total, exact)
            totals.append(total)
        return totals
