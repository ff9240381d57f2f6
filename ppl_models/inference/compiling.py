"""What compiled programs may cost: time to make them, and the system's memory maps to hold them."""

from __future__ import annotations

import gc
from pathlib import Path

import jax

#: For functions that run once on few numbers: their compilation costs far more than their run, and
#: the whole optimiser saves nothing.
QUICK = {"xla_backend_optimization_level": 0}

MAPS = Path("/proc/self/maps")
MOST_MAPS = Path("/proc/sys/vm/max_map_count")


def make_room() -> bool:
    """Forget compiled programs when a system of memory maps is half full; whether it was.

    A compiled program holds about ten memory maps for as long as JAX keeps it. Linux allows a
    process some 65,000; the compilation after the last one ends the process without a word. What is
    forgotten is compiled again, or read from JAX's cache on disk, when it is next wanted.

    >>> make_room()
    False
    """
    try:
        held = MAPS.read_bytes().count(b"\n")
        most = int(MOST_MAPS.read_text())
    except OSError:  # not Linux, where the system sets no such bound
        return False
    if 2 * held < most:
        return False
    jax.clear_caches()
    gc.collect()
    return True
