"""Tables of numbers, counts, categories and bits: one fit, asked everything that people ask."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

from ppl_models import fit, generate, impute, load, log_density, predict
from ppl_models.cli import main
from ppl_models.errors import InputError

ROWS = 60
_g = np.random.default_rng(2)
KIND = np.arange(ROWS) % 2
TABLE = pd.DataFrame(
    {
        "age": (_g.normal(size=ROWS) + 6 * KIND).round(2),
        "visits": _g.poisson(np.array([1.0, 9.0])[KIND]),
        "town": np.array(list("abc"))[KIND + _g.integers(2, size=ROWS)],
        "pay": (10 * _g.normal(size=ROWS)).round(2),
        "ill": _g.uniform(size=ROWS) < np.array([0.1, 0.8])[KIND],
    }
)
TABLE["visits"] = TABLE["visits"].astype(float)
for row, column in ((3, "age"), (4, "town"), (5, "visits")):
    TABLE.loc[row, column] = None
OPTIONS = {"clusters": 2, "method": "em", "seed": 0, "starts": 2, "predictive": 5}


@pytest.fixture(scope="module")
def tree():
    return fit("mixed_mixture", TABLE, **OPTIONS)


def test_columns_are_told_by_type_and_clusters_found(tree):
    (note,) = json.loads(tree.attrs["notes"])["notes"]
    assert note.startswith(
        "columns by type: normal: age, pay; poisson: visits; categorical: town; bernoulli: ill"
    )
    actual = predict(tree).values.argmax(1)
    assert max((actual == KIND).mean(), (actual != KIND).mean()) == 1
    assert set(tree["posterior"].data_vars) == {
        "weights", "loc", "scale", "scale_rate", "rate", "level_probs", "bit_probs"
    }  # fmt: skip
    assert tree["posterior"]["scale_rate"].dims[-1] == "numbers_feature"


def test_the_density_is_the_product_over_the_cells_that_are_there(tree):
    values = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}
    codes = TABLE["town"].map({"a": 0, "b": 1, "c": 2}).to_numpy(float)
    by_cluster = []
    for k in range(2):
        numbers = TABLE[["age", "pay"]].to_numpy(float)
        cells = [
            *stats.norm(values["loc"][k], values["scale"][k]).logpdf(numbers).T,
            stats.poisson(values["rate"][k, 0]).logpmf(TABLE["visits"].to_numpy()),
            np.where(
                np.isnan(codes),
                0,
                np.log(values["level_probs"][k])[np.nan_to_num(codes).astype(int)],
            ),
            stats.bernoulli(values["bit_probs"][k, 0]).logpmf(TABLE["ill"].to_numpy(int)),
        ]
        by_cluster.append(np.log(values["weights"][k]) + np.nansum(cells, 0))
    expected = logsumexp(by_cluster, axis=0)
    np.testing.assert_allclose(np.asarray(log_density(tree)).ravel(), expected, rtol=1e-9)


def test_new_rows_may_have_other_columns_and_another_order(tree):
    turned = TABLE[["ill", "town", "pay", "visits", "age"]].assign(other=7)
    np.testing.assert_allclose(predict(tree, turned).values, predict(tree).values, rtol=1e-9)
    with pytest.raises(InputError, match="lacks the column 'pay'"):
        predict(tree, TABLE.drop(columns="pay"))
    unseen = TABLE.assign(town="z")
    with pytest.raises(InputError, match="'town'.*level that the fit has not seen"):
        predict(tree, unseen)


def test_gaps_are_filled_and_rows_drawn_in_every_column(tree):
    filled = impute(tree, seed=1)
    assert not any(bool(np.isnan(v).any()) for v in filled.data_vars.values())
    known = TABLE["age"].notna().to_numpy()
    ages = filled["numbers"].sel(numbers_feature="age").values[:, known]
    assert (ages == TABLE["age"].to_numpy()[known]).all()
    towns = filled["categories"].values[:, 4, 0]
    assert set(towns) <= {0, 1, 2}
    made = generate(tree, 4, seed=2)
    assert {n: v.shape for n, v in made.data_vars.items()} == {
        "numbers": (4, 2), "counts": (4, 1), "categories": (4, 1), "bits": (4, 1)
    }  # fmt: skip


def test_types_are_for_tables():
    with pytest.raises(InputError, match="leave types out"):
        fit("mixed_mixture", {"bits": [[0], [1]]}, types={"a": "normal"}, **OPTIONS)
    with pytest.raises(InputError, match="types names the column 'b'"):
        fit("mixed_mixture", TABLE, types={"b": "normal"}, **OPTIONS)


def test_the_command_line_deals_columns_and_writes_them_again(tree, tmp_path, capsys):
    TABLE.to_csv(tmp_path / "table.csv", index=False)
    fitted, made = str(tmp_path / "fit.nc"), str(tmp_path / "made.csv")
    command = ["fit", "mixed_mixture", str(tmp_path / "table.csv"), "--clusters", "2"]
    command += ["--method", "em", "--set", "starts=2", "--set", "predictive=5", "--out", fitted]
    assert main([*command, "--types", "town"]) == 2
    assert "is not of the form COLUMN=TYPE" in capsys.readouterr().err
    assert main([*command, "--types", "visits=poisson,town=categorical"]) == 0
    assert "columns by type: normal: age, pay; poisson: visits" in capsys.readouterr().out
    again = load(fitted)
    assert json.loads(again.attrs["arguments"])["types"] == {
        "visits": "poisson", "town": "categorical"
    }  # fmt: skip
    np.testing.assert_allclose(predict(again).values, predict(tree).values, rtol=1e-6, atol=1e-9)
    assert main(["generate", fitted, "--rows", "60", "--out", made]) == 0
    drawn = pd.read_csv(made)
    assert set(drawn.columns) == set(TABLE.columns)
    assert set(drawn["town"]) <= set("abc")
    assert main(["predict", fitted, made, "--out", str(tmp_path / "clusters.csv")]) == 0
    assert len(pd.read_csv(tmp_path / "clusters.csv")) == 60


@pytest.mark.long
@pytest.mark.parametrize("method", ["gibbs", "nuts", "telescoping", "hard", "svi"])
def test_every_method_tells_the_clusters(method):
    draws = {"chains": 2, "warmup": 50, "draws": 50} if method in ("gibbs", "nuts") else {}
    fitted = fit("mixed_mixture", TABLE, clusters=2, method=method, seed=0, predictive=0, **draws)
    means = np.sort(fitted["posterior"]["rate"].mean(("chain", "draw")).values.ravel())
    np.testing.assert_allclose(means[[0, -1]], [1.0, 9.0], atol=1.5)
