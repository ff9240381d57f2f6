"""The telescoping sampler: a mixture of finite mixtures, the number of clusters unknown.

K has a prior of its own and is drawn given the partition; clusters without rows are drawn from the
prior. Frühwirth-Schnatter, Malsiner-Walli and Grün (2021), the dynamic variant: weights are
Dirichlet(α / K), K - 1 ~ BetaNegativeBinomial(1, 4, 3), α ~ F(6, 3).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.scipy.special import betaln, gammaln

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import (
    ASSIGNMENT,
    CONJUGATE,
    DRAWABLE_CELLS,
    PLAIN_PRIORS,
    STATISTICS,
    UNKNOWN_CLUSTERS,
    UNSCALED,
)
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.mcmc.blocks_of_draws import Lengths, run_in_blocks, sweep_block
from ppl_models.inference.method import Calibration, Capability, Lack, Method
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.row_weights import copies_drawn
from ppl_models.inference.simulated_data import (
    Draws,
    Plan,
    on_simulated_data,
    run_chain,
    simulate,
)
from ppl_models.inference.statistics.assignment_draws import draw_and_sum
from ppl_models.inference.statistics.chunks import Chunks
from ppl_models.inference.statistics.m_step import conditional, conjugate_sites
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.parameter_map import ParameterLink
from ppl_models.program.trace.structure import Structure

ALPHA_STEP = 1.0  #: standard deviation of the random walk of log α


def _other_weights(problem: Problem) -> Lack | None:
    """The lack of a site of weights, whose prior the sampler replaces by Dirichlet(α / K)."""
    assignment = problem.structure.assignment
    if any(link.emission == assignment for link in problem.parameter_map.links):
        return None
    return Lack(f"the weights of site '{assignment}' are no site as they stand")


def _noise(problem: Problem) -> Lack | None:
    for name, family in problem.families.items():
        if family.last_is_noise:
            return Lack(f"the last component of site '{name}' is noise, whatever their number")
    return None


def _of_simulated_data(key: Array, model: Model, plan: Plan) -> Draws:
    problem, structure = plan.problem, plan.problem.structure
    chunks = on_simulated_data(problem, model).chunks
    links, _ = conjugate_sites(problem.model, structure, problem.parameter_map, problem.chunks)
    step = partial(telescope, model, chunks, structure, links, False)
    start_key, run_key = random.split(key)
    begin = structure.initial(start_key), jnp.array(structure.clusters), jnp.ones(())
    draws = run_chain(
        lambda state: step(*state[0]), step(*begin, run_key), plan, lambda state: state[1]
    )
    return draws["values"], {n: draws[n] for n in ("components", "filled", "alpha")}


def _simulated(source: Model, plan: Plan, key: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """The number of clusters and their weights from their own prior, the rest from the program."""
    problem = plan.problem
    assignment, most = problem.structure.assignment, problem.structure.clusters
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    (site,) = (w.site for w in links if w.emission == assignment)
    prior_key, rest_key = random.split(key)
    components, alpha, weights = draw_prior(prior_key, most)
    drawn = simulate(source, rest_key, {site: weights})
    rows = (drawn[str(assignment)][None] == jnp.arange(most)[:, None]).sum(-1)
    return drawn, {"components": components, "filled": (rows > 0).sum(), "alpha": alpha}


DIRICHLET_WEIGHTS = Capability("weights with a Dirichlet prior", _other_weights)
CLUSTERS_ALONE = Capability("clusters without noise beside them", _noise)
METHOD = Method(
    "draws",
    needs=(
        *STATISTICS,
        ASSIGNMENT,
        UNSCALED,
        PLAIN_PRIORS,
        DRAWABLE_CELLS,
        CONJUGATE,
        DIRICHLET_WEIGHTS,
        CLUSTERS_ALONE,
        UNKNOWN_CLUSTERS,
    ),
    keeps_priors=False,
    # clusters that have no rows are among the draws: no order of them tells
    calibration=Calibration(_of_simulated_data, _simulated, fixed_number=False),
    row_weights="integer",
    keeps_states=True,
)


def telescoping(
    problem: Problem,
    key: Array,
    *,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 2000,
    thinning: int = 1,
    keep_assignments: bool = False,
) -> Result:
    """Draw the number of clusters, their weights and their parameters.

    The program's ``clusters`` is the most that K can be; its prior of the weights is replaced by
    Dirichlet(α / K).

    Args:
        problem: program and data.
        key: random key.
        chains: number of chains.
        warmup: sweeps a chain that are not kept.
        draws: draws a chain that are kept.
        thinning: sweeps a kept draw.
        keep_assignments: keep the assignments of every draw.

    Returns:
        Draws; ``components`` (K), ``filled`` (clusters that have rows) and ``alpha`` are in the
        sample statistics. Clusters of weight 0 are draws from the prior. The log prior of the
        weights is that of K, α and the K weights together.

    Raises:
        InputError: options out of range.
    """
    if min(chains, warmup, draws, thinning) < 1:
        raise InputError(
            f"chains ({chains}), warmup ({warmup}), draws ({draws}) and thinning ({thinning}) "
            "must be at least 1"
        )
    problem = copies_drawn("telescoping", problem, keep_assignments=keep_assignments)
    start_key, run_key = random.split(key)
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    values, _ = starting_values(problem, links, (), start_key, chains, flat=False)
    most = problem.structure.clusters
    begin = (values, jnp.full(chains, most), jnp.ones(chains), random.split(run_key, chains))
    plan: dict[str, Any] = {
        "structure": problem.structure,
        "links": links,
        "keep": keep_assignments,
    }
    model, chunks = jax.tree.map(jnp.asarray, problem.model), problem.chunks
    shapes = jax.eval_shape(partial(_sweep, model, chunks, **plan), begin)[1]
    state = begin, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def block(state: Any, sweeps: Any, draws: Any) -> Any:
        return _block(model, chunks, state, sweeps, draws, **plan)

    lengths = Lengths(warmup, draws, thinning)
    samples = run_in_blocks(problem, block, state, lengths, "telescoping")[1]
    stats = {n: samples[f".{n}"] for n in ("components", "filled", "alpha")}
    assignment = samples[".assignment"].astype(np.int16) if keep_assignments else None
    (weights,) = (w.site for w in links if w.emission == problem.structure.assignment)
    return Result(
        {n: samples[n] for n in values},
        METHOD,
        stats,
        assignment=assignment,
        exchangeable=False,
        log_prior={weights: samples[".log_prior"]},
    )


def _sweep(
    model: Model,
    chunks: Chunks,
    state: Any,
    *,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    keep: bool,
) -> tuple[Any, Any]:
    """A sweep of all chains: the state after it, and what is found on the way."""
    return jax.vmap(partial(telescope, model, chunks, structure, links, keep))(*state)


@partial(jax.jit, static_argnames=("structure", "links", "keep"))
def _block(
    model: Model,
    chunks: Chunks,
    state: Any,
    sweeps: Any,
    draws: Any,
    *,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    keep: bool,
) -> Any:
    plan: dict[str, Any] = {"structure": structure, "links": links, "keep": keep}

    def read(state: Any) -> dict[str, Array]:
        recorded = dict(state[1])
        return recorded.pop("values") | {f".{n}": v for n, v in recorded.items()}

    return sweep_block(lambda s: _sweep(model, chunks, s[0], **plan), read, state, sweeps, draws)


def telescope(
    model: Model,
    chunks: Chunks,
    structure: Structure,
    links: tuple[ParameterLink, ...],
    keep: bool,
    values: Globals,
    components: Array,
    alpha: Array,
    key: Array,
) -> tuple[Any, Any]:
    """One sweep: assignments; parameters; K; α; weights."""
    most = structure.clusters
    key, sweep_key, count_key, alpha_key, weight_key, *site_keys = random.split(key, 5 + len(links))
    pieces = model.pieces(values, structure)
    active = jnp.arange(most) < components
    expected, assignment = draw_and_sum(
        sweep_key, pieces, structure, chunks, keep=keep, active=active
    )
    for site_key, link in zip(site_keys, links, strict=True):
        if link.emission == structure.assignment:
            weights_site = link.site
            continue
        pieces = model.pieces(values, structure)
        posterior = conditional(link, pieces, structure, expected, chunks, values, flat=False)
        assert posterior is not None
        values = {**values, link.site: posterior.sample(site_key)}
    # clusters that have rows first; of statistics some are all clusters' together
    order = jnp.argsort(~(expected.counts > 0), stable=True)
    component_sites = {w.site for w in links if not w.shared}
    values = {n: v[order] if n in component_sites else v for n, v in values.items()}
    counts = expected.counts[order]
    components = draw_components(count_key, counts, alpha)
    alpha = draw_alpha(alpha_key, counts, components, alpha)
    active = jnp.arange(most) < components
    gamma = random.loggamma(weight_key, jnp.where(active, counts + alpha / components, 1))
    log_weights = jax.nn.log_softmax(jnp.where(active, gamma, -jnp.inf))
    values[weights_site] = jnp.exp(log_weights)
    filled = (counts > 0).sum()
    sites = {"values": values, "components": components, "filled": filled, "alpha": alpha}
    sites["log_prior"] = log_prior_weights(log_weights, components, alpha)
    if keep:
        sites["assignment"] = jnp.argsort(order)[assignment]
    return (values, components, alpha, key), sites


def draw_prior(key: Array, most: int) -> tuple[Array, Array, Array]:
    """K, α and the weights of ``most`` clusters, 0 for all but the first K."""
    count_key, up_key, down_key, share_key = random.split(key, 4)
    components = 1 + random.categorical(count_key, log_prior_components(most))
    # F(6, 3): of two chi-squares, each over its degrees of freedom
    alpha = (random.gamma(up_key, 3.0) / 3) / (random.gamma(down_key, 1.5) / 1.5)
    active = jnp.arange(most) < components
    gamma = random.loggamma(share_key, jnp.where(active, alpha / components, 1.0))
    return components, alpha, jax.nn.softmax(jnp.where(active, gamma, -jnp.inf))


def log_prior_components(most: int) -> Array:
    """log P(K) for K = 1 … most: K - 1 is beta-negative-binomial(1, 4, 3)."""
    k = jnp.arange(most)  # K - 1
    return (
        gammaln(1 + k) - gammaln(1) - gammaln(k + 1.0) + betaln(1 + 4.0, k + 3.0) - betaln(4.0, 3.0)
    )


def log_prior_alpha(alpha: Array) -> Array:
    """log p(α) up to a constant: α ~ F(6, 3)."""
    return (6 / 2 - 1) * jnp.log(alpha) - (6 + 3) / 2 * jnp.log1p(6 / 3 * alpha)


def log_prior_weights(log_weights: Array, components: Array, alpha: Array) -> Array:
    """log p(K) + log p(α) + log Dirichlet(π; α / K) of the K clusters that there are.

    In logarithms, for the smallest weights underflow to zero.
    """
    most = log_weights.shape[-1]
    active = jnp.arange(most) < components
    concentration = alpha / components
    density = jnp.where(active, (concentration - 1) * log_weights - gammaln(concentration), 0).sum()
    return (
        log_prior_components(most)[components - 1]
        + log_prior_alpha(alpha)
        + gammaln(alpha)
        + density
    )


def log_partition(counts: Array, components: Array, alpha: Array) -> Array:
    """log of the partition's probability given K and α, up to what depends on neither."""
    concentration = alpha / components
    filled = counts > 0
    blocks = jnp.where(filled, gammaln(counts + concentration) - gammaln(1 + concentration), 0).sum(
        -1
    )
    number = filled.sum(-1)
    return (
        number * (jnp.log(alpha) - jnp.log(components))
        + gammaln(components + 1.0)
        - gammaln(jnp.clip(components - number, 0) + 1.0)
        + blocks
        + gammaln(alpha)
        - gammaln(alpha + counts.sum(-1))
    )


def draw_components(key: Array, counts: Array, alpha: Array) -> Array:
    """K given the partition and α."""
    most = counts.shape[-1]
    candidates = jnp.arange(1, most + 1)
    score = jax.vmap(lambda k: log_partition(counts, k, alpha))(candidates.astype(counts.dtype))
    score = score + log_prior_components(most)
    possible = candidates >= (counts > 0).sum()
    return candidates[random.categorical(key, jnp.where(possible, score, -jnp.inf))]


def draw_alpha(key: Array, counts: Array, components: Array, alpha: Array) -> Array:
    """One Metropolis step of log α; α ~ F(6, 3)."""
    move_key, accept_key = random.split(key)
    proposal = alpha * jnp.exp(ALPHA_STEP * random.normal(move_key, (), alpha.dtype))

    def score(a: Array) -> Array:
        return (
            log_prior_alpha(a) + log_partition(counts, components.astype(a.dtype), a) + jnp.log(a)
        )

    accept = jnp.log(random.uniform(accept_key, (), alpha.dtype)) < score(proposal) - score(alpha)
    return jnp.where(accept, proposal, alpha)
