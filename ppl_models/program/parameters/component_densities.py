"""Densities by component: of clusters, of terms of a mixture distribution, of hidden states."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.missing_cells import term_log_probs
from ppl_models.program.densities.pair_passes import tables_of
from ppl_models.program.model import Globals, Model, evaluate
from ppl_models.program.parameters.axes import CHAIN
from ppl_models.program.parameters.parameter_map import all_parameters
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


class ClusterDensities:
    """Of the clusters of a discrete site: log-weights, and joint log-densities of every row."""

    def __init__(self, model: Model, structure: Structure):
        self.model, self.structure = model, structure
        self.components = structure.clusters

    def log_prior(self, values: Globals) -> np.ndarray:
        """Log prior density of the global sites."""
        return np.asarray(_log_prior(self.model, values, structure=self.structure))

    def by_component(self, values: Globals) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """Log-weights also by themselves: the densities of far rows would drown them."""
        by_cluster = _of_clusters(self.model, values, structure=self.structure)
        axes = ((0,), (0,), (0, 1))
        return [(np.asarray(v), own) for v, own in zip(by_cluster, axes, strict=False)]

    def usable(self, values: Globals) -> bool:
        """Whether every cluster has a finite density of some row."""
        return all(_finite(v) for v, _ in self.by_component(values))


class TermDensities:
    """Of the terms of an emission that is a mixture distribution, without a discrete site."""

    def __init__(self, model: Model, structure: Structure, components: int):
        self.model, self.structure, self.components = model, structure, components

    def log_prior(self, values: Globals) -> np.ndarray:
        """Log prior density of the global sites."""
        return np.asarray(_log_prior(self.model, values, structure=self.structure))

    def by_component(self, values: Globals) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """Joint log-densities of term and row, ``(component, row)``."""
        return [(np.asarray(_of_terms(self.model, values, structure=self.structure)), (0,))]

    def usable(self, values: Globals) -> bool:
        """Whether every term has a finite density of some row."""
        return all(_finite(v) for v, _ in self.by_component(values))


class StateDensities:
    """Of hidden states: every parameter of the chain and of its emissions."""

    def __init__(self, model: Model, structure: Structure, components: int):
        self.model, self.structure, self.components = model, structure, components

    @cached_property
    def _shared(self) -> set[tuple[str, str]]:
        pieces = evaluate(self.model, self.structure.initial(make_key(1)), **self._static)
        families = pieces.families()
        return {(n, p) for n, family in families.items() for p in family.shared_parameters}

    @property
    def _static(self) -> dict[str, Any]:
        return {"structure": self.structure}

    def log_prior(self, values: Globals) -> np.ndarray:
        """Log prior density of the global sites."""
        return np.asarray(evaluate(self.model, values, structure=self.structure).log_prior)

    def by_component(self, values: Globals) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        """Parameters ``(1, state, ...)``; of a chain all axes run over states."""
        pieces = evaluate(self.model, values, structure=self.structure)
        by_state = []
        for key, parameter in all_parameters(pieces, self.structure).items():
            value = np.asarray(parameter.value)
            axes = tuple(range(1, value.ndim)) if key[1] in CHAIN else (1,)
            axes = tuple(a for a in axes if a < value.ndim)
            by_state.append((value, () if key in self._shared else axes))
        return by_state

    def usable(self, values: Globals) -> bool:
        """Whether all parameters are numbers."""
        return all(np.isfinite(v).all() for v, _ in self.by_component(values))


def mixture_terms(model: Model, structure: Structure, emission: Any) -> int:
    """Number of terms of a program's only emission where it is a mixture distribution; else 0.

    Args:
        model: the program with its data.
        structure: what was read off its trace.
        emission: its distribution, at any values.
    """
    if structure.assignment is not None or len(structure.emissions) != 1 or structure.locals:
        return 0
    mixture = _mixture(emission)
    return 0 if mixture is None else int(mixture.mixture_size)


def term_log_joint(model: Model, values: Globals, structure: Structure) -> Array:
    """``log p(term, x_n)`` of a mixture distribution, ``(component, row)``."""
    (name,) = structure.emissions
    mixture = _mixture(model.pieces(values, structure).emissions[name])
    assert mixture is not None
    joint = term_log_probs(mixture, jnp.asarray(model.data[name]))
    return jnp.broadcast_to(joint, (structure.rows, mixture.mixture_size)).T


def _mixture(emission: Any) -> Any:
    """A mixture distribution over the rows' own cells, or None."""
    own = unwrap(emission)
    kinds = (dist.MixtureSameFamily, dist.MixtureGeneral)
    return own if isinstance(own, kinds) and len(own.batch_shape) <= 1 else None


def _finite(value: np.ndarray) -> bool:
    return bool(np.isfinite(value).any(axis=1).all())


@quickly(static=("structure",))
def _log_prior(model: Model, values: Globals, *, structure: Structure) -> Array:
    return model.pieces(values, structure).log_prior


@quickly(static=("structure",))
def _of_clusters(model: Model, values: Globals, *, structure: Structure) -> tuple[Array, ...]:
    log_weights = model.pieces(values, structure).log_weights
    assert log_weights is not None
    if structure.coupled:
        return (log_weights, *tables_of(model, values, structure))
    return log_weights, model.logits(values, structure)


@quickly(static=("structure",))
def _of_terms(model: Model, values: Globals, *, structure: Structure) -> Array:
    return term_log_joint(model, values, structure)
