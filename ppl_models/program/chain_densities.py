"""The densities of a program whose rows are the steps of a chain, see :mod:`.chains`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions.batch_util import promote_batch_shape

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.scaled import times, weigh
from ppl_models.errors import UnsupportedError
from ppl_models.program import chains
from ppl_models.program.compiling import QUICK
from ppl_models.program.structure import Structure

if TYPE_CHECKING:
    from ppl_models.program.model import Model


def step_densities(
    model: Model, values: Mapping[str, Array], structure: Structure, path: Array
) -> tuple[Array, Array]:
    """Log-densities of states, and of states and emissions, along a path, ``(step,)``.

    That of the state before the first step is part of the first step's.

    Args:
        model: the program with its data.
        values: of the global sites.
        structure: what was read off the program.
        path: states ``(step,)``, or with one before the first ``(step + 1,)``.
    """
    trace, chain = model.trace_at(values, structure, assignment=path), structure.chain
    assert chain is not None
    steps, total = chain.steps, jnp.zeros(chain.steps)
    if chain.start is not None:
        fn, scale = weigh(trace[chain.start])
        total = total.at[0].add(times(scale, fn.log_prob(trace[chain.start]["value"])))
    states = total
    for name in structure.row_sites:
        fn, scale = weigh(trace[name])
        if name in structure.emissions:
            density = observed_log_prob(fn, model.data[name])
        else:
            density = fn.log_prob(trace[name]["value"])
        density = jnp.broadcast_to(density, (steps, *jnp.shape(density)[1:]))
        total += times(scale, density).reshape(steps, -1).sum(1)
        if name not in structure.emissions:
            states = total
    return states, total


def chain_factors(model: Model, values: Mapping[str, Array], structure: Structure) -> Array:
    """The factors of a chain, ``(step, state before, state)``; arguments as above."""
    chain = structure.chain
    assert chain is not None
    along = jax.vmap(jax.vmap(lambda path: step_densities(model, values, structure, path)[1]))
    return chains.pair_factors(chain, along(chains.alternating(chain)))


def of_states(
    model: Model, values: Mapping[str, Array], structure: Structure
) -> tuple[dict[str, Any], Array]:
    """Emissions ``(state, step)``, and the states' log-probabilities without data, as shaped."""
    chain = structure.chain
    assert chain is not None

    def in_state(state: Array) -> dict[str, Any]:
        trace = model.trace_at(values, structure, assignment=state)
        return {n: unwrap(weigh(trace[n])[0]) for n in structure.emissions}

    emissions = jax.vmap(in_state)(jnp.arange(chain.states, dtype=jnp.int32))
    along = jax.vmap(jax.vmap(lambda path: step_densities(model, values, structure, path)[0]))
    factors = chains.pair_factors(chain, along(chains.alternating(chain)))
    return (
        {n: promote_batch_shape(emission) for n, emission in emissions.items()},
        chains.forward(factors)[0].T,
    )


def draw_assignments(
    model: Model, key: Array, values: Mapping[str, Array], structure: Structure
) -> Array:
    """Assignments ``(row,)``, or the states of a chain, drawn given the data."""
    if structure.chain is not None:
        return chains.draw_path(key, chain_factors(model, values, structure))
    logits = model.logits(values, structure)
    return random.categorical(key, logits, axis=0).astype(jnp.int32)


def refuse_other_chains(model: Model, structure: Structure) -> None:
    """Refuse a chain whose steps depend on more than the state and the one before.

    It is found out by a path at random, whose density must be what the pairs of states make of it.

    Raises:
        UnsupportedError: what to write in its place.
    """
    values, chain = structure.initial(random.key(5)), structure.chain
    assert chain is not None
    entries = chain.steps + (chain.start is not None)
    path = random.randint(random.key(6), (entries,), 0, chain.states, dtype=jnp.int32)
    found = _along(model, values, path, structure=structure)
    by_pairs, by_path, here, there, _ = found
    if not np.allclose(by_pairs, by_path, rtol=1e-4, atol=1e-4, equal_nan=True):
        raise UnsupportedError(
            f"a step of the chain '{chain.site}' depends on more than its state and the state "
            "before: write the chain over pairs of states, K² of them"
        )
    if chain.start is not None:
        other = path.at[0].set((path[0] + 1) % chain.states)
        moved = _along(model, values, other, structure=structure)
        emitted, again = (v[4][0] for v in (found, moved))
        sites = (n for n in here if not np.array_equal(here[n], moved[2][n], equal_nan=True))
        if not np.allclose(emitted, again, rtol=1e-6, equal_nan=True) or any(sites):
            raise UnsupportedError(
                f"the first step depends on site '{chain.start}' by more than its state: draw the "
                "first state within the scan"
            )
    inside = dict(structure.row_deterministics)
    for name in here:
        if name not in inside and not np.array_equal(here[name], there[name], equal_nan=True):
            raise UnsupportedError(
                f"site '{name}' depends on the whole path of '{chain.site}': give it a value a "
                "step, or leave it out"
            )


@partial(jax.jit, static_argnames=("structure",), compiler_options=QUICK)
def _along(
    model: Model, values: Mapping[str, Array], path: Array, *, structure: Structure
) -> tuple[Array, Array, dict[str, Array], dict[str, Array], Array]:
    """Densities along a path by pairs and as they are; deterministic sites there and elsewhere.

    And the emissions' part of the densities, ``(step,)``.
    """
    factors = chain_factors(model, values, structure)
    states, as_they_are = step_densities(model, values, structure, path)
    here, there = (
        {n: jnp.asarray(s["value"]) for n, s in trace.items() if s["type"] == "deterministic"}
        for trace in (model.trace_at(values, structure, assignment=p) for p in (path, 0 * path))
    )
    along = chains.path_density(factors, path)
    emitted = as_they_are - states
    return along, jnp.maximum(as_they_are, chains.LOWEST), here, there, emitted
