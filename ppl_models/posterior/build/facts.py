"""What a fit knows about its program, read off the program for the tree (see ``result.schema``).

A parameter of an emission is either a site as it stands (a global site, or a deterministic one of
the same value), or it is evaluated at the draws and kept in the group ``emission_parameters``:
computed from several sites, a constant of the program, or held fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import Array

from ppl_models import memory
from ppl_models.data.kinds import Observed
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.registry import family_name
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.build.label_facts import read_labels
from ppl_models.posterior.result.schema import (
    WEIGHTS,
    EmissionFacts,
    FitFacts,
    ParameterFacts,
)
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import weights_by_group
from ppl_models.program.parameters.emissions import (
    Emission,
    EmissionParameter,
    derived_parameters,
    hidden_states,
    read_emissions,
)
from ppl_models.program.parameters.values import named_parameters
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.trace.structure import Structure

ABREAST = 100  #: draws at which weights are evaluated at once


@dataclass(frozen=True)
class ComputedParameters:
    """Parameters that are not global sites, at every draw.

    Args:
        values: ``"<emission>.<parameter>"`` or ``"<assignment>.probs"`` -> ``(chain, draw, ...)``.
        every: thinning: the values are those of every ``every``-th draw of a chain.
    """

    values: Mapping[str, np.ndarray]
    every: int


def read_facts(
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    deterministics: Mapping[str, np.ndarray],
) -> tuple[FitFacts, ComputedParameters]:
    """The facts of a fit, and the values of parameters that are no site.

    Args:
        problem: program and data.
        result: of the method.
        observed: the data as they were read.
        deterministics: deterministic sites ``(chain, draw, ...)``.
    """
    structure = problem.structure
    emissions = read_emissions(*(problem.padded or problem).program, problem.parameter_map)
    computed = _computed(problem, emissions, result.values)
    sites = _deterministic_parameters(computed, deterministics)
    states = max(hidden_states(e) for e in problem.example.emissions.values())
    assigned = structure.assignment is not None
    facts = FitFacts(
        unit=structure.plate,
        assignment=structure.assignment,
        weights=_weights_site(problem) or sites.get(f"{structure.assignment}.{WEIGHTS}"),
        clusters=structure.clusters if assigned else 0,
        states=states,
        assignments=result.assignments if assigned or states else "none",
        objective=result.objective,
        emissions=tuple(
            _emission(problem, each, observed[each.site].dims, sites) for each in emissions
        ),
        labels=read_labels(problem, result),
        units=structure.rows if structure.indexed or structure.panel else 0,
        locals=structure.locals,
    )
    recorded = {n: v for n, v in computed.values.items() if n not in sites}
    return facts, ComputedParameters(recorded, computed.every)


def _emission(
    problem: Problem, emission: Emission, dims: tuple[str, ...], sites: Mapping[str, str]
) -> EmissionFacts:
    composed = emission.component_distribution
    return EmissionFacts(
        site=emission.site,
        family=family_name(emission.distribution),
        kind=emission.kind,
        dims=dims,
        component_dim=emission.component_dim,
        component_family=None if composed is None else family_name(composed),
        parameters={
            name: _parameter(problem, emission, name, parameter, sites)
            for name, parameter in emission.parameters.items()
        },
    )


def _parameter(
    problem: Problem,
    emission: Emission,
    name: str,
    parameter: EmissionParameter,
    sites: Mapping[str, str],
) -> ParameterFacts:
    """The variable that holds a parameter, and its axes in the family's names."""
    dims = parameter.dims
    family = as_family(problem.example.emissions[emission.site])
    declared = None if family is None else family.parameter_axes.get(name)
    if declared is not None:
        clusters = problem.structure.assignment is not None and not parameter.shared
        declared = ("cluster", *declared) if clusters else declared
        dims = declared if len(declared) == len(dims) else dims
    component = emission.component_dim
    shared = component is not None and component not in dims
    return ParameterFacts(parameter.site or sites.get(f"{emission.site}.{name}"), shared, dims)


def _computed(
    problem: Problem, emissions: tuple[Emission, ...], values: Mapping[str, np.ndarray]
) -> ComputedParameters:
    """Parameters of emissions and of the assignment that are not global sites, at every draw.

    Draws are thinned evenly, so that no more than ``memory.KEPT_PARAMETERS`` numbers are kept.
    """
    numbers = sum(
        math.prod(parameter.shape)
        for emission in emissions
        for parameter in emission.parameters.values()
        if parameter.site is None
    )
    if not values:
        constants = _constants(problem, emissions)
        return ComputedParameters({n: v[None, None] for n, v in constants.items()}, 1)
    chains, draws = next(iter(values.values())).shape[:2]
    every = max(1, math.ceil(chains * draws * numbers / memory.KEPT_PARAMETERS))
    thinned = {n: v[:, ::every] for n, v in values.items()}
    shape = next(iter(thinned.values())).shape[:2]
    flat: dict[str, Any] = {n: v.reshape(-1, *v.shape[2:]) for n, v in thinned.items()}
    model, structure = (problem.padded or problem).program
    drawn = derived_parameters(model, structure, emissions, flat)
    if _computes_weights(problem):
        weights = _weights(model, flat, structure=structure)
        drawn = drawn | {f"{problem.structure.assignment}.{WEIGHTS}": weights}
    arrays = {n: np.asarray(v) for n, v in drawn.items()}
    return ComputedParameters(
        {n: v.reshape(*shape, *v.shape[1:]) for n, v in arrays.items()}, every
    )


def _constants(problem: Problem, emissions: tuple[Emission, ...]) -> dict[str, np.ndarray]:
    """The parameters of a program whose every site is held fixed."""
    constants = {}
    for emission in emissions:
        distribution = problem.example.emissions[emission.site]
        values = named_parameters(distribution, problem.structure.clusters)
        for name, parameter in emission.parameters.items():
            value = np.asarray(values[name].value)
            constants[f"{emission.site}.{name}"] = value[0] if parameter.shared else value
    if _computes_weights(problem):
        probs = np.asarray(problem.example.common_weights)
        constants[f"{problem.structure.assignment}.{WEIGHTS}"] = probs
    return constants


def _weights_site(problem: Problem) -> str | None:
    """The global site that is the cluster weights."""
    assignment = problem.structure.assignment
    links = [] if assignment is None else problem.parameter_map.of(assignment)
    own = (w for w in links if not w.shared and not weights_by_group(problem.structure, w))
    return next((link.site for link in own), None)


def _computes_weights(problem: Problem) -> bool:
    """Whether the cluster weights are the same for all rows and not a global site."""
    if problem.structure.assignment is None or _weights_site(problem) is not None:
        return False
    return problem.example.common_weights is not None


@partial(jax.jit, static_argnames=("structure",))
def _weights(model: Model, values: Globals, *, structure: Structure) -> Array:
    """Weights of the clusters ``(draw, cluster)``."""
    return in_batches(lambda v: model.pieces(v, structure).common_weights, values, ABREAST)


def _deterministic_parameters(
    computed: ComputedParameters, deterministics: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """The deterministic site that a computed parameter is, where there is one."""
    return {
        parameter: name
        for parameter, values in computed.values.items()
        for name, array in deterministics.items()
        if np.array_equal(array[:, :: computed.every], values)
    }
