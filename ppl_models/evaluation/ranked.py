"""The quantities that calibration ranks, which no labelling and no rotation changes.

A sampler may stay in one of the labellings that have the same density, and in one rotation of the
loadings of factors, while true values are drawn in any. Components that may change places are
therefore put in the order of a parameter, and loadings Λ enter by Λ Λ'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import CHAIN, cluster_axes
from ppl_models.program.parameters.label_symmetry import Place
from ppl_models.program.trace.structure import Structure

MOST = 8  #: entries of a site that are ranked
EACH = 2  #: of them of each component


@dataclass(frozen=True, eq=False)
class Ranked:
    """Which quantities of a problem are ranked.

    Args:
        structure: of the program.
        by_site: whether the sites are, besides the density.
        components: number of clusters or hidden states.
        classes: components that are put in order, each class by itself.
        axes: site -> its axes that run over components, each with the component that the axis
            begins with. Components are ordered by the first of these sites.
        rotated: sites whose last axis may be rotated.
    """

    structure: Structure
    by_site: bool
    components: int
    classes: tuple[tuple[int, ...], ...]
    axes: Mapping[str, tuple[Place, ...]]
    rotated: tuple[str, ...]

    def __call__(self, model: Model, values: Globals) -> dict[str, Array]:
        """The quantities at values of the global sites, by name."""
        density = logsumexp(model.logits(values, self.structure), axis=0)
        ranked = {"log_likelihood": density.sum(), "log_density_of_first_row": density[0]}
        if not self.by_site:
            return ranked
        order = self._order(values) if self.classes else None
        for name, value in values.items():
            places = self.axes.get(name, ()) if order is not None else ()
            for axis, start in places:
                value = jnp.take(value, _entries(order, value.shape[axis], start), axis)
            if name in self.rotated:
                value = value @ value.swapaxes(-1, -2)
            if places:
                value = jnp.moveaxis(value, places[0][0], 0)
                value = value.reshape(len(value), -1)[:, :EACH]
            ranked[name] = value.reshape(-1)[:MOST]
        return ranked

    def _order(self, values: Globals) -> Array:
        """The component in every place, ``(component,)``, by the first entry of the first site.

        Of a table of pairs of components by its diagonal, which is each component's own.
        """
        name, ((axis, start), *others) = next(iter(self.axes.items()))
        value = values[name]
        if others:
            value, axis = jnp.diagonal(value, axis1=axis, axis2=others[0][0]), -1
        value = jnp.moveaxis(value, axis, 0)
        first = value.reshape(len(value), -1)[:, 0]
        order = jnp.arange(self.components)
        for members in self.classes:
            places = jnp.asarray(members)
            order = order.at[places].set(places[jnp.argsort(first[places - start])])
        return order


def _entries(order: Array | None, length: int, start: int) -> Array:
    """Positions of an axis in an order of components; those beyond the last component stay."""
    assert order is not None
    count = min(length, len(order) - start)
    return jnp.arange(length).at[:count].set(order[start : start + count] - start)


def ranked_quantities(problem: Problem, *, by_site: bool = True) -> Ranked:
    """The quantities that are ranked of a problem.

    The first site is a parameter of the components rather than their weights. Clusters that are not
    exchangeable are put in order all the same, which asks less of how a sampler mixes.

    Args:
        problem: program and data.
        by_site: whether sites are ranked; not where their number of components changes.
    """
    structure, labels = problem.structure, problem.labels
    classes, axes = labels.classes, dict(labels.axes)
    components = labels.components
    if not classes and structure.assignment is not None and not structure.chain:
        known = cluster_axes(structure, problem.parameter_map)
        axes = {name: tuple((axis, 0) for axis in own) for name, own in known.items() if own}
        components = structure.clusters
        classes = (tuple(range(components)),)
    links = problem.parameter_map.links
    weights = {w.site for w in links if w.emission == structure.assignment or w.parameter in CHAIN}
    sites = {site.name: site.shape for site in structure.sites}

    def has_all(name: str) -> bool:
        axis, start = axes[name][0]
        places = range(start, start + sites[name][axis])
        return all(k in places for members in classes for k in members)

    labelled = sorted((n for n in axes if n in sites), key=lambda n: (not has_all(n), n in weights))
    if not labelled or not has_all(labelled[0]):
        classes = ()
    rotated = {
        w.site
        for w in links
        if (family := problem.emission_families.get(w.emission)) is not None
        and w.parameter in family.equivalent_parameters
    }
    ordered = {n: axes[n] for n in labelled}
    return Ranked(structure, by_site, components, classes, ordered, tuple(sorted(rotated)))
