"""Priors that cannot be drawn from: a value in the support while the program is read."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from numpyro.distributions import Distribution, ImproperUniform, biject_to
from numpyro.primitives import Messenger


class InSupport(Messenger):
    """Run a program whose ``ImproperUniform`` sites take the value at the origin of their space.

    >>> import numpyro
    >>> from numpyro import handlers
    >>> from numpyro.distributions import constraints
    >>> def program():
    ...     return numpyro.sample("rate", ImproperUniform(constraints.positive, (), (3,)))
    >>> handlers.seed(InSupport(program), 0)().tolist()
    [1.0, 1.0, 1.0]
    """

    def process_message(self, message: dict[str, Any]) -> None:
        """Give the site its value, if it has none."""
        if message["type"] != "sample" or message["value"] is not None:
            return
        prior = message["fn"]
        if is_improper(prior):
            transform = biject_to(prior.support)
            shape = tuple(message["kwargs"].get("sample_shape", ())) + prior.shape()
            message["value"] = transform(jnp.zeros(transform.inverse_shape(shape)))


def is_improper(prior: Any) -> bool:
    """Whether a distribution is an ``ImproperUniform``, masked, expanded or of independent axes.

    >>> from numpyro.distributions import Normal, constraints
    >>> flat = ImproperUniform(constraints.real, (), ())
    >>> is_improper(flat.expand([2]).to_event(1).mask(False)), is_improper(Normal())
    (True, False)
    """
    while isinstance(prior, Distribution):
        if isinstance(prior, ImproperUniform):
            return True
        prior = getattr(prior, "base_dist", None)
    return False
