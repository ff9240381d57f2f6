"""Refusals before a method runs: priors out of range, data outside the support of an emission."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Dirichlet
from numpyro.distributions.constraints import is_dependent

from ppl_models.data.kinds import Observed
from ppl_models.data.missing import missing_cells
from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.scaled import weigh
from ppl_models.errors import InputError
from ppl_models.inference.missing_cells import missing_cells_fault
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.model import evaluate
from ppl_models.program.rows.rounding import coarse_component, extreme_values
from ppl_models.program.runtime.keys import make_key


def refuse_priors(problem: Problem) -> None:
    """Refuse priors whose arguments are out of range: their densities would be NaN."""
    for name, prior in problem.example.priors.items():
        while hasattr(prior, "base_dist"):
            prior = prior.base_dist
        for argument, constraint in prior.arg_constraints.items():
            if argument in vars(type(prior)) or is_dependent(constraint) or constraint.is_discrete:
                continue  # derived from another argument, or no number
            value = getattr(prior, argument, None)
            if value is not None and not np.all(constraint(np.asarray(value))):
                advice = f"give values in {getattr(constraint, 'base_constraint', constraint)}"
                if isinstance(prior, Dirichlet) and (np.asarray(value) == 0).any():
                    advice = (
                        "hold the site fixed where a probability shall stay 0, or write a program "
                        "that draws only the others"
                    )
                raise InputError(
                    f"the prior of site '{name}' has {argument}={np.asarray(value).tolist()}: "
                    f"{advice}"
                )


def _at(support: Any, place: tuple[int, ...]) -> str:
    """A support in words; bounds that differ by cell are the cell's, the widest of the clusters."""
    bounds = {n: np.asarray(v) for n, v in vars(support).items() if n.endswith("_bound")}
    if not any(b.ndim for b in bounds.values()):
        return str(support)
    own = []
    for name, bound in bounds.items():
        extent = np.min if name.startswith("lower") else np.max
        # (axes in front of the rows' run over clusters)
        by_cell = np.broadcast_to(bound, np.broadcast_shapes(bound.shape, (1,) * len(place)))
        flat = extent(by_cell, tuple(range(by_cell.ndim - len(place))))
        own.append(flat[tuple(i if n > 1 else 0 for i, n in zip(place, flat.shape, strict=True))])
    return f"{type(support).__name__.strip('_')}({', '.join(f'{b:g}' for b in own)})"


def _moves(problem: Problem, name: str) -> bool:
    """Whether the support of an emission depends on sites: Uniform(0, site), Binomial(site, p)."""
    model, structure = problem.model, problem.structure
    here = problem.example.emissions[name].support
    values = structure.initial(make_key(1))
    supports = [evaluate(model, values, structure=structure).emissions[name].support]
    if structure.indexed and structure.assignment is not None:  # the example's are all 0
        last = jnp.full(structure.assignment_shape, structure.clusters - 1)
        site = model.trace_at(values, structure, assignment=last)[name]
        supports.append(unwrap(weigh(site)[0]).support)
    return any(_differ(here, there) for there in supports)


def _differ(here: Any, there: Any) -> bool:
    """Whether two supports have other bounds."""
    pairs = zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True)
    return any(not np.array_equal(one, other) for one, other in pairs)


def refuse_unresolved(problem: Problem, result: Result, observed: Mapping[str, Observed]) -> None:
    """Refuse a single-precision fit with a component narrower than the spacing of float32."""
    if (fault := unresolved(problem, result, observed)) is not None:
        raise InputError(fault)


def unresolved(problem: Problem, result: Result, observed: Mapping[str, Observed]) -> str | None:
    """Which component of a single-precision fit is narrower than the spacing of float32."""
    if jnp.result_type(float) == jnp.float64:
        return None
    for name, family in problem.emission_families.items():
        sites = {w.parameter: w.site for w in problem.parameter_map.links if w.emission == name}
        loc = result.values.get(sites.get("loc", ""))
        scale = result.values.get(sites.get("scale", ""))
        covariance = result.values.get(sites.get("covariance", ""))
        if loc is None or (scale is None) == (covariance is None) or name not in observed:
            continue
        if covariance is not None:
            scale = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
            tied = family is not None and "covariance" in family.shared_parameters
            scale = scale[..., None, :] if tied else scale
        assert scale is not None
        scale = scale[(...,) + (None,) * (loc.ndim - scale.ndim)]
        loc, scale = (v.reshape(-1, *v.shape[2:]) for v in (loc, scale))
        fault = coarse_component(name, np.asarray(observed[name].values), loc, scale)
        if fault is not None:
            return fault
    return None


def refuse_unsuitable(problem: Problem) -> None:
    """Refuse data outside the support of the program's emissions, and cells that stay missing."""
    if (fault := unsuitable(problem)) is not None:
        raise InputError(fault)


def unsuitable(problem: Problem) -> str | None:
    """Which data are outside the support of an emission or stay missing; None: none are."""
    fault = missing_cells_fault(problem)
    return next(_outside_support(problem), None) if fault is None else fault


def _outside_support(problem: Problem) -> Iterator[str]:
    for name, emission in problem.example.emissions.items():
        # (as many rows as the example's; those that only fill up repeat the others)
        values = np.asarray((problem.read_from or problem).model.data[name])
        seen = ~missing_cells(values)
        autoregressive = problem.autoregressive.get(name)
        if autoregressive is not None and autoregressive.needs_whole_rows and not seen.all():
            place = tuple(int(i) for i in np.argwhere(~seen)[0])
            yield (
                f"'{name}' lacks the cell at row {place[0]}, column {place[1]}, and "
                f"{type(autoregressive).__name__} "
                "has no density of a row with missing cells: leave the row out"
            )
        support = emission.support
        single = support
        while hasattr(single, "base_constraint"):
            single = single.base_constraint
        if single.is_discrete is False and not seen.any():
            yield f"'{name}' has no observed cell: give it data"
        if single.is_discrete is False and (fault := extreme_values(name, values)) is not None:
            yield fault
        if is_dependent(single) or single.event_dim:
            continue  # a support of whole vectors cannot be judged cell by cell
        good = np.asarray(single(np.where(seen, values, 0))) | ~seen
        if good.ndim == values.ndim + 1:  # bounds by cluster, or by row with an axis for clusters
            good = good.any(0)
        if good.shape != values.shape or good.all() or _moves(problem, name):
            continue
        place = tuple(int(i) for i in np.argwhere(~good)[0])
        wanted = getattr(emission, "data_description", f"values in {_at(support, place)}")
        where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
        yield (
            f"site '{name}' emits {wanted}, and {where} is {values[place]}: "
            "recode the data or choose another program"
        )
