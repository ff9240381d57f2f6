"""What hidden states emit: a family whose last batch axis is the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from numpyro.distributions import Distribution

from ppl_models.distributions.exponential.family import ExponentialFamily, Statistics
from ppl_models.distributions.exponential.stacked import StackedFamily
from ppl_models.distributions.hmm.general_emission import GeneralEmission


@dataclass(frozen=True)
class StateEmissions:
    """The emissions of K states, steps of sequences being rows of the family.

    All steps of all sequences are rows ``(position × sequence, ...)``; components and states are
    one axis of the family, and two of what it returns.

    Args:
        family: its batch is ``(component, state)``, or ``(state,)``.
        states: K.
    """

    family: ExponentialFamily
    states: int

    @property
    def flat(self) -> ExponentialFamily:
        """The family with components and states on one axis."""
        return self.family.components()

    @property
    def parameter_dims(self) -> dict[str, int]:
        """Parameters, and how many axes each has, the state's among them."""
        shared = self.family.shared_parameters
        return {n: d + (n not in shared) for n, d in self.family.parameter_dims.items()}

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:
        """Parameters, and the names of their axes, the state's first."""
        shared = self.family.shared_parameters
        axes = self.family.parameter_axes
        return {n: own if n in shared else ("state", *own) for n, own in axes.items()}

    def by_state(self, values: Array) -> Array:
        """``(component × state, ...)`` as ``(component, state, ...)``."""
        return values.reshape(-1, self.states, *values.shape[1:])

    def steps(self, sequences: Array) -> Array:
        """All steps of ``sequences (sequence, position, ...)`` as rows."""
        return jnp.swapaxes(sequences, 0, 1).reshape(-1, *self.family.event_shape)

    # ---- densities -----------------------------------------------------------------------------

    @property
    def blank_unseen(self) -> bool:
        """Whether statistics of zeros drop out, as those of steps without an observed cell do."""
        return isinstance(self.family, StackedFamily)

    def prepare(
        self, sequences: Array, cells: Array, seen: Array, *, missing: bool, centre: Array
    ) -> Any:
        """Steps as the family needs them.

        Args:
            sequences: ``(sequence, position, ...)``.
            cells: which of their cells are observed.
            seen: which steps have an observed cell, ``(position, sequence)``.
            missing: whether steps are missing in part.
            centre: the shift of the steps.
        """
        steps = self.steps(sequences)
        if isinstance(self.family, GeneralEmission):
            return steps  # whose density leaves missing cells out
        if not missing:
            possible = self.family.support.feasible_like(steps).astype(steps.dtype)
            steps = jnp.where(self.steps(cells), steps, possible)
        prepared = self.family.prepare(steps, missing=missing, centre=centre)
        return prepared * seen.reshape(-1) if self.blank_unseen else prepared

    def log_densities(
        self, steps: Any, seen: Array, *, missing: bool, centre: Array, exact: bool = False
    ) -> Array:
        """Log-densities of the steps, ``(component, state, position, sequence)``.

        If ``exact``, those of impossible steps are ``-inf``, which has no gradient.
        """
        flat = self.flat
        values = flat.logits(steps, missing=missing, centre=centre)
        if exact:
            never = flat.impossible(steps, missing=missing, centre=centre)
            values = values if never is None else jnp.where(never, -jnp.inf, values)
        values = self.by_state(values).reshape(-1, self.states, *seen.shape)
        return values if self.blank_unseen else jnp.where(seen, values, 0)

    # ---- statistics and updates ----------------------------------------------------------------

    def chunk_statistics(
        self, probabilities: Array, steps: Any, seen: Array, *, missing: bool, centre: Array
    ) -> Any:
        """The family's statistics, to be summed over chunks.

        Args:
            probabilities: of the states, ``(component, state, position, sequence)``.
            steps: see :meth:`prepare`.
            seen: see :meth:`prepare`.
            missing: whether steps are missing in part.
            centre: the shift of the steps.
        """
        if not self.blank_unseen:
            probabilities = probabilities * seen
        weights = probabilities.reshape(-1, seen.size)
        return self.flat.chunk_statistics(weights, steps, missing=missing, centre=centre)

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        return self.by_state(self.flat.expected_log_density(statistics, centre)).sum(-1)

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """The posterior of a parameter given the others; None where it is not conjugate.

        None too for several components that each have states of their own: states and components
        share an axis of the family.
        """
        tied = parameter in self.family.shared_parameters
        if not shared and not tied:
            return None
        return self.flat.conditional(parameter, prior, statistics, centre, shared=tied and shared)

    def collapsed(self, deviation: Array) -> Array:
        """Whether a state of each component has shrunk onto a step or a plane, ``(component,)``."""
        return self.by_state(self.flat.collapsed(deviation)).any(-1)

    # ---- along paths ---------------------------------------------------------------------------

    def at(self, path: Array, batch: tuple[int, ...] = ()) -> ExponentialFamily:
        """The emission of the state of every step.

        Args:
            path: states ``(..., *batch)``.
            batch: of the components that the last axes of the path belong to; () for one
                component, whatever the axes.
        """
        flat, index = self.flat, path
        if batch:
            components = jnp.arange(flat.batch_shape[0] // self.states)
            index = path + self.states * components.reshape(batch)
        shared = self.family.shared_parameters
        return self.family.replace(
            **{
                n: getattr(flat, n) if n in shared else getattr(flat, n)[index]
                for n in self.family.parameter_dims
            }
        )

    def sample(self, key: Array, path: Array, batch: tuple[int, ...] = ()) -> Array:
        """Draw every step of paths, see :meth:`at`.

        A path is K from its end on, where NaN is drawn, or -1 among codes.
        """
        drawn = self.at(jnp.clip(path, 0, self.states - 1), batch).sample(key)
        ended = (path == self.states).reshape(*path.shape, *[1] * self.family.event_dim)
        absent = jnp.nan if jnp.issubdtype(drawn.dtype, jnp.floating) else -1
        return jnp.where(ended, absent, drawn)
