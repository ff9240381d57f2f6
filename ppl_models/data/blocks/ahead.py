"""Reading ahead: a thread reads the next blocks while this one is computed with."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

DEPTH = 2  #: blocks that wait


def ahead(make: Callable[[], Iterator[Any]], depth: int = DEPTH) -> Iterator[Any]:
    """Items of an iterator, read ahead by a separate thread.

    Args:
        make: makes the iterator, in the thread.
        depth: most blocks that are read and not yet taken.

    Raises:
        Exception: whatever the iterator raises, where it would have given its next block.

    >>> list(ahead(lambda: iter([1, 2, 3])))
    [1, 2, 3]
    """
    waiting: queue.Queue = queue.Queue(depth)
    left = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not left.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for block in make():
                if not put((block, None)):
                    return
        except BaseException as error:  # told to whoever reads
            put((end, error))
        else:
            put((end, None))

    thread = threading.Thread(target=read, name="reading ahead", daemon=True)
    thread.start()
    try:
        while True:
            block, error = waiting.get()
            if error is not None:
                raise error
            if block is end:
                return
            yield block
    finally:
        left.set()
        thread.join()
