"""Names of clusters and states: shown everywhere, saved, and never those of another cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ppl_models import (
    assignments,
    fit,
    load,
    name_clusters,
    predict,
    predict_to,
    save,
    state_probabilities,
    to_frame,
    write_report,
)
from ppl_models.cli import main
from ppl_models.data import old_faithful
from ppl_models.errors import InputError

NAMES = ["brief", "lasting"]


@pytest.fixture(scope="module")
def geyser() -> pd.DataFrame:
    return old_faithful().iloc[:60]


@pytest.fixture(scope="module")
def fitted(geyser: pd.DataFrame) -> xr.DataTree:
    options = {"method": "em", "clusters": 2, "starts": 2, "predictive": 0}
    return fit("gaussian_mixture", geyser, seed=0, **options)


@pytest.fixture(scope="module")
def named(fitted: xr.DataTree) -> xr.DataTree:
    """The names follow from the fit: the cluster of short eruptions is called so."""
    short = int(fitted["posterior"]["loc"].values[0, 0, :, 0].argmin())
    return name_clusters(fitted, {short: "brief", 1 - short: "lasting"})


@pytest.fixture(scope="module")
def states() -> xr.DataTree:
    options = {"method": "em", "seed": 0, "states": 2, "starts": 1, "predictive": 0}
    return fit("hidden_markov", [[0.1, -0.2, 9.0], [9.2, 9.1]], **options)


def test_predictions_and_draws_carry_the_names(fitted, named, geyser) -> None:
    probabilities = predict(named)
    assert sorted(probabilities["cluster"].values) == NAMES
    np.testing.assert_array_equal(probabilities.values, predict(fitted).values)
    frame = assignments(named)
    short = geyser["eruptions"].to_numpy() < 3
    assert (frame["cluster"].to_numpy() == np.where(short, "brief", "lasting")).mean() > 0.95
    assert {"probability_brief", "probability_lasting"} <= set(frame)
    assert "loc[brief, waiting]" in to_frame(named)
    mean = named["posterior"]["loc"].mean(["chain", "draw"])
    assert float(mean.sel(cluster="brief")[0]) < float(mean.sel(cluster="lasting")[0])
    assert fitted["posterior"]["cluster"].values.tolist() == [0, 1]  # the old tree is as it was


def test_the_report_shows_names_in_tables(named, tmp_path: Path) -> None:
    page = write_report(named, tmp_path / "page.html").read_text()
    for name in NAMES:
        assert f"<th>{name}</th>" in page
    assert (
        "<th>0</th>" not in page.partition("Which cluster")[2].partition("What are the clusters")[0]
    )


def test_names_are_saved_and_can_be_taken_away(fitted, named, tmp_path: Path) -> None:
    read = load(save(named, tmp_path / "fit.nc"))
    xr.testing.assert_identical(predict(read), predict(named))
    assert name_clusters(named, {}).identical(fitted)
    again = name_clusters(read, {"brief": "short"})
    assert sorted(predict(again)["cluster"].values) == ["lasting", "short"]


def test_states_have_names(states: xr.DataTree) -> None:
    calm = int(states["posterior"]["loc"].values.argmin())
    named = name_clusters(states, {calm: "calm"})
    frame = assignments(named)
    assert frame["state"].tolist() == ["calm", "calm"] + 3 * [str(1 - calm)]
    assert "calm" in state_probabilities(named)["state"].values
    assert "calm" in named["posterior"]["next_state"].values


def test_names_go_into_files(named, geyser, tmp_path: Path, capsys) -> None:
    predict_to(named, [geyser.to_numpy()], tmp_path / "rows.parquet")
    assert {"cluster_brief", "cluster_lasting"} <= set(pd.read_parquet(tmp_path / "rows.parquet"))
    geyser.to_csv(tmp_path / "rows.csv", index=False)
    file = save(name_clusters(named, {}), tmp_path / "fit.nc")
    assert main(["name", str(file), "0=one", "1=other"]) == 0
    assert main(["predict", str(file), f"{tmp_path}/rows.csv"]) == 0
    out = capsys.readouterr().out
    assert "one, other" in out and "row,cluster,probability_one,probability_other" in out
    assert main(["name", str(file), "one=first", "--out", f"{tmp_path}/other.nc"]) == 0
    assert predict(load(tmp_path / "other.nc"))["cluster"].values.tolist() == ["first", "other"]
    assert main(["name", str(file), "0"]) == 2 and main(["name", str(file), "7=x"]) == 2


def test_names_that_are_those_of_no_cluster_or_of_two_are_refused(fitted) -> None:
    for names, what in (
        ({2: "x"}, "there is no cluster 2"),
        ({0: "a", 1: "a"}, "two clusters are named 'a'"),
        ({0: " "}, "give a text"),
        ({0: "1"}, "number of another"),
        (["a"], "1 names for 2 clusters"),
        ("ab", "give a dict"),
    ):
        with pytest.raises(InputError, match=what):
            name_clusters(fitted, names)


def test_a_fit_without_clusters_has_nothing_to_name() -> None:
    tree = fit("markov_chain", ["ab", "abb"], method="em", seed=0, predictive=0)
    with pytest.raises(InputError, match="nothing to name"):
        name_clusters(tree, {0: "a"})
