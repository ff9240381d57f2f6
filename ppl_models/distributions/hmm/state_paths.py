"""What a hidden Markov model says of the states of given sequences, and of what follows them."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.hmm.hidden_markov import HiddenMarkov
from ppl_models.distributions.hmm.state_emissions import StateEmissions


def within(model: HiddenMarkov, value: Array) -> Array:
    """Steps up to the end of their sequence, ``(sequence, position)``."""
    lengths = model.sequences.lengths(_rows(model, value))
    return jnp.arange(model.positions) < lengths[:, None]


def state_probabilities(model: HiddenMarkov, value: Array) -> Array:
    """P(state | whole sequence) of every step, ``(sequence, position, state)`` (smoothing).

    >>> from ppl_models.distributions import UnivariateGaussian
    >>> states = UnivariateGaussian(jnp.array([0.0, 5.0]), jnp.ones(2))
    >>> model = HiddenMarkov(jnp.full(2, 0.5), jnp.full((2, 2), 0.5), states, positions=2)
    >>> state_probabilities(model, jnp.array([[0.0, 5.0]]))[0, :, 0].round(2)
    Array([1., 0.], dtype=float32)
    """
    rows, flat = _rows(model, value), model.components()
    centre = flat.centre(rows)
    prepared = flat.prepare(rows, missing=True, centre=centre)
    looked = flat.infer_latents(prepared, missing=True, centre=centre)[1]
    paths = flat.path_posterior(looked, jnp.ones((1, len(rows)), model.initial.dtype))
    states = model.markov_chain.last_states(paths.states, 1)[0]
    return jnp.moveaxis(states, 0, -1).swapaxes(0, 1)


def viterbi_path(model: HiddenMarkov, value: Array) -> Array:
    """The most probable path of every sequence, ``(sequence, position)``; -1 after its end."""
    rows = _rows(model, value)
    return jnp.where(within(model, rows), model.paths(rows).T, -1)


def sample_path(model: HiddenMarkov, key: Array, value: Array) -> Array:
    """A draw of every sequence's path given its steps; -1 after the end of the sequence.

    Returns:
        ``(sequence, position)``.
    """
    rows = _rows(model, value)
    return jnp.where(within(model, rows), model.paths(rows, key).T, -1)


def continue_path(model: HiddenMarkov, key: Array, path: Array, steps: int) -> tuple[Array, Array]:
    """Draw what follows paths: ``(sequence, steps, ...)`` and its states, -1 after an end.

    Args:
        model: of one component.
        key: random key.
        path: ``(sequence, position)``, see :func:`sample_path`.
        steps: how many.
    """
    flat = model.components()
    start_key, step_key, emit_key = random.split(key, 3)
    chain = flat.markov_chain.continued(path)
    states = chain.sample((start_key, step_key), path.shape[:1], steps + 1)
    drawn = StateEmissions(flat.emission, model.states).sample(emit_key, states)
    states = jnp.where(states == model.states, -1, states)
    return jnp.moveaxis(drawn, 0, 1)[:, 1:], states.T[:, 1:]


def _rows(model: HiddenMarkov, value: Array) -> Array:
    """Sequences on one axis."""
    return value.reshape(-1, *model.event_shape)
