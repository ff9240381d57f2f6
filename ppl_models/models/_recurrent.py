"""The weights of a recurrent network, as sites with priors."""

from __future__ import annotations

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.distributions.sequences.recurrent_cells import CELLS
from ppl_models.errors import InputError


def recurrent_weights(
    vocabulary: int,
    cell: str,
    embedding: int,
    hidden: int,
    scale: float,
    bias_scale: float,
    *,
    ends: bool = True,
) -> tuple[Array, ...]:
    """Sample all weights of ``RecurrentChain``, in its order.

    Args:
        vocabulary: V.
        cell: "gru" or "lstm".
        embedding: numbers that stand for a token.
        hidden: units.
        scale: of the priors of weights.
        bias_scale: of the priors of biases.
        ends: whether ``<end>`` is among what may follow.

    Raises:
        InputError: an unknown cell, or sizes below one.
    """
    if cell not in CELLS:
        raise InputError(f"cell is {cell!r}: choose one of {', '.join(CELLS)}")
    if min(embedding, hidden) < 1:
        raise InputError(f"embedding ({embedding}) and hidden ({hidden}) must be at least 1")
    gates = CELLS[cell].gates
    following = ("next_token", vocabulary + 1) if ends else ("token", vocabulary)
    # an LSTM that forgets at first cannot learn what lies far back (Jozefowicz et al. 2015)
    centre = jnp.zeros((gates, hidden)).at[1].set(1.0 if cell == "lstm" else 0.0)

    def normal(name: str, inputs: int, axes: dict[str, int], loc: Array | float = 0.0) -> Array:
        width = scale / jnp.sqrt(float(inputs)) if inputs else bias_scale
        prior = dist.Normal(loc, width).expand(tuple(axes.values()))
        return numpyro.sample(name, prior.to_event(len(axes)), infer={"event_dims": list(axes)})

    # (a bias, which has no inputs, has a scale of its own)
    inner = {"gate": gates, "unit": hidden}
    return (
        normal("embedding", 1, {"token": vocabulary, "embedding_axis": embedding}),
        normal("start", 0, {"unit": hidden}),
        normal("input", embedding, {"embedding_axis": embedding, **inner}),
        normal("recurrent", hidden, {"from_unit": hidden, **inner}),
        normal("bias", 0, inner, centre),
        normal("output", hidden, {"unit": hidden, following[0]: following[1]}),
        normal("output_bias", 0, dict([following])),
    )
