"""Numbers of a page stand beside the labels of their own entries, whatever the order of axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from ppl_models import fit, write_report
from ppl_models.diagnostics.checks import sensitivity
from ppl_models.report.fitted import FittedModel
from ppl_models.report.sections.assignments import doubtful_table
from ppl_models.report.sections.number_of_clusters import NUMBER_OF_CLUSTERS, weights_or_comparison
from ppl_models.report.sections.overview import describe_data
from ppl_models.report.sections.parameters import summary_table

LINES = {
    "item": [f"i{n}" for n in range(12) for _ in range(3)],
    "annotator": ["ann", "bob", "cid"] * 12,
    "label": ["no", "no", "yes", "yes", "yes", "yes"] * 6,
}


def _annotators(method: str = "gibbs", **options) -> xr.DataTree:
    """A fit whose site "confusion" has its axes in another order than its clusters come first."""
    return fit("dawid_skene", LINES, method=method, seed=0, predictive=0, **options)


def test_every_number_of_the_table_is_the_mean_of_the_entry_that_it_names():
    tree = _annotators(chains=2, warmup=20, draws=40)
    confusion, table = tree["posterior/confusion"], summary_table(tree)
    assert confusion.dims[2:] == ("annotator", "cluster", "label")
    for name in confusion["annotator"].values:
        for k in confusion["cluster"].values:
            for said in confusion["label"].values:
                entry = confusion.sel(annotator=name, cluster=k, label=said)
                shown = float(table.loc[f"confusion[{name}, {k}, {said}]", "mean"])
                assert abs(shown - float(entry.mean())) < 0.01


def test_sensitivity_has_a_row_for_each_entry_of_an_axis_called_label():
    table = sensitivity(_annotators(chains=2, warmup=20, draws=40))
    assert "confusion[cid, no, yes]" in table.index


def test_a_page_of_annotators_says_what_was_labelled_and_names_the_classes(tmp_path):
    tree = _annotators(chains=2, warmup=20, draws=40)
    text = write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "36 lines, of 12 items and 3 annotators" in text
    assert "confusion[ann, yes, no]" in text
    assert "How common is each cluster?" in text and "choose_clusters" not in text


def test_tokens_are_no_rows_and_the_number_of_topics_can_be_chosen():
    lines = {"document": list("aabbccdd"), "word": list("xyxyzwzw")}
    tree = fit("latent_dirichlet_allocation", lines, method="em", seed=0, topics=2, predictive=0)
    assert describe_data(tree) == "8 tokens, of 4 documents"
    (block,) = weights_or_comparison(FittedModel(tree))
    assert '`choose_clusters` with `size="topics"`' in block.text
    assert NUMBER_OF_CLUSTERS.heading(FittedModel(tree)) == "How many clusters?"


def test_doubtful_tokens_are_shown_by_their_words_and_hard_words_by_perplexity(tmp_path):
    lines = {"document": list("aabbccdd") * 8, "word": ["sea", "hill", "sea", "tree"] * 16}
    tree = fit(
        "latent_dirichlet_allocation", lines, method="gibbs", seed=0, topics=2, chains=2,
        warmup=20, draws=40, predictive=0,
    )  # fmt: skip
    assert set(doubtful_table(tree)["word"]) <= {"sea", "hill", "tree"}
    page = write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8")
    elpd = FittedModel(tree).loo.elpd
    assert f"perplexity</th><td class='number'>{np.exp(-elpd / 64):.1f}</td>" in page


def test_doubtful_rows_have_values_of_all_kinds_of_data():
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"height": generator.normal(0.5, 1, 60),
                         "colour": generator.choice(["red", "blue"], 60)})  # fmt: skip
    tree = fit("mixed_mixture", rows, method="em", seed=0, clusters=2, starts=1, predictive=0)
    table = doubtful_table(tree)
    assert {"height", "colour"} <= set(table.columns)
    assert set(table["colour"]) <= {"red", "blue"}


def test_tables_that_a_program_conditions_on_are_told_by_their_columns():
    covariates = pd.DataFrame({"age": np.arange(20.0) ** 1.5, "dose": np.arange(20.0) % 3})
    data = {"response": np.arange(20.0), "covariates": covariates}
    tree = fit("regression_mixture", data, method="em", seed=0, clusters=1, predictive=0)
    assert describe_data(tree) == "20 rows, covariates of 2 columns (age, dose)"


def test_constants_are_no_parameters_and_mirrored_entries_are_left_out():
    x = np.random.default_rng(0).normal(size=(40, 2))
    tree = fit(
        "gaussian_noise_mixture", x, method="gibbs", seed=0, clusters=1, chains=2, warmup=20,
        draws=40, predictive=0,
    )  # fmt: skip
    table = summary_table(tree)
    assert "log_volume" not in table.index
    assert "covariance[0, 1, 0]" in table.index and "covariance[0, 0, 1]" not in table.index
