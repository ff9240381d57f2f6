"""The M-step: updates of the global sites from sufficient statistics.

Each linked site has a conditional posterior where family and prior are conjugate: its mode serves
EM, its draw serves Gibbs. Sites without one are moved on the tiny log joint density of
:func:`.statistics.expected_log_joint`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array, lax
from jax.scipy.optimize import minimize

from ppl_models.distributions.conditionals import (
    Conditional,
    DirichletConditional,
    RateConditional,
)
from ppl_models.distributions.exponential.family import Statistics
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.inference.newton import FARTHEST, LARGEST, minimise, promised_fall, rounding
from ppl_models.inference.prior_places import reaches
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import Expectations, e_step, expected_log_joint
from ppl_models.program.densities.pieces import Pieces
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink, ParameterMap, PriorLink
from ppl_models.program.runtime.compiling import by_shapes
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure

NEWTON_STEPS = 20


def conditional(
    link: ParameterLink,
    pieces: Pieces,
    structure: Structure,
    expected: Expectations,
    chunks: Chunks,
    values: Globals,
    *,
    flat: bool,
) -> Conditional | None:
    """The conditional posterior of a linked site, or None where it is not conjugate."""
    if isinstance(link, PriorLink):
        return _rate_conditional(link, pieces, values)
    prior = None
    if not flat:
        prior = plain_prior(pieces.priors[link.site], jnp.shape(values[link.site]))
    if link.emission == structure.assignment:
        if prior is not None and not isinstance(prior, dist.Dirichlet):
            return None
        return DirichletConditional(
            (1.0 if prior is None else prior.concentration) + expected.counts
        )
    return pieces.families()[link.emission].conditional(
        link.parameter,
        prior,
        expected.statistics[link.emission],
        chunks.centres[link.emission],
        shared=link.shared,
    )


def _rate_conditional(link: PriorLink, pieces: Pieces, values: Globals) -> RateConditional:
    """Of the rate of variances or of covariance matrices given them (Richardson and Green 1997).

    K variances σ² ~ InverseGamma(a, r) add Ka to the order and Σ_k σ_k⁻² to the rate, matrices
    Σ ~ InverseWishart(ν, diag(r)) add Kν/2 and ½ Σ_k (Σ_k⁻¹)_dd.
    """
    current, child = values[link.site], values[link.emission]
    own = plain_prior(pieces.priors[link.site], jnp.shape(current))
    prior = plain_prior(pieces.priors[link.emission], jnp.shape(child))
    if isinstance(prior, dist.InverseWishart):
        precision = 0.5 * jnp.diagonal(jnp.linalg.inv(child), axis1=-2, axis2=-1)
        added = jnp.broadcast_to(0.5 * prior.concentration[..., None], precision.shape)
    else:
        precision, added = child**-2, prior.concentration
    outer = tuple(range(added.ndim - jnp.ndim(current)))
    gamma = isinstance(own, dist.Gamma)
    order = own.concentration if gamma else own.order
    rate = own.rate + precision.sum(outer)
    barrier = jnp.zeros_like(rate) if gamma else own.barrier
    return RateConditional(order + added.sum(outer), rate, barrier, current)


def prior_means(
    model: Model, structure: Structure, links: tuple[ParameterLink, ...], values: Globals
) -> Globals:
    """Values with the rates of other sites' priors at the means of their own."""
    rates = [link.site for link in links if isinstance(link, PriorLink)]
    if not rates:
        return values
    priors = model.pieces(values, structure).priors
    return values | {n: jnp.broadcast_to(priors[n].mean, jnp.shape(values[n])) for n in rates}


def prior_modes(
    model: Model, structure: Structure, parameter_map: ParameterMap, values: Mapping[str, Any]
) -> Globals:
    """Values with the rates of other sites' priors at their modes given these."""
    values = {n: jnp.asarray(v) for n, v in values.items()}
    for link in parameter_map.priors:
        shape = next(site.shape for site in structure.sites if site.name == link.site)
        values[link.site] = jnp.ones(shape)
        pieces = model.pieces(values, structure)
        values[link.site] = _rate_conditional(link, pieces, values).mode()
    return values


