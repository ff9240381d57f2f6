"""Draws of the global sites from their prior."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import Distribution

from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly

BLOCK = 8  #: draws of one call


def has_draws(prior: Any) -> bool:
    """Whether a distribution and all its parts can be sampled.

    >>> from numpyro.distributions import ImproperUniform, Normal, constraints
    >>> flat = ImproperUniform(constraints.real, (), ())
    >>> has_draws(Normal().expand([2])), has_draws(flat.expand([2]).to_event(1))
    (True, False)
    """
    if isinstance(prior, list | tuple):
        return all(has_draws(part) for part in prior)
    if not isinstance(prior, Distribution):
        return True
    own = type(prior).sample is not Distribution.sample
    return own and all(has_draws(part) for part in vars(prior).values())


def draw_prior(model: Model, keys: Array, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Draws of the prior ``(key, ...)``, in blocks of one size: any number is compiled once.

    Args:
        model: the program.
        keys: a random key for every draw.
        names: global sites that are wanted; all priors of the program have draws, see
            :func:`has_draws`.
    """
    numbers, kind = np.asarray(random.key_data(keys)), random.key_impl(keys)
    count = len(numbers)
    padded = np.concatenate([numbers, np.repeat(numbers[:1], -count % BLOCK, axis=0)])
    blocks = [
        _prior(model, padded[first : first + BLOCK], names=names, kind=kind)
        for first in range(0, len(padded), BLOCK)
    ]
    return {n: np.concatenate([np.asarray(b[n]) for b in blocks])[:count] for n in names}


@quickly(static=("names", "kind"))
def _prior(model: Model, numbers: Array, *, names: tuple[str, ...], kind: Any) -> Globals:
    def one(key: Array) -> Globals:
        # (the data stay observed: how to draw them would be compiled for nothing)
        program = handlers.substitute(model.run, data=model.fixed)
        trace = handlers.trace(handlers.seed(program, key)).get_trace()
        return {n: trace[n]["value"] for n in names}

    return jax.lax.map(one, random.wrap_key_data(numbers, impl=kind))
