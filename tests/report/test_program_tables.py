"""Tables that answer what the user of one program asks, from fits whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit, rows

from ppl_models.report.sections.components import program_blocks


def _tree(program: str, sites: dict, coordinates: dict | None = None, **groups: xr.Dataset):
    """A fit of one draw."""
    variables = {n: (("chain", "draw", *dims), np.array([[v]])) for n, (dims, v) in sites.items()}
    posterior = xr.Dataset(variables, coordinates)
    groups = {"posterior": posterior, "observed_data": rows(3), **groups}
    clusters = posterior.sizes.get("cluster", 0)
    tree = as_fit(groups, parameters=(), clusters=clusters, kind="point", method="em")
    tree.attrs["program"] = program
    return tree


def test_annotators_are_listed_from_the_best():
    confusion = [[[0.6, 0.4], [0.2, 0.8]], [[0.9, 0.1], [0.0, 1.0]]]
    tree = _tree(
        "dawid_skene",
        {
            "weights": (("cluster",), [0.5, 0.5]),
            "confusion": (("annotator", "cluster", "label"), confusion),
        },
        {"annotator": ["ann", "bob"], "label": ["no", "yes"]},
    )
    block, confusions = program_blocks(tree)
    assert list(block.table.index) == ["bob", "ann"]
    assert list(block.table["accuracy"]) == ["0.95", "0.70"]
    assert list(block.table["most frequent error"]) == ["yes for no", "yes for no"]
    assert list(block.table["its probability"]) == ["0.10", "0.40"]
    table = confusions.table
    assert list(table.index) == [("bob", "no"), ("bob", "yes"), ("ann", "no"), ("ann", "yes")]
    assert table.loc[("ann", "no")].to_dict() == {"no": "0.60", "yes": "0.40"}
    assert table.loc[("bob", "yes")].to_dict() == {"no": "0.00", "yes": "1.00"}


def test_topics_have_their_most_probable_words_and_documents_their_topics():
    tree = _tree(
        "latent_dirichlet_allocation",
        {
            "word_probs": (("cluster", "word"), [[0.1, 0.9], [0.7, 0.3]]),
            "proportions": (("document", "cluster"), [[0.8, 0.2], [0.4, 0.6]]),
        },
        {"word": ["sea", "hill"], "document": ["a", "b"]},
        constant_data=xr.Dataset({"document": ("token", [1, 1, 0, 1])}),
    )
    block, of_documents = program_blocks(tree)
    assert list(block.table["most probable words"]) == ["hill (90%), sea (10%)",
                                                        "sea (70%), hill (30%)"]  # fmt: skip
    assert list(block.table["documents with most of it"]) == ["a (80%), b (40%)",
                                                              "b (60%), a (20%)"]  # fmt: skip
    assert list(block.table["share of all tokens"]) == ["0.50", "0.50"]
    assert of_documents.table.loc["b"].tolist() == [3, "0.40", "0.60"]
    assert list(of_documents.table.index) == ["b", "a"]


def test_pairs_are_counted_at_thresholds_as_often_as_they_weigh():
    tree = _tree(
        "record_linkage",
        {"weights": (("cluster",), [0.9, 0.1])},
        responsibilities=xr.Dataset(
            {"responsibilities": (("row", "cluster"), [[1.0, 0.0], [0.4, 0.6], [0.05, 0.95]])}
        ),
        constant_data=xr.Dataset({"row_weights": ("row", [5.0, 2.0, 3.0])}),
    )
    (block,) = program_blocks(tree)
    assert list(block.table["pairs called the same"]) == [5, 3, 0]
    np.testing.assert_allclose(block.table["expected precision"], [4.05 / 5, 0.95, np.nan])
    np.testing.assert_allclose(block.table["expected recall"], [1, 2.85 / 4.05, 0])


@pytest.mark.parametrize(("program", "site"), [("latent_class_regression", "slope"),
                                               ("expert_mixture", "gate_slope")])  # fmt: skip
def test_effects_on_membership_are_odds_ratios_against_the_first_cluster(program, site):
    slope = np.log([[1.0, 2.0, 0.5]])
    tree = _tree(program, {site: (("covariate", "cluster"), slope)}, {"covariate": ["age"]})
    (block,) = program_blocks(tree)
    assert block.table.loc["age"].tolist() == ["2.00", "0.50"]


def test_programs_without_covariates_and_of_others_have_no_tables():
    assert not list(program_blocks(_tree("latent_class_regression", {"intercept": ((), 0.0)})))
    assert not list(program_blocks(_tree("own.py:program", {"loc": ((), 0.0)})))
