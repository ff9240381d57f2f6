"""Paired timing: ours and theirs in turn, so that a drift of the machine's speed cancels."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

import numpy as np

PACKAGES = ("jax", "numpyro", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of each, the ratio pair by pair, and what was asked for."""

    what: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    aim: str

    header: ClassVar[str] = (
        "| what | ours, ms | peer, ms | times as fast: median (range) of pairs | aim |\n"
        "|---|---:|---:|---:|---|"
    )

    def markdown(self) -> str:
        """A line of the table."""
        return (
            f"| {self.what} | {_milliseconds(self.ours)} | {_milliseconds(self.theirs)} "
            f"| **{self.ratio:.1f}** ({self.low:.1f}–{self.high:.1f}) | {self.aim} |"
        )


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:,.{1 if seconds > 0.01 else 2}f}"


@dataclass(frozen=True)
class Timed:
    """One thing done once, in seconds."""

    what: str
    seconds: float
    aim: str

    header: ClassVar[str] = "| what | seconds | aim |\n|---|---:|---|"

    def markdown(self) -> str:
        """A line of the table."""
        digits = 1 if self.seconds >= 1 else 3
        return f"| {self.what} | {self.seconds:.{digits}f} | {self.aim} |"


def paired(
    what: str,
    ours: Callable[[], float | None],
    theirs: Callable[[], float | None],
    aim: str,
    pairs: int = 5,
) -> Row:
    """Time two functions in turn, after one warm-up each.

    Args:
        what: name of the comparison.
        ours: our side; may return its own seconds, else the call is timed.
        theirs: the peer's side, likewise.
        aim: what is hoped for, as text.
        pairs: number of pairs.
    """
    _seconds(ours)
    _seconds(theirs)
    times = np.array([[_seconds(ours), _seconds(theirs)] for _ in range(pairs)])
    ratios = times[:, 1] / times[:, 0]
    middle = np.median(times, axis=0)
    return Row(
        what, middle[0], middle[1], float(np.median(ratios)), ratios.min(), ratios.max(), aim
    )


SPAN = 0.5  #: least seconds of a measurement: a fit makes thousands of such calls, one by one


def a_call(function: Callable[[], object]) -> float:
    """Seconds a call of a function that is called again and again, as in a fit."""
    calls, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SPAN:
        function()
        calls += 1
    return elapsed / calls


REST = 0.3  #: seconds after which no library's threads still spin in wait of more work


def _seconds(run: Callable[[], float | None]) -> float:
    time.sleep(REST)
    started = time.perf_counter()
    own = run()
    return time.perf_counter() - started if own is None else own


def machine() -> str:
    """Processor, cores and versions."""
    import os

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            named = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        model = named[0] if named else model
    except OSError:
        pass
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
