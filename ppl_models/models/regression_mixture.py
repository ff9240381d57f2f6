"""Responses to covariates along several hidden lines: a mixture of regressions."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import FEATURE_AXIS, Reals
from ppl_models.models._covariates import covariate_means
from ppl_models.models._report_tables import Tables, coefficients, family_of
from ppl_models.models._responses import regression_lines
from ppl_models.models._weights import mixture_weights


def regression_mixture(
    response: Annotated[Any, Reals] = None,
    covariates: Annotated[Any, Reals, FEATURE_AXIS] = None,
    *,
    clusters: int,
    family: str = "gaussian",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    intercept_scale: float = 2.0,
    slope_scale: float = 2.0,
    noise_scale: float = 1.0,
    intercept_mean: float | None = None,
    unit: float | None = None,
    centre: Annotated[Any, FromData(covariate_means)] = None,
    row_weights: Any = None,
) -> Any:
    """A mixture of regressions: Gaussian, logistic or Poisson.

        π ~ Dirichlet(concentration)                        how common the clusters are
        a_k ~ Normal(intercept_mean, intercept_scale · unit)        response at the centre
        b_kj ~ Normal(0, slope_scale · unit / sd_j)         what covariate j adds
        σ_k ~ HalfNormal(noise_scale · unit)                noise of a Gaussian response
        z_n ~ Categorical(π)
        η_n = a_k + b_k' (covariates_n - centre) where z_n = k
        response_n ~ Normal(η_n, σ_k), Bernoulli(logits η_n) or Poisson(exp η_n)

    By default the unit is the response's standard deviation if Gaussian, else 1, and the prior mean
    of the intercepts is the response's mean, 0, or the logarithm of its mean. Logistic mixtures of
    single yes-or-no responses are not identified without covariates that take several values a
    cluster (Follmann and Lambert 1991). DeSarbo and Cron (1988); Grün and Leisch (2008), flexmix.

    Args:
        response: ``(row,)``; gaps are NaN; None generates one for every row of ``covariates``.
        covariates: ``(row, covariate)``, as they are.
        clusters: K.
        family: "gaussian", "bernoulli" or "poisson".
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
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
    >>> program = handlers.seed(regression_mixture, random.key(0))
    >>> program(covariates=jnp.zeros((5, 1)), clusters=2).shape
    (5,)
    """
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
    weights = mixture_weights(clusters, concentration, weight_prior)
    with numpyro.plate("row", jnp.shape(covariates)[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("response", emission(z), obs=response)


def report_tables(tree: xr.DataTree) -> Tables:
    """What the covariates do to the response in every cluster."""
    return coefficients(tree, family_of(tree))


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "response": [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        "covariates": [[0.0], [1.0], [2.0], [4.0], [3.0], [6.0], [5.0], [7.0]],
    }
