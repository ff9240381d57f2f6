"""Forward and backward passes over sequences, with the statistics of the states' emission.

Sequences of like lengths are padded to a power of two and passed over side by side, so that few
shapes are compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ppl_models.data.missing import has_missing
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.hmm.forward_backward import (
    PathFactors,
    backward,
    forward,
    transitions,
)
from ppl_models.distributions.hmm.viterbi import best_path
from ppl_models.program.runtime.precision import scope

LEAST = 16  #: steps that a sequence is padded to


@dataclass
class PathExpectations:
    """What a pass over all sequences finds.

    Args:
        log_likelihood: of every sequence, ``(sequence,)``.
        posteriors: of the states at every step, ``(step of all sequences, state)``.
        start: expected first states, ``(state,)``.
        transitions: expected steps between states, ``(state, state)``.
        counts: expected steps in every state, ``(state,)``.
        statistics: of the emission of every state, by name.
    """

    log_likelihood: np.ndarray
    posteriors: np.ndarray
    start: np.ndarray
    transitions: np.ndarray
    counts: np.ndarray
    statistics: dict[str, np.ndarray]


class Sequences:
    """Sequences one after another, padded in groups of like length.

    Args:
        value: steps of all sequences, ``(step, feature)``, NaN where missing.
        lengths: steps of every sequence.
        centre: a point amid the data, which statistics are taken about.
    """

    def __init__(self, value: np.ndarray, lengths: np.ndarray, centre: np.ndarray):
        self.value, self.lengths = value, lengths
        self.missing = has_missing(value)
        self.firsts = np.cumsum(lengths) - lengths
        widths = np.maximum(LEAST, 2 ** np.ceil(np.log2(lengths)).astype(int))
        with scope("float64"):
            self.centre = jnp.asarray(centre)
            self.groups = [
                self._group(np.flatnonzero(widths == width), int(width))
                for width in np.unique(widths)
            ]

    def _group(self, members: np.ndarray, width: int) -> dict[str, Any]:
        padded = 1 << (len(members) - 1).bit_length()
        lengths = np.zeros(padded, int)
        lengths[: len(members)] = self.lengths[members]
        firsts = np.zeros(padded, int)
        firsts[: len(members)] = self.firsts[members]
        steps = np.arange(width)[:, None]
        seen = (steps < lengths).reshape(-1)
        place = np.where(steps < lengths, firsts + steps, 0).reshape(-1)
        return {
            "members": members,
            "place": place,
            "seen": seen,
            "value": jnp.asarray(self.value[place]),
            "present": jnp.asarray(seen),
            "lengths": jnp.asarray(lengths),
        }

    def expectations(
        self, family: Callable[[], ExponentialFamily], start: np.ndarray, moves: np.ndarray
    ) -> PathExpectations:
        """The E-step: log-likelihoods, posteriors of the states, and expected statistics."""
        likelihood = np.empty(len(self.lengths))
        posteriors = np.empty((len(self.value), len(start)))
        total = None
        with scope("float64"):
            arguments = family(), jnp.asarray(start), jnp.asarray(moves)
            for group in self.groups:
                log_likelihood, states, *sums = _pass(
                    *arguments,
                    group["value"],
                    group["present"],
                    group["lengths"],
                    self.centre,
                    missing=self.missing,
                )
                members, seen = group["members"], group["seen"]
                likelihood[members] = np.asarray(log_likelihood)[: len(members)]
                posteriors[group["place"][seen]] = np.asarray(states).T[seen]
                added = jax.tree.map(np.asarray, sums)
                total = added if total is None else jax.tree.map(np.add, total, added)
        assert total is not None
        return PathExpectations(likelihood, posteriors, *total)

    def best_paths(
        self, family: Callable[[], ExponentialFamily], start: np.ndarray, moves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Log joint densities ``(sequence,)`` and states ``(step,)`` of the best paths."""
        density = np.empty(len(self.lengths))
        states = np.empty(len(self.value), int)
        with scope("float64"):
            arguments = family(), jnp.asarray(start), jnp.asarray(moves)
            for group in self.groups:
                log_probability, path = _best(
                    *arguments,
                    group["value"],
                    group["present"],
                    group["lengths"],
                    self.centre,
                    missing=self.missing,
                )
                members, seen = group["members"], group["seen"]
                density[members] = np.asarray(log_probability)[: len(members)]
                states[group["place"][seen]] = np.asarray(path).reshape(-1)[seen]
        return density, states


def _log_densities(
    family: ExponentialFamily, value: Array, present: Array, centre: Array, missing: bool
) -> tuple[Any, Array]:
    prepared = family.prepare(value, missing=missing, centre=centre)
    logits = family.logits(prepared, missing=missing, centre=centre)
    never = family.impossible(prepared, missing=missing, centre=centre)
    logits = logits if never is None else jnp.where(never, -jnp.inf, logits)
    return prepared, jnp.where(present, logits, 0.0)


@partial(jax.jit, static_argnames=("missing",))
def _pass(
    family: ExponentialFamily,
    start: Array,
    moves: Array,
    value: Array,
    present: Array,
    lengths: Array,
    centre: Array,
    *,
    missing: bool,
) -> tuple[Any, ...]:
    prepared, logits = _log_densities(family, value, present, centre, missing)
    factors = PathFactors(start, moves, jnp.ones_like(start))
    by_step = logits.reshape(len(start), -1, len(lengths))
    total, filtered = forward(factors, by_step, lengths)
    weights = (lengths > 0).astype(logits.dtype)
    posterior = backward(factors, filtered, weights, lengths)
    states = posterior.states.reshape(len(start), -1) * present
    first = posterior.states[:, 0].sum(-1)
    statistics = family.prepared_statistics(states, prepared, missing=missing, centre=centre)
    return total, states, first, transitions(posterior), states.sum(-1), statistics


@partial(jax.jit, static_argnames=("missing",))
def _best(
    family: ExponentialFamily,
    start: Array,
    moves: Array,
    value: Array,
    present: Array,
    lengths: Array,
    centre: Array,
    *,
    missing: bool,
) -> tuple[Array, Array]:
    _, logits = _log_densities(family, value, present, centre, missing)
    factors = PathFactors(start, moves, jnp.ones_like(start))
    return best_path(factors, logits.reshape(len(start), -1, len(lengths)), lengths)
