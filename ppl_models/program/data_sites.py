"""What else a trace says of a program's sites: values from data, lowest values, derived sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.ops.provenance import eval_provenance

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.scaled import weigh
from ppl_models.errors import UnsupportedError
from ppl_models.program.compiling import QUICK
from ppl_models.program.structure import Structure

COUNTING = ("Categorical", "Bernoulli")  #: distributions whose values count from 0


def sites_of_data(model: Any, trace: Mapping[str, Any], given: Mapping[str, str]) -> frozenset[str]:
    """The observed sites outside plates whose values are computed from the program's data.

    Args:
        model: the program with its data.
        trace: of a run.
        given: sites that observe a parameter as it is.
    """
    unknown = {
        name
        for name, site in trace.items()
        if site["type"] == "sample"
        and site["is_observed"]
        and not site["cond_indep_stack"]
        and name not in given
    }
    if not unknown or not model.data:
        return frozenset(given)

    def values(**data: Any) -> dict[str, Array]:
        seeded = handlers.seed(model.with_data(data).held(), random.key(0))
        found = handlers.trace(seeded).get_trace()
        return {n: jnp.asarray(found[n]["value"]) for n in unknown}

    origins = eval_provenance(values, **model.data)
    return frozenset({*given, *(n for n, origin in origins.items() if origin)})


def with_lowest(model: Any, structure: Structure, trace: Mapping[str, Any]) -> Structure:
    """With the lowest values of those discrete sites that do not count from 0.

    Raises:
        UnsupportedError: values that are not consecutive.
    """
    lowest = []
    for name in structure.discrete:
        if type(unwrap(weigh(trace[name])[0])).__name__.startswith(COUNTING):
            continue
        values = np.asarray(_support(model, name)).ravel()
        if not np.array_equal(values, values[0] + np.arange(len(values))):
            raise UnsupportedError(
                f"site '{name}' takes the values {values[:4].tolist()}, ...: let it count from 0, "
                "and look the values up in an array"
            )
        if values[0] != 0:
            lowest.append((name, int(values[0])))
    return replace(structure, lowest=tuple(lowest)) if lowest else structure


@partial(jax.jit, static_argnames=("site",), compiler_options=QUICK)
def _support(model: Any, site: str) -> Array:
    """The values of a discrete site."""
    trace = handlers.trace(handlers.seed(model.held(), random.key(0))).get_trace()
    values: Array = trace[site]["fn"].enumerate_support(expand=False)
    return values


def with_derived(model: Any, structure: Structure) -> Structure:
    """Deterministic sites outside the rows' plate that depend on the discrete sites all the same.

    They are evaluated with the rows' own values of these, as those within the plate are.
    """
    names = [n for n, _ in structure.deterministics]

    def derived(assignment: Array, values: Mapping[str, Array]) -> dict[str, Array]:
        trace = model.trace_at(values, structure, assignment=assignment)
        return {n: trace[n]["value"] for n in names}

    shapes = jax.eval_shape(structure.initial, random.key(0))
    whole = jax.ShapeDtypeStruct(structure.assignment_shape, int)
    origins = eval_provenance(derived, assignment=whole, values=shapes)
    moving = {n for n in names if "assignment" in origins[n]}
    of_rows = tuple(
        (n, tuple(f"{n}_dim_{i}" for i in range(len(dims))))
        for n, dims in structure.deterministics
        if n in moving
    )
    return replace(
        structure,
        deterministics=tuple(d for d in structure.deterministics if d[0] not in moving),
        row_deterministics=(*structure.row_deterministics, *of_rows),
    )
