"""The structure of a program: its sites, plates and chains, read off one abstract trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers

from ppl_models.distributions.scaled import is_weighed, weigh
from ppl_models.errors import InputError, ProgramFailed, UnsupportedError
from ppl_models.program.arguments.known_values import CONCRETE, ReadsValues
from ppl_models.program.chains import chain_densities
from ppl_models.program.chains.chain_data import with_layout
from ppl_models.program.densities.local_integrals import with_integrals
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace import chains
from ppl_models.program.trace.data_refusals import (
    named_otherwise,
    plate_of_data,
    refuse_other_rows,
    refuse_taken_names,
)
from ppl_models.program.trace.data_sites import (
    refuse_moving_factors,
    sites_of_data,
    with_computed,
    with_derived,
    with_lowest,
)
from ppl_models.program.trace.renamed_sites import NameClash
from ppl_models.program.trace.site_sorting import read_structure
from ppl_models.program.trace.structure import Structure

if TYPE_CHECKING:
    from ppl_models.program.model import Model


def structure_of(model: Model) -> Structure:
    """Read a program's sites by abstract evaluation: nothing is computed.

    Raises:
        InputError: a program that cannot be run on its data, or names that are taken.
        UnsupportedError: sites that no method can treat.
    """
    reading = structure_or_obstacle(model)
    if not isinstance(reading, Structure):
        raise reading.error()
    return reading


def structure_or_obstacle(model: Model) -> Structure | NameClash | ReadsValues:
    """:func:`structure_of`, or the names or values of data that must change before there is one.

    Raises:
        InputError: as there.
    """
    trace_sites: dict[str, Any] = {}
    merged_sites: list[tuple[str, ...]] = []
    parameters_of_sites: dict[str, str] = {}  # observed site -> the parameter with its very data

    def trace(traced: Model) -> None:
        seeded = handlers.seed(traced.held(), random.key(0))
        merged, *names = chains.merge_steps(handlers.trace(seeded).get_trace())
        trace_sites.update(merged)
        merged_sites.extend(names)
        parameters_of_sites.update(
            (n, p)
            for n, s in trace_sites.items()
            for p, v in traced.data.items()
            if s["value"] is v
        )

    try:
        jax.eval_shape(trace, model)
    except InputError:
        raise
    except Exception as error:
        name = getattr(model.function, "__name__", "the program")
        if isinstance(error, AssertionError) and "size of plate" in str(error):
            sizes = ", ".join(f"{n}={v}" for n, v in model.arguments.items() if type(v) is int)
            raise ProgramFailed(
                f"{name} has a plate without entries at {sizes or 'these sizes'}, which NumPyro "
                "does not allow: give larger numbers, as from 2 where a plate has clusters - 1"
            ) from error
        said = (
            f"{name} could not be run on these data: {type(error).__name__}: "
            f"{first_sentences(str(error))}"
        )
        if isinstance(error, CONCRETE):
            return ReadsValues(said, lambda known: _runs(trace, model.knowing(known)), error)
        raise ProgramFailed(said + _in_single_precision(trace, model)) from error
    refuse_taken_names(trace_sites, model.data)
    if (plate := plate_of_data(trace_sites, model.data)) is not None:
        return plate
    members, emitted = merged_sites
    chain = chains.find_chain(trace_sites, members, emitted, set(model.fixed))
    if chain is not None:
        structure = read_structure(trace_sites, set(model.fixed), chain=chain)
        assert isinstance(structure, Structure)
        if model.data:
            structure = with_layout(model, structure)
            other = named_otherwise(model, structure, parameters_of_sites, set(trace_sites))
            if other is not None:
                return other
        return chain_densities.with_order(model, structure)
    refuse_other_rows(trace_sites, model.data)
    structure = read_structure(
        trace_sites,
        set(model.fixed),
        sites_of_data(model, trace_sites, parameters_of_sites),
        parameters=set(model.data),
    )
    if not isinstance(structure, Structure):
        return structure
    structure = with_lowest(model, structure, trace_sites)
    if structure.indexed and structure.assignment and structure.deterministics:
        structure = with_derived(model, structure)
    if any(is_weighed(trace_sites[n]) for n, _ in structure.combined):
        _refuse_unequal_scales(model, structure)
    refuse_moving_factors(model, structure)
    if model.data:
        structure = with_computed(model, structure, parameters_of_sites)
        other = named_otherwise(model, structure, parameters_of_sites, set(trace_sites))
        if other is not None:
            return other
        if not structure.indexed:
            structure = with_integrals(model, structure)
    return structure


def first_sentences(message: str) -> str:
    """The first line of an error's message, and the next where it ends in a colon.

    >>> first_sentences("carry types differ:\\n\\nz has type int64\\n\\nRevise the function.")
    'carry types differ: z has type int64'
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])


def _runs(trace: Callable, model: Model) -> bool:
    """Whether a program runs at all."""
    return attempted(lambda: (jax.eval_shape(trace, model),)) is not None


def _in_single_precision(trace: Callable, model: Model) -> str:
    """Advice for a program that runs in single precision, and not in double."""
    if jnp.result_type(float) != jnp.float64:
        return ""
    with jax.enable_x64(False):
        if not _runs(trace, jax.tree.map(_single, model)):
            return ""
    return " (the program runs in single precision: give precision='float32')"


def _single(leaf: Any) -> Any:
    array = np.asarray(leaf)
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))


def _refuse_unequal_scales(model: Model, structure: Structure) -> None:
    """Sites that are summed out together have one factor of their log-densities."""
    first, *others = _scales(model, structure.initial(make_key(5)), structure=structure)
    if not all(np.allclose(first, other, rtol=1e-6, atol=0) for other in others):
        raise UnsupportedError(
            f"sites {' and '.join(map(repr, structure.discrete))} have different scales, and are "
            "marginalised together: put all of them into one numpyro.handlers.scale"
        )


@quickly(static=("structure",))
def _scales(model: Model, values: dict[str, Array], *, structure: Structure) -> list[Array]:
    """The factors of the discrete sites' log-densities, ``(cluster, row)`` each."""
    trace = model.trace_at(values, structure)
    scales = (weigh(trace[name])[1] for name in structure.discrete)
    shape = (structure.clusters, structure.rows)
    return [jnp.broadcast_to(1.0 if scale is None else scale, shape) for scale in scales]
