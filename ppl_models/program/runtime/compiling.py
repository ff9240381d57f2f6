"""Costs of compiled programs: the time of compilation, and the memory maps that hold them."""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import get_opaque_trace_state

#: For functions that run once on few numbers: their compilation costs far more than their run, and
#: the whole optimiser saves nothing.
QUICK = {"xla_backend_optimization_level": 0}

_OUTSIDE = get_opaque_trace_state()  # of no transformation

REMEMBERED = 256  #: answers of a function that are kept by shapes

MAPS = Path("/proc/self/maps")
MOST_MAPS = Path("/proc/sys/vm/max_map_count")


def quickly(*, static: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``jax.jit`` with :data:`QUICK`, for functions that others compile within their own as well.

    JAX takes options of the compiler for what is compiled by itself alone, and refuses them in what
    is part of another compiled function.

    Args:
        static: names of arguments by whose values there is a program each.

    >>> double = quickly()(lambda x: 2 * x)
    >>> float(double(1.0)), float(jax.jit(double)(1.0))
    (2.0, 2.0)
    """

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        alone = jax.jit(function, static_argnames=static, compiler_options=QUICK)
        within = jax.jit(function, static_argnames=static)

        @wraps(function)
        def compiled(*args: Any, **kwargs: Any) -> Any:
            outside = get_opaque_trace_state() == _OUTSIDE
            return (alone if outside else within)(*args, **kwargs)

        return compiled

    return decorated


def in_batches(function: Callable[[Any], Any], values: Any, most: int) -> Any:
    """``lax.map`` in batches of at most ``most``, all of one size, so that one is compiled.

    ``lax.map`` itself compiles the function a second time for what its batches leave over. Here
    the first values are gone through again to fill the last batch, and what comes of them is
    thrown away.

    Args:
        function: of one value.
        values: arrays with a leading axis to map over.
        most: values at once.

    >>> in_batches(lambda v: 2 * v, jnp.arange(7), 3).tolist()
    [0, 2, 4, 6, 8, 10, 12]
    """
    count = len(jax.tree.leaves(values)[0])
    batches = max(1, -(-count // most))
    size = -(-count // batches)
    lacking = batches * size - count
    if lacking:
        values = jax.tree.map(lambda v: jnp.concatenate([v, v[:lacking]]), values)
    results = jax.lax.map(function, values, batch_size=size)
    return jax.tree.map(lambda v: v[:count], results) if lacking else results


def by_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Cache the answers of a function that traces, by the shapes of its arguments.

    To trace a program takes longer than to run it on a few thousand rows, and every fit asks the
    same of it. Answers are kept by all arguments, arrays by their shapes and types; not of traced
    arrays, nor where an argument cannot be compared.

    Args:
        function: whose answer depends on its arrays' shapes and types alone, and is not changed
            by anybody who gets it.
    """
    known: OrderedDict[Any, Any] = OrderedDict()

    @wraps(function)
    def remembered(*arguments: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((arguments, kwargs))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            return function(*arguments, **kwargs)
        told = tuple(
            (leaf.shape, str(leaf.dtype)) if isinstance(leaf, np.ndarray | jax.Array) else leaf
            for leaf in leaves
        )
        key = tree, told, jnp.result_type(float)
        try:
            result = known.pop(key, None)
        except TypeError:  # an argument without a hash
            return function(*arguments, **kwargs)
        known[key] = result = function(*arguments, **kwargs) if result is None else result
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        return result

    return remembered


def make_room() -> bool:
    """Forget compiled programs when three quarters of the memory maps are used; whether they were.

    A compiled program holds about ten memory maps for as long as JAX keeps it. Linux allows a
    process some 65,000; the compilation after the last one ends the process without a word. What is
    forgotten is compiled again, or read from JAX's cache on disk, when it is next wanted.

    >>> isinstance(make_room(), bool)
    True
    """
    try:
        held = MAPS.read_bytes().count(b"\n")
        most = int(MOST_MAPS.read_text())
    except OSError:  # not Linux, where the system sets no such bound
        return False
    if 4 * held < 3 * most:
        return False
    jax.clear_caches()
    gc.collect()
    return True
