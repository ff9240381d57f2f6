"""Effects of covariates: standardised for the prior, and shares of clusters that depend on them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.distributions.contraction import matmul
from ppl_models.models._scale import data_scale


def effect_scale(covariates: Any, scale: Any, row_weights: Any = None) -> Array:
    """Prior deviation of each covariate's effect: as much as ``scale`` over its own deviation.

    Args:
        covariates: ``(row, covariate)``, or None.
        scale: what a change of a covariate by one standard deviation may come to.
        row_weights: how often each row counts, ``(row,)``.

    >>> effect_scale(np.array([[0.0, 10.0], [2.0, 30.0]]), 5.0).tolist()
    [5.0, 0.5]
    """
    return jnp.asarray(scale / data_scale(covariates, row_weights).deviation)


def covariate_means(covariates: Any = None, row_weights: Any = None) -> np.ndarray:
    """Mean of every covariate of the fitted rows: new rows are measured from it too.

    Rows count as often as they weigh.

    >>> covariate_means(np.array([[0.0, 10.0], [2.0, 30.0]])).tolist()
    [1.0, 20.0]
    """
    if covariates is None:
        return np.zeros(0)
    return np.average(np.asarray(covariates, float), axis=0, weights=row_weights)


def centred(covariates: Any, centre: Any) -> Array:
    """Covariates about a centre, or about their own means where none is given."""
    values = jnp.asarray(covariates, float)
    return values - (values.mean(0) if centre is None else centre)


def zero_sum_normal(scale: Array, clusters: int) -> dist.Distribution:
    """Effects on every cluster that add up to zero, ``scale.shape + (cluster,)``.

    As NumPyro's ``ZeroSumNormal``, which takes one scale only.

    >>> from jax import random
    >>> drawn = zero_sum_normal(jnp.array([1.0, 2.0]), 3).sample(random.key(0))
    >>> drawn.shape, bool(jnp.allclose(drawn.sum(-1), 0, atol=1e-6))
    ((2, 3), True)
    """
    free = dist.Normal(0.0, scale[..., None]).expand((*scale.shape, clusters - 1)).to_event(1)
    return dist.TransformedDistribution(free, dist.transforms.ZeroSumTransform(1))


def membership_logits(
    covariates: Any,
    centre: Any,
    clusters: int,
    intercept_scale: float,
    slope_scale: float,
    *,
    prefix: str = "",
    row_weights: Any = None,
) -> Array:
    """Log-odds of the clusters by row; sites "intercept" and "slope".

    They are ``(row, cluster)``, or ``(1, cluster)`` without covariates. The effects of every
    covariate add up to zero over the clusters, so that none is special: what a textbook reports
    against a reference cluster is the difference of two of them.

    Args:
        covariates: ``(row, covariate)``; None where there are none.
        centre: what they are measured from, ``(covariate,)``.
        clusters: K.
        intercept_scale: prior deviation of the log-odds at the centre.
        slope_scale: of what one standard deviation of a covariate adds.
        prefix: of the sites' names.
        row_weights: how often each row counts, ``(row,)``.
    """
    axis = {"event_dims": ["cluster"]}
    prior = zero_sum_normal(jnp.asarray(intercept_scale, float), clusters)
    intercept = numpyro.sample(f"{prefix}intercept", prior, infer=axis)
    if covariates is None:
        return intercept[None]
    with numpyro.plate("covariate", jnp.shape(covariates)[1]):
        prior = zero_sum_normal(effect_scale(covariates, slope_scale, row_weights), clusters)
        slope = numpyro.sample(f"{prefix}slope", prior, infer=axis)
    return intercept + matmul(centred(covariates, centre), slope)
