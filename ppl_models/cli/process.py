"""What the command line may do to its process and the library may not: switches, endings."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError

WRONG_INPUT, DEFECT, STOPPED, READER_GONE = 2, 1, 130, 141


def prepare() -> None:
    """Set what the process may need before JAX and matplotlib are imported; see ``--help``."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))
    # a program is many small compilations, which JAX would otherwise not think worth keeping
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def cache_folder() -> Path:
    """Where compiled programs are kept between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "ppl_models" / "jax"


def guarded(work: Callable[[], None], *, debug: bool = False) -> int:
    """Do the work; whatever ends it becomes an exit status and at most one sentence."""
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # a test, or the user's -W, has asked for something else
                warnings.simplefilter("ignore")
                warnings.filterwarnings("default", module="ppl_models", category=UserWarning)
            warnings.showwarning = _show_warning
            work()
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return _say("stopped", STOPPED)
    except BrokenPipeError:
        _let_go_of_output()
        return READER_GONE
    except InputError as error:
        return _say(str(error), WRONG_INPUT)
    except OSError as error:
        _let_go_of_output()
        place = f": {error.filename}" if error.filename else ""
        return _say(f"{error.strerror or error}{place}", WRONG_INPUT)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if "KeyboardInterrupt" in str(error):  # raised within a call-back of compiled code
            return _say("stopped", STOPPED)
        said = " ".join(str(error).split())[:300]
        return _say(
            f"unexpected {type(error).__name__}: {said} (ppl-models --debug ... shows where)",
            DEFECT,
        )
    return 0


def _say(sentence: str, status: int) -> int:
    line = " ".join(sentence.split())
    print(f"ppl-models: {line}", file=sys.stderr)
    return status


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    """A warning as a sentence, without the line of code that gave it."""
    print(f"ppl-models: note: {' '.join(str(message).split())}", file=sys.stderr)


def _let_go_of_output() -> None:
    """Nobody reads what is still to be flushed when the interpreter ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return  # no real file: captured, or closed
