"""The trellis of all state paths of sequences, under every component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jax import Array, random

from ppl_models.distributions.hmm import backward_sampling, forward_backward, viterbi
from ppl_models.distributions.hmm.forward_backward import PathFactors, PathPosterior
from ppl_models.distributions.hmm.steps import Filtered


class Trellis(NamedTuple):
    """All state paths of sequences, what each costs, and the passes over them.

    Args:
        factors: of the probability of a path, a leading axis of components.
        log_densities: of the steps, ``(component, path state, position, sequence)``.
        lengths: steps of every sequence, ``(sequence,)``.
    """

    factors: PathFactors
    log_densities: Array
    lengths: Array

    def log_likelihood(self) -> Array:
        """Log-likelihoods ``(component, sequence)``, all paths summed."""
        return jax.vmap(forward_backward.log_likelihood, (0, 0, None))(*self)

    def forward(self) -> tuple[Array, Filtered]:
        """Log-likelihoods ``(component, sequence)``, and what the backward pass needs."""
        return jax.vmap(forward_backward.forward, (0, 0, None))(*self)

    def best_path(self) -> tuple[Array, Array]:
        """Log joint densities ``(component, sequence)`` of the best paths, and these."""
        return jax.vmap(viterbi.best_path, (0, 0, None))(*self)

    def sample_path(self, key: Array) -> tuple[Array, Array]:
        """Log-likelihoods ``(component, sequence)``, and paths drawn from their posterior."""
        keys = random.split(key, len(self.log_densities))
        return jax.vmap(backward_sampling.sample_path, (0, 0, 0, None))(keys, *self)


def posterior(factors: PathFactors, passed: Mapping[str, Any], weights: Array) -> PathPosterior:
    """The posterior of paths under ``weights (component, sequence)``.

    Args:
        factors: of the probability of a path.
        passed: sequences, their "lengths", and what a pass left: "filtered" of the forward pass,
            or "pairs", one path for each sequence, which then has the whole weight.
        weights: of the sequences.
    """
    over, lengths = (0, 0, 0, None), passed["lengths"]
    if "filtered" in passed:
        back = jax.vmap(forward_backward.backward, over)
        return back(factors, passed["filtered"], weights, lengths)
    return jax.vmap(viterbi.as_posterior, over)(factors, passed["pairs"], weights, lengths)
