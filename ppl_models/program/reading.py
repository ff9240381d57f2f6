"""Reading data and a program: from what a user gives to a :class:`Model` and its structure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from ppl_models import catalogue
from ppl_models.data.by_type import deal
from ppl_models.data.containers.columns import is_a
from ppl_models.data.containers.vocabulary import Vocabulary
from ppl_models.data.derived import derive, derived_arguments
from ppl_models.data.kinds import Categories, Kind, Observed
from ppl_models.data.kinds.as_given import as_before, as_given
from ppl_models.data.kinds.deep_arrays import deep_array, read_deep_array
from ppl_models.data.kinds.several import read_together
from ppl_models.data.kinds.tokens import coordinates
from ppl_models.data.missing import missing_cells
from ppl_models.errors import InputError, ProgramFailed
from ppl_models.program.arguments.known_values import KnownArray
from ppl_models.program.arguments.shared_levels import on_one_scale, sizes_of
from ppl_models.program.arguments.signature import (
    SIZES,
    arguments_of,
    by_type,
    data_parameters,
    keeps_feature_axis,
    undeclared_parameters,
)
from ppl_models.program.arguments.sizes import (
    numeric_lists,
    refuse_more_clusters,
    refuse_other_sizes,
    whole_arguments,
)
from ppl_models.program.densities.gaps import treats_gaps
from ppl_models.program.densities.local_integrals import with_integrals
from ppl_models.program.densities.unit_reading import with_units
from ppl_models.program.handlers.partly_fixed import PartlyFixed, partly_fixed
from ppl_models.program.index_ranges import refuse_out_of_range
from ppl_models.program.model import Model
from ppl_models.program.named_as_data import with_names_of_data
from ppl_models.program.rows.rounding import refuse_rounding
from ppl_models.program.rows.weights import data_of_columns, refuse_other_length
from ppl_models.program.runtime.precision import cast
from ppl_models.program.trace.data_sites import continuous_emissions, observed_values
from ppl_models.program.trace.structure import Structure


def take_vocabulary(
    arguments: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, list[str]] | None]:
    """A ``Vocabulary`` among a program's arguments: its size for it, its tokens for the data."""
    vocabulary = arguments.get("vocabulary")
    if not isinstance(vocabulary, Vocabulary):
        return dict(arguments), None
    return {**arguments, "vocabulary": len(vocabulary)}, coordinates(vocabulary)


def read_data(
    function: Callable,
    data: Any,
    like: Mapping[str, Any] | None = None,
    fresh: bool = True,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, Observed]:
    """Read data for every data parameter.

    Args:
        function: the program.
        data: see :func:`fit`.
        like: coordinates of an earlier reading that these data must have.
        fresh: whether the data are to be fitted (all checks) or new rows.
        arguments: that the program is given, for the number of levels of data to fit; those that
            stand among its data are none.
    """
    if is_a(data, "scipy.sparse", "dok_array") or is_a(data, "scipy.sparse", "dok_matrix"):
        data = data.tocsr()  # of SciPy's sparse containers the one that is a dict
    sizes = None if arguments is None or not fresh else sizes_of(function, arguments)
    kinds = data_parameters(function)
    told = set(arguments or {}) & set(kinds)  # sizes and switches, see ``signature.split``
    if twice := told & set(data if isinstance(data, dict) else ()):
        raise InputError(f"'{min(twice)}' is given both as data and as an argument: give it once")
    kinds = {name: kind for name, kind in kinds.items() if name not in told}
    by_site = isinstance(data, dict) and set(data) <= set(kinds) and len(data) > 0
    marked = by_type(function)
    types = (arguments or {}).get("types")
    if by_site and marked and types:
        raise InputError(
            "types assigns the columns of one table to data parameters, and the data are given as "
            f"{', '.join(data)} already: leave types out, or give one table"
        )
    if not by_site and marked:
        data = deal(data, marked, types, like)
    elif not by_site:
        required = list(kinds)
        sizes_of_program = set(SIZES) & set(inspect.signature(function).parameters)
        if isinstance(data, dict) and (sizes_in_data := sizes_of_program & set(data)):
            raise InputError(
                f"'{min(sizes_in_data)}' is reserved for a size that a program takes to generate "
                "data, and is a data parameter here: give the parameter another name"
            )
        columns = data_of_columns(data, kinds)
        if columns is None and len(required) > 1:
            raise InputError(
                f"the program takes data {', '.join(required)}: give a dict with these names, or a "
                "data frame with these columns; those whose default is None may be left out"
            )
        data = {required[0]: data} if columns is None else columns
    keeping = keeps_feature_axis(function)
    # (the package's own programs say themselves what shapes they take)
    own = catalogue.is_built_in(function)
    undeclared = undeclared_parameters(function)
    readers = {
        name: partial(
            _read,
            kinds[name],
            value,
            name,
            fresh,
            name in keeping,
            not own,
            sizes,
            name in undeclared,
        )
        for name, value in data.items()
        if value is not None
    }
    return read_together(readers, like, marked)


