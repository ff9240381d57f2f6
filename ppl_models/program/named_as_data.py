"""Observed sites called as their data are, so that data, sites and results share one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ppl_models.program.arguments.known_values import ReadsValues, needed
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.known_structures import known_structure
from ppl_models.program.model import Model
from ppl_models.program.trace.data_sites import moving_values
from ppl_models.program.trace.renamed_sites import (
    LikelihoodFactor,
    NameClash,
    PlateOfData,
    free_name,
    with_factors,
    with_renamed_plate,
    with_renamed_site,
)
from ppl_models.program.trace.structure import Structure


def with_names_of_data(model: Model) -> tuple[Model, Structure]:
    """The model and its structure, observed sites called as their data are, and no plates.

    Raises:
        InputError: the program cannot be read, or has another site of that name.
    """
    renamed: set[str] = set()
    while True:
        reading = known_structure(model)
        if isinstance(reading, Structure):
            moving = moving_values(model, reading.computed)
            if not moving:
                return model, reading
            model = replace(model, function=with_factors(model.function, moving))
        elif isinstance(reading, ReadsValues):
            # (the last of the data are most often those that are emitted)
            known = needed(list(reversed(model.data)), reading.runs_with)
            if not known:
                raise reading.error()
            model = model.knowing(known)
        else:
            model = replace(model, function=_renamed(model, reading, renamed))


def _renamed(model: Model, clash: NameClash, renamed: set[str]) -> Callable:
    """The program without a clash of names; ``renamed`` are the names that sites were given."""
    if isinstance(clash, PlateOfData):
        return with_renamed_plate(model.function, clash.plate, free_name(clash.plate, clash.taken))
    if isinstance(clash, LikelihoodFactor):
        if not model.data or renamed:
            raise clash.error()
        site, parameter = clash.factor, _last_of_numbers(model)
    else:
        site, parameter = clash.site, clash.parameter
        if parameter in renamed or parameter in clash.others:
            raise clash.error()
    renamed.add(parameter)
    return with_renamed_site(model.function, site, parameter)


def _last_of_numbers(model: Model) -> str:
    """The last data parameter of real numbers: in ``def program(x, time, event)`` the time."""
    names = [n for n in data_parameters(model.function) if n in model.data]
    real = [n for n in names if np.asarray(model.data[n]).dtype.kind == "f"]
    return (real or names)[-1]
