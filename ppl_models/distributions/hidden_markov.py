"""A hidden chain of states, each of which emits: whole sequences, their paths summed out."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro.distributions import Dirichlet, Distribution, constraints

from ..errors import UnsupportedError
from . import hidden_paths
from .bernoulli import safe_log
from .conditionals import DirichletConditional
from .convert import as_family
from .exponential_family import ExponentialFamily, Statistics
from .hidden_paths import Chain, Paths


class HiddenMarkov(ExponentialFamily):
    """Sequences x₁ … x_T emitted along a hidden chain z₁ … z_T.

        p(x) = Σ_z initial[z₁] Π_t transition[z_t, z_t+1] Π_t p(x_t | z_t)

    A datum is ``(position, ...)``: an emission's datum at every step. A sequence ends with its
    last step that has an observed cell; steps within it may be missing (NaN; -1 among codes),
    wholly or, where the emission factorises, in part.

    Args:
        initial: ``batch + (state,)``.
        transition: ``batch + (state, state)``; or ``(state, state + 1)``, whose last column is
            the probability of ending after the state.
        emission: a distribution whose last batch axis is the state.
        positions: number of positions of a datum.

    >>> from .gaussian import UnivariateGaussian
    >>> states = UnivariateGaussian(jnp.array([0.0, 5.0]), jnp.ones(2))
    >>> chain = HiddenMarkov(jnp.array([1.0, 0.0]), jnp.full((2, 2), 0.5), states, positions=2)
    >>> round(float(chain.log_prob(jnp.array([0.0, 5.0]))), 3)
    -2.531
    """

    latent = True
    factorises = True
    pytree_data_fields = ("initial", "transition", "emission")
    pytree_aux_fields = ("positions",)
    arg_constraints: ClassVar[dict[str, Any]] = {
        "initial": constraints.simplex,
        "transition": constraints.independent(constraints.simplex, 1),
    }

    def __init__(
        self,
        initial: Any,
        transition: Any,
        emission: Any,
        *,
        positions: int,
        validate_args: bool | None = None,
    ):
        family = as_family(emission)
        if family is None:
            raise TypeError(f"{type(emission).__name__} is not one of the exponential families")
        self.initial, self.transition = jnp.asarray(initial), jnp.asarray(transition)
        self.emission, self.positions = family, int(positions)
        shapes = (self.initial.shape[:-1], self.transition.shape[:-2], family.batch_shape[:-1])
        event = (self.positions, *family.event_shape)
        super().__init__(jnp.broadcast_shapes(*shapes), event, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        """The emission's parameters are the chain's too."""
        emission = self.__dict__.get("emission")
        if emission is not None and name in emission.parameter_dims:
            return getattr(emission, name)
        raise AttributeError(name)

    # ---- what it is made of ------------------------------------------------------------------

    @property
    def parameter_dims(self) -> dict[str, int]:  # type: ignore[override]
        """Chain and emission; an emission's parameter has the state's axis more."""
        shared = self.emission.shared_parameters
        emission = {n: d + (n not in shared) for n, d in self.emission.parameter_dims.items()}
        return {"initial": 1, "transition": 2, **emission}

    @property
    def shared_parameters(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the emission."""
        return self.emission.shared_parameters

    @property
    def states(self) -> int:
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

    def replace(self, **parameters: Array) -> HiddenMarkov:
        """The same chain with other parameters."""
        own = {n: parameters.pop(n, getattr(self, n)) for n in ("initial", "transition")}
        emission = self.emission.replace(**parameters) if parameters else self.emission
        return HiddenMarkov(**own, emission=emission, positions=self.positions, validate_args=False)

    def _chains(self) -> Chain:
        """One chain a component."""
        end = self.transition[..., self.states :].sum(-1)
        ones = jnp.ones_like(self.initial)
        return Chain(self.initial, self.transition[..., : self.states], end if self.ends else ones)

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

    def prepare(self, value: Array, *, missing: bool, centre: Array) -> Any:
        """Steps as the emission needs them, which are seen, and lengths."""
        event = tuple(range(2, value.ndim))
        cells = self._seen(value)
        seen = cells.any(event).T
        lengths = self._lengths_of(value, seen)
        steps, observed = self._steps(value), self._steps(cells)
        inner = missing and self.emission.factorises
        if not inner:
            steps = jnp.where(observed, steps, jnp.zeros((), steps.dtype))
        prepared = self.emission.prepare(steps, missing=inner, centre=centre)
        return {"steps": prepared, "seen": seen, "lengths": lengths}

    def _lengths_of(self, value: Array, seen: Array) -> Array:
        """Steps of every sequence: up to its last one with an observed cell."""
        return jnp.max(jnp.where(seen, jnp.arange(1, len(seen) + 1)[:, None], 0), axis=0)

    def cells(self, value: Any, *, missing: bool) -> int:
        """Numbers that a pass has at hand for each sequence."""
        numbers = math.prod(self.batch_shape) * self.states * self.positions
        return math.prod(value.shape[1:]) * 2 + 6 * numbers

    def _step_logits(self, prepared: Any, missing: bool, centre: Array) -> Array:
        """Log-densities of the steps, ``(component, state, step, sequence)``."""
        seen = prepared["seen"]
        inner = missing and self.emission.factorises
        flat = self._flat().logits(prepared["steps"], missing=inner, centre=centre)
        logits = self._by_state(flat).reshape(-1, self.states, *seen.shape)
        return jnp.where(seen, logits, 0)

    # ---- paths -------------------------------------------------------------------------------

    def look(
        self,
        prepared: Any,
        *,
        missing: bool,
        centre: Array,
        how: str = "mean",
        key: Array | None = None,
    ) -> tuple[Array, Any]:
        """Log-densities ``(component, sequence)``, and what is known of the paths."""
        logits = self._step_logits(prepared, missing, centre)
        chains, lengths = self._chains_of(prepared), prepared["lengths"]
        if how == "mean":
            total, paths = jax.vmap(hidden_paths.expected, (0, 0, None))(chains, logits, lengths)
            return total, prepared | {"paths": paths}
        if how == "best":
            total, path = jax.vmap(hidden_paths.best, (0, 0, None))(chains, logits, lengths)
        else:
            keys = random.split(key, len(logits))  # type: ignore[arg-type]
            draw = jax.vmap(hidden_paths.drawn, (0, 0, 0, None))
            total, path = draw(keys, chains, logits, lengths)
        as_shares = jax.vmap(hidden_paths.one_path, (0, None, None, None))
        paths = as_shares(path, self.states, lengths, logits.dtype)
        return total, prepared | {"paths": paths, "path": path}

    def logits(self, prepared: Any, *, missing: bool, centre: Array) -> Array:
        """Log-densities ``(component, sequence)``, paths summed out."""
        logits = self._step_logits(prepared, missing, centre)
        summed = jax.vmap(hidden_paths.log_likelihood, (0, 0, None))
        return summed(self._chains_of(prepared), logits, prepared["lengths"])

    def sums(self, weights: Array, prepared: Any, *, missing: bool, centre: Array) -> Statistics:
        """Expected first states, steps from state to state, and the emission's statistics."""
        if "paths" not in prepared:
            prepared = self.look(prepared, missing=missing, centre=centre)[1]
        paths: Paths = prepared["paths"]
        moves = jax.vmap(hidden_paths.transitions)(paths, weights)
        if self.ends:
            ended = jax.vmap(hidden_paths.endings, (0, 0, None))
            last = ended(paths, weights * ~self._cut(prepared), prepared["lengths"])
            moves = jnp.concatenate([moves, last[..., None]], axis=-1)
        shares = paths.states * weights[:, None, None]
        statistics = self._emitted(shares, prepared, missing, centre)
        return {"initial": shares[:, :, 0].sum(-1), "transition": moves, **statistics}

    def _emitted(self, shares: Array, prepared: Any, missing: bool, centre: Array) -> Statistics:
        """The emission's statistics under shares ``(component, state, step, sequence)``."""
        inner = missing and self.emission.factorises
        shares = (shares * prepared["seen"]).reshape(-1, prepared["seen"].size)
        return self._flat().sums(shares, prepared["steps"], missing=inner, centre=centre)

    def seeded(self, weights: Array, value: Array, *, missing: bool, centre: Array) -> Statistics:
        """Statistics under given shares of the states, ``(state, step × sequence)``."""
        prepared = self.prepare(value, missing=missing, centre=centre)
        shape = prepared["seen"].shape
        active = jnp.arange(shape[0])[:, None] < prepared["lengths"]
        shares = weights.reshape(self.states, *shape) * active
        after = jnp.concatenate([shares[:, 1:], jnp.zeros_like(shares[:, :1])], axis=1)
        ones = jnp.ones((self.states, self.states), weights.dtype)
        paths = jax.tree.map(lambda v: v[None], Paths(shares, shares, after, ones))
        flat = self.components()
        count = jnp.ones((1, shape[1]), weights.dtype)
        return flat.sums(count, prepared | {"paths": paths}, missing=missing, centre=centre)

    # ---- densities ---------------------------------------------------------------------------

    def log_prob(self, value: Any, intermediates: list[Any] | None = None) -> Array:
        """Log-density of whole sequences, paths and missing steps summed out."""
        one_for_all = not self.batch_shape or self.batch_shape[-1] == 1
        if jnp.ndim(value) != self.event_dim + 1 or not one_for_all:
            return self.pointwise(jnp.asarray(value))
        # known only where the data are: cells of a step may be missing one by one
        missing = self._in_part() if isinstance(value, jax.core.Tracer) else self.gaps(value)
        value = jnp.asarray(value)
        flat = self.components()
        centre = jax.lax.stop_gradient(flat.centre(value))
        logits = flat.contract(value, missing=missing, centre=centre)
        return logits.reshape(self.batch_shape[:-1] + (len(value),))

    def _in_part(self) -> bool:
        return bool(self.emission.event_dim and self.emission.factorises)

    def gaps(self, value: Any) -> bool:
        """Whether steps are missing in part (those that are missing as a whole are left out).

        Raises:
            UnsupportedError: steps in part where the emission does not factorise over features.
        """
        if not self.emission.event_dim:
            return False
        cells = np.asarray(value)  # not by JAX: within a trace it would know no values
        seen = ~np.isnan(cells) if np.issubdtype(cells.dtype, np.floating) else cells >= 0
        event = tuple(range(2, seen.ndim))
        part = seen.any(event) & ~seen.all(event)
        if part.any() and not self.emission.factorises:
            row, step = np.argwhere(part)[0]
            raise UnsupportedError(
                f"sequence {row} is missing some features of step {step}, which cannot be left out "
                "where features are correlated: use covariance='diagonal', or leave the whole step "
                "out"
            )
        return bool(part.any())

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

    def expected_log_density(self, statistics: Statistics, centre: Array) -> Array:
        """``(component,)``."""
        start = (statistics["initial"] * safe_log(self.initial)).sum(-1)
        moves = (statistics["transition"] * safe_log(self.transition)).sum((-1, -2))
        inner = self._flat().expected_log_density(self._inner(statistics), centre)
        return start + moves + self._by_state(inner).sum(-1)

    def _inner(self, statistics: Statistics) -> Statistics:
        return {n: v for n, v in statistics.items() if n not in ("initial", "transition")}

    def maximum_likelihood(self, statistics: Statistics, centre: Array) -> dict[str, Array]:
        """Shares of the steps, and the emission's own."""
        own = {n: DirichletConditional(1 + statistics[n]).mode() for n in ("initial", "transition")}
        emission = self._flat().maximum_likelihood(self._inner(statistics), centre)
        shared = self.shared_parameters
        return own | {n: v if n in shared else self._by_state(v) for n, v in emission.items()}

    def conditional(
        self,
        parameter: str,
        prior: Distribution | None,
        statistics: Statistics,
        centre: Array,
        *,
        shared: bool,
    ) -> Any | None:
        """Dirichlets for the chain; the emission's own conditionals for its parameters."""
        if parameter in ("initial", "transition"):
            if prior is not None and not isinstance(prior, Dirichlet):
                return None
            counts = statistics[parameter].sum(0) if shared else statistics[parameter]
            return DirichletConditional((1.0 if prior is None else prior.concentration) + counts)
        if not shared and parameter not in self.shared_parameters:
            return None  # a chain for every cluster: states and clusters share an axis
        if len(self.initial) > 1:
            return None
        tied = parameter in self.shared_parameters
        return self._flat().conditional(
            parameter, prior, self._inner(statistics), centre, shared=tied and shared
        )

    def collapsed(self, deviation: Array) -> Array:
        """Whether a state has shrunk onto a step or a plane."""
        return self._by_state(self._flat().collapsed(deviation)).any(-1)

    def features(self, value: Array) -> Array:
        """Steps as points, ``(position × sequence, coordinate)``."""
        return self.emission.features(self._steps(value))

    # ---- draws -------------------------------------------------------------------------------

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws ``sample_shape + batch + event``; steps after an end are NaN (or -1)."""
        return self.sample_with_path(key, sample_shape)[0]

    def sample_with_path(
        self, key: Array, sample_shape: tuple[int, ...] = ()
    ) -> tuple[Array, Array]:
        """Draws and their states ``sample_shape + batch + (position,)``, -1 after an end."""
        shape = (*sample_shape, *self.batch_shape)
        start_key, step_key, emit_key = random.split(key, 3)
        chains, states = self._chains(), self.states
        table = jnp.concatenate([chains.step, (1 - chains.step.sum(-1, keepdims=True)).clip(0)], -1)
        if not self.ends:
            table = table.at[..., -1].set(0)
        table = jnp.broadcast_to(safe_log(table), (*shape, states, states + 1))
        first = random.categorical(start_key, safe_log(self.initial), shape=shape)

        def step(state: Array, key: Array) -> tuple[Array, Array]:
            row = jnp.take_along_axis(table, jnp.clip(state, 0, states - 1)[..., None, None], -2)
            after = random.categorical(key, row[..., 0, :])
            after = jnp.where(state == states, states, after)
            return after, after

        keys = random.split(step_key, self.positions - 1)
        _, rest = jax.lax.scan(step, first, keys)
        path = jnp.concatenate([first[None], rest])  # (position, shape)
        inside = jnp.clip(path, 0, states - 1)
        chosen = self._emissions_at(inside, components=len(self.batch_shape)).sample(emit_key)
        over = (path == states).reshape(*path.shape, *[1] * self.emission.event_dim)
        if self.ends:
            absent = jnp.nan if jnp.issubdtype(chosen.dtype, jnp.floating) else -1
            chosen = jnp.where(over, absent, chosen)
        path = jnp.where(path == states, -1, path)
        return jnp.moveaxis(chosen, 0, len(shape)), jnp.moveaxis(path, 0, -1)

    def complete(self, key: Array, value: Array) -> Array:
        """Draw missing cells given all others: a path by backward sampling, then the emission."""
        path_key, cell_key = random.split(key)
        rows = value.reshape(-1, *self.event_shape)
        drawn = self._paths(rows, "draw", path_key)
        each = self._emissions_at(drawn)
        steps = jnp.swapaxes(rows, 0, 1)
        filled = each.complete(cell_key, steps)
        inside = jnp.arange(self.positions)[:, None] < self._lengths(rows)
        inside = inside.reshape(*inside.shape, *[1] * self.emission.event_dim)
        filled = jnp.where(inside, filled, steps)
        return jnp.swapaxes(filled, 0, 1).reshape(value.shape)

    def _lengths(self, rows: Array) -> Array:
        return self.prepare(rows, missing=True, centre=self.components().centre(rows))["lengths"]

    def _paths(self, rows: Array, how: str, key: Array | None = None) -> Array:
        """Paths ``(step, sequence)`` of rows under a chain of their own or one for all."""
        count = math.prod(self.batch_shape)
        if count == 1:
            flat = self.components()
            centre = flat.centre(rows)
            prepared = flat.prepare(rows, missing=True, centre=centre)
            return flat.look(prepared, missing=True, centre=centre, how=how, key=key)[1]["path"][0]

        flat = self.components()
        own = {n: getattr(flat, n) for n in self.parameter_dims}
        over = {n: None if n in self.shared_parameters else 0 for n in own}

        def one(parameters: dict[str, Array], row: Array, key: Array) -> Array:
            return flat.replace(**parameters)._paths(row[None], how, key)[:, 0]

        keys = random.split(random.key(0) if key is None else key, len(rows))
        return jax.vmap(one, (over, 0, 0), 1)(own, rows, keys)

    def _emissions_at(self, path: Array, components: int = 1) -> ExponentialFamily:
        """Every step's own state's emission.

        Args:
            path: states ``(..., component axes)``.
            components: how many of the last axes are the chain's own batch; chains of one
                component serve any path.
        """
        # chains that share their emission still have it each for itself
        flat, count = self.components()._flat(), math.prod(self.batch_shape)
        index = path
        if count > 1:
            own = self.batch_shape if components == len(self.batch_shape) else (count,)
            index = path + self.states * jnp.arange(count).reshape(own)
        shared = self.emission.shared_parameters
        return self.emission.replace(
            **{
                n: getattr(flat, n) if n in shared else getattr(flat, n)[index]
                for n in self.emission.parameter_dims
            }
        )

    def state_shares(self, value: Array) -> Array:
        """P(state | whole sequence) of every step, ``(sequence, position, state)``."""
        rows = value.reshape(-1, *self.event_shape)
        flat = self.components()
        centre = flat.centre(rows)
        prepared = flat.prepare(rows, missing=True, centre=centre)
        paths = flat.look(prepared, missing=True, centre=centre)[1]["paths"]
        return jnp.moveaxis(paths.states[0], 0, -1).swapaxes(0, 1)

    def inside(self, value: Array) -> Array:
        """Which steps there are, ``(sequence, position)``: those up to a sequence's end."""
        rows = value.reshape(-1, *self.event_shape)
        return jnp.arange(self.positions) < self._lengths(rows)[:, None]

    def best_path(self, value: Array) -> Array:
        """The most probable path of every sequence, ``(sequence, position)``; -1 after its end."""
        rows = value.reshape(-1, *self.event_shape)
        return jnp.where(self.inside(rows), self._paths(rows, "best").T, -1)

    def draw_path(self, key: Array, value: Array) -> Array:
        """A path of every sequence given its steps, ``(sequence, position)``; -1 after its end."""
        rows = value.reshape(-1, *self.event_shape)
        return jnp.where(self.inside(rows), self._paths(rows, "draw", key).T, -1)

    def draw_ahead(self, key: Array, path: Array, steps: int) -> tuple[Array, Array]:
        """What follows paths ``(sequence, position)``: ``(sequence, steps, ...)`` and its states.

        Args:
            key: random key.
            path: see :meth:`draw_path`.
            steps: how many.
        """
        flat = self.components()
        last = jnp.take_along_axis(path, (path >= 0).sum(-1, keepdims=True) - 1, -1)
        known = (last == jnp.arange(self.states)).astype(flat.initial.dtype)
        chain = HiddenMarkov(
            known, flat.transition, flat.emission, positions=steps + 1, validate_args=False
        )
        drawn, states = chain.sample_with_path(key)
        return drawn[:, 1:], states[:, 1:]
