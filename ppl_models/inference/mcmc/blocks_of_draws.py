"""Markov chains in blocks of draws: what all samplers' loops share.

A compiled block runs a number of sweeps and returns their draws. The number is an argument, so that
neither the number of draws nor a resumed run recompiles anything or changes a draw. Between blocks,
progress is shown, interrupts are handled and states are written (:mod:`.chain_states`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ppl_models import memory
from ppl_models.data.progress import progress_bar
from ppl_models.inference.mcmc.chain_states import ChainStates
from ppl_models.inference.problem import Problem

DRAWS = 256  #: most draws of a block
FIRST = 16  #: draws of the first block
SECONDS = 0.5  #: that a block takes, about

#: ``(state, sweeps a draw, draws) -> state, draws (DRAWS, chain, ...)``, of which as many count
Block = Callable[[Any, Any, Any], tuple[Any, Mapping[str, Array]]]


class Lengths(NamedTuple):
    """Numbers of warm-up sweeps, of draws per chain, and of sweeps per draw."""

    warmup: int
    draws: int
    thinning: int = 1


def sweep_block(
    step: Callable[[Any], Any],
    read: Callable[[Any], Mapping[str, Array]],
    state: Any,
    sweeps: Any,
    draws: Any,
) -> tuple[Any, Mapping[str, Array]]:
    """The body of a :data:`Block`, to be compiled.

    Args:
        step: a sweep of all chains.
        read: what is kept of a state, by name, ``(chain, ...)``.
        state: of all chains.
        sweeps: sweeps a draw.
        draws: draws.
    """
    shapes = jax.eval_shape(read, state)
    size = _size(shapes)
    blank = jax.tree.map(lambda s: jnp.zeros((size, *s.shape), s.dtype), dict(shapes))

    def draw(index: Array, carried: tuple) -> tuple:
        state, recorded = carried
        state = lax.fori_loop(0, sweeps, lambda _, s: step(s), state)
        new = dict(read(state))
        return state, {n: recorded[n].at[index].set(v) for n, v in new.items()}

    return lax.fori_loop(0, draws, draw, (state, blank))


def _size(shapes: Mapping[str, Any]) -> int:
    """Draws that a block has room for."""
    of_draw = sum(s.size * s.dtype.itemsize for s in jax.tree.leaves(dict(shapes)))
    return int(min(DRAWS, max(1, memory.DRAW_BLOCK_BYTES // max(of_draw, 1))))


def strongly_typed(state: Any) -> Any:
    """A state of the types that a block gives back.

    Kernels start from Python numbers in part, which have weak types in JAX. The state that a block
    returns has none, so that without this conversion every block would be compiled twice.

    Args:
        state: of all chains.

    >>> state = jnp.full(2, 0.5)
    >>> jax.typeof(state).weak_type, jax.typeof(strongly_typed(state)).weak_type
    (True, False)
    """
    return jax.tree.map(lambda v: jnp.asarray(v, v.dtype) if jax.typeof(v).weak_type else v, state)


def run_in_blocks(
    problem: Problem,
    block: Block,
    state: Any,
    lengths: Lengths,
    label: str,
    most: int | None = None,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run chains, and keep their states where the problem says.

    Args:
        problem: with progress and checkpoint.
        block: goes on from a state.
        state: of all chains at the start.
        lengths: of the run.
        label: of the progress bar.
        most: draws that a block has room for; None: to be read off a compiled block.

    Returns:
        The last state, and the draws by name, ``(chain, draw, ...)``.
    """
    states = ChainStates(problem)
    state = states.begun(strongly_typed(state) if most is None else state, lengths.draws)
    if most is None:
        most = len(next(iter(jax.eval_shape(block, state, 1, 1)[1].values())))
    total = lengths.warmup + lengths.draws * lengths.thinning
    taken, compiled = FIRST, False
    with (
        nullcontext() if problem.checkpoint is None else problem.checkpoint.interruptible(),
        progress_bar(total, label, problem.progress) as bar,
    ):
        bar.update(states.warmed + states.draws * lengths.thinning)
        try:
            while states.warmed < lengths.warmup or states.draws < lengths.draws:
                begun = time.perf_counter()
                if states.warmed < lengths.warmup:
                    sweeps = min(taken, lengths.warmup - states.warmed)
                    state, _ = jax.block_until_ready(block(state, sweeps, 1))
                    states.warm(state, sweeps)
                else:
                    count = max(1, min(taken // lengths.thinning, most))
                    count = min(count, lengths.draws - states.draws)
                    state, recorded = block(state, lengths.thinning, count)
                    states.add(
                        state, {n: np.asarray(v)[:count].copy() for n, v in recorded.items()}
                    )
                    sweeps = count * lengths.thinning
                bar.update(sweeps)
                if compiled:
                    pace = (time.perf_counter() - begun) / sweeps
                    taken = int(np.clip(SECONDS / pace, 1, 16 * taken))
                compiled = True
                states.keep_if_due()
        except KeyboardInterrupt:  # the last block's end is kept
            states.keep()
            raise
        states.keep()
    states.remember(state)
    return state, states.all_draws()