@by_shapes
def conjugate_sites(
    model: Model,
    structure: Structure,
    parameter_map: ParameterMap,
    chunks: Chunks,
    *,
    flat: bool = False,
) -> tuple[tuple[ParameterLink, ...], tuple[str, ...]]:
    """Links to sites with a conditional in closed form, and the names of all other sites.

    Args:
        model: the program.
        structure: its structure.
        parameter_map: which site is which parameter.
        chunks: the data.
        flat: leave the priors out.
    """
    served: list[ParameterLink] = []
    every = (*parameter_map.links, *parameter_map.priors)

    def probe(model: Model, chunks: Chunks) -> None:
        values = structure.initial(make_key(0))
        pieces = model.pieces(values, structure)
        expected = e_step(pieces, structure, chunks)
        for link in every:
            if (
                conditional(link, pieces, structure, expected, chunks, values, flat=flat)
                is not None
            ):
                served.append(link)

    if not structure.factors:  # what they multiply a density by no conditional knows
        jax.eval_shape(probe, model, chunks)
    names = {w.site for w in served}
    candidates = [w.site for w in every] + list(parameter_map.free)
    return tuple(served), tuple(n for n in candidates if n not in names)


def maximise(
    model: Model,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    free: tuple[str, ...],
    values: Globals,
    expected: Expectations,
    chunks: Chunks,
    *,
    flat: bool = False,
    known: Mapping[str, Any] | None = None,
    again: bool = False,
) -> Globals:
    """Raise the expected log joint density: the mode of each conditional in turn, then the rest.

    With ``flat`` the priors are left out, so that the likelihood alone is raised. A component
    that no row is assigned to keeps its parameters where the data say nothing about them. Values
    that are to be raised ``again`` under the same statistics are neither expanded nor canonical.
    """
    values = dict(values)
    for link in links:
        pieces = model.pieces(values, structure, known)
        maximum = conditional(link, pieces, structure, expected, chunks, values, flat=flat)
        assert maximum is not None
        mode = maximum.mode()
        values[link.site] = jnp.where(jnp.isfinite(mode), mode, values[link.site])
    if free:
        values.update(_by_newton(model, structure, free, values, expected, chunks, flat, known))
    if again:
        return values
    values = expanded_values(
        model, structure, links, values, expected.statistics, flat=flat, known=known
    )
    return canonical_values(model, structure, links, values, flat=flat, known=known)


def expanded_values(
    model: Model,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    values: Globals,
    statistics: Mapping[str, Statistics],
    *,
    flat: bool,
    known: Mapping[str, Any] | None = None,
) -> Globals:
    """Values moved together with the distribution of what rows hide, see ``expanded``.

    Args:
        model: the program.
        structure: its structure.
        links: sites with a closed form.
        values: of the global sites.
        statistics: of the E-step, by emission.
        flat: whether the priors are left out.
        known: priors that do not depend on other sites.
    """
    own = [w for w in links if not isinstance(w, PriorLink) and w.emission in statistics]
    if not own:
        return values
    pieces = model.pieces(values, structure, known)
    for name, family in pieces.families().items():
        moving = {
            w.parameter: w
            for w in own
            if w.emission == name and w.parameter in family.expanded_parameters
        }
        priors = {
            parameter: None
            if flat
            else plain_prior(pieces.priors[w.site], jnp.shape(values[w.site]))
            for parameter, w in moving.items()
        }
        shared = {parameter: w.shared for parameter, w in moving.items()}
        for parameter, value in family.expanded(priors, statistics[name], shared=shared).items():
            site, value = moving[parameter].site, value[0] if shared[parameter] else value
            finite = jnp.isfinite(value).all()
            values = values | {site: jnp.where(finite, value, values[site])}
    return values


