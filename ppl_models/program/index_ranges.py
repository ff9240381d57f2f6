"""Lookups past the end of an array: ``effect[group]`` where groups are numbered from 1.

JAX silently takes the last entry there, so that the answer would be that of other data. Here
the program's computation is followed as far as the data alone determine it, and every index is
compared with the axis that it is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jax.lax import GatherScatterMode

from ppl_models.errors import InputError
from ppl_models.program.model import Model
from ppl_models.program.runtime.compiling import QUICK
from ppl_models.program.trace.structure import Structure

CONSTANT = "a constant of the program"
#: parameters of operations that hold a computation of their own, which is followed too
COMPUTATIONS = ("jaxpr", "call_jaxpr", "fun_jaxpr")
#: operations of which such a computation is all that they do
CALLS = frozenset(
    {"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call",
     "custom_vjp_call"}
)  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """A value that the data determine, and the data that it is computed from."""

    value: Any
    names: frozenset[str]


@dataclass(frozen=True)
class _Lookup:
    """An index into an axis of ``size`` entries."""

    index: Any
    size: int
    names: frozenset[str]


def refuse_out_of_range(model: Model, structure: Structure) -> None:
    """Refuse data by which the program looks up entries that an array does not have.

    ``jnp.take``, ``.at[...].get`` with a mode of its own and ``jnp.clip`` say what is meant there,
    and are left alone.

    Args:
        model: the program with its data.
        structure: what was read off it.

    Raises:
        InputError: the index, the axis, and which data it comes from.
    """
    values = {
        s.name: jax.ShapeDtypeStruct(s.shape, jnp.result_type(float)) for s in structure.sites
    }
    leaves, tree = jax.tree.flatten(model)
    names = _names_of_leaves(model)

    def program(leaves: Sequence[Any], values: Any) -> Any:
        trace = jax.tree.unflatten(tree, leaves).trace_at(values, structure)
        return [jnp.asarray(s["value"]) for s in trace.values() if s["type"] == "sample"]

    made = jax.make_jaxpr(program)(leaves, values)
    if not any(_looks_up(eqn) for eqn in made.jaxpr.eqns):
        return
    told: list[_Lookup] = []

    def indices(leaves: Sequence[Any]) -> list[Any]:
        told.clear()
        known = [_Known(v, n) for v, n in zip(leaves, names, strict=True)]
        unknown = [None] * (len(made.jaxpr.invars) - len(known))
        _follow(made.jaxpr, made.consts, [*known, *unknown], told)
        return [jnp.stack([u.index.max(), u.index.min()]) for u in told]

    if not jax.eval_shape(indices, leaves):
        return
    ranges = jax.jit(indices, compiler_options=QUICK)(leaves)
    for lookup, (highest, lowest) in zip(told, np.asarray(ranges), strict=True):
        wrong = highest if highest >= lookup.size else lowest
        if 0 <= wrong < lookup.size:
            continue
        if wrong < 0:  # counted from the end, which has been added
            wrong -= lookup.size
        by = " and ".join(n if n == CONSTANT else f"'{n}'" for n in sorted(lookup.names))
        name = getattr(model.function, "__name__", "the program")
        raise InputError(
            f"{name} looks up entry {wrong} by {by}, and there are {lookup.size}, of which the "
            f"first is 0: number them 0 to {lookup.size - 1}, or clip them in the program, as in "
            "effect[jnp.clip(index, 0, len(effect) - 1)]"
        )


def _names_of_leaves(model: Model) -> list[frozenset[str]]:
    """Which data or argument each of the model's leaves is."""
    paths = jax.tree_util.tree_flatten_with_path(model)[0]
    keys = ([k.key for k in path if isinstance(k, jax.tree_util.DictKey)] for path, _ in paths)
    return [frozenset(str(k) for k in key[:1]) for key in keys]


def _looks_up(eqn: Any) -> bool:
    """Whether an operation takes entries by index, or one within it does."""
    if eqn.primitive.name in ("gather", "dynamic_slice"):
        return True
    inner = eqn.params["jaxpr"] if eqn.primitive.name == "scan" else _computation(eqn)
    return inner is not None and any(_looks_up(e) for e in inner.jaxpr.eqns)


