"""Rows of numbers, counts, categories and bits side by side, from hidden clusters."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.derived import FromData
from ppl_models.data.kinds import BY_TYPE, FEATURE_AXIS, Bits, Categories, Counts, Reals
from ppl_models.distributions import (
    BernoulliVector,
    BlockDirichlet,
    CategoricalVector,
    DiagonalGaussian,
    FullGaussian,
    PoissonVector,
)
from ppl_models.errors import InputError
from ppl_models.models._lookups import columns_of
from ppl_models.models._pseudo_counts import pseudo_count, pseudo_counts
from ppl_models.models._scale import data_scale, row_count, unit_of_data
from ppl_models.models._scatter import Scatter
from ppl_models.models._weights import mixture_weights

COVARIANCES = ("diagonal", "full")
AXES = {site: f"{site}_feature" for site in ("numbers", "counts", "categories", "bits")}
NUMBER, COUNT, BIT = AXES["numbers"], AXES["counts"], AXES["bits"]


def mixed_mixture(
    numbers: Annotated[Any, Reals, FEATURE_AXIS, BY_TYPE] = None,
    counts: Annotated[Any, Counts, FEATURE_AXIS, BY_TYPE] = None,
    categories: Annotated[Any, Categories, FEATURE_AXIS, BY_TYPE] = None,
    bits: Annotated[Any, Bits, FEATURE_AXIS, BY_TYPE] = None,
    *,
    clusters: int,
    types: Any = None,
    covariance: str = "diagonal",
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    loc_mean: Any = None,
    loc_scale: Any = None,
    scale_concentration: float = 2.0,
    scale_rate_mean: Any = None,
    resolution: Any = None,
    rate_concentration: float = 1.5,
    rate_mean: Any = None,
    levels: tuple[int, ...] = (),
    level_concentration: float | None = None,
    ones: float | None = None,
    zeros: float | None = None,
    number_columns: Annotated[int, FromData(columns_of("numbers"))] = 0,
    count_columns: Annotated[int, FromData(columns_of("counts"))] = 0,
    bit_columns: Annotated[int, FromData(columns_of("bits"))] = 0,
    rows: int | None = None,
    row_weights: Any = None,
) -> Any:
    """Rows of columns of several types, independent given the cluster.

        π ~ Dirichlet(concentration)                                        shares of the clusters
        μ_kd ~ Normal(loc_mean_d, loc_scale_d)                              numbers: where they lie
        σ_kd or Σ_k ~ as in gaussian_mixture                                how they scatter
        λ_kd ~ Gamma(rate_concentration, rate_concentration / rate_mean_d)  counts: their mean
        φ_kd ~ Dirichlet(level_concentration)                               shares of the levels
        θ_kd ~ Beta(ones, zeros)                                            bits: how often a one
        z_n ~ Categorical(π)
        numbers_n | z_n = k ~ Normal(μ_k, σ_k² or Σ_k),    counts_nd | z_n = k ~ Poisson(λ_kd)
        categories_nd | z_n = k ~ Categorical(φ_kd),       bits_nd | z_n = k ~ Bernoulli(θ_kd)

    ``fit`` takes one table and deals out its columns: text, declared categories, and codes (up to
    ten different whole numbers without 0) are categories; booleans, and 0 and 1, bits; other whole
    numbers from 0 up, of mean below 20, counts; all other numbers normal. The fit's notes say which
    is which, and ``types`` says otherwise. Data of a type that there are none of are left out, with
    their sites. Priors and what they do: `gaussian_mixture`, `poisson_mixture`,
    `categorical_mixture`, `bernoulli_mixture`. Everitt (1988); Hunt and Jorgensen (2011).

    Args:
        numbers: ``(row, number)``; gaps are NaN.
        counts: ``(row, count)``; gaps are NaN.
        categories: ``(row, category)`` of codes from 0; gaps are NaN.
        bits: ``(row, bit)`` of zeros and ones; gaps are NaN.
        clusters: K.
        types: column -> "normal", "poisson", "categorical" or "bernoulli", or "skip" for one that
            is no data; of columns that are not what they look like (default: of none).
        covariance: of the numbers: "diagonal", or "full" where they are correlated in a cluster.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        loc_mean: prior mean of the locations (default: the data's mean).
        loc_scale: prior standard deviation of the locations (default: twice the data's).
        scale_concentration: a of the inverse gamma of the squared scales.
        scale_rate_mean: prior mean of how far clusters scatter, as in ``gaussian_mixture``
            (default: the data's variance / K^(2/D)).
        resolution: the unit that numbers are rounded to (default: the least distance between
            two values of a column).
        rate_concentration: shape of the gamma prior of the rates; above 1 keeps them off zero.
        rate_mean: prior mean of the rates (default: the data's mean, at least 0.1).
        levels: number of levels of every column of categories.
        level_concentration: of the Dirichlet priors of the levels; a number or ``(level,)``
            (default: 1 + 1 / (KM) for a column of M levels).
        ones: pseudo-count of ones (default: 1 + 1 / (2K)).
        zeros: pseudo-count of zeros (default: 1 + 1 / (2K)).
        number_columns: columns of numbers where there are no data; ``fit`` counts them.
        count_columns: columns of counts where there are no data.
        bit_columns: columns of bits where there are no data.
        rows: number of rows where there are no data.
        row_weights: how often each row counts, ``(row,)``, for the priors that look at the data;
            ``fit(..., weights=)`` gives them.

    Returns:
        The rows by type: a dict of arrays.

    Raises:
        InputError: unknown covariance, or no columns of any type.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(mixed_mixture, random.key(0))
    >>> drawn = program(clusters=2, number_columns=2, levels=(3,), rows=5)
    >>> {name: values.shape for name, values in drawn.items()}
    {'numbers': (5, 2), 'categories': (5, 1)}
    """
    if covariance not in COVARIANCES:
        raise InputError(f"covariance is {covariance!r}: choose one of {', '.join(COVARIANCES)}")
    for table in (numbers, counts, categories, bits):
        rows = rows if table is None else jnp.shape(table)[0]
    number_columns = number_columns if numbers is None else jnp.shape(numbers)[1]
    count_columns = count_columns if counts is None else jnp.shape(counts)[1]
    bit_columns = bit_columns if bits is None else jnp.shape(bits)[1]
    if not (number_columns or count_columns or levels or bit_columns):
        raise InputError("there are no columns of any type: give data, or say how many columns")
    weights = mixture_weights(clusters, concentration, weight_prior)
    cluster = numpyro.plate("cluster", clusters)
    emissions: dict[str, Any] = {}  # site -> observed, distribution of the rows by cluster
    if number_columns:
        scale = data_scale(numbers, row_weights)
        scatter = Scatter(
            scale,
            number_columns,
            clusters ** (-2 / number_columns),
            unit_of_data(numbers, row_weights) if resolution is None else resolution,
            row_count(rows, row_weights) / clusters,
            scale_concentration,
            rate_mean=scale_rate_mean,
            axis=NUMBER,
        ).prior(covariance)
        mean = scale.mean if loc_mean is None else loc_mean
        spread = 2 * scale.deviation if loc_scale is None else loc_scale
        where = dist.Normal(mean + jnp.zeros(number_columns), spread + jnp.zeros(number_columns))
        name, axes = ("scale", [NUMBER]) if covariance == "diagonal" else (
            "covariance", [NUMBER, f"{NUMBER}_other"]
        )  # fmt: skip
        with cluster:
            loc = numpyro.sample("loc", where.to_event(1), infer={"event_dims": [NUMBER]})
            own = numpyro.sample(name, scatter, infer={"event_dims": axes})
        family = DiagonalGaussian if covariance == "diagonal" else FullGaussian
        emissions["numbers"] = numbers, lambda z: family(loc[z], own[z])
    if count_columns:
        mean = rate_mean
        if mean is None:
            of_data = data_scale(
                None if counts is None else jnp.asarray(counts, float), row_weights
            )
            mean = 1.0 if counts is None else jnp.clip(of_data.mean, 0.1)
        gamma = dist.Gamma(rate_concentration, rate_concentration / jnp.asarray(mean))
        gamma = gamma.expand((count_columns,)).to_event(1)
        with cluster:
            rate = numpyro.sample("rate", gamma, infer={"event_dims": [COUNT]})
        emissions["counts"] = counts, lambda z: PoissonVector(rate[z])
    if levels:
        dirichlet = BlockDirichlet(pseudo_counts(level_concentration, clusters, levels), levels)
        with cluster:
            level_probs = numpyro.sample("level_probs", dirichlet, infer={"event_dims": ["level"]})
        emissions["categories"] = categories, lambda z: CategoricalVector(level_probs[z], levels)
    if bit_columns:
        zeros_of_bits = jnp.zeros(bit_columns)
        a, b = (pseudo_count(count, clusters, 2) + zeros_of_bits for count in (ones, zeros))
        with cluster:
            often = numpyro.sample(
                "bit_probs", dist.Beta(a, b).to_event(1), infer={"event_dims": [BIT]}
            )
        emissions["bits"] = bits, lambda z: BernoulliVector(often[z])
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return {
            site: numpyro.sample(site, of(z), obs=seen, infer={"event_dims": [AXES[site]]})
            for site, (seen, of) in emissions.items()
        }


def example(**_: Any) -> dict[str, Any]:
    """A few rows of data, for the documentation's tables."""
    return {
        "numbers": [[0.0], [1.0], [5.0], [6.5], [7.0], [0.5]],
        "counts": [[0], [2], [7], [9], [4], [1]],
        "categories": [["a"], ["b"], ["b"], ["c"], ["a"], ["b"]],
        "bits": [[0], [0], [1], [1], [1], [0]],
    }
