"""Mean counts and over-dispersion of every cluster: what mixtures of counts have in common."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array

from ppl_models.errors import InputError
from ppl_models.models._scale import data_scale

BASES = ("poisson", "negative_binomial")


def is_vector(x: Any, features: int | None) -> bool:
    """Whether every row is one count."""
    return jnp.ndim(x) == 1 if x is not None else features in (None, 1)


def cluster_counts(
    base: str,
    clusters: int,
    x: Any,
    features: int | None,
    rate_concentration: float,
    rate_mean: Any,
    size_concentration: float,
    size_rate: float,
    *,
    zeros_counted: bool = True,
    row_weights: Any = None,
) -> tuple[Array, Array | None]:
    """Sites "rate" and, of negative binomials, "size": ``(cluster,)`` or ``(cluster, feature)``.

    Args:
        base: one of BASES.
        clusters: K.
        x: counts, or None.
        features: number of features where a row is several counts; else None.
        rate_concentration: shape of the gamma prior of the mean counts.
        rate_mean: its mean (default: the data's, at least 0.1).
        size_concentration: shape of the gamma prior of the sizes.
        size_rate: its rate.
        zeros_counted: whether the default mean is that of all counts, or of those above 0.
        row_weights: how often each row counts, ``(row,)``.

    Raises:
        InputError: an unknown base.
    """
    if base not in BASES:
        raise InputError(f"base is {base!r}: choose one of {', '.join(BASES)}")
    mean: Any = rate_mean
    if mean is None:
        counts = None if x is None else jnp.asarray(x, float)
        if counts is not None and not zeros_counted:
            counts = jnp.where(counts > 0, counts, jnp.nan)
        of_data = data_scale(counts, row_weights)
        mean = 1.0 if counts is None else jnp.clip(jnp.nan_to_num(of_data.mean), 0.1)
    shape = () if features is None else (features,)
    axes = {"event_dims": ["feature"]} if shape else {}

    def each(prior: dist.Distribution) -> dist.Distribution:
        return prior.expand(shape).to_event(1) if shape else prior

    rate_prior = dist.Gamma(rate_concentration, rate_concentration / jnp.asarray(mean))
    rate = numpyro.sample("rate", each(rate_prior), infer=axes)
    if base == "poisson":
        return rate, None
    size_prior = dist.Gamma(size_concentration, size_rate)
    return rate, numpyro.sample("size", each(size_prior), infer=axes)
