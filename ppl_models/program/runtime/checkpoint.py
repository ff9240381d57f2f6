"""Checkpoints: the state of a method on disk, from which it goes on to the bitwise same result.

A file appears whole or not at all. A folder belongs to one fit: its fingerprint tells program,
data and settings, and another fit's is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ppl_models.errors import InputError

FINGERPRINT = "fingerprint.json"
EVERY_SECONDS = 30.0  #: between two states of a run on disk
VERSIONS = ("jax", "numpyro", "numpy")


@dataclass
class Checkpoint:
    """The states of a fit's runs, in the order in which the runs are made.

    A method that is determined by its key makes the same runs again: those that came to their end
    are read, the one that did not goes on.

    Args:
        folder: of the files.
        seconds: least time between two states of a run.
    """

    folder: Path
    seconds: float = EVERY_SECONDS
    _runs: int = 0
    _last: float = field(default_factory=time.monotonic)

    @classmethod
    def open(
        cls, folder: str | Path, fingerprint: Mapping[str, Any], seconds: float = EVERY_SECONDS
    ) -> Checkpoint:
        """The folder's states, if it is new or of the same fit.

        Args:
            folder: made where there is none.
            fingerprint: what tells the fit from another.
            seconds: least time between two states of a run.

        Raises:
            InputError: another fit's folder, and what differs.
        """
        path = Path(folder)
        known = path / FINGERPRINT
        versions = {n: version(n) for n in VERSIONS}
        now = json.loads(json.dumps({**fingerprint, "versions": versions}))
        if known.exists():
            before = json.loads(known.read_text(encoding="utf-8"))
            other = [n for n in sorted(now | before) if now.get(n) != before.get(n)]
            if other:
                raise InputError(
                    f"the checkpoint in {path} belongs to another fit: its {', '.join(other)} "
                    "differ: give another folder, or remove this one"
                )
            return cls(path, seconds)
        if path.exists() and any(path.iterdir()):
            raise InputError(f"{path} is not empty and holds no checkpoint: give a new folder")
        write_whole(known, lambda file: file.write(json.dumps(now).encode()))
        return cls(path, seconds)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Add to a KeyboardInterrupt within the block how the run is resumed."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted: the states are in {self.folder}; the same call goes on from there "
                f"(fit(..., checkpoint={str(self.folder)!r}), --checkpoint {self.folder})"
            ) from None

    def next_run(self) -> Path:
        """Where the states of the next run are."""
        self._runs += 1
        return self.folder / f"run_{self._runs:05d}.npz"

    def read(self, run: Path) -> dict[str, np.ndarray] | None:
        """The last state of a run; None where there is none."""
        if not run.exists():
            return None
        with np.load(run, allow_pickle=False) as archive:
            return {n: archive[n] for n in archive.files}

    def due(self, *, ended: bool) -> bool:
        """Whether a state is to be written: the last one is old, or the run has ended."""
        return ended or time.monotonic() - self._last >= self.seconds

    def write(self, run: Path, state: Mapping[str, np.ndarray]) -> None:
        """Write a state in place of the run's last one."""
        write_arrays(run, state)
        self._last = time.monotonic()


class StatesOfRun:
    """The states of one run of a fit; of a fit without a checkpoint there are none.

    Args:
        checkpoint: of the fit.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._run = None if checkpoint is None else checkpoint.next_run()

    def last(self) -> dict[str, np.ndarray] | None:
        """The last state, to go on from; None where the run has none yet."""
        if self._checkpoint is None or self._run is None:
            return None
        return self._checkpoint.read(self._run)

    def keep(self, state: Mapping[str, Any], *, ended: bool = False) -> None:
        """Write a state if the last one was long ago or the run has ended.

        Args:
            state: arrays by name.
            ended: whether the run has ended.
        """
        if self._checkpoint is None or self._run is None or not self._checkpoint.due(ended=ended):
            return
        self._checkpoint.write(self._run, {n: np.asarray(v) for n, v in state.items()})

    def interruptible(self) -> AbstractContextManager[None]:
        """As :meth:`Checkpoint.interruptible`."""
        return nullcontext() if self._checkpoint is None else self._checkpoint.interruptible()


def write_arrays(place: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, without pickle, as :func:`write_whole` does."""
    held = {n: np.asarray(v) for n, v in arrays.items()}
    write_whole(place, lambda file: np.savez(file, allow_pickle=False, **held))  # type: ignore[arg-type]


def write_whole(place: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file in place of the old one: a reader finds the old one or the new one, whole.

    Args:
        place: of the file; its folder is made if it is not there.
        write: writes the content.

    Raises:
        InputError: the file cannot be written.
    """
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, place)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"the checkpoint {str(place)!r} cannot be written: {reason}") from None


def digest(arrays: Mapping[str, Any]) -> str:
    """A digest of arrays, by name.

    >>> digest({"x": np.zeros(2)}) == digest({"x": np.zeros(2)}) != digest({"x": np.ones(2)})
    True
    """
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hashed.update(f"{name} {array.dtype} {array.shape}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()
