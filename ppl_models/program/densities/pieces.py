"""The densities that a program is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from numpyro.distributions import CategoricalLogits

from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.errors import UnsupportedError
from ppl_models.program.runtime.distribution_trees import by_name, plain_trees
from ppl_models.program.trace.structure import Structure


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True)
class Pieces:
    """The densities that a program is made of, at given values of its global sites.

    ``scales`` are the factors of the log-densities of assignment and emissions, of those that have
    one (``numpyro.handlers.scale`` and ``mask``), ``factors`` the program's ``numpyro.factor``,
    ``row_factors`` those that have an entry a row, summed up, ``possible`` which clusters the rows
    may be in where some are known; both ``(cluster, row)``.
    ``log_locals`` is the log-density of the rows' continuous sites that have values, by cluster and
    row.
    """

    priors: Mapping[str, Any]
    log_prior: Array
    log_weights: Array | None
    weights: Any
    emissions: Mapping[str, Any]
    scales: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, Any] = field(default_factory=dict)
    row_factors: Array | None = None
    possible: Array | None = None
    log_locals: Any = 0.0

    def tree_flatten(self) -> tuple[tuple, None]:
        """All fields are leaves."""
        return tuple(by_name(getattr(self, f.name)) for f in fields(self)), None

    @classmethod
    def tree_unflatten(cls, static: None, leaves: tuple) -> Pieces:
        """Inverse of flatten."""
        return cls(*(plain_trees(leaf) for leaf in leaves))

    @property
    def common_weights(self) -> Array | None:
        """The clusters' weights, ``(cluster,)``; None where they differ from row to row."""
        probs = getattr(self.weights, "probs", None)
        if probs is not None and jnp.ndim(probs) == 1 and not self.weights.batch_shape:
            return probs  # not those of a Bernoulli site that differ from row to row
        if self.log_weights is None or self.log_weights.shape[1] != 1:
            return None
        return jnp.exp(self.log_weights[:, 0])  # of a Bernoulli site, for instance

    def families(self) -> dict[str, ExponentialFamily]:
        """Emissions as exponential families, one batch axis: the component."""
        families = {}
        for name, emission in self.emissions.items():
            family = as_family(emission)
            if family is None:
                kind = type(unwrap(emission)).__name__
                raise UnsupportedError(
                    f"site '{name}' emits from {kind}, which is not one of the exponential "
                    "families here: use method='nuts' or 'map', or write it with a family of "
                    "ppl_models.distributions"
                )
            if family.batch_shape and family.batch_shape[-1] != 1:
                raise UnsupportedError(
                    f"the parameters of site '{name}' differ from row to row, so that it has no "
                    "sufficient statistics: use method='nuts' or 'map'"
                )
            families[name] = family.components()
        return families


def combine(structure: Structure, distributions: dict[str, Any], scales: dict[str, Any]) -> None:
    """Put one distribution over their combinations in place of those of several discrete sites.

    Args:
        structure: what was read off the program.
        distributions: of the discrete sites at all combinations; that of the first becomes the
            distribution of the combinations.
        scales: of the sites that are scaled, equally as ``structure_of`` made sure.
    """
    if not structure.combined:
        return
    total: Any = 0.0
    values = structure.values_of(jnp.arange(structure.clusters)[:, None])
    for name, value in values.items():
        total = total + unwrap(distributions.pop(name)).log_prob(value)
    several = [scale for n in values if (scale := scales.pop(n, None)) is not None]
    logits = jnp.broadcast_to(total, (structure.clusters, jnp.shape(total)[-1])).T
    first = str(structure.assignment)
    distributions[first] = CategoricalLogits(logits[0] if logits.shape[0] == 1 else logits)
    if several:
        scales[first] = several[0]
