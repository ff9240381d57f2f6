"""The update of variational Bayes: q(site) of every global site in turn, given statistics.

A site's conditional posterior given the others becomes q where what it takes of the others is
replaced by its expectation: their plug-in values, and for the scatter of an emission about an
uncertain location the location's variance besides. What a family must state for it is in
``distributions/plug_in.py``. Bishop (2006) §10.2; Winn and Bishop (2005), Variational
message passing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import logsumexp

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Expectations
from ppl_models.inference.statistics.m_step import conditional
from ppl_models.inference.variational.divergence import divergence, rate_moments
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink, PriorLink
from ppl_models.program.trace.structure import Structure


class Updated(NamedTuple):
    """The distributions of all sites, and what the E-step under them needs.

    Args:
        values: plug-in values of all global sites; the clusters' weights hold the Jensen gaps of
            their components too, so that a pass of EM at these values is the E-step.
        posterior: by site, its q.
        row_constant: to be added to every row's log-normaliser.
        divergence: KL(q ‖ prior) of all sites, which the evidence bound is lower by.
    """

    values: Globals
    posterior: dict[str, Any]
    row_constant: Array
    divergence: Array


def update_order(
    links: tuple[ParameterLink, ...], structure: Structure, families: dict[str, ExponentialFamily]
) -> tuple[ParameterLink, ...]:
    """Links in the order of updates: a family's parameters in turn, rates of priors, weights."""

    def place(link: ParameterLink) -> tuple[int, int]:
        if link.emission == structure.assignment:
            return 2, 0
        if isinstance(link, PriorLink):
            return 1, 0
        return 0, list(families[link.emission].parameter_dims).index(link.parameter)

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
        links: all sites, in the order of :func:`update_order`.
        values: plug-in values.
        expected: statistics.
        chunks: centres.
        known: priors that depend on no site.
    """
    values, posterior = dict(values), {}
    of_emission: dict[str, dict[str, Any]] = {}  #: by emission and parameter, the q so far
    penalty = jnp.zeros(())
    for link in links:
        pieces = model.pieces(values, structure, known)
        seen, family = expected, None
        if link.emission != structure.assignment and not isinstance(link, PriorLink):
            family = pieces.families()[link.emission]
            before = of_emission.setdefault(link.emission, {})
            own = family.statistics_under(before, expected.statistics[link.emission])
            seen = expected._replace(statistics={**expected.statistics, link.emission: own})
        q: Any = conditional(link, pieces, structure, seen, chunks, values, flat=False)
        posterior[link.site] = q
        if family is not None:
            of_emission[link.emission][link.parameter] = q
            value = family.plug_in(link.parameter, q)
        elif isinstance(link, PriorLink):
            value = rate_moments(q).mean
        else:
            value = jax.nn.softmax(q.expected_log())
        values[link.site] = value.astype(jnp.result_type(values[link.site]))
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
    gaps = jnp.zeros(structure.clusters)
    for name, family in pieces.families().items():
        if name in of_emission:
            gaps = gaps + family.jensen_gap(of_emission[name])
    weights = [link.site for link in links if link.emission == structure.assignment]
    if not weights:  # of one cluster
        return Updated(values, posterior, gaps.sum(), penalty)
    logs = posterior[weights[0]].expected_log() + gaps
    constant = logsumexp(logs)
    values[weights[0]] = jnp.exp(logs - constant)
    return Updated(values, posterior, constant, penalty)
