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
from ppl_models.models._report_tables import Tables

STATUS = ("different", "same")
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
