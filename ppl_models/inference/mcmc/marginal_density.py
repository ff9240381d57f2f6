"""The program with its assignments summed out, as a NumPyro program for NumPyro's samplers.

The gradient of Σ_n log p(x_n | θ) is that of Σ_k <S_k, η_k> - N_k A(η_k) + N_k log π_k with the
statistics S, N expected at θ (Fisher's identity). One pass over the rows therefore gives value and
gradient at once, and nothing of the size of the data is stored for the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.primitives import Messenger

from ppl_models.distributions.convert import as_family, unwrap
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.missing_cells import observed_log_prob
from ppl_models.distributions.priors.scales_and_blocks import prior_density
from ppl_models.distributions.scaled import times, weigh
from ppl_models.inference.capabilities import (
    DROPPABLE_CELLS,
    FAMILIES,
    FIXED_SCALES,
    HIDDEN,
    NO_ROW_LATENTS,
    NOTHING_HIDDEN,
    STATISTICS,
)
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, Families
from ppl_models.inference.statistics.e_step import (
    Coefficients,
    Expectations,
    Nearby,
    coefficients,
    e_step,
    expected_log_joint,
    row_normalisers,
)
from ppl_models.program.chains import chain_densities
from ppl_models.program.densities.pieces import Pieces, combine
from ppl_models.program.model import KNOWN_CLUSTER, Globals, Model, evaluate
from ppl_models.program.trace.structure import Structure

#: how the rows enter the density of the global sites, see :func:`row_density`
ROWS_FACTOR = ".rows"  #: name of the rows' log-density, which no site or plate of a program has
RowDensity = Literal["logits", "passes", "statistics", "rows"]


class _Rows(Messenger):
    """Enumerate the assignment, and collect its distribution and those of the emissions.

    Outer handlers see none of these sites.
    """

    def __init__(self, fn: Callable, structure: Structure, held: Container[str]):
        super().__init__(fn)
        self.structure, self.held = structure, held
        self.values = structure.values_of(jnp.arange(structure.clusters)[:, None])
        chain = () if structure.chain is None else structure.chain.own_sites
        self.own = {*structure.row_sites, *chain}
        self.distributions: dict[str, Any] = {}
        self.scales: dict[str, Any] = {}
        self.sites: dict[str, Any] = {}
        # the density of a row's continuous site may depend on the row's cluster
        assigned = structure.assignment is not None
        self.shapes = {site.name: site.shape for site in structure.local_sites if assigned}
        self.locals: dict[str, tuple[Any, Any]] = {}
        self.log_locals: Any = 0.0

    def process_message(self, message: dict[str, Any]) -> None:
        name = str(message.get("name"))
        if message["type"] != "sample":
            return
        if name in self.held:  # a constant, whose prior says nothing of what that is made of
            message["stop"] = True
            return
        fn, scale = weigh(message)
        if name not in self.own:
            if name.startswith("_") and name.endswith("_log_det"):
                # the volume of a site's unconstrained space, which NumPyro puts beneath the
                # handlers that are around the site: it is no part of the density that they scale
                message["fn"], message["scale"] = fn, None
            if name in self.shapes:
                self.locals[name] = fn, scale
                message["fn"], message["scale"] = _flat(fn, self.shapes[name]), None
            return
        self.distributions[name] = unwrap(fn)
        if scale is not None:
            self.scales[name] = scale
        message["stop"] = True
        if name in self.values and self.structure.chain is None:
            message["value"] = self.values[name]

    def postprocess_message(self, message: dict[str, Any]) -> None:
        if message["type"] != "sample":
            return
        if message["name"] in self.structure.names:
            self.sites[message["name"]] = message["value"]
        if message["name"] in self.locals:
            fn, scale = self.locals[message["name"]]
            self.log_locals += times(scale, prior_density(fn, message["value"]))


def marginal_program(
    problem: Problem, reference: ReferencePoint | None = None, rows: RowDensity | None = None
) -> Callable[[], None]:
    """The same global sites, and one factor: the log-density of all rows, assignments summed out.

    Where nothing is assigned and the emissions are exponential families, the rows enter through
    their statistics, summed once, and a step costs the same whatever their number.

    Args:
        problem: program and data.
        reference: point from which the rows' log-densities are differences (default: none).
        rows: how the rows enter, where the data are traced, so that it was found out before.
    """
    model, structure = problem.model, problem.structure
    kind = row_density(problem) if rows is None else rows
    if kind == "logits":
        return _by_logits(model, structure)
    rows_factor = _factor(problem, reference, kind)

    def program() -> None:
        rows = _Rows(_in_one_path(model, structure), structure, model.fixed)
        rows()
        if structure.chain is not None:
            with handlers.block():  # the runs along paths are no part of this one
                density = chain_densities.log_density(model, rows.sites, structure)
            numpyro.factor(ROWS_FACTOR, density)
            return
        combine(structure, rows.distributions, rows.scales)
        by_cluster = rows_factor(rows.distributions, rows.scales, rows.log_locals)
        numpyro.factor(ROWS_FACTOR, by_cluster)

    return program


def _flat(fn: Any, shape: tuple[int, ...]) -> dist.Distribution:
    """Stand-in for a site's distribution whose density is part of the rows' factor."""
    return dist.ImproperUniform(fn.support, shape[: len(shape) - fn.event_dim], fn.event_shape)


def _in_one_path(model: Model, structure: Structure) -> Callable:
    """The program, the states of a chain held at some path."""
    program = model.held()
    if structure.chain is None:
        return program
    path = jnp.zeros(structure.chain.steps, jnp.int32)
    return handlers.substitute(program, data=structure.chain.held(path))


class _GlobalSites(Messenger):
    """Collect the global sites; outer handlers see nothing of the rows."""

    def __init__(self, fn: Callable, structure: Structure, held: Container[str]):
        super().__init__(fn)
        self.structure, self.held = structure, held
        shape = structure.assignment_shape
        self.discrete = structure.values_of(jnp.zeros(shape, int)) if structure.discrete else {}
        self.values: Globals = {}

    def process_message(self, message: dict[str, Any]) -> None:
        name = message.get("name")
        mine = (*self.structure.row_sites, *self.structure.row_factors, *self.structure.seen)
        if message["type"] == "sample" and name in self.held:
            message["stop"] = True
            return
        if message["type"] == "sample" and name in mine:
            message["stop"] = True
            if name in self.discrete:
                message["value"] = self.discrete[name]
        if message["type"] == "sample" and name in self.structure.locals:
            shapes = {site.name: site.shape for site in self.structure.local_sites}
            message["fn"], message["scale"] = _flat(message["fn"], shapes[name]), None

    def postprocess_message(self, message: dict[str, Any]) -> None:
        name = message.get("name")
        if message["type"] == "sample" and name in (*self.structure.names, *self.structure.locals):
            self.values[name] = message["value"]


def _by_logits(model: Model, structure: Structure) -> Callable[[], None]:
    """:func:`marginal_program` of rows whose density their sites' distributions do not tell."""
    with_locals = structure.with_locals()

    def program() -> None:
        sites = _GlobalSites(model.held(), structure, model.fixed)
        sites()
        with handlers.block():  # the program is run again, whose sites are no others
            rows = model.summed(logsumexp(model.logits(sites.values, with_locals), axis=0))
        numpyro.factor(ROWS_FACTOR, rows)

    return program


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ReferencePoint:
    """Global parameters from which the rows' log-densities are computed as differences.

    The sum of a million log-densities loses its last digits in single precision, and proposals
    would be accepted by rounding error. The sum of differences from a nearby point does not.
    """

    coefficients: Coefficients  #: in double precision, (cluster, statistic)
    rows: list[Array]  #: log-densities there by part, (chunk, row)
    present: list[Array]  #: how often each of the rows counts

    @property
    def total(self) -> float:
        """Log-density of all rows there."""
        parts = zip(self.rows, self.present, strict=True)
        return sum(float((np.asarray(r, np.float64) * np.asarray(p)).sum()) for r, p in parts)


