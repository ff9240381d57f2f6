"""A method's result as an ``xarray.DataTree`` that ArviZ reads as it is.

Groups: ``posterior``, ``emission_parameters`` (parameters that are no site as they stand),
``sample_stats``, ``log_likelihood`` (the marginal of every row or sequence), ``log_prior`` (of
every site), ``observed_data``, ``constant_data``, ``responsibilities``, ``posterior_predictive``,
``prior``, ``prior_predictive``, and of optimising methods ``starts`` and ``path``. The attribute
``facts`` says what they mean (see ``posterior.result.schema``). Axes are named by the program's
plates and ``event_dims``; the axis that the assignment indexes is called ``cluster``. Predictive
groups and ``prior`` are drawn when they are first read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import Array

from ppl_models import memory
from ppl_models.data.derived import ROW_WEIGHTS
from ppl_models.data.kinds import Observed
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.posterior.build.axes import Axes, Variable
from ppl_models.posterior.build.facts import ComputedParameters, read_facts
from ppl_models.posterior.build.predictive_groups import predictive_groups
from ppl_models.posterior.build.row_deterministics import row_deterministics
from ppl_models.posterior.density.locals import integral_note
from ppl_models.posterior.density.rows import (
    density_of_draws,
    log_joint_of_draws,
    log_prior_of_draws,
)
from ppl_models.posterior.result.schema import (
    FACTS,
    HIDDEN,
    PARAMETERS,
    ROW_LABELS,
    ROW_ORDER,
    SAMPLE,
    WEIGHTS,
    FitFacts,
    write_facts,
)
from ppl_models.program.arguments.json_text import to_json
from ppl_models.program.model import Globals, Model
from ppl_models.program.rows.known_clusters import known_clusters
from ppl_models.program.runtime.compiling import in_batches
from ppl_models.program.runtime.keys import fold_in
from ppl_models.program.trace.structure import Structure

VERSIONS = ("numpyro", "jax", "arviz", "numpy", "xarray")
Groups = dict[str, xr.Dataset]


def build_tree(
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    key: Array,
    attributes: Mapping[str, Any],
    predictive: int,
) -> xr.DataTree:
    """Gather a method's result, its likelihoods and its predictions.

    Args:
        problem: program and data.
        result: of the method.
        observed: the data as they were read, with coordinates.
        key: random key of the predictive draws.
        attributes: of the root.
        predictive: predictive draws to keep.
    """
    notes = list(result.notes)
    derived = _deterministic_sites(problem, result)
    facts, computed = read_facts(problem, result, observed, derived)
    axes = Axes(problem, observed, facts)
    by_row = row_deterministics(problem, result, fold_in(key, 1), notes)
    groups = _posterior_groups(problem, result, {**derived, **by_row}, axes)
    groups |= _parameter_group(computed, facts, axes, notes)
    groups |= _data_groups(observed, problem, axes)
    groups |= _density_groups(problem, result, axes, notes)
    groups |= predictive_groups(problem, result, observed, key, predictive, axes, notes)
    groups |= _optimisation_groups(result, axes)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        **attributes,
        FACTS: write_facts(facts),
        "data_site": problem.structure.emissions[0],
        "plate": problem.structure.plate,
        "clusters": problem.structure.clusters if problem.structure.assignment else 0,
        "parameters": sum(
            site.freedom for site in problem.structure.sites if site.name in problem.free_sites
        ),
        "coordinate_labels": _coordinate_labels(observed, problem.structure),
        "versions": to_json({n: version(n) for n in VERSIONS}),
        # (other cells, and other steps, make other units, which have a density as well)
        ROW_ORDER: int(
            problem.row_order and not problem.structure.indexed and problem.structure.chain is None
        ),
        "notes": to_json({"notes": notes}),
        "creation_library": "ppl_models",
    }
    return tree


def _coordinate_labels(observed: Mapping[str, Observed], structure: Structure) -> str:
    """Labels of all axes except the rows, as JSON, also of axes that no data variable has."""
    rows = {structure.plate, *(axis for _, axis, _ in structure.lines)}
    return to_json(
        {
            n: np.asarray(labels).tolist()
            for reading in observed.values()
            for n, labels in reading.coords.items()
            if n not in rows
        }
    )


def _posterior_groups(
    problem: Problem, result: Result, derived: Mapping[str, np.ndarray], axes: Axes
) -> Groups:
    """Draws of all sites; integer sites, needed for prediction only, in a separate group."""
    posterior = {n: axes.by_draw(n, v) for n, v in {**result.values, **derived}.items()}
    if result.assignment is not None:
        dims = ("chain", "draw", problem.structure.plate)
        posterior["assignment"] = (dims, result.assignment)
    discrete = _discrete_sites(problem.structure)
    hidden = {n: posterior.pop(n) for n in discrete if n in posterior}
    groups = {"posterior": axes.dataset(posterior)}
    if hidden:
        groups[HIDDEN] = axes.dataset(hidden)
    return groups


def _discrete_sites(structure: Structure) -> list[str]:
    return [site.name for site in structure.sites if site.support.is_discrete]


def _parameter_group(
    computed: ComputedParameters, facts: FitFacts, axes: Axes, notes: list[str]
) -> Groups:
    """Parameters that are not sites themselves."""
    dims = {
        f"{emission.site}.{name}": axes.of_parameter(emission, parameter)
        for emission in facts.emissions
        for name, parameter in emission.parameters.items()
    } | {f"{facts.assignment}.{WEIGHTS}": ("cluster",)}
    variables = {n: ((*SAMPLE, *dims[n]), v) for n, v in computed.values.items()}
    if not variables:
        return {}
    if computed.every > 1:
        notes.append(f"{PARAMETERS} holds every {computed.every}th draw")
    return {PARAMETERS: _thinned(axes.dataset(variables), computed.every)}


def _thinned(dataset: xr.Dataset, every: int) -> xr.Dataset:
    """Thinned draws, numbered as in the posterior."""
    return dataset.assign_coords(draw=np.arange(dataset.sizes["draw"]) * every)


def _data_groups(observed: Mapping[str, Observed], problem: Problem, axes: Axes) -> Groups:
    """Observed data, and separately the data that the program conditions on."""
    structure = problem.structure
    data = {n: (o.dims, o.values) for n, o in observed.items()}
    emitted = {n: v for n, v in data.items() if n in structure.emissions}
    groups = {"observed_data": axes.dataset(emitted)}
    if len(emitted) < len(data):
        groups["constant_data"] = axes.dataset({n: data[n] for n in data if n not in emitted})
    if problem.model.weights is not None:
        held = groups.get("constant_data", xr.Dataset())
        counted = axes.dataset(
            {ROW_WEIGHTS: ((structure.unit,), np.asarray(problem.model.weights))}
        )
        groups["constant_data"] = held.merge(counted)
    known = known_clusters(problem.model)
    if known is not None:
        held = groups.get("constant_data", xr.Dataset())
        groups["constant_data"] = held.merge(axes.dataset({ROW_LABELS: ((structure.unit,), known)}))
    return groups


def _density_groups(problem: Problem, result: Result, axes: Axes, notes: list[str]) -> Groups:
    """Log-likelihoods, responsibilities, log priors and sampler statistics."""
    stats: dict[str, Variable] = {n: (("chain", "draw"), v) for n, v in result.sample_stats.items()}
    structure, groups = problem.structure, {}
    density = density_of_draws(problem, result, memory.KEPT_LOG_LIKELIHOOD)
    _refuse_without_density(density.total, result)
    if density.every > 1:
        notes.append(f"log_likelihood holds every {density.every}th draw")
    if structure.locals:
        notes.append(integral_note(problem, result))
    if structure.unit_sites:
        named = " and ".join(f"'{name}'" for name in structure.unit_sites)
        notes.append(
            f"every {structure.unit} has {named} of its own, and its density in log_likelihood is "
            "that given them: leave-one-out compares fits by it with care"
        )
    # draws of whole numbers hold what these very data did, so that none can be left out
    if not (_discrete_sites(structure) and result.kind == "draws"):
        dims = ("chain", "draw", structure.unit)
        likelihood = axes.dataset({structure.emissions[0]: (dims, density.log_density)})
        groups["log_likelihood"] = _thinned(likelihood, density.every)
    groups |= _responsibility_group(density.responsibilities, structure, axes, notes)
    if "lp" not in stats or structure.coupled:
        prior = {**log_prior_of_draws(problem, result), **result.log_prior}
        if structure.locals:
            stats["lp"] = (("chain", "draw"), log_joint_of_draws(problem, result))
        elif "lp" not in stats:
            stats["lp"] = (("chain", "draw"), density.total + sum(prior.values()))
        groups["log_prior"] = axes.dataset({n: (("chain", "draw"), v) for n, v in prior.items()})
    return groups | {"sample_stats": axes.dataset(stats)}


def _refuse_without_density(total: np.ndarray, result: Result) -> None:
    """Refuse draws at which the data have density zero."""
    lost = np.isnan(total) if result.kind == "point" else ~np.isfinite(total)
    if lost.any():
        raise InputError(
            f"the data have no density at {lost.sum()} of {lost.size} draws (its logarithm is "
            f"{total[lost][0]}): look for an emission whose support excludes some rows, or for a "
            "parameter that leaves its range"
        )


def _responsibility_group(
    responsibilities: np.ndarray | None, structure: Structure, axes: Axes, notes: list[str]
) -> Groups:
    if responsibilities is None:
        return {}
    if responsibilities.size > memory.KEPT_RESPONSIBILITIES:
        notes.append("responsibilities are left out, being too many: predict gives them")
        return {}
    dims = (structure.plate, "cluster")
    return {"responsibilities": axes.dataset({"responsibilities": (dims, responsibilities)})}


def _optimisation_groups(result: Result, axes: Axes) -> Groups:
    """Objective of every start, and the parameters along the iterations of the selected start."""
    groups = {}
    if result.starts:
        starts = {n: (axes.of_start(n, d), v) for n, (d, v) in result.starts.items()}
        groups["starts"] = xr.Dataset(starts)
    if result.path:
        path = {
            n: (("iteration", *(() if n == "objective" else axes.of(n))), v)
            for n, v in result.path.items()
        }
        groups["path"] = axes.dataset(path)
    return groups


def _deterministic_sites(problem: Problem, result: Result) -> dict[str, np.ndarray]:
    """Deterministic sites at every draw, ``(chain, draw, ...)``."""
    names = [n for n, _ in problem.structure.deterministics]
    if not names:
        return {}
    shape = next(iter(result.values.values())).shape[:2]
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    model, structure = (problem.padded or problem).program
    values = _deterministics(model, flat, structure=structure)
    return {n: np.asarray(values[n]).reshape(*shape, *values[n].shape[1:]) for n in names}


@partial(jax.jit, static_argnames=("structure",))
def _deterministics(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    def one(values: Globals) -> dict[str, Array]:
        trace = model.trace_at(values, structure)
        return {n: trace[n]["value"] for n, _ in structure.deterministics}

    return in_batches(one, values, 100)
