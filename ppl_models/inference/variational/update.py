"""The update of variational Bayes: q(site) of every global site in turn, given statistics.

A site's conditional posterior given the others becomes q where what it takes of the others is
replaced by its expectation: their stand-ins, and for the scatter of an emission about an uncertain
location the location's variance besides. Bishop (2006) §10.2; Winn and Bishop (2005), Variational
message passing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.distributions.conditionals import BetaConditional
from ppl_models.distributions.contraction import einsum
from ppl_models.distributions.exponential.bernoulli import BernoulliVector
from ppl_models.distributions.exponential.categorical import CategoricalVector
from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics
from ppl_models.distributions.exponential.gaussian import (
    DiagonalGaussian,
    SphericalGaussian,
    UnivariateGaussian,
)
from ppl_models.distributions.exponential.gaussian_full import FullGaussian
from ppl_models.distributions.exponential.gaussian_tied import TiedGaussian
from ppl_models.distributions.exponential.poisson import PoissonVector
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Expectations
from ppl_models.inference.statistics.m_step import conditional
from ppl_models.inference.variational.expectations import (
    bit_offset,
    count_offset,
    covariance_offset,
    divergence,
    expected_logs,
    level_offset,
    location_covariance,
    location_offset,
    rate_moments,
    scale_offset,
    stand_in,
)
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink, PriorLink
from ppl_models.program.trace.structure import Structure

CELLWISE = (DiagonalGaussian, SphericalGaussian, UnivariateGaussian)
MATRICES = (FullGaussian, TiedGaussian)
#: emissions whose expected log-densities are known
FAMILIES = (*CELLWISE, *MATRICES, PoissonVector, BernoulliVector, CategoricalVector)


class Updated(NamedTuple):
    """What an update found.

    Args:
        values: stand-ins of all global sites; the clusters' weights hold the offsets of their
            components too, so that a pass of EM at these values is the E-step.
        posterior: by site, its q.
        row_constant: to be added to every row's log-normaliser.
        divergence: KL(q ‖ prior) of all sites, which the evidence bound is lower by.
    """

    values: Globals
    posterior: dict[str, Any]
    row_constant: Array
    divergence: Array


def in_order(links: tuple[ParameterLink, ...], structure: Structure) -> tuple[ParameterLink, ...]:
    """Links in the order of updates: locations, what is about them, rates of priors, weights."""

    def place(link: ParameterLink) -> int:
        if link.emission == structure.assignment:
            return 3
        return 2 if isinstance(link, PriorLink) else int(link.parameter != "loc")

    return tuple(sorted(links, key=place))


def update(
    model: Model,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    values: Globals,
    expected: Expectations,
    chunks: Chunks,
    known: dict[str, Any],
) -> Updated:
    """Every q once, given expected statistics of the rows.

    Args:
        model: the program.
        structure: its structure.
        links: all sites, in the order of :func:`in_order`.
        values: stand-ins.
        expected: statistics.
        chunks: centres.
        known: priors that depend on no site.
    """
    values, posterior = dict(values), {}
    spreads: dict[str, Array] = {}  #: by emission, the uncertainty of its locations
    penalty = jnp.zeros(())
    for link in links:
        pieces = model.pieces(values, structure, known)
        seen = expected
        if link.parameter != "loc" and link.emission in spreads:
            family = pieces.families()[link.emission]
            own = _scattered(family, expected.statistics[link.emission], spreads[link.emission])
            seen = expected._replace(statistics={**expected.statistics, link.emission: own})
        q: Any = conditional(link, pieces, structure, seen, chunks, values, flat=False)
        if link.parameter == "loc" and not isinstance(link, PriorLink):
            spreads[link.emission] = _spread(pieces.families()[link.emission], q)
        posterior[link.site] = q
        values[link.site] = stand_in(q).astype(jnp.result_type(values[link.site]))
    pieces = model.pieces(values, structure, known)
    for link in links:
        q = posterior[link.site]
        prior = plain_prior(pieces.priors[link.site], jnp.shape(values[link.site]))
        penalty = penalty + divergence(q, prior)
        if isinstance(link, PriorLink):
            # the priors of what it is the rate of hold log E[r] for E[log r]
            moments = rate_moments(q)
            order = prior.order if hasattr(prior, "order") else prior.concentration
            short = jnp.log(moments.mean) - moments.mean_log
            penalty = penalty + ((q.order - order) * short).sum()
    offsets = jnp.zeros(structure.clusters)
    for name, family in pieces.families().items():
        offsets = offsets + _offset(family, name, links, posterior, spreads.get(name))
    weights = [link.site for link in links if link.emission == structure.assignment]
    if not weights:  # of one cluster
        return Updated(values, posterior, offsets.sum(), penalty)
    logs = expected_logs(posterior[weights[0]].concentration) + offsets
    constant = logsumexp(logs)
    values[weights[0]] = jnp.exp(logs - constant)
    return Updated(values, posterior, constant, penalty)


def _spread(family: ExponentialFamily, q: Any) -> Array:
    """Variances of locations ``(component, feature)``, or covariances, of every component."""
    clusters = family.batch_shape[0]
    if isinstance(family, MATRICES):
        covariance = location_covariance(q)
        return jnp.broadcast_to(covariance, (clusters, *covariance.shape[-2:]))
    variance = 1 / q.precision
    if not family.event_shape:
        return jnp.broadcast_to(variance, (clusters,))[:, None]
    return jnp.broadcast_to(variance, (clusters, variance.shape[-1]))


def _scattered(family: ExponentialFamily, statistics: Statistics, spread: Array) -> Statistics:
    """Statistics whose squares about the locations' means are the expected ones."""
    count, second = statistics["count"], statistics["second"]
    if isinstance(family, MATRICES):
        more = count[:, None, None] * spread
        more = more.sum(0) if second.ndim == 2 else more
    else:
        more = jnp.broadcast_to(count, spread.shape) * spread
        if second.shape[-1] < spread.shape[-1]:
            more = more.sum(-1, keepdims=True)
    return {**statistics, "second": second + more}