def reference_point_at(problem: Problem, values: Mapping[str, Any]) -> ReferencePoint | None:
    """The reference point at the global sites' ``values``.

    None where it is not needed, in double precision, or not possible: for emissions that keep no
    statistics side by side (correlated features, chains), and for components so far apart that
    one product about a common centre serves them not.
    """
    if jnp.result_type(float) == jnp.float64 or not _one_pass(problem):
        return None
    if not all(f.stacks_statistics for f in problem.families.values()):
        return None
    sites: Globals = {n: jnp.asarray(values[n]) for n in problem.structure.names}
    pieces = evaluate(problem.model, sites, structure=problem.structure)
    families = pieces.families()
    far = [family.apart(problem.chunks.centres[name]) for name, family in families.items()]
    if any(each is not None and bool(each) for each in far):
        return None
    assert pieces.log_weights is not None
    exact = coefficients(pieces.log_weights, families, problem.chunks)
    point = jax.tree.map(lambda c: c.astype(jnp.float32), exact)
    present = [part.present for part in problem.chunks.parts]
    return ReferencePoint(exact, jax.jit(row_normalisers)(point, problem.chunks), present)


def _nearby(
    reference: ReferencePoint, log_weights: Array, families: Families, chunks: Chunks
) -> Nearby:
    """The difference from the reference point, subtracted in double precision and then rounded."""
    exact = coefficients(log_weights, families, chunks)
    with jax.enable_x64(True):
        point = jax.tree.map(lambda c: c.astype(jnp.float32), reference.coefficients)
        rounded = jax.tree.map(lambda c: c.astype(jnp.float64), point)
        step = jax.tree.map(lambda a, b: (a - b).astype(jnp.float32), exact, rounded)
    return Nearby(point, step, reference.rows)


