"""Which global site is which parameter of which emission, by moving one site at a time.

A site that is an emission's parameter as it stands (one value a component, or one for all) and on
which nothing else depends has a conditional posterior in closed form given the statistics, wherever
family and prior are conjugate. All others are left to an optimiser or a sampler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist

from ppl_models.distributions.priors.rate import GeneralizedInverseGaussian
from ppl_models.distributions.priors.scales_and_blocks import InverseGammaScale, plain
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import Globals, Model, evaluate
from ppl_models.program.parameters.dependencies import site_dependencies
from ppl_models.program.parameters.values import ParameterValue, named_parameters
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class ParameterLink:
    """A site that is a parameter of an emission (of the assignment: parameter "probs").

    Args:
        site: the global site.
        emission: the observed site, or the assignment.
        parameter: name of the parameter.
        shared: whether the site is the parameter of all components at once.
    """

    site: str
    emission: str
    parameter: str
    shared: bool


@dataclass(frozen=True)
class PriorLink(ParameterLink):
    """A site that is the rate of another site's prior, and enters the program by nothing else.

    ``emission`` names the other site, whose prior is InverseGammaScale(a, r), or the inverse
    Wishart of the scale matrix diag(r), with a (generalised) gamma prior of r.
    """


@dataclass(frozen=True)
class ParameterMap:
    """Sites that are parameters, and those that are anything else.

    Args:
        links: the sites that are a parameter.
        priors: the sites that are the rate of another site's prior.
        free: the other sites.
        sticks: the free site whose sticks the weights are broken off by, or None.
    """

    links: tuple[ParameterLink, ...]
    free: tuple[str, ...]
    priors: tuple[PriorLink, ...] = ()
    sticks: str | None = None

    def of(self, emission: str) -> tuple[ParameterLink, ...]:
        """The links to an emission's parameters."""
        return tuple(link for link in self.links if link.emission == emission)


def read_parameter_map(
    model: Model, structure: Structure, depends: Mapping[str, frozenset[str]] | None = None
) -> ParameterMap:
    """Match sites to parameters by evaluating the program at a few random points.

    Args:
        model: the program with its data.
        structure: what was read off its trace.
        depends: of ``site_dependencies``, where it is known.

    Returns:
        The links, and the names of the sites that are no parameter.
    """
    start = structure.initial(make_key(1))
    other = structure.initial(make_key(2))
    base = evaluate(model, start, structure=structure)
    links, free, rates = [], [], []
    if depends is None:
        depends = site_dependencies(model, structure)
    depends = {name: depends[name] for name in structure.names}
    parents = frozenset[str]().union(*depends.values())
    sticks = None
    # (the weights of one cluster have no freedom, and nothing to match)
    for site in (s.name for s in structure.sites if s.freedom):
        moved_sites = {**start, site: other[site]}
        moved = evaluate(model, moved_sites, structure=structure)
        link = None
        if site not in parents:
            link = _link(site, structure, base, moved, start, moved_sites)
        else:
            rate = _prior_link(site, depends, structure, base, moved, start, moved_sites)
            if rate is not None:
                rates.append(rate)
                continue
        if link is None:
            free.append(site)
            pairs = [(base, start[site]), (moved, other[site])]
            if site not in parents and all(_breaks(p, structure, v) for p, v in pairs):
                sticks = site
        else:
            links.append(link)
    return ParameterMap(tuple(links), tuple(free), tuple(rates), sticks)


def _prior_link(
    site: str,
    depends: Mapping[str, frozenset[str]],
    structure: Structure,
    base: Pieces,
    moved: Pieces,
    start: Globals,
    end: Globals,
) -> PriorLink | None:
    """The one site whose prior has this site as its rate."""
    children = [name for name, parents in depends.items() if site in parents]
    own = plain(base.priors[site])
    if len(children) != 1 or not isinstance(own, dist.Gamma | GeneralizedInverseGaussian):
        return None
    before, after = all_parameters(base, structure), all_parameters(moved, structure)
    if any(not np.array_equal(before[k].value, after[k].value) for k in before):
        return None
    one, other = plain(base.priors[children[0]]), plain(moved.priors[children[0]])
    if not isinstance(one, InverseGammaScale | dist.InverseWishart):
        return None
    if not np.array_equal(one.concentration, other.concentration):
        return None
    pairs = [(one, np.asarray(start[site])), (other, np.asarray(end[site]))]
    is_rate = all(_is_rate(prior, value) for prior, value in pairs)
    return PriorLink(site, children[0], "rate", shared=True) if is_rate else None


