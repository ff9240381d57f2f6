"""What the device that computes is good at; every choice of loops and layouts asks here.

A processor's core is fast on numbers that stay in its cache, passed over piece by piece. A GPU or
TPU takes thousands of numbers at once, and each step of a loop has a price of its own: pieces are
then as large as memory allows, recursions are cut into blocks that run side by side, and loops over
steps are written out.
"""

from __future__ import annotations

from ppl_models import memory

#: Steps of a recursion within a block, where blocks run side by side.
BLOCK_STEPS = 8
#: Steps of a loop that are written out, where each step of a loop has its price.
UNROLLED_STEPS = 32


def is_wide() -> bool:
    """Whether the device takes thousands of numbers at once: a GPU or TPU, by JAX's defaults."""
    import jax

    chosen = jax.config.jax_default_device
    if chosen is None:
        return jax.default_backend() != "cpu"
    return (chosen if isinstance(chosen, str) else chosen.platform) != "cpu"


def chunk_bytes() -> int:
    """What a pass may have at hand of a chunk of data: a part of a wide device's memory."""
    import jax

    statistics = jax.local_devices()[0].memory_stats() or {}
    held = statistics.get("bytes_limit")
    return memory.WIDE_BYTES if held is None else min(memory.WIDE_BYTES, held // 16)


def starts_numbers() -> int:
    """Start x cluster x row, below which EM moves all starts side by side."""
    return memory.WIDE_STARTS_NUMBERS if is_wide() else memory.STARTS_NUMBERS


def unrolled(steps: int) -> int:
    """How many steps of a loop of so many are written out."""
    return max(1, min(steps, UNROLLED_STEPS)) if is_wide() else 1
