"""Stochastic EM comes to the optimum of batch EM, by steps on mini-batches."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from jax import random

from ppl_models import catalogue, fit, memory, open_blocks
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.em.loop import Plan
from ppl_models.inference.em.mini_batches import MiniBatches
from ppl_models.inference.methods.em import em
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.inference.statistics.e_step import Expectations, soft
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.precision import scope

# (those of ``test_blockwise``, so that programs are compiled once for both)
GENERATOR = np.random.default_rng(0)
GROUP = GENERATOR.integers(0, 3, 12_000)
ROWS = (np.array([[0, 0], [6, 0], [0, 6]])[GROUP] + GENERATOR.normal(size=(12_000, 2))).round(3)
ROWS[5, 1] = np.nan
SORTED = ROWS[GROUP.argsort(kind="stable")]  # one cluster after the other
PROGRAM = {"clusters": 3, "covariance": "spherical"}
OPTIONS = {"method": "stochastic_em", "seed": 1, "predictive": 0, "starts": 2, "batch_size": 1000}


def problem_of(rows: Any, program: str = "gaussian_mixture", **arguments: Any) -> Problem:
    function = catalogue.program(program)
    weights = arguments.pop("weights", None)
    observed = read_data(function, rows)
    values = arguments or PROGRAM
    return Problem(*read_program(function, observed, values, {}, "float64", weights=weights))


@pytest.fixture(scope="module")
def batch() -> Result:
    with scope("float64"):
        return em(problem_of(ROWS), random.fold_in(random.key(1), 0), starts=2)


@pytest.fixture(scope="module")
def stochastic() -> xr.DataTree:
    return fit("gaussian_mixture", open_blocks(SORTED, rows=1700), **OPTIONS, **PROGRAM)


def test_sorted_rows_lead_to_the_optimum_of_batch_em(
    batch: Result, stochastic: xr.DataTree
) -> None:
    assert stochastic["starts"]["converged"].values.all()
    for name, value in batch.values.items():
        actual = stochastic["posterior"][name]
        np.testing.assert_allclose(actual, value, rtol=2e-5, atol=2e-5, err_msg=str(name))
    # (an error of the parameters is squared in the objective)
    best = batch.sample_stats["lp"].item()
    assert abs(stochastic["sample_stats"]["lp"].item() - best) < 1e-9 * abs(best)


def test_batches_that_share_statistics_come_to_the_same_optimum(
    batch: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "KEPT_STATISTICS_BYTES", 800)
    shared, keep_within = [], MiniBatches.keep_within

    def noted(batches: MiniBatches, statistics: Expectations) -> None:
        keep_within(batches, statistics)
        shared.append(batches.shared)

    monkeypatch.setattr(MiniBatches, "keep_within", noted)
    tree = fit("gaussian_mixture", open_blocks(SORTED, rows=1700), **OPTIONS, **PROGRAM)
    assert shared[0] > 1
    for name, value in batch.values.items():
        np.testing.assert_allclose(tree["posterior"][name], value, rtol=2e-5, atol=2e-5)


STEPS = (4.0 * GENERATOR.integers(0, 2, (40, 30)) + GENERATOR.normal(size=(40, 30)))[..., None]


@pytest.mark.parametrize(
    ("program", "rows", "arguments", "weights"),
    [
        ("gaussian_mixture", ROWS[:400], PROGRAM, None),
        ("gaussian_mixture", ROWS[:400], PROGRAM, np.arange(400.0) % 3),
        ("hidden_markov", STEPS, {"states": 2}, None),
    ],
    ids=["rows", "weights", "sequences that hide paths"],
)
@pytest.mark.usefixtures("double_precision")
def test_the_statistics_of_batches_add_up(program, rows, arguments, weights) -> None:
    problem = problem_of(rows, program, **arguments, weights=weights)
    plan = Plan(problem.structure, (), (), False, soft, False, False)
    batches = MiniBatches(problem, plan, 3 * len(rows) // 10, 0, 1)
    start = problem.structure.initial(random.key(0))
    values = {n: np.asarray(v) for n, v in start.items()}
    complete = batches.expected(values, problem.chunks)
    parts = [batches.expected(values, chunks) for _, (chunks, _) in batches]
    assert len(parts) == 4
    total = jax.tree.map(lambda *v: sum(v), *parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), total, complete
    )
    counted = len(rows) if weights is None else weights.sum()
    assert sum(size for _, (_, size) in batches) == counted == batches.counted


@pytest.mark.parametrize("exponent", [0.5, 1.1])
def test_steps_that_do_not_converge_are_refused(exponent: float) -> None:
    with pytest.raises(InputError, match=r"above 0\.5 and at most 1"):
        fit("gaussian_mixture", ROWS[:9], **OPTIONS, **PROGRAM, exponent=exponent)


def test_components_beyond_single_precision_are_refused_with_a_way_out() -> None:
    far = np.r_[GENERATOR.normal(size=400), 30_000 + GENERATOR.normal(size=400)]
    arguments = {"method": "stochastic_em", "clusters": 2, "seed": 0, "predictive": 0, "starts": 1}
    with pytest.raises(UnsupportedError, match="precision='float64'"):
        fit("gaussian_mixture", far, precision="float32", **arguments)
    tree = fit("gaussian_mixture", far, precision="float64", **arguments)
    assert np.sort(tree["posterior"]["loc"].values.ravel()).round(-3).tolist() == [0, 30_000]