def _is_rate(prior: Any, value: np.ndarray) -> bool:
    """Whether a value is a prior's rate, or the diagonal of its scale matrix, of all components."""
    if isinstance(prior, InverseGammaScale):
        rate = np.asarray(prior.rate)
    elif value.ndim != 1:
        return False
    else:
        factor = np.asarray(prior.scale_tril)
        rate, value = factor @ factor.swapaxes(-1, -2), np.diag(value)
    own = rate.shape[max(0, rate.ndim - value.ndim) :]
    return own == value.shape and np.allclose(rate, value, rtol=1e-5)


def _link(
    site: str, structure: Structure, base: Pieces, moved: Pieces, start: Globals, end: Globals
) -> ParameterLink | None:
    """The one parameter that moves with the site, if it has the site's values."""
    before, after = all_parameters(base, structure), all_parameters(moved, structure)
    changed = [k for k in before if not np.array_equal(before[k].value, after[k].value)]
    if len(changed) != 1 or before[changed[0]].rows:
        return None
    if any(_differ(base.emissions[n], moved.emissions[n]) for n in structure.indexed):
        return None
    emission, parameter = key = changed[0]
    pairs = [(before[key].value, start[site]), (after[key].value, end[site])]
    shared = matches(pairs)
    return None if shared is None else ParameterLink(site, emission, parameter, shared)


def matches(pairs: Sequence[tuple[Any, Any]]) -> bool | None:
    """Whether a site is a parameter as it stands: of each component (False), of all (True).

    Args:
        pairs: values of the parameter ``(component, ...)`` and of the site, at several points.

    Returns:
        None if it is not.

    >>> matches([(np.ones((2, 3)), np.ones(3))]), matches([(np.ones(2), np.zeros(2))])
    (True, None)
    """
    if all(_equal(p, s) for p, s in pairs):
        return False
    if all(_fits(s, p) and _equal(p, np.broadcast_to(s, np.shape(p))) for p, s in pairs):
        return True
    return None


def all_parameters(pieces: Pieces, structure: Structure) -> dict[tuple[str, str], ParameterValue]:
    """Every parameter of every emission, and the assignment's probabilities."""
    parameters = {}
    for site, emission in pieces.emissions.items():
        if site in structure.indexed or structure.panel:  # parameters of a cell, not a component
            continue
        for name, parameter in named_parameters(emission, structure.clusters).items():
            parameters[site, name] = ParameterValue(np.asarray(parameter.value), parameter.rows)
    if structure.assignment is not None and hasattr(pieces.weights, "probs"):
        probs = np.asarray(pieces.weights.probs)
        # the one probability of a Bernoulli site is not the clusters' weights
        if probs.shape[-1:] == (structure.clusters,):
            parameters[structure.assignment, "probs"] = ParameterValue(probs, rows=False)
    return parameters


def _breaks(pieces: Pieces, structure: Structure, sticks: Any) -> bool:
    """Whether the weights are v_k prod_{j<k} (1 - v_j) of the sticks v, the last one's being 1."""
    probs = getattr(pieces.weights, "probs", None)
    if probs is None or np.shape(sticks) != (structure.clusters - 1,):
        return False
    if np.size(probs) != structure.clusters:
        return False  # weights that differ from row to row
    left = np.append(1.0, np.cumprod(1 - np.asarray(sticks)))
    return np.allclose(np.ravel(probs), np.append(sticks, 1.0) * left, rtol=1e-5)


def _differ(one: Any, other: Any) -> bool:
    """Whether two distributions of one kind differ in any number."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def _equal(parameter: Any, site: Any) -> bool:
    return np.shape(parameter) == np.shape(site) and np.allclose(parameter, site, rtol=1e-5)


def _fits(site: Any, parameter: Any) -> bool:
    """Whether the site is the parameter without its component axis."""
    return np.shape(parameter)[1:] == np.shape(site)
