"""Locations and covariances of clusters whose rows are Gaussian given something that is hidden.

A row that is measured with known errors, x ~ Normal(μ, Σ + S), hides its true value, which has the
covariance Σ; one with heavy tails, x ~ StudentT(ν, μ, Σ), hides a precision u, given which it has
the covariance Σ / u. The expected moments of what is hidden are sums over the rows, and the mode of
μ and Σ given them has a closed form. EM of the errors: Bovy, Hogg and Roweis (2011), Extreme
deconvolution; of the tails: Peel and McLachlan (2000), Robust mixture modelling using the t
distribution. Which programs these are is found out by evaluating them at two places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, random

from ppl_models.data.missing import missing_cells
from ppl_models.distributions import FullGaussian
from ppl_models.distributions.contraction import einsum, matmul
from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import plain_prior
from ppl_models.program.compiling import QUICK
from ppl_models.program.model import Globals, Model
from ppl_models.program.structure import Structure

AGREES = {"float64": 1e-8, "float32": 1e-4}  #: relative difference of what must be the same


@dataclass(frozen=True)
class Augmented:
    """Sites whose mode has a closed form given the moments of what rows hide; static.

    Args:
        emission: the observed site.
        loc: the site of the locations, ``(cluster, feature)``.
        covariance: the site of the covariances, ``(cluster, feature, feature)``.
    """

    emission: str
    loc: str
    covariance: str


def _scatter(emission: Any) -> tuple[Array, Array, Array | None] | None:
    """Locations, covariances or scale matrices, and degrees of freedom, ``(cluster, row, ...)``."""
    plain = unwrap(emission)
    if isinstance(plain, dist.MultivariateStudentT):
        factor = plain.scale_tril
        return plain.loc, matmul(factor, jnp.swapaxes(factor, -1, -2)), plain.df
    family = as_family(plain)
    if isinstance(family, FullGaussian):
        return family.loc, family.covariance, None
    return None


def find_augmented(problem: Problem, names: Sequence[str], *, flat: bool) -> Augmented | None:
    """The locations and covariances that EM has closed forms of, if there are any.

    Args:
        problem: program and data.
        names: of the global sites that have no other closed form.
        flat: whether the priors are left out.
    """
    structure = problem.structure
    several = len(structure.emissions) != 1 or structure.indexed or structure.combined
    if several or structure.factors or structure.undrawable or structure.locals:
        return None
    if structure.chain is not None or structure.assignment is None:
        return None
    emission = structure.emissions[0]
    if emission in problem.example.scales or structure.assignment in problem.example.scales:
        return None
    if _scatter(problem.example.emissions[emission]) is None:
        return None
    depends = problem.dependencies
    above = frozenset[str]().union(*(depends[n] for n in (*structure.names, structure.assignment)))
    shapes = {site.name: site.shape for site in structure.sites if site.name in names}
    features = np.shape(problem.model.data[emission])[1]
    locs = [n for n, s in shapes.items() if s == (structure.clusters, features)]
    matrices = [n for n, s in shapes.items() if s == (structure.clusters, features, features)]
    wanted = {n: dist.Normal for n in locs} | {n: dist.InverseWishart for n in matrices}
    served = [
        n
        for n, kind in wanted.items()
        if n not in above
        and (flat or isinstance(plain_prior(problem.example.priors[n], shapes[n]), kind))
    ]
    for loc in (n for n in locs if n in served):
        for covariance in (n for n in matrices if n in served):
            found = Augmented(emission, loc, covariance)
            if bool(np.asarray(_agrees(problem.model, structure=structure, sites=found))):
                return found
    return None


@jax.jit(static_argnames=("structure", "sites"), compiler_options=QUICK)
def _agrees(model: Model, *, structure: Structure, sites: Augmented) -> Array:
    """Whether the sites are the parameters, but for errors that are the rows' own."""
    apart: list[tuple[Array, Array]] = []
    for values in [structure.initial(random.key(i), radius=1.0) for i in (1, 2)]:
        found = _scatter(model.pieces(values, structure).emissions[sites.emission])
        assert found is not None
        loc, scatter, freedom = found
        errors = scatter - values[sites.covariance][:, None]
        if freedom is not None:  # rows with heavy tails have no errors besides
            errors = jnp.where(jnp.abs(errors) > 1e-3 * jnp.abs(scatter).max(), jnp.inf, 0.0)
        apart.append((loc - values[sites.loc][:, None], errors))
    (shift, one), (_, other) = apart
    close = AGREES[str(one.dtype)] * (1 + jnp.abs(one).max())
    # the errors of a row are the same of all clusters, wherever the sites are
    same = (jnp.abs(one - other).max() <= close) & (jnp.abs(one - one[:1]).max() <= close)
    return same & (jnp.abs(shift).max() <= close)


