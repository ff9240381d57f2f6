"""Chunks: data of unequal length in parts are the same data, and cost what they need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from jax import Array, random

from ppl_models import catalogue, log_density, memory
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.assignment_draws import draw_and_sum
from ppl_models.inference.statistics.chunks import Chunks, by_length, cut
from ppl_models.inference.statistics.e_step import e_step, hard, soft
from ppl_models.program.model import Model
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

LENGTHS = (3, 40, 7, 12, 1, 40, 5)


def _series() -> list[np.ndarray]:
    numbers = np.random.default_rng(0)
    states = [numbers.random(n).round() for n in LENGTHS]
    actual = [numbers.normal(size=(len(s), 2)) + 8 * s[:, None] for s in states]
    actual[3][2:5] = np.nan  # steps within a sequence that were not seen
    return actual


def _tokens() -> list[str]:
    numbers = np.random.default_rng(1)
    return ["".join(numbers.choice(list("abc"), n)) for n in LENGTHS]


CASES = {
    "hidden_markov": (_series(), {"states": 2}),
    "hidden_token_chain": (_tokens(), {"states": 2}),
    "chain_mixture": (_tokens(), {"clusters": 2}),
}


def _problem(name: str) -> Problem:
    data, arguments = CASES[name]
    function = catalogue.program(name)
    observed = read_data(function, data)
    return Problem(*read_program(function, observed, arguments, {}, "float64"))


#: a hidden chain's sums and a chain's counts, each of which is parted in the quick tests
BOTH = "hidden_token_chain"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n == BOTH else n for n in CASES]
)
def test_parts_have_the_statistics_of_the_whole(name: str) -> None:
    with scope("float64"):
        problem = _problem(name)
        data, families, structure = problem.model.data, problem.families, problem.structure
        complete, parts = (cut(data, families, parts=count) for count in (1, 3))
        assert len(complete.parts) == 1 and len(parts.parts) == 3
        widths = [len(rows) * width for rows, width in by_length(families, data, 3)]
        assert sum(widths) < 0.6 * len(LENGTHS) * max(LENGTHS)

        @jax.jit
        def expected(chunks: Chunks) -> Any:
            return [e_step(problem.example, structure, chunks, how) for how in (soft, hard)]

        for a, b in zip(*(jax.tree.leaves(expected(c)) for c in (complete, parts)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["chain_mixture"])
def test_assignments_drawn_in_parts_are_in_the_order_of_the_rows(name: str) -> None:
    with scope("float64"):
        problem = _problem(name)
        structure = problem.structure
        parts = cut(problem.model.data, problem.families, parts=3)
        assert structure.assignment is not None and len(parts.parts) == 3

        @jax.jit
        def drawn(keys: Array) -> tuple[Array, Array]:
            values = structure.initial(random.key(0))
            pieces = problem.model.pieces(values, structure)
            proportion = jax.nn.softmax(problem.model.logits(values, structure), axis=0)[1]
            draw = partial(
                draw_and_sum, pieces=pieces, structure=structure, chunks=parts, keep=True
            )
            return jax.lax.map(lambda key: draw(key)[1], keys), proportion

        actual, proportion = drawn(random.split(random.key(1), 100))
        error = 4.5 * np.sqrt(proportion * (1 - proportion) / len(actual))
        assert (np.abs(actual.mean(0) - proportion) < error + 1e-9).all()


def test_a_long_sequence_among_short_ones_does_not_widen_them() -> None:
    numbers = np.random.default_rng(2)
    series = [numbers.normal(size=(n, 1)) for n in [20_000] + [20] * 300]
    with scope("float64"):
        function = catalogue.program("hidden_markov")
        observed = read_data(function, series)
        problem = Problem(*read_program(function, observed, {"states": 2}, {}, "float64"))
        held = sum(part.arrays["x"]["steps"].size for part in problem.chunks.parts)
        needed = problem.chunks.parts[0].arrays["x"]["steps"].shape[1] * 26_000
    assert held < 1.05 * needed


def test_densities_are_the_same_in_parts(
    built_ins: dict[str, Any], fitted: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = built_ins["hidden_markov"]
    tree = fitted(row, "em", starts=4, tolerance=1e-13)
    monkeypatch.setattr(memory, "SMALL_DATA_NUMBERS", 10)
    monkeypatch.setattr(memory, "PADDING_BYTES", 10)
    with scope("float64"):
        model = Model(catalogue.program(row.name), {"x": row.data}, row.arguments, {})
        assert len(Problem(model, model.structure()).chunks.parts) > 1
    parts = log_density(tree, row.data[::-1]).values[::-1]
    np.testing.assert_allclose(parts, tree["log_likelihood/x"].values[0, 0], rtol=1e-10)