def _computation(eqn: Any) -> Any:
    """The computation that an operation calls; None where it is one of its own."""
    if eqn.primitive.name not in CALLS:
        return None
    inner = next((eqn.params[n] for n in COMPUTATIONS if n in eqn.params), None)
    return inner if hasattr(inner, "jaxpr") else None


def _follow(
    jaxpr: Any, constants: Sequence[Any], inputs: Sequence[_Known | None], told: list[_Lookup]
) -> list[_Known | None]:
    """What the data determine of a computation's results; lookups by it are appended to ``told``.

    Args:
        jaxpr: the computation.
        constants: its constants.
        inputs: its arguments, None where the data do not determine them.
        told: the lookups.
    """
    known: dict[Any, _Known | None] = dict(zip(jaxpr.invars, inputs, strict=True))
    none: frozenset[str] = frozenset()
    own = frozenset({CONSTANT})
    known |= {v: _Known(c, own) for v, c in zip(jaxpr.constvars, constants, strict=True)}

    def read(variable: Any) -> _Known | None:
        return _Known(variable.val, none) if isinstance(variable, Literal) else known[variable]

    for eqn in jaxpr.eqns:
        operands = [read(v) for v in eqn.invars]
        told.extend(_lookups(eqn, operands))
        if eqn.primitive.name == "scan":
            told.extend(_in_steps(eqn, operands))
        inner = _computation(eqn)
        results: list[_Known | None]
        if inner is not None:
            results = _follow(inner.jaxpr, inner.consts, operands, told)
        elif all(o is not None for o in operands):
            names = frozenset().union(*(o.names for o in operands if o is not None))
            bound = eqn.primitive.get_bind_params(eqn.params)
            # before JAX 0.10 functions among the parameters come first
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)
            values = [o.value for o in operands if o is not None]
            made = eqn.primitive.bind(*functions, *values, **parameters)
            made = made if eqn.primitive.multiple_results else [made]
            results = [_Known(v, names) for v in made]
        else:
            results = [None] * len(eqn.outvars)
        known |= dict(zip(eqn.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _in_steps(eqn: Any, operands: Sequence[_Known | None]) -> list[_Lookup]:
    """Lookups in the steps of a scan, whatever it carries, by what the data say of each step."""
    step = eqn.params["jaxpr"]
    # constants, what is carried, and what has an axis of steps, in this order
    carried = sum(map(_of_one_shape, eqn.outvars, step.jaxpr.outvars))
    first = sum(map(_of_one_shape, eqn.invars, step.jaxpr.invars))
    same, by_step = operands[: first - carried], operands[first:]
    inside: list[_Lookup] = []

    def of_step(values: Sequence[Any]) -> list[Any]:
        inside.clear()
        left = iter(values)
        here = [None if o is None else _Known(next(left), o.names) for o in by_step]
        _follow(step.jaxpr, step.consts, [*same, *[None] * carried, *here], inside)
        return [u.index for u in inside]

    known = [o.value for o in by_step if o is not None]
    indices = jax.vmap(of_step)(known) if known else of_step(known)
    return [_Lookup(i, u.size, u.names) for i, u in zip(indices, inside, strict=True)]


def _of_one_shape(outside: Any, inside: Any) -> bool:
    return bool(outside.aval.shape == inside.aval.shape)


def _lookups(eqn: Any, operands: Sequence[_Known | None]) -> list[_Lookup]:
    """Lookups of an operation by an index that comes from the data."""
    shape = eqn.invars[0].aval.shape if eqn.invars else ()
    if eqn.primitive.name == "dynamic_slice":
        own = zip(operands[1:], shape, eqn.params["slice_sizes"], strict=True)
        return [
            _Lookup(jnp.atleast_1d(o.value), size - width + 1, o.names)
            for o, size, width in own
            if o is not None and o.names
        ]
    index = operands[1] if eqn.primitive.name == "gather" else None
    if index is None or not index.names or not np.prod(np.shape(index.value)):
        return []
    if GatherScatterMode.from_any(eqn.params["mode"]) != GatherScatterMode.PROMISE_IN_BOUNDS:
        return []
    axes = eqn.params["dimension_numbers"].start_index_map
    return [
        _Lookup(index.value[..., i], shape[d] - eqn.params["slice_sizes"][d] + 1, index.names)
        for i, d in enumerate(axes)
    ]
