"""Any of NumPyro's distributions as what hidden states emit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution, Independent

from ppl_models.data.missing import missing_cells
from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics
from ppl_models.distributions.missing_cells import complete, observed_log_prob
from ppl_models.errors import InputError

#: in place of the logarithm of zero, which has no gradient along the paths of a trellis
LOWEST = -1e10


class GeneralEmission(ExponentialFamily):
    """A distribution of NumPyro's that is no exponential family here, one component a state.

    No sums stand for its data: its statistics are the steps themselves, with the probability of
    every state at each. Parameters are therefore updated by gradients of their expected
    log-density, which pass over all steps. Zucchini, MacDonald and Langrock (2016), Hidden Markov
    Models for Time Series, §4.2.

    Args:
        distribution: NumPyro's; its last batch axis is the state.
        index: which of the distribution's components each entry of the batch is, counted along all
            its batch axes (default: each once).

    >>> import numpyro.distributions as dist
    >>> states = GeneralEmission(dist.Exponential(jnp.array([1.0, 2.0])))
    >>> states.log_prob(jnp.ones((3, 1))).shape, states.named_parameters()
    ((3, 2), {'rate': Array([1., 2.], dtype=float32)})
    """

    pytree_data_fields = ("distribution", "index")
    arg_constraints: ClassVar[dict[str, Any]] = {}
    parameter_dims: ClassVar[Mapping[str, int]] = {"index": 0}
    unreported_parameters = ("index",)
    keeps_rows = True

    def __init__(self, distribution: Any, index: Any = None, *, validate_args: bool | None = None):
        self.distribution = distribution
        self._components = math.prod(distribution.batch_shape)
        if index is None:
            index = jnp.arange(self._components).reshape(distribution.batch_shape)
        self.index = jnp.asarray(index)
        super().__init__(self.index.shape, distribution.event_shape, validate_args=validate_args)

    @classmethod
    def by_state(cls, distribution: Any) -> GeneralEmission:
        """Any distribution of NumPyro's with a component a state.

        Raises:
            InputError: a distribution without batch axes.
        """
        if not isinstance(distribution, Distribution) or not distribution.batch_shape:
            kind = type(distribution).__name__
            raise InputError(f"{kind} has no batch axis: give the emission one component a state")
        return cls(distribution)

    @property
    def support(self) -> Any:
        """That of the distribution."""
        return self.distribution.support

    @property
    def data_description(self) -> str:  # type: ignore[override]
        """What a step must be."""
        return f"values in {self.support}"

    def replace(self, **parameters: Array) -> GeneralEmission:
        """The same distribution with other of its components."""
        return GeneralEmission(
            self.distribution, parameters.get("index", self.index), validate_args=False
        )

    def named_parameters(self) -> dict[str, Array]:
        """Parameters that NumPyro names, those of what the distribution is built on too."""
        return dict(self._each_parameter())

    def _each_parameter(self) -> Iterator[tuple[str, Array]]:
        level, event_dims, seen = self.distribution, 0, set()
        while level is not None:
            if isinstance(level, Independent):
                event_dims += level.reinterpreted_batch_ndims
            for name, constraint in level.arg_constraints.items():
                value = getattr(level, name, None)
                if name in seen or value is None or hasattr(type(level), name):
                    continue  # computed from other arguments
                seen.add(name)
                own = constraint.event_dim if isinstance(constraint.event_dim, int) else 0
                value = jnp.asarray(value)
                event = value.shape[max(0, value.ndim - event_dims - own) :]
                expanded = jnp.broadcast_to(value, (*self.distribution.batch_shape, *event))
                yield name, expanded.reshape(-1, *event)[self.index]
            level = getattr(level, "base_dist", None)

    # ---- densities -----------------------------------------------------------------------------

    def _of_components(self, value: Array) -> Array:
        """Log-densities of data ``(..., event)`` under every component, on a last axis."""
        batch, event = value.shape[: value.ndim - self.event_dim], self.event_shape
        full = self.distribution.batch_shape
        spread = value.reshape(*batch, *[1] * len(full), *event)
        density = jnp.broadcast_to(observed_log_prob(self.distribution, spread), (*batch, *full))
        return density.reshape(*batch, self._components)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density; missing cells are marginalised."""
        density = self._of_components(jnp.asarray(value))
        batch = jnp.broadcast_shapes(density.shape[:-1], self.batch_shape)
        density = jnp.broadcast_to(density, (*batch, self._components))
        index = jnp.broadcast_to(self.index, batch)[..., None]
        return jnp.take_along_axis(density, index, axis=-1)[..., 0]

    pointwise = log_prob

    def logits(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, row)``, finite ones in place of ``-inf``."""
        density = self._exact(prepared)
        return jnp.where(jnp.isneginf(density), LOWEST, density)

    def _exact(self, prepared: Array) -> Array:
        return self._of_components(prepared).T[self.index.reshape(-1)]

    def impossible(self, prepared: Array, *, missing: bool, centre: Array) -> Array:
        """Where the density is zero."""
        return jnp.isneginf(self._exact(prepared))

    # ---- statistics ----------------------------------------------------------------------------

    def chunk_statistics(
        self, weights: Array, prepared: Array, *, missing: bool, centre: Array
    ) -> Statistics:
        """The weights ``(component, row)``, and the rows, behind an axis for all components."""
        return {"weights": weights, "steps": prepared[None]}

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``, by a pass over the rows."""
        weights = statistics["weights"]
        density = self.logits(statistics["steps"][0], missing=True, centre=centre)
        return jnp.where(weights > 0, weights * density, 0).sum(-1)

    def start_points(self, value: Array) -> Array:
        """The cells as real numbers (NaN: missing)."""
        cells = jnp.where(missing_cells(value), jnp.nan, value.astype(float))
        return cells.reshape(len(value), -1)

    # ---- draws ---------------------------------------------------------------------------------

    def _chosen(self, each: Array, batch: tuple[int, ...]) -> Array:
        """Of ``batch + components of the distribution + event`` the one that is meant."""
        flat = each.reshape(*batch, self._components, *self.event_shape)
        index = jnp.broadcast_to(self.index, batch)
        index = index.reshape(*batch, *[1] * (1 + self.event_dim))
        return jnp.take_along_axis(flat, index, axis=len(batch)).squeeze(len(batch))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + event``."""
        batch = (*sample_shape, *self.batch_shape)
        return self._chosen(self.distribution.sample(key, batch), batch)

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing cells given those observed at the same step."""
        batch = jnp.broadcast_shapes(value.shape[: value.ndim - self.event_dim], self.batch_shape)
        full, event = self.distribution.batch_shape, self.event_shape
        spread = jnp.broadcast_to(value, (*batch, *event)).reshape(*batch, *[1] * len(full), *event)
        spread = jnp.broadcast_to(spread, (*batch, *full, *event))
        filled = complete(self.distribution, key, spread.astype(float))
        return jax.lax.convert_element_type(self._chosen(filled, batch), filled.dtype)
