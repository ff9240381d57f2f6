"""Reading the stored data of a fit again, and reading new rows in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue
from ppl_models.data.derived import LINE_WEIGHTS
from ppl_models.data.kinds import Observed
from ppl_models.data.summary import knowing
from ppl_models.errors import InputError
from ppl_models.posterior.result.recent import DATA_GROUPS
from ppl_models.posterior.result.schema import SUMMARY, row_weights
from ppl_models.program.arguments.json_text import from_json
from ppl_models.program.arguments.signature import arguments_of, data_parameters
from ppl_models.program.chains.chain_data import named_axes
from ppl_models.program.model import Model
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.trace.layout import STEP
from ppl_models.program.trace.plate_sizes import size_argument
from ppl_models.program.trace.structure import Structure


def reread(
    tree: xr.DataTree,
    observed: Mapping[str, Observed],
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Model, Structure]:
    """The tree's program with other data, of any length.

    Args:
        tree: a fit.
        observed: data of every parameter.
        arguments: of the program that differ from the fit's.
    """
    return read_stored(tree, observed, fitted_data(tree), arguments=arguments)


def read_stored(
    tree: xr.DataTree,
    observed: Mapping[str, Observed],
    known: Mapping[str, Observed],
    weights: np.ndarray | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> tuple[Model, Structure]:
    """The program with the observed data; arguments derived from data follow the fitted ones."""
    function = catalogue.program(tree.attrs["program"])
    if SUMMARY in tree.attrs:
        function = knowing(function, tree.attrs[SUMMARY])
    own = from_json(tree.attrs["arguments"])

    def read(data: Mapping[str, Observed], values: Mapping[str, Any]) -> tuple[Model, Structure]:
        return read_program(
            function,
            data,
            values,
            from_json(tree.attrs["fixed"]),
            tree.attrs["precision"],
            known,
            weights if data is observed else row_weights(tree),
            row_weights(tree),
        )

    asked = {**own, **(arguments or {})}
    count, fitted_count = (len(next(iter(o.values())).values) for o in (observed, known))
    usual = {n: p.default for n, p in arguments_of(function).items()} | own
    numbers = {n: v for n, v in usual.items() if type(v) is int and v == fitted_count}
    if count != fitted_count and numbers:
        # the number of rows may be an argument of the program: it is the new rows' then
        model, structure = read(known, own)
        sized = size_argument(model, numbers, structure.plate)
        asked = asked if sized is None else {**own, sized: count, **(arguments or {})}
    return read(observed, asked)


def along_axes(
    observed: Mapping[str, Observed], model: Model, structure: Structure
) -> dict[str, Observed]:
    """Data with leading axes named after the program's plates, and the sites computed from them."""
    named = {n: o.along(structure.axis_of(n, len(o.values))) for n, o in observed.items()}
    return named_axes(named | computed_sites(named, model, structure), structure)


def computed_sites(
    observed: Mapping[str, Observed], model: Model, structure: Structure
) -> dict[str, Observed]:
    """Values of observed sites that the program computes from its data."""
    computed = {}
    for name in structure.computed:
        values = np.asarray(model.data[name])
        alike = (o for o in observed.values() if o.values.shape == values.shape)
        first = structure.axis_of(name, len(values))
        own = (first, *(f"{name}_dim_{i}" for i in range(values.ndim - 1)))
        if structure.panel:
            own = (STEP, *dict(structure.event_dims)[name])
        like = next(alike, Observed(values, own, {}, {}))
        computed[name] = replace(like, values=values, refusal=None)
    return computed


def completed(rows: dict[str, Observed], known: Mapping[str, Observed]) -> dict[str, Observed]:
    """New rows, checked to have every data parameter; weights default to one."""
    lacking = sorted(set(known) - set(rows) - {LINE_WEIGHTS})
    if lacking:
        raise InputError(
            f"the fit has data {lacking[0]}, which are not given: give them too, as missing cells "
            "(NaN) where they are not known"
        )
    return rows


def new_rows(
    tree: xr.DataTree, data: Any, labels: Mapping[str, Any] | None = None
) -> dict[str, Observed]:
    """New rows in any container that ``fit`` takes, with the coordinates of the fit.

    Args:
        tree: a fit.
        data: the rows.
        labels: of all axes, in place of the fit's own.
    """
    like = from_json(tree.attrs["coordinate_labels"]) if labels is None else labels
    function = catalogue.program(tree.attrs["program"])
    return read_data(
        function,
        data,
        like={n: list(v) for n, v in like.items()},
        fresh=False,
        arguments=from_json(tree.attrs["arguments"]),
    )


def fitted_data(tree: xr.DataTree) -> dict[str, Observed]:
    """The data of a fit, with those that its program conditions on."""
    groups = [n for n in DATA_GROUPS if n in tree.children]
    dataset = xr.merge([tree[n].to_dataset() for n in groups], join="exact")
    coords = {str(n): np.asarray(c) for n, c in dataset.coords.items()}
    labels = from_json(tree.attrs["coordinate_labels"])
    coords |= {n: np.asarray(v) for n, v in labels.items() if n not in coords}
    parameters = data_parameters(catalogue.program(tree.attrs["program"]))
    return {
        str(n): Observed(v.values, tuple(map(str, v.dims)), coords, {})
        for n, v in dataset.data_vars.items()
        if n in parameters  # and not what the program computes of them
    }
