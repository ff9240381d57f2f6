"""The densities of a program whose rows are the steps of a chain, see ``trace/chains.py``.

Rows are the steps of all series, one series after the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions.batch_util import promote_batch_shape

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.hmm.general_emission import LOWEST
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.scaled import times, weigh
from ppl_models.errors import UnsupportedError
from ppl_models.program.chains import chain_passes
from ppl_models.program.densities import pair_passes
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.chains import MOST_RUNS, Chain
from ppl_models.program.trace.structure import Structure

if TYPE_CHECKING:
    from ppl_models.program.model import Model

HIGHEST_ORDER = 2  #: how many states before its own a step may depend on


def chain_of(structure: Structure) -> Chain:
    """The chain of a program that has one."""
    assert structure.chain is not None
    return structure.chain


def step_densities(
    model: Model, values: Mapping[str, Array], structure: Structure, path: Array
) -> tuple[Array, Array]:
    """Log-densities of states, and of states and emissions, along paths, ``(series, step)``.

    The density of the state before the first step is part of the first step's. A state that a mask
    hides does not count: each of its values has the same probability.

    Args:
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        path: of states, see :meth:`.chains.Chain.paths_of`.
    """
    trace, chain = model.trace_at(values, structure, assignment=path), chain_of(structure)
    total = jnp.zeros((chain.series, chain.steps))
    for own in chain.starts:
        density = _density(trace[own.name], own.states).reshape(-1)
        total = total.at[:, 0].add(density)
    sizes = {own.name: own.states for own in chain.sites}
    for name, count in sizes.items():
        total = total + by_series(_density(trace[name], count), trace[name], chain)
    states = total
    for name in structure.emissions:
        fn, scale = weigh(trace[name])
        density = times(scale, observed_log_prob(fn, trace[name]["value"]))
        total = total + by_series(density, trace[name], chain)
    return states, total


def _density(site: Mapping[str, Any], count: int) -> Array:
    """Log-probability of a discrete site; of one that is hidden by a mask that of any value."""
    fn, scale = weigh(site)
    density: Array = times(scale, fn.log_prob(site["value"]))
    return density if scale is None else jnp.where(scale == 0, -math.log(count), density)


def by_series(density: Array, site: Mapping[str, Any], chain: Chain) -> Array:
    """Log-densities of a site of every step, summed over all but the series, ``(series, step)``.

    Args:
        density: of the site, which broadcasts with its batch axes.
        site: of a trace.
        chain: whose steps are its first axis.
    """
    batch = jnp.broadcast_shapes(jnp.shape(density), site["fn"].batch_shape)
    log_density = jnp.broadcast_to(density, (chain.steps, *batch[1:]))
    places = {frame.name: frame.dim for frame in site["cond_indep_stack"]}
    own = [log_density.ndim + places[name] for name, _ in chain.plates]
    log_density = jnp.moveaxis(log_density, own, range(1, 1 + len(own)))
    return log_density.reshape(chain.steps, chain.series, -1).sum(-1).T


def chain_factors(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """The factors of a chain, ``(series, step, states before, state)``; arguments as above."""
    return _factors(model, values, structure, emitted=True)


def _factors(
    model: Model, values: Mapping[str, Array], structure: Structure, *, emitted: bool
) -> Array:
    chain = chain_of(structure)
    paths = alternating(chain)
    flat = paths.reshape(-1, paths.shape[-1])
    along = jax.vmap(lambda path: step_densities(model, values, structure, path)[int(emitted)])
    return pair_factors(chain, along(flat).reshape(*paths.shape[:-1], chain.series, -1))


def logits(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """``log p(z_t = k | x) + log p(x_t | x_1 ... x_{t-1})``, ``(state, row)``."""
    smoothed, density = jax.vmap(chain_passes.smoothed)(chain_factors(model, values, structure))
    return _by_row(smoothed + density[..., None])


def _by_row(by_step: Array) -> Array:
    """``(series, step, state)`` as ``(state, row)``."""
    return by_step.reshape(-1, by_step.shape[-1]).T


def log_density(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """Log-density of all series, their states summed out."""
    factors = chain_factors(model, values, structure)
    return jax.vmap(chain_passes.forward)(factors)[1].sum()


def pair_probabilities(
    model: Model, values: Mapping[str, Array], structure: Structure
) -> tuple[Array, Array]:
    """Probabilities of a step's states and those before, and the log-density of all series.

    The first are ``(series, step, states before, state)``.
    """
    factors = chain_factors(model, values, structure)
    pairs, density = jax.vmap(chain_passes.pair_probabilities)(factors)
    return pairs, density.sum()


def best_paths(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """The most probable paths ``(series, step + 1)``, the state before the first step first."""
    factors = chain_factors(model, values, structure)
    return jax.vmap(chain_passes.best_path)(factors)[0]


def best_pairs(
    model: Model, values: Mapping[str, Array], structure: Structure
) -> tuple[Array, Array]:
    """The pairs of the most probable paths, as probabilities of 0 and 1; their log-density."""
    chain, factors = chain_of(structure), chain_factors(model, values, structure)
    paths, density = jax.vmap(chain_passes.best_path)(factors)
    pairs = jax.vmap(lambda path: chain_passes.path_pairs(path, chain.states, chain.order))(paths)
    return pairs, density.sum()


def best_states(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """The states of the most probable paths, ``(row,)``."""
    return best_paths(model, values, structure)[:, 1:].reshape(-1)


def log_density_along(
    model: Model, values: Mapping[str, Array], structure: Structure, assignment: Array
) -> Array:
    """Log-density of all series and of their states ``(row,)``, without that of global sites.

    The state before the first step is summed out.
    """
    chain = chain_of(structure)
    paths = jnp.asarray(assignment).reshape(chain.series, -1)
    if not chain.starts:
        return step_densities(model, values, structure, paths)[1].sum()
    factors = chain_factors(model, values, structure)
    along = jax.vmap(lambda f, path: chain_passes.path_density(f, path, chain.order))
    return along(factors, paths).sum()


def of_states(
    model: Model, values: Mapping[str, Array], structure: Structure
) -> tuple[dict[str, Any], Array]:
    """Emissions ``(state, step, ...)``, and the states' log-probabilities without data.

    The second are ``(state, row)``.
    """
    chain = chain_of(structure)

    def in_state(state: Array) -> dict[str, Any]:
        trace = model.trace_at(values, structure, assignment=state)
        return {n: unwrap(weigh(trace[n])[0]) for n in structure.emissions}

    emissions = jax.vmap(in_state)(jnp.arange(chain.states, dtype=jnp.int32))
    factors = _factors(model, values, structure, emitted=False)
    marginal = jax.vmap(chain_passes.smoothed)(factors)[0]
    return {n: promote_batch_shape(e) for n, e in emissions.items()}, _by_row(marginal)


def draw_assignments(
    model: Model, key: Array, values: Mapping[str, Array], structure: Structure
) -> Array:
    """Assignments ``(row,)``, or the states of a chain, drawn given the data."""
    if structure.chain is not None:
        keys = random.split(key, structure.chain.series)
        factors = chain_factors(model, values, structure)
        return jax.vmap(chain_passes.draw_path)(keys, factors).reshape(-1)
    if structure.coupled:
        return pair_passes.draw_given(key, model, values, structure)
    logits = model.logits(values, structure)
    return random.categorical(key, logits, axis=0).astype(jnp.int32)


def hidden_steps(model: Model, structure: Structure) -> np.ndarray:
    """Which steps a mask of the program hides, states and all, ``(row,)``."""
    return np.asarray(_hidden_steps(model, structure=structure))


@quickly(static=("structure",))
def _hidden_steps(model: Model, *, structure: Structure) -> Array:
    chain = chain_of(structure)
    trace = model.trace_at(structure.initial(random.key(0)), structure)
    there = jnp.zeros((chain.series, chain.steps))
    for own in chain.sites:
        scale = weigh(trace[own.name])[1]
        once = jnp.ones(()) if scale is None else (scale != 0).astype(float)
        there = there + by_series(once, trace[own.name], chain)
    return (there == 0).reshape(-1)


def observed_by_row(model: Model, structure: Structure) -> dict[str, Array]:
    """What the emissions of every step observe, ``(row, number)`` each."""
    return _observed_by_row(model, structure=structure)


@quickly(static=("structure",))
def _observed_by_row(model: Model, *, structure: Structure) -> dict[str, Array]:
    chain = chain_of(structure)
    values = structure.initial(random.key(0))
    trace = model.trace_at(values, structure)
    by_row = {}
    for name in structure.emissions:
        site, value = trace[name], jnp.asarray(trace[name]["value"])
        events = site["fn"].event_dim
        places = {frame.name: frame.dim - events for frame in site["cond_indep_stack"]}
        own = [value.ndim + places[plate] for plate, _ in chain.plates]
        value = jnp.moveaxis(value, own, range(len(own)))
        by_row[name] = value.reshape(chain.series * chain.steps, -1)
    return by_row


# ---- what a step depends on ----------------------------------------------------------------------


def with_order(model: Model, structure: Structure) -> Structure:
    """The structure with the order of its chain: how many states before a step depends on.

    The order is tested on random paths, whose densities must be the sums over pairs (or triples) of
    states.

    Raises:
        UnsupportedError: steps that depend on more, and what to write in their place.
    """
    chain = chain_of(structure)
    highest = 1 if chain.starts else HIGHEST_ORDER
    for order in range(1, highest + 1):
        tried = replace(structure, chain=replace(chain, order=order))
        if tried.chain is None or tried.chain.runs > MOST_RUNS:
            break
        if _sums_up(model, tried):
            _refuse_whole_paths(model, tried)
            return tried
    series = " of its own series" if chain.plates else ""
    raise UnsupportedError(
        f"a step of the chain '{chain.site}' depends on more than its state and the "
        f"{highest if highest > 1 else ''} state{'s' if highest > 1 else ''} before{series}: "
        "write the chain over the combinations of as many states as it depends on"
    )


def _random_path(chain: Chain) -> Array:
    entries = (chain.series, chain.steps + bool(chain.starts))
    return random.randint(random.key(6), entries, 0, chain.states, dtype=jnp.int32)


def _sums_up(model: Model, structure: Structure) -> bool:
    values, path = structure.initial(random.key(5)), _random_path(chain_of(structure))
    by_pairs, by_path = _compared(model, values, path, structure=structure)
    return np.allclose(by_pairs, by_path, rtol=1e-4, atol=1e-4, equal_nan=True)


@quickly(static=("structure",))
def _compared(
    model: Model, values: Mapping[str, Array], paths: Array, *, structure: Structure
) -> tuple[Array, Array]:
    """Densities along paths by pairs of states and as they are, ``(series, step)``."""
    order, factors = chain_of(structure).order, chain_factors(model, values, structure)
    along = jax.vmap(lambda f, path: chain_passes.path_density(f, path, order))(factors, paths)
    as_they_are = step_densities(model, values, structure, paths)[1]
    return along, jnp.maximum(as_they_are, LOWEST)


def _refuse_whole_paths(model: Model, structure: Structure) -> None:
    """Refuse sites that depend on the whole path, or on the state before the first step."""
    values, chain = structure.initial(random.key(5)), chain_of(structure)
    path = _random_path(chain)
    here, emitted = _beside(model, values, path, structure=structure)
    if chain.starts:
        other = path.at[:, 0].set((path[:, 0] + 1) % chain.states)
        moved, again = _beside(model, values, other, structure=structure)
        sites = (n for n in here if not np.array_equal(here[n], moved[n], equal_nan=True))
        if not np.allclose(emitted[:, 0], again[:, 0], rtol=1e-6, equal_nan=True) or any(sites):
            named = " and ".join(f"'{own.name}'" for own in chain.starts)
            raise UnsupportedError(
                f"the first step depends on site {named} other than through its state: draw the "
                "first state within the scan"
            )
    inside = dict(structure.row_deterministics)
    there = _beside(model, values, 0 * path, structure=structure)[0]
    for name in here:
        if name not in inside and not np.array_equal(here[name], there[name], equal_nan=True):
            raise UnsupportedError(
                f"site '{name}' depends on the whole path of '{chain.site}': give it a value for "
                "each step, or leave it out"
            )


@quickly(static=("structure",))
def _beside(
    model: Model, values: Mapping[str, Array], path: Array, *, structure: Structure
) -> tuple[dict[str, Array], Array]:
    """Deterministic sites along paths, and the emissions' part of the densities."""
    trace = model.trace_at(values, structure, assignment=path)
    states, total = step_densities(model, values, structure, path)
    derived = {n: jnp.asarray(s["value"]) for n, s in trace.items() if s["type"] == "deterministic"}
    return derived, total - states


