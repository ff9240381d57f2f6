"""The one exit: what a method found becomes an ``xarray.DataTree`` that ArviZ reads as it is.

Groups: ``posterior``, ``sample_stats``, ``log_likelihood`` (the marginal of every row or whole
sequence), ``log_prior`` (of every site), ``observed_data``, ``responsibilities``,
``posterior_predictive``, ``prior``, ``prior_predictive``, and for point methods ``starts`` and
``path``. Dimensions are named by the
program's plates and ``event_dims``; the axis that the assignment indexes is called ``cluster``.
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

from ppl_models.data.kinds import Observed
from ppl_models.distributions.sequences.token_chain import context_names
from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem, Result
from ppl_models.posterior.density.rows import density_of_draws, log_prior_of_draws
from ppl_models.posterior.result.restore import HIDDEN
from ppl_models.posterior.simulate.predictive import draw_again, prior_draws
from ppl_models.program.compiling import in_batches
from ppl_models.program.json_text import to_json
from ppl_models.program.model import Globals, Model
from ppl_models.program.parameter_map import STATE_AXES, state_axes
from ppl_models.program.structure import Structure

PREDICTIVE_CELLS = 2_000_000  #: most numbers of predictive data that a tree keeps
LOG_LIKELIHOOD_CELLS = 40_000_000  #: most numbers of pointwise log-likelihood that it keeps
TABLE_CELLS = 20_000_000  #: most numbers of responsibilities that it keeps
VERSIONS = ("numpyro", "jax", "arviz", "numpy", "xarray")


def build_tree(
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    key: Array,
    attributes: Mapping[str, Any],
    predictive: int,
) -> xr.DataTree:
    """Gather a result, its likelihoods and its predictions.

    Args:
        problem: program and data.
        result: what the method found.
        observed: the data as they were read, with coordinates.
        key: random key of the predictive draws.
        attributes: of the root.
        predictive: predictive draws to keep.
    """
    axes = Axes(problem, observed)
    notes = list(result.notes)
    posterior = {n: axes.by_draw(n, v) for n, v in result.values.items()}
    posterior |= _derived(problem, result, axes)
    if result.assignment is not None:
        dims = ("chain", "draw", problem.structure.plate)
        posterior["assignment"] = (dims, result.assignment)
    whole = [s.name for s in problem.structure.sites if s.support.is_discrete]
    hidden = {n: posterior.pop(n) for n in whole if n in posterior}
    groups: dict[str, xr.Dataset] = {"posterior": axes.dataset(posterior)}
    if hidden:
        groups[HIDDEN] = axes.dataset(hidden)
    data = {n: (o.dims, o.values) for n, o in observed.items()}
    emitted = {n: v for n, v in data.items() if n in problem.structure.emissions}
    groups["observed_data"] = axes.dataset(emitted)
    if len(emitted) < len(data):
        groups["constant_data"] = axes.dataset({n: data[n] for n in data if n not in emitted})
    stats = {n: (("chain", "draw"), v) for n, v in result.sample_stats.items()}
    if not problem.structure.locals:
        found = density_of_draws(problem, result, LOG_LIKELIHOOD_CELLS)
        if found.every > 1:
            notes.append(f"log_likelihood holds every {found.every}th draw")
        likelihood = axes.dataset(
            {
                problem.structure.emissions[0]: (
                    ("chain", "draw", problem.structure.plate),
                    found.log_density,
                )
            }
        )
        likelihood = likelihood.assign_coords(
            draw=np.arange(likelihood.sizes["draw"]) * found.every
        )
        if not (hidden and result.kind == "draws"):  # draws hold what these very data did: seats
            groups["log_likelihood"] = likelihood
        if found.responsibilities is not None and found.responsibilities.size > TABLE_CELLS:
            notes.append("responsibilities are left out, being too many: predict gives them")
        elif found.responsibilities is not None:
            groups["responsibilities"] = axes.dataset(
                {"responsibilities": ((problem.structure.plate, "cluster"), found.responsibilities)}
            )
        if "lp" not in stats:
            prior = {**log_prior_of_draws(problem, result), **result.log_prior}
            stats["lp"] = (("chain", "draw"), found.total + sum(prior.values()))
            groups["log_prior"] = axes.dataset(
                {n: (("chain", "draw"), v) for n, v in prior.items()}
            )
    groups["sample_stats"] = axes.dataset(stats)
    groups |= _predictive_groups(problem, result, observed, key, predictive, axes, notes)
    if result.starts:
        groups["starts"] = xr.Dataset(
            {n: (axes.renamed(d), v) for n, (d, v) in result.starts.items()}
        )
    if result.path:
        groups["path"] = axes.dataset(
            {
                n: (("iteration", *(axes.of(n) if n != "objective" else ())), v)
                for n, v in result.path.items()
            }
        )
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        **attributes,
        "data_site": problem.structure.emissions[0],
        "plate": problem.structure.plate,
        "clusters": problem.structure.clusters if problem.structure.assignment else 0,
        "parameters": sum(site.freedom for site in problem.structure.sites),
        "coordinate_labels": to_json(
            {
                n: np.asarray(c).tolist()
                for o in observed.values()
                for n, c in o.coords.items()
                if n != problem.structure.plate
            }
        ),
        "versions": to_json({n: version(n) for n in VERSIONS}),
        "notes": to_json({"notes": notes}),
        "creation_library": "ppl_models",
    }
    return tree


class Axes:
    """Names and coordinates of every variable's axes."""

    def __init__(self, problem: Problem, observed: Mapping[str, Observed]):
        self.problem = problem
        self.coords = {n: c for o in observed.values() for n, c in o.coords.items()}
        if "feature" in self.coords:
            self.coords["feature_other"] = self.coords["feature"]
        for site in problem.structure.sites:
            if "context" in site.dims and "token" in self.coords:
                contexts = site.shape[site.dims.index("context")]
                tokens = [str(token) for token in self.coords["token"]]
                self.coords["context"] = np.array(context_names(tokens, contexts))
        self.rename = _cluster_names(problem)
        self.states = {}
        if problem.states:
            self.states = state_axes(problem.structure, problem.parameter_map, problem.states)
            self.coords |= {n: np.arange(problem.states) for n in STATE_AXES}
        if problem.structure.assignment is not None:
            self.coords["cluster"] = np.arange(problem.structure.clusters)

    def renamed(self, dims: tuple[str, ...]) -> tuple[str, ...]:
        """Dimensions with the axis that the assignment indexes called ``cluster``."""
        return tuple(self.rename.get(d, d) for d in dims)

    def of(self, site: str) -> tuple[str, ...]:
        """Dimensions of a global site."""
        structure = self.problem.structure
        for known in structure.sites:
            if known.name == site:
                axes, names = self.states.get(site, ((), ()))
                named = dict(zip(axes, names, strict=True))
                dims = tuple(named.get(i, d) for i, d in enumerate(known.dims))
                return self.renamed(dims)
        found = dict(structure.deterministics).get(site)
        if found is None:
            return (structure.plate,)
        return self.renamed(found)

    def by_draw(self, site: str, value: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """A site's draws with their dimensions."""
        dims = self.of(site)
        sizes = dict(zip(dims, value.shape[2:], strict=False))
        dims = tuple(
            "state" if d.startswith(f"{site}_axis") and sizes[d] == self.problem.states else d
            for d in dims
        )
        missing = value.ndim - 2 - len(dims)
        dims = dims + tuple(f"{site}_dim_{i}" for i in range(missing))
        return ("chain", "draw", *dims), value

    def dataset(self, variables: Mapping[str, tuple[tuple[str, ...], Any]]) -> xr.Dataset:
        """Variables with the coordinates of their dimensions."""
        dataset = xr.Dataset(dict(variables))
        known = {
            d: self.coords[d]
            for d, size in dataset.sizes.items()
            if d in self.coords and len(self.coords[d]) == size
        }
        # ArviZ's pictures choose by coordinate, of axes too that have nothing but places
        counted = {d: np.arange(size) for d, size in dataset.sizes.items() if d not in known}
        return dataset.assign_coords(known | counted)


def _cluster_names(problem: Problem) -> dict[str, str]:
    """Names that a program gives to the axis that its assignment indexes."""
    structure = problem.structure
    if structure.assignment is None:
        return {}
    try:
        links = problem.parameter_map.links
    except InputError:  # emissions that are no families: go by the plate's name
        return {}
    dims = {s.name: s.dims for s in structure.sites}
    indexed = {
        dims[w.site][0]
        for w in links
        if (not w.shared or w.emission == structure.assignment) and dims[w.site]
    }
    return dict.fromkeys(indexed, "cluster")


def _derived(problem: Problem, result: Result, axes: Axes) -> dict[str, Any]:
    """Deterministic sites, evaluated at every draw."""
    names = [n for n, _ in problem.structure.deterministics]
    if not names:
        return {}
    shape = next(iter(result.values.values())).shape[:2]
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    found = _deterministics(problem.model, flat, structure=problem.structure)
    return {
        n: axes.by_draw(n, np.asarray(found[n]).reshape(*shape, *found[n].shape[1:])) for n in names
    }


@partial(jax.jit, static_argnames=("structure",))
def _deterministics(model: Model, values: Globals, *, structure: Structure) -> dict[str, Array]:
    def one(values: Globals) -> dict[str, Array]:
        trace = model.trace_at(values, structure)
        return {n: trace[n]["value"] for n, _ in structure.deterministics}

    return in_batches(one, values, 100)


def _predictive_groups(
    problem: Problem,
    result: Result,
    observed: Mapping[str, Observed],
    key: Array,
    count: int,
    axes: Axes,
    notes: list[str],
) -> dict[str, xr.Dataset]:
    """Data drawn from the posterior and from the prior, and the prior's global sites."""
    cells = sum(o.values.size for o in observed.values())
    count = min(count, max(1, PREDICTIVE_CELLS // max(cells, 1)))
    if count < 1 or problem.structure.locals:
        return {}
    first, second = jax.random.split(key)
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in result.values.items()}
    total = len(next(iter(flat.values()))) if flat else 1
    # a point predicts as often as draws do: each predictive draw is new data from it
    chosen = np.linspace(0, total - 1, count).astype(int)
    drawn = draw_again(problem, {n: v[chosen] for n, v in flat.items()}, first, count)
    dims = {n: ("chain", "draw", *o.dims) for n, o in observed.items()}
    groups = {
        "posterior_predictive": axes.dataset({n: (dims[n], v[None]) for n, v in drawn.items()})
    }
    try:
        sites, data = prior_draws(problem, second, count)
    except NotImplementedError:
        notes.append("no prior draws: a prior of the program cannot be drawn from")
        return groups
    groups["prior"] = axes.dataset({n: axes.by_draw(n, v[None]) for n, v in sites.items()})
    groups["prior_predictive"] = axes.dataset({n: (dims[n], v[None]) for n, v in data.items()})
    return groups
