"""The result of variational Bayes: draws of q, the evidence bound, and a report of the starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import Array, random

from ppl_models.errors import InputError
from ppl_models.inference.capabilities import (
    ASSIGNMENT,
    CONJUGATE,
    INDEPENDENT_ROWS,
    PLAIN_PRIORS,
    STATISTICS,
    UNKNOWN_CLUSTERS,
    UNSCALED,
)
from ppl_models.inference.em.driver import em_from_starts
from ppl_models.inference.method import Capability, Lack, Method
from ppl_models.inference.objective import EVIDENCE_BOUND
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.inference.variational.divergence import drawn
from ppl_models.inference.variational.loop import Updates, counted_rows
from ppl_models.program.parameters.label_symmetry import permute_labels

NOTE = (
    "draws are of independent distributions of the sites, the nearest to the posterior by the "
    "evidence bound; they understate how uncertain the sites are: method='gibbs' has no such limit"
)


def _unknown_expectations(problem: Problem) -> Lack | None:
    for name, family in problem.families.items():
        unknown = [n for n in family.parameter_dims if n not in family.plug_in_parameters]
        if unknown:
            return Lack(
                f"site '{name}' emits from {type(family).__name__}, which states no plug-in value "
                f"of its parameter '{unknown[0]}'"
            )
    weights = [w for w in problem.parameter_map.links if w.emission == problem.structure.assignment]
    if not weights and problem.structure.clusters > 1:
        return Lack("the weights of the clusters are no site with a Dirichlet prior")
    return None


def _missing(problem: Problem) -> Lack | None:
    for name, missing in problem.chunks.missing:
        if missing:
            return Lack(f"site '{name}' has missing cells")
    return None


EXPECTATIONS = Capability(
    "emissions whose natural parameters have known expectations", _unknown_expectations
)
COMPLETE_ROWS = Capability("rows without missing cells", _missing)

METHOD = Method(
    "draws",
    "soft",
    EVIDENCE_BOUND,
    (
        *STATISTICS,
        INDEPENDENT_ROWS,
        ASSIGNMENT,
        UNSCALED,
        PLAIN_PRIORS,
        UNKNOWN_CLUSTERS,
        CONJUGATE,
        EXPECTATIONS,
        COMPLETE_ROWS,
    ),
    row_weights="any",
    passes_over_blocks=True,
    keeps_states=True,
    suggested=False,  # gibbs draws of the posterior itself
)


def variational(
    problem: Problem,
    key: Array,
    method: Method,
    *,
    starts: int,
    iterations: int,
    tolerance: float | None,
    chains: int,
    draws: int,
    label: str,
    run: Any,
) -> Result:
    """Fit q from several starts, and draw of the best.

    Args:
        problem: program and data.
        key: random key.
        method: the declaration of the method that asks.
        starts: number of starts.
        iterations: maximum number of iterations or passes.
        tolerance: relative gain of the bound below which they stop.
        chains: of draws.
        draws: a chain.
        label: of the progress bar.
        run: what iterates all starts.

    Raises:
        InputError: options out of range.
    """
    if min(chains, draws) < 1:
        raise InputError(f"chains ({chains}) and draws ({draws}) must be at least 1")
    draw_key = random.fold_in(key, 1)
    modes = em_from_starts(
        problem,
        key,
        starts=starts,
        iterations=iterations,
        tolerance=tolerance,
        priors="program",
        assignments="soft",
        label=label,
        run=run,
        wants_mode=False,
    )
    links, _ = conjugate_sites(
        problem.model, problem.structure, problem.parameter_map, problem.chunks
    )
    updates = Updates(problem, links, counted_rows(problem))
    best = {n: v[0, 0] for n, v in modes.values.items()}
    posterior = updates.posterior(best)
    keys = random.split(draw_key, chains * draws)
    values = {n: np.asarray(v) for n, v in _drawn(posterior, keys).items()}
    missing = set(problem.structure.names) - set(values)
    for name in missing:  # the weights of one cluster
        values[name] = np.broadcast_to(best[name], (chains * draws, *best[name].shape))
    weights = [w for w in links if w.emission == problem.structure.assignment]
    if weights and problem.exchangeable:  # most rows first
        order = np.argsort(-np.asarray(posterior[weights[0].site].concentration), kind="stable")
        values = permute_labels(values, problem.labels.axes, order, leading=1)
    shaped = {n: v.reshape(chains, draws, *v.shape[1:]) for n, v in values.items()}
    return replace(
        modes,
        values={n: shaped[n] for n in problem.structure.names},
        method=method,
        sample_stats={},
        path={},
        notes=[*modes.notes, NOTE],
        attributes={"evidence_bound": float(modes.sample_stats["lp"].item())},
        objective=EVIDENCE_BOUND,
    )


@jax.jit
def _drawn(posterior: dict[str, Any], keys: Array) -> dict[str, Array]:
    """A draw of every site for every key."""

    def one(key: Array) -> dict[str, Array]:
        own = random.split(key, len(posterior))
        return {n: drawn(q, own[i]) for i, (n, q) in enumerate(sorted(posterior.items()))}

    return jax.lax.map(one, keys)
