"""Approximate posteriors of the global sites, in the unconstrained space.

A guide treats the sites that it is given as random, normal as one vector, and all others as a
point; with no random site it is the point alone, and its objective the log joint density.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import Array, random

from ppl_models.program.model import Globals
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.trace.sites import UnconstrainedSpace
from ppl_models.program.trace.structure import Structure

Params = dict[str, Array]
WIDTH = 0.02  #: standard deviations at the start, in the unconstrained space
SHAPES = ("mean_field", "low_rank", "full_rank")


@dataclass(frozen=True)
class Guide:
    """A normal distribution of some sites, a point for the others; static.

    Args:
        structure: what was read off the program.
        random_sites: sites that are random.
        shape: "mean_field" (independent), "low_rank" or "full_rank".
        rank: columns of the low-rank factor.
    """

    structure: Structure
    random_sites: tuple[str, ...] = ()
    shape: str = "mean_field"
    rank: int = 10

    @property
    def random_space(self) -> UnconstrainedSpace:
        """The unconstrained space of the random sites."""
        return self.structure.space.of(self.random_sites)

    @property
    def point_sites(self) -> tuple[str, ...]:
        """The sites that are a point."""
        return tuple(n for n in self.structure.names if n not in self.random_sites)

    def initial(self, key: Array, values: Globals) -> Params:
        """Parameters that start, narrowly, about values of the global sites."""
        vector = self.random_space.ravel(self.random_space.unconstrain(values))
        points = self.structure.space.of(self.point_sites).unconstrain(values)
        params = {f"point {n}": v for n, v in points.items()}
        if not self.random_sites:
            return params
        log_width = jnp.full(vector.shape, jnp.log(WIDTH), vector.dtype)
        params |= {"loc": vector, "log_width": log_width}
        if self.shape == "low_rank":
            size = (*vector.shape, self.rank)
            params["factor"] = 0.1 * WIDTH * random.normal(key, size, vector.dtype)
        if self.shape == "full_rank":
            params["factor"] = jnp.zeros((vector.size, vector.size), vector.dtype)
        return params

    def normal(self, params: Params) -> dist.Distribution:
        """The distribution of the random sites' vector."""
        loc, width = params["loc"], jnp.exp(params["log_width"])
        if self.shape == "mean_field":
            return dist.Normal(loc, width).to_event(1)
        if self.shape == "low_rank":
            return dist.LowRankMultivariateNormal(loc, params["factor"], width**2)
        return dist.MultivariateNormal(
            loc, scale_tril=jnp.tril(params["factor"], -1) + jnp.diag(width)
        )

    def values(self, params: Params, key: Array) -> tuple[Globals, Array]:
        """A draw of the global sites, and the log volume of the random ones' map."""
        free = {n[6:]: v for n, v in params.items() if n.startswith("point ")}
        if self.random_sites:
            free |= self.random_space.unravel(self.normal(params).rsample(key, ()))
        values = self.structure.space.constrain(free)
        return values, self.random_space.log_volume(free, values)

    def weighted_values(self, params: Params, key: Array) -> tuple[Globals, Array]:
        """A draw of the global sites, and log volume minus log q of it, which its weight has."""
        free = {n[6:]: v for n, v in params.items() if n.startswith("point ")}
        normal = self.normal(params)
        vector = normal.rsample(key, ())
        free |= self.random_space.unravel(vector)
        values = self.structure.space.constrain(free)
        return values, self.random_space.log_volume(free, values) - normal.log_prob(vector)

    def middle(self, params: Params) -> Globals:
        """The global sites at the centre of the guide."""
        free = {n[6:]: v for n, v in params.items() if n.startswith("point ")}
        if self.random_sites:
            free |= self.random_space.unravel(params["loc"])
        return self.structure.space.constrain(free)

    def entropy(self, params: Params) -> Array:
        """Of the random sites' vector; 0 where none is random."""
        return self.normal(params).entropy() if self.random_sites else jnp.zeros(())


def draws_of(guide: Guide, params: Params, key: Array, count: int) -> Globals:
    """``count`` draws of the global sites, ``(draw, ...)``."""
    return _draws(params, random.split(key, count), guide=guide)


@quickly(static=("guide",))
def _draws(params: Params, keys: Array, *, guide: Guide) -> Globals:
    return jax.lax.map(lambda key: guide.values(params, key)[0], keys)
