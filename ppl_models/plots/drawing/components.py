"""Arrays of an emission's components, as its family declares them.

The family of a component, ``component_picture`` and ``component_moments`` are declared by the
emission's class (see ``distributions.described``). A distribution that declares nothing has no
plots of components: none of them would be true of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpyro.distributions import constraints

from ppl_models.distributions.registry import family_class
from ppl_models.errors import InputError
from ppl_models.plots.drawing.reading import (
    as_samples,
    emission_of,
    feature_names,
    known_labels,
    observed,
)
from ppl_models.posterior.result.schema import EmissionFacts, emission_parameters, facts_of
from ppl_models.program.parameters.axes import CHAIN


def component_class(emission: EmissionFacts) -> Any:
    """The emission class of one component (of hidden states, of one step); None if unknown."""
    hidden = emission.component_dim == "state" and emission.component_family is not None
    return family_class(str(emission.component_family) if hidden else emission.family)


def component_picture(emission: EmissionFacts) -> str | None:
    """How components are drawn ("ellipses", "profile", "levels", "transitions"); None: not at all.

    Where a parameter differs from row to row, as in a regression, or is not known by name,
    components have no picture.
    """
    if not set(parameter_names(emission)) <= set(emission.parameters) or not emission.parameters:
        return None
    return getattr(component_class(emission), "component_picture", None)


def parameter_names(emission: EmissionFacts) -> tuple[str, ...]:
    """Parameters of what one component emits; those of the fit where its class leaves them open.

    Of hidden states they are without the chain's own (``initial``, ``transition``).
    """
    family = component_class(emission)
    declared = getattr(family, "parameter_dims", {})
    if not isinstance(declared, property):
        untold = getattr(family, "unreported_parameters", ())
        return tuple(name for name in declared if name not in untold)
    chain = CHAIN if emission.component_family is not None else ()
    return tuple(name for name in emission.parameters if name not in chain)


def transition_axes(emission: EmissionFacts) -> tuple[str, ...]:
    """Axes of an emission's transition matrix; empty where its family declares none.

    Of hidden chains they are ("state", "next_state"), with "previous_state" before them where the
    next state depends on two, of chains of tokens ("token", "next_token"), with "cluster" first
    where each cluster has a chain.
    """
    declared = getattr(family_class(emission.family), "component_picture", None) == "transitions"
    matrix = emission.parameters.get("transition") if declared else None
    return () if matrix is None else matrix.dims


def component_parameters(
    tree: xr.DataTree, site: str | None = None, draws: int | None = None
) -> dict[str, xr.DataArray]:
    """Parameters of an emission ``(sample, component, ...)``, as its family names them.

    Args:
        tree: a fit.
        site: which observed site (default: the main one).
        draws: maximum number of draws, evenly spaced.

    Returns:
        Name -> values. The axis "component" is missing where all components have the same value by
        definition of the family, and has length one where the emission has one component.
    """
    emission = emission_of(tree, site)
    samples = as_samples(emission_parameters(tree, emission.site), draws)
    return by_component(tree, emission, samples)


def by_component(
    tree: xr.DataTree, emission: EmissionFacts, samples: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Parameters by name with the axes "sample" and "component" first.

    Args:
        tree: a fit.
        emission: which observed site.
        samples: parameters by the family's names, with an axis "sample".
    """
    by_definition = getattr(component_class(emission), "shared_parameters", ())
    by_definition = () if isinstance(by_definition, property) else by_definition
    count, parameters = component_count(tree, emission), {}
    for name, values in samples.data_vars.items():
        if name in by_definition:
            parameters[str(name)] = values.transpose("sample", ...)
        elif emission.component_dim in values.dims:
            renamed = values.rename({emission.component_dim: "component"})
            parameters[str(name)] = renamed.transpose("sample", "component", ...)
        else:  # the same value for all components, in this program
            values = values.transpose("sample", ...)
            parameters[str(name)] = values.expand_dims(component=count, axis=1)
    return parameters


def component_count(tree: xr.DataTree, emission: EmissionFacts) -> int:
    """How many components an emission has: clusters, hidden states, or one."""
    facts = facts_of(tree)
    counts = {"cluster": facts.clusters, "state": facts.states}
    return counts.get(emission.component_dim or "", 1)


def noise_box(tree: xr.DataTree, site: str | None = None) -> np.ndarray | None:
    """Ends ``(2, feature)`` of the density of a last component that is noise; None where none is.

    Args:
        tree: a fit.
        site: which observed site (default: the main one).
    """
    emission = emission_of(tree, site)
    if not getattr(component_class(emission), "last_is_noise", False):
        return None
    parameters = emission_parameters(tree, emission.site).mean(["chain", "draw"])
    return np.stack([np.atleast_1d(parameters[end].values) for end in ("low", "high")])


