"""Names and coordinates of the axes of everything in a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ppl_models.data.kinds import Observed
from ppl_models.data.kinds.several import value_names
from ppl_models.distributions.sequences.token_chain import context_names
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.schema import EmissionFacts, FitFacts, ParameterFacts
from ppl_models.program.parameters.axes import STATE_AXES, cluster_axes, site_dims

Variable = tuple[tuple[str, ...], Any]  #: names of the axes, and the array


class Axes:
    """Names and coordinates of every variable's axes.

    The axis that the assignment indexes is called ``cluster`` and those of hidden states ``state``,
    ``next_state`` and ``previous_state``, whatever the program's plates are called. Event axes that
    the program does not name have the names of the parameter that the site is.

    Args:
        problem: program and data.
        observed: the data as they were read.
        facts: what is known of the program's emissions.
    """

    def __init__(self, problem: Problem, observed: Mapping[str, Observed], facts: FitFacts):
        self.problem = problem
        structure, parameter_map = problem.structure, problem.parameter_map
        self.coords = _coordinates(problem, observed)
        self.sites = site_dims(structure, parameter_map, problem.states)
        self.labels = facts.labels
        by_site = cluster_axes(structure, parameter_map) if structure.assignment else {}
        self.clusters = {
            site.dims[axis]: "cluster"
            for site in structure.sites
            for axis in by_site.get(site.name, ())
        }
        self.parameters = {
            parameter.site: self.of_parameter(emission, parameter)
            for emission in facts.emissions
            for parameter in emission.parameters.values()
            if parameter.site is not None
        }

    def of_parameter(self, emission: EmissionFacts, parameter: ParameterFacts) -> tuple[str, ...]:
        """Names of a parameter's axes in a tree.

        If two observed sites have axes of the same name with different coordinates, the axis of the
        second site is prefixed with the site's name (``answers_feature``), also in its parameters.
        """
        known = {*self.coords, *emission.dims}
        own = {d: f"{emission.site}_{d}" for d in parameter.dims}
        return tuple(own[d] if own[d] in known else d for d in parameter.dims)

    def renamed(self, dims: tuple[str, ...]) -> tuple[str, ...]:
        """Dimensions, with the axis indexed by the assignment renamed ``cluster``."""
        return tuple(self.clusters.get(d, d) for d in dims)

    def of_start(self, name: str, dims: tuple[str, ...]) -> tuple[str, ...]:
        """Axes of a starting value: ``chain_loc`` is where the chains of ``loc`` began."""
        site = name.removeprefix("chain_")
        return ("chain", *self.of(site)) if site in self.sites else self.renamed(dims)

    def of(self, site: str) -> tuple[str, ...]:
        """Names of the axes of a site."""
        if site in self.sites:
            return self._of_global(site)
        structure = self.problem.structure
        by_row = dict(structure.row_deterministics).get(site)
        if by_row is not None:
            return by_row
        derived = dict(structure.deterministics).get(site)
        if derived is None:  # a continuous site of the rows
            of_row = {local.name: local.dims for local in structure.local_sites}
            return of_row.get(site, (structure.plate,))
        return self.renamed(derived)

    def _of_global(self, site: str) -> tuple[str, ...]:
        dims, known = self.sites[site], self.parameters.get(site, ())
        if len(known) != len(dims):
            return dims
        return tuple(
            k if d.startswith((f"{site}_dim", f"{site}_axis")) and k not in dims else d
            for d, k in zip(dims, known, strict=True)
        )

    def by_draw(self, site: str, value: np.ndarray) -> Variable:
        """Draws of a site ``(chain, draw, ...)`` with named axes."""
        dims = self.of(site)
        sizes = dict(zip(dims, value.shape[2:], strict=False))
        dims = tuple(
            "state" if d.startswith(f"{site}_axis") and sizes[d] == self.problem.states else d
            for d in dims
        )
        missing = value.ndim - 2 - len(dims)
        dims = dims + tuple(f"{site}_dim_{i}" for i in range(missing))
        if self.labels.classes and not self.problem.states:
            dims = self._of_labels(site, dims, value.shape[2:])
        return ("chain", "draw", *dims), value

    def _of_labels(
        self, site: str, dims: tuple[str, ...], shape: tuple[int, ...]
    ) -> tuple[str, ...]:
        """Name the cluster axes of a derived site, and no other axis, after the clusters."""
        places = self.labels.axes.get(site, ())
        named = list(dims)
        if site not in self.sites:
            moving = {axis for axis, _ in places}
            named = [
                f"{site}_axis_{i}" if d == "cluster" and i not in moving else d
                for i, d in enumerate(dims)
            ]
        names = [n for n in ("cluster", "cluster_next") if n not in named]
        for axis, start in places:
            all_components = start == 0 and shape[axis] == self.labels.components
            if all_components and names and named[axis] not in ("cluster", "cluster_next"):
                named[axis] = names.pop(0)
        return tuple(named)

    def dataset(self, variables: Mapping[str, Variable]) -> xr.Dataset:
        """Variables with the coordinates of their dimensions."""
        dataset = xr.Dataset(dict(variables))
        known = {
            d: self.coords[d]
            for d, size in dataset.sizes.items()
            if d in self.coords and len(self.coords[d]) == size
        }
        # ArviZ's pictures select by coordinate, so that axes without names are numbered
        counted = {d: np.arange(size) for d, size in dataset.sizes.items() if d not in known}
        return dataset.assign_coords(known | counted)


def _coordinates(problem: Problem, observed: Mapping[str, Observed]) -> dict[str, np.ndarray]:
    """Labels by dimension: those of the data, and of clusters, states and contexts."""
    coords = {n: c for o in observed.values() for n, c in o.coords.items()}
    named = {n: np.array(names) for n, names in value_names(observed).items()}
    coords = {n: names for n, names in named.items() if n not in coords} | coords
    if "feature" in coords:
        coords["feature_other"] = coords["feature"]
    for site in problem.structure.sites:
        if "context" in site.dims and "token" in coords:
            contexts = site.shape[site.dims.index("context")]
            tokens = [str(token) for token in coords["token"]]
            coords["context"] = np.array(context_names(tokens, contexts))
    if problem.states:
        coords |= {n: np.arange(problem.states) for n in STATE_AXES}
    if problem.structure.assignment is not None:
        coords["cluster"] = np.arange(problem.structure.clusters)
    return coords
