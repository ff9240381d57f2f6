"""Rows of categories from hidden classes: latent class analysis."""

from __future__ import annotations

from typing import Annotated, Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from ppl_models.data.kinds import FEATURE_AXIS, Categories
from ppl_models.distributions import BlockDirichlet, CategoricalVector
from ppl_models.models._pseudo_counts import pseudo_counts
from ppl_models.models._weights import mixture_weights


def categorical_mixture(
    x: Annotated[Any, Categories, FEATURE_AXIS] = None,
    *,
    clusters: int,
    levels: tuple[int, ...],
    weight_prior: str = "dirichlet",
    concentration: float = 1.0,
    level_concentration: float | None = None,
    rows: int | None = None,
) -> Any:
    """Rows of categories from hidden classes (latent class analysis).

        π ~ Dirichlet(concentration)              how common the classes are
        θ_kd ~ Dirichlet(level_concentration)     how often feature d has each of its levels
        z_n ~ Categorical(π)                      which class row n is of
        x_nd | z_n = k ~ Categorical(θ_kd)

    Features may have unequal numbers of levels: the levels of all features lie side by side on
    one axis, ``level``. By default a posterior mode has no probability of 0, so that no new row is
    impossible; with ``level_concentration=1`` the prior is flat. Lazarsfeld and Henry (1968).

    Args:
        x: ``(row, feature)`` of codes from 0; gaps are NaN; None generates ``rows`` rows.
        clusters: K.
        levels: number of levels of every feature.
        weight_prior: prior of the weights π: "dirichlet", or "stick_breaking" for a Dirichlet
            process cut off at K clusters.
        concentration: of the prior of the weights; a number, or ``(cluster,)`` for a Dirichlet.
        level_concentration: of the Dirichlet priors of the levels; a number or ``(level,)``
            (default: 1 + 1 / (KM) for a feature of M levels).
        rows: number of rows where there are no data.

    Returns:
        The rows.

    >>> from jax import random
    >>> from numpyro import handlers
    >>> program = handlers.seed(categorical_mixture, random.key(0))
    >>> program(clusters=2, levels=(2, 3), rows=5).shape
    (5, 2)
    """
    if x is not None:
        rows = jnp.shape(x)[0]
    weights = mixture_weights(clusters, concentration, weight_prior)
    with numpyro.plate("cluster", clusters):
        probs = numpyro.sample(
            "probs",
            BlockDirichlet(pseudo_counts(level_concentration, clusters, levels), levels),
            infer={"event_dims": ["level"]},
        )
    with numpyro.plate("row", rows):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample(
            "x", CategoricalVector(probs[z], levels), obs=x, infer={"event_dims": ["feature"]}
        )
