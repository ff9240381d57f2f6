"""The posterior in closed form, drawn directly: conjugate programs in which nothing is hidden.

Where all that is unknown are probabilities with Dirichlet priors, so is the evidence: each prior
contributes B(concentration + counts) / B(concentration).
Gelman et al. (2013), Bayesian Data Analysis, §3.4.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import Array, lax, random

from ppl_models import memory
from ppl_models.distributions.conditionals import DirichletConditional
from ppl_models.distributions.priors.broadcast import plain_prior
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import (
    CONJUGATE,
    DROPPABLE_CELLS,
    NOTHING_HIDDEN,
    PLAIN_PRIORS,
    STATISTICS,
)
from ppl_models.inference.method import Calibration, Capability, Lack, Method
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.simulated_data import Draws, Plan, on_simulated_data
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.e_step import e_step
from ppl_models.inference.statistics.m_step import conditional, conjugate_sites
from ppl_models.program.model import Globals, Model
from ppl_models.program.runtime.compiling import in_batches, quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


def _posteriors_depend(problem: Problem) -> Lack | None:
    """The lack of a joint closed form: sites may be conjugate only given the others."""
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    one, other = (_posteriors(problem, links, seed) for seed in (1, 2))
    for link, a, b in zip(links, one, other, strict=True):
        same = jax.tree.map(lambda x, y: bool(np.allclose(x, y)), a, b)
        if not all(jax.tree.leaves(same)):
            return Lack(f"the posterior of site '{link.site}' depends on other sites")
    return None


def _of_simulated_data(key: Array, model: Model, plan: Plan) -> Draws:
    problem, structure = plan.problem, plan.problem.structure
    links, _ = conjugate_sites(problem.model, structure, problem.parameter_map, problem.chunks)
    chunks = on_simulated_data(problem, model).chunks
    posteriors = _at(model, structure.initial(key), chunks, structure, links)

    def draw(key: Array) -> Globals:
        keys = random.split(key, len(links))
        return {
            link.site: posterior.sample(own)
            for own, link, posterior in zip(keys, links, posteriors, strict=True)
        }

    return lax.map(draw, random.split(key, plan.draws)), {}


CLOSED_FORM = Capability("posteriors that do not depend on each other", _posteriors_depend)
METHOD = Method(
    "draws",
    needs=(*STATISTICS, NOTHING_HIDDEN, PLAIN_PRIORS, DROPPABLE_CELLS, CONJUGATE, CLOSED_FORM),
    calibration=Calibration(_of_simulated_data),
    row_weights="any",
)


def exact(problem: Problem, key: Array, *, chains: int = 4, draws: int = 1000) -> Result:
    """Draw every global site from its posterior.

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains (independent, as all draws are).
        draws: draws a chain.

    Returns:
        Independent draws; ``log_evidence``, the logarithm of the probability of the data with the
        parameters integrated out, is an attribute where it is known (chains of tokens).

    Raises:
        InputError: options out of range, or more draws than memory holds.
        UnsupportedError: the posterior has no closed form.
    """
    if min(chains, draws) < 1:
        raise InputError(f"chains ({chains}) and draws ({draws}) must be at least 1")
    size = sum(math.prod(site.shape) for site in problem.structure.sites)
    if chains * draws * size > memory.KEPT_EXACT_DRAWS:
        raise InputError(
            f"{chains} × {draws} draws of {size:,} numbers are too many to hold: ask for at most "
            f"{max(1, memory.KEPT_EXACT_DRAWS // (chains * size))} draws a chain"
        )
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    posteriors = _posteriors(problem, links, 1)
    keys = random.split(key, len(links))
    values = {}
    for link, posterior, k in zip(links, posteriors, keys, strict=True):
        drawn = _drawn(posterior, k, chains * draws)
        values[link.site] = np.asarray(drawn).reshape(chains, draws, *drawn.shape[1:])
    evidence = _log_evidence(problem, links, posteriors)
    known = {} if evidence is None else {"log_evidence": evidence}
    return Result(values, METHOD, {}, attributes=known)


def _drawn(posterior: Any, key: Array, count: int) -> np.ndarray | Array:
    if isinstance(posterior, DirichletConditional):
        return posterior.sample_many(np.random.default_rng(np.asarray(random.key_data(key))), count)
    return _drawn_each(posterior, random.split(key, count))


@jax.jit
def _drawn_each(posterior: Any, keys: Array) -> Array:
    return in_batches(posterior.sample, keys, 100)


def _log_evidence(problem: Problem, links: tuple, posteriors: list) -> float | None:
    """log P(data), None where a part of it has no closed form here."""
    total = 0.0
    if not all(f.is_product_of_probabilities for f in problem.families.values()):
        return None
    if {w.site for w in links} != set(problem.structure.names):
        return None  # a site without freedom, or one that is held
    for link, posterior in zip(links, posteriors, strict=True):
        shape = next(s.shape for s in problem.structure.sites if s.name == link.site)
        prior = plain_prior(problem.example.priors[link.site], shape)
        if prior is None or not isinstance(posterior, DirichletConditional):
            return None
        before = DirichletConditional(prior.concentration)
        total += float(posterior.log_normaliser() - before.log_normaliser())
    return total


def _posteriors(problem: Problem, links: tuple, seed: int) -> list:
    model, structure = problem.model, problem.structure
    values = structure.initial(make_key(seed))
    return _conditionals(model, values, problem.chunks, structure=structure, links=links)


@quickly(static=("structure", "links"))
def _conditionals(
    model: Model, values: Globals, chunks: Chunks, *, structure: Structure, links: tuple
) -> list:
    return _at(model, values, chunks, structure, links)


def _at(model: Model, values: Globals, chunks: Chunks, structure: Structure, links: tuple) -> list:
    """The posterior of every site, which the others' values do not change."""
    pieces = model.pieces(values, structure)
    expected = e_step(pieces, structure, chunks)
    return [conditional(w, pieces, structure, expected, chunks, values, flat=False) for w in links]
