"""Programs whose data have a distribution that is computed from these very data.

Censoring by ``y <= 0``, a mask ``y > 0``, or a mean ``a + b * x`` of data ``x`` that another site
emits give the right density, but do not say how new data are drawn: without data, the program would
compute the distribution from placeholders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import ExpandedDistribution
from numpyro.distributions.distribution import Independent, MaskedDistribution
from numpyro.ops.provenance import eval_provenance

from ppl_models import catalogue
from ppl_models.data.missing import missing_cells
from ppl_models.program.handlers.unbounded_totals import UnboundedTotals
from ppl_models.program.model import Model
from ppl_models.program.runtime.compiling import quickly
from ppl_models.program.runtime.distribution_trees import by_name
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.layout import is_scanned
from ppl_models.program.trace.structure import Structure


@dataclass(frozen=True)
class OwnData:
    """Data that the distribution of data is computed from.

    Args:
        reason: what depends on what, in words.
        itself: whether it is the very site that emits them.
    """

    reason: str
    itself: bool


def computed_from_own_data(model: Model, structure: Structure) -> OwnData | None:
    """Why new data cannot be drawn by running the program; None where they can.

    A mask that hides only missing cells does not count.

    Args:
        model: the program with its data.
        structure: what was read off it.

    >>> import jax.numpy as jnp, numpyro, numpyro.distributions as dist
    >>> def tobit(y=None):
    ...     loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    ...     with numpyro.plate("row", len(y)):
    ...         censored = dist.LeftCensoredDistribution(dist.Normal(loc, 1.0), y <= 0)
    ...         numpyro.sample("y", censored, obs=y)
    >>> model = Model(tobit, {"y": np.array([0.0, 1.0])}, {}, {})
    >>> computed_from_own_data(model, model.structure()).reason
    "the distribution of site 'y' is computed from the data 'y', which it emits itself"
    """
    if catalogue.is_built_in(model.function) or structure.chain is not None or not model.data:
        return None
    in_loops: list[str] = []

    def run(**data: Any) -> dict[str, tuple[list, list]]:
        program = handlers.uncondition(model.with_data(data).run)
        program = handlers.substitute(program, data=model.fixed)
        seeded = UnboundedTotals(handlers.seed(program, random.key(0)))
        trace = handlers.trace(seeded).get_trace()
        in_loops.extend(n for n, s in trace.items() if s["type"] == "control_flow")
        in_loops.extend(n for n in structure.emissions if is_scanned(trace[n]))
        return {n: _parts(trace[n]["fn"]) for n in structure.emissions}

    provenance = attempted(lambda: eval_provenance(run, **model.data))
    if provenance is None:  # (a run by the method tells why)
        return None
    if in_loops:  # what goes through a loop seems to come from all of its data
        return None
    emitted = ({*structure.emissions, *structure.sources} & set(model.data)) | _observed_in_part(
        model, structure
    )
    for site, (numbers, masks) in provenance.items():
        own = sorted({p for origin in numbers for p in origin} & emitted)
        own = [site] if site in own else own
        if own:
            whose = "it emits itself" if own[0] == site else "the program emits too"
            reason = f"the distribution of site '{site}' is computed from the data '{own[0]}'"
            return OwnData(f"{reason}, which {whose}", own[0] == site)
        own = sorted({p for origin in masks for p in origin} & emitted)
        if own and _hides_observed(model, site):
            reason = (
                f"a mask that is computed from the data '{own[0]}' hides cells of site '{site}'"
            )
            return OwnData(reason, site in own)
    return None


def _observed_in_part(model: Model, structure: Structure) -> set[str]:
    """Data from which what is observed is computed: a choice out of a ranking, later values."""
    if not structure.computed:
        return set()

    def run(**data: Any) -> list[Array]:
        seeded = handlers.seed(model.with_data({**model.data, **data}).held(), random.key(0))
        trace = handlers.trace(seeded).get_trace()
        return [trace[n]["value"] for n in structure.computed]

    own = {n: v for n, v in model.data.items() if n not in structure.computed}
    return set().union(*eval_provenance(run, **own))


def _parts(distribution: Any) -> tuple[list, list]:
    """The numbers that a distribution is made of, and its masks."""
    masks = []
    while isinstance(distribution, ExpandedDistribution | MaskedDistribution | Independent):
        if isinstance(distribution, MaskedDistribution):
            masks.append(distribution._mask)
        distribution = distribution.base_dist
    arrays = jax.tree.leaves(by_name(distribution))  # those that NumPyro calls static too
    return arrays, [m for m in masks if not isinstance(m, bool)]


def _hides_observed(model: Model, site: str) -> bool:
    """Whether a mask hides a cell that is not missing."""
    value = np.asarray(model.data[site]) if site in model.data else None
    for mask in _masks(model, site=site):
        hidden = ~np.asarray(mask)
        if value is None or hidden.ndim > value.ndim:
            return bool(hidden.any())
        gone = missing_cells(value)
        gone = gone.reshape(*hidden.shape, -1).all(-1) if hidden.ndim < gone.ndim else gone
        if (hidden & ~gone).any():
            return True
    return False


@quickly(static=("site",))
def _masks(model: Any, *, site: str) -> list[Array]:
    trace: Mapping[str, Any] = handlers.trace(
        handlers.seed(model.held(), random.key(0))
    ).get_trace()
    return _parts(trace[site]["fn"])[1]


def refusal(reason: str, what: str) -> str:
    """The sentence that says what cannot be had, why, and what to do."""
    return (
        f"{reason}, so that there is no {what}: use the value that numpyro.sample returns in place "
        "of these data, or give what is known of a row besides (whether it is censored) as data of "
        "its own"
    )
