"""Rows of categories from hidden classes whose weights depend on covariates."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
import xarray as xr

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import FEATURE_AXIS, Categories, Reals
from ppl_models.distributions import BlockDirichlet, CategoricalVector
from ppl_models.models._covariates import covariate_means, membership_logits
from ppl_models.models._distal import distal_outcome
from ppl_models.models._pseudo_counts import pseudo_counts
from ppl_models.models._report_tables import Tables, odds_ratios


def latent_class_regression(
    answers: Annotated[Any, Categories, FEATURE_AXIS] = None,
    covariates: Annotated[Any, Reals, FEATURE_AXIS] = None,
    outcome: Annotated[Any, Reals] = None,
    *,
    clusters: int,
    levels: tuple[int, ...],
    distal: str = "none",
    intercept_scale: float = 2.0,
    slope_scale: float = 2.0,
    level_concentration: float | None = None,
    outcome_mean: Any = None,
    outcome_scale: Any = None,
    centre: Annotated[Any, FromData(covariate_means)] = None,
    rows: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Latent classes with covariates on membership, and an outcome that the classes differ in.

        α ~ ZeroSumNormal(intercept_scale)             how common the classes are (log-odds)
        β_j ~ ZeroSumNormal(slope_scale / sd_j)        what covariate j does to that
        θ_kd ~ Dirichlet(level_concentration)          how often feature d has each of its levels
        z_n ~ Categorical(softmax(α + β' (covariates_n - centre)))
        answers_nd | z_n = k ~ Categorical(θ_kd)
        distal="gaussian":  outcome_n | z_n = k ~ Normal(μ_k, σ)
        distal="bernoulli": outcome_n | z_n = k ~ Bernoulli(p_k)
        distal="poisson":   outcome_n | z_n = k ~ Poisson(λ_k)

    Effects add up to zero over the classes: log-odds against a reference class are differences of
    two of them. Without covariates this is latent class analysis. Dayton and Macready (1988);
    Bandeen-Roche, Miglioretti, Zeger and Rathouz (1997); of outcomes Bakk and Vermunt (2016).

    Args:
        answers: ``(row, feature)`` of codes from 0; gaps are NaN; None generates them.
        covariates: ``(row, covariate)``, as they are; None where there are none.
        outcome: ``(row,)``, where ``distal`` is not "none"; gaps are NaN.
        clusters: K.
        levels: number of levels of every feature.
        distal: distribution of the outcome: "none", "gaussian", "bernoulli" or "poisson".
        intercept_scale: prior deviation of the classes' log-odds.
        slope_scale: of what one standard deviation of a covariate adds to them.
        level_concentration: of the Dirichlet priors of the levels; a number or ``(level,)``
            (default: 1 + 1 / (KM) for a feature of M levels).
        outcome_mean: prior mean of a Gaussian or Poisson outcome (default: the data's).
        outcome_scale: prior deviation of a Gaussian outcome (default: the data's).
        centre: what the covariates are measured from (default: the fitted rows' means).
        rows: number of rows where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The answers.

    Raises:
        InputError: an unknown distribution of the outcome, or an outcome without one.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(latent_class_regression, random.key(0))
    >>> program(covariates=jnp.zeros((5, 1)), clusters=2, levels=(2, 3)).shape
    (5, 2)
    """
    for array in (answers, covariates, outcome):
        rows = rows if array is None else jnp.shape(array)[0]
    logits = membership_logits(
        covariates, centre, clusters, intercept_scale, slope_scale, row_weights=row_weights
    )
    prior = BlockDirichlet(pseudo_counts(level_concentration, clusters, levels), levels)
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample("probs", prior, infer={"event_dims": ["level"]})
    emit = distal_outcome(distal, clusters, outcome, outcome_mean, outcome_scale, row_weights)
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})
        if emit is not None:
            numpyro.sample("outcome", emit(z), obs=outcome)
        return numpyro.sample(
            "answers",
            CategoricalVector(probs[z], levels),
            obs=answers,
            infer={"event_dims": ["feature"]},
        )


def report_tables(tree: xr.DataTree) -> Tables:
    """What the covariates do to membership."""
    return odds_ratios(tree, "slope")


def example(distal: str = "none", **_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    outcome = {} if distal == "none" else {"outcome": [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]}
    return outcome | {
        "answers": [["a", "x"], ["b", "y"], ["b", "x"], ["c", "y"], ["a", "y"], ["b", "x"]],
        "covariates": [[0.0], [1.0], [3.0], [2.0], [5.0], [4.0]],
    }
