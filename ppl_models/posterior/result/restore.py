"""From a tree back to its program, so that new rows can be asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ppl_models import catalogue
from ppl_models.data.derived import derived_arguments
from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError, whole_number
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.schema import HIDDEN, facts_of
from ppl_models.program.json_text import from_json
from ppl_models.program.reading import read_data, read_program


@dataclass(frozen=True)
class RestoredFit:
    """A fit and the rows that it is asked about.

    Args:
        problem: the program with those rows.
        values: global sites ``(chain * draw, ...)``.
        shape: chains and draws.
        observed: the rows as they were read.
        plate: name of the rows' dimension.
        temperature: 0 where assignments are hard, else 1.
    """

    problem: Problem
    values: dict[str, np.ndarray]
    shape: tuple[int, int]
    observed: dict[str, Observed]
    plate: str
    temperature: int


def restore(
    tree: xr.DataTree, data: Any = None, *, draws: int | None = None, need_sites: bool = True
) -> RestoredFit:
    """Read the tree's program on new rows (default: on the data that it was fitted to).

    Args:
        tree: a fit.
        data: rows in any container that ``fit`` takes.
        draws: use at most this many draws a chain, evenly spaced.
        need_sites: refuse programs with a latent variable for every row.

    Raises:
        InputError: not a fit, rows that do not fit its features, levels or tokens, or fewer than
            one draw.
    """
    if draws is not None:
        whole_number("draws", draws)
    attributes = tree.attrs
    if "program" not in attributes or "posterior" not in tree.children:
        raise InputError("this tree is no fit of ppl_models: it lacks a program or a posterior")
    function = catalogue.program(attributes["program"])
    arguments, fixed = from_json(attributes["arguments"]), from_json(attributes["fixed"])
    stored = stored_data(tree)
    observed = stored if data is None else new_rows(tree, data)
    lacking = sorted(set(stored) - set(observed))
    if lacking:
        raise InputError(
            f"the fit has data {lacking[0]}, which are not given: give them too, as missing cells "
            "(NaN) where they are not known"
        )
    free = {n: v for n, v in arguments.items() if n != "clusters"}
    clusters = {"clusters": arguments["clusters"]} if "clusters" in arguments else {}
    fitted = stored if derived_arguments(function) else None
    model, structure = _read(
        function, observed, free, clusters, fixed, attributes["precision"], fitted
    )
    observed = {n: o.along(structure.plate) for n, o in observed.items()}
    if need_sites and structure.locals:
        raise InputError(
            f"site '{structure.locals[0]}' is latent for every row, so that new rows have no "
            "density of their own: integrate it out in the program"
        )
    posterior = tree["posterior"].dataset
    every = 1 if draws is None else max(1, posterior.sizes["draw"] // draws)
    posterior = posterior.isel(draw=slice(None, None, every))
    hidden = xr.Dataset()
    if HIDDEN in tree.children:
        hidden = tree[HIDDEN].dataset.isel(draw=slice(None, None, every))
    values = {}
    for name in structure.names:
        # whole numbers have a group of their own, see ``tree``
        source = posterior if name in posterior else hidden
        array = source[name].transpose("chain", "draw", ...).values
        values[name] = array.reshape(-1, *array.shape[2:])
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    temperature = 0 if facts_of(tree).assignments == "hard" else 1
    return RestoredFit(
        Problem(model, structure), values, shape, observed, structure.plate, temperature
    )


def _read(
    function: Any,
    observed: Mapping[str, Observed],
    arguments: Mapping[str, Any],
    clusters: Mapping[str, Any],
    fixed: Mapping[str, Any],
    precision: str,
    fitted: Mapping[str, Observed] | None,
) -> Any:
    """Read the program; a single new row is fine however many clusters there are."""
    if clusters and min(len(o.values) for o in observed.values()) < clusters["clusters"]:
        from ppl_models.program.model import Model

        data = {n: o.values for n, o in observed.items()}
        held = {n: np.asarray(v) for n, v in fixed.items()}
        model = Model(function, data, {**arguments, **clusters}, held)
        return model, model.structure()
    return read_program(function, observed, {**arguments, **clusters}, fixed, precision, fitted)


def new_rows(tree: xr.DataTree, data: Any) -> dict[str, Observed]:
    """New rows in any container that ``fit`` takes, with the coordinates of the fit."""
    like = from_json(tree.attrs["coordinate_labels"])
    function = catalogue.program(tree.attrs["program"])
    return read_data(function, data, like={n: list(v) for n, v in like.items()}, fresh=False)


def stored_data(tree: xr.DataTree) -> dict[str, Observed]:
    """The data that a tree was fitted to, those that it does not emit too."""
    groups = [n for n in ("observed_data", "constant_data") if n in tree.children]
    dataset = xr.merge([tree[n].to_dataset() for n in groups], join="exact")
    coords = {str(n): np.asarray(c) for n, c in dataset.coords.items()}
    labels = from_json(tree.attrs["coordinate_labels"])
    coords |= {n: np.asarray(v) for n, v in labels.items() if n not in coords}
    return {
        str(n): Observed(v.values, tuple(map(str, v.dims)), coords, {})
        for n, v in dataset.data_vars.items()
    }
