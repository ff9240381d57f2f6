"""What a program's observed sites are: their distributions, and which site is which parameter.

This is what a fit writes into its facts, of exponential families and of every other distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax import Array

from ppl_models.data.kinds import Reals
from ppl_models.distributions.convert import as_family
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.model import Globals, Model, evaluate
from ppl_models.program.parameters.axes import site_dims
from ppl_models.program.parameters.parameter_map import ParameterMap, matches
from ppl_models.program.parameters.values import named_parameters, own_distribution
from ppl_models.program.runtime.compiling import in_batches, quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure

AT_ONCE = 100  #: draws whose derived parameters are computed side by side


@dataclass(frozen=True)
class EmissionParameter:
    """One parameter of an emission.

    Args:
        site: the global site that is the parameter as it stands; None where the parameter is
            computed from sites, or is a constant.
        shared: whether all components have the same value.
        dims: names of its axes, the component's first where each has its own.
        shape: lengths of these axes.
    """

    site: str | None
    shared: bool
    dims: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Emission:
    """What is known of an observed site.

    Args:
        site: its name.
        distribution: the class of its exponential family, or of NumPyro's distribution where it is
            none.
        component_distribution: of a hidden Markov model, the class of what a state emits.
        kind: name of the class in ``data.kinds`` that the program annotates its data with.
        component_dim: the axis that tells components apart: "cluster", "state" or None.
        parameters: by name; those that differ from row to row (a regression's) are left out.
    """

    site: str
    distribution: type
    component_distribution: type | None
    kind: str
    component_dim: str | None
    parameters: Mapping[str, EmissionParameter]


def read_emissions(
    model: Model, structure: Structure, parameter_map: ParameterMap
) -> tuple[Emission, ...]:
    """Every observed site with its distribution and its parameters.

    >>> from ppl_models.models.gaussian_mixture import gaussian_mixture
    >>> from ppl_models.program.parameters.parameter_map import read_parameter_map
    >>> model = Model(gaussian_mixture, {"x": np.eye(4, 2)}, {"clusters": 2}, {})
    >>> structure = model.structure()
    >>> (x,) = read_emissions(model, structure, read_parameter_map(model, structure))
    >>> x.distribution.__name__, {n: p.dims for n, p in x.parameters.items()}
    ('FullGaussian', {'loc': ('cluster', 'feature'),
                      'covariance': ('cluster', 'feature', 'feature_other')})
    """
    sites = [structure.initial(make_key(i)) for i in (1, 2)]
    points = [evaluate(model, values, structure=structure).emissions for values in sites]
    kinds = data_parameters(model.function)
    emissions = []
    for name in structure.emissions:
        states = hidden_states(points[0][name])
        family = as_family(points[0][name])
        own = own_distribution(points[0][name]) if family is None else family
        emitted = None if family is None else family.state_distribution
        values = (
            [{}, {}]
            if name in structure.indexed or structure.panel
            else [named_parameters(point[name], structure.clusters) for point in points]
        )
        dims = _Dims(model, structure, parameter_map, name, states)
        emissions.append(
            Emission(
                name,
                type(own),
                None if emitted is None else type(own_distribution(emitted)),
                kinds[name].__name__ if name in kinds else Reals.__name__,
                _component_dim(structure, name, states),
                {
                    parameter: _read_parameter(
                        parameter, [v[parameter].value for v in values], sites, structure, dims
                    )
                    for parameter, value in values[0].items()
                    if not value.rows
                },
            )
        )
    return tuple(emissions)


def _component_dim(structure: Structure, name: str, states: int) -> str | None:
    if name in structure.indexed:
        return None  # what a cell is of only the program's index arrays say
    return "cluster" if structure.assignment else "state" if states else None


def _read_parameter(
    name: str,
    values: Sequence[Any],
    sites: Sequence[Globals],
    structure: Structure,
    dims: _Dims,
) -> EmissionParameter:
    """A parameter's site, if it has the values of one at every point, and its axes.

    Other parameters may depend on that site as well: a transition matrix is a site also where the
    initial distribution is computed from it.
    """
    for site in structure.sites:
        shared = matches([(v, s[site.name]) for v, s in zip(values, sites, strict=True)])
        if shared is not None:
            return EmissionParameter(site.name, shared, dims.of_sites[site.name], site.shape)
    shape = np.shape(values[0])
    shared = all(bool((np.asarray(v) == np.asarray(v)[:1]).all()) for v in values)
    if shared:
        return EmissionParameter(None, True, dims.of(name, shape[1:]), shape[1:])
    return EmissionParameter(None, False, ("cluster", *dims.of(name, shape[1:])), shape)


def hidden_states(emission: Any) -> int:
    """Number of states of the paths that an emission hides; 0 where it hides none."""
    family = as_family(emission)
    return 0 if family is None else family.states


def derived_parameters(
    model: Model, structure: Structure, emissions: tuple[Emission, ...], values: Globals
) -> dict[str, Array]:
    """Parameters that are no site as they stand, at every draw.

    Args:
        model: the program.
        structure: what was read off it.
        emissions: see :func:`read_emissions`.
        values: global sites ``(draw, ...)``.

    Returns:
        ``"<emission>.<parameter>"`` -> ``(draw, ...)``, its axes those of
        :class:`EmissionParameter`.
    """
    wanted = tuple(
        (emission.site, name, parameter.shared)
        for emission in emissions
        for name, parameter in emission.parameters.items()
        if parameter.site is None
    )
    return _derived(model, values, structure=structure, wanted=wanted) if wanted else {}


@quickly(static=("structure", "wanted"))
def _derived(
    model: Model,
    values: Globals,
    *,
    structure: Structure,
    wanted: tuple[tuple[str, str, bool], ...],
) -> dict[str, Array]:
    def one(values: Globals) -> dict[str, Array]:
        emissions = model.pieces(values, structure).emissions
        parameters = {
            site: named_parameters(e, structure.clusters) for site, e in emissions.items()
        }
        return {
            f"{site}.{name}": parameters[site][name].value[0]
            if shared
            else parameters[site][name].value
            for site, name, shared in wanted
        }

    return in_batches(one, values, AT_ONCE)


class _Dims:
    """Names of the axes of sites and of parameters that are no site."""

    def __init__(
        self,
        model: Model,
        structure: Structure,
        parameter_map: ParameterMap,
        site: str,
        states: int,
    ):
        self.site, self.states = site, states
        alone = states if structure.assignment is None else 0
        self.of_sites = site_dims(structure, parameter_map, alone)
        dims, sizes = dict(structure.event_dims)[site], np.shape(model.data[site])[1:]
        self.event = dict(zip(dims, sizes, strict=False))

    def of(self, parameter: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        """Of one parameter, its component axis aside."""
        if self.states and shape[:1] == (self.states,):
            return self._of_states(parameter, shape)
        return self._of_event(parameter, shape)

    def _of_states(self, parameter: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        if "transition" in parameter:
            return ("previous_state", "state", "next_state")[-len(shape) :]
        return ("state", *self._of_event(parameter, shape[1:]))

    def _of_event(self, parameter: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        last = list(self.event.items())[-1:]
        if last and shape in ((last[0][1],), (last[0][1],) * 2):
            return (last[0][0], f"{last[0][0]}_other")[: len(shape)]
        return tuple(f"{self.site}_{parameter}_dim_{i}" for i in range(len(shape)))
