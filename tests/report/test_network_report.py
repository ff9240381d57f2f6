"""The report of a network that draws pictures: few of its weights, and the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ppl_models import fit, write_report
from ppl_models.plots import close
from ppl_models.plots.drawing.reading import observed, predictive
from ppl_models.posterior.result.schema import facts_of
from ppl_models.report.sections.images import are_images, completed, image_sheet

LOWER = np.arange(49) >= 21


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    bits = np.random.default_rng(0).random((12, 49)) < np.linspace(0.05, 0.95, 49)
    return fit("nade", bits.astype(int), method="svi", hidden=2, steps=20, chains=2, draws=10,
               seed=0, predictive=4)  # fmt: skip


def test_the_page_of_a_network_is_written_and_says_what_is_left_out(tree, tmp_path: Path):
    page = write_report(tree, tmp_path / "page.html").read_text()
    total = 2 + 49 + 2 * 49 * 2
    assert f"Shown are 11 of the posterior&#x27;s {total} numbers." in page
    assert re.search("Generated examples</h3>\n<figure>", page)


def test_observed_pictures_are_completed_given_their_upper_half(tree):
    seen = observed(tree).values[:10].astype(float)
    filled = completed(tree, facts_of(tree).emission, seen)
    np.testing.assert_array_equal(filled[:, ~LOWER], seen[:, ~LOWER])
    assert set(np.unique(filled)) == {0.0, 1.0} and (filled != seen).any()


def test_pictures_without_a_program_or_data_are_still_shown(tree):
    drawn, emission = predictive(tree, "posterior"), facts_of(tree).emission
    assert are_images(emission, drawn)
    assert not are_images(emission, drawn.isel(feature=slice(48)))
    bare = tree.filter(lambda node: node.name != "observed_data")
    bare.attrs = {n: v for n, v in tree.attrs.items() if n != "program"}
    for part, count in ((tree, 3 * 10), (bare, 12)):
        (sheet,) = image_sheet(part, emission, drawn, "Examples").figures
        assert len(sheet.viz["plot"].item().images) == 2 * count  # a ground and a picture each
        close(sheet)
