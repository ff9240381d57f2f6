"""Responses along hidden lines that covariates choose between: a mixture of experts."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.models._covariates import covariate_means, membership_logits
from ppl_models.models._report_tables import Tables, coefficients, family_of, odds_ratios
from ppl_models.models._responses import regression_lines


def expert_mixture(
    response: Annotated[Any, Reals] = None,
    covariates: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    family: str = "gaussian",
    gate_intercept_scale: float = 2.0,
    gate_slope_scale: float = 4.0,
    intercept_scale: float = 2.0,
    slope_scale: float = 2.0,
    noise_scale: float = 1.0,
    intercept_mean: float | None = None,
    unit: float | None = None,
    centre: Annotated[Any, FromData(covariate_means)] = None,
    row_weights: Any = None,
) -> Any:
    """A mixture of experts: lines, and a gate that covariates move.

        α ~ ZeroSumNormal(gate_intercept_scale)             gate, log-odds of the experts
        γ_j ~ ZeroSumNormal(gate_slope_scale / sd_j)        what covariate j does to that
        a_k ~ Normal(intercept_mean, intercept_scale · unit)        response at the centre
        b_kj ~ Normal(0, slope_scale · unit / sd_j)         what covariate j adds
        σ_k ~ HalfNormal(noise_scale · unit)                noise of a Gaussian response
        z_n ~ Categorical(softmax(α + γ' (covariates_n - centre)))
        η_n = a_k + b_k' (covariates_n - centre) where z_n = k
        response_n ~ Normal(η_n, σ_k), Bernoulli(logits η_n) or Poisson(exp η_n)

    Sites of the gate are "gate_intercept" and "gate_slope"; the rest is as in
    ``regression_mixture``, defaults too. Jacobs, Jordan, Nowlan and Hinton (1991); Jordan and
    Jacobs (1994).

    Args:
        response: ``(row,)``; gaps are NaN; None generates one for every row of ``covariates``.
        covariates: ``(row, covariate)``, as they are.
        clusters: K.
        family: "gaussian", "bernoulli" or "poisson".
        gate_intercept_scale: prior deviation of the gate's log-odds at the centre.
        gate_slope_scale: of what one standard deviation of a covariate adds to them.
        intercept_scale: prior deviation of the intercepts, in units.
        slope_scale: prior deviation of what one standard deviation of a covariate adds, in units.
        noise_scale: scale of the prior of the noise, in units.
        intercept_mean: prior mean of the intercepts: of the response, its log-odds, or the
            logarithm of its rate (default: from the data, see above).
        unit: of these scales (default: the standard deviation of a Gaussian response, else 1).
        centre: what the covariates are measured from (default: the fitted rows' means).
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The responses.

    Raises:
        InputError: an unknown family.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(expert_mixture, random.key(0))
    >>> program(covariates=jnp.zeros((5, 1)), clusters=2).shape
    (5,)
    """
    gate = membership_logits(
        covariates,
        centre,
        clusters,
        gate_intercept_scale,
        gate_slope_scale,
        prefix="gate_",
        row_weights=row_weights,
    )
    emission = regression_lines(
        family,
        clusters,
        covariates,
        centre,
        response,
        intercept_scale,
        slope_scale,
        noise_scale,
        intercept_mean,
        unit,
        row_weights,
    )
    with numpyro.plate("row", jnp.shape(covariates)[0]):
        z = numpyro.sample("z", dist.Categorical(logits=gate), infer={"enumerate": "parallel"})
        return numpyro.sample("response", emission(z), obs=response)


def report_tables(tree: xr.DataTree) -> Tables:
    """What the covariates do to membership, and to the response in every cluster."""
    return odds_ratios(tree, "gate_slope") | coefficients(tree, family_of(tree))


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "response": [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        "covariates": [[0.0], [1.0], [2.0], [4.0], [3.0], [6.0], [5.0], [7.0]],
    }
