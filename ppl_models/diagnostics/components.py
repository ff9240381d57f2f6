"""Superfluous components: idle hidden states, and pairs that the data do not distinguish.

Two components i and j are compared by the evidence Σ_n r_ni log(p_i / p_j) + r_nj log(p_j / p_i),
summed over rows (or steps) n weighted by responsibility. Merging two nearly equal components costs
about a quarter of it in log-likelihood; where this is less than the number of parameters of a
component, Akaike's criterion prefers the merged model. Akaike (1974), A new look at the statistical
model identification.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.diagnostics.findings import Finding
from ppl_models.inference.capabilities import FAMILIES
from ppl_models.posterior.density.rows import logits_in_blocks
from ppl_models.posterior.labels.allocations import Allocations, choose_rows
from ppl_models.posterior.result.names import component_names
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.result.schema import cluster_weights
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameters.axes import CHAIN
from ppl_models.program.trace.structure import Structure

DRAWS = 12  #: number of draws used, evenly spaced
ROWS = 20_000  #: rows that clusters are compared on
IDLE_SHARE = 0.01  #: a state with less than this fraction of (steps / states) is idle
ALIKE = 0.5  #: components are alike whose evidence is fewer nats per row than this
FLOOR = -1e3  #: log-density in place of -inf
MOST_DRAWS = 0.5  #: a finding is reported if it holds in more than this fraction of the draws


@dataclass(frozen=True)
class Comparison:
    """Components of some draws.

    Args:
        counts: expected rows or steps, ``(draw, component)``.
        evidence: between components by their emissions, ``(draw, component, component)``.
        following: likewise by their transitions; None for clusters.
        freedom: number of parameters of one component's emission.
    """

    counts: np.ndarray
    evidence: np.ndarray
    following: np.ndarray | None
    freedom: float


def component_findings(allocations: Allocations) -> list[Finding]:
    """Idle hidden states, and pairs of components that the data do not distinguish."""
    if allocations.components < 2 or allocations.facts.assignments == "hard":
        return []
    if not allocations.restorable:
        return []
    with allocations.fitted.scope():
        compared = _compare(allocations) if _comparable(allocations) else None
    if compared is None:
        return []
    states = bool(allocations.facts.states and not allocations.facts.clusters)
    names = component_names(allocations.tree, compared.counts.shape[1])
    idle = _idle(compared, names) if states else []
    return idle + _equal(compared, "state" if states else "cluster", names)


def _comparable(allocations: Allocations) -> bool:
    """Whether components are families whose parameters, and so their number, are known."""
    return allocations.fitted.problem.offers(FAMILIES)


def _compare(allocations: Allocations) -> Comparison | None:
    fitted = allocations.fitted
    numbers = [
        np.size(getattr(family, parameter))
        for family in fitted.problem.families.values()
        for parameter in family.parameter_dims
        if parameter not in family.shared_parameters
        and not (fitted.problem.states and parameter in CHAIN)
    ]
    freedom = sum(numbers) / allocations.components
    samples = np.unique(np.linspace(0, fitted.samples - 1, DRAWS).astype(int))
    values = {n: jnp.asarray(v[samples]) for n, v in fitted.values.items()}
    if fitted.problem.states:
        states = _states(fitted.model, values, structure=fitted.structure)
        counts, evidence, following = (None if v is None else np.asarray(v) for v in states)
        assert counts is not None and evidence is not None
        return Comparison(counts, evidence, following, freedom)
    if not fitted.facts.clusters:
        return None
    return _clusters(allocations, fitted, samples, freedom)


def _clusters(
    allocations: Allocations, fitted: RestoredFit, samples: np.ndarray, freedom: float
) -> Comparison | None:
    weights = cluster_weights(allocations.tree)
    if weights is None:
        return None
    weights_by_draw = weights.values.reshape(-1, allocations.components)[samples]
    problem, rows = fitted.problem, fitted.structure.rows
    if rows > ROWS and not problem.row_order:
        problem = type(problem)(*fitted.rows(choose_rows(rows, ROWS, 0)))
    counts = np.zeros(weights_by_draw.shape)
    cross = np.zeros((*weights_by_draw.shape, weights_by_draw.shape[1]))
    weights = problem.model.weights
    for draws, here_rows, row_logits in logits_in_blocks(problem, fitted.at(samples)):
        joint = np.maximum(row_logits.logits.astype(float), FLOOR)
        top = joint.max(1, keepdims=True)
        here = np.exp(joint - top)
        here /= here.sum(1, keepdims=True)
        if weights is not None:
            here *= np.asarray(weights)[here_rows]
        density = joint - np.log(np.maximum(weights_by_draw[draws], 1e-300))[..., None]
        counts[draws] += here.sum(-1)
        cross[draws] += here @ np.maximum(density, FLOOR).swapaxes(1, 2)
    scale = float(fitted.model.row_count(fitted.structure)) / float(
        problem.model.row_count(problem.structure)
    )
    return Comparison(scale * counts, scale * np.asarray(_both_ways(cross)), None, freedom)


def _both_ways(cross: Any) -> Any:
    """Evidence ``(..., i, j)`` from the sums over rows n of r_ni log p_nj."""
    own = cross.diagonal(0, -2, -1)[..., None]
    return (own - cross) + (own - cross).swapaxes(-1, -2)


@partial(jax.jit, static_argnames=("structure",))
def _states(
    model: Model, values: Globals, *, structure: Structure
) -> tuple[Array, Array, Array | None]:
    """Counts, evidence by emissions and by transitions of the states of every draw."""

    def one(held: Globals) -> tuple[Array, Array, Array | None]:
        families: dict[str, Any] = dict(model.pieces(held, structure).families())
        name, family = next((n, f) for n, f in families.items() if f.states)
        value = jnp.asarray(model.data[name])
        probabilities = family.state_probabilities(value)  # (sequence, position, state)
        emitted, seen = family.step_log_densities(value)
        by_state = jnp.moveaxis(probabilities, -1, 0).swapaxes(1, 2)  # (state, position, sequence)
        emitted = jnp.where(seen, jnp.maximum(emitted, FLOOR), 0)
        count = by_state.shape[0]
        cross = (by_state * seen).reshape(count, -1) @ emitted.reshape(count, -1).T
        counts = by_state.sum((1, 2))
        table = family.components().transition[0]
        following = _following(table, counts) if table.ndim == 2 else None
        return counts, _both_ways(cross), following

    return jax.lax.map(one, values)


def _following(table: Array, counts: Array) -> Array:
    """Evidence by the transitions of two states, where these two count as one next state."""
    states = len(counts)

    def pair(i: Any, j: Any) -> Array:
        both = table.at[:, i].add(table[:, j]).at[:, j].set(0)
        one, other = (jnp.where(i == j, table, both)[k] for k in (i, j))
        ratio = jnp.log(jnp.maximum(one, 1e-30)) - jnp.log(jnp.maximum(other, 1e-30))
        return counts[i] * (one * ratio).sum() - counts[j] * (other * ratio).sum()

    index = jnp.arange(states)
    return jax.vmap(lambda i: jax.vmap(lambda j: pair(i, j))(index))(index)


def _idle(compared: Comparison, names: list[str]) -> list[Finding]:
    counts = compared.counts
    least = np.maximum(1.0, IDLE_SHARE * counts.sum(1, keepdims=True) / counts.shape[1])
    idle = int(((np.sort(counts, 1) < least).mean(0) > MOST_DRAWS).sum())
    states = counts.shape[1]
    if not idle:
        return [Finding("ok", f"All {states} hidden states are in use.")]
    named = np.flatnonzero((counts < least).mean(0) > MOST_DRAWS)
    which = f" ({', '.join(names[k] for k in named)})" if len(named) == idle else ""
    verb = "is" if idle == 1 else "are"
    return [
        Finding(
            "warning",
            f"{idle} of {states} hidden states{which} {verb} idle: almost no steps are expected "
            f"in {'it' if idle == 1 else 'them'}.",
            f"Fit with {states - idle} states.",
        )
    ]


def _equal(compared: Comparison, noun: str, names: list[str]) -> list[Finding]:
    counts, evidence = compared.counts, compared.evidence
    both = counts[:, :, None] + counts[:, None, :]
    used = (counts >= 1)[:, :, None] & (counts >= 1)[:, None, :]
    alike = used & (evidence < ALIKE * both) & (evidence / 4 < compared.freedom + 1)
    emitted = _pairs(alike)
    if compared.following is None:
        equal, durations = emitted, []
    else:
        cost = compared.following / 4
        same = alike & (cost < counts.shape[1])
        equal = _pairs(same)
        durations = [pair for pair in emitted if pair not in equal]
    findings = []
    if equal:
        findings.append(
            Finding(
                "warning",
                f"The data do not distinguish {_named(equal, noun, names)}: merging them would "
                "hardly change the likelihood.",
                f"Fit with fewer {noun}s.",
            )
        )
    if durations:
        findings.append(
            Finding(
                "warning",
                f"The emissions of {_named(durations, noun, names)} do not differ; only their "
                "transitions do.",
                f"Fit with fewer {noun}s, unless they are meant to model the time that a state "
                "lasts.",
            )
        )
    return findings


def _pairs(alike: np.ndarray) -> list[tuple[int, int]]:
    fractions = np.triu(alike.mean(0), 1)
    return [(int(i), int(j)) for i, j in zip(*np.where(fractions > MOST_DRAWS), strict=True)]


def _named(pairs: list[tuple[int, int]], noun: str, names: list[str]) -> str:
    """Pairs of components in words: states 0 and 2, clusters 1 and 3 and clusters 1 and 4."""
    return ", ".join(f"{noun}s {names[i]} and {names[j]}" for i, j in pairs)
