"""Sequences of numbers emitted along a hidden Markov chain of states."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from ..data.kinds import Series
from ..distributions import HiddenMarkov
from ..errors import InputError
from ._scale import data_scale
from ._states import Priors, emitted

STARTS = ("free", "stationary")


def hidden_markov(
    x: Annotated[Any, Series] = None,
    *,
    states: int,
    emission: str = "gaussian",
    covariance: str = "diagonal",
    levels: tuple[int, ...] | None = None,
    start: str = "free",
    concentration: float = 1.0,
    stickiness: float = 0.0,
    initial_concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    ones: float = 1.0,
    zeros: float = 1.0,
    level_concentration: float = 1.0,
    sequences: int | None = None,
    positions: int = 100,
    features: int | None = None,
) -> Any:
    """Sequences of numbers emitted along a hidden Markov chain.

        free: π₀ ~ Dirichlet(initial_concentration);  stationary: π₀ = π₀ A
        A_s ~ Dirichlet(concentration + stickiness at s)          what follows state s
        z_1 ~ Categorical(π₀),  z_t+1 | z_t = s ~ Categorical(A_s)
        gaussian:    x_t | z_t = s ~ Normal(μ_s, σ_s² or Σ_s)     priors as gaussian_mixture's
        poisson:     x_td ~ Poisson(λ_sd),        λ_sd ~ Gamma(a, a / rate_mean_d)
        bernoulli:   x_td ~ Bernoulli(p_sd),      p_sd ~ Beta(ones, zeros)
        categorical: x_td ~ Categorical(p_sd),    p_sd ~ Dirichlet(level_concentration)

    The path z is summed out. Rabiner (1989); Zucchini, MacDonald and Langrock (2016).

    Args:
        x: ``(sequence, position, feature)``; gaps, and what follows a sequence's end, are NaN.
        states: number of states.
        emission: "gaussian", "poisson", "bernoulli" or "categorical".
        covariance: of Gaussians: "spherical", "diagonal", "tied" or "full".
        levels: of categories (codes from 0), the number of each feature's.
        start: "free", or "stationary" for the chain's own long-run distribution.
        concentration: of the Dirichlet priors of the transitions.
        stickiness: what a state's own row has more at itself.
        initial_concentration: of the Dirichlet prior of the first state.
        loc_mean: prior mean of Gaussian locations (default: the data's mean).
        loc_scale: prior standard deviation of them (default: twice the data's).
        scale_concentration: of the inverse gamma prior of Gaussian variances.
        scale_rate: rate of it (default: the data's variance / K^(2/D), of K states).
        degrees_of_freedom: of the inverse Wishart prior of covariances (default: D + 2).
        scale_matrix: of it (default: diagonal, the data's variances / K^(2/D)).
        rate_concentration: a, the shape of the gamma prior of Poisson rates.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        ones: of the beta prior of the bits' probabilities.
        zeros: likewise.
        level_concentration: of the Dirichlet prior of the categories' probabilities.
        sequences: number of sequences where there are no data.
        positions: steps of a generated sequence.
        features: number of features where there are no data.

    Returns:
        The sequences.

    Raises:
        InputError: unknown emission, covariance or start; categories without levels; too few
            degrees of freedom.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(hidden_markov, random.key(0))
    >>> program(states=2, sequences=5, positions=9, features=3).shape
    (5, 9, 3)
    """
    if start not in STARTS:
        raise InputError(f"start is {start!r}: choose one of {', '.join(STARTS)}")
    if x is not None:
        sequences, positions, features = jnp.shape(x)
    features = features or 1
    scale = data_scale(None if x is None else _steps(x))
    rows = concentration + stickiness * jnp.eye(states)
    with numpyro.plate("state", states):
        transition = numpyro.sample(
            "transition", dist.Dirichlet(rows), infer={"event_dims": ["next_state"]}
        )
    if start == "free":
        initial = numpyro.sample(
            "initial",
            dist.Dirichlet(initial_concentration + jnp.zeros(states)),
            infer={"event_dims": ["state"]},
        )
    else:
        with numpyro.plate("state", states):  # names the axis
            initial = numpyro.deterministic("initial", stationary(transition))
    priors = Priors(
        loc_mean,
        loc_scale,
        scale_concentration,
        scale_rate,
        degrees_of_freedom,
        scale_matrix,
        rate_concentration,
        rate_mean,
        ones,
        zeros,
        level_concentration,
    )
    step = emitted(emission, states, features, scale, priors, covariance=covariance, levels=levels)
    with numpyro.plate("sequence", sequences):
        chain = HiddenMarkov(initial, transition, step, positions=positions)
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position", "feature"]})


def _steps(x: Any) -> Any:
    """All steps of all sequences, ``(step, feature)``, left as they are kept."""
    array = x if isinstance(x, jax.core.Tracer) else np.asarray(x)
    return array.reshape(-1, array.shape[-1])


def stationary(transition: Array) -> Array:
    """The distribution that a transition matrix ``(state, state)`` leaves as it is.

    >>> [round(float(p), 4) for p in stationary(jnp.array([[0.5, 0.5], [0.25, 0.75]]))]
    [0.3333, 0.6667]
    """
    states = transition.shape[-1]
    # π (I - A + 1) = 1 (Zucchini, MacDonald and Langrock 2016, §1.3)
    system = jnp.eye(states) - transition + 1
    return jnp.linalg.solve(system.T, jnp.ones(states))
