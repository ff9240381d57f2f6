"""Rows of measurements over time along the curves of hidden classes: a growth mixture."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.distributions.contraction import matmul
from ppl_models.errors import InputError
from ppl_models.models._weights import mixture_weights


def growth_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    times: Any = None,
    order: int = 1,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    level_mean: float = 0.0,
    level_scale: float = 10.0,
    growth_scale: float = 5.0,
    spread_scale: float = 2.0,
    noise_scale: float = 2.0,
    rows: int | None = None,
) -> Any:
    """Measurements at several times, about the curve of the row's class and a line of its own.

        π ~ Dirichlet(concentration)                            how common the classes are
        β_k0 ~ Normal(level_mean, level_scale)                  where class k begins
        β_kj ~ Normal(0, growth_scale), j = 1 ... order         how it grows: t, t², ...
        τ_0, τ_1 ~ HalfNormal(spread_scale)                     how rows of a class differ in that
        σ ~ HalfNormal(noise_scale)                             noise of a measurement
        z_n ~ Categorical(π)
        x_nt | z_n = k ~ Normal(Σ_j β_kj t^j + a_n + b_n t, σ),  a_n ~ Normal(0, τ_0),
                                                                 b_n ~ Normal(0, τ_1)

    The rows' own lines are integrated out: x_n is multivariate normal. Priors are in the units of
    the data and of the times. Muthén and Shedden (1999); Verbeke and Lesaffre (1996).

    Args:
        x: ``(row, time)``; gaps are NaN; None generates ``rows`` rows at ``times``.
        clusters: K.
        times: when the columns were measured (default: 0, 1, 2, ...).
        order: of the polynomials, 1 or more.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        level_mean: prior mean of the curves at time 0.
        level_scale: prior deviation of the curves at time 0.
        growth_scale: prior deviation of the other coefficients.
        spread_scale: scale of the prior of the rows' deviations.
        noise_scale: scale of the prior of the noise.
        rows: number of rows where there are no data.

    Returns:
        The rows.

    Raises:
        InputError: an order below 1, other times than columns, or neither data nor times.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(growth_mixture, random.key(0))
    >>> program(clusters=2, times=(0.0, 1.0, 2.0), rows=5).shape
    (5, 3)
    """
    if x is None and times is None:
        raise InputError("without data say when to measure, as in times=(0, 1, 2)")
    if order < 1:
        raise InputError(f"order is {order}: 1 for lines, 2 for parabolas, ...")
    if x is not None:
        rows = jnp.shape(x)[0]
        times = jnp.arange(jnp.shape(x)[1]) if times is None else times
    when = jnp.asarray(times, float)
    if x is not None and when.shape != (jnp.shape(x)[1],):
        raise InputError(f"times has {when.size} numbers, and a row {jnp.shape(x)[1]} measurements")
    powers = when[:, None] ** jnp.arange(order + 1)
    weights = mixture_weights(clusters, concentration, weight_prior)
    centre = jnp.zeros(order + 1).at[0].set(level_mean)
    scale = jnp.full(order + 1, float(growth_scale)).at[0].set(level_scale)
    with numpyro.plate("cluster", clusters):
        prior = dist.Normal(centre, scale).to_event(1)
        curve = numpyro.sample("curve", prior, infer={"event_dims": ["power"]})
    own = dist.HalfNormal(jnp.full(2, float(spread_scale))).to_event(1)
    spread = numpyro.sample("spread", own, infer={"event_dims": ["own_power"]})
    noise = numpyro.sample("noise", dist.HalfNormal(noise_scale))
    lines = powers[:, :2] * spread
    covariance = matmul(lines, lines.T) + noise**2 * jnp.eye(len(when))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = dist.MultivariateNormal(matmul(curve[z], powers.T), covariance)
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})