def _read(
    kind: type[Kind],
    value: Any,
    site: str,
    fresh: bool,
    keeps_axis: bool,
    any_axes: bool,
    sizes: frozenset[int] | None,
    undeclared: bool,
    like: Mapping[str, Any] | None,
) -> Observed:
    deep = deep_array(value, kind) if any_axes else None
    if deep is not None:
        read = read_deep_array(deep, kind, site=site, like=like, fresh=fresh)
        return as_given(read, deep) if undeclared else read
    # (only what a program emits may not be constant, which its sites tell)
    observed = kind.read(value, site=site, like=like, fresh=fresh, covariate=True)
    if undeclared:
        observed = as_given(observed, value)
    if issubclass(kind, Categories):
        observed = on_one_scale(observed, site, sizes)
    return observed.with_feature_axis() if keeps_axis else observed


def read_program(
    function: Callable,
    observed: Mapping[str, Observed],
    arguments: Mapping[str, Any],
    fixed: Mapping[str, Any],
    precision: str,
    fitted: Mapping[str, Observed] | None = None,
    weights: np.ndarray | None = None,
    fitted_weights: np.ndarray | None = None,
) -> tuple[Model, Any]:
    """The model and its structure; arguments that the data determine are filled in.

    Args:
        function: the program.
        observed: the data that it is asked about.
        arguments: of the program.
        fixed: global site -> value that it is held at.
        precision: of floating-point data.
        fitted: the data that it was fitted to, where it was: of those asked about there may then
            be fewer rows than clusters.
        weights: ``(row,)``, how often each row counts (default: once).
        fitted_weights: the same of the data that it was fitted to.

    Raises:
        InputError: data that the program cannot take, or ``precision`` not hold.
    """
    arguments = dict(arguments)
    signature = inspect.signature(function).parameters
    for reading in observed.values():
        for name, value in reading.arguments.items():
            default = signature[name].default if name in signature else None
            wanted = default is inspect.Parameter.empty or default == ()
            if wanted and name not in arguments:
                arguments[name] = value
    for name, parameter in arguments_of(function).items():
        if parameter.default is inspect.Parameter.empty and name not in arguments:
            raise InputError(f"the program needs {name}=: give it to fit (--{name} or --set)")
    arguments = whole_arguments(function, arguments)
    if fitted is None:
        refuse_more_clusters(arguments, observed)
        if precision == "float32":
            refuse_rounding(observed)
    refuse_other_sizes(arguments, observed)
    data = {n: cast(o.values, precision) for n, o in observed.items()}
    seen = {n: o.values for n, o in (observed if fitted is None else fitted).items()}
    undeclared = undeclared_parameters(function)
    data |= {n: as_before(data[n], seen[n]) for n in undeclared & set(data) & set(seen)}
    sizes = {n: v for n, v in arguments.items() if isinstance(v, int)}  # that somebody gave
    counted = weights if fitted is None else fitted_weights
    arguments |= derive(function, seen, arguments, counted) | sizes
    arguments = numeric_lists(function, arguments)
    if weights is not None:
        refuse_other_length(weights, data)
        weights = weights.astype(precision)
    plain = {n: _plain(v, precision) for n, v in arguments.items()}
    model = Model(function, data, plain, {}, weights=weights)
    if fixed:
        held = _held(model, fixed, precision)
        partly = {n: v for n, v in held.items() if isinstance(v, PartlyFixed)}
        fully_fixed = {n: v for n, v in held.items() if not isinstance(v, PartlyFixed)}
        model = replace(model, fixed=fully_fixed, partly=partly)
    try:
        model, structure = with_names_of_data(model)
    except ProgramFailed:  # data of unequal lengths are the likely reason: say so
        refuse_other_lengths(data, ())
        raise
    data = {n: v for n, v in data.items() if n in model.data}
    refuse_other_lengths(data, structure.lines)
    emitted = undeclared & set(structure.emissions) & set(data)
    integral = {n for n in emitted if data[n].dtype.kind in "ib"}
    real = continuous_emissions(model, integral)
    if real:
        data |= {n: data[n].astype(precision) for n in real}
        model = replace(model, data=data)
    if structure.computed:
        computed = observed_values(model, names=structure.computed)
        data |= {n: np.asarray(v) for n, v in computed.items()}
        model = replace(model, data=data)
    model = with_units(model, structure)
    structure = replace(structure, coupled=model.pairs is not None)
    if structure.sites and not catalogue.is_built_in(function):  # which number what they look up
        refuse_out_of_range(model, structure)
    if structure.indexed:
        structure = with_integrals(model, structure)
    for name in structure.emissions:
        if name in observed and (refusal := observed[name].refusal) is not None:
            if name not in integral - real:  # whole numbers that are all alike have no scale of 0
                raise refusal
    for name, values in data.items():
        gone = missing_cells(values)
        emitted_by = (*structure.emissions, *structure.sources)
        if name not in emitted_by and gone.any() and not treats_gaps(model, structure):
            raise InputError(
                f"'{name}' has a missing cell in row {np.argwhere(gone)[0][0]}, and is not "
                "observed at a site, so that it can be neither imputed nor marginalised: leave "
                f"the row out, or put a site in its place, as in jnp.where(jnp.isnan({name}), "
                f"imputed, {name})"
            )
    return model, structure


