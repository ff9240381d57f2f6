"""Global sites and the unconstrained space that optimisers and samplers move them in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from jax.flatten_util import ravel_pytree
from numpyro.distributions import biject_to, constraints

from ppl_models.program.runtime.compiling import QUICK


def is_real(support: Any) -> bool:
    """Whether the support is all real numbers, so that a site is its own free coordinates.

    >>> is_real(constraints.real_vector), is_real(constraints.positive)
    (True, False)
    """
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return isinstance(support, type(constraints.real))


@dataclass(frozen=True)
class Site:
    """A global site: its shape, the names of its axes and the space it lives in."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    support: Any

    def __hash__(self) -> int:
        return hash((self.name, self.dims, self.shape))

    @property
    def transform(self) -> Any:
        """The bijection from the unconstrained space."""
        return biject_to(self.support)

    @property
    def freedom(self) -> int:
        """Number of free coordinates: a simplex of K has K - 1, whole numbers have none."""
        return 0 if self.support.is_discrete else math.prod(self.unconstrained_shape)

    @property
    def unconstrained_shape(self) -> tuple[int, ...]:
        """Shape of its image in the unconstrained space."""
        return self.transform.inverse_shape(self.shape)


@dataclass(frozen=True)
class UnconstrainedSpace:
    """The image of continuous sites under NumPyro's bijections; static, so that it may be compiled.

    A point is a dictionary by site, or one vector in which the sites stand in order of their names.

    Args:
        sites: the sites.

    >>> import numpyro.distributions as dist
    >>> scale = Site("scale", (), (), dist.constraints.positive)
    >>> space = UnconstrainedSpace((scale,))
    >>> free = space.unconstrain({"scale": jnp.array(2.0)})
    >>> values, log_volume = space.constrain_with_volume(free)
    >>> [round(float(v), 3) for v in (free["scale"], values["scale"], log_volume)]
    [0.693, 2.0, 0.693]
    """

    sites: tuple[Site, ...]

    def of(self, names: Sequence[str]) -> UnconstrainedSpace:
        """The space of some of the sites."""
        return UnconstrainedSpace(tuple(site for site in self.sites if site.name in names))

    def unconstrain(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The images of those sites that have a value."""
        return {
            site.name: site.transform.inv(values[site.name])
            for site in self.sites
            if site.name in values
        }

    def constrain(self, free: Mapping[str, Array]) -> dict[str, Array]:
        """The sites whose images are given."""
        return {
            site.name: site.transform(free[site.name]) for site in self.sites if site.name in free
        }

    def constrain_with_volume(self, free: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
        """The sites, and log |det J| of the map, which a density in the free coordinates gains."""
        values = self.constrain(free)
        return values, self.log_volume(free, values)

    def log_volume(self, free: Mapping[str, Array], values: Mapping[str, Array]) -> Array:
        """log |det J| of the map that takes ``free`` to ``values``."""
        log_volume = jnp.zeros(())
        for site in self.sites:
            transform = site.transform
            change = transform.log_abs_det_jacobian(free[site.name], values[site.name])
            log_volume = log_volume + change.sum()
        return log_volume

    def ravel(self, free: Mapping[str, Array]) -> Array:
        """Images of all sites as one vector."""
        return ravel_pytree({site.name: free[site.name] for site in self.sites})[0]

    def unravel(self, vector: Array) -> dict[str, Array]:
        """Inverse of :meth:`ravel`."""
        blank = {
            site.name: jnp.zeros(site.unconstrained_shape, vector.dtype) for site in self.sites
        }
        return ravel_pytree(blank)[1](vector)


def draw_near_zero(sites: tuple[Site, ...], key: Array, radius: float) -> dict[str, Array]:
    """Values of sites whose images are uniform within ``radius``; discrete ones at one value.

    Args:
        sites: the sites.
        key: random key.
        radius: largest absolute value of a free coordinate.
    """
    draw = _drawn if isinstance(key, jax.core.Tracer) else _compiled
    return draw(sites, key, radius)


def _drawn(sites: tuple[Site, ...], key: Array, radius: float) -> dict[str, Array]:
    continuous = [site for site in sites if not site.support.is_discrete]
    shapes = [site.unconstrained_shape for site in continuous]
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    # one draw for all: every call of a generator is a long program to compile
    drawn = random.uniform(key, (int(ends[-1]) if len(ends) else 0,), minval=-1, maxval=1)
    pieces = jnp.split(radius * drawn, ends[:-1]) if len(ends) else []
    values = {
        site.name: site.transform(piece.reshape(shape))
        for site, shape, piece in zip(continuous, shapes, pieces, strict=True)
    }
    return {
        site.name: values[site.name]
        if site.name in values
        else site.support.feasible_like(jnp.zeros(site.shape, int))
        for site in sites
    }


# the sites alone are asked, so that it is compiled once for all data
_compiled = jax.jit(_drawn, static_argnums=0, compiler_options=QUICK)
