"""Online EM: updates of parameters and running statistics by a block of new rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.errors import InputError
from ppl_models.inference.em.loop import Plan
from ppl_models.inference.em.mini_batches import expected_of_rows, log_prior_at, maximised_by
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.chunks import Chunks, cut
from ppl_models.inference.statistics.e_step import Expectations, hard, soft
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.inference.statistics.running import (
    averaged,
    exact,
    gaps_allowed,
    scaled_by,
    step_size,
)
from ppl_models.posterior.build.running import STATISTICS, RunningStatistics
from ppl_models.posterior.result.restore import RestoredFit
from ppl_models.program.model import Model

READ_ROWS = 256  #: rows, at most, on which the program is evaluated: its priors know no rows
LEAST_ROWS = 64  #: of a piece, padding included
SETTLED = 1e-7  #: relative change of all sites below which a piece is done with


class OnlineEM:
    """Parameters and running statistics, updated by one piece of rows at a time.

    Args:
        problem: program and a sample of the data.
        plan: of a step, for a few rows of these.
        model: with these rows.
        values: global sites.
        running: statistics of all rows seen.
        exponent: the t-th piece has at least the weight ``t ** -exponent``.
        iterations: maximum number of EM steps per piece.
    """

    def __init__(
        self,
        problem: Problem,
        plan: Plan,
        model: Model,
        values: dict[str, np.ndarray],
        running: RunningStatistics,
        exponent: float,
        iterations: int,
    ):
        self.problem, self.plan, self.model = problem, plan, model
        self.values, self.running = values, running
        self._exponent, self._iterations = exponent, iterations
        centres = {n: jnp.asarray(v) for n, v in running.centres.items()}
        like = gaps_allowed(problem.families, problem.chunks)
        none = jnp.zeros(0, jnp.int32)
        self._like = replace(like, parts=(), order=none, mesh=None, centres=centres)

    @classmethod
    def begun(cls, fitted: RestoredFit, exponent: float, iterations: int) -> OnlineEM:
        """Where the fit ended."""
        problem, facts = fitted.problem, fitted.facts
        flat = json.loads(fitted.tree.attrs["configuration"]).get("priors") == "flat"
        links, free = conjugate_sites(
            problem.model, problem.structure, problem.parameter_map, problem.chunks, flat=flat
        )
        assign = hard if facts.assignments == "hard" else soft
        count = problem.structure.rows
        few = min(READ_ROWS, 1 << (count.bit_length() - 1))
        model, structure = fitted.rows(slice(few))
        plan = Plan(structure, links, free, flat, assign, False, False)
        values = {n: np.asarray(v[0]) for n, v in fitted.values.items()}
        if STATISTICS in fitted.tree.children:
            running = RunningStatistics.of_dataset(fitted.tree[STATISTICS].to_dataset())
        else:
            like = gaps_allowed(problem.families, problem.chunks)
            chunks = cut(problem.model.data, problem.families, like=like)
            known = problem.known_priors
            expectations = exact(
                expected_of_rows(model, values, chunks, known, plan=plan), like.centres
            )
            centres = {n: np.asarray(v, np.float64) for n, v in like.centres.items()}
            running = RunningStatistics(expectations, centres, count)
        return cls(problem, plan, model, values, running, exponent, iterations)

    def add(self, rows: np.ndarray) -> None:
        """EM steps on a block of new rows, with the statistics of all earlier rows fixed."""
        (site,) = self.problem.families
        family = self.problem.families[site]
        blank = self._like
        if family.has_missing_cells(rows):
            blank = replace(blank, missing=tuple((n, True) for n, _ in blank.missing))
        chunks = _padded(rows, site, self.problem, blank)
        old, count = self.running, len(rows)
        total = old.rows + count
        weight = count / total
        if self._exponent < 1:
            weight = max(weight, step_size(old.pieces, self._exponent))
        before = scaled_by(old.expected, total / old.rows)
        known = self.problem.known_priors
        combined = before
        for _ in range(self._iterations):
            expectations = expected_of_rows(self.model, self.values, chunks, known, plan=self.plan)
            new = scaled_by(exact(expectations, blank.centres), total / count)
            combined = averaged(*_alike(before, new), weight)
            moved = self._maximised(combined, blank)
            settled = _close(self.values, moved)
            self.values = moved
            if settled:
                break
        self.running = RunningStatistics(combined, old.centres, total, old.pieces + 1)

    def _maximised(self, expected: Expectations, blank: Chunks) -> dict[str, np.ndarray]:
        number = jnp.result_type(float)
        own = jax.tree.map(lambda v: np.asarray(v, number), expected)
        moved = maximised_by(
            self.model, self.values, own, blank, self.problem.known_priors, plan=self.plan
        )
        return {n: np.asarray(v) for n, v in moved.items()}

    @property
    def log_joint(self) -> float:
        """Sum of the rows' log-densities when they were seen, and the log prior density."""
        total = float(self.running.expected.log_normaliser)
        if self.plan.flat:
            return total
        known = self.problem.known_priors
        return total + float(log_prior_at(self.model, self.values, known, plan=self.plan))


def _padded(values: np.ndarray, site: str, problem: Problem, blank: Chunks) -> Chunks:
    """Rows of a piece, padded to a power of two, so that few shapes are compiled."""
    size = max(LEAST_ROWS, 1 << (len(values) - 1).bit_length())
    rows = np.minimum(np.arange(size), len(values) - 1)
    present = np.arange(size) < len(values)
    return cut({site: values[rows]}, problem.families, parts=1, like=blank, present=present)


def _alike(old: Expectations, new: Expectations) -> tuple[Expectations, Expectations]:
    """Statistics of rows with and without missing cells, in one shape.

    Raises:
        InputError: a family whose statistics are different ones where cells are missing.
    """
    both: list[dict[str, Any]] = [{}, {}]
    for site, own in old.statistics.items():
        pair = own, new.statistics[site]
        copies: list[dict[str, Any]] = [dict(each) for each in pair]
        if set(pair[0]) != set(pair[1]):
            raise InputError(_OTHER_GAPS)
        for name in own:
            shapes = [np.shape(each[name]) for each in pair]
            if shapes[0] == shapes[1]:
                continue
            if name != "count":  # which cells without gaps share
                raise InputError(_OTHER_GAPS)
            shape = np.broadcast_shapes(*shapes)
            for each in copies:
                each[name] = np.broadcast_to(each[name], shape)
        for alike, each in zip(both, copies, strict=True):
            alike[site] = each
    return old._replace(statistics=both[0]), new._replace(statistics=both[1])


_OTHER_GAPS = (
    "cells are missing among the rows of the fit or among these, not among both, and the program's "
    "statistics are others then: fit all rows together, from a file if they do not fit memory"
)


def _close(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether all sites agree up to rounding and a small tolerance."""
    return all(
        np.abs(np.asarray(new[n]) - np.asarray(v)).max(initial=0)
        <= SETTLED * (1e-300 + np.abs(np.asarray(v)).max(initial=0))
        for n, v in old.items()
    )
