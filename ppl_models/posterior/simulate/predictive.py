"""Prior and posterior predictive data: global sites fixed at draws, other sites simulated."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, random
from numpyro import handlers
from numpyro.distributions import Distribution

from ppl_models.distributions.priors.host_draws import draw_on_host
from ppl_models.distributions.scaled import ScaledPrior
from ppl_models.errors import UnsupportedError
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import by_length
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.posterior.simulate.groups import Continued
from ppl_models.program.chains.chain_data import as_observed
from ppl_models.program.handlers.unbounded_totals import UnboundedTotals
from ppl_models.program.model import KNOWN_CLUSTER, Globals, Model
from ppl_models.program.own_data import refusal
from ppl_models.program.prior_draws import draw_prior, has_draws
from ppl_models.program.rows.order import rows_depend_on_places
from ppl_models.program.rows.padding import padded_count, row_width
from ppl_models.program.runtime.compiling import QUICK, quickly
from ppl_models.program.runtime.distribution_trees import by_name, plain_trees
from ppl_models.program.runtime.keys import fold_in, split, split_apart
from ppl_models.program.runtime.trial import attempted
from ppl_models.program.trace.chains import merge_steps
from ppl_models.program.trace.structure import Structure

MUCH = 1_000_000  #: cells from which on it pays to optimise what draws them


def generative(model: Model, structure: Structure, rows: int, length: int | None = None) -> Model:
    """The program without data, with the number of rows to generate.

    A program that takes ``rows=`` (its plate's name in the plural) is told; any other is given
    zeros in the shape of its data, which :func:`draw_data` then lets it draw anew. Its covariates
    are kept if there are as many rows as before.

    Args:
        model: the program with some data, for their shapes.
        structure: its structure.
        rows: number of rows.
        length: number of positions of a sequence.
    """
    accepted = inspect.signature(model.function).parameters
    mine = (*structure.emissions, *structure.sources)
    if structure.indexed or structure.lines:
        blank = {n: np.zeros_like(v) for n, v in model.data.items() if n in mine}
        return model.with_data({**model.data, **blank})
    size = f"{structure.plate}s"
    emitted = {n: v for n, v in model.data.items() if n in mine}
    covariates = program_covariates(model, structure) if rows == structure.rows else {}
    if size not in accepted:
        blank = {
            n: np.zeros((rows, *np.shape(v)[1:]), np.asarray(v).dtype) for n, v in emitted.items()
        }
        return model.with_data({**blank, **covariates})
    sizes: dict[str, Any] = {size: rows}
    shape = next(np.shape(v) for v in emitted.values())
    if "positions" in accepted:
        sizes["positions"] = length or shape[1]
        shape = (shape[0], *shape[2:])
    if "features" in accepted and len(shape) == 2:
        sizes["features"] = shape[1]
    made = replace(model.with_data(covariates), arguments={**model.arguments, **sizes})
    return _with_width(made, shape[1], emitted) if len(shape) == 2 else made


def _with_width(model: Model, width: int, emissions: Collection[str]) -> Model:
    """The program told how many columns it draws, by the one parameter that decides that.

    A program that runs without, or in which none or several parameters do, is left as it is.
    """
    parameters = inspect.signature(model.function).parameters.values()
    told = {*model.arguments, *model.data, "features", "positions"}
    untold = [p.name for p in parameters if p.default is None and p.name not in told]
    if not untold or _columns(model, emissions):
        return model
    told_width = [replace(model, arguments={**model.arguments, n: width}) for n in untold]
    fitting = [each for each in told_width if _columns(each, emissions) == {width}]
    return fitting[0] if len(fitting) == 1 else model


def _columns(model: Model, emissions: Collection[str]) -> set[int]:
    """How many columns the program draws; none where it does not run to its end."""
    program = handlers.seed(handlers.substitute(model.run, data=model.fixed), random.key(0))
    drawn: dict[str, tuple[int, ...]] = {}

    def run() -> None:
        trace = handlers.trace(program).get_trace()
        drawn.update({n: jnp.shape(trace[n]["value"]) for n in emissions if n in trace})

    attempted(lambda: jax.eval_shape(run))
    return {shape[-1] if shape else 0 for shape in drawn.values()}


def program_covariates(model: Model, structure: Structure) -> dict[str, Any]:
    """Covariates: data parameters that no site emits, ``(row, ...)``."""
    blank = (*structure.emissions, *structure.sources, KNOWN_CLUSTER)
    return {n: v for n, v in model.data.items() if n not in blank}


def resampled(restored: RestoredFit, key: Array, count: int) -> Globals:
    """Global sites of ``count`` draws: in turn if there are enough draws, otherwise resampled."""
    total = restored.shape[0] * restored.shape[1]
    if count <= total:
        chosen = np.linspace(0, total - 1, count).astype(int)
    elif total == 1:  # a point: nothing to choose, and no generator to compile
        chosen = np.zeros(count, int)
    else:
        chosen = np.asarray(random.randint(key, (count,), 0, total))
    return {n: jnp.asarray(v[chosen]) for n, v in restored.values.items()}


def draw_data(
    problem: Problem,
    values: Mapping[str, Any],
    key: Array,
    count: int,
    rows: int | None = None,
    length: int | None = None,
    covariates: Mapping[str, Any] | None = None,
    *,
    larger: bool = False,
) -> dict[str, np.ndarray]:
    """Data ``(draw, row, ...)`` of every emission site at each of ``count`` draws.

    ``covariates`` are ``(draw, row, ...)``, if they are not those of the fit. With ``larger``
    plates the sites' further entries are drawn, see :mod:`~ppl_models.posterior.simulate.groups`.
    """
    rows = rows or problem.structure.rows
    made, width = rows, row_width(problem.model.data)
    if not covariates and _of_any_number(problem.model, problem.structure):
        made = padded_count(rows, width)  # and cut off again: few sizes are compiled
    model = generative(problem.model, problem.structure, made, length)
    keys = split(key, count)
    drawn = (_draw_much if count * rows * width > MUCH else _draw)(
        model,
        {n: np.asarray(v) for n, v in values.items()},
        {n: np.asarray(v) for n, v in (covariates or {}).items()},
        keys,
        names=problem.structure.emissions,
        keep=problem.structure.seen,
        larger=larger,
    )
    structure, drawn = problem.structure, {n: np.asarray(v) for n, v in drawn.items()}
    if made != rows:
        drawn = {n: v[:, :rows] for n, v in drawn.items()}
    return {n: as_observed(v, n, structure, leading=1) for n, v in drawn.items()}


def _of_any_number(model: Model, structure: Structure) -> bool:
    """Whether the program can generate any number of independent rows."""
    if structure.indexed or structure.chain is not None or program_covariates(model, structure):
        return False
    if structure.coupled:
        return False
    accepted = inspect.signature(model.function).parameters
    return f"{structure.plate}s" in accepted and not rows_depend_on_places(model, structure)


def draw_again(
    problem: Problem, values: Mapping[str, Any], key: Array, count: int
) -> dict[str, np.ndarray]:
    """Replicated data ``(draw, row, ...)``: as many rows as the fit has, of the same lengths.

    Sequences that do not end by themselves have NaN where the observed one has ended. Those whose
    lengths differ much are drawn in parts by length.

    Raises:
        UnsupportedError: see :func:`refuse_undrawable`.
    """
    refuse_undrawable(problem, "replicated data")
    emissions = list(problem.emission_families.items())
    name, family = emissions[0]
    if len(emissions) > 1 or family is None or not family.latent or getattr(family, "ends", True):
        return draw_data(problem, values, key, count)
    model = problem.model
    data = np.asarray(model.data[name])
    lengths = family.lengths(data)
    assert lengths is not None
    if (lengths == data.shape[1]).all():
        return draw_data(problem, values, key, count)
    of_any_length = {"positions", f"{problem.structure.plate}s"} <= set(
        inspect.signature(model.function).parameters
    )
    parts: list[tuple[np.ndarray, int | None]] = [(np.arange(len(data)), None)]
    if of_any_length and not program_covariates(model, problem.structure):
        parts = by_length(problem.families, {name: data})
    padded = np.full((count, *data.shape), np.nan, np.result_type(data.dtype, np.float32))
    for number, (rows, width) in enumerate(parts):
        part_key = fold_in(key, number)
        drawn = draw_data(problem, values, part_key, count, len(rows), width)
        padded[:, rows, :width] = drawn[name]
    padded[:, np.arange(data.shape[1]) >= lengths[:, None]] = np.nan
    return {name: padded}


class _Unobserved(handlers.uncondition):
    """Handler that draws observed sites, except known values of a discrete site."""

    def __init__(self, fn: Any, keep: tuple[str, ...]):
        super().__init__(fn)
        self.keep = keep
        self.drawn: set[str] = set()

    def process_message(self, message: dict[str, Any]) -> None:
        if message.get("name") not in self.keep:
            if message.get("is_observed"):
                self.drawn.add(message["name"])
            super().process_message(message)


def refuse_undrawable(problem: Problem, what: str, *, observed: bool = False) -> None:
    """Refuse to draw rows of programs that state their density but not how to sample it.

    Args:
        problem: the program with the rows.
        what: is asked for.
        observed: whether all other data are at hand, from which a distribution may be computed.

    Raises:
        UnsupportedError: which factor is part of the density, or whose distribution is computed
            from the data themselves.
    """
    if (fault := undrawable(problem, what, observed=observed)) is not None:
        raise UnsupportedError(fault)


def runs_without_data(problem: Problem) -> bool:
    """Whether the program, told how many rows, draws its data where it is given none.

    What it computes from its own data when it has them, such as totals of counts, it then has by
    other means.
    """
    model, structure = problem.model, problem.structure
    if f"{structure.plate}s" not in inspect.signature(model.function).parameters:
        return False
    if structure.indexed or structure.lines or structure.undrawable:
        return False
    return bool(_columns(generative(model, structure, structure.rows), structure.emissions))


def undrawable(problem: Problem, what: str, *, observed: bool = False) -> str | None:
    """Why rows cannot be drawn, and what to do; None: they can. Arguments as above."""
    structure = problem.structure
    if structure.likelihoods:
        return (
            "a numpyro.factor is all that the program says of its data, and says nothing of how "
            f"rows are drawn, so that there is no {what}: write it as a distribution that the "
            "data are observed from"
        )
    if structure.undrawable:
        return (
            f"factor '{structure.undrawable[0]}' is part of the density of every row, and says "
            f"nothing of how rows are drawn, so that there is no {what}: write it as a "
            "distribution that the data are observed from"
        )
    own = problem.own_data
    if own is not None and (own.itself or not observed):
        return refusal(own.reason, what)
    return None


def plain_integers(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data with integers in JAX's default type, as NumPyro's binomial needs its totals.

    >>> counts = plain_integers({"trials": np.array([3, 4], np.int32)})["trials"]
    >>> counts.dtype == jnp.result_type(int)
    True
    """
    arrays = {n: jnp.asarray(v) for n, v in data.items()}
    integer = jnp.result_type(int)
    return {
        n: v.astype(integer) if jnp.issubdtype(v.dtype, jnp.integer) else v
        for n, v in arrays.items()
    }


def _drawn(
    model: Model,
    values: Mapping[str, Array],
    covariates: Mapping[str, Array],
    keys: Array,
    *,
    names: tuple[str, ...],
    keep: tuple[str, ...] = (),
    larger: bool = False,
) -> dict[str, Array]:
    def one(each: tuple[Array, Mapping[str, Array], Mapping[str, Array]]) -> dict[str, Array]:
        key, held, own = each
        here = model.with_data(plain_integers({**model.data, **own}))
        unobserved = _Unobserved(here.run, keep)
        program: Any = unobserved if here.data else here.run
        held = {**model.fixed, **held}
        if larger:
            program = Continued(handlers.seed(program, key), held)
        else:
            program = handlers.seed(handlers.substitute(program, data=held), key)
        trace = handlers.trace(UnboundedTotals(program)).get_trace()
        if not set(names) <= set(trace):  # a site a step
            for name in unobserved.drawn:
                trace[name]["is_observed"] = True
            trace = merge_steps(trace)[0]
        return {n: trace[n]["value"] for n in names}

    return jax.lax.map(one, (keys, dict(values), dict(covariates)))


_STATIC = ("names", "keep", "larger")
_draw = quickly(static=_STATIC)(_drawn)
_draw_much = jax.jit(_drawn, static_argnames=_STATIC)


def priors_are_drawable(problem: Problem) -> bool:
    """Whether global sites can be drawn from their prior.

    Not so: improper priors, priors that a scale or a factor changes, and whole numbers, which are
    drawn given the data.
    """
    if any(site.support.is_discrete for site in problem.structure.sites):
        return False
    priors = problem.example.priors
    if problem.structure.factors or any(isinstance(p, ScaledPrior) for p in priors.values()):
        return False
    return all(has_draws(p) for n, p in priors.items() if n in problem.structure.names)


def prior_draws(
    problem: Problem, key: Array, count: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Global sites and data drawn from the prior, its scale set from the data.

    Args:
        problem: whose priors are drawable, see :func:`priors_are_drawable`.
        key: random key.
        count: draws.
    """
    site_key, data_key = split_apart(key)
    structure = problem.structure
    priors = problem.independent_priors
    if priors is not None:  # each for itself: compiled once for data of all sizes
        shapes = {site.name: site.shape for site in structure.sites}
        generator = np.random.default_rng(np.asarray(random.key_data(site_key)))
        drawn: Mapping[str, Any] = {
            n: _draws_of(priors[n], shapes[n], generator, fold_in(site_key, i), count)
            for i, n in enumerate(structure.names)
        }
    else:
        model = (problem.padded or problem).model
        drawn = draw_prior(model, split(site_key, count), structure.names)
    # the data by what draws them at the posterior's sites, which is compiled already
    sites: dict[str, np.ndarray] = {n: np.asarray(v) for n, v in drawn.items()}
    return sites, draw_again(problem, sites, data_key, count)


def _draws_of(
    prior: Distribution,
    shape: tuple[int, ...],
    generator: np.random.Generator,
    key: Array,
    count: int,
) -> np.ndarray | Array:
    drawn = draw_on_host(prior, shape, generator, count)
    return _sample(by_name(prior), key, count) if drawn is None else drawn


@partial(jax.jit, static_argnums=2, compiler_options=QUICK)
def _sample(prior: Any, key: Array, count: int) -> Array:
    return plain_trees(prior).sample(key, (count,))
