"""A program is read off its trace once a public call at most, whoever needs it within the call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ppl_models import (
    coassignment,
    diagnose,
    fit,
    generate,
    impute,
    log_density,
    loo,
    loo_pit,
    partition,
    predict,
    relabel,
    sensitivity,
)
from ppl_models.posterior.result import restore
from ppl_models.posterior.result.recent import RecentProblems
from ppl_models.program import named_as_data, structure_reading
from ppl_models.program.model import Model

X = np.r_[np.linspace(-1, 1, 20), np.linspace(9, 11, 20)]
NEW = [0.1, 9.7, np.nan]
OPTIONS: dict[str, Any] = {"seed": 0, "clusters": 2, "predictive": 3}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the programs that were read."""
    names: list[str] = []
    for module, name in (
        (structure_reading, "structure_or_obstacle"),
        (named_as_data, "known_structure"),
    ):
        read = getattr(module, name)

        def counted(model: Model, read: Callable = read) -> Any:
            names.append(model.function.__name__)
            return read(model)

        monkeypatch.setattr(module, name, counted)
    return names


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("em", {"starts": 2}),
        ("hard", {"starts": 2}),
        ("kmeans", {"starts": 2, "covariance": "spherical"}),
        ("gibbs", {"draws": 20, "warmup": 5, "chains": 2}),
        pytest.param("nuts", {"draws": 20, "warmup": 20, "chains": 2}, marks=pytest.mark.long),
        pytest.param("map", {"steps": 20}, marks=pytest.mark.long),
        pytest.param("svi", {"steps": 20, "draws": 20}, marks=pytest.mark.long),
    ],
)
def test_to_fit(reads: list[str], method: str, options: dict[str, Any]) -> None:
    fit("gaussian_mixture", X, method=method, **OPTIONS, **options)
    assert reads == ["gaussian_mixture"]


@pytest.fixture(scope="module")
def draws() -> Any:
    """A mixture by a method that relabels."""
    return fit("gaussian_mixture", X, method="gibbs", draws=50, warmup=20, chains=2, **OPTIONS)


CALLS: dict[str, Callable] = {
    "predict": lambda tree: predict(tree),
    "predict new rows": lambda tree: predict(tree, NEW),
    "log_density": lambda tree: log_density(tree, by_draw=True),
    "log_density of new rows": lambda tree: log_density(tree, NEW),
    "impute": lambda tree: impute(tree, NEW, draws=3, seed=0),
    "generate": lambda tree: generate(tree, 3, seed=0),
    "loo": lambda tree: loo(tree, mend=False),
    "diagnose": lambda tree: diagnose(tree),
    "relabel": lambda tree: relabel(tree, "stephens"),
    "partition": lambda tree: partition(tree, starts=2),
    "coassignment": lambda tree: coassignment(tree),
    "loo_pit": lambda tree: loo_pit(tree),
    "sensitivity": lambda tree: sensitivity(tree),
}


#: what the sampler has drawn, or the tree holds, answers these
WITHOUT_PROGRAM = {"loo", "sensitivity"}
WITH_NEW_ROWS = {"predict new rows", "log_density of new rows", "impute"}


@pytest.fixture
def none_known(monkeypatch: pytest.MonkeyPatch) -> RecentProblems:
    """No program has been read before."""
    recent = RecentProblems(most=2)
    monkeypatch.setattr(restore, "RECENT", recent)
    return recent


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")
def test_to_ask_a_fit(reads: list[str], draws: Any, none_known: object, name: str) -> None:
    CALLS[name](draws)
    expected = 0 if name in WITHOUT_PROGRAM else 1
    assert len(reads) == expected
    CALLS[name](draws)  # a fit's own rows are asked about again without reading
    assert len(reads) == (2 if name in WITH_NEW_ROWS else expected)


def test_a_program_is_known_again_only_by_all_that_it_is_read_from(
    reads: list[str], none_known: RecentProblems
) -> None:
    tree = fit("gaussian_mixture", X, method="kmeans", starts=1, covariance="spherical", **OPTIONS)
    reads.clear()

    def counted(asked: Any) -> int:
        before = len(reads)
        log_density(asked)
        return len(reads) - before

    moved = tree.copy(deep=True)
    moved["observed_data"]["x"][3] += 1.0
    single = tree.copy(deep=True)
    single.attrs["precision"] = "float32"
    assert [counted(t) for t in (tree, tree, moved, tree, single)] == [1, 0, 1, 0, 1]
    assert len(none_known.known) == 2  # the oldest makes room
    assert [counted(t) for t in (single, tree, moved)] == [0, 0, 1]
    assert (log_density(moved) != log_density(tree)).sum() == 1