def component_moments(
    tree: xr.DataTree, site: str | None = None, draws: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Means ``(sample, component, feature)`` and covariances of what components emit.

    Raises:
        InputError: a family that declares no ellipses.
    """
    emission = emission_of(tree, site)
    if component_picture(emission) != "ellipses":
        raise InputError(
            f"The emission of {emission.site!r}, {emission.family.partition(':')[2]}, declares no "
            "mean and covariance of its components: plot_clusters and the centres of plot_path "
            "draw Gaussians. Use plot_profiles or plot_predictive."
        )
    parameters = component_parameters(tree, site, draws)
    return moments_of(emission, {name: values.values for name, values in parameters.items()})


def component_freedom(
    tree: xr.DataTree, site: str | None = None, draws: int | None = None
) -> np.ndarray | None:
    """Degrees of freedom ``(sample, component)`` of what is Student's t; None of normals."""
    name = getattr(component_class(emission_of(tree, site)), "freedom_parameter", None)
    return None if name is None else component_parameters(tree, site, draws)[name].values


def moments_of(
    emission: EmissionFacts, parameters: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """``component_moments`` of the emission's class, of parameters ``(..., component, event)``."""
    used = {n: parameters[n] for n in parameter_names(emission)}
    means, covariances = component_class(emission).component_moments(used)
    return means, covariances


def profile_values(tree: xr.DataTree, site: str | None = None) -> xr.DataArray:
    """The parameter that a family declares as its profile, ``(sample, component, feature)``.

    The last axis is called "level" where features have levels, and is labelled.

    Raises:
        InputError: a family that declares no profile.
    """
    emission = emission_of(tree, site)
    picture, family = component_picture(emission), component_class(emission)
    if picture not in ("profile", "levels"):
        raise InputError(
            f"The emission of {emission.site!r}, {emission.family.partition(':')[2]}, declares no "
            "value by feature: plot_profiles draws Bernoulli, categorical and Poisson emissions. "
            "Use plot_clusters or plot_predictive."
        )
    values = component_parameters(tree, site)[family.profile_parameter]
    if values.ndim == 2:
        values = values.expand_dims(feature=[emission.site], axis=-1)
    axis, dim = str(values.dims[-1]), "level" if picture == "levels" else "feature"
    labels = known_labels(tree, emission).get("token" if axis == "token" else dim, [])
    if dim == "feature" and axis != "token":
        labels = feature_names(tree, emission, values.sizes[axis])
    if len(labels) != values.sizes[axis]:
        labels = [f"{dim} {index}" for index in range(values.sizes[axis])]
    plain = values.drop_vars(axis, errors="ignore").rename({axis: dim})
    return plain.assign_coords({dim: labels})


def is_probability(emission: EmissionFacts) -> bool:
    """Whether the profile's parameter is a probability, by the constraint that its class states."""
    family = component_class(emission)
    limits: Any = getattr(family, "arg_constraints", {}).get(family.profile_parameter)
    while hasattr(limits, "base_constraint"):  # independent(...)
        limits = limits.base_constraint
    return limits in (constraints.unit_interval, constraints.simplex)


def separating_features(
    tree: xr.DataTree, wanted: list[str] | None, at_most: int, site: str | None = None
) -> list[str]:
    """The features to draw: the wanted ones, else those along which the means differ most.

    Raises:
        InputError: when a wanted feature does not exist.
    """
    means, _ = component_moments(tree, site)
    names = feature_names(tree, emission_of(tree, site), means.shape[-1])
    for name in wanted or ():
        if name not in names:
            raise InputError(f"There is no feature {name!r}: choose from {', '.join(names)}.")
    if wanted is not None or len(names) <= at_most:
        return names if wanted is None else list(wanted)
    between = means.mean(0).var(0)
    data = observed(tree, site)
    if data is not None:
        between = between / (data.var("row", skipna=True).values + 1e-300)
    best = np.sort(np.argsort(-between, kind="stable")[:at_most])
    return [names[index] for index in best]


def component_summaries(tree: xr.DataTree, site: str | None = None) -> list[str]:
    """Each component in words, at the posterior means of the parameters.

    Empty for distributions that declare nothing, and where parameters are tables, which no
    sentence holds.
    """
    emission = emission_of(tree, site)
    family = component_class(emission)
    names = parameter_names(emission)
    if family is None or not names or not set(names) <= set(emission.parameters):
        return []
    drawn = component_parameters(tree, site)
    means = {n: drawn[n].mean("sample").values for n in names}
    if component_picture(emission) is None and any(v.ndim > 2 for v in means.values()):
        return []
    if component_picture(emission) == "transitions":
        return []
    features = _summary_labels(tree, emission, drawn)
    count = component_count(tree, emission)
    return [family.summarise(means, component, features) for component in range(count)]


def _summary_labels(
    tree: xr.DataTree, emission: EmissionFacts, parameters: Mapping[str, xr.DataArray]
) -> list[str]:
    """Names of features, or of all levels; none where a datum is one number."""
    if component_picture(emission) in ("profile", "levels"):
        values = profile_values(tree, emission.site)
        one = parameters[component_class(emission).profile_parameter].ndim == 2
        names = [] if one else [str(name) for name in values[values.dims[-1]].values]
        return [f"feature {name}" if name.isdigit() else name for name in names]
    own = [parameters[name] for name in parameter_names(emission)]
    widths = [values.sizes[values.dims[-1]] for values in own if values.ndim > 2]
    names = feature_names(tree, emission, max(widths)) if widths else []
    return [f"feature {name}" if name.isdigit() else name for name in names]
