"""Running a user's program where it may fail for reasons that only the program knows."""

from __future__ import annotations

from collections.abc import Callable


def attempted[Result](run: Callable[[], Result]) -> Result | None:
    """What a run returns; None where the user's program raised an error.

    A program may hold an array as long as its data, or take sizes that it was not told, so that it
    runs on the data alone and not on a part of them: whether it does shows only when it is run.
    The one place where errors of a user's program are taken for an answer; what else asks about a
    program reads its trace.

    Args:
        run: calls the program, by abstract evaluation or on few rows.

    >>> attempted(lambda: 1 + 1), attempted(lambda: 1 / 0)
    (2, None)
    """
    try:
        return run()
    except Exception:  # of whichever library the program calls
        return None
