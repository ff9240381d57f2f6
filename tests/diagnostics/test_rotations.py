"""Loadings whose signs and rotations differ between chains are no fault of a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ppl_models import diagnose, fit
from ppl_models.plots.drawing.parameters import shown_parameters
from ppl_models.posterior.result.rotations import rotated_sites, rotation_free
from ppl_models.report.sections.components import program_blocks
from ppl_models.report.sections.parameters import summary_table

SIMPLE = np.kron(np.eye(2), [[1.5], [1.2], [0.9]])  # (feature, factor)


@pytest.fixture(scope="module")
def drawn() -> xr.DataTree:
    """A fit by Gibbs sampling of two factors."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(150, 2)) @ SIMPLE.T + generator.normal(0, 0.5, (150, 6))
    return fit(
        "factor_analysis_mixture", x, method="gibbs", seed=0, clusters=1, factors=2, chains=2,
        warmup=200, draws=300, predictive=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mirrored(drawn) -> xr.DataTree:
    """The fit, of whose second chain the factors are exchanged and mirrored."""
    tree = drawn.copy(deep=True)
    loadings = tree["posterior/loadings"].copy(deep=True)
    loadings[1] = -loadings[1].values[..., ::-1]
    tree["posterior"].dataset = tree["posterior"].to_dataset().assign(loadings=loadings)
    return tree


def test_the_sites_are_those_of_which_the_family_says_so(mirrored):
    assert rotated_sites(mirrored) == ["loadings"]
    x = np.random.default_rng(0).normal(size=(20, 2))
    plain = fit("gaussian_mixture", x, method="em", seed=0, clusters=1, predictive=0)
    assert rotated_sites(plain) == []
    assert rotation_free(plain, plain["posterior"].to_dataset()).equals(
        plain["posterior"].to_dataset()
    )


def test_the_product_is_that_of_every_draw(mirrored):
    free = rotation_free(mirrored, mirrored["posterior"].to_dataset())
    loadings = mirrored["posterior/loadings"].values
    np.testing.assert_allclose(
        free["loadings loadings'"].values, loadings @ loadings.swapaxes(-1, -2), rtol=1e-6
    )
    assert "loadings" not in free


def test_the_diagnosis_judges_the_product_and_not_the_signs(drawn, mirrored):
    before, after = diagnose(drawn), diagnose(mirrored)
    assert "loadings loadings'[0, 1, 0]" in after.table.index
    assert not [name for name in after.table.index if name.startswith("loadings[")]
    pd.testing.assert_frame_equal(before.table, after.table, rtol=1e-3)
    assert before.verdict == after.verdict


def test_no_table_or_trace_has_a_mean_over_signs(mirrored):
    assert "loadings" not in shown_parameters(mirrored, 60)
    table = summary_table(mirrored)
    assert not [name for name in table.index if name.startswith("loadings[")]
    assert "loadings loadings'[0, 1, 0]" in table.index
    assert "loadings loadings'[0, 0, 1]" not in table.index  # the same number


def test_the_tables_say_what_factors_explain_and_load_on(mirrored):
    explained, loadings = program_blocks(mirrored)
    assert explained.table.shape == (6, 3)
    common = (SIMPLE**2).sum(1)
    shown = [float(cell.split()[0]) for cell in explained.table["variance explained"]]
    np.testing.assert_allclose(shown, common / (common + 0.25), atol=0.1)
    means = [
        [float(cell.split()[0].replace("−", "-")) for cell in line]
        for line in loadings.table.values
    ]
    # which of two factors of one size comes first is chance; errors are about 1.5 / sqrt(150)
    distance = min(np.abs(np.array(means) - SIMPLE[:, order]).max() for order in ([0, 1], [1, 0]))
    assert distance < 0.35
