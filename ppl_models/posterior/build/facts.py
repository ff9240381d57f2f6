"""What a fit knows about its program, read off the program for the tree (see ``result.schema``).

A parameter of an emission family is either a site as it stands (a global site, or a deterministic
one of the same value), or it is evaluated at the draws and kept in the group
``emission_parameters``: computed from several sites, a constant of the program, or held fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.kinds import Observed
from ppl_models.distributions import HiddenMarkov
from ppl_models.distributions.convert import as_family
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.registry import family_name
from ppl_models.errors import UnsupportedError
from ppl_models.inference.objective import Objective
from ppl_models.inference.problem import Problem
from ppl_models.posterior.result.schema import (
    WEIGHTS,
    Assignments,
    EmissionFacts,
    FitFacts,
    ParameterFacts,
)
from ppl_models.program.compiling import in_batches
from ppl_models.program.model import Globals, Model, Pieces
from ppl_models.program.parameter_map import ParameterLink
from ppl_models.program.signature import data_parameters
from ppl_models.program.structure import Structure

PARAMETER_CELLS = 20_000_000  #: most numbers of computed parameters that a tree keeps
ABREAST = 100  #: draws at which parameters are evaluated at once
Parameter = tuple[str, str]  #: an emission (or the assignment) and one of its parameters


@dataclass(frozen=True)
class ComputedParameters:
    """Parameters that are no global site, at the draws.

    Args:
        values: ``(chain, draw, ...)``.
        every: the values are those of every so-many-th draw of a chain.
    """

    values: Mapping[Parameter, np.ndarray]
    every: int


def read_facts(
    problem: Problem,
    observed: Mapping[str, Observed],
    sites: Mapping[Parameter, str],
    assignments: Assignments,
    objective: Objective | None,
) -> FitFacts:
    """The facts of a fit.

    Args:
        problem: program and data.
        observed: the data as they were read.
        sites: parameter -> the posterior variable that it is, where there is one.
        assignments: how the method treats assignments, where there are any.
        objective: what the method optimises.
    """
    structure = problem.structure
    families = emission_families(problem)
    assigned = structure.assignment is not None
    states = [getattr(family, "states", 0) for family in families.values()]
    hidden = assigned or problem.latent
    weights = None if structure.assignment is None else sites.get((structure.assignment, WEIGHTS))
    return FitFacts(
        unit=structure.plate,
        assignment=structure.assignment,
        weights=weights,
        clusters=structure.clusters if assigned else 0,
        states=max(states, default=0),
        assignments=assignments if hidden else "none",
        objective=objective,
        emissions=tuple(
            _emission(problem, observed[name], name, families[name], sites)
            for name in structure.emissions
        ),
    )


def emission_families(problem: Problem) -> dict[str, ExponentialFamily | None]:
    """Emission -> its family with one batch axis, the component.

    None where it is no exponential family, or has parameters of its own for every row.
    """
    families: dict[str, ExponentialFamily | None] = {}
    for name, emission in problem.example.emissions.items():
        family = as_family(emission)
        row_wise = family is not None and family.batch_shape and family.batch_shape[-1] != 1
        families[name] = None if family is None or row_wise else family.components()
    return families


def links_of(problem: Problem) -> dict[Parameter, ParameterLink]:
    """The global sites that are parameters as they stand."""
    try:
        links = problem.parameter_map.links
    except UnsupportedError:  # an emission that is no family
        return {}
    return {(link.emission, link.parameter): link for link in links}


def class_name(distribution: Any) -> str:
    """The class of an emission as ``module:ClassName``, that of its family where it has one."""
    family = as_family(distribution)
    return family_name(distribution if family is None else family)


def _emission(
    problem: Problem,
    observed: Observed,
    name: str,
    family: ExponentialFamily | None,
    sites: Mapping[Parameter, str],
) -> EmissionFacts:
    component = None
    if problem.structure.assignment is not None and not _is_single(problem.structure, family):
        component = "cluster"
    elif isinstance(family, HiddenMarkov):
        component = "state"
    composed = family.emission if isinstance(family, HiddenMarkov) else None
    return EmissionFacts(
        site=name,
        family=class_name(problem.example.emissions[name]),
        kind=data_parameters(problem.model.function)[name].__name__,
        dims=tuple(observed.dims),
        component_dim=component,
        component_family=None if composed is None else class_name(composed),
        parameters={} if family is None else _parameters(problem, name, family, sites),
    )


def _is_single(structure: Structure, family: ExponentialFamily | None) -> bool:
    """Whether a family has one component, though there are several clusters or none."""
    several = structure.assignment is not None and structure.clusters > 1
    return (
        family is not None and family.batch_shape == (1,) and (several or not structure.assignment)
    )


def _parameters(
    problem: Problem, name: str, family: ExponentialFamily, sites: Mapping[Parameter, str]
) -> dict[str, ParameterFacts]:
    links = links_of(problem)
    found = {}
    for parameter in family.parameter_dims:
        link = links.get((name, parameter))
        shared = parameter in family.shared_parameters
        if problem.structure.assignment is not None:
            shared |= _is_single(problem.structure, family) or (link is not None and link.shared)
        dims = _parameter_dims(problem.structure, name, family, parameter, shared)
        found[parameter] = ParameterFacts(sites.get((name, parameter)), shared, dims)
    return found


def _parameter_dims(
    structure: Structure, name: str, family: ExponentialFamily, parameter: str, shared: bool
) -> tuple[str, ...]:
    """Names of a parameter's axes after chain and draw, the clusters' first."""
    axes = family.parameter_axes.get(parameter)
    if axes is None:
        axes = tuple(f"{name}.{parameter}_dim_{i}" for i in range(family.parameter_dims[parameter]))
    clusters = structure.assignment is not None and not shared
    return ("cluster", *axes) if clusters else axes


def parameter_sites(
    problem: Problem,
    computed: ComputedParameters,
    deterministics: Mapping[str, np.ndarray],
) -> dict[Parameter, str]:
    """The posterior variable that each parameter is as it stands.

    Args:
        problem: program and data.
        computed: the parameters that are no global site.
        deterministics: deterministic sites ``(chain, draw, ...)``.
    """
    sites = {parameter: link.site for parameter, link in links_of(problem).items()}
    for parameter, values in computed.values.items():
        for name, array in deterministics.items():
            if np.array_equal(array[:, :: computed.every], values):
                sites[parameter] = name
    return sites


def computed_parameters(
    problem: Problem, values: Mapping[str, np.ndarray], cells: int = PARAMETER_CELLS
) -> ComputedParameters:
    """Parameters of emissions and assignment that are no global site, evaluated at the draws.

    Args:
        problem: program and data.
        values: global sites ``(chain, draw, ...)``.
        cells: most numbers; draws are thinned evenly to stay below.
    """
    chosen = _without_site(problem)
    if not chosen:
        return ComputedParameters({}, 1)
    single = _at(problem.example, chosen, problem.structure)
    shape = next(iter(values.values())).shape[:2] if values else (1, 1)
    numbers = math.prod(shape) * sum(np.size(v) for v in single.values())
    every = max(1, math.ceil(numbers / cells))
    thinned = {n: v[:, ::every] for n, v in values.items()}
    if not thinned:
        return ComputedParameters({n: np.asarray(v)[None, None] for n, v in single.items()}, 1)
    shape = next(iter(thinned.values())).shape[:2]
    flat = {n: jnp.asarray(v.reshape(-1, *v.shape[2:])) for n, v in thinned.items()}
    drawn = _at_draws(problem.model, flat, structure=problem.structure, chosen=chosen)
    arrays = {n: np.asarray(v) for n, v in zip(chosen, drawn, strict=True)}
    return ComputedParameters(
        {n: v.reshape(*shape, *v.shape[1:]) for n, v in arrays.items()}, every
    )


def _without_site(problem: Problem) -> tuple[Parameter, ...]:
    links, structure = links_of(problem), problem.structure
    chosen = [
        (name, parameter)
        for name, family in emission_families(problem).items()
        if family is not None
        for parameter in family.parameter_dims
    ]
    weights = problem.example.weights
    if structure.assignment is not None and np.ndim(getattr(weights, WEIGHTS, 0.0)) == 1:
        chosen.append((structure.assignment, WEIGHTS))
    return tuple(parameter for parameter in chosen if parameter not in links)


@partial(jax.jit, static_argnames=("structure", "chosen"))
def _at_draws(
    model: Model, values: Globals, *, structure: Structure, chosen: tuple[Parameter, ...]
) -> tuple[Array, ...]:
    """The chosen parameters ``(draw, ...)``, in order."""

    def one(values: Globals) -> tuple[Array, ...]:
        return tuple(_at(model.pieces(values, structure), chosen, structure).values())

    return in_batches(one, values, ABREAST)


def _at(
    pieces: Pieces, chosen: tuple[Parameter, ...], structure: Structure
) -> dict[Parameter, Array]:
    """The chosen parameters at one value of the global sites, without an axis of one component."""
    found = {}
    for name, parameter in chosen:
        if name == structure.assignment:
            found[name, parameter] = getattr(pieces.weights, parameter)
            continue
        family = as_family(pieces.emissions[name])
        assert family is not None
        family = family.components()
        value = getattr(family, parameter)
        alone = _is_single(structure, family) and parameter not in family.shared_parameters
        found[name, parameter] = value[0] if alone else value
    return found
