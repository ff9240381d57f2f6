"""Gibbs sampling over rows in blocks: a sweep is a pass over the source, all chains in one pass.

Assignments are drawn block by block and forgotten; their statistics add up, in double precision and
in the order of the blocks. Chunks and random keys are those of the same rows in memory, so that the
draws are the same too, but for rounding: a sum over blocks and one over chunks differ in their last
digits, and a row's assignment is another where its uniform number lies within these of a boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random

from ppl_models import memory
from ppl_models.inference.em.block_sums import padded_chunks
from ppl_models.inference.em.blocks import block_rows
from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks
from ppl_models.inference.mcmc.gibbs_base import GibbsState
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.mcmc.gibbs_run import Sweep, begin
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_and_add, finalize_drawn
from ppl_models.inference.statistics.chunks import Chunks, layout
from ppl_models.inference.statistics.e_step import Expectations
from ppl_models.program.model import Globals, Model
from ppl_models.program.rows.padding import MOST as MOST_PADDED
from ppl_models.program.rows.padding import padded_count, row_width
from ppl_models.program.runtime.keys import split

MOST = 64  #: draws, at most, between looks at the clock


class SweepState(NamedTuple):
    """State of the chains: global sites, and the sums of a pass over the rows at these."""

    gibbs: GibbsState
    added: Expectations  #: sums over all rows, assignments drawn, ``(chain, ...)``
    log_joint: np.ndarray  #: log density of sites and rows, assignments summed out, ``(chain,)``


class DrawnBlocks:
    """Passes over the rows that draw their assignments.

    Args:
        problem: whose rows are in blocks.
        sweep: of the kernel.
    """

    def __init__(self, problem: Problem, sweep: Sweep):
        self._problem, self._sweep = problem, sweep
        self._model = jax.device_put(problem.model)
        assert problem.blocks is not None
        rows = problem.blocks.summary.rows
        in_memory = replace(problem, blocks=None, prepared=None)
        if in_memory.padded is not None and rows <= MOST_PADDED:
            rows = padded_count(
                rows, row_width(problem.model.data)
            )  # as Gibbs sampling pads them in memory
        (self._name,) = problem.families
        data = {self._name: np.asarray(problem.model.data[self._name])}
        self.chunks, self._size = layout(rows, data, problem.families, dict(problem.chunks.missing))
        self._of_block = max(1, block_rows(problem) // self._size)
        self._held: list[Chunks] | None = None

    def draw(self, state: GibbsState) -> Expectations:
        """Sums over all rows at the chains' sites, in double precision on the host."""
        keys = _chunk_keys(state.rng_key, count=self.chunks, others=len(self._links))
        total: Any = None
        for index, chunks in enumerate(self._blocks()):
            places = index * self._of_block + np.arange(chunks.count)
            own = keys[:, np.minimum(places, self.chunks - 1)]
            added = _drawn(self._model, chunks, state.z, own, sweep=self._sweep)
            exact = jax.tree.map(lambda v: np.asarray(v, np.float64), added)
            total = exact if total is None else jax.tree.map(np.add, total, exact)
        return total

    @property
    def _links(self) -> Sequence[Any]:
        links: Sequence[Any] = dict(self._sweep.settings)["links"]
        return links

    def _blocks(self) -> Iterator[Chunks]:
        """Blocks of one pass: from the source, or from memory where the data are small."""
        if self._held is not None:
            yield from self._held
            return
        problem = self._problem
        assert problem.blocks is not None
        held: list[Chunks] | None = []
        room = memory.HELD_BLOCKS_BYTES
        rows = self._of_block * self._size
        for array, count in problem.blocks.of_size(rows):
            chunks = padded_chunks(
                array[:count], rows, problem.families, problem.chunks, chunk_rows=self._size
            )
            room -= sum(v.nbytes for v in jax.tree.leaves(chunks.parts))
            held = None if held is None or room < 0 else [*held, chunks]
            yield chunks
        self._held = held