def _offset(
    family: Any,
    name: str,
    links: tuple[ParameterLink, ...],
    posterior: dict[str, Any],
    spread: Array | None,
) -> Array:
    """``A(stand-in) - E[A]`` of every component of an emission, ``(component,)``."""
    clusters = family.batch_shape[0]
    own = {
        link.parameter: posterior[link.site]
        for link in links
        if link.emission == name and not isinstance(link, PriorLink)
    }
    total = jnp.zeros(clusters)
    if spread is not None and isinstance(family, MATRICES):
        precision = jnp.linalg.inv(family._each())
        total = total + location_offset(precision, spread)
    elif spread is not None:
        cells = jnp.broadcast_to(family._parameters()[1] ** -2, spread.shape)
        total = total - 0.5 * einsum("kd,kd->k", cells, spread)
    for parameter, q in own.items():
        if parameter == "scale":
            total = total + _cells(scale_offset(q), family)
        elif parameter == "covariance":
            total = total + covariance_offset(q)
        elif parameter == "rate":
            total = total + _cells(count_offset(q), family)
        elif parameter == "probs":
            total = total + (
                _cells(bit_offset(q), family) if isinstance(q, BetaConditional) else level_offset(q)
            )
    return total


def _cells(each: Array, family: Any) -> Array:
    """Offsets of parameters summed over the features that they serve, ``(component,)``."""
    clusters = family.batch_shape[0]
    features = family.event_shape[0] if family.event_shape else 1
    if family.event_shape and family.distance_scale:  # one scale of all features
        return jnp.broadcast_to(features * each, (clusters,))
    if not family.event_shape:
        return jnp.broadcast_to(each, (clusters,))
    return jnp.broadcast_to(each.sum(-1), (clusters,))
