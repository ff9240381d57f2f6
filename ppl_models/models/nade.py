"""Pictures of bits written pixel by pixel by a network with one hidden layer."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.data.kinds import FEATURE_AXIS, Bits
from ppl_models.distributions import Nade


def nade(
    x: Annotated[Any, Bits, FEATURE_AXIS] = None,
    *,
    hidden: int = 64,
    prior_scale: float = 1.0,
    bias_scale: float = 2.0,
    rows: int | None = None,
    features: int | None = None,
) -> Any:
    """Pictures of bits written pixel by pixel by a network with one hidden layer.

        inward_ju ~ Normal(0, prior_scale)                  what pixel j says to hidden unit u
        outward_du ~ Normal(0, prior_scale),  bias, outward_bias ~ Normal(0, bias_scale)
        h_d = σ(bias + Σ_j<d inward_j (x_j - 1/2))
        x_d | x_<d ~ Bernoulli(σ(outward_bias_d + outward_d · h_d))

    Pixels are read row by row, so that the upper half of a picture is a prefix. Larochelle and
    Murray (2011).

    Args:
        x: ``(row, feature)`` of zeros and ones; None generates ``rows`` rows.
        hidden: units of the hidden layer.
        prior_scale: of the weights.
        bias_scale: of the biases.
        rows: number of rows where there are no data.
        features: number of features where there are no data.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(nade, random.key(0))(hidden=2, rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)

    def normal(name: str, scale: float, axes: dict[str, Any]) -> Array:
        prior = dist.Normal(0.0, scale).expand(tuple(axes.values())).to_event(len(axes))
        return numpyro.sample(name, prior, infer={"event_dims": list(axes)})

    inward = normal("inward", prior_scale, {"feature": features, "unit": hidden})
    bias = normal("bias", bias_scale, {"unit": hidden})
    outward = normal("outward", prior_scale, {"feature": features, "unit": hidden})
    outward_bias = normal("outward_bias", bias_scale, {"feature": features})
    with numpyro.plate("row", rows):
        scan = Nade(inward, bias, outward, outward_bias)
        return numpyro.sample("x", scan, obs=x, infer={"event_dims": ["feature"]})
