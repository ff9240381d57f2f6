"""Sites of a trace that depend on data: computed observations, factors, lowest and known values."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions.distribution import ExpandedDistribution, MaskedDistribution
from numpyro.ops.provenance import eval_provenance

from ppl_models.distributions.scaled import times, weigh
from ppl_models.errors import UnsupportedError
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.chains import COUNTING, merge_steps
from ppl_models.program.trace.structure import Structure


def sites_of_data(
    model: Any, trace: Mapping[str, Any], data_of_sites: Mapping[str, str]
) -> frozenset[str]:
    """The observed sites outside plates whose values are computed from the program's data.

    Args:
        model: the program with its data.
        trace: of a run.
        data_of_sites: sites that observe a parameter as it is.
    """
    unknown = {
        name
        for name, site in trace.items()
        if site["type"] == "sample"
        and site["is_observed"]
        and not site["cond_indep_stack"]
        and name not in data_of_sites
    }
    if not unknown or not model.data:
        return frozenset(data_of_sites)

    def values(**data: Any) -> dict[str, Array]:
        seeded = handlers.seed(model.with_data(data).held(), random.key(0))
        trace = handlers.trace(seeded).get_trace()
        return {n: jnp.asarray(trace[n]["value"]) for n in unknown}

    origins = eval_provenance(values, **model.data)
    return frozenset({*data_of_sites, *(n for n, origin in origins.items() if origin)})


def with_lowest(model: Any, structure: Structure, trace: Mapping[str, Any]) -> Structure:
    """The structure with the lowest values of discrete sites that do not count from 0.

    Raises:
        UnsupportedError: values that are not consecutive.
    """
    lowest = []
    for name in structure.discrete:
        own = trace[name]["fn"]
        while isinstance(own, MaskedDistribution | ExpandedDistribution):
            own = own.base_dist
        if type(own).__name__.startswith(COUNTING):
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


@quickly(static=("site",))
def _support(model: Any, site: str) -> Array:
    """The values of a discrete site."""
    trace = handlers.trace(handlers.seed(model.held(), random.key(0))).get_trace()
    values: Array = trace[site]["fn"].enumerate_support(expand=False)
    return values


def with_derived(model: Any, structure: Structure) -> Structure:
    """The structure with deterministic sites outside the rows' plate that depend on the assignment.

    They are evaluated with the rows' own values of these, as those within the plate are.
    """
    names = [n for n, _ in structure.deterministics]

    def derived(assignment: Array, values: Mapping[str, Array]) -> dict[str, Array]:
        trace = model.trace_at(values, structure, assignment=assignment)
        return {n: trace[n]["value"] for n in names}

    shapes = jax.eval_shape(structure.initial, make_key(0))
    assignment_shape = jax.ShapeDtypeStruct(structure.assignment_shape, int)
    origins = eval_provenance(derived, assignment=assignment_shape, values=shapes)
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


def continuous_emissions(model: Any, names: Set[str]) -> set[str]:
    """Those of the observed sites whose distribution is of real numbers.

    Args:
        model: the program with its data.
        names: of observed sites.
    """
    continuous: set[str] = set()

    def run(model: Any) -> None:
        trace = handlers.trace(handlers.seed(model.held(), random.key(0))).get_trace()
        continuous.update(n for n in names if n in trace and not trace[n]["fn"].support.is_discrete)

    if names:
        jax.eval_shape(run, model)
    return continuous


# ---- factors -----------------------------------------------------------------------------------


def log_factor(site: Mapping[str, Any]) -> Array:
    """The term of a ``numpyro.factor`` in the log joint density, entry by entry."""
    fn, scale = weigh(site)
    added: Array = times(scale, fn.log_prob(site["value"]))
    return added


def refuse_moving_factors(model: Any, structure: Structure) -> None:
    """Refuse factors outside the rows that depend on the rows' discrete sites.

    Raises:
        UnsupportedError: such a factor has no sum over one row's values.
    """
    if not structure.factors or structure.assignment is None:
        return

    def factors(assignment: Array, values: Mapping[str, Array]) -> dict[str, Array]:
        trace = model.trace_at(values, structure, assignment=assignment)
        return {n: log_factor(trace[n]) for n in structure.factors}

    shapes = jax.eval_shape(structure.initial, make_key(0))
    assignment_shape = jax.ShapeDtypeStruct(structure.assignment_shape, int)
    origins = eval_provenance(factors, assignment=assignment_shape, values=shapes)
    for name, origin in origins.items():
        if "assignment" in origin:
            raise UnsupportedError(
                f"factor '{name}' depends on site '{structure.assignment}' and is not within the "
                f"plate of the rows alone: put it in plate '{structure.plate}', with one entry "
                "for each row"
            )


# ---- values that are known, or computed within the program -------------------------------------


def possible_values(
    structure: Structure, trace: Mapping[str, Any], values: Mapping[str, Array]
) -> Array:
    """Which values a discrete site may have that is known for some rows.

    Args:
        structure: what was read off the program.
        trace: of a run.
        values: of the discrete sites, which broadcast with the rows.
    """
    site = trace[f"{structure.labelled}_observed"]
    known: Any = site["fn"]
    while not isinstance(known, MaskedDistribution):
        known = known.base_dist
    same = values[f"{structure.labelled}_unobserved"] == site["value"]
    return same | ~jnp.asarray(known._mask, bool)


def with_computed(model: Any, structure: Structure, data_of_sites: Mapping[str, str]) -> Structure:
    """The structure with observed sites that the program computes from its data, and their sources.

    Args:
        model: the program with its data.
        structure: what was read off the program.
        data_of_sites: sites that observe a parameter as it is.
    """
    known = {*model.data, *data_of_sites, *structure.likelihoods}
    unknown = [n for n in structure.emissions if n not in known]
    if not unknown:
        return structure

    def run(**data: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        seeded = handlers.seed(model.with_data(data).held(), random.key(0))
        trace = handlers.trace(seeded).get_trace()
        leaves = {n: jax.tree.leaves(s["fn"]) for n, s in trace.items() if s["type"] == "sample"}
        return {n: jnp.asarray(trace[n]["value"]) for n in unknown}, leaves

    values, leaves = eval_provenance(run, **model.data)
    computed = tuple(n for n in unknown if values[n])
    used = {p for each in leaves.values() for origin in each for p in origin}
    sources = {p for n in computed for p in values[n]} - used - set(structure.emissions)
    return replace(structure, computed=computed, sources=tuple(sorted(sources)))


@quickly(static=("names", "seed"))
def observed_values(model: Any, *, names: tuple[str, ...], seed: int = 0) -> dict[str, Array]:
    """What some sites observe.

    Args:
        model: the program with its data.
        names: of the sites.
        seed: of the draws of hidden sites, which what is observed may depend on.
    """
    trace = handlers.trace(handlers.seed(model.held(), random.key(seed))).get_trace()
    if not set(names) <= set(trace):  # a site a step
        trace = merge_steps(trace)[0]
    return {n: jnp.asarray(trace[n]["value"]) for n in names}


def moving_values(model: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the observed sites whose values depend on hidden sites, as imputed data do.

    Args:
        model: the program with its data.
        names: of the sites.
    """
    if not names:
        return ()
    one, other = (observed_values(model, names=names, seed=seed) for seed in (0, 1))
    return tuple(n for n in names if not np.array_equal(one[n], other[n], equal_nan=True))
