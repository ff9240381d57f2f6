"""Whether a point runs to where the density has no bound, so that there is no mode to find.

A Dirichlet, beta or gamma prior of a concentration a below 1 has the density θ^(a - 1) next to 0,
and where data leave θ as small as it likes to be the posterior density is infinite there.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array, nn
from numpyro.distributions import constraints

from ppl_models.distributions.priors.rate import GeneralizedInverseGaussian
from ppl_models.distributions.priors.scales_and_blocks import InverseGammaScale, plain
from ppl_models.distributions.scaled import ScaledPrior
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import sampler_of
from ppl_models.inference.problem import Problem
from ppl_models.program.log_joint import log_joint
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.structure import Structure

FAR = 14.0  #: units of a logarithm or of log-odds that a value is moved by towards the edge
SLOPE = 0.05  #: nats a unit that the density must rise by there: 1 - a, where nothing else does
GAIN = 0.01  #: of ``FAR`` in nats: what it must gain by one such move, and by another one
#: bounded on their supports, or of an edge at infinity
BOUNDED = (
    GeneralizedInverseGaussian,
    InverseGammaScale,
    dist.Exponential,
    dist.HalfCauchy,
    dist.HalfNormal,
    dist.ImproperUniform,
    dist.InverseGamma,
    dist.LogNormal,
    dist.Uniform,
    dist.Unit,
)


def refuse_unbounded(problem: Problem, values: Globals, *, may_leave_out: bool) -> None:
    """Refuse a point that has no density to compare, for it runs to where that is infinite.

    Args:
        problem: program and data.
        values: of the global sites, where every start ended.
        may_leave_out: whether the method has the option ``priors="flat"``.

    Raises:
        InputError: the sites, and what to do.
    """
    names = unbounded_sites(problem, values)
    if not names:
        return
    who = ", ".join(f"'{n}'" for n in names)
    edge = (
        f"site {who} runs to the edge of its support, where its prior is infinite"
        if len(names) == 1
        else f"sites {who} run to the edges of their supports, where their priors are infinite"
    )
    ways = ["give a concentration of at least 1"]
    if may_leave_out and not problem.structure.factors:
        ways.append("leave priors out (priors='flat')")
    sampler = sampler_of(problem)
    if sampler is not None:
        ways.append(f"use method='{sampler}', which needs none")
    *first, last = ways
    advice = f"{', '.join(first)}, or {last}" if first else last
    raise InputError(f"{edge}, so that the density has no mode: {advice}")


def unbounded_sites(problem: Problem, values: Globals) -> tuple[str, ...]:
    """Names of the sites along which the density grows without bound from a point.

    Args:
        problem: program and data.
        values: of the global sites.
    """
    names = _suspects(problem)
    if not names:
        return ()
    values = {n: jnp.asarray(v) for n, v in values.items()}
    by_rows = not problem.structure.coupled and problem.blocks is None
    infinite, rising = _look(
        problem.model, values, structure=problem.structure, names=names, by_rows=by_rows
    )
    sites = infinite if any(map(bool, infinite.values())) else rising
    return tuple(n for n in names if bool(sites[n]))


def _suspects(problem: Problem) -> tuple[str, ...]:
    """The sites whose priors may be infinite somewhere: none, for most programs."""
    priors, known = problem.example.priors, problem.known_priors
    return tuple(
        site.name
        for site in problem.structure.sites
        if site.name in priors
        and _kind(site.support) is not None
        and not _is_bounded(priors[site.name], settled=site.name in known)
    )


def _kind(support: Any) -> str | None:
    """What a support's edge is where densities may be infinite."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    if support == constraints.simplex:
        return "simplex"
    if support == constraints.unit_interval:
        return "odds"
    if support in (constraints.positive, constraints.nonnegative):
        return "positive"
    return None


def _is_bounded(prior: Any, *, settled: bool) -> bool:
    """Whether a prior is known to be bounded.

    Args:
        prior: of one site.
        settled: whether it has the same parameters wherever the other sites are.
    """
    base = plain(prior.base if isinstance(prior, ScaledPrior) else prior)
    if isinstance(base, BOUNDED):
        return True
    if isinstance(base, dist.Dirichlet | dist.Gamma | dist.Weibull):
        parts = [base.concentration]
    elif isinstance(base, dist.Beta):
        parts = [base.concentration0, base.concentration1]
    else:
        return False
    return settled and all(bool((np.asarray(p) >= 1).all()) for p in parts)


def _moved(support: Any, value: Array, by: Array) -> Array:
    """A value of which logarithms, or log-odds, are moved: from the edge, if it is at it."""
    lowest = math.log(jnp.finfo(value.dtype).tiny) / 2  # from where there is a way on

    def log(positive: Array) -> Array:
        return jnp.maximum(jnp.log(jnp.maximum(positive, jnp.exp(lowest))), lowest)

    kind = _kind(support)
    if kind == "simplex":
        return nn.softmax(log(value) + by, axis=-1)
    if kind == "odds":
        return nn.sigmoid(log(value) - log(1 - value) + by)
    return jnp.exp(log(value) + by)


@partial(jax.jit, static_argnames=("structure", "names", "by_rows"))
def _look(
    model: Model, values: Globals, *, structure: Structure, names: tuple[str, ...], by_rows: bool
) -> tuple[dict[str, Array], dict[str, Array]]:
    """By site: whether its prior is no number there, and whether the density rises to the edge.

    Without ``by_rows`` no density of the rows is asked, and none rises.
    """
    supports = {s.name: s.support for s in structure.sites}
    priors = model.pieces(values, structure).priors
    infinite = {n: ~(priors[n].log_prob(values[n]) < jnp.inf).all() for n in names}
    if not by_rows:
        return infinite, {n: jnp.zeros((), bool) for n in names}
    dtype = jnp.result_type(float)
    still = {n: jnp.zeros(jnp.shape(values[n]), dtype) for n in names}

    def height(by: dict[str, Array]) -> Array:
        moved = {n: _moved(supports[n], values[n], by[n]) for n in names}
        return log_joint(model, structure, {**values, **moved})

    def outward(slopes: dict[str, Array]) -> dict[str, Array]:
        steep = {n: jnp.where(jnp.abs(s) > SLOPE, jnp.sign(s), 0.0) for n, s in slopes.items()}
        odds = {n: _kind(supports[n]) == "odds" for n in names}
        return {n: s if odds[n] else jnp.minimum(s, 0.0) for n, s in steep.items()}

    slopes = jax.grad(height)
    first = outward(slopes(still))
    here = height(still)
    rounding = 100 * float(jnp.finfo(dtype).eps) * (1 + jnp.abs(here))
    least = jnp.maximum(GAIN * FAR, rounding)
    rising = {}
    for n in names:
        there = outward(slopes(still | {n: FAR * first[n]}))[n]
        push = FAR * jnp.where(there == first[n], first[n], 0.0)
        once, twice = height(still | {n: push}), height(still | {n: 2 * push})
        rising[n] = (once > here + least) & ((twice > once + least) | jnp.isposinf(once))
    return infinite, rising
