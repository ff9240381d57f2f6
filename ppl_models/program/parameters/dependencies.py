"""Which global sites a site depends on, by the flow of data through the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
from numpyro.ops.provenance import eval_provenance

from ppl_models.program.model import Model
from ppl_models.program.runtime.compiling import by_shapes
from ppl_models.program.runtime.keys import make_key
from ppl_models.program.trace.structure import Structure


@by_shapes
def site_dependencies(model: Model, structure: Structure) -> dict[str, frozenset[str]]:
    """Site -> the global sites that its distribution depends on. Nothing is computed.

    Of the global sites, the rows' own continuous sites, the assignment and the emissions.

    >>> import numpyro, numpyro.distributions as dist
    >>> def program(x=None):
    ...     scale = numpyro.sample("scale", dist.HalfNormal(1.0))
    ...     loc = numpyro.sample("loc", dist.Normal(0.0, scale))
    ...     with numpyro.plate("row", 3):
    ...         numpyro.sample("x", dist.Normal(loc, 1.0), obs=x)
    >>> model = Model(program, {"x": jax.numpy.zeros(3)}, {}, {})
    >>> depends = site_dependencies(model, model.structure())
    >>> {name: sorted(sites) for name, sites in depends.items()}
    {'scale': [], 'loc': ['scale'], 'x': ['loc']}
    """
    names = [*structure.names, *structure.locals, *structure.emissions]
    names += [] if structure.assignment is None else [structure.assignment]

    def distributions(**values: Any) -> dict[str, list]:
        trace = model.trace_at(values, structure)
        return {name: jax.tree.leaves(trace[name]["fn"]) for name in names}

    shapes = jax.eval_shape(structure.initial, make_key(0))
    provenance = eval_provenance(distributions, **shapes)
    return {name: frozenset().union(*provenance[name]) for name in names}


def hyperparameters(depends: Mapping[str, frozenset[str]], structure: Structure) -> frozenset[str]:
    """Global sites that enter the priors of other global sites only.

    The likelihood does not depend on them, so that they are not counted as its free parameters.

    Args:
        depends: of :func:`site_dependencies`.
        structure: what was read off the program's trace.
    """
    priors = frozenset[str]().union(*(depends[name] for name in structure.names))
    below = frozenset[str]().union(*(d for n, d in depends.items() if n not in structure.names))
    return priors - below
