"""The request to `fit_many`, and the problem of one group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ppl_models.data.kinds import Observed
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.stored_data import along_axes
from ppl_models.program.reading import read_program


@dataclass(frozen=True)
class Request:
    """The program, method and arguments that all groups share.

    Args:
        function: the program.
        observed: the rows of all groups as they were read.
        rows: places of each group's rows.
        arguments: of the program.
        fixed: global site -> value that it is held at.
        precision: of floating-point numbers.
        method: name of the method.
        run: the method.
        options: of the method.
        seed: of all random numbers.
        progress: whether to show progress bars.
    """

    function: Callable
    observed: Mapping[str, Observed]
    rows: list[np.ndarray]
    arguments: Mapping[str, Any]
    fixed: Mapping[str, Any]
    precision: str
    method: str
    run: Callable
    options: Mapping[str, Any]
    seed: int
    progress: bool

    def observed_of(self, places: np.ndarray) -> dict[str, Observed]:
        """Some of the rows, as if they had been read alone."""
        return {n: part_of(o, places) for n, o in self.observed.items()}

    def problem(self, places: np.ndarray) -> tuple[Problem, dict[str, Observed]]:
        """The program on some of the rows, and the rows."""
        observed = self.observed_of(places)
        model, structure = read_program(
            self.function, observed, self.arguments, self.fixed, self.precision
        )
        observed = along_axes(observed, model, structure)
        return Problem(model, structure), observed

    def with_clusters(self, clusters: int) -> Request:
        """The same with so many clusters."""
        return replace(self, arguments={**self.arguments, "clusters": clusters})


def part_of(observed: Observed, places: np.ndarray) -> Observed:
    """Some rows of data."""
    first = observed.dims[0]
    coords = dict(observed.coords)
    if first in coords:
        coords[first] = np.asarray(coords[first])[places]
    values = observed.values[places]
    arguments = dict(observed.arguments)
    for name in ("rows", "sequences"):
        if name in arguments:
            arguments[name] = len(places)
    return replace(observed, values=values, coords=coords, arguments=arguments)
