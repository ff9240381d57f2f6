"""Results as data frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ppl_models import annotate, assignments, fit, predict, to_frame
from ppl_models.cli import main
from ppl_models.data import old_faithful
from ppl_models.errors import InputError


@pytest.fixture(scope="module")
def geyser() -> pd.DataFrame:
    frame = old_faithful().iloc[:60].copy()
    frame.index = [f"e{i}" for i in range(len(frame))]
    return frame


@pytest.fixture(scope="module")
def tree(geyser: pd.DataFrame) -> xr.DataTree:
    options = {"method": "em", "clusters": 2, "starts": 2, "predictive": 0}
    return fit("gaussian_mixture", geyser, seed=0, **options)


def test_assignments_join_back_on_the_index(geyser: pd.DataFrame, tree: xr.DataTree) -> None:
    joined = geyser.sample(frac=1, random_state=0).join(assignments(tree))
    assert not joined.isna().any().any() and len(joined) == len(geyser)
    probabilities = predict(tree)
    one = joined.loc["e7"]
    assert one["probability_1"] == pytest.approx(float(probabilities.sel(row="e7", cluster=1)))
    assert one["probability"] == max(one["probability_0"], one["probability_1"])
    assert joined["cluster"].tolist() == [
        int(probabilities.sel(row=i).argmax("cluster")) for i in joined.index
    ]
    new = assignments(tree, geyser.iloc[3:5])
    np.testing.assert_allclose(new, assignments(tree).loc[["e3", "e4"]])


@pytest.mark.filterwarnings("ignore")
def test_clusters_are_written_into_anndata(geyser: pd.DataFrame, tree: xr.DataTree) -> None:
    anndata = pytest.importorskip("anndata")
    adata = annotate(tree, anndata.AnnData(geyser.iloc[[5, 2, 40]]))
    wanted = assignments(tree).loc[adata.obs_names]
    assert adata.obs["cluster"].tolist() == wanted["cluster"].tolist()
    assert adata.obs["cluster"].dtype == "category"
    proportions = wanted[["probability_0", "probability_1"]]
    np.testing.assert_array_equal(adata.obsm["cluster_probabilities"], proportions)
    with pytest.raises(InputError, match="observation 'new' is not a row"):
        annotate(tree, anndata.AnnData(geyser.iloc[:1].rename(index={"e0": "new"})))
    with pytest.raises(InputError, match=r"give the fit first .* annotate\(tree, adata\)"):
        annotate(adata, tree)  # type: ignore[arg-type]


def test_a_frame_of_draws(tree: xr.DataTree) -> None:
    frame = to_frame(tree)
    assert frame.index.names == ["chain", "draw"]
    loc = tree["posterior"]["loc"].sel(cluster=1, feature="waiting")
    np.testing.assert_array_equal(frame["loc[1, waiting]"], loc.values.ravel())
    with pytest.raises(InputError, match="no group 'draws'"):
        to_frame(tree, "draws")


def test_states_of_steps() -> None:
    x = [0.0, 0.2, 0.1, 5.0, 5.1, 4.9]
    options = {"method": "em", "seed": 0, "states": 2, "starts": 2, "predictive": 0}
    frame = assignments(fit("hidden_markov", [x, x[:4]], **options))
    assert len(frame) == 10 and frame.index.nlevels == 2
    first = frame.xs(0, level=0)["state"].to_numpy()
    assert len(set(first[:3])) == len(set(first[3:])) == 1 and first[0] != first[-1]


def test_the_command_line_takes_labels_and_encodings(tmp_path, geyser, capsys) -> None:
    path, out = tmp_path / "data.csv", tmp_path / "fit.nc"
    table = geyser.rename(columns={"waiting": "wärten"}).reset_index(names="id")
    path.write_bytes(table.to_csv(index=False).encode("latin-1"))
    words = ["--method", "em", "--clusters", "2", "--set", "starts=2", "--set", "predictive=0"]
    said = ["--id", "id", "--encoding", "latin-1"]
    assert main(["fit", "gaussian_mixture", str(path), *words, "--out", str(out)]) == 2
    assert "--encoding" in capsys.readouterr().err
    assert main(["fit", "gaussian_mixture", str(path), *words, *said, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["predict", str(out), str(path), *said]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("e0,")
