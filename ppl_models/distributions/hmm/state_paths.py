"""What a family with hidden states says of the states of sequences, and of what follows them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.hmm.state_emissions import StateEmissions


class StatePaths:
    """What is asked of a hidden Markov model of one component beside its density.

    Sequences are ``(sequence, position, ...)``; after the end of its sequence a state is -1.

    >>> from ppl_models.distributions import HiddenMarkov, UnivariateGaussian
    >>> states = UnivariateGaussian(jnp.array([0.0, 5.0]), jnp.ones(2))
    >>> model = HiddenMarkov(jnp.full(2, 0.5), jnp.full((2, 2), 0.5), states, positions=2)
    >>> model.state_probabilities(jnp.array([[0.0, 5.0]]))[0, :, 0].round(2)
    Array([1., 0.], dtype=float32)
    """

    def within(self: Any, value: Array) -> Array:
        """Steps up to the end of their sequence, ``(sequence, position)``."""
        lengths = self.sequences.lengths(_rows(self, value))
        return jnp.arange(self.positions) < lengths[:, None]

    def state_probabilities(self: Any, value: Array) -> Array:
        """P(state | whole sequence) of every step, ``(sequence, position, state)`` (smoothing)."""
        rows, flat = _rows(self, value), self.components()
        centre = flat.centre(rows)
        prepared = flat.prepare(rows, missing=True, centre=centre)
        filtered = flat.infer_latents(prepared, missing=True, centre=centre)[1]
        paths = flat.path_posterior(filtered, jnp.ones((1, len(rows)), self.initial.dtype))
        states = self.markov_chain.last_states(paths.states, 1)[0]
        return jnp.moveaxis(states, 0, -1).swapaxes(0, 1)

    def most_likely_states(self: Any, value: Array) -> Array:
        """The most probable path of every sequence, ``(sequence, position)`` (Viterbi)."""
        rows = _rows(self, value)
        return jnp.where(self.within(rows), self.paths(rows).T, -1)

    def sample_states(self: Any, key: Array, value: Array) -> Array:
        """A draw of every sequence's path given its steps, ``(sequence, position)``."""
        rows = _rows(self, value)
        return jnp.where(self.within(rows), self.paths(rows, key).T, -1)

    def continue_states(self: Any, key: Array, path: Array, steps: int) -> tuple[Array, Array]:
        """Draw what follows paths: data ``(sequence, steps, ...)`` and states.

        Args:
            key: random key.
            path: ``(sequence, position)``, see :meth:`sample_states`.
            steps: how many.
        """
        flat = self.components()
        start_key, step_key, emit_key = random.split(key, 3)
        chain = flat.markov_chain.continued(path)
        states = chain.sample((start_key, step_key), path.shape[:1], steps + 1)
        drawn = StateEmissions(flat.emission, self.states).sample(emit_key, states)
        states = jnp.where(states == self.states, -1, states)
        return jnp.moveaxis(drawn, 0, 1)[:, 1:], states.T[:, 1:]

    def step_log_densities(self: Any, value: Array) -> tuple[Array, Array]:
        """Log-densities of steps by state ``(state, position, sequence)``; which were observed."""
        rows, flat = _rows(self, value), self.components()
        missing, centre = bool(self.emission.event_dim), flat.centre(rows)
        prepared = flat.prepare(rows, missing=missing, centre=centre)
        emissions = StateEmissions(flat.emission, self.states)
        seen = prepared["seen"]
        densities = emissions.log_densities(prepared["steps"], seen, missing=missing, centre=centre)
        return densities[0], seen


def _rows(model: Any, value: Array) -> Array:
    """Sequences on one axis."""
    return value.reshape(-1, *model.event_shape)