def _one_pass(problem: Problem) -> bool:
    """Whether rows have latent variables and sufficient statistics."""
    return problem.offers(*STATISTICS, HIDDEN)


def row_density(problem: Problem) -> RowDensity:
    """How the rows enter the density of the global sites.

    By "passes" over the data that sum statistics up, by their "statistics" summed up once, by the
    distributions of their sites one by one ("rows"), or by "logits" where these do not tell it.
    """
    if problem.structure.by_logits:
        return "logits"
    if _one_pass(problem):
        return "passes"
    if KNOWN_CLUSTER in problem.model.data:
        return "logits"
    alone = NO_ROW_LATENTS, FAMILIES, FIXED_SCALES, NOTHING_HIDDEN, DROPPABLE_CELLS
    return "statistics" if problem.offers(*alone) else "rows"


def _factor(
    problem: Problem, reference: ReferencePoint | None, kind: RowDensity
) -> Callable[..., Array]:
    """The rows' log-density as a function of a run's distributions, scales and continuous sites."""
    structure = problem.structure
    if kind == "passes":
        density = one_pass_density(problem, reference)

        def by_pass(distributions: dict[str, Any], scales: dict[str, Any], _: Any) -> Array:
            log_weights = jnp.zeros((1, 1))
            if structure.assignment is not None:
                values = jnp.arange(structure.clusters)[:, None]
                log_weights = distributions[structure.assignment].log_prob(values)
                log_weights = log_weights.reshape(structure.clusters, -1)
            return density(log_weights, _families(distributions, structure))

        return by_pass
    if kind == "statistics":
        expected = e_step(problem.example, problem.structure, problem.chunks)
        return lambda sites, *_: _from_statistics(_families(sites, structure), expected, problem)
    return lambda sites, scales, log_locals: _total(
        problem.model, structure, _by_row(sites, scales, problem.model, structure, log_locals)
    )


def _total(model: Model, structure: Structure, by_row: Array) -> Array:
    """Log-densities of rows summed up; unweighted they may be those of cells."""
    if model.weights is None:
        return by_row.sum()
    return model.summed(jnp.broadcast_to(by_row, (structure.rows,)))


def one_pass_density(
    problem: Problem, reference: ReferencePoint | None = None
) -> Callable[[Array, Families], Array]:
    """Σ_n log p(x_n) as a function of log-weights ``(cluster, 1)`` and emission families."""
    structure = problem.structure

    def pieces(log_weights: Array, families: Families) -> Pieces:
        return Pieces({}, jnp.zeros(()), log_weights, None, families)

    def forward(chunks: Chunks, log_weights: Array, families: Families) -> tuple[Array, tuple]:
        nearby = None if reference is None else _nearby(reference, log_weights, families, chunks)
        expected = e_step(pieces(log_weights, families), structure, chunks, nearby=nearby)
        return expected.log_normaliser, (chunks, log_weights, families, expected)

    def backward(residuals: tuple, gradient: Array) -> tuple:
        chunks, log_weights, families, expected = residuals

        def joint(log_weights: Array, families: Families) -> Array:
            return expected_log_joint(pieces(log_weights, families), expected, chunks)

        return None, *jax.vjp(joint, log_weights, families)[1](gradient)

    # the rows are an argument, for a traced array may not be closed over
    density = jax.custom_vjp(lambda *arguments: forward(*arguments)[0])
    density.defvjp(forward, backward)
    return partial(density, problem.chunks)


def _families(distributions: dict[str, Any], structure: Structure) -> Families:
    """Emissions as families, ``(cluster, 1)``."""
    families: dict[str, ExponentialFamily] = {}
    for name in structure.emissions:
        family = as_family(distributions[name])
        assert family is not None
        families[name] = family
    return families


def _from_statistics(families: Families, expected: Expectations, problem: Problem) -> Array:
    total = jnp.zeros(())
    for name, family in families.items():
        centre, statistics = problem.chunks.centres[name], expected.statistics[name]
        total = total + family.components().expected_log_density(statistics, centre).sum()
    return total


def _by_row(
    distributions: dict[str, Any],
    scales: dict[str, Any],
    model: Model,
    structure: Structure,
    log_locals: Any,
) -> Array:
    """Log-density of every row; ``log_locals`` that of its continuous sites, by cluster."""
    logits = log_locals
    if structure.assignment is not None:
        values = jnp.arange(structure.clusters)[:, None]
        weights = distributions[structure.assignment].log_prob(values)
        logits = logits + times(scales.get(structure.assignment), weights)
    for name in structure.emissions:
        density = observed_log_prob(distributions[name], model.data[name])
        logits = logits + times(scales.get(name), density)
    return logsumexp(logits, axis=0) if structure.assignment is not None else logits
