"""Numbers of tables in a franchise of Chinese restaurants, as a site of a program."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution, constraints


class Tables(Distribution):
    """How many tables serve each entry that occurred more than once; at least one.

    A program needs the numbers to say what follows what was seen. Their distribution given the
    sequences is the seating's, which ``method="pitman_yor_gibbs"`` draws; it is no product over
    entries and has no closed form without the generalised Stirling numbers of all counts, so that
    this site adds nothing to a program's density, as NumPyro's ``ImproperUniform`` does.

    Args:
        entries: how many entries occurred more than once.

    >>> Tables(3).event_shape
    (3,)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_aux_fields = ("entries",)
    support = constraints.independent(constraints.positive_integer, 1)

    def __init__(self, entries: int, *, validate_args: bool | None = None):
        self.entries = int(entries)
        super().__init__((), (self.entries,), validate_args=validate_args)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Zero."""
        return jnp.zeros(jnp.shape(value)[:-1])

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """One table each: where the seating begins."""
        return jnp.ones((*sample_shape, self.entries), jnp.int32)
