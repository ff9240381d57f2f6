"""Pictures of bits in which every pixel is a logistic regression on those read before."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Bits
from ppl_models.distributions import LogisticScan


def pixel_logistic(
    x: Annotated[Any, Bits, FEATURE_AXIS] = None,
    *,
    prior_scale: float = 1.0,
    bias_scale: float = 2.0,
    rows: int | None = None,
    features: int | None = None,
) -> Any:
    """Pictures of bits in which every pixel is a logistic regression on those read before.

        coupling_dj ~ Normal(0, prior_scale)        what pixel j says about a later pixel d
        bias_d ~ Normal(0, bias_scale)
        x_d | x_<d ~ Bernoulli(σ(bias_d + Σ_j<d coupling_dj (x_j - 1/2)))

    Pixels are read row by row, so that the upper half of a picture is a prefix. Frey (1998), also
    called a fully visible sigmoid belief network.

    Args:
        x: ``(row, feature)`` of zeros and ones; None generates ``rows`` rows.
        prior_scale: of the couplings.
        bias_scale: of the biases.
        rows: number of rows where there are no data.
        features: number of features where there are no data.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(pixel_logistic, random.key(0))(rows=5, features=3).shape
    (5, 3)
    """
    if x is not None:
        rows, features = jnp.shape(x)
    assert features is not None
    later, earlier = np.tril_indices(features, -1)
    # one site of all pairs, of which none is idle, and the matrix that they make for the reader
    coupling = numpyro.sample(
        "coupling",
        dist.Normal(0.0, prior_scale).expand((len(later),)).to_event(1),
        infer={"event_dims": ["pair"]},
    )
    bias = numpyro.sample(
        "bias",
        dist.Normal(0.0, bias_scale).expand((features,)).to_event(1),
        infer={"event_dims": ["feature"]},
    )
    weights = jnp.zeros((features, features), coupling.dtype).at[later, earlier].set(coupling)
    with numpyro.plate("row", rows):
        scan = LogisticScan(weights, bias)
        return numpyro.sample("x", scan, obs=x, infer={"event_dims": ["feature"]})
