"""Programs that take their data as one dict, rewritten with a parameter for each entry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any

import jax
import numpy as np
from jax import random
from numpyro import handlers

from ppl_models import catalogue
from ppl_models.field_parameters import with_fields
from ppl_models.program.arguments.signature import is_argument, undeclared_parameters
from ppl_models.program.runtime.precision import scope
from ppl_models.program.runtime.trial import attempted


def without_dict(
    function: Callable, data: Any, arguments: Mapping[str, Any]
) -> tuple[Callable, Any, dict[str, Any]]:
    """The program, data and arguments, a dict of data split into a parameter for each entry.

    Args:
        function: the program.
        data: as ``fit`` takes them: the dict, or one with the dict under the parameter's name.
        arguments: given by name.

    >>> import jax.numpy as jnp
    >>> import numpyro
    >>> import numpyro.distributions as dist
    >>> def program(data, K):
    ...     with numpyro.plate("row", data["N"]):
    ...         numpyro.sample("y", dist.Normal(data["x"], 1), obs=data["y"])
    >>> rows = {"x": np.zeros(3), "y": np.ones(3), "N": 3}
    >>> _, data, arguments = without_dict(program, rows, {"K": 2})
    >>> list(data), arguments
    (['x', 'y'], {'K': 2, 'N': 3})
    """
    parameter = _of_dict(function, arguments) if isinstance(data, dict) else None
    if parameter is None:
        return function, data, dict(arguments)
    held = data[parameter] if list(data) == [parameter] else data
    if not isinstance(held, Mapping) or parameter in held:
        return function, data, dict(arguments)
    sizes = {n: v for n, v in held.items() if is_argument(v)}
    fields = {n: v for n, v in held.items() if n not in sizes}
    if not fields or not all(isinstance(n, str) and n.isidentifier() for n in held):
        return function, data, dict(arguments)
    if not _runs(function, {**arguments, parameter: {**fields, **sizes}}, parameter):
        return function, data, dict(arguments)
    flat = catalogue.program(with_fields(function, parameter, tuple(fields), tuple(sizes)))
    return flat, fields, {**arguments, **sizes}


def _of_dict(function: Callable, arguments: Mapping[str, Any]) -> str | None:
    """The parameter that may take a dict: the only one without a default and a known kind."""
    if catalogue.is_built_in(function):
        return None
    parameters = inspect.signature(function).parameters
    required = [
        n
        for n, p in parameters.items()
        if p.default is Parameter.empty and p.kind is Parameter.POSITIONAL_OR_KEYWORD
    ]
    first = [n for n in required if n not in arguments][:1]
    return first[0] if first and first[0] in undeclared_parameters(function) else None


def _runs(function: Callable, arguments: Mapping[str, Any], parameter: str) -> bool:
    """Whether the program runs with a dict (by abstract evaluation)."""
    taken = inspect.signature(function).parameters
    rest = {n: v for n, v in arguments.items() if n in taken and n != parameter}
    held = arguments[parameter]
    fixed = {n: v for n, v in held.items() if is_argument(v)}

    def run(fields: Any) -> None:
        handlers.seed(function, random.key(0))(**rest, **{parameter: {**fields, **fixed}})

    def traced() -> bool:
        fields = {n: np.asarray(v) for n, v in held.items() if n not in fixed}
        with scope("float64"):
            jax.eval_shape(run, fields)
        return True

    return attempted(traced) is not None