def refuse_other_lengths(data: Mapping[str, Any], lines: Sequence[Any]) -> None:
    """Refuse data of unequal lengths where every row has one entry of each.

    Args:
        data: by parameter.
        lines: see ``Structure.lines``.

    Raises:
        InputError: the lengths of all data.
    """
    lengths = {name: len(values) for name, values in data.items()}
    if lines or len(set(lengths.values())) < 2:
        return
    told = " and ".join(f"{count} of {site}" for site, count in lengths.items())
    raise InputError(f"there are {told}: give the same rows for all")


def given_arguments(function: Callable, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without the arrays that are computed from the fitted data whenever needed."""
    derived = derived_arguments(function)
    own = {n: v for n, v in arguments.items() if not isinstance(v, KnownArray)}  # no data
    return {n: v for n, v in own.items() if n not in derived or isinstance(v, int)}


def _held(
    model: Model, fixed: Mapping[str, Any], precision: str
) -> dict[str, np.ndarray | PartlyFixed]:
    """Values that sites are held at, in the shapes of the sites."""
    _, structure = with_names_of_data(model)
    sites = {site.name: site for site in structure.sites}
    held: dict[str, np.ndarray | PartlyFixed] = {}
    for name, value in fixed.items():
        if name in structure.discrete:
            held[name] = _integers(name, value, structure)
            continue
        if name not in sites:
            raise InputError(f"fixed names '{name}', which is not a site of the program")
        array, wanted = np.asarray(value, np.dtype(precision)), sites[name].shape
        try:
            broadcast = np.broadcast_to(array, wanted)
        except ValueError:
            raise InputError(
                f"fixed gives '{name}' the shape {array.shape}: the site has {wanted}"
            ) from None
        held[name] = partly_fixed(name, broadcast, sites[name].support)
        if isinstance(held[name], PartlyFixed):
            continue
        if any(isinstance(v, jax.core.Tracer) for v in jax.tree.leaves(sites[name].support)):
            continue  # a support that depends on other sites is not known yet
        if not np.all(sites[name].support(held[name])):
            raise InputError(f"fixed holds '{name}' at {value}, outside {sites[name].support}")
    return held


def _integers(name: str, value: Any, structure: Structure) -> np.ndarray:
    """Values that a discrete site is held at: of all rows, whole numbers that it may have."""
    array, shape = np.asarray(value), structure.assignment_shape
    sizes = dict(structure.combined) or {name: structure.clusters}
    lowest = dict(structure.lowest).get(name, 0)
    are_integers = array.dtype.kind in "iufb" and (array == np.floor(array)).all()
    if not are_integers or ((array < lowest) | (array >= lowest + sizes[name])).any():
        raise InputError(
            f"fixed holds '{name}' at values other than {lowest} to {lowest + sizes[name] - 1}"
        )
    try:
        return np.broadcast_to(array.astype(int), shape)
    except ValueError:
        raise InputError(
            f"fixed gives '{name}' the shape {array.shape}: the site has {shape}"
        ) from None


def _plain(value: Any, precision: str) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(precision)
    return value.item() if isinstance(value, np.generic) else value
