"""Which argument of a program is the size of a plate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
from jax import random
from numpyro import handlers

if TYPE_CHECKING:
    from ppl_models.program.model import Model


class _Argument(int):
    """A whole number that is recognised where a program passes it on as it is."""

    name: str

    @classmethod
    def of(cls, name: str, value: int) -> _Argument:
        argument = cls(value)
        argument.name = name
        return argument


def size_argument(model: Model, numbers: Mapping[str, int], plate: str) -> str | None:
    """Name of the argument that a program passes to a plate as its size; None where none is.

    Args:
        model: the program with its data.
        numbers: arguments that may be the size, with their values.
        plate: name of the plate.

    >>> import numpy as np, numpyro, numpyro.distributions as dist
    >>> from ppl_models.program.model import Model
    >>> def coins(x=None, *, n, sides):
    ...     with numpyro.plate("coin", n):
    ...         numpyro.sample("x", dist.Normal(0.0, sides), obs=x)
    >>> size_argument(Model(coins, {"x": np.zeros(2)}, {}, {}), {"n": 2, "sides": 2}, "coin")
    'n'
    """
    arguments = {**model.arguments, **{n: _Argument.of(n, v) for n, v in numbers.items()}}
    sizes: list[Any] = []

    def trace(data: dict[str, Any], weights: Any) -> None:
        program = replace(model, data=data, weights=weights, arguments=arguments).held()
        sites = handlers.trace(handlers.seed(program, random.key(0))).get_trace()
        if plate in sites:
            sizes.append(sites[plate]["args"][0])

    jax.eval_shape(trace, model.data, model.weights)
    return sizes[0].name if sizes and isinstance(sizes[0], _Argument) else None
