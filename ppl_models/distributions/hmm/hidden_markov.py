"""A hidden chain of states, each of which emits: draws of sequences, paths and missing cells."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, random

from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.hmm.statistics import HiddenStatistics
from ppl_models.distributions.log_of_zero import safe_log


class HiddenMarkov(HiddenStatistics):
    """Sequences x₁ … x_T emitted along a hidden chain z₁ … z_T.

        p(x) = Σ_z initial[z₁] Π_t transition[z_t, z_t+1] Π_t p(x_t | z_t)

    With ``initial_transition`` B the chain is of second order: the next state depends on two.

        p(x) = Σ_z initial[z₁] B[z₁, z₂] Π_t transition[z_t-1, z_t, z_t+1] Π_t p(x_t | z_t)

    A datum is ``(position, ...)``: an emission's datum at every step. A sequence ends with its
    last step that has an observed cell; steps within it may be missing (NaN; -1 among codes),
    wholly or, where the emission factorises, in part.

    Args:
        initial: ``batch + (state,)``.
        transition: ``batch + (state, state)``; or ``(state, state + 1)``, whose last column is
            the probability of ending after the state. Of second order one axis of states more.
        emission: a distribution whose last batch axis is the state.
        positions: number of positions of a datum.
        initial_transition: of second order, what follows the first state: ``batch + (state,
            state)``, or with as many columns as ``transition`` has.

    Raises:
        InputError: ``initial_transition`` and ``transition`` that do not fit.

    >>> from ppl_models.distributions.exponential.gaussian import UnivariateGaussian
    >>> states = UnivariateGaussian(jnp.array([0.0, 5.0]), jnp.ones(2))
    >>> chain = HiddenMarkov(jnp.array([1.0, 0.0]), jnp.full((2, 2), 0.5), states, positions=2)
    >>> round(float(chain.log_prob(jnp.array([0.0, 5.0]))), 3)
    -2.531
    """

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
        pairs = self.order == 2
        table = jnp.concatenate([chains.step, (1 - chains.step.sum(-1, keepdims=True)).clip(0)], -1)
        if not self.ends:
            table = table.at[..., -1].set(0)
        # a uniform number falls between two of a row's running sums, the last being one
        upto = jnp.cumsum(table, -1)
        upto = (upto / upto[..., -1:])[..., :-1].reshape(
            *table.shape[: -1 - self.order], -1, states
        )
        upto = jnp.broadcast_to(upto, (*shape, *upto.shape[-2:]))
        first = random.categorical(start_key, safe_log(self.initial), shape=shape)

        def step(carry: tuple[Array, Array], uniform: Array) -> tuple[tuple[Array, Array], Array]:
            before, state = carry
            here = jnp.clip(state, 0, states - 1)
            index = before * states + here if pairs else here
            row = jnp.take_along_axis(upto, index[..., None, None], -2)[..., 0, :]
            after = (row <= uniform[..., None]).sum(-1, dtype=state.dtype)
            after = jnp.where(state == states, states, after)
            return (here, after), after

        uniforms = random.uniform(step_key, (self.positions - 1, *shape), upto.dtype)
        _, rest = jax.lax.scan(step, (jnp.full_like(first, states), first), uniforms)
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
            return flat.infer_latents(prepared, missing=True, centre=centre, how=how, key=key)[1][
                "path"
            ][0]

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
        looked = flat.infer_latents(prepared, missing=True, centre=centre)[1]
        paths = flat._paths_of(looked, jnp.ones((1, len(rows)), flat.initial.dtype))
        return jnp.moveaxis(flat._of_states(paths.states)[0], 0, -1).swapaxes(0, 1)

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
        lengths = (path >= 0).sum(-1, keepdims=True)
        last = jnp.take_along_axis(path, lengths - 1, -1)
        known = (last == jnp.arange(self.states)).astype(flat.initial.dtype)
        second = None
        if self.order == 2:  # the first step from here on has a state before it, if there is one
            before = jnp.take_along_axis(path, jnp.clip(lengths - 2, 0), -1)[:, 0]
            alone = (lengths < 2)[..., None]
            second = jnp.where(alone, flat.initial_transition[0], flat.transition[0][before])
        chain = HiddenMarkov(
            known,
            flat.transition,
            flat.emission,
            positions=steps + 1,
            initial_transition=second,
            validate_args=False,
        )
        drawn, states = chain.sample_with_path(key)
        return drawn[:, 1:], states[:, 1:]
