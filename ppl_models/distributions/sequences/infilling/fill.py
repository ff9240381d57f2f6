"""Fill the missing tokens of sequences in, exactly where that can be done.

A chain says how many combinations of missing tokens it may enumerate (``most_combinations``):
up to so many they are enumerated, see :mod:`.combinations`; beyond, draws are those of a particle
filter, see :mod:`.particles`, and there is no most probable filling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jax import Array

from ppl_models.distributions.sequences.infilling.combinations import (
    GapWindow,
    combinations,
    fill_rows,
    gap_window,
)
from ppl_models.distributions.sequences.infilling.particles import fill_by_particles
from ppl_models.errors import InputError

if TYPE_CHECKING:
    from ppl_models.distributions.sequences.autoregressive import Autoregressive


def window_to_compile(chain: Autoregressive, value: Array) -> GapWindow:
    """The window that rows of concrete data are compiled for.

    Rows whose gaps are not enumerated have the widest, so that one compilation serves them all.
    """
    window = gap_window(value, chain.memory)
    if combinations(chain, window) > chain.most_combinations:
        return GapWindow(value.shape[-1], value.shape[-1])
    return window


def fill(
    chain: Autoregressive, value: Array, window: GapWindow | None = None, key: Array | None = None
) -> Array:
    """Fill missing tokens in given all that are known.

    Args:
        chain: what writes the rows, see :func:`.combinations.fill_rows`.
        value: codes ``(row, position)``, gaps NaN or negative. A gap is never ``<end>``.
        window: of the gaps (default: that of ``value``).
        key: of draws; None: the most probable tokens together.

    Raises:
        InputError: no key, and too many combinations.
    """
    window = window or gap_window(value, chain.memory)
    if combinations(chain, window) <= chain.most_combinations:
        return fill_rows(chain, value, window, key)
    if key is None:
        raise InputError(
            f"{max(window)} gaps that {type(chain).__name__} remembers together have "
            f"{chain.tokens:,}^{max(window)} fillings, of which the most probable is not to be "
            "found by looking at each: leave most_probable out"
        )
    return fill_by_particles(chain, key, value)
