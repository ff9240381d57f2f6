"""States of sequences under a hidden Markov model, and draws: paths, data, missing cells."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.hmm.by_row import by_row
from ppl_models.distributions.hmm.state_emissions import StateEmissions


class StatePaths:
    """What is asked of a hidden Markov model beside its density; of states, of one component.

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

    # ---- draws ---------------------------------------------------------------------------------

    def sample(self: Any, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + event``; steps after an end are NaN (or -1)."""
        return self.sample_with_path(key, sample_shape)[0]

    def sample_with_path(
        self: Any, key: Array, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Array, Array]:
        """Draws and their states ``sample_shape + batch + (position,)``, -1 after an end."""
        start_key, step_key, emit_key = random.split(key, 3)
        shape = (*sample_shape, *self.batch_shape)
        path = self.markov_chain.sample((start_key, step_key), shape, self.positions)
        # components that share their emission have it each for itself
        emissions = StateEmissions(self.components().emission, self.states)
        drawn = emissions.sample(emit_key, path, () if self._is_alone else self.batch_shape)
        path = jnp.where(path == self.states, -1, path)
        return jnp.moveaxis(drawn, 0, len(shape)), jnp.moveaxis(path, 0, -1)

    def complete(self: Any, key: Array, value: Array) -> Array:
        """Draw missing cells given all others: a path by backward sampling, then the emission."""
        path_key, cell_key = random.split(key)
        rows = value.reshape(-1, *self.event_shape)
        steps = jnp.swapaxes(rows, 0, 1)
        filled = self.emissions_along(self.paths(rows, path_key)).complete(cell_key, steps)
        within = jnp.arange(self.positions)[:, None] < self.sequences.lengths(rows)
        within = within.reshape(*within.shape, *[1] * self.emission.event_dim)
        return jnp.swapaxes(jnp.where(within, filled, steps), 0, 1).reshape(value.shape)

    def emissions_along(self: Any, paths: Array) -> ExponentialFamily:
        """The emission of the state of every step of ``paths (position, sequence)``."""
        emissions = StateEmissions(self.components().emission, self.states)
        return emissions.at(paths, () if self._is_alone else paths.shape[1:])

    def paths(self: Any, rows: Array, key: Array | None = None) -> Array:
        """Paths ``(position, sequence)`` of rows, under one component or for each its own.

        Args:
            rows: ``(sequence, position, ...)``.
            key: of draws from the posterior; None: the most probable paths.
        """
        flat = self.components()
        if self._is_alone:
            centre = flat.centre(rows)
            prepared = flat.prepare(rows, missing=True, centre=centre)
            trellis = flat._trellis(prepared, missing=True, centre=centre)
            path = trellis.best_path()[1] if key is None else trellis.sample_path(key)[1]
            return self.markov_chain.last_state(path[0])
        more = () if key is None else (random.split(key, len(rows)),)
        return by_row(flat, rows, lambda m, row, *key: m.paths(row, *key).T, *more).T


def _rows(model: Any, value: Array) -> Array:
    """Sequences on one axis."""
    return value.reshape(-1, *model.event_shape)
