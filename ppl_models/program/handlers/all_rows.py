"""Plates that take a subsample take all their rows: methods pass over them in pieces themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.primitives import Messenger


class AllRows(Messenger):
    """Run a program whose plates take all rows, whatever their ``subsample_size``.

    >>> import numpyro
    >>> def program():
    ...     with numpyro.plate("row", 4, subsample_size=2) as rows:
    ...         return rows
    >>> AllRows(program)().tolist()
    [0, 1, 2, 3]
    """

    def process_message(self, message: dict[str, Any]) -> None:
        """Number all rows of a plate."""
        if message["type"] != "plate":
            return
        size, taken = message["args"]
        if taken not in (None, size):
            message["args"] = (size, size)
        numbers = np.arange(size, dtype=jnp.result_type(int))
        with jax.ensure_compile_time_eval():  # known numbers, which index NumPy's arrays too
            message["value"] = jax.device_put(numbers)
