"""Tables of programs, from fits: their numbers against those of the draws, by the names of data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ppl_models import fit
from ppl_models.models._report_tables import coefficients
from ppl_models.report.sections.components import program_blocks

GENERATOR = np.random.default_rng(0)
COVARIATES = pd.DataFrame(
    {"age": GENERATOR.normal(50, 10, 80), "dose": GENERATOR.uniform(0, 2, 80)}
)


def _blocks(tree: xr.DataTree) -> dict:
    return {block.heading: block for block in program_blocks(tree)}


def _number(cell: str) -> float:
    return float(cell.split()[0].replace("−", "-").replace(",", ""))


@pytest.mark.parametrize("program", ["regression_mixture", "expert_mixture"])
def test_coefficients_stand_beside_the_names_of_the_covariates(program):
    response = 2.0 + 0.1 * COVARIATES["age"] - 3.0 * COVARIATES["dose"]
    noisy = (response + GENERATOR.normal(0, 0.1, 80)).to_numpy()
    data = {"response": noisy, "covariates": COVARIATES}
    tree = fit(program, data, method="em", seed=0, clusters=1, starts=1, predictive=0)
    assert tree["posterior/slope"]["covariate"].values.tolist() == ["age", "dose"]
    table = _blocks(tree)["How does the response depend on the covariates?"].table["cluster 0"]
    # standard errors of the slopes: 0.1 / (sd of the covariate × sqrt(80))
    assert abs(_number(table["age"]) - 0.1) < 0.01
    assert abs(_number(table["dose"]) + 3.0) < 0.1
    assert abs(_number(table["mean response at the covariates' means"]) - noisy.mean()) < 0.05


def test_coefficients_of_counts_and_bits_are_factors():
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "intercept": (("chain", "draw", "cluster"), np.log([[[4.0]]])),
                    "slope": (("chain", "draw", "cluster", "covariate"), np.log([[[[2.0]]]])),
                },
                {"covariate": ["dose"], "cluster": [0]},
            )
        }
    )
    ((_, table),) = coefficients(tree, "poisson").values()
    assert table["cluster 0"].tolist() == ["4.00", "2.00"]
    assert table.index[0] == "mean count at the covariates' means"


def test_odds_name_both_clusters():
    answers = pd.DataFrame(GENERATOR.integers(0, 2, (80, 3)), columns=list("abc"))
    tree = fit(
        "latent_class_regression", {"answers": answers, "covariates": COVARIATES}, method="em",
        seed=0, clusters=2, starts=1, predictive=0,
    )  # fmt: skip
    table = _blocks(tree)["Who belongs to which cluster?"].table
    slope = tree["posterior/slope"].squeeze()
    assert list(table.columns) == ["1 against 0"] and list(table.index) == ["age", "dose"]
    expected = np.exp(slope.sel(covariate="age", cluster=1) - slope.sel(covariate="age", cluster=0))
    assert abs(_number(table.loc["age", "1 against 0"]) - float(expected)) < 0.01


def test_growth_curves_are_those_of_the_times():
    when = np.array([0.0, 1.0, 3.0])
    x = 2.0 + 0.5 * when + GENERATOR.normal(0, 0.1, (60, 3))
    rows = pd.DataFrame(x, columns=["start", "later", "end"])
    tree = fit(
        "growth_mixture", rows, method="em", seed=0, clusters=1, starts=1, predictive=0,
        times=tuple(when),
    )  # fmt: skip
    blocks = _blocks(tree)
    curve = blocks["How do the classes grow?"].table
    assert list(curve.index) == ["start", "later", "end"] and list(curve["time"]) == ["0", "1", "3"]
    shown = [_number(cell) for cell in curve["class 0"]]
    np.testing.assert_allclose(shown, x.mean(0), atol=0.05)
    terms = blocks["Coefficients of the curves"].table["class 0"]
    assert abs(_number(terms["slope: change per unit of time"]) - 0.5) < 0.05
    assert len(blocks["How do rows of one class differ?"].table) == 3


def test_deconvolved_scatter_has_no_errors():
    errors = np.full((300, 2), 3.0)
    x = GENERATOR.normal(size=(300, 2)) * [1.0, 2.0] + GENERATOR.normal(size=(300, 2)) * np.sqrt(3)
    tree = fit(
        "extreme_deconvolution", {"x": pd.DataFrame(x, columns=["ra", "dec"]), "errors": errors},
        method="em", seed=0, clusters=1, starts=1, predictive=0,
    )  # fmt: skip
    table = _blocks(tree)["Where do the clusters lie, errors taken out?"].table
    covariance = tree["posterior/covariance"].values.reshape(2, 2)
    deviation = np.sqrt(np.diag(covariance))
    shown = [_number(cell) for cell in table["standard deviation"]]
    np.testing.assert_allclose(shown, deviation, atol=0.006)
    assert table["correlation with ra"].iloc[0] == "–"
    expected = covariance[0, 1] / deviation.prod()
    assert abs(_number(table["correlation with ra"].iloc[1]) - expected) < 0.006
    assert deviation[0] < x[:, 0].std() - 0.4


@pytest.mark.parametrize("program", ["zero_inflated_mixture", "hurdle_mixture"])
def test_zeros_and_counts_of_every_feature(program):
    x = GENERATOR.poisson(6.0, (100, 2)) * (GENERATOR.uniform(size=(100, 2)) < [0.5, 0.9])
    rows = pd.DataFrame(x, columns=["visits", "calls"])
    tree = fit(program, rows, method="em", seed=0, clusters=1, starts=1, predictive=0)
    table = _blocks(tree)["How many zeros, and what counts else?"].table
    gate = [_number(cell) for cell in table.iloc[:, 0]]
    np.testing.assert_allclose(gate, tree["posterior/gate"].values.ravel(), atol=0.006)
    assert table.index.get_level_values("feature").tolist() == ["visits", "calls"]


def test_patterns_of_pairs_weigh_the_sum_of_their_fields():
    m, u = np.array([[0.1, 0.9], [0.2, 0.8]]), np.array([[0.8, 0.2], [0.9, 0.1]])
    probs = np.stack([u.ravel(), m.ravel()])
    levels = ["name=far", "name=near", "city=0", "city=1"]
    x = np.array([[1.0, 1.0], [1.0, np.nan], [0.0, 0.0], [0.0, 0.0]])
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {
                    "weights": (("chain", "draw", "cluster"), [[[0.75, 0.25]]]),
                    "probs": (("chain", "draw", "cluster", "level"), probs[None, None]),
                },
                {"level": levels},
            ),
            "observed_data": xr.Dataset({"x": (("row", "feature"), x)}),
            "constant_data": xr.Dataset({"row_weights": ("row", [2.0, 1.0, 3.0, 4.0])}),
        }
    )
    tree.attrs["program"] = "record_linkage"
    blocks = _blocks(tree)
    fields = blocks["How much does agreement of each field weigh?"].table
    assert fields.loc[("name", "near")].tolist() == ["0.90", "0.20", "2.17"]
    patterns = blocks["How many pairs are the same?"]
    assert patterns.table[["name", "city"]].values.tolist() == [
        ["near", "1"], ["near", "–"], ["far", "0"]
    ]  # fmt: skip
    assert patterns.table["pairs"].tolist() == [2, 1, 7]
    # by hand: odds of 1 : 3, times 0.9 / 0.2 = 4.5, times 0.8 / 0.1 = 8
    same = np.array([12 / 13, 1.5 / 2.5, (0.125 * 0.2222 / 3) / (1 + 0.125 * 0.2222 / 3)])
    shown = [_number(cell) for cell in patterns.table["probability of the same"]]
    np.testing.assert_allclose(shown, same, atol=0.006)
    expected = (same * [2, 1, 7]).sum()
    assert patterns.text.startswith(f"{expected:.0f} of 10 pairs are expected to be the same.")
