"""What a scan carries on keeps its type from step to step.

A program that was written in single precision carries ``jnp.zeros((), jnp.int32)`` and
``jnp.float32`` on; in double precision its sites are drawn as ``int64`` and ``float64``, and JAX
refuses a carry whose type changes. Whole numbers of 32 bits go on in the type that the program gave
them, as they would in single precision; narrower ones could overflow, and are left to JAX, which
refuses them. Real numbers begin in the precision of the fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.contrib.control_flow.scan import scan_wrapper
from numpyro.primitives import Messenger

#: types of a carry and of what becomes of it in double precision
NARROWED = tuple((jnp.dtype(f"{kind}32"), jnp.dtype(f"{kind}64")) for kind in ("int", "uint"))


class OneTypeOfCarry(Messenger):
    """Run a program whose scans may be given carries of another width than they pass on.

    >>> import numpyro
    >>> from numpyro import handlers
    >>> import numpyro.distributions as dist
    >>> from numpyro.contrib.control_flow import scan
    >>> def step(z, _):
    ...     return numpyro.sample("z", dist.Bernoulli(jnp.array([0.2, 0.8])[z])), None
    >>> def program():
    ...     return scan(step, jnp.zeros((), jnp.int32), None, 3)[0]
    >>> with jax.enable_x64(True):
    ...     state = OneTypeOfCarry(handlers.seed(program, 0))()
    >>> state.dtype
    dtype('int32')
    """

    def process_message(self, message: dict[str, Any]) -> None:
        """Have a scan's step return what it was given, and begin in the precision of the fit."""
        if message["type"] != "control_flow" or message["fn"] is not scan_wrapper:
            return
        step, start, *rest = message["args"]
        message["args"] = (_of_one_type(step), jax.tree.map(_in_precision, start), *rest)


def _of_one_type(step: Callable) -> Callable:
    def with_types(carry: Any, x: Any) -> tuple[Any, Any]:
        carried, out = step(carry, x)
        structures: list[Any] = [jax.tree.structure(c) for c in (carry, carried)]
        if structures[0] == structures[1]:
            carried = jax.tree.map(_like, carried, carry)
        return carried, out

    return with_types


def _like(new: Any, old: Any) -> Any:
    types = jnp.result_type(old), jnp.result_type(new)
    return jnp.asarray(new, types[0]) if types in NARROWED else new


def _in_precision(value: Any) -> Any:
    real = hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)
    return jnp.asarray(value, jnp.promote_types(value.dtype, float)) if real else value
