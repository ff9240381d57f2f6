"""Checkpoints: a fit that was ended goes on to the bitwise same result."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from jax import random

from ppl_models import catalogue, draws_so_far, fit, open_blocks
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.mcmc import blocks_of_draws
from ppl_models.inference.mcmc.chain_states import ChainStates
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result
from ppl_models.program.reading import read_data, read_program
from ppl_models.program.runtime.checkpoint import Checkpoint
from ppl_models.program.runtime.precision import scope

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.poisson(np.array([[2, 9], [8, 3], [5, 5]])[GENERATOR.integers(0, 3, 300)])
SETTINGS = {"method": "em", "seed": 0, "clusters": 3, "starts": 2, "predictive": 0}


class Ended(Exception):
    """Stands for a power cut."""


def end_after(
    monkeypatch: pytest.MonkeyPatch, writes: int, how: type[BaseException] = Ended
) -> None:
    """Let so many states be written, and end the fit at the next one, half of it on disk."""
    write, count = Checkpoint.write, []

    def counting(self: Checkpoint, run: Path, state: dict) -> None:
        count.append(run)
        if len(count) > writes:
            run.with_name(f".{run.name}.1.partial").write_bytes(b"half of a st")
            raise how
        write(self, run, state)

    monkeypatch.setattr(Checkpoint, "write", counting)


def same(one: xr.DataTree, other: xr.DataTree) -> None:
    for group in ("posterior", "starts", "path", "sample_stats"):
        for name, values in one[group].data_vars.items():
            np.testing.assert_array_equal(values, other[group][name], err_msg=f"{group} {name}")


def test_steps_on_batches_in_blocks_go_on_amid_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"method": "stochastic_em", "batch_size": 30, "iterations": 2}
    data = open_blocks(ROWS, rows=70)
    unbroken = fit("poisson_mixture", data, **settings)
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
    for writes in (4, 9, 2):  # batches: amid the first pass, into the second, and in it
        with monkeypatch.context() as patch, pytest.raises(Ended):
            end_after(patch, writes)
            fit("poisson_mixture", data, checkpoint=tmp_path / "run", **settings)
    same(fit("poisson_mixture", data, checkpoint=tmp_path / "run", **settings), unbroken)


@pytest.mark.parametrize("kind", ["memory", "blocks"])
def test_a_fit_that_was_ended_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = ROWS if kind == "memory" else open_blocks(ROWS, rows=70)
    monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
    unbroken = fit("poisson_mixture", data, **SETTINGS)
    for writes in (0, 1, 2) if kind == "memory" else (3,):
        folder = tmp_path / f"run{writes}"
        with monkeypatch.context() as patch, pytest.raises(Ended):
            end_after(patch, writes)
            fit("poisson_mixture", data, checkpoint=folder, **SETTINGS)
        same(fit("poisson_mixture", data, checkpoint=folder, **SETTINGS), unbroken)
    if kind == "memory":
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="goes on from"):
            end_after(patch, 1, KeyboardInterrupt)
            fit("poisson_mixture", data, checkpoint=tmp_path / "interrupted", **SETTINGS)
    # one that has ended is read, and makes no iteration
    with monkeypatch.context() as patch:
        end_after(patch, 0)
        same(fit("poisson_mixture", data, checkpoint=folder, **SETTINGS), unbroken)
    with pytest.raises(InputError, match="its seed differ"):
        fit("poisson_mixture", data, checkpoint=folder, **{**SETTINGS, "seed": 1})
    other = ROWS + 1 if kind == "memory" else open_blocks(ROWS + 1, rows=70)
    with pytest.raises(InputError, match="its data"):
        fit("poisson_mixture", other, checkpoint=folder, **SETTINGS)


def test_arguments_of_every_kind_tell_fits_apart(tmp_path: Path) -> None:
    arguments = {
        **SETTINGS,
        "concentration": np.array([1.0, 2.0, 3.0]),
        "fixed": {"rate": [[1, 2]] * 3},
    }
    fit("poisson_mixture", ROWS, checkpoint=tmp_path / "run", **arguments)
    with pytest.raises(InputError, match="its fixed differ"):
        other = arguments | {"fixed": {"rate": [[2, 1]] * 3}}
        fit("poisson_mixture", ROWS, checkpoint=tmp_path / "run", **other)


TOKENS = ["abab", "abcb", "bcab"]
OF_METHODS = {  # program, data, options
    "gibbs": (
        "gaussian_mixture",
        {"warmup": 20, "draws": 21, "thinning": 2, "starts": 2, "chains": 2},
    ),
    "nuts": (
        "poisson_mixture",
        {"warmup": 12, "draws": 10, "starts": 0, "max_tree_depth": 3, "chains": 2},
    ),
    "telescoping": (
        "poisson_mixture",
        {"warmup": 5, "draws": 12, "keep_assignments": True, "chains": 2},
    ),
    "pitman_yor_gibbs": ("pitman_yor_chain", {"warmup": 4, "draws": 6, "order": 2}),
    "kmeans": ("gaussian_mixture", {"starts": 2, "covariance": "spherical"}),
    "dp_means": ("gaussian_mixture", {"covariance": "spherical", "penalty": 20.0}),
    "stochastic_em": ("poisson_mixture", {"starts": 2, "batch_size": 20, "iterations": 3}),
    "vb": ("poisson_mixture", {"starts": 2, "iterations": 9, "chains": 1, "draws": 5}),
}


class Run:
    """A method on a problem that is read once."""

    def __init__(self, method: str):
        program, options = OF_METHODS[method]
        chain = "chain" in program
        function = catalogue.program(program)
        observed = read_data(function, TOKENS if chain else ROWS[:60])
        own = {n: v for n, v in options.items() if n in ("covariance", "order")}
        own |= {} if chain else {"clusters": 3}
        self.problem = Problem(*read_program(function, observed, own, {}, "float64"))
        self.options = {n: v for n, v in options.items() if n not in own}
        self.method = getattr(catalogue.method(method), method)

    def __call__(self, folder: Path | None = None, **options: Any) -> Result:
        selected = None if folder is None else Checkpoint.open(folder, {})
        problem = replace(self.problem, checkpoint=selected)
        return self.method(problem, random.key(0), **{**self.options, **options})


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of draws that are cut elsewhere than those of an unbroken run."""
    monkeypatch.setattr(blocks_of_draws, "FIRST", 3)
    monkeypatch.setattr(blocks_of_draws, "SECONDS", 1e-9)


