"""Products of traced programs that a GPU would take in fewer bits than the numbers have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PRODUCTS = ("dot_general", "conv_general_dilated")


def _inner(value: Any) -> Iterator[Any]:
    """Programs within a parameter of an equation: of a loop, a branch, a compiled function."""
    if isinstance(value, jax.extend.core.ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, jax.extend.core.Jaxpr):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _inner(each)


def equations(program: Any) -> Iterator[Any]:
    """All equations of a traced program, those of programs within it too."""
    for equation in program.eqns:
        yield equation
        for value in equation.params.values():
            for inner in _inner(value):
                yield from equations(inner)


def products_of(function: Callable, *arguments: Any) -> tuple[int, list[str]]:
    """How many products in single precision there are, and those without all of its bits."""
    traced = jax.make_jaxpr(function)(*arguments)
    actual, short = 0, []
    for equation in equations(traced.jaxpr):
        if equation.primitive.name not in PRODUCTS:
            continue
        if any(v.aval.dtype != jnp.float32 for v in equation.invars):
            continue
        actual += 1
        precision = equation.params["precision"]
        if precision is None or {*np.atleast_1d(precision)} != {lax.Precision.HIGHEST}:
            frames = [
                f for f in equation.source_info.traceback.frames if "ppl_models" in f.file_name
            ]
            where = "\n    ".join(f"{f.file_name}:{f.line_num}" for f in frames[:6])
            short.append(f"{equation}\n    {where}")
    return actual, short
