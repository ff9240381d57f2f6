"""Checkpoints of long training: arrays and a description of the run, replaced atomically."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models.errors import InputError

ABOUT = "about"  #: name of the description among the arrays


def save(path: str | Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write arrays and a description atomically: a reader finds the old file or the new one.

    Args:
        path: of the file.
        arrays: by name.
        about: what :func:`load` must find again.

    Raises:
        InputError: the file cannot be written.
    """
    place = Path(path)
    held = {n: np.asarray(v) for n, v in arrays.items()}
    held[ABOUT] = np.array(json.dumps(about, sort_keys=True))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=place.parent, prefix=place.name)
        try:
            with os.fdopen(number, "wb") as file:
                np.savez(file, allow_pickle=False, **held)  # type: ignore[arg-type]
            Path(temporary).replace(place)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"the checkpoint {str(place)!r} cannot be written: {reason}") from None


def load(path: str | Path, about: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """What :func:`save` wrote, None where there is nothing.

    Args:
        path: of the file.
        about: of the run that asks.

    Raises:
        InputError: the file is of another run, or no checkpoint.
    """
    place = Path(path)
    if not place.exists():
        return None
    try:
        with np.load(place, allow_pickle=False) as file:
            arrays = {n: file[n] for n in file.files}
        written = json.loads(str(arrays.pop(ABOUT)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        raise InputError(
            f"{str(place)!r} is no checkpoint: delete it or give another path"
        ) from None
    mine = json.loads(json.dumps(about))
    for name in sorted({*written, *mine}):
        if written.get(name) != mine.get(name):
            raise InputError(
                f"the checkpoint {str(place)!r} is of another run ({name} is "
                f"{written.get(name)!r} there and {mine.get(name)!r} here): delete it or give "
                "another path"
            )
    return arrays


def fingerprint(data: Mapping[str, Any]) -> str:
    """A short text that differs where data differ.

    >>> fingerprint({"x": np.arange(3)}) == fingerprint({"x": np.arange(4)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(data):
        array = np.ascontiguousarray(data[name])
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
