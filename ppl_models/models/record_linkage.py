"""Pairs of records by how their fields agree: which are the same, and how sure that is."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr

from ppl_models.data.kinds import FEATURE_AXIS, Categories
from ppl_models.distributions import BlockDirichlet, CategoricalVector
from ppl_models.models._report_tables import Tables, names, of_interval, samples, with_interval

STATUS = ("different", "same")
DRAWS = 500  #: at most, of which a report computes the patterns
PATTERNS = 30  #: at most, that a report shows
THRESHOLDS = (0.5, 0.9, 0.99)  #: of the probability of being the same, in a report


def cluster_names(**_: Any) -> dict[int, str]:
    """What the two clusters are called in a fit.

    >>> cluster_names()
    {0: 'different', 1: 'same'}
    """
    return dict(enumerate(STATUS))


def record_linkage(
    x: Annotated[Any, Categories, FEATURE_AXIS] = None,
    *,
    levels: tuple[int, ...],
    concentration: tuple[float, float] = (2.0, 1.0),
    level_concentration: float = 1.1,
    agreement: float = 4.0,
    rows: int | None = None,
) -> Any:
    """Pairs of records, the same or different, by how far their fields agree (Fellegi and Sunter).

        π ~ Dirichlet(concentration)                       shares of different and same pairs
        u_d ~ Dirichlet(level_concentration + agreement at 0)       agreement by chance
        m_d ~ Dirichlet(level_concentration + agreement at the top) agreement of the same
        z_n ~ Categorical(π)                               0: different, 1: the same
        x_nd | z_n = 0 ~ Categorical(u_d);  x_nd | z_n = 1 ~ Categorical(m_d)

    A row is a pair, a feature a field, its level how far the two records agree there: the lowest
    level is disagreement, the highest full agreement. A field that either record lacks is a gap.
    The prior says which cluster is which: the second, "same", agrees more. Fellegi and Sunter
    (1969); by EM Winkler (1988); Bayesian, Sadinle (2017).

    Args:
        x: ``(pair, field)`` of levels from 0 (none) upwards; gaps are NaN; None generates
            ``rows`` pairs.
        levels: number of levels of every field.
        concentration: of the prior of the shares of different pairs and the same.
        level_concentration: pseudo-counts of every level of a field.
        agreement: pseudo-counts more: of the lowest level of different pairs, and the highest of
            the same.
        rows: number of pairs where there are no data.

    Returns:
        The levels.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> handlers.seed(record_linkage, random.key(0))(levels=(2, 3), rows=5).shape
    (5, 2)
    """
    if x is not None:
        rows = jnp.shape(x)[0]
    match_prior = dist.Dirichlet(jnp.asarray(concentration, float))
    weights = numpyro.sample("weights", match_prior, infer={"event_dims": ["cluster"]})
    lowest = jnp.concatenate([jnp.eye(n)[0] for n in levels])
    highest = jnp.concatenate([jnp.eye(n)[-1] for n in levels])
    with numpyro.plate("cluster", len(STATUS)):
        more = level_concentration + agreement * jnp.stack([lowest, highest])
        probs = numpyro.sample(
            "probs", BlockDirichlet(more, levels), infer={"event_dims": ["level"]}
        )
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample(
            "x", CategoricalVector(probs[z], levels), obs=x, infer={"event_dims": ["feature"]}
        )


def report_tables(tree: xr.DataTree) -> Tables:
    """Which fields tell, how many pairs are the same, and which are called so at a threshold."""
    return _of_fields(tree) | _of_patterns(tree) | _of_thresholds(tree)


def _of_fields(tree: xr.DataTree) -> Tables:
    """How often the same and different pairs have each level of a field, and what that weighs."""
    probs = samples(tree, "probs", "cluster", "level")
    if probs is None:
        return {}
    fields = [label.rpartition("=") for label in names(tree, "probs", "level")]
    bits = np.log2(probs[:, 1] / probs[:, 0])
    table = pd.DataFrame(
        {
            "m: of the same": [with_interval(draws) for draws in probs[:, 1].T],
            "u: of different": [with_interval(draws) for draws in probs[:, 0].T],
            "weight, log2 m/u": [with_interval(draws) for draws in bits.T],
        },
        index=pd.MultiIndex.from_tuples(
            [(field, level) for field, _, level in fields], names=["field", "level"]
        ),
    )
    text = (
        "How often a field of the same pairs, and of different ones, agrees this far; a weight "
        f"above 0 is evidence for the same.{of_interval(tree)}"
    )
    return {"How much does agreement of each field weigh?": (text, table)}


def _of_patterns(tree: xr.DataTree) -> Tables:
    """The weight and the probability of every pattern of agreement, and the number of matches."""
    probs, weights = samples(tree, "probs", "cluster", "level"), samples(tree, "weights", "cluster")
    if probs is None or weights is None or "observed_data" not in tree.children:
        return {}
    data = tree["observed_data"].dataset["x"].values.astype(float)
    known = tree["constant_data"].dataset if "constant_data" in tree.children else {}
    counted = known["row_weights"].values if "row_weights" in known else np.ones(len(data))
    labels = [label.rpartition("=") for label in names(tree, "probs", "level")]
    of_level = [field for field, _, _ in labels]
    fields = list(dict.fromkeys(of_level))
    first = np.array([of_level.index(field) for field in fields])
    patterns, which = np.unique(np.where(data >= 0, data, -1).astype(int), axis=0,
                                return_inverse=True)  # fmt: skip
    counts = np.bincount(which.reshape(-1), counted, minlength=len(patterns))
    chosen = np.linspace(0, len(probs) - 1, min(len(probs), DRAWS)).astype(int)
    bits = np.log2(probs[chosen, 1] / probs[chosen, 0])[:, np.maximum(patterns, 0) + first]
    weight = np.where(patterns < 0, 0.0, bits).sum(-1)  # (draw, pattern)
    prior = np.log2(weights[chosen, 1] / weights[chosen, 0])
    same = 1 / (1 + np.exp2(-(prior[:, None] + weight)))
    order = np.argsort(-weight.mean(0), kind="stable")[:PATTERNS]
    table = pd.DataFrame(
        {
            **{
                field: [
                    "–" if code < 0 else labels[first[d] + code][2] for code in patterns[order, d]
                ]
                for d, field in enumerate(fields)
            },
            "pairs": counts[order],
            "weight": [with_interval(draws) for draws in weight[:, order].T],
            "probability of the same": [with_interval(draws) for draws in same[:, order].T],
        }
    )
    text = (
        f"{_matches(same, counts)} A pattern's weight is the sum of those of its fields, in bits; "
        "its probability adds the share of the same pairs. – is a field that a record lacks."
        f"{of_interval(tree)}"
    )
    if len(patterns) > len(order):
        text += f" Shown are the {len(order)} of {len(patterns)} patterns with most weight."
    return {"How many pairs are the same?": (text, table)}


def _matches(same: np.ndarray, counts: np.ndarray) -> str:
    """The number of the same pairs in words, with the interval of its posterior distribution.

    Args:
        same: probability of each pattern ``(draw, pattern)``.
        counts: pairs of each pattern.

    Given a draw the number is a sum of independent ones: about normal.
    """
    mean, variance = same @ counts, (same * (1 - same)) @ counts
    text = f"{mean.mean():,.0f} of {counts.sum():,.0f} pairs are expected to be the same"
    if len(same) > 1:
        drawn = np.random.default_rng(0).normal(mean, np.sqrt(variance))
        low, high = np.clip(np.quantile(drawn, [0.03, 0.97]), 0, counts.sum())
        text += f" (94% interval {low:,.0f} to {high:,.0f})"
    return f"{text}."


def _of_thresholds(tree: xr.DataTree) -> Tables:
    """Pairs called the same at several thresholds, and their expected precision and recall."""
    if "responsibilities" not in tree.children:
        return {}
    same = tree["responsibilities"].dataset["responsibilities"].values[:, 1]
    known = tree["constant_data"].dataset if "constant_data" in tree.children else {}
    counts = known["row_weights"].values if "row_weights" in known else np.ones(len(same))
    lines = {}
    for threshold in THRESHOLDS:
        called = same >= threshold
        pairs, expected = counts[called].sum(), (counts * same)[called].sum()
        lines[f"{threshold:g}"] = {
            "pairs called the same": pairs,
            "expected precision": expected / pairs if pairs else np.nan,
            "expected recall": expected / (counts * same).sum(),
        }
    text = (
        "Pairs whose probability of being the same is at least the threshold; precision and recall "
        "as the model expects them, among the pairs that were compared."
    )
    table = pd.DataFrame.from_dict(lines, orient="index").rename_axis("threshold")
    return {"Which pairs are the same?": (text, table)}
