"""Progress bars on long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(total: int, label: str, shown: bool) -> Iterator[Any]:
    """A bar that appears after two seconds, on standard error.

    >>> with progress_bar(3, "work", shown=False) as bar:
    ...     _ = bar.update(1)
    """
    from tqdm import tqdm

    bar = tqdm(total=total, desc=label, disable=not shown, leave=False, delay=2)
    try:
        yield bar
    finally:
        bar.close()
