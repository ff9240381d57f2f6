"""What the states of a hidden chain emit, and the priors of it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ..distributions import (
    BernoulliVector,
    BlockDirichlet,
    CategoricalVector,
    DiagonalGaussian,
    FullGaussian,
    InverseGammaScale,
    PoissonVector,
    SphericalGaussian,
    TiedGaussian,
)
from ..errors import InputError
from ._scale import DataScale

COVARIANCES = ("spherical", "diagonal", "tied", "full")
EMISSIONS = ("gaussian", "poisson", "bernoulli", "categorical")
FEATURE = {"event_dims": ["feature"]}
MATRIX = {"event_dims": ["feature", "feature_other"]}
ORDERS = (1, 2)


def check_order(order: int) -> None:
    """Refuse an order of a hidden chain other than one and two.

    Raises:
        InputError: another order.
    """
    if order not in ORDERS:
        raise InputError(
            f"order is {order!r}: a hidden state depends on the last one or the last two, so "
            "choose 1 or 2"
        )


def steps(name: str, prior: Any, states: int, *, pairs: bool = False) -> Any:
    """Sample what follows each state, or each pair of states: ``([state,] state, next)``.

    Args:
        name: of the site.
        prior: of what follows a state: a Dirichlet, one for all states or one a state.
        states: number of states.
        pairs: of pairs of states.
    """
    if not pairs:
        with numpyro.plate("state", states):
            return numpyro.sample(name, prior, infer={"event_dims": ["next_state"]})
    rows = prior.expand((states,)).to_event(1)
    with numpyro.plate("previous_state", states):
        return numpyro.sample(name, rows, infer={"event_dims": ["state", "next_state"]})


def emitted(
    emission: str,
    states: int,
    features: int,
    scale: DataScale,
    *,
    covariance: str,
    levels: tuple[int, ...] | None,
) -> Any:
    """Sample the emission's parameters, one set a state, and give the emission ``(state,)``.

    Args:
        emission: "gaussian", "poisson", "bernoulli" or "categorical".
        states: number of states.
        features: number of features of a step.
        scale: location and spread of the data.
        covariance: of Gaussians.
        levels: of categories, one number a feature.

    Raises:
        InputError: unknown emission or covariance, or categories without levels.
    """
    if emission not in EMISSIONS:
        raise InputError(f"emission is {emission!r}: choose one of {', '.join(EMISSIONS)}")
    if emission == "gaussian":
        return _gaussian(states, features, scale, covariance)
    if emission == "categorical":
        if levels is None or len(levels) != features:
            raise InputError(
                f"levels is {levels}: give the number of levels of each of the {features} "
                "features, as levels=(3, 2)"
            )
        block = BlockDirichlet(jnp.ones(sum(levels)), blocks=tuple(levels))
        with numpyro.plate("state", states):
            probs = numpyro.sample("probs", block, infer={"event_dims": ["level"]})
        return CategoricalVector(probs, tuple(levels))
    prior: Any = dist.Beta(1.0, 1.0)
    if emission == "poisson":
        mean = jnp.clip(jnp.asarray(scale.mean) + jnp.zeros(features), 0.1)
        prior = dist.Gamma(1.5, 1.5 / mean)
    name = "rate" if emission == "poisson" else "probs"
    with numpyro.plate("state", states):
        expanded = prior.expand((features,)).to_event(1)
        value = numpyro.sample(name, expanded, infer=FEATURE)
    return PoissonVector(value) if emission == "poisson" else BernoulliVector(value)


def _gaussian(states: int, features: int, scale: DataScale, covariance: str) -> Any:
    if covariance not in COVARIANCES:
        raise InputError(f"covariance is {covariance!r}: choose one of {', '.join(COVARIANCES)}")
    share = states ** (-2 / features)
    mean = jnp.asarray(scale.mean) + jnp.zeros(features)
    deviation = jnp.asarray(scale.deviation) + jnp.zeros(features)
    variance = deviation**2 * share
    matrix = dist.InverseWishart(features + 2.0, scale_matrix=jnp.diag(variance))
    if covariance == "tied":
        tied = numpyro.sample("covariance", matrix, infer=MATRIX)
    with numpyro.plate("state", states):
        loc = numpyro.sample("loc", dist.Normal(mean, 2 * deviation).to_event(1), infer=FEATURE)
        if covariance == "spherical":
            spread = numpyro.sample("scale", InverseGammaScale(2.0, variance.mean()))
        elif covariance == "diagonal":
            spread = numpyro.sample(
                "scale", InverseGammaScale(2.0, variance).to_event(1), infer=FEATURE
            )
        elif covariance == "full":
            full = numpyro.sample("covariance", matrix, infer=MATRIX)
    if covariance == "tied":
        return TiedGaussian(loc, tied)
    if covariance == "full":
        return FullGaussian(loc, full)
    return (SphericalGaussian if covariance == "spherical" else DiagonalGaussian)(loc, spread)