def canonical_values(
    model: Model,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    values: Globals,
    *,
    flat: bool,
    known: Mapping[str, Any] | None = None,
) -> Globals:
    """Values of which each is the one that is told of all that mean the same.

    Args:
        model: the program.
        structure: its structure.
        links: sites with a closed form.
        values: of the global sites.
        flat: whether the priors are left out.
        known: priors that do not depend on other sites.
    """
    own = [w for w in links if not isinstance(w, PriorLink) and w.emission != structure.assignment]
    if not own:
        return values
    pieces = model.pieces(values, structure, known)
    families = pieces.families()
    for link in own:
        family = families[link.emission]
        if link.parameter in family.equivalent_parameters:
            value = values[link.site]
            prior = None if flat else plain_prior(pieces.priors[link.site], jnp.shape(value))
            values = values | {link.site: family.canonical(link.parameter, value, prior)}
    return values


def _by_newton(
    model: Model,
    structure: Structure,
    free: tuple[str, ...],
    values: Globals,
    expected: Expectations,
    chunks: Chunks,
    flat: bool,
    known: Mapping[str, Any] | None,
) -> Globals:
    """Sites without a closed form: steps of Newton's method in the unconstrained space, never down.

    Of many numbers, of a quasi-Newton method.
    """
    space = structure.space.of(free)
    vector = space.ravel(space.unconstrain(values))
    loss = _loss_of(model, structure, free, values, expected, chunks, flat, known)
    before = loss(vector)
    if vector.size <= LARGEST:
        farthest = _farthest(model, structure, free, values)
        minimum = minimise(loss, vector, NEWTON_STEPS, farthest=farthest)
    else:
        minimum = _bfgs(loss, vector)
    after = loss(minimum)
    better = jnp.isfinite(after) & (after <= before)
    chosen = jnp.where(better, minimum, vector)
    trial = space.constrain(space.unravel(chosen))
    # untouched values come back exactly, not through a round trip of the transform
    return {n: lax.select(better, trial[n], values[n]) for n in free}


def _loss_of(
    model: Model,
    structure: Structure,
    free: tuple[str, ...],
    values: Globals,
    expected: Expectations,
    chunks: Chunks,
    flat: bool,
    known: Mapping[str, Any] | None,
) -> Any:
    """What the M-step lowers, of the free sites in the unconstrained space: nats a row."""
    space = structure.space.of(free)

    def loss(vector: Array) -> Array:
        trial = {**values, **space.constrain(space.unravel(vector))}
        pieces = model.pieces(trial, structure, known)
        gain = expected_log_joint(pieces, expected, chunks, flat=flat)
        return -gain / (1 + expected.counts.sum())

    return loss


def _farthest(model: Model, structure: Structure, free: tuple[str, ...], values: Globals) -> Array:
    """How far every coordinate of the free sites may move in a step."""
    space = structure.space.of(free)
    priors = model.pieces(values, structure).priors
    return space.ravel(reaches(priors, space.sites, FARTHEST))


def left_to_gain(
    model: Model,
    structure: Structure,
    free: tuple[str, ...],
    values: Globals,
    expected: Expectations,
    chunks: Chunks,
    *,
    flat: bool,
) -> Array:
    """How many nats another M-step promises by the sites without a closed form; rounding is none.

    Args:
        model: the program.
        structure: its structure.
        free: sites without a closed form, of at most ``LARGEST`` numbers.
        values: of the global sites.
        expected: statistics of all rows, at these values.
        chunks: the data.
        flat: whether the priors are left out.
    """
    space = structure.space.of(free)
    loss = _loss_of(model, structure, free, values, expected, chunks, flat, None)
    place = space.ravel(space.unconstrain(values))
    farthest = _farthest(model, structure, free, values)
    fall = promised_fall(loss, place, farthest=farthest)
    return jnp.where(fall <= rounding(loss(place)), 0.0, fall * (1 + expected.counts.sum()))


def _bfgs(loss: Any, vector: Array) -> Array:
    return minimize(loss, vector, method="BFGS", options={"maxiter": NEWTON_STEPS}).x
