"""Compiled programs are kept on disk, so that the next process need not compile them again.

JAX can keep what it has compiled in a folder; by itself it does not. The first call of this package
that computes something (``fit``, ``predict``, ``generate``, ...; never the import) tells it to, in
the user's cache folder: ``~/.cache/ppl_models/jax`` on Linux (``XDG_CACHE_HOME`` is heeded),
``~/Library/Caches/ppl_models/jax`` on macOS, ``%LOCALAPPDATA%\\ppl_models\\Cache\\jax`` on Windows.

- ``PPL_MODELS_CACHE_DIR=/some/folder`` in the environment keeps them elsewhere, ``off`` nowhere;
  ``compilation_cache.keep_in(folder)``, ``keep_in(None)`` say the same from Python.
- Where JAX's own cache is set up (``JAX_COMPILATION_CACHE_DIR``, ``jax_compilation_cache_dir``) or
  switched off (``jax_enable_compilation_cache``), it is left as it is.
- The folder is made for its owner alone, for programs read from it are run. One that belongs to
  somebody else, cannot be written, or lies on a full disk is not used, and nothing fails.
- It is cut back to ``memory.CACHE_FOLDER_BYTES`` when a process begins to use it: what was not used
  for longest goes first. Several processes may use it at once; none waits for another.

The keys of programs are those of JAX: the program itself without names of files, the versions and
the machine, so that another checkout of the same code finds what the first one kept.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from ppl_models import memory
from ppl_models.errors import InputError

VARIABLE = "PPL_MODELS_CACHE_DIR"
OFF = "off"
FREE_BYTES = 200_000_000  #: least room on the disk
#: JAX's option -> (its default, ours): a fit is many small programs, of which each is worth keeping
THRESHOLDS = {
    "jax_persistent_cache_min_compile_time_secs": (1.0, 0.0),
    "jax_persistent_cache_min_entry_size_bytes": (0, -1),
}

decided = False  #: whether it has been said, or found out, where programs are kept


def user_folder() -> Path | None:
    """The user's folder for compiled programs; None where there is none."""
    home = Path.home() if os.path.expanduser("~") != "~" else None
    if sys.platform == "win32":
        place = os.environ.get("LOCALAPPDATA") or (home and home / "AppData" / "Local")
        return Path(place) / "ppl_models" / "Cache" / "jax" if place else None
    if sys.platform == "darwin":
        return home and home / "Library" / "Caches" / "ppl_models" / "jax"
    cache_home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache_home) if os.path.isabs(cache_home) else home and home / ".cache"
    return base and base / "ppl_models" / "jax"


def chosen_folder() -> Path | None:
    """What the environment says, or the user's folder; None where nothing is to be kept."""
    said = os.environ.get(VARIABLE, "").strip()
    if said.lower() == OFF:
        return None
    return Path(said).expanduser().absolute() if said else user_folder()


def keep_in(folder: str | os.PathLike | None) -> bool:
    """Keep compiled programs in a folder from now on, whatever was decided before.

    Args:
        folder: where; made if it is not there. None: keep no more.

    Returns:
        Whether programs are kept.

    Raises:
        InputError: the folder cannot be used.

    A process that is to keep none: ``compilation_cache.keep_in(None)`` before its first fit.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    global decided
    place = None if folder is None else Path(folder).expanduser().absolute()
    if place is not None and not _usable(place):
        raise InputError(
            f"compiled programs cannot be kept in {place}: give a folder of your own that can be "
            "written, on a disk that is not full"
        )
    decided = True
    compilation_cache.reset_cache()
    if place is None:
        jax.config.update("jax_compilation_cache_dir", None)
        return False
    _switch_on(place)
    return True


def keep() -> None:
    """Keep compiled programs from now on, if nobody has decided otherwise; see above."""
    global decided
    if decided:
        return
    decided = True
    import jax

    configured = jax.config.jax_compilation_cache_dir is not None
    if configured or not jax.config.jax_enable_compilation_cache:
        return
    place = chosen_folder()
    if place is not None and _usable(place):
        _switch_on(place)


def _usable(place: Path) -> bool:
    """Whether programs can be kept in the folder, and none but its owner has put any there."""
    with suppress(OSError, RuntimeError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = not hasattr(os, "getuid") or place.stat().st_uid == os.getuid()
        written = os.access(place, os.R_OK | os.W_OK | os.X_OK)
        return own and written and shutil.disk_usage(place).free >= FREE_BYTES
    return False


def _switch_on(place: Path) -> None:
    import jax

    with suppress(OSError):  # another process may be cutting it back
        cut_back(place, memory.CACHE_FOLDER_BYTES)
    jax.config.update("jax_compilation_cache_dir", str(place))
    for option, (default, ours) in THRESHOLDS.items():
        if getattr(jax.config, option) == default:
            jax.config.update(option, ours)


def cut_back(place: Path, most: int) -> None:
    """Remove the programs that were not used for longest, until the rest has ``most`` bytes.

    Args:
        place: the folder.
        most: bytes that may stay. A quarter less does if any go, so that it is not soon due again.
    """
    cached = []
    with os.scandir(place) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                state = entry.stat()
                if entry.name.endswith("-cache"):
                    # relatime: a time of use is written once a day at least
                    used = max(state.st_atime, state.st_mtime)
                    cached.append((used, state.st_size, entry.path))
    held = sum(size for _, size, _ in cached)
    if held <= most:
        return
    for _, size, path in sorted(cached):
        if held <= 0.75 * most:
            return
        with suppress(OSError):
            os.remove(path)
        held -= size
