"""Regressions of one response on covariates, a line for every cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.errors import InputError
from ppl_models.models._covariates import centred, effect_scale
from ppl_models.models._scale import data_scale

FAMILIES = ("gaussian", "bernoulli", "poisson")


def regression_lines(
    family: str,
    clusters: int,
    covariates: Any,
    centre: Any,
    response: Any,
    intercept_scale: float,
    slope_scale: float,
    noise_scale: float,
    intercept_mean: Any = None,
    unit: Any = None,
    row_weights: Any = None,
) -> Callable[[Array], dist.Distribution]:
    """The response's distribution by cluster; sites "intercept", "slope" and, Gaussian, "scale".

    Args:
        family: one of FAMILIES.
        clusters: K.
        covariates: ``(row, covariate)``.
        centre: what they are measured from, ``(covariate,)``.
        response: ``(row,)``, or None.
        intercept_scale: prior deviation of the response at the centre: in deviations of
            a Gaussian response, else in log-odds or logarithms of the rate.
        slope_scale: of what one standard deviation of a covariate adds, in the same unit.
        noise_scale: prior scale of the noise, in deviations of a Gaussian response.
        intercept_mean: prior mean of the response at the centre, on the scale of the predictor
            (default: a Gaussian response's mean, 0, or the logarithm of a Poisson one's).
        unit: of the scales above (default: a Gaussian response's deviation, else 1).
        row_weights: how often each row counts, ``(row,)``.

    Raises:
        InputError: an unknown family.
    """
    if family not in FAMILIES:
        raise InputError(f"family is {family!r}: choose one of {', '.join(FAMILIES)}")
    of_response = data_scale(
        None if response is None else jnp.asarray(response, float), row_weights
    )
    middle, deviation = of_response if family == "gaussian" else (0.0, 1.0)
    if family == "poisson" and response is not None:
        middle = jnp.log(jnp.clip(of_response.mean, 0.1))
    middle = middle if intercept_mean is None else intercept_mean
    unit = deviation if unit is None else unit
    with numpyro.plate("cluster", clusters):
        level = numpyro.sample("intercept", dist.Normal(middle, intercept_scale * unit))
        prior = dist.Normal(
            0.0, effect_scale(covariates, slope_scale, row_weights) * unit
        ).to_event(1)
        slope = numpyro.sample("slope", prior, infer={"event_dims": ["covariate"]})
        if family == "gaussian":
            scale = numpyro.sample("scale", dist.HalfNormal(noise_scale * unit))
    about = centred(covariates, centre)

    def emission(z: Array) -> dist.Distribution:
        predictor = level[z] + (about * slope[z]).sum(-1)
        if family == "gaussian":
            return dist.Normal(predictor, scale[z])
        if family == "bernoulli":
            return dist.Bernoulli(logits=predictor)
        return dist.Poisson(jnp.exp(predictor))

    return emission
