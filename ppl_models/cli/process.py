"""Process-wide settings and exit statuses, which the command line sets and the library does not."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from ppl_models.errors import InputError

DEFECT, WRONG_INPUT, STOPPED, READER_GONE = 1, 2, 130, 141
SHARED_BYTES = 300_000  #: rows of a smaller file are too few to be shared between cores
GRACE = 1.0  #: seconds in which interrupted work may clean up
KEEPING = 60.0  #: the same of work that keeps its states


def prepare() -> None:
    """Set environment variables before JAX and matplotlib are imported; see ``--help``."""
    os.environ.setdefault("MPLBACKEND", "Agg")


def set_device_count(devices: int | None, data: str) -> None:
    """Set the number of JAX devices to that of cores, before JAX is imported.

    Args:
        devices: number of cores. None: all, if the file is so large that its rows are shared, and
            if the environment does not say how many (``JAX_NUM_CPU_DEVICES``).
        data: the file of data.
    """
    if devices is None:
        large = os.path.getsize(data) >= SHARED_BYTES
        devices = cores() if large and "JAX_NUM_CPU_DEVICES" not in os.environ else 0
    elif devices < 1:
        raise InputError(f"--devices is {devices}: give the number of cores, 1 or more")
    if devices > 1:
        os.environ["JAX_NUM_CPU_DEVICES"] = str(devices)


def cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def guarded(
    work: Callable[[], None],
    *,
    debug: bool = False,
    may_exit: bool = False,
    grace: float = GRACE,
) -> int:
    """Run the work and turn exceptions into an exit status and one sentence.

    Args:
        work: what is to be done.
        debug: print the traceback of a defect.
        may_exit: whether the process ends with the work, so that Ctrl-C may end it at once.
        grace: seconds in which interrupted work may come to its end.
    """
    try:
        _interruptible(lambda: _quietly(work), grace if may_exit else None)
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "stopped", STOPPED)
    except BrokenPipeError:
        if may_exit:
            _let_go_of_output()
        return READER_GONE
    except InputError as error:
        return _say(str(error), WRONG_INPUT)
    except OSError as error:
        if may_exit:
            _let_go_of_output()
        place = f": {error.filename}" if error.filename else ""
        return _say(f"{error.strerror or error}{place}", WRONG_INPUT)
    except Exception as error:
        if debug:
            traceback.print_exc()
        where = "" if debug else " (ppl-models --debug ... shows where)"
        said = " ".join(str(error).split())[:300]
        return _say(f"unexpected {type(error).__name__}: {said}{where}", DEFECT)
    return 0


def _interruptible(work: Callable[[], None], grace: float | None) -> None:
    """Run the work in another thread, so that Ctrl-C works while compiled code runs."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed on to the main thread
            ended.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.2)
    except KeyboardInterrupt:
        # Python code is interrupted, and removes half-written files; compiled code is not
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(worker.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
        worker.join(grace)
        if worker.is_alive():
            os._exit(_say("stopped", STOPPED))
        if ended and isinstance(ended[0], KeyboardInterrupt):  # who says how to go on
            raise ended[0] from None
        raise
    if ended:
        raise ended[0]


def _quietly(work: Callable[[], None]) -> None:
    """Run the work; show warnings of this package and of the user's program as single lines."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=UserWarning, module=r"ppl_models|_program_")
        warnings.showwarning = _show_warning
        work()
        if sys.stdout is not None:
            sys.stdout.flush()


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    _say(f"note: {message}", 0)


def _say(sentence: str, status: int) -> int:
    print(f"ppl-models: {' '.join(sentence.split())}", file=sys.stderr, flush=True)
    return status


def _let_go_of_output() -> None:
    """Discard output that a closed pipe can no longer take."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return  # no real file: captured, or closed
