"""States of Markov chains in memory and on disk: values, adaptation, random keys, and draws.

Draws are written file by file during the run, and read back when it has ended. The state is written
after the draws and records their number, so that a run that was interrupted between the two repeats
the last draws exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from ppl_models import memory
from ppl_models.errors import InputError
from ppl_models.inference.last_states import WARMED
from ppl_models.inference.problem import Problem
from ppl_models.program.runtime.checkpoint import Checkpoint
from ppl_models.program.trace.structure import Structure


class _Now(NamedTuple):
    """State of a run as one value, so that an interruption finds the old state or the new one."""

    state: Any = None
    warmed: int = 0
    draws: int = 0
    held: tuple[Mapping[str, np.ndarray], ...] = ()  # draws that are in no file
    files: tuple[int, ...] = ()  # draws of every file
    changed: bool = False


class ChainStates:
    """The chains of one run.

    Args:
        problem: whose checkpoint the states are kept in (None: everything stays in memory), and
            whose last states the run goes on from and is added to.
    """

    def __init__(self, problem: Problem):
        self._checkpoint, self._last = problem.checkpoint, problem.last_states
        self._dims = axes_of_sites(problem.structure)
        self._run = None if self._checkpoint is None else self._checkpoint.next_run()
        self._number = None if self._last is None else self._last.next_run()
        self._now = _Now()

    @property
    def warmed(self) -> int:
        """Number of completed warm-up sweeps."""
        return self._now.warmed

    @property
    def draws(self) -> int:
        """Number of draws per chain so far."""
        return self._now.draws

    def begun(self, start: Any, wanted: int) -> Any:
        """State to continue from: ``start``, or the last state on disk.

        Args:
            start: state of all chains.
            wanted: draws per chain that are requested.

        Raises:
            InputError: fewer draws than there are.
        """
        self._now = _Now(start)
        if self._last is not None and self._number is not None:
            before = self._last.before(self._number)
            if before is not None:
                state = from_arrays(before, start)
                self._now = _Now(state, int(before[WARMED]))
                return state
        if self._checkpoint is None or self._run is None:
            return start
        saved = self._checkpoint.read(self._run)
        if saved is None:
            return start
        counts = json.loads(str(saved["counts"]))
        if counts["draws"] > wanted:
            raise InputError(
                f"the checkpoint in {self._checkpoint.folder} holds {counts['draws']} draws a "
                f"chain, and draws is {wanted}: ask for at least as many"
            )
        state = from_arrays(saved, start)
        self._now = _Now(state, counts["warmed"], counts["draws"], files=tuple(counts["files"]))
        return state

    def warm(self, state: Any, sweeps: int) -> None:
        """Record warm-up sweeps."""
        now = self._now
        self._now = now._replace(state=state, warmed=now.warmed + sweeps, changed=True)

    def add(self, state: Any, drawn: Mapping[str, np.ndarray]) -> None:
        """Record draws ``(draw, chain, ...)``, and the state after them."""
        now, count = self._now, len(next(iter(drawn.values())))
        self._now = now._replace(
            state=state, draws=now.draws + count, held=(*now.held, drawn), changed=True
        )

    def keep_if_due(self) -> None:
        """Write new draws and the state if the last write is long ago or many draws are pending."""
        waiting = sum(v.nbytes for part in self._now.held for v in part.values())
        if self._checkpoint is not None and (
            self._checkpoint.due(ended=False) or waiting > memory.WAITING_DRAWS_BYTES
        ):
            self.keep()

    def keep(self) -> None:
        """Write the new draws, then the state."""
        now = self._now
        if self._checkpoint is None or self._run is None or not now.changed:
            return
        files = now.files
        if now.held:
            joined = {n: np.concatenate([part[n] for part in now.held]) for n in now.held[0]}
            self._checkpoint.write(draws_file(self._run, len(files)), joined)
            files = (*files, now.draws - sum(files))
        counts = {"warmed": now.warmed, "draws": now.draws, "files": files, "dims": self._dims}
        about = {"counts": np.array(json.dumps(counts))}
        self._checkpoint.write(self._run, to_arrays(now.state) | about)
        self._now = now._replace(held=(), files=files, changed=False)

    def remember(self, state: Any) -> None:
        """Record the last state of the run.

        Args:
            state: of all chains.
        """
        if self._last is not None and self._number is not None:
            warmed = {WARMED: np.array(self._now.warmed)}
            self._last.ends[self._number] = to_arrays(state) | warmed

    def all_draws(self) -> dict[str, np.ndarray]:
        """All draws by name, ``(chain, draw, ...)``."""
        parts = list(self._now.held)
        if self._now.files:
            assert self._checkpoint is not None and self._run is not None
            parts = [*read_draws(self._checkpoint, self._run, len(self._now.files)), *parts]
        return {n: np.concatenate([part[n] for part in parts]).swapaxes(0, 1) for n in parts[0]}


def axes_of_sites(structure: Structure) -> dict[str, tuple[str, ...]]:
    """Names of the axes of every continuous site."""
    return {s.name: tuple(s.dims) for s in (*structure.sites, *structure.local_sites)}


def draws_file(run: Path, number: int) -> Path:
    """Where so many-th draws of a run are."""
    return run.with_name(f"{run.stem}_draws_{number + 1:05d}.npz")


def read_draws(checkpoint: Checkpoint, run: Path, files: int) -> list[dict[str, np.ndarray]]:
    """The draws of a run, file by file.

    Raises:
        InputError: a file that is gone.
    """
    parts = []
    for number in range(files):
        place = draws_file(run, number)
        part = checkpoint.read(place)
        if part is None:
            raise InputError(f"{place} is gone: remove the folder, and begin anew")
        parts.append(part)
    return parts


def to_arrays(state: Any) -> dict[str, np.ndarray]:
    """The leaves of a state, random keys as their numbers."""
    return {f"leaf.{i}": np.asarray(_plain(v)) for i, v in enumerate(jax.tree.leaves(state))}


def from_arrays(arrays: Mapping[str, Any], like: Any) -> Any:
    """Inverse of :func:`to_arrays`, of a state of the same structure."""
    leaves, tree = jax.tree.flatten(like)
    read = []
    for i, leaf in enumerate(leaves):
        value = arrays[f"leaf.{i}"]
        if _is_key(leaf):
            read.append(random.wrap_key_data(jnp.asarray(value), impl=random.key_impl(leaf)))
        else:  # (NumPy's stay NumPy's, whose lengths may differ)
            read.append(value if isinstance(leaf, np.ndarray) else jnp.asarray(value, leaf.dtype))
    return jax.tree.unflatten(tree, read)


def _plain(leaf: Any) -> Any:
    return random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
