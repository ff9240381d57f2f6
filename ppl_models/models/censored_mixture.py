"""Numbers from hidden clusters, some of which are only bounds: survival times, detection limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import Reals
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.censored import FAMILIES, Censored
from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights


def censored_mixture(
    x: Annotated[Any, Reals] = None,
    censored: Annotated[Any, Reals] = None,
    until: Annotated[Any, Reals] = None,
    *,
    clusters: int,
    family: str = "normal",
    above: float | None = None,
    below: float | None = None,
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate: Any = None,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    scale_mean: Any = None,
    scale_spread: float = 1.5,
    shape_spread: float = 0.75,
    rows: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Numbers of hidden clusters, known exactly or as bounds; or only where they are in a window.

        π ~ Dirichlet(concentration)                                  shares of the clusters
        normal, lognormal:
            μ_k ~ Normal(loc_mean, loc_scale)                         of the numbers or their logs
            r ~ Gamma(5/2, 5 / (2 scale_rate_mean)), kept off 0       how tight clusters are
            σ_k² ~ InverseGamma(scale_concentration, r)
            x_n | z_n = k ~ Normal(μ_k, σ_k), or exp of that
        exponential, weibull:
            σ_k ~ LogNormal(log scale_mean, scale_spread) how long it takes
            a_k ~ LogNormal(0, shape_spread)              Weibull: hazards grow as x^(a - 1)
            x_n | z_n = k ~ Weibull(σ_k, a_k), of an exponential a_k = 1
        z_n ~ Categorical(π)

    A row's ``censored`` is 0 where x is the number, 1 where it is more than x (right-censored: an
    event not yet seen at time x), -1 where it is less (left-censored: below the detection limit x),
    2 where it is between x and ``until`` (interval-censored: seen at one visit, not at the last).
    Such a row enters with the probability of that, by the distribution function. With ``above``
    and ``below`` numbers outside them are not in the data at all (truncated), and densities are
    those given that: the shares are those of the recorded numbers. Tobin (1958); McLachlan and
    McGiffin (1994), of survival; McLachlan and Jones (1988), of windows.

    Args:
        x: ``(row,)``; gaps are NaN; None generates ``rows`` numbers, which are exact.
        censored: ``(row,)`` of 0, 1, -1 and 2 (default: all exact).
        until: ``(row,)``, the ends of intervals that begin at x; where ``censored`` is not 2 it is
            any number.
        clusters: K.
        family: "normal", "lognormal", "exponential" or "weibull".
        above: least number that is recorded.
        below: greatest number that is recorded.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the mean of x, or of its logarithm).
        loc_scale: their prior standard deviation (default: twice that of x, or of its logarithm).
        scale_concentration: a of the inverse gamma.
        scale_rate: r, held (default: a site).
        scale_rate_mean: prior mean of r (default: the variance of x, or of its logarithm, / K²).
        resolution: the unit that x, or its logarithm, is rounded to (default: the least distance
            between two values).
        scale_mean: prior median of an exponential's or Weibull's scales (default: the mean of x).
        scale_spread: prior standard deviation of their logarithms.
        shape_spread: of the logarithms of the shapes.
        rows: number of rows where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The numbers.

    Raises:
        InputError: an unknown family, other codes than 0, 1, -1 and 2, intervals without an end, or
            numbers outside the window.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(censored_mixture, random.key(0))
    >>> program(clusters=2, rows=5, family="weibull").shape
    (5,)
    """
    if family not in FAMILIES:
        raise InputError(f"family is {family!r}: choose one of {', '.join(FAMILIES)}")
    _refuse(x, censored, above, below)
    _refuse_intervals(x, censored, until, below)
    for column in (x, censored, until):
        rows = rows if column is None else jnp.shape(column)[0]
    side = 0 if censored is None else jnp.asarray(censored)
    values = None if x is None else jnp.asarray(x, float)
    if family == "lognormal" and values is not None:
        values = jnp.log(values)
    scale = data_scale(values, row_weights)
    weights = mixture_weights(clusters, concentration, weight_prior)
    lifetime = family in ("exponential", "weibull")
    if not lifetime:
        scatter = Scatter(
            scale,
            None,
            clusters**-2,
            unit_of_data(values, row_weights) if resolution is None else resolution,
            row_count(rows, row_weights) / clusters,
            scale_concentration,
            scale_rate,
            scale_rate_mean,
        ).prior("spherical")
    with numpyro.plate("cluster", clusters):
        if lifetime:
            middle = scale_mean
            if middle is None:
                middle = 1.0 if x is None else scale.mean
            width = numpyro.sample("scale", dist.LogNormal(jnp.log(middle), scale_spread))
            place = jnp.ones(clusters)
            if family == "weibull":
                place = numpyro.sample("shape", dist.LogNormal(0.0, shape_spread))
        else:
            mean = scale.mean if loc_mean is None else loc_mean
            spread = 2 * scale.deviation if loc_scale is None else loc_scale
            place = numpyro.sample("loc", dist.Normal(mean, spread))
            width = numpyro.sample("scale", scatter)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = Censored(family, place[z], width[z], side, above, below, until)
        return numpyro.sample("x", emission, obs=x)


