"""Sequences of tokens written by a recurrent network, up to ``<end>``."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro

from ppl_models.data.kinds import Tokens
from ppl_models.distributions import RecurrentChain
from ppl_models.models._recurrent import recurrent_weights


def recurrent_chain(
    tokens: Annotated[Any, Tokens] = None,
    *,
    vocabulary: int,
    cell: str = "gru",
    embedding: int = 16,
    hidden: int = 64,
    prior_scale: float = 1.0,
    bias_scale: float = 1.0,
    sequences: int | None = None,
    positions: int = 100,
) -> Any:
    """Sequences of tokens written by a recurrent network, up to ``<end>``.

        embedding ~ Normal(0, prior_scale)          what a token means to the network
        input, recurrent, output ~ Normal(0, prior_scale / √inputs)
        bias, output_bias, start ~ Normal(0, bias_scale)
        h_1 = tanh(start),  h_t+1 = cell(embedding[x_t] · input + bias, h_t · recurrent)
        x_t | h_t ~ Categorical(softmax(h_t · output + output_bias))  until <end>

    The chain may remember every token that it has read. Over all finite sequences of at least one
    token the probabilities add up to one. Priors of weights shrink with the number of their
    inputs, so that a larger network is no wilder a priori (Neal 1996).

    The weights are sites of their own, not flax's: their axes have names, one look-up stands for
    embedding and input weights, and a step makes one matrix product.

    Mikolov et al. (2010), Recurrent neural network based language model; cells of Cho et al. (2014)
    and Hochreiter and Schmidhuber (1997).

    Args:
        tokens: ``(sequence, position)`` codes 0 … V-1, then V (``<end>``) to the end of the row;
            None generates ``sequences`` sequences.
        vocabulary: V, the number of tokens without ``<end>``.
        cell: "gru" or "lstm".
        embedding: numbers that stand for a token.
        hidden: units of the network.
        prior_scale: of the normal priors of weights.
        bias_scale: of the normal priors of biases; those of an LSTM's forget gate are about one.
        sequences: number of sequences where there are no data.
        positions: longest row that is generated, ``<end>`` included.

    Returns:
        The rows of codes.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(recurrent_chain, random.key(0))
    >>> program(vocabulary=3, embedding=2, hidden=2, sequences=5, positions=9).shape
    (5, 9)
    """
    if tokens is not None:
        sequences, positions = jnp.shape(tokens)
    weights = recurrent_weights(vocabulary, cell, embedding, hidden, prior_scale, bias_scale)
    with numpyro.plate("sequence", sequences):
        chain = RecurrentChain(*weights, cell=cell, positions=positions)
        return numpyro.sample("tokens", chain, obs=tokens, infer={"event_dims": ["position"]})
