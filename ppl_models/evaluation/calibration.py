"""Simulation-based calibration: does a sampler draw from the right posterior?

Global sites are drawn from the prior, data from the program, and posterior draws from the method.
If all three are correct, the rank of a true value among its posterior draws is uniform (Cook,
Gelman and Rubin 2006; Talts et al. 2018; with data-dependent quantities, Modrák et al. 2023).
Mixtures are tested on label-invariant quantities.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
import xarray as xr
from jax import Array, lax, random
from numpyro import handlers

from ppl_models import catalogue
from ppl_models.errors import InputError, UnsupportedError, whole_number
from ppl_models.evaluation.ranked import ranked_quantities
from ppl_models.inference.capabilities import require
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.inference.rowwise.m_step import rowwise_plan
from ppl_models.inference.simulated_data import Plan, simulate
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.arguments.sizes import whole_arguments
from ppl_models.program.densities.unit_reading import with_units
from ppl_models.program.model import Model, evaluate
from ppl_models.program.named_as_data import with_names_of_data
from ppl_models.program.runtime.compiling import QUICK, in_batches
from ppl_models.program.runtime.precision import scope
from ppl_models.program.runtime.trial import attempted

#: Names that programs have for the number of their rows.
PLATES = ("sequences", "graphs", "rows")
BATCH = 100  #: simulations computed together


def calibrate(
    program: str | Callable,
    *,
    rows: int,
    seed: int,
    method: str = "gibbs",
    simulations: int = 1000,
    draws: int = 50,
    warmup: int = 200,
    thinning: int = 10,
    assumed: Mapping[str, Any] | None = None,
    sizes: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> xr.DataTree:
    """Simulation-based calibration of a program and a method: simulate, fit and rank.

    Simulation-based calibration: Talts, Betancourt, Simpson, Vehtari and Gelman (2018),
    arXiv:1804.06788; Cook, Gelman and Rubin (2006).

    Args:
        program: built-in name, ``path/to/file.py:function`` or function. Priors whose defaults are
            computed from the data must be given as arguments, since there are no data yet.
        rows: rows (or sequences) of every simulation.
        seed: of all random numbers.
        method: one that draws and declares a ``Calibration``: "gibbs", "nuts", "exact", ...
        simulations: number of simulations.
        draws: number of posterior draws among which a true value is ranked.
        warmup: sweeps before the first draw.
        thinning: sweeps from one draw to the next.
        assumed: arguments that the fit uses in place of the true ones, to check that the test then
            fails. Arrays are not part of the compiled program, so that other values of them need
            no recompilation.
        sizes: further sizes of the data, such as ``{"features": 2}``.
        **arguments: of the program.

    Returns:
        A tree with ``prior_sbc``: the probability integral transform of every quantity, dimensions
        ``(chain, draw, ...)``, where a draw is a simulation, as ``arviz.plot_ecdf_pit`` takes it;
        and ``sbc_test``: chi-squared p-values of uniformity, with the smallest (``worst``) and the
        number of ``quantities`` in the attributes.

    Raises:
        InputError: a method without calibration, a number out of range, or a prior that is computed
            from the data.

    >>> options = {"method": "exact", "simulations": 20, "draws": 9, "sizes": {"positions": 4}}
    >>> tree = calibrate("markov_chain", rows=5, seed=0, vocabulary=2, **options)
    >>> sorted(group for group in tree.children)
    ['prior_sbc', 'sbc_test']
    """
    declared = declaration(method).calibration
    if declared is None:
        served = ", ".join(methods_that(lambda other: other.calibration is not None))
        raise InputError(f"method is {method!r}: calibrate supports {served}")
    counts = {"rows": rows, "simulations": simulations, "draws": draws, "thinning": thinning}
    for name, value in counts.items():
        whole_number(name, value)
    whole_number("seed", seed, minimum=0)
    whole_number("warmup", warmup, minimum=0)
    function = catalogue.program(program)
    arguments = whole_arguments(function, arguments)
    if declared.ranks is not None:
        ranks = declared.ranks(
            rows=rows,
            sizes=sizes or {},
            seed=seed,
            simulations=simulations,
            draws=draws,
            warmup=warmup,
            thinning=thinning,
            arguments=arguments,
            assumed=assumed or {},
        )
        return _as_tree(ranks, method, function)
    with scope("float64"):
        source = Model(function, {}, {**arguments, **(sizes or {})}, {})
        # (of lines that are given as arguments, such as who labelled which item, the number is)
        plate = dict.fromkeys(_size_of_plate(source, rows), rows)
        source = replace(source, arguments=source.arguments | plate)
        emitted = _emitted(source)
        example = _simulation(source, random.key(seed + 1))
        fitted = Model(function, {}, {**arguments, **(assumed or {})}, {})
        data = {n: np.asarray(example[site]) for n, site in emitted.items()}
        model, structure = with_names_of_data(fitted.with_data(data))
        source = replace(source, function=model.function)
        emitted = {n: s if s in structure.emissions else n for n, s in emitted.items()}
        # what a program computes of data before it observes it is drawn as it is observed
        emitted |= {site: site for site in structure.computed}
        example = _simulation(source, random.key(seed + 1))
        data = {n: np.asarray(example[site]) for n, site in emitted.items()}
        fitted = model = with_units(model.with_data(data), structure)
        structure = replace(structure, coupled=model.pairs is not None)
        usual = set(plate) & set(PLATES)  # another one may be a size of something else
        if not usual and rows not in (structure.rows, *(len(v) for v in data.values())):
            raise InputError(
                f"rows is {rows}, and the program draws {structure.rows}, for it has no parameter "
                f"{', '.join(PLATES[:-1])} or {PLATES[-1]} that says how many: give "
                f"rows={structure.rows}, or write a program that takes rows=None"
            )
        problem = Problem(model, structure)
        require(method, problem)
        if structure.locals:
            problem = _with_locals(problem, method)
            structure = problem.structure
        # read outside the compiled function
        _ = problem.parameter_map, problem.example, problem.label_swaps, problem.row_order
        if problem.sums_rows_up:
            _ = problem.chunks
        else:
            rowwise_plan(problem)
        ranked = ranked_quantities(problem, by_site=declared.fixed_number)
        again = _simulation(source, random.key(seed + 2))
        anew = {n: np.asarray(again[site]) for n, site in emitted.items()}
        _refuse_data_priors(problem, model.with_data(anew))
        plan = Plan(problem, draws, warmup, thinning)
        draw, draw_truth = declared.draw, declared.simulate or _from_program
        assert draw is not None

        def one(source: Model, fitted: Model, key: Array) -> dict[str, Array]:
            truth_key, sample_key, tie_key = random.split(key, 3)
            drawn, true_more = draw_truth(source, plan, truth_key)
            here = fitted.with_data({n: drawn[site] for n, site in emitted.items()})
            # which rows a cell is of, no data that are drawn tell
            here = replace(here, units=fitted.units, pairs=fitted.pairs)
            truth = {n: drawn[n] for n in structure.names}
            drawn_values, more = draw(sample_key, here, plan)
            true = ranked(here, truth)
            mine = lax.map(partial(ranked, here), drawn_values)
            return _ranks(tie_key, true | true_more, mine | more)

        keys = random.split(random.key(seed), simulations)
        run = jax.jit(
            lambda source, fitted, keys: in_batches(partial(one, source, fitted), keys, BATCH),
            compiler_options=QUICK,
        )
        ranks = {n: np.asarray(v) for n, v in run(source, fitted, keys).items()}
    return _as_tree(ranks, method, function)


def _with_locals(problem: Problem, method: str) -> Problem:
    """The problem with continuous local sites drawn and ranked like the global ones.

    Raises:
        UnsupportedError: a method whose state does not include local sites.
    """
    served = methods_that(lambda m: m.calibration is not None and m.calibration.draws_locals)
    if method not in served:
        raise UnsupportedError(
            f"site '{problem.structure.locals[0]}' is a continuous site of the rows: calibration "
            f"by method='{method}' does not draw those: use method={', '.join(map(repr, served))}"
        )
    return problem.with_locals()


def _from_program(source: Model, plan: Plan, key: Array) -> tuple[dict[str, Array], dict]:
    """True values by running the program; no further quantities are ranked."""
    return simulate(source, key), {}


def _refuse_data_priors(problem: Problem, other: Model) -> None:
    """Refuse priors computed from the data: the true values come from one fixed prior."""
    structure = problem.structure
    values = structure.initial(random.key(0))
    here = evaluate(problem.model, values, structure=structure).priors
    there = evaluate(other, values, structure=structure).priors
    for name in here:
        pairs = zip(jax.tree.leaves(here[name]), jax.tree.leaves(there[name]), strict=True)
        if not all(np.array_equal(a, b) for a, b in pairs):
            raise InputError(
                f"the prior of site '{name}' is set from the data, which differ from simulation "
                "to simulation: give calibrate() the program's arguments that set it"
            )


def _size_of_plate(source: Model, rows: int) -> list[str]:
    """The parameter that says how many rows a program draws; none where it says so itself.

    Raises:
        InputError: the program runs neither without such a parameter nor with any one of its own.
    """
    parameters = inspect.signature(source.function).parameters
    usual = [n for n in PLATES if n in parameters][:1]
    if usual or _runs(source):
        return usual
    told = {*source.arguments, *data_parameters(source.function)}
    untold = [n for n, p in parameters.items() if p.default is None and n not in told]
    sized = [n for n in untold if _runs(replace(source, arguments=source.arguments | {n: rows}))]
    if len(sized) != 1:
        raise InputError(
            f"{catalogue.program_name(source.function)} does not run without data: give it a "
            f"parameter rows=None that says how many rows to draw, and calibrate() the further "
            "sizes that it needs, as in sizes={'features': 2}"
        )
    return sized


def _runs(source: Model) -> bool:
    """Whether the program runs to its end."""
    return attempted(lambda: jax.eval_shape(simulate, source, random.key(0))) is not None


def _emitted(source: Model) -> dict[str, str]:
    """The site that draws each data parameter: of its name, or whose value the program returns.

    Raises:
        InputError: there is none.
    """
    names = list(data_parameters(source.function))
    sites: dict[str, str] = {}

    def run(key: Array) -> None:
        traced = handlers.trace(handlers.seed(source.run, key))
        value = traced()
        drawn = {s["name"]: s["value"] for s in traced.trace.values() if s["type"] == "sample"}
        sites.update({n: n for n in names if n in drawn})
        if not sites and names:
            sites.update([(names[0], site) for site, each in drawn.items() if each is value][:1])

    jax.eval_shape(run, random.key(0))
    if not sites:
        raise InputError(
            f"{catalogue.program_name(source.function)} draws no site that is called as its data: "
            f"call the site '{names[0] if names else 'x'}', or return its value"
        )
    return sites


#: Compiled as a whole: op by op, JAX would compile every operation separately.
_simulation = jax.jit(simulate, compiler_options=QUICK)


def _ranks(key: Array, true: dict[str, Array], draws: dict[str, Array]) -> dict[str, Array]:
    """Ranks as (draws below + uniform · (ties + 1)) / (draws + 1), with ties broken at random."""
    ranks = {}
    for name, value in true.items():
        key, own = random.split(key)
        below = (draws[name] < value).sum(0)
        equal = (draws[name] == value).sum(0)
        tie = random.uniform(own, jnp.shape(value))
        ranks[name] = (below + tie * (equal + 1)) / (draws[name].shape[0] + 1)
    return ranks


def _as_tree(ranks: dict[str, np.ndarray], method: str, function: Callable) -> xr.DataTree:
    variables, tests = {}, {}
    for name, value in ranks.items():
        dims = tuple(f"{name}_index_{i}" for i in range(value.ndim - 1))
        variables[name] = (("chain", "draw", *dims), value[None])
        tests[name] = (dims, _uniformity(value))
    worst = min(float(np.min(p)) for _, p in tests.values())
    count = sum(np.size(p) for _, p in tests.values())
    groups = {"prior_sbc": xr.Dataset(variables), "sbc_test": xr.Dataset(tests)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {
        "program": catalogue.program_name(function),
        "method": method,
        "simulations": len(next(iter(ranks.values()))),
        "worst": worst,
        "quantities": count,
        "calibrated": bool(worst > 0.01 / count),
    }
    return tree


def _uniformity(pit: np.ndarray, bins: int = 20) -> np.ndarray:
    """Chi-squared p-value of uniformity over simulations, per quantity."""
    flat = pit.reshape(len(pit), -1)
    rows = []
    for column in flat.T:
        counts = np.histogram(column, bins=bins, range=(0, 1))[0]
        rows.append(scipy.stats.chisquare(counts).pvalue)
    return np.asarray(rows).reshape(pit.shape[1:])
