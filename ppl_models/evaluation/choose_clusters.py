"""Compare numbers of clusters or hidden states, and other arguments, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, random
from jax.scipy.special import logsumexp

from ppl_models import catalogue
from ppl_models.errors import InputError, whole_number
from ppl_models.evaluation.candidates import (
    ITERATIONS,
    TOLERANCE,
    HeldOut,
    Search,
    criteria,
    parameter_count,
)
from ppl_models.evaluation.choose_each import can_be_switched_off, fit_each
from ppl_models.evaluation.choose_states import fit_states, need_several, notes
from ppl_models.fitting import fit
from ppl_models.inference.em.collapse import collapsed_components
from ppl_models.inference.em.loop import run_em
from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.method import declaration, methods_that
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.program.arguments.dicts import without_dict
from ppl_models.program.arguments.signature import arguments_of, data_parameters
from ppl_models.program.model import Model
from ppl_models.program.reading import read_data, take_vocabulary
from ppl_models.program.rows.weights import take_weights
from ppl_models.program.runtime.precision import scope
from ppl_models.program.trace.structure import Structure

#: criterion -> whether larger is better
CRITERIA = {"bic": False, "aic": False, "icl": False, "heldout": True, "loo": True}


def choose_clusters(
    program: str | Callable,
    data: Any,
    clusters: Iterable[int] = range(1, 10),
    *,
    seed: int,
    criterion: str = "bic",
    method: str = "em",
    over: Mapping[str, Sequence[Any]] | None = None,
    heldout: float = 0.0,
    starts: int = 8,
    progress: bool = False,
    weights: Any = None,
    size: str | None = None,
    labels: Any = None,
    **arguments: Any,
) -> pd.DataFrame:
    """Fit every number of clusters, or of hidden states, and compare.

    With ``method="em"`` all numbers of clusters are fitted together by maximum likelihood, with one
    compilation per family: a smaller mixture is the largest one with some clusters switched off.
    Where weights are not a site of their own, or there are no sufficient statistics, each number is
    fitted separately, and parameters are counted by the rank of the rows' score vectors. With a
    method that draws, every candidate is a separate fit, and candidates are compared by PSIS-LOO.

    A program with an argument ``states`` and none called ``clusters`` (a hidden Markov model) is
    compared by its number of states, with a separate fit for each. Held-out density and LOO then
    leave out whole sequences and need several of them; see ``table.attrs["notes"]``.

    Schwarz (1978), Estimating the dimension of a model; Akaike (1974); Biernacki, Celeux and
    Govaert (2000), Assessing a mixture model for clustering with the integrated completed
    likelihood.

    Args:
        program: a mixture or a hidden Markov model: built-in name, ``path/to/file.py:function`` or
            function.
        data: as ``fit`` takes them.
        clusters: numbers of clusters, or of states.
        seed: of all random numbers.
        criterion: "bic", "aic", "icl" (lower is better), "heldout" or "loo" (higher is better).
        method: "em", which maximises the likelihood, or a method that draws ("gibbs", ...).
        over: further arguments of the program to vary, e.g. ``{"covariance": ["full", "tied"]}``.
        heldout: fraction of the rows, or sequences, held out of the fit and scored ("heldout").
        starts: starts of EM for every candidate.
        progress: show progress bars.
        weights: how often each row counts, as in ``fit``; criteria count rows by their weights.
        size: name of the program's argument for the number, such as "classes" (default: "clusters"
            or "states").
        labels: known clusters of rows, as in ``fit``; they hold in every candidate.
        **arguments: of the program and of a method that draws.

    Returns:
        A table, best candidate first: the varied arguments, ``clusters`` (or ``states``),
        ``log_likelihood``, ``parameters``, ``bic`` = -2 log L + p log n (n is the number of rows
        or, for hidden Markov models, of observed steps), ``aic``, ``icl`` = bic - 2 log of the
        probability of the most probable assignments (or paths), ``heldout`` (log-density per row or
        sequence) and ``converged``; or ArviZ's comparison. ``table.attrs["best"]`` holds
        the arguments of the best candidate.

    Raises:
        InputError: an unknown criterion or one that the method does not offer, a program with
            neither clusters nor states, or a criterion that would leave out the only sequence.

    >>> x = np.concatenate([np.linspace(-1, 1, 20), np.linspace(9, 11, 20)])
    >>> choose_clusters("gaussian_mixture", x, range(1, 4), seed=0).attrs["best"]
    {'clusters': 2}
    """
    if not isinstance(clusters, Iterable) or isinstance(clusters, str):
        raise InputError(f"clusters is {clusters!r}: give several numbers, as range(1, 10)")
    candidates = sorted({whole_number("a number of clusters", k) for k in clusters})
    whole_number("seed", seed, minimum=0)
    draws = _draws(method)
    whole_number("starts", starts, minimum=0 if draws else 1)  # (draws may start without)
    if criterion not in CRITERIA:
        raise InputError(f"criterion is {criterion!r}: choose one of {', '.join(CRITERIA)}")
    if not candidates:
        raise InputError("give numbers of clusters from 1 up")
    if criterion == "heldout" and not 0 < heldout < 1:
        raise InputError("criterion 'heldout' needs heldout=, a fraction of the rows such as 0.2")
    if draws != (criterion == "loo"):
        raise InputError(
            f"criterion {criterion!r} does not go with method {method!r}: 'loo' needs draws "
            f"({_served(draws=True)}), all others need maxima of the likelihood "
            f"({_served(draws=False)})"
        )
    over = over or {}
    varied = [dict(zip(over, chosen, strict=True)) for chosen in product(*over.values())]
    sized = arguments if size is None else {**arguments, size: candidates[0]}
    function, data, flat = without_dict(catalogue.program(program), data, sized)
    arguments = {n: v for n, v in flat.items() if n != size}
    size = _size_argument(function, size)
    remarks = []
    if size == "states":
        if labels is not None:
            raise InputError("labels are of clusters, and hidden states are compared: leave it out")
        rest = take_weights(data, weights)[0]
        observed = read_data(
            function,
            rest,
            take_vocabulary(arguments)[1],
            arguments={**arguments, size: candidates[0]},
        )
        count = len(next(iter(observed.values())).values)
        remarks = notes(count)
        if criterion == "loo" or heldout > 0:
            need_several(count, "leave-one-out" if criterion == "loo" else "heldout=")
    if draws:
        from ppl_models.evaluation.loo import compare_draws

        fits = {
            _label(v, k): fit(
                function,
                data,
                method=method,
                seed=seed,
                progress=progress,
                predictive=0,
                weights=weights,
                labels=labels,
                **arguments,
                **v,
                **dict[str, Any]({size: k}),
            )
            for v in varied
            for k in candidates
        }
        names = {_label(v, k): {**v, size: k} for v in varied for k in candidates}
        compared = compare_draws(fits, names)
        compared.attrs["notes"] = remarks
        return compared
    with scope("float64"):
        fit_family = fit_states if size == "states" else _fit_nested
        rows = [
            row
            for v in varied
            for row in fit_family(
                Search(
                    function,
                    data,
                    candidates,
                    {**arguments, **v},
                    v,
                    seed=seed,
                    starts=starts,
                    heldout=heldout,
                    progress=progress,
                    weights=weights,
                    size=size,
                    labels=labels,
                )
            )
        ]
    table = pd.DataFrame(rows)
    ordered = table.sort_values(
        ["collapsed", criterion], ascending=[True, not CRITERIA[criterion]], kind="stable"
    ).reset_index(drop=True)
    best = ordered.iloc[0]
    plain = {n: getattr(best[n], "item", lambda n=n: best[n])() for n in (*over, size)}
    ordered.attrs["best"] = plain
    ordered.attrs["criterion"] = criterion
    ordered.attrs["notes"] = remarks
    return ordered


def _served(*, draws: bool) -> str:
    """Names of the methods that draw, or of those that maximise the likelihood."""
    names = methods_that(
        lambda method: method.kind == "draws" if draws else method.maximises_likelihood
    )
    return ", ".join(names)


def _draws(method: str) -> bool:
    """Whether a method draws; otherwise it maximises the likelihood.

    Raises:
        InputError: it does neither.
    """
    declared = declaration(method)
    if declared.kind != "draws" and not declared.maximises_likelihood:
        raise InputError(
            f"method is {method!r}: choose_clusters compares maxima of the likelihood "
            f"({_served(draws=False)}), or draws ({_served(draws=True)}) by criterion='loo'"
        )
    return declared.kind == "draws"


def _size_argument(function: Callable, size: str | None) -> str:
    """Name of the argument for the number of components: ``size``, else clusters or states."""
    parameters = arguments_of(function)
    name = getattr(function, "__name__", "the program")
    others = ", ".join(parameters) or "none"
    if size is not None:
        if size not in (*parameters, *data_parameters(function)):
            raise InputError(f"size is {size!r}, and {name} takes {others}: choose one of them")
        return size
    sizes = [name for name in ("clusters", "states") if name in parameters]
    if not sizes:
        raise InputError(
            f"{name} has neither an argument 'clusters' nor 'states' (it takes {others}): say by "
            "size= which of them is the number of clusters"
        )
    return sizes[0]


def _label(varied: Mapping[str, Any], clusters: int) -> str:
    return " ".join([*map(str, varied.values()), f"K={clusters}"])


def _fit_nested(search: Search) -> list[dict[str, Any]]:
    """Rows of the table for one family: all numbers of clusters fitted in one run of EM."""
    candidates, starts = search.candidates, search.starts
    largest = candidates[-1]
    problem, held_out = search.problem(search.size, largest)
    # (beside noise there is a component more)
    if not can_be_switched_off(problem) or problem.structure.clusters != largest:
        return fit_each(search)
    model, structure = problem.model, problem.structure
    each = np.repeat(candidates, starts)
    active = jnp.asarray(np.arange(largest)[None, :] < each[:, None])
    links, free = conjugate_sites(
        model, structure, problem.parameter_map, problem.chunks, flat=True
    )
    values, _ = starting_values(
        problem, links, free, random.fold_in(search.key, 1), len(each), flat=True, active=active
    )
    run = run_em(
        problem,
        values,
        links=links,
        free=free,
        iterations=ITERATIONS,
        tolerance=TOLERANCE,
        flat=True,
        active=active,
        label="choose_clusters",
    )
    final = np.array(
        [r[np.isfinite(r)][-1] if np.isfinite(r).any() else -np.inf for r in run.objective]
    )
    each_value = {n: jnp.asarray(v) for n, v in run.values.items()}
    collapsed = _collapsed(problem.model, each_value, problem.deviations, structure=structure)
    collapsed = np.asarray(collapsed) & np.asarray(active)
    return [
        _row(problem, run, final, collapsed.any(1), each, k, search, held_out, active)
        for k in candidates
    ]


@jax.jit(static_argnames=("structure",))
def _collapsed(
    model: Model, values: Any, deviations: dict[str, Array], *, structure: Structure
) -> Array:
    """Whether each component of each start has collapsed, ``(start, cluster)``."""
    return jax.lax.map(
        lambda v: collapsed_components(model, v, deviations, structure=structure), values
    )


def _row(
    problem: Problem,
    candidate: Any,
    final: np.ndarray,
    collapsed: np.ndarray,
    each: np.ndarray,
    clusters: int,
    search: Search,
    held_out: HeldOut | None,
    active: Array,
) -> dict[str, Any]:
    mine = np.flatnonzero(each == clusters)
    usable = mine[~collapsed[mine]]
    best = int((usable if len(usable) else mine)[np.argmax(final[usable if len(usable) else mine])])
    values = {n: jnp.asarray(v[best]) for n, v in candidate.values.items()}
    arguments = {**problem.model.arguments, search.size: clusters}
    own = replace(problem.model, arguments=arguments).structure()
    log_likelihood = float(final[best])
    rows = float(problem.model.row_count(own))
    entropy = float(_entropy(problem.model, values, active[best], structure=problem.structure))
    row = {
        **search.varied,
        search.size: clusters,
        **criteria(log_likelihood, parameter_count(problem, own), rows, entropy),
        "converged": bool(candidate.converged[best]),
        "collapsed": not len(usable),
        "starts_at_best": int((final[mine] > log_likelihood - 1e-3).sum()),
    }
    if held_out is not None:
        other, structure = held_out.model, held_out.structure
        density = _density(other, values, active[best], structure=structure)
        row["heldout"] = float(density[held_out.rows].mean())
    return row


def _masked(model: Model, values: Any, active: Array, structure: Structure) -> Array:
    return jnp.where(active[:, None], model.logits(values, structure), -jnp.inf)


@jax.jit(static_argnames=("structure",))
def _entropy(model: Model, values: Any, active: Array, *, structure: Structure) -> Array:
    """-Σ log of the largest responsibility of each row, the entropy term of mclust's ICL."""
    logits = _masked(model, values, active, structure)
    return -model.summed(logits.max(0) - logsumexp(logits, axis=0))


@jax.jit(static_argnames=("structure",))
def _density(model: Model, values: Any, active: Array, *, structure: Structure) -> Array:
    return logsumexp(_masked(model, values, active, structure), axis=0)