def equal(one: Result, other: Result) -> None:
    for actual, expected in ((one.values, other.values), (one.sample_stats, other.sample_stats)):
        assert set(actual) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(actual[name], value, err_msg=name)
    np.testing.assert_array_equal(one.assignment, other.assignment)


SAMPLERS = ("gibbs", "nuts", "telescoping", "pitman_yor_gibbs")
#: whose loops are those of Gibbs sampling and of k-means
LIKE_OTHERS = ("telescoping", "dp_means")


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=pytest.mark.long) if m in LIKE_OTHERS else m for m in OF_METHODS],
)
def test_every_iterative_method_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, request: Any
) -> None:
    with scope("float64"):
        run = Run(method)
        unbroken = run()
        request.getfixturevalue("small_blocks")
        monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: True)
        cuts = 0
        for writes in (1, 4, 7):  # power cuts, one after the other
            with monkeypatch.context() as patch, suppress(Ended):
                end_after(patch, writes)
                cuts += 1
                run(tmp_path)
                cuts -= 1
        assert cuts >= (1 if method == "kmeans" else 2)
        equal(run(tmp_path), unbroken)
    if method in SAMPLERS:
        so_far = draws_so_far(tmp_path)["posterior"]
        sites = {s.name: s for s in run.problem.structure.sites}
        for name, value in unbroken.values.items():
            np.testing.assert_array_equal(so_far[name], value)
            assert so_far[name].dims[2:] == (
                sites[name].dims if name in sites else ("tables_dim_0",)
            )


def test_samplers_are_asked_for_more_draws_and_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    with scope("float64"):
        run = Run("gibbs")
        unbroken = run()
        monkeypatch.setattr(Checkpoint, "due", lambda self, *, ended: ended)
        assert run(tmp_path / "run", draws=8).values["loc"].shape[1] == 8
        equal(run(tmp_path / "run"), unbroken)
        with pytest.raises(InputError, match="holds 21 draws a chain, and draws is 8"):
            run(tmp_path / "run", draws=8)
        # Ctrl-C keeps what there is, however old the last written state is
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="goes on from"):
            add = ChainStates.add

            def interrupted(self: ChainStates, state: Any, drawn: Any) -> None:
                add(self, state, drawn)
                if self.draws >= 5:
                    raise KeyboardInterrupt

            patch.setattr(ChainStates, "add", interrupted)
            run(tmp_path / "stopped")
        assert draws_so_far(tmp_path / "stopped")["posterior"].sizes["draw"] == 5
        equal(run(tmp_path / "stopped"), unbroken)


# (of a method's own run: the test above; that other options are refused: the first one)
@pytest.mark.long
def test_another_number_of_draws_is_the_same_fit(tmp_path: Path) -> None:
    options = {"warmup": 20, "draws": 5, "thinning": 2, "starts": 2, "chains": 2}
    arguments = {"method": "gibbs", "seed": 0, "predictive": 0, "clusters": 3, **options}
    fit("gaussian_mixture", ROWS[:60], checkpoint=tmp_path, **arguments)
    more = fit("gaussian_mixture", ROWS[:60], checkpoint=tmp_path, **{**arguments, "draws": 9})
    assert more["posterior"].sizes["draw"] == 9
    with pytest.raises(InputError, match="its options differ"):
        fit("gaussian_mixture", ROWS[:60], checkpoint=tmp_path, **{**arguments, "thinning": 1})


def test_folders_of_something_else_and_methods_without_states_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a letter")
    with pytest.raises(InputError, match="holds no checkpoint"):
        fit("poisson_mixture", ROWS, checkpoint=tmp_path, **SETTINGS)
    with pytest.raises(UnsupportedError, match="use .*gibbs.* or "):
        fit("markov_chain", TOKENS, method="exact", seed=0, checkpoint=tmp_path)
    with pytest.raises(InputError, match="holds no draws"):
        draws_so_far(tmp_path)
