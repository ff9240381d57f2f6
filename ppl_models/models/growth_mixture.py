"""Rows of measurements over time along the curves of hidden classes: a growth mixture."""

from __future__ import annotations

import json
from math import comb
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.distributions.contraction import matmul
from ppl_models.errors import InputError
from ppl_models.models._lookups import columns_of
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval
from ppl_models.models._scale import DataScale, data_scale
from ppl_models.models._weights import mixture_weights


def growth_mixture(
    x: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    times: Any = None,
    order: int = 1,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    level_mean: float | None = None,
    level_scale: float | None = None,
    growth_scale: float | None = None,
    spread_scale: float | None = None,
    noise_scale: float | None = None,
    rows: int | None = None,
    columns: Annotated[int, FromData(columns_of("x"))] = 0,
    row_weights: Any = None,
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
    the data and of the times, and by default follow both: u is the standard deviation of all
    measurements, h half the time from the first to the last. In the times' own middle, and counted
    in h, a coefficient of a curve would be Normal(0, 2u), about the data's mean; ``growth_scale``
    and ``level_scale`` are what that says of the coefficients of t. Muthén and Shedden (1999);
    Verbeke and Lesaffre (1996).

    Args:
        x: ``(row, time)``; gaps are NaN; None generates ``rows`` rows at ``times``.
        clusters: K.
        times: when the columns were measured (default: 0, 1, 2, ...).
        order: of the polynomials, 1 or more.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        level_mean: prior mean of the curves at time 0 (default: the data's mean).
        level_scale: prior deviation of the curves at time 0 (default: 2u where that is the middle
            of the times, and more where curves are followed further to it).
        growth_scale: prior deviation of the other coefficients (default: 2u / h^j for t^j, and more
            where higher powers add to it).
        spread_scale: scale of the prior of the rows' deviations τ (default: u and u / h).
        noise_scale: scale of the prior of the noise (default: u).
        rows: number of rows where there are no data.
        columns: number of measurements of a row where there are neither data nor times.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

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
    if x is None and times is None and not columns:
        raise InputError("without data, give the times of measurement, as in times=(0, 1, 2)")
    if order < 1:
        raise InputError(f"order is {order}: give 1 for lines, 2 for parabolas, ...")
    if x is not None:
        rows = jnp.shape(x)[0]
        columns = jnp.shape(x)[1]
    times = jnp.arange(columns) if times is None else times
    when = jnp.asarray(times, float)
    if x is not None and when.shape != (jnp.shape(x)[1],):
        raise InputError(
            f"times has {when.size} numbers, and a row has {jnp.shape(x)[1]} measurements: give "
            "one time for each"
        )
    powers = when[:, None] ** jnp.arange(order + 1)
    weights = mixture_weights(clusters, concentration, weight_prior)
    middle, unit = _all_measurements(data_scale(x, row_weights))
    widths, half = _coefficient_scales(when, order, 2 * unit)
    centre = jnp.zeros(order + 1).at[0].set(middle if level_mean is None else level_mean)
    if growth_scale is not None:
        widths = widths.at[1:].set(growth_scale)
    if level_scale is not None:
        widths = widths.at[0].set(level_scale)
    with numpyro.plate("cluster", clusters):
        prior = dist.Normal(centre, widths).to_event(1)
        curve = numpyro.sample("curve", prior, infer={"event_dims": ["power"]})
    each = unit / half ** jnp.arange(2) if spread_scale is None else jnp.full(2, spread_scale)
    own = dist.HalfNormal(jnp.asarray(each, float)).to_event(1)
    spread = numpyro.sample("spread", own, infer={"event_dims": ["own_power"]})
    noise = numpyro.sample("noise", dist.HalfNormal(unit if noise_scale is None else noise_scale))
    lines = powers[:, :2] * spread
    covariance = matmul(lines, lines.T) + noise**2 * jnp.eye(len(when))
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = dist.MultivariateNormal(matmul(curve[z], powers.T), covariance)
        return numpyro.sample("x", emission, obs=x, infer={"event_dims": ["feature"]})


def _all_measurements(scale: DataScale) -> tuple[Any, Any]:
    """Mean and standard deviation of the measurements at all times together."""
    mean = jnp.mean(scale.mean)
    return mean, jnp.sqrt(jnp.mean(scale.deviation**2 + (scale.mean - mean) ** 2))


def _coefficient_scales(when: Any, order: int, unit: Any) -> tuple[Any, Any]:
    """Prior deviations of the coefficients of t^j, ``(order + 1,)``, and half the times' range.

    Those of ((t - m) / h)^i, m being the middle and h half the range, are ``unit`` each; the
    binomial theorem says what is left of them at t^j.

    >>> _coefficient_scales(jnp.array([-2.0, 2.0]), 1, 1.0)[0].tolist()
    [1.0, 0.5]
    """
    middle, half = (when.max() + when.min()) / 2, (when.max() - when.min()) / 2
    half = jnp.where(half > 0, half, 1.0)
    binomial = np.array([[comb(i, j) for i in range(order + 1)] for j in range(order + 1)])
    apart = np.maximum(np.arange(order + 1) - np.arange(order + 1)[:, None], 0)
    added = binomial * jnp.abs(middle) ** apart / half ** jnp.arange(order + 1)
    return unit * jnp.sqrt((added**2).sum(1)), half


def report_tables(tree: xr.DataTree) -> Tables:
    """The curve of every class at the times of measurement, its coefficients, and the spread."""
    curve = samples(tree, "curve", "cluster", "power")
    spread, noise = samples(tree, "spread", "own_power"), samples(tree, "noise")
    if curve is None or spread is None or noise is None or "observed_data" not in tree.children:
        return {}
    data = next(iter(tree["observed_data"].dataset.data_vars.values()))
    columns = [str(name) for name in data[data.dims[1]].values]
    asked = json.loads(tree.attrs.get("arguments", "{}")).get("times")
    asked = asked["array"] if isinstance(asked, dict) else asked  # as arrays are stored
    when = np.arange(len(columns)) if asked is None else np.asarray(asked, float)
    powers = when[:, None] ** np.arange(curve.shape[-1])
    means = np.einsum("skp,tp->skt", curve, powers)
    clusters = names(tree, "curve", "cluster")
    told = of_interval(tree)
    curves = pd.DataFrame(
        {
            "time": [f"{time:g}" for time in when],
            **{
                f"class {name}": [with_interval(means[:, k, t]) for t in range(len(columns))]
                for k, name in enumerate(clusters)
            },
        },
        index=pd.Index(columns, name="measurement"),
    )
    terms = ["level at time 0", "slope: change per unit of time"]
    terms += [f"coefficient of time^{power}" for power in range(2, curve.shape[-1])]
    rows = {
        term: [with_interval(curve[:, k, j]) for k in range(len(clusters))]
        for j, term in enumerate(terms)
    }
    coefficients = pd.DataFrame.from_dict(
        rows, orient="index", columns=[f"class {name}" for name in clusters]
    )
    apart = pd.DataFrame(
        {
            "standard deviation": [
                with_interval(draws) for draws in (spread[:, 0], spread[:, 1], noise)
            ]
        },
        index=["level of rows of a class", "slope of rows of a class", "noise of a measurement"],
    )
    return {
        "How do the classes grow?": (f"Mean of each class at every measurement.{told}", curves),
        "Coefficients of the curves": (f"Polynomials of time.{told}", coefficients),
        "How do rows of one class differ?": (f"About the curve of their class.{told}", apart),
    }
