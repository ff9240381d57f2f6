"""The emissions of hidden states, and their priors."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.distributions import (
    BernoulliVector,
    BlockDirichlet,
    CategoricalVector,
    DiagonalGaussian,
    FullGaussian,
    PoissonVector,
    SphericalGaussian,
    TiedGaussian,
)
from ppl_models.errors import InputError
from ppl_models.models._pseudo_counts import pseudo_count, pseudo_counts
from ppl_models.models._scale import DataScale
from ppl_models.models._scatter import COVARIANCES, Scatter

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
            f"order is {order!r}: a chain of hidden states is of first or second order: choose 1 "
            "or 2"
        )


def steps(name: str, prior: Any, states: int, *, pairs: bool = False) -> Any:
    """Sample the transition probabilities of each state, or pair: ``([state,] state, next)``.

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


class Priors(NamedTuple):
    """Of the emissions' parameters, as in the mixtures of the same emission; None: from data."""

    loc_mean: Any
    loc_scale: Any
    scale_concentration: float
    scale_rate: Any
    scale_rate_mean: Any
    resolution: Any
    steps: int
    degrees_of_freedom: float | None
    scale_matrix: Any
    rate_concentration: float
    rate_mean: Any
    ones: Any
    zeros: Any
    level_concentration: Any


def emitted(
    emission: str,
    states: int,
    features: int,
    scale: DataScale,
    priors: Priors,
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
        priors: of the parameters.
        covariance: of Gaussians.
        levels: of categories, one number a feature.

    Raises:
        InputError: unknown emission or covariance, categories without levels, or too few degrees
            of freedom.
    """
    if emission not in EMISSIONS:
        raise InputError(f"emission is {emission!r}: choose one of {', '.join(EMISSIONS)}")
    if emission == "gaussian":
        return _gaussian(states, features, scale, priors, covariance)
    if emission == "categorical":
        if levels is None or len(levels) != features:
            raise InputError(
                f"levels is {levels}: give the number of levels of every feature ({features} "
                "here), as levels=(3,) for one and (3, 2) for two"
            )
        shares = pseudo_counts(priors.level_concentration, states, tuple(levels))
        block = BlockDirichlet(shares, blocks=tuple(levels))
        with numpyro.plate("state", states):
            probs = numpyro.sample("probs", block, infer={"event_dims": ["level"]})
        return CategoricalVector(probs, tuple(levels))
    ones, zeros = (pseudo_count(counts, states, 2) for counts in (priors.ones, priors.zeros))
    prior: Any = dist.Beta(ones, zeros)
    if emission == "poisson":
        mean: Any = priors.rate_mean
        mean = jnp.clip(jnp.asarray(scale.mean), 0.1) if mean is None else jnp.asarray(mean)
        shape = priors.rate_concentration
        prior = dist.Gamma(shape, shape / (mean + jnp.zeros(features)))
    name = "rate" if emission == "poisson" else "probs"
    with numpyro.plate("state", states):
        expanded = prior.expand((features,)).to_event(1)
        value = numpyro.sample(name, expanded, infer=FEATURE)
    return PoissonVector(value) if emission == "poisson" else BernoulliVector(value)


def _gaussian(states: int, features: int, scale: DataScale, priors: Priors, covariance: str) -> Any:
    if covariance not in COVARIANCES:
        raise InputError(f"covariance is {covariance!r}: choose one of {', '.join(COVARIANCES)}")
    each = jnp.zeros(features)
    mean = scale.mean if priors.loc_mean is None else jnp.asarray(priors.loc_mean)
    spread = 2 * scale.deviation if priors.loc_scale is None else jnp.asarray(priors.loc_scale)
    scatter = Scatter(
        scale,
        features,
        states ** (-2 / features),
        priors.resolution,
        priors.steps / (1 if covariance == "tied" else states),
        priors.scale_concentration,
        priors.scale_rate,
        priors.scale_rate_mean,
        priors.degrees_of_freedom,
        priors.scale_matrix,
    ).prior(covariance)
    if covariance == "tied":
        tied = numpyro.sample("covariance", scatter, infer=MATRIX)
    with numpyro.plate("state", states):
        where = dist.Normal(mean + each, spread + each).to_event(1)
        loc = numpyro.sample("loc", where, infer=FEATURE)
        if covariance == "spherical":
            deviation = numpyro.sample("scale", scatter)
        elif covariance == "diagonal":
            deviation = numpyro.sample("scale", scatter, infer=FEATURE)
        elif covariance == "full":
            full = numpyro.sample("covariance", scatter, infer=MATRIX)
    if covariance == "tied":
        return TiedGaussian(loc, tied)
    if covariance == "full":
        return FullGaussian(loc, full)
    return (SphericalGaussian if covariance == "spherical" else DiagonalGaussian)(loc, deviation)
