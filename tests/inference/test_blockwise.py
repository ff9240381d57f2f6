"""Rows in blocks: the answer is that of the same rows in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from jax import random

from ppl_models import catalogue, fit, log_density, open_blocks, predict, predict_to
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.methods.em import em
from ppl_models.inference.methods.kmeans import kmeans
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.checkpoint import Checkpoint
from ppl_models.program.runtime.precision import scope

GENERATOR = np.random.default_rng(0)
GROUP = GENERATOR.integers(0, 3, 12_000)
ROWS = (np.array([[0, 0], [6, 0], [0, 6]])[GROUP] + GENERATOR.normal(size=(12_000, 2))).round(3)
ROWS[5, 1] = np.nan  # and no row of the sample has a gap
OF_METHOD = {"starts": 2}
OF_PROGRAM = {"clusters": 3, "covariance": "spherical"}
SETTINGS = {"method": "em", "seed": 1, "predictive": 0, **OF_METHOD, **OF_PROGRAM}


@pytest.fixture(scope="module")
def in_memory() -> Result:
    with scope("float64"):
        function = catalogue.program("gaussian_mixture")
        observed = read_data(function, ROWS)
        problem = Problem(*read_program(function, observed, OF_PROGRAM, {}, "float64"))
        return em(problem, random.fold_in(random.key(1), 0), **OF_METHOD)


@pytest.fixture(scope="module")
def in_blocks() -> xr.DataTree:
    return fit("gaussian_mixture", open_blocks(ROWS, rows=1700), **SETTINGS)


def test_em_over_blocks_is_em_in_memory(in_memory: Result, in_blocks: xr.DataTree) -> None:
    assert set(in_memory.values) == set(in_blocks["posterior"])
    for name, value in in_memory.values.items():
        np.testing.assert_allclose(in_blocks["posterior"][name], value, rtol=1e-9, atol=1e-9)
    for name in ("objective", "iterations", "converged"):
        np.testing.assert_allclose(in_blocks["starts"][name], in_memory.starts[name][1], rtol=1e-9)
    np.testing.assert_allclose(in_blocks["path"]["loc"], in_memory.path["loc"], rtol=1e-9)


def test_kmeans_over_blocks_is_kmeans_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.delete(ROWS, 5, 0)[:5000]
    arguments = {"method": "kmeans", "seed": 0, "predictive": 0, "relabel": None, **OF_PROGRAM}
    arguments["centres"] = np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 2.0]])
    with scope("float64"):
        observed = read_data(catalogue.program("gaussian_mixture"), rows)
        problem = Problem(
            *read_program(
                catalogue.program("gaussian_mixture"), observed, OF_PROGRAM, {}, "float64"
            )
        )
        memory = kmeans(problem, random.key(0), centres=arguments["centres"])
    tree = fit("gaussian_mixture", open_blocks(rows, rows=700), **arguments)
    for name, value in memory.values.items():
        np.testing.assert_allclose(tree["posterior"][name], value, rtol=1e-9)
    np.testing.assert_allclose(tree["sample_stats"]["inertia"], memory.sample_stats["inertia"])
    assert tree["starts"]["iterations"] == memory.starts["iterations"][1]
    # and goes on from a pass after which it was ended
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
    write = Checkpoint.write

    def ends(self: Checkpoint, run: Path, state: dict) -> None:
        write(self, run, state)
        if len(state.get("objective", ())) == 3 and "before" in state:
            raise OSError("a power cut")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="power cut"):
        patch.setattr(Checkpoint, "write", ends)
        fit(
            "gaussian_mixture",
            open_blocks(rows, rows=700),
            checkpoint=tmp_path / "run",
            **arguments,
        )
    again = fit(
        "gaussian_mixture", open_blocks(rows, rows=700), checkpoint=tmp_path / "run", **arguments
    )
    np.testing.assert_array_equal(again["path"]["loc"], tree["path"]["loc"])


def test_the_tree_says_what_it_holds(in_blocks: xr.DataTree) -> None:
    assert "log_likelihood" not in in_blocks.children
    assert "responsibilities" not in in_blocks.children
    assert in_blocks["observed_data"].sizes["row"] == 10_000
    (note,) = [n for n in json.loads(in_blocks.attrs["notes"])["notes"] if "12,000 rows" in n]
    assert "sample of 10,000" in note


def test_predictions_are_written_block_by_block(tmp_path: Path, in_blocks: xr.DataTree) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("zarr")
    new = ROWS[:50]
    table, density = predict(in_blocks, new).values, log_density(in_blocks, new).values
    source = open_blocks(new, rows=20)
    assert predict_to(in_blocks, source, tmp_path / "rows.parquet") == 50
    actual = parquet.read_table(tmp_path / "rows.parquet").to_pandas()
    np.testing.assert_array_equal(actual["assignment"], table.argmax(1))
    np.testing.assert_allclose(actual[[f"cluster_{k}" for k in range(3)]], table, atol=1e-9)
    np.testing.assert_allclose(actual["log_density"], density, atol=1e-9)
    predict_to(in_blocks, iter([new[:20], new[20:]]), tmp_path / "rows.zarr")  # in one pass
    with xr.open_zarr(tmp_path / "rows.zarr", consolidated=False) as written:
        np.testing.assert_allclose(written["responsibilities"], table, atol=1e-9)
        np.testing.assert_array_equal(written["assignment"], table.argmax(1))
    with pytest.raises(InputError, match="exists"):
        predict_to(in_blocks, source, tmp_path / "rows.zarr")


def test_a_failure_leaves_no_file(tmp_path: Path, in_blocks: xr.DataTree) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError):
        predict_to(in_blocks, [ROWS[:20], ROWS[:20, :1]], tmp_path / "rows.parquet")
    assert not list(tmp_path.iterdir())


def test_methods_that_need_all_rows_are_refused_with_a_way_out() -> None:
    blocks = open_blocks(ROWS, rows=1700)
    with pytest.raises(UnsupportedError, match=r"blocks\.sample"):
        fit("gaussian_mixture", blocks, method="nuts", seed=0, clusters=3)
    assert blocks.sample(100, seed=0).shape == (100, 2)


def looks_at_its_rows(x=None, *, rows=10):
    where = 0.0 if x is None else x.mean()
    rate = numpyro.sample("rate", dist.LogNormal(where, 1.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        numpyro.sample("x", dist.Poisson(rate), obs=x)


def test_priors_that_look_at_a_block_are_refused() -> None:
    blocks = open_blocks(GENERATOR.poisson(3.0, 100), rows=40)
    with pytest.raises(UnsupportedError, match="depends on the rows that it sees"):
        fit(looks_at_its_rows, blocks, method="em", seed=0)


def test_blocks_of_other_columns_or_other_rows_are_refused() -> None:
    other = [pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"b": [1.0, 2.0]})]
    with pytest.raises(InputError, match="'?a'?"):
        fit("gaussian_mixture", open_blocks(other), method="em", seed=0, clusters=1)

    class Changing:
        passes = 0

        def __iter__(self):
            self.passes += 1
            yield ROWS[: 100 + (self.passes > 3)]

    with pytest.raises(InputError, match="must give the same rows"):
        fit("gaussian_mixture", open_blocks(Changing()), **SETTINGS)
