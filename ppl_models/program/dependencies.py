"""Which global sites the prior of a site depends on, by the flow of data through the program."""

from __future__ import annotations

from typing import Any

import jax
from jax import random
from numpyro.ops.provenance import eval_provenance

from ppl_models.program.model import Model
from ppl_models.program.structure import Structure


def prior_dependencies(model: Model, structure: Structure) -> dict[str, frozenset[str]]:
    """Global site -> the global sites that its prior depends on. Nothing is computed.

    >>> import numpyro, numpyro.distributions as dist
    >>> def program(x=None):
    ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    ...     loc = numpyro.sample("loc", dist.Normal(0.0, scale))
    ...     with numpyro.plate("row", 3):
    ...         numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)
    >>> model = Model(program, {"x": jax.numpy.zeros(3)}, {}, {})
    >>> found = prior_dependencies(model, model.structure())
    >>> {name: sorted(sites) for name, sites in found.items()}
    {'scale': [], 'loc': ['scale']}
    """

    def priors(**values: Any) -> dict[str, list]:
        trace = model.trace_at(values, structure)
        return {name: jax.tree.leaves(trace[name]["fn"]) for name in structure.names}

    shapes = jax.eval_shape(structure.initial, random.key(0))
    provenance = eval_provenance(priors, **shapes)
    return {name: frozenset().union(*provenance[name]) for name in structure.names}


def hyperparameters(model: Model, structure: Structure) -> frozenset[str]:
    """Global sites that the data depend on through the priors of other global sites only.

    The likelihood does not know them: they are no free parameters of its maximum.

    >>> import numpyro, numpyro.distributions as dist
    >>> def program(x=None):
    ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    ...     loc = numpyro.sample("loc", dist.Normal(0.0, scale))
    ...     with numpyro.plate("row", 3):
    ...         numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)
    >>> model = Model(program, {"x": jax.numpy.zeros(3)}, {}, {})
    >>> sorted(hyperparameters(model, model.structure()))
    ['scale']
    """
    own = [*structure.emissions, *structure.locals]
    own += [] if structure.assignment is None else [structure.assignment]

    def densities(**values: Any) -> list:
        trace = model.trace_at(values, structure)
        return [jax.tree.leaves(trace[name]["fn"]) for name in own]

    shapes = jax.eval_shape(structure.initial, random.key(0))
    found = eval_provenance(densities, **shapes)
    used = frozenset().union(*(each for leaves in found for each in leaves))
    return frozenset().union(*prior_dependencies(model, structure).values()) - used