def run_gibbs_over_blocks(
    kernel: StatisticsGibbs, key: Array, points: Globals, lengths: Lengths
) -> tuple[GibbsState, dict[str, np.ndarray]]:
    """As ``gibbs_run.run_gibbs``, on the rows of ``problem.blocks``.

    Args:
        kernel: with the problem; not yet initialised.
        key: random key.
        points: where each chain starts, ``(chain, ...)``.
        lengths: of the run.

    Returns:
        The last state, and the draws by name, ``(chain, draw, ...)``; under ``.log_joint`` the log
        joint density of sites and rows.
    """
    problem = kernel.problem
    chains = len(next(iter(points.values())))
    keys = split(key, chains) if chains > 1 else key[None]
    sweep = Sweep.of(kernel, lengths.warmup)
    blank = replace(problem.chunks, parts=(), order=jnp.zeros(0, jnp.int32), mesh=None)
    model = jax.device_put(problem.model)
    passes = DrawnBlocks(problem, sweep)

    def passed(gibbs: GibbsState, log_prior: Any) -> SweepState:
        added = passes.draw(gibbs)
        joint = np.asarray(added.log_normaliser) + np.asarray(log_prior, np.float64)
        return SweepState(gibbs, added, joint)

    def next_state(state: SweepState) -> SweepState:
        number = jnp.result_type(float)
        own = jax.tree.map(lambda v: np.asarray(v, number), state.added)
        return passed(*_updated(model, blank, state.gibbs, own, sweep=sweep))

    def block(state: SweepState, sweeps: Any, draws: Any) -> tuple[SweepState, dict[str, Any]]:
        recorded = []
        for _ in range(int(draws)):
            for _ in range(int(sweeps)):
                state = next_state(state)
            read = {**state.gibbs.z, ".acceptance_rate": state.gibbs.accept_prob}
            recorded.append(
                {n: np.asarray(v) for n, v in read.items()} | {".log_joint": state.log_joint}
            )
        return state, {n: np.stack([each[n] for each in recorded]) for n in recorded[0]}

    gibbs = begin(model, blank, keys, points, sweep=sweep)
    start = passed(gibbs, np.zeros(chains))
    last, drawn = run_in_blocks(problem, block, start, lengths, "gibbs", most=MOST)
    return last.gibbs, drawn


@partial(jax.jit, static_argnames=("count", "others"))
def _chunk_keys(keys: Array, *, count: int, others: int) -> Array:
    """Random keys of the chunks in the next sweep of every chain, ``(chain, chunk)``."""
    return jax.vmap(lambda key: random.split(random.split(key, 4 + others)[1], count))(keys)


@partial(jax.jit, static_argnames=("sweep",))
def _drawn(
    model: Model, chunks: Chunks, values: Globals, keys: Array, *, sweep: Sweep
) -> Expectations:
    """Sums over the rows of a block, assignments drawn, of every chain."""

    def one(values: Globals, keys: Array) -> Expectations:
        pieces = model.pieces(values, sweep.structure)
        return draw_and_add(keys, pieces, sweep.structure, chunks, density=True)[0]

    return _by_chain(one, values, keys)


@partial(jax.jit, static_argnames=("sweep",))
def _updated(
    model: Model, blank: Chunks, state: GibbsState, added: Expectations, *, sweep: Sweep
) -> tuple[GibbsState, Array]:
    """The global sites of every chain given the sums over all rows, and their log prior density."""
    kernel: Any = sweep.kernel(model, blank)

    def one(state: GibbsState, added: Expectations) -> tuple[GibbsState, Array]:
        pieces = model.pieces(state.z, sweep.structure)
        expected = finalize_drawn(added, pieces.families(), blank)
        moved = kernel.given_statistics(state, dict(state.z), expected, None)
        return moved, model.pieces(moved.z, sweep.structure).log_prior

    return _by_chain(one, state, added)


def _by_chain(one: Any, *arguments: Any) -> Any:
    chains = jax.tree.leaves(arguments[0])[0].shape[0]
    if chains > 1:
        return jax.vmap(one)(*arguments)
    result = one(*jax.tree.map(lambda v: v[0], arguments))
    return jax.tree.map(lambda v: v[None], result)
