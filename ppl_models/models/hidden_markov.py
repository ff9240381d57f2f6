"""Sequences of numbers emitted along a hidden Markov chain of states."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.data.kinds import Series
from ppl_models.distributions import HiddenMarkov
from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._states import Priors, check_order, emitted, steps

STARTS = ("free", "stationary")


def hidden_markov(
    x: Annotated[Any, Series] = None,
    *,
    states: int,
    order: int = 1,
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
    scale_rate_mean: Any = None,
    resolution: Any = None,
    degrees_of_freedom: float | None = None,
    scale_matrix: Any = None,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    ones: float | None = None,
    zeros: float | None = None,
    level_concentration: float | None = None,
    sequences: int | None = None,
    positions: int = 100,
    features: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Sequences of numbers emitted along a hidden Markov chain.

        free: π₀ ~ Dirichlet(initial_concentration);  stationary: π₀ = π₀ A
        A_s ~ Dirichlet(concentration + stickiness at s)          what follows state s
        z_1 ~ Categorical(π₀),  z_t+1 | z_t = s ~ Categorical(A_s)
        gaussian:    x_t | z_t = s ~ Normal(μ_s, σ_s² or Σ_s)     priors as gaussian_mixture's
        poisson:     x_td ~ Poisson(λ_sd),        λ_sd ~ Gamma(a, a / rate_mean_d)
        bernoulli:   x_td ~ Bernoulli(p_sd),      p_sd ~ Beta(ones, zeros)
        categorical: x_td ~ Categorical(p_sd),    p_sd ~ Dirichlet(level_concentration)

    With ``order=2`` the next state depends on the last two, and the second one on the first:

        A_rs ~ Dirichlet(concentration + stickiness at s)         what follows r and then s
        B_s ~ Dirichlet(concentration + stickiness at s)          what follows z_1 = s
        z_2 | z_1 = s ~ Categorical(B_s),  z_t+1 | z_t-1 = r, z_t = s ~ Categorical(A_rs)
        stationary: π₀ and B are those of the pairs' own long-run distribution

    A is the site ``transition`` (previous_state, state, next_state), B ``initial_transition``.

    The path z is summed out. By default modes of bits and categories have no probability of 0 or 1,
    so that no new sequence is impossible; with concentrations of 1 the priors are flat.
    Rabiner (1989); Zucchini, MacDonald and Langrock (2016), of higher order §10.3.

    Args:
        x: ``(sequence, position, feature)``; gaps, and what follows a sequence's end, are NaN.
        states: number of states.
        order: 1, or 2 where the next state depends on the last two.
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
        scale_rate: rate of the inverse gamma, held (default: a site, as gaussian_mixture's).
        scale_rate_mean: prior mean of that site (default: the data's variance / K^(2/D)).
        resolution: the unit that the data are rounded to (default: the least distance between
            two values of a feature).
        degrees_of_freedom: of the inverse Wishart prior of covariances (default: D + 2).
        scale_matrix: of the inverse Wishart, held (default: its diagonal is a site, as
            gaussian_mixture's).
        rate_concentration: a, the shape of the gamma prior of Poisson rates.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        ones: of the beta prior of the bits' probabilities (default: 1 + 1 / (2K) of K
            states).
        zeros: the second of the beta prior (default: 1 + 1 / (2K)).
        level_concentration: of the Dirichlet prior of the categories' probabilities (default:
            1 + 1 / (KM) for a feature of M levels).
        sequences: number of sequences where there are no data.
        positions: steps of a generated sequence.
        features: number of features where there are no data.
        row_weights: how often each sequence counts, ``(sequence,)``, for the priors that look at
            the data; ``fit(..., weights=)`` gives them.

    Returns:
        The sequences.

    Raises:
        InputError: unknown emission, covariance or start; categories without levels; too few
            degrees of freedom; an order other than 1 and 2.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(hidden_markov, random.key(0))
    >>> program(states=2, sequences=5, positions=9, features=3).shape
    (5, 9, 3)
    """
    if start not in STARTS:
        raise InputError(f"start is {start!r}: choose one of {', '.join(STARTS)}")
    check_order(order)
    if x is not None:
        sequences, positions, features = jnp.shape(x)
    features = features or 1
    # steps are weighed as their sequences are
    by_step = None if row_weights is None else jnp.repeat(row_weights, positions)
    scale = data_scale(None if x is None else _steps(x), by_step)
    rows = dist.Dirichlet(concentration + stickiness * jnp.eye(states))
    transition = steps("transition", rows, states, pairs=order == 2)
    second = None
    if start == "free":
        initial = numpyro.sample(
            "initial",
            dist.Dirichlet(initial_concentration + jnp.zeros(states)),
            infer={"event_dims": ["state"]},
        )
        second = steps("initial_transition", rows, states) if order == 2 else None
    elif order == 1:
        with numpyro.plate("state", states):  # names the axis
            initial = numpyro.deterministic("initial", stationary(transition))
    else:
        first, then = stationary_pairs(transition)
        with numpyro.plate("state", states):
            initial = numpyro.deterministic("initial", first)
        with numpyro.plate("state", states, dim=-2), numpyro.plate("next_state", states, dim=-1):
            second = numpyro.deterministic("initial_transition", then)
    unit = resolution
    if unit is None and emission == "gaussian":
        unit = unit_of_data(None if x is None else _steps(x), by_step)
    priors = Priors(
        loc_mean,
        loc_scale,
        scale_concentration,
        scale_rate,
        scale_rate_mean,
        unit,
        row_count(sequences, row_weights) * positions,
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
        chain = HiddenMarkov(
            initial, transition, step, positions=positions, initial_transition=second
        )
        return numpyro.sample("x", chain, obs=x, infer={"event_dims": ["position", "feature"]})


def _steps(x: Any) -> Any:
    """All steps of all sequences, ``(step, feature)``, left as they are kept."""
    array = x if isinstance(x, jax.core.Tracer) else np.asarray(x)
    return array.reshape(-1, array.shape[-1])


def stationary(transition: Array) -> Array:
    """The stationary distribution of a transition matrix ``(state, state)``.

    >>> [round(float(p), 4) for p in stationary(jnp.array([[0.5, 0.5], [0.25, 0.75]]))]
    [0.3333, 0.6667]
    """
    states = transition.shape[-1]
    # π (I - A + 1) = 1 (Zucchini, MacDonald and Langrock 2016, §1.3)
    system = jnp.eye(states) - transition + 1
    return jnp.linalg.solve(system.T, jnp.ones(states))


def stationary_pairs(transition: Array) -> tuple[Array, Array]:
    """The stationary distribution of pairs of states, of a table ``(state, state, state)``.

    Returns:
        How often each state is the first of a pair, and what follows it: ``(state,)`` and
        ``(state, state)``.

    >>> first, then = stationary_pairs(jnp.array([[[0.5, 0.5], [0.25, 0.75]]] * 2))
    >>> [round(float(p), 4) for p in first], [round(float(p), 4) for p in then[1]]
    ([0.3333, 0.6667], [0.25, 0.75])
    """
    states = transition.shape[-1]
    # from (r, s) to (s', t) where s' is s
    step = transition[:, :, None, :] * jnp.eye(states)[None, :, :, None]
    pairs = stationary(step.reshape(states**2, -1)).reshape(states, states)
    first = pairs.sum(-1)
    seen = (first > 0)[:, None]
    then = jnp.where(seen, pairs / jnp.where(seen, first[:, None], 1), 1 / states)
    return first, then
