"""The program with its assignments summed out, as a program again, for NumPyro's samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpyro
from jax import Array
from jax.scipy.special import logsumexp
from numpyro.primitives import Messenger

from ..distributions.convert import as_family, unwrap
from ..errors import UnsupportedError
from .problem import Problem
from .program import Model, Structure
from .statistics import Pass, sweep


class _Rows(Messenger):
    """Give the assignment all its values at once; keep it and the emissions from outer handlers."""

    def __init__(self, fn: Callable, structure: Structure):
        super().__init__(fn)
        self.structure = structure
        self.found: dict[str, Any] = {}

    def process_message(self, message: dict[str, Any]) -> None:
        name = str(message.get("name"))
        if message["type"] != "sample" or name not in (
            self.structure.assignment,
            *self.structure.emissions,
        ):
            return
        self.found[name] = unwrap(message["fn"])
        message["stop"] = True
        if name == self.structure.assignment:
            message["value"] = jnp.arange(self.structure.clusters)[:, None]


def marginal_program(problem: Problem) -> Callable[[], None]:
    """The same global sites, and one factor: the log-density of all rows, assignments summed out.

    Where nothing is assigned and the emissions are exponential families, the rows enter through
    their statistics, summed once, and a step costs the same whatever their number.
    """
    model, structure = problem.model, problem.structure
    swept = _statistics(problem)

    def program() -> None:
        rows = _Rows(model._held(), structure)
        rows()
        if swept is None:
            numpyro.factor("rows", _by_row(rows.found, model, structure).sum())
        else:
            numpyro.factor("rows", _from_statistics(rows.found, swept, problem))

    return program


def _statistics(problem: Problem) -> Pass | None:
    """The rows' statistics where they are all that the density needs."""
    if problem.structure.assignment is not None or problem.structure.locals:
        return None
    try:
        families = problem.families
    except UnsupportedError:
        return None
    gaps = any(missing for _, missing in problem.chunks.missing)
    if gaps and not all(f.factorises for f in families.values()):
        return None
    return sweep(problem.example, problem.structure, problem.chunks)


def _from_statistics(found: dict[str, Any], swept: Pass, problem: Problem) -> Array:
    total = jnp.zeros(())
    for name in problem.structure.emissions:
        family = as_family(found[name])
        assert family is not None
        centre = problem.chunks.centres[name]
        density = family.components().expected_log_density(swept.statistics[name], centre)
        total = total + density.sum()
    return total


def _by_row(found: dict[str, Any], model: Model, structure: Structure) -> Array:
    """Log-density of every row."""
    logits: Any = 0.0
    if structure.assignment is not None:
        values = jnp.arange(structure.clusters)[:, None]
        logits = found[structure.assignment].log_prob(values)
    for name in structure.emissions:
        family = as_family(found[name])
        emission = found[name] if family is None else family
        logits = logits + emission.log_prob(model.data[name])
    return logsumexp(logits, axis=0) if structure.assignment is not None else logits
