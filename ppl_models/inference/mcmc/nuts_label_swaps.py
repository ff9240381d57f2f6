"""The no-U-turn sampler with label swaps, for mixtures whose labels are not exchangeable.

Where only the prior tells clusters apart (stick breaking, for one), the posterior has a mode for
each labelling of the same clusters, of different masses, and trajectories do not get from one to
another. So each trajectory is followed by as many proposals to swap two labels as there are
clusters, Metropolis steps on the log-density itself; :mod:`.label_swaps` does the same for drawn
assignments. Sticks are moved so that the weights swap.

The mass matrix is that of one labelling, adapted while no labels are swapped (over all labellings
a location varies by the distance between clusters), and is permuted with the clusters afterwards.
The permutation depends on the accepted swaps alone, so that every trajectory has a fixed matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax, random
from numpyro.infer import NUTS

from ppl_models.program.model import Globals
from ppl_models.program.parameters.axes import permute_clusters
from ppl_models.program.parameters.exchangeability import LabelSwaps
from ppl_models.program.trace.structure import Structure


class LabelSwapNUTS(NUTS):
    """NUTS in which every trajectory is followed by proposals to swap labels.

    Args:
        energy: minus the log-density of unconstrained sites.
        swaps: axes of the sites that are permuted with the clusters, and the sticks.
        structure: what was read off the program.
        **tuning: of NUTS.
    """

    def __init__(
        self,
        energy: Callable[[Globals], Array],
        swaps: LabelSwaps,
        structure: Structure,
        **tuning: Any,
    ):
        super().__init__(potential_fn=energy, **tuning)
        self._energy, self._swaps, self._structure = energy, swaps, structure

    def init(
        self, rng_key: Array, num_warmup: int, init_params: Any, model_args: Any, model_kwargs: Any
    ) -> Any:
        """As NUTS."""
        self._warmup = num_warmup
        return super().init(rng_key, num_warmup, init_params, model_args, model_kwargs)

    def sample(self, state: Any, model_args: Any, model_kwargs: Any) -> Any:
        """One trajectory and the label swaps, for one chain or several side by side."""
        state = super().sample(state, model_args, model_kwargs)
        several = jnp.ndim(state.potential_energy) > 0
        return (jax.vmap(self._swap_labels) if several else self._swap_labels)(state)

    def _swap_labels(self, state: Any) -> Any:
        clusters, adapted = self._structure.clusters, state.i >= self._warmup

        def propose(carry: tuple, key: Array) -> tuple[tuple, None]:
            free, energy, places = carry
            first_key, second_key, accept_key = random.split(key, 3)
            first = random.randint(first_key, (), 0, clusters)
            second = (first + random.randint(second_key, (), 1, clusters)) % clusters
            order = jnp.arange(clusters).at[first].set(second).at[second].set(first)
            there, volume = self._moved(free, order)
            height = self._energy(there)
            chance = random.uniform(accept_key, (), energy.dtype)
            # not a number, where a support has no room for the order: never accepted
            accepted = adapted & (jnp.log(chance) < energy - height + volume)
            pairs = (there, height, places[order]), carry
            return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), *pairs), None

        key, *keys = random.split(state.rng_key, 1 + clusters)
        start = (state.z, state.potential_energy, jnp.arange(clusters))
        free, _, places = lax.scan(propose, start, jnp.stack(keys))[0]
        energy, slope = jax.value_and_grad(self._energy)(free)
        adaptation = self._with_clusters(state.adapt_state, free, places)
        return state._replace(
            z=free, potential_energy=energy, z_grad=slope, adapt_state=adaptation, rng_key=key
        )

    def _with_clusters(self, adaptation: Any, free: Globals, places: Array) -> Any:
        """The mass matrix, a diagonal, where the clusters have gone."""
        space = self._structure.space
        shapes = {n: v.shape for n, v in free.items()}
        axes = {
            n: tuple(a for a in own_axes if shapes[n][a : a + 1] == (len(places),))
            for n, own_axes in self._swaps.axes.items()
        }

        def moved(diagonal: Array) -> Array:
            return space.ravel(permute_clusters(space.unravel(diagonal), axes, places))

        names = ("inverse_mass_matrix", "mass_matrix_sqrt", "mass_matrix_sqrt_inv")
        return adaptation._replace(**{n: moved(getattr(adaptation, n)) for n in names})

    def _moved(self, free: Globals, order: Array) -> tuple[Globals, Array]:
        """Unconstrained sites with clusters in another order; the log volume of the move."""
        space = self._structure.space
        values = space.constrain(free)
        moved = permute_clusters(values, self._swaps.axes, order)
        volume = jnp.zeros(())
        sticks = self._swaps.sticks
        if sticks is not None:
            moved[sticks], volume = _sticks_in_order(values[sticks], order)
        there = space.unconstrain(moved)
        return there, volume + space.log_volume(free, values) - space.log_volume(there, moved)


def _sticks_in_order(sticks: Array, order: Array) -> tuple[Array, Array]:
    """Sticks of the same weights in another order, and the log volume of the move.

    >>> moved, _ = _sticks_in_order(jnp.array([0.5, 0.5]), jnp.array([1, 0, 2]))
    >>> [round(float(stick), 3) for stick in moved]  # of the weights 0.25, 0.5 and 0.25
    [0.25, 0.667]
    """
    one = jnp.ones(1, sticks.dtype)
    left = jnp.concatenate([one, jnp.cumprod(1 - sticks)])  # before each cluster
    weights = (left * jnp.concatenate([sticks, one]))[order]
    after = jnp.cumsum(weights[::-1])[::-1][:-1]
    moved = weights[:-1] / after
    limits = jnp.finfo(sticks.dtype)
    # a stick that rounding takes to its end would have no finite logarithm
    moved = jnp.clip(moved, limits.tiny, 1 - limits.epsneg)
    return moved, jnp.log(left[:-1]).sum() - jnp.log(after).sum()
