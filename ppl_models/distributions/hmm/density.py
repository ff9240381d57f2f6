"""A hidden chain's density: whole sequences, their paths summed out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.distributions import constraints

from ppl_models.distributions.convert import as_family
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.exponential.stacked import StackedFamily
from ppl_models.distributions.hmm import forward_backward as hidden_paths
from ppl_models.distributions.hmm.forward_backward import Chain
from ppl_models.errors import InputError


class HiddenDensity(ExponentialFamily):
    """Parameters, rows and density of `HiddenMarkov`."""

    latent = True
    component_picture = "transitions"
    factorises = True
    pytree_data_fields = ("initial", "initial_transition", "transition", "emission")
    pytree_aux_fields = ("positions",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "initial": constraints.simplex,
        "initial_transition": constraints.independent(constraints.simplex, 1),
        "transition": constraints.independent(constraints.simplex, 1),
    }

    def __init__(
        self,
        initial: Any,
        transition: Any,
        emission: Any,
        *,
        positions: int,
        initial_transition: Any = None,
        validate_args: bool | None = None,
    ):
        family = as_family(emission)
        if family is None:
            raise TypeError(f"{type(emission).__name__} is not one of the exponential families")
        self.initial, self.transition = jnp.asarray(initial), jnp.asarray(transition)
        self.emission, self.positions = family, int(positions)
        self.initial_transition = (
            None if initial_transition is None else jnp.asarray(initial_transition)
        )
        shapes = [self.initial.shape[:-1], family.batch_shape[:-1]]
        shapes += [getattr(self, n).shape[: -self._chain_dims[n]] for n in self._chain_dims]
        self._check_shapes()
        event = (self.positions, *family.event_shape)
        super().__init__(jnp.broadcast_shapes(*shapes), event, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        """The emission's parameters are the chain's too."""
        emission = self.__dict__.get("emission")
        if emission is not None and name in emission.parameter_dims:
            return getattr(emission, name)
        raise AttributeError(name)

    # ---- what it is made of ------------------------------------------------------------------

    def _check_shapes(self) -> None:
        if self.initial_transition is None:
            return
        first, later = self.initial_transition.shape, self.transition.shape
        if first[-2] != self.states or later[-3:] != (self.states, *first[-2:]):
            raise InputError(
                f"initial_transition has shape {first} and transition {later}: a chain of second "
                f"order over {self.states} states has (state, next) and (state, state, next)"
            )

    def get_args(self) -> dict[str, Any]:
        """Parameters to validate: a chain of first order has no ``initial_transition``."""
        return {n: v for n, v in super().get_args().items() if v is not None}

    @property
    def order(self) -> int:
        """How many states the next one depends on."""
        return 1 if self.initial_transition is None else 2

    @property
    def _chain_dims(self) -> dict[str, int]:
        """The chain's own parameters, and how many axes each has."""
        if self.order == 1:
            return {"initial": 1, "transition": 2}
        return {"initial": 1, "initial_transition": 2, "transition": 3}

    @property
    def parameter_dims(self) -> dict[str, int]:  # type: ignore[override]
        """Chain and emission; an emission's parameter has the state's axis more."""
        shared = self.emission.shared_parameters
        emission = {n: d + (n not in shared) for n, d in self.emission.parameter_dims.items()}
        return {**self._chain_dims, **emission}

    @property
    def parameter_axes(self) -> dict[str, tuple[str, ...]]:  # type: ignore[override]
        """Chain and emission; an emission's parameter has the state's axis first."""
        steps = ("previous_state", "state", "next_state")
        chain = {n: steps[1:] if d == 2 else steps for n, d in self._chain_dims.items()}
        shared = self.emission.shared_parameters
        emission = {
            n: axes if n in shared else ("state", *axes)
            for n, axes in self.emission.parameter_axes.items()
        }
        return {**chain, "initial": ("state",), **emission}

    @property
    def shared_parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the emission."""
        return self.emission.shared_parameters

    @property
    def states(self) -> int:  # type: ignore[override]
        """Number of states."""
        return self.initial.shape[-1]

    @property
    def ends(self) -> bool:
        """Whether the chain ends by itself."""
        return self.transition.shape[-1] > self.states

    @property
    def data_description(self) -> str:  # type: ignore[override]
        """What a step must be."""
        return self.emission.data_description

    @property
    def support(self) -> Any:
        """That of a step, at every step."""
        return constraints.independent(self.emission.support, 1)

    def static_arguments(self) -> dict[str, Any]:
        """The number of positions."""
        return {"positions": self.positions}

    def replace(self, **parameters: Array) -> HiddenDensity:
        """The same chain with other parameters."""
        own = {n: parameters.pop(n, getattr(self, n)) for n in self._chain_dims}
        emission = self.emission.replace(**parameters) if parameters else self.emission
        return type(self)(**own, emission=emission, positions=self.positions, validate_args=False)

    def _chains(self) -> Chain:
        """One chain a component."""
        initial, table = self.initial, self.transition
        if self.initial_transition is not None:
            k, batch = self.states, self.batch_shape
            first = jnp.broadcast_to(
                self.initial_transition, batch + self.initial_transition.shape[-2:]
            )[..., None, :, :]
            table = jnp.broadcast_to(table, batch + table.shape[-3:])
            table = jnp.concatenate([table, first], -3)
            initial = jnp.broadcast_to(initial, (*batch, k))
            initial = jnp.concatenate([jnp.zeros((*batch, k * k), initial.dtype), initial], -1)
        end = table[..., self.states :].sum(-1)
        end = end if self.order == 1 else end.reshape(initial.shape)
        return Chain(
            initial, table[..., : self.states], end if self.ends else jnp.ones_like(initial)
        )

    def _cut(self, prepared: Any) -> Array:
        """Sequences of which it was not seen how they end: none, for all data end."""
        return jnp.zeros(prepared["lengths"].shape, bool)

    def _chains_of(self, prepared: Any) -> Chain:
        """Chains that have ended where their sequences have: an empty one has not."""
        chains, lengths = self._chains(), prepared["lengths"]
        if not self.ends:
            return chains
        end = jnp.where(self._cut(prepared), 1, chains.end[..., None])
        return chains._replace(end=jnp.where(lengths > 0, end, 0))

    def _flat(self) -> ExponentialFamily:
        """The emission with components and states on one axis."""
        return self.emission.components()

    def _by_state(self, value: Array) -> Array:
        """``(component × state, ...)`` as ``(component, state, ...)``."""
        return value.reshape(-1, self.states, *value.shape[1:])

    # ---- rows as passes need them ------------------------------------------------------------

    def centre(self, value: Array) -> Array:
        """That of all steps."""
        return self.emission.centre(self._steps(value))

    def _steps(self, value: Array) -> Array:
        """All steps of all sequences, ``(position × sequence, ...)``."""
        return jnp.swapaxes(value, 0, 1).reshape(-1, *self.emission.event_shape)

    def _seen(self, value: Array) -> Array:
        """Which cells are observed."""
        return ~jnp.isnan(value) if jnp.issubdtype(value.dtype, jnp.floating) else value >= 0

    def seen_steps(self, value: Array) -> Array:
        """Steps with an observed cell, ``(position, sequence)``."""
        return self._seen(value).any(tuple(range(2, value.ndim))).T

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Any:
        """Steps as the emission needs them, which are seen, and lengths."""
        cells, seen = self._seen(value), self.seen_steps(value)
        lengths = self._lengths_of(value, seen)
        steps, observed = self._steps(value), self._steps(cells)
        if not missing:
            possible = self.emission.support.feasible_like(steps).astype(steps.dtype)
            steps = jnp.where(observed, steps, possible)
        prepared = self.emission.prepare(steps, missing=missing, centre=centre)
        if self._blank_unseen:
            prepared = prepared * seen.reshape(-1)
        return {"steps": prepared, "seen": seen, "lengths": lengths}

    @property
    def _blank_unseen(self) -> bool:
        """Whether steps that are not seen have no statistics, so that they are passed over."""
        return isinstance(self.emission, StackedFamily)

    def lengths(self, value: np.ndarray) -> np.ndarray | None:
        """Up to the last step with an observed cell."""
        gone = np.isnan(value) if value.dtype.kind == "f" else value < 0
        seen = ~gone.all(tuple(range(2, value.ndim)))
        return np.maximum(value.shape[1] - seen[:, ::-1].argmax(1), 1) * seen.any(1) + ~seen.any(1)

    def _lengths_of(self, value: Array, seen: Array) -> Array:
        """Steps of every sequence: up to its last one with an observed cell."""
        return jnp.max(jnp.where(seen, jnp.arange(1, len(seen) + 1)[:, None], 0), axis=0)

    def numbers_per_row(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass has at hand for each sequence."""
        paths = self.states * (1 if self.order == 1 else self.states + 1)
        numbers = math.prod(self.batch_shape) * paths * value.shape[1]
        return math.prod(value.shape[1:]) * 2 + 6 * numbers

    def _step_logits(
        self, prepared: Any, missing: bool, centre: Array, exact: bool = False
    ) -> Array:
        """Log-densities of the steps, ``(component, state, step, sequence)``.

        Of second order a state is a pair, of which the last one emits. If ``exact``, those of the
        impossible are ``-inf``, which has no gradient.
        """
        seen = prepared["seen"]
        family = self._flat()
        flat = family.logits(prepared["steps"], missing=missing, centre=centre)
        if exact:
            never = family.impossible(prepared["steps"], missing=missing, centre=centre)
            flat = flat if never is None else jnp.where(never, -jnp.inf, flat)
        logits = self._by_state(flat).reshape(-1, self.states, *seen.shape)
        if not self._blank_unseen:
            logits = jnp.where(seen, logits, 0)
        return logits if self.order == 1 else jnp.tile(logits, (1, self.states + 1, 1, 1))

    def start_points(self, value: Array) -> Array:
        """Steps as points, ``(position × sequence, coordinate)``."""
        return self.emission.start_points(self._steps(value))

    def observed_points(self, value: Array) -> Array:
        """Steps with an observed cell."""
        return self.seen_steps(value).reshape(-1)

    # ---- densities ---------------------------------------------------------------------------

    def logits(self, prepared: Any, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, sequence)``, paths summed out."""
        logits = self._step_logits(prepared, missing, centre)
        return self._summed_out(logits, prepared)

    def impossible(self, prepared: Any, *, missing: bool, centre: Array) -> Array | None:
        """No path that is possible has steps that are."""
        logits = self._step_logits(prepared, missing, centre, exact=True)
        return jnp.isneginf(self._summed_out(logits, prepared))

    def _summed_out(self, logits: Array, prepared: Any) -> Array:
        chains, lengths = self._chains_of(prepared), prepared["lengths"]
        return jax.vmap(hidden_paths.log_likelihood, (0, 0, None))(chains, logits, lengths)

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density of whole sequences, paths and missing steps summed out."""
        one_for_all = not self.batch_shape or self.batch_shape[-1] == 1
        if jnp.ndim(value) != self.event_dim + 1 or not one_for_all:
            return self.pointwise(jnp.asarray(value))
        flat, known = self.components(), None
        if not isinstance(value, jax.core.Tracer):
            known = self.has_missing_cells(value)
        value = jnp.asarray(value)
        centre = jax.lax.stop_gradient(flat.centre(value))

        def contract(missing: bool) -> Array:
            return flat.contract(value, missing=missing, centre=centre)

        if known is not None or not self.emission.event_dim:
            logits = contract(bool(known))
        elif self.emission.factorises:  # cells that are missing cost little
            logits = contract(True)
        else:
            part = _in_part(self._seen(value))
            logits = jax.lax.cond(part, lambda: contract(True), lambda: contract(False))
        return logits.reshape(self.batch_shape[:-1] + (len(value),))

    def has_missing_cells(self, value: Any) -> bool:
        """Whether steps are missing in part (those that are missing as a whole are left out)."""
        if not self.emission.event_dim:
            return False
        cells = np.asarray(value)  # not by JAX: within a trace it would know no values
        return bool(_in_part(~np.isnan(cells) if cells.dtype.kind == "f" else cells >= 0))

    def pointwise(self, value: Array) -> Array:
        """Log-density with any batch of parameters."""
        batch = jnp.broadcast_shapes(value.shape[: -self.event_dim], self.batch_shape)
        rows = jnp.broadcast_to(value, (*batch, *self.event_shape)).reshape(-1, *self.event_shape)
        own, over = {}, {}
        for name, dims in self.parameter_dims.items():
            parameter, shared = getattr(self, name), name in self.shared_parameters
            event = parameter.shape[parameter.ndim - dims :]
            if not shared:
                parameter = jnp.broadcast_to(parameter, (*batch, *event)).reshape(-1, *event)
            own[name], over[name] = parameter, None if shared else 0

        def one(parameters: dict[str, Array], row: Array) -> Array:
            return self.replace(**parameters).log_prob(row[None])[0]

        return jax.vmap(one, (over, 0))(own, rows).reshape(batch)


def _in_part(seen: Any) -> Any:
    """Whether some features of a step ``(sequence, position, ...)`` are observed and others not."""
    event = tuple(range(2, seen.ndim))
    return (seen.any(event) & ~seen.all(event)).any()
