"""Where priors put their sites: from there numbers of any unit are within reach of an optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from ppl_models.distributions.scaled import ScaledPrior
from ppl_models.program.model import Globals, Model
from ppl_models.program.trace.sites import Site, is_real
from ppl_models.program.trace.structure import Structure

LEVELS = 2  #: of priors that depend on other sites, which are followed
FARTHEST_START = 30.0  #: free coordinates beyond it overflow where they are exponents


def at_prior_means(
    model: Model, structure: Structure, values: Globals, names: Sequence[str]
) -> Globals:
    """Values of which some are moved by the images of their prior means, where there are such.

    Args:
        model: the program with data.
        structure: what was read off it.
        values: of the global sites.
        names: sites whose values are near the origin of the unconstrained space.
    """
    if not names:
        return values
    origin = structure.space.unconstrain(values)
    for _ in range(LEVELS):
        priors = model.pieces(values, structure).priors
        moved = dict(values)
        for site in structure.sites:
            mean = prior_moment(priors.get(site.name), "mean", site.shape)
            if mean is None or site.name not in names:
                continue
            place = site.transform.inv(mean)
            near = jnp.isfinite(place)
            if not is_real(site.support):
                near &= jnp.abs(place) < FARTHEST_START
            place = jnp.where(near, place, 0.0) + origin[site.name]
            moved[site.name] = site.transform(place)
        values = moved
    return values


def reaches(priors: Mapping[str, Any], sites: Sequence[Site], farthest: float) -> dict[str, Array]:
    """How far each free coordinate may move in a step, by site.

    That is ``farthest``, and for a real number as many times as far as its prior reaches, which
    knows the unit that it is in.

    Args:
        priors: by site.
        sites: the sites.
        farthest: in units of 1, in which logarithms and log-odds are.
    """
    places_by_site = {}
    for site in sites:
        each = jnp.full(site.unconstrained_shape, farthest)
        prior = priors.get(site.name)
        mean, variance = (prior_moment(prior, name, site.shape) for name in ("mean", "variance"))
        if is_real(site.support) and mean is not None and variance is not None:
            reach = jnp.abs(mean) + jnp.sqrt(variance)
            each = each * jnp.where(jnp.isfinite(reach), jnp.maximum(reach, 1.0), 1.0)
        places_by_site[site.name] = each
    return places_by_site


def prior_moment(prior: Any, name: str, shape: tuple[int, ...]) -> Array | None:
    """The mean or variance of a prior, broadcast to its site; None where it states none.

    Args:
        prior: a distribution, or None.
        name: "mean" or "variance".
        shape: of the site.

    >>> import numpyro.distributions as dist
    >>> prior_moment(dist.Gamma(4.0, 2.0), "mean", (2,)).tolist()
    [2.0, 2.0]
    """
    prior = prior.base if isinstance(prior, ScaledPrior) else prior
    try:  # distributions of NumPyro and of users leave moments out in all of these ways
        return jnp.broadcast_to(getattr(prior, name), shape)
    except (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError):
        return None  # (of an inverse gamma of shape 2 NumPyro divides Python's numbers by 0)
