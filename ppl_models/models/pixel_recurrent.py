"""Pictures of bits written pixel by pixel by a recurrent network."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro

from ppl_models.data.kinds import FEATURE_AXIS, Bits
from ppl_models.distributions import RecurrentChain
from ppl_models.models._recurrent import recurrent_weights


def pixel_recurrent(
    x: Annotated[Any, Bits, FEATURE_AXIS] = None,
    *,
    cell: str = "gru",
    embedding: int = 4,
    hidden: int = 64,
    prior_scale: float = 1.0,
    bias_scale: float = 1.0,
    rows: int | None = None,
    features: int | None = None,
) -> Any:
    """Pictures of bits written pixel by pixel by a recurrent network.

        embedding ~ Normal(0, prior_scale)
        input, recurrent, output ~ Normal(0, prior_scale / √inputs)
        bias, output_bias, start ~ Normal(0, bias_scale)
        h_1 = tanh(start),  h_d+1 = cell(embedding[x_d] · input + bias, h_d · recurrent)
        x_d | x_<d ~ Categorical(softmax(h_d · output + output_bias))

    As ``recurrent_chain``, but for two tokens and without an end. The network must count pixels to
    know where in the picture it is: ``nade``, which has weights for every place, learns faster.

    Cells of Cho et al. (2014) and Hochreiter and Schmidhuber (1997); of pictures van den Oord,
    Kalchbrenner and Kavukcuoglu (2016), Pixel recurrent neural networks.

    Args:
        x: ``(row, feature)`` of zeros and ones; None generates ``rows`` rows.
        cell: "gru" or "lstm".
        embedding: numbers that stand for a colour.
        hidden: units of the network.
        prior_scale: of the normal priors of weights.
        bias_scale: of the normal priors of biases.
        rows: number of rows where there are no data.
        features: number of features where there are no data.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(pixel_recurrent, random.key(0))(hidden=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)
    assert features is not None
    weights = recurrent_weights(2, cell, embedding, hidden, prior_scale, bias_scale, ends=False)
    with numpyro.plate("row", rows):
        chain = RecurrentChain(*weights, cell=cell, positions=features, ends=False)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["feature"]})
