"""Checkpoints of long training: arrays and a description of the run, replaced atomically."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_models.errors import InputError
from ppl_models.program.runtime.checkpoint import write_arrays

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
    described = {ABOUT: np.array(json.dumps(about, sort_keys=True))}
    write_arrays(Path(path), {**arrays, **described})


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