def _refuse(x: Any, censored: Any, above: float | None, below: float | None) -> None:
    """Refuse codes and numbers that the program has no density for."""
    if above is not None and below is not None and not above < below:
        raise InputError(f"above is {above:g} and below {below:g}: give a window, above < below")
    if not isinstance(censored, jax.core.Tracer | type(None)):
        codes = np.asarray(censored)
        wrong = ~np.isin(codes, (-1, 0, 1, 2))
        if wrong.any():
            place = int(wrong.argmax())
            raise InputError(
                f"censored of row {place} is {codes[place]:g}: give 0 (observed: the value is x), "
                "1 (right-censored: above x), -1 (left-censored: below x) or 2 "
                "(interval-censored: between x and until)"
            )
    if isinstance(x, jax.core.Tracer | type(None)):
        return
    numbers = np.asarray(x, float)
    for outside, where in (
        (numbers < (-np.inf if above is None else above), f"above says that none is below {above}"),
        (numbers > (np.inf if below is None else below), f"below says that none is above {below}"),
    ):
        if outside.any():
            place = int(outside.argmax())
            raise InputError(f"x of row {place} is {numbers[place]:g}, and {where}: leave it out")


def _refuse_intervals(x: Any, censored: Any, until: Any, below: float | None) -> None:
    """Refuse intervals that end nowhere, before they begin, or outside the window."""
    if any(isinstance(v, jax.core.Tracer) for v in (x, censored, until)):
        return
    if until is not None and censored is None:
        raise InputError(
            "until is given without censored: mark the interval-censored rows with censored=2"
        )
    inside = np.atleast_1d(np.equal(censored, 2))
    if censored is None or not inside.any():
        return
    if until is None:
        raise InputError(
            f"censored of row {inside.argmax()} is 2 (between x and until): give until"
        )
    if x is None:
        return
    begin, end = np.asarray(x, float), np.asarray(until, float)
    # a gap of x is a row of which nothing is known
    wrong = inside & ~missing_cells(begin) & ~(end > begin)
    if wrong.any():
        place = int(wrong.argmax())
        raise InputError(
            f"the interval of row {place} begins at x = {begin[place]:g} and ends at until = "
            f"{end[place]:g}: give an end above x, or censored=1 where there is none"
        )
    beyond = inside & (end > (np.inf if below is None else below))
    if beyond.any():
        place = int(beyond.argmax())
        raise InputError(
            f"until of row {place} is {end[place]:g}, and below says that none is above {below}: "
            "end the interval there"
        )


def notes(data: Mapping[str, Any]) -> list[str]:
    """What a fit says of the bounds among its data.

    >>> notes({"x": np.array([1.0, 2.0]), "censored": np.array([0, 1])})
    ["1 of 2 numbers are bounds (1 more than x, 0 less, 0 between): ..."]
    """
    side = np.asarray(data.get("censored", 0))
    if not side.any():
        return []
    return [
        f"{np.sum(side != 0)} of {side.size} numbers are bounds ({np.sum(side == 1)} more than x, "
        f"{np.sum(side < 0)} less, {np.sum(side == 2)} between): predictive "
        "draws are numbers, so that where pictures show both they reach beyond the data; a bound's "
        "log-density is the logarithm of its probability"
    ]


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {"x": [0.5, 1.0, 5.0, 6.0, 7.0, 0.8], "censored": [0, 0, 0, 1, 1, -1]}
