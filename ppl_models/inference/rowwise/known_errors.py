"""Locations and covariances of clusters whose rows are measured with errors that are known.

A row x ~ Normal(μ, Σ + S) with the errors' covariance S hides its true value v ~ Normal(μ, Σ). EM
in closed form needs Σ_n γ_n E[v - μ] and Σ_n γ_n E[(v - μ)(v - μ)'] of every cluster: Bovy, Hogg
and Roweis (2011), Extreme deconvolution. With y = (Σ + S)⁻¹ (x - μ) they are

    Σ Σ_n γ_n y        and        N Σ + Σ (Σ_n γ_n (y y' - (Σ + S)⁻¹)) Σ,

whose sums over the rows are slopes of the expected log-density Q = Σ_n γ_n log p(x_n | μ, Σ): by
μ, and twice that by Σ. So one derivative of Q gives them, whatever cells of a row are missing.
Which programs these are is found out by evaluating them at two places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random

from ppl_models.distributions import FullGaussian
from ppl_models.distributions.contraction import matmul
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.structure import Structure

AGREES = {"float64": 1e-8, "float32": 1e-4}  #: relative difference of what must be the same


@dataclass(frozen=True)
class KnownErrors:
    """Sites whose modes have a closed form given the rows' true values; static.

    Args:
        emission: the observed site.
        loc: the site of the locations, ``(cluster, feature)``.
        covariance: the site of the covariances, ``(cluster, feature, feature)``.
    """

    emission: str
    loc: str
    covariance: str


def find_known_errors(problem: Problem, names: Sequence[str], *, flat: bool) -> KnownErrors | None:
    """The locations and covariances that EM has closed forms of, if there are any.

    Args:
        problem: program and data.
        names: of the global sites that have no other closed form.
        flat: whether the priors are left out.
    """
    structure, example = problem.structure, problem.example
    several = len(structure.emissions) != 1 or structure.indexed or structure.combined
    if several or structure.factors or structure.undrawable or structure.locals:
        return None
    if structure.chain is not None or structure.assignment is None or structure.coupled:
        return None
    if {structure.emissions[0], structure.assignment} & set(example.scales):
        return None
    emission = structure.emissions[0]
    family = as_family(unwrap(example.emissions[emission]))
    if family is None or not family.any_normal:
        return None
    depends = problem.dependencies
    above = frozenset[str]().union(*(depends[n] for n in (*structure.names, structure.assignment)))
    shapes = {site.name: site.shape for site in structure.sites if site.name in names}
    features = np.shape(problem.model.data[emission])[1]
    wanted = {
        (structure.clusters, features): dist.Normal,
        (structure.clusters, features, features): dist.InverseWishart,
    }
    served: dict[type, list[str]] = {dist.Normal: [], dist.InverseWishart: []}
    for name, shape in shapes.items():
        kind = wanted.get(shape)
        if kind is None or name in above:
            continue
        if flat or isinstance(plain_prior(example.priors[name], shape), kind):
            served[kind].append(name)
    for loc in served[dist.Normal]:
        for covariance in served[dist.InverseWishart]:
            sites = KnownErrors(emission, loc, covariance)
            if bool(np.asarray(_agrees(problem.model, structure=structure, sites=sites))):
                return sites
    return None


@quickly(static=("structure", "sites"))
def _agrees(model: Model, *, structure: Structure, sites: KnownErrors) -> Array:
    """Whether the sites are the parameters, but for errors that are the rows' own."""
    apart: list[tuple[Array, Array]] = []
    for values in [structure.initial(random.key(i), radius=1.0) for i in (1, 2)]:
        family = as_family(unwrap(model.pieces(values, structure).emissions[sites.emission]))
        assert family is not None
        errors = family.covariance - values[sites.covariance][:, None]
        apart.append((family.loc - values[sites.loc][:, None], errors))
    (shift, one), (_, other) = apart
    close = AGREES[str(one.dtype)] * (1 + jnp.abs(one).max())
    # the errors of a row are the same of all clusters, wherever the sites are
    same = (jnp.abs(one - other).max() <= close) & (jnp.abs(one - one[:1]).max() <= close)
    return same & (jnp.abs(shift).max() <= close)


def modes(
    density: Callable[[Globals], Array],
    sites: KnownErrors,
    values: Globals,
    weights: Array,
    priors: Mapping[str, Any],
) -> Globals:
    """The mode of the locations, then of the covariances, given moments of the true values.

    Args:
        density: the rows' expected log-density as a function of the global sites, priors left out.
        sites: which they are.
        values: of the global sites.
        weights: of the clusters, ``(cluster, row)``, each row as often as it counts.
        priors: of the sites; empty for flat ones.
    """
    names = (sites.loc, sites.covariance)
    slopes = jax.grad(lambda own: density({**values, **own}))({n: values[n] for n in names})
    loc, covariance = values[sites.loc], values[sites.covariance]
    count = weights.sum(-1)
    slope = slopes[sites.covariance] + jnp.swapaxes(slopes[sites.covariance], -1, -2)
    second = count[:, None, None] * covariance + matmul(matmul(covariance, slope), covariance)
    statistics = {
        "count": count,
        "first": matmul(covariance, slopes[sites.loc][..., None])[..., 0],
        "second": 0.5 * (second + jnp.swapaxes(second, -1, -2)),
        "about": loc,
    }
    centre = loc.mean(0)

    def mode(name: str, parameter: str, family: FullGaussian) -> Array:
        prior: Any = plain_prior(priors[name], jnp.shape(values[name])) if priors else None
        posterior = family.conditional(parameter, prior, statistics, centre, shared=False)
        assert posterior is not None
        best = posterior.mode()
        return jnp.where(jnp.isfinite(best), best, values[name])

    moved = mode(sites.loc, "loc", FullGaussian(loc, covariance, validate_args=False))
    family = FullGaussian(moved, covariance, validate_args=False)
    return {sites.loc: moved, sites.covariance: mode(sites.covariance, "covariance", family)}