def augmented_modes(
    model: Model,
    structure: Structure,
    sites: Augmented,
    values: Globals,
    weights: Array,
    priors: Globals,
) -> Globals:
    """The mode of locations, then of covariances, given the expected moments of what rows hide.

    Args:
        model: the program with data.
        structure: what was read off it.
        sites: which they are.
        values: of the global sites.
        weights: of the clusters, ``(cluster, row)``, each row as often as it counts.
        priors: of the sites; empty for flat ones.
    """
    found = _scatter(model.pieces(values, structure).emissions[sites.emission])
    assert found is not None
    _, total, freedom = found
    loc, covariance = values[sites.loc], values[sites.covariance]
    x = jnp.asarray(model.data[sites.emission])
    given = {
        name: plain_prior(priors[name], jnp.shape(values[name])) if priors else None
        for name in (sites.loc, sites.covariance)
    }
    seen = ~missing_cells(x)
    both = seen[:, :, None] & seen[:, None, :]
    residual = jnp.where(seen, jnp.where(seen, x, 0) - loc[:, None], 0)
    # rows and columns of missing cells are those of the identity, and tell nothing of the others
    known = jnp.where(both, total, jnp.eye(x.shape[1], dtype=total.dtype))
    cross = covariance[:, None] * seen[:, None, :]
    solved = jnp.linalg.solve(known, jnp.swapaxes(cross, -1, -2))
    ahead = einsum("knji,knj->kni", solved, residual)
    spread = covariance[:, None] - matmul(cross, solved)
    counted = weights
    if freedom is not None:
        white = jnp.linalg.solve(known, residual[..., None])[..., 0]
        squares = (white * residual).sum(-1)
        counted = weights * (freedom + seen.sum(-1)) / (freedom + squares)
    # moments about the locations as they were
    first = einsum("kn,kni->ki", counted, ahead)
    second = einsum("kn,kni,knj->kij", counted, ahead, ahead)
    second = second + einsum("kn,knij->kij", weights, spread)
    centre = jnp.where(seen, x, 0).sum(0) / jnp.clip(seen.sum(0), 1)
    statistics = {"count": counted.sum(-1), "first": first, "second": second, "about": loc}

    def mode(name: str, parameter: str, family: FullGaussian, statistics: Any) -> Array:
        posterior = family.conditional(parameter, given[name], statistics, centre, shared=False)
        assert posterior is not None
        best = posterior.mode()
        return jnp.where(jnp.isfinite(best), best, values[name])

    new_loc = mode(sites.loc, "loc", FullGaussian(loc, covariance), statistics)
    family = FullGaussian(new_loc, covariance)
    scatter = family._scatter(statistics, centre)
    centred = {
        "count": weights.sum(-1),
        "first": jnp.zeros_like(first),
        "second": scatter,
        "about": new_loc,
    }
    new_covariance = mode(sites.covariance, "covariance", family, centred)
    return {sites.loc: new_loc, sites.covariance: new_covariance}