def alternating(chain: Chain) -> Array:
    """Paths along which every step has each state after each, ``(state, ..., state, step)``.

    Of order one they alternate between two states, of order two among three. The state before the
    first step, where the program draws it, is one more at the front.
    """
    period = chain.order + 1
    states = jnp.arange(chain.states, dtype=jnp.int32)
    axes = jnp.stack(jnp.meshgrid(*[states] * period, indexing="ij"), axis=-1)
    return axes[..., jnp.arange(-1 if chain.starts else 0, chain.steps) % period]


def pair_factors(chain: Chain, along: Array) -> Array:
    """ψ ``(series, step, states before, state)`` from the log-densities along alternating paths.

    Args:
        chain: the chain.
        along: ``(state, ..., state, series, step)``, of the paths of :func:`alternating`.
    """
    period, steps = chain.order + 1, jnp.arange(chain.steps)
    shape = (-1, chain.states, chain.series, chain.steps)
    factors = jnp.zeros((chain.states**chain.order, *shape[1:]), along.dtype)
    for phase in range(period):
        # where the states before a step at this phase of the period are, the oldest first
        order = [(phase + 1 + back) % period for back in range(period)]
        turned = along.transpose(*order, period, period + 1).reshape(shape)
        factors = jnp.where(steps % period == phase, turned, factors)
    factors = jnp.maximum(factors.transpose(2, 3, 0, 1), LOWEST)
    if not chain.starts:  # nothing is before the first step: let it be in one state
        factors = factors.at[:, 0, 1:].set(LOWEST)
    return factors


def as_pairs(chain: Chain, weights: Array) -> Array:
    """Probabilities ``(series, step, before, state)`` of independent steps ``(state, row)``."""
    count = chain.states
    start = jnp.full(count, 1 / count) if chain.starts else jnp.zeros(count).at[0].set(1)
    by_series = weights.reshape(count, chain.series, chain.steps)
    return jax.vmap(lambda own: chain_passes.independent_pairs(own, chain.order, start), in_axes=1)(
        by_series
    )
