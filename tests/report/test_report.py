"""The report of a fit answers every question that its tree can answer."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from ppl_models.errors import InputError
from ppl_models.plots import choose_plots, close, plot_predictive
from ppl_models.plots.sampling.khat import plot_khat
from ppl_models.posterior.result.schema import facts_of
from ppl_models.report import write_report
from ppl_models.report.section import ReportSection
from ppl_models.report.sections.assignments import (
    ASSIGNMENTS,
    doubtful_table,
    partition_table,
    size_table,
)
from ppl_models.report.sections.comparison import point_numbers
from ppl_models.report.sections.number_of_clusters import NUMBER_OF_CLUSTERS, weight_table
from ppl_models.report.sections.overview import OVERVIEW, describe_data, describe_time
from ppl_models.report.sections.parameters import (
    component_values,
    next_tokens,
    other_values,
    summary_table,
)
from ppl_models.report.sections.predictions import generated_sequences
from ppl_models.report.sections.trust import TRUST, final_objective

OF_ALL = ("What was fitted", "Can it be trusted?", "What data does the model predict?",
          "Numbers for model comparison", "How to reproduce it")  # fmt: skip
OF_CLUSTERS = ("How many clusters?", "Which cluster is each row in?", "What are the clusters like?")


@pytest.fixture
def only(monkeypatch):
    """Pages of one section, where nothing else is asked about: pictures take long to draw."""
    return lambda section: monkeypatch.setattr("ppl_models.report.write.SECTIONS", (section,))


def headings(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [html.unescape(actual) for actual in re.findall(r"<h2[^>]*>([^<]+)", text)]


def unescaped(path: Path) -> str:
    return html.unescape(path.read_text(encoding="utf-8"))


def test_the_report_of_draws_has_every_section_in_order(fits, diagnosed, tmp_path):
    tree = fits.trees.with_nuts_statistics(fits.gaussian_fit(draws=160), diverging=2)
    path = write_report(tree, tmp_path / "r.html")
    assert headings(path) == [
        "What was fitted", "Can it be trusted?", *OF_CLUSTERS, "What data does the model predict?",
        "How the posterior was sampled", "Numbers for model comparison", "How to reproduce it",
    ]  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert text.count("<img") == len(choose_plots(tree)) == 7
    assert "This fit can be trusted." in text and "few &lt;draws&gt;" in text
    assert text.index(">worse<") < text.index(">fine<")
    assert "2 divergent transitions" in text
    assert "160 draws in 4 chains" in text
    assert "://" not in text and "<script" not in text


POINTS = {
    "gaussian": lambda fits: fits.as_point(fits.gaussian_fit(rows=60, draws=40)),
    "kmeans": lambda fits: fits.as_kmeans(fits.gaussian_fit(covariance="spherical", rows=60)),
    "univariate": lambda fits: fits.as_point(fits.gaussian_fit(covariance="univariate")),
    "images": lambda fits: fits.as_point(fits.count_fit("bernoulli", features=64)),
    "counts": lambda fits: fits.as_point(fits.count_fit("poisson")),
    "levels": lambda fits: fits.as_point(fits.categorical_fit()),
    "clusters of chains": lambda fits: fits.chains_fit(),
}


@pytest.mark.parametrize("case", POINTS)
def test_every_picture_that_is_chosen_is_on_the_page(fits, diagnosed, tmp_path, case):
    """Once "transition graph" and "sequence index" were chosen, and never shown."""
    tree = POINTS[case](fits)
    text = unescaped(write_report(tree, tmp_path / "r.html"))
    chosen = choose_plots(tree)
    assert len(chosen) >= 3
    for picture in chosen:
        assert text.count(f"<figcaption>{picture.caption}</figcaption>") == 1, picture.name
    if case == "clusters of chains":
        assert {"transition graph", "sequence index"} <= {picture.name for picture in chosen}


@pytest.mark.parametrize("method", ["em", "kmeans"])
def test_the_report_of_a_point_has_starts_and_a_path_but_no_r_hat(
    fits, diagnosed, tmp_path, method
):
    spherical = fits.gaussian_fit(covariance="spherical")
    tree = fits.as_kmeans(spherical) if method == "kmeans" else fits.as_point(spherical)
    tree.attrs["parameters"] = 11
    path = write_report(tree, tmp_path / "r.html")
    assert {*OF_ALL, *OF_CLUSTERS, "How the optimum was found"} == set(headings(path))
    text = path.read_text(encoding="utf-8")
    assert "R-hat" not in text and "r_hat" not in text
    final = final_objective(tree["starts"].to_dataset())
    best = final.min() if method == "kmeans" else final.max()
    reached = int((np.abs(final - best) <= 1e-6 * abs(best)).sum())
    name = facts_of(tree).objective.name
    extreme = "lowest" if method == "kmeans" else "highest"
    assert f"{reached} of 6 starts reached the {extreme} {name}, " in text
    assert "one point, the best of 6 starts" in text
    assert (">BIC<" in text) == (method == "em")
    assert ("log joint density" in text) is False


def test_a_chain_has_names_in_place_of_clusters(fits, diagnosed, tmp_path):
    tree = fits.markov_fit(draws=120)
    path = write_report(tree, tmp_path / "r.html")
    assert {*OF_ALL, "What are the parameters?", "How the posterior was sampled"} == set(
        headings(path)
    )
    generated = generated_sequences(tree, tree["posterior_predictive"]["tokens"].stack(
        sample=("chain", "draw")))  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert len(generated) == 20
    assert all(f"<li><code>{name}</code></li>" in text for name in generated)


def test_tokens_have_the_names_that_the_data_were_read_with(fits):
    tree = fits.markov_fit(("abab", "ab", "b"))
    drawn = tree["posterior_predictive"]["tokens"].stack(sample=("chain", "draw"))
    assert set("".join(generated_sequences(tree, drawn))) <= set("ab…")
    made = plot_predictive(tree)
    frequencies = made.viz["plot"].sel(panel="tokens").item()
    assert [label.get_text() for label in frequencies.get_xticklabels()] == ["a", "b"]
    close(made)
    assert describe_data(tree).endswith("2 distinct tokens")
    tree.attrs["coordinate_labels"] = "{}"  # tokens that never had names
    assert set("".join(generated_sequences(tree, drawn))) <= set("01…")


def test_a_fit_that_cannot_be_trusted_says_so_in_red(fits, diagnosed, only, tmp_path):
    only(TRUST)
    diagnosed(trustworthy=False, verdict="Do not trust this fit: chains disagree.")
    tree = fits.as_point(fits.gaussian_fit())
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<div class='note problem'><p>Do not trust this fit: chains disagree.</p></div>" in text


def test_the_real_diagnosis_is_asked(fits, only, tmp_path):
    only(TRUST)
    tree = fits.as_point(fits.gaussian_fit())
    del tree.attrs["program"]
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    from ppl_models.diagnostics.diagnose import diagnose

    diagnosis = diagnose(tree)
    assert html.escape(diagnosis.verdict) in text
    assert all(html.escape(finding.what) in text for finding in diagnosis.findings)


def test_what_the_data_say_is_escaped(fits, diagnosed, tmp_path):
    names = ["<b>bold</b>", "a & b"]
    tree = fits.as_point(fits.gaussian_fit(names=names))
    tree.attrs["program"] = "<script>bad()</script>"
    tree.attrs["notes"] = json.dumps({"notes": ["<i>note</i>"]})
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    for raw in ("<b>bold", "<script", "<i>note"):
        assert raw not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text and "&lt;i&gt;note&lt;/i&gt;" in text


def test_an_existing_report_is_kept_before_anything_is_computed(fits, tmp_path, monkeypatch):
    path = tmp_path / "r.html"
    path.write_text("mine")
    broken = ReportSection("overview", lambda fit: 1 / 0, lambda fit: 1 / 0)
    monkeypatch.setattr("ppl_models.report.write.SECTIONS", (broken,))
    with pytest.raises(InputError, match="exists: choose another name"):
        write_report(fits.gaussian_fit(), path)
    assert path.read_text() == "mine"


def test_a_tree_without_posterior_has_no_report(tmp_path):
    with pytest.raises(InputError, match="'posterior'"):
        write_report(xr.DataTree(), tmp_path / "r.html")


def test_a_title_can_be_given(fits, diagnosed, only, tmp_path):
    only(OVERVIEW)
    tree = fits.as_point(fits.gaussian_fit())
    text = write_report(tree, tmp_path / "a.html", title="Geysers").read_text(encoding="utf-8")
    assert "<title>Geysers</title>" in text
    text = write_report(tree, tmp_path / "b.html").read_text(encoding="utf-8")
    assert "<h1>gaussian_mixture, fitted by em</h1>" in text


def test_a_comparison_in_the_tree_answers_how_many(fits, diagnosed, only, tmp_path):
    only(NUMBER_OF_CLUSTERS)
    tree = fits.as_point(fits.gaussian_fit())
    comparison = xr.Dataset({"bic": ("clusters", [30.0, 10.0, 20.0])}, {"clusters": [1, 2, 3]})
    tree["comparison"] = xr.DataTree(comparison)
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "the best is ringed" in text


def test_a_partition_and_a_similarity_in_the_tree_are_shown(fits, diagnosed, only, tmp_path):
    only(ASSIGNMENTS)
    tree = fits.as_point(fits.gaussian_fit(rows=60))
    labels = tree["responsibilities"]["responsibilities"].values.argmax(1)
    matrix = (labels[:, None] == labels).astype(float)
    tree["similarity"] = xr.DataTree(xr.Dataset({"similarity": (("row", "row_other"), matrix)}))
    tree["partition"] = xr.DataTree(
        xr.Dataset({"labels": ("row", labels), "certainty": ("row", np.ones(60))})
    )
    table = partition_table(tree)
    assert table["rows"].tolist() == np.unique(labels, return_counts=True)[1].tolist()
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "One partition for all draws" in text
    assert "The probability that two rows are in the same cluster" in text


def test_sizes_add_up_and_doubtful_rows_come_first(fits):
    tree = fits.gaussian_fit(rows=120)
    values = tree["responsibilities"]["responsibilities"].values
    values[7] = [0.4, 0.35, 0.25]
    values[3] = [0.1, 0.45, 0.45]
    sizes = size_table(tree)
    assert sizes["rows"].sum() == 120
    assert sizes["expected rows"].sum() == pytest.approx(120)
    doubtful = doubtful_table(tree)
    assert doubtful.index[:2].tolist() == [7, 3]
    assert doubtful.loc[7, ["cluster", "second"]].tolist() == [0, 1]
    np.testing.assert_allclose(doubtful.loc[7, "length 0"],
                               tree["observed_data"]["x"].values[7, 0])  # fmt: skip


def test_doubtful_rows_show_levels_by_name(fits):
    tree = fits.categorical_fit(levels=(2, 3))
    doubtful = doubtful_table(tree)
    code = tree["observed_data"]["x"].values[doubtful.index[0], 1]
    assert doubtful.iloc[0]["B"] == str(int(code) + 1)


def test_weights_have_intervals(fits):
    tree = fits.gaussian_fit()
    draws = tree["posterior"]["weights"].values.reshape(-1, 3)
    table = weight_table(tree)
    np.testing.assert_allclose(table["3%"], np.quantile(draws, 0.03, axis=0))
    np.testing.assert_allclose(table["97%"], np.quantile(draws, 0.97, axis=0))


def test_the_summary_is_arvizs_rounded_by_the_spread_without_mirrored_entries(fits):
    tree = fits.gaussian_fit(clusters=2)
    table = summary_table(tree)
    assert "covariance[0, length 1, length 0]" in table.index
    assert "covariance[0, length 0, length 1]" not in table.index
    draws = tree["posterior"]["loc"].sel(cluster=1, feature="length 0").values
    row = table.loc["loc[1, length 0]"]
    places = len(row["sd"].partition(".")[2])
    assert row["mean"] == f"{draws.mean():,.{places}f}".replace("-", "−")
    assert float(row["sd"]) == pytest.approx(draws.std(ddof=1), rel=0.05)


def test_aic_and_bic_follow_from_the_likelihood(fits):
    tree = fits.as_point(fits.gaussian_fit(covariance="spherical", clusters=2, rows=100))
    free = 1 + 4 + 2
    tree.attrs["parameters"] = free
    total = float(tree["log_likelihood"]["x"].sum())
    numbers = point_numbers(tree)["value"].str.replace("−", "-").str.replace(",", "").astype(float)
    assert numbers["log posterior density"] == pytest.approx(
        float(tree["starts"]["final"].max()), abs=1e-3
    )
    assert numbers["AIC"] == pytest.approx(2 * free - 2 * total, abs=1e-3)
    assert numbers["BIC"] == pytest.approx(free * np.log(100) - 2 * total, abs=1e-3)


def test_without_a_count_of_free_parameters_there_is_no_bic(fits):
    tree = fits.as_point(fits.gaussian_fit())
    assert point_numbers(tree).index.tolist() == ["log posterior density", "log-likelihood"]


def test_values_of_a_point_stand_by_cluster(fits):
    tree = fits.as_point(fits.gaussian_fit(covariance="tied", clusters=2))
    table, others = component_values(tree), other_values(tree)
    assert table.columns.tolist() == ["weights", "loc[length 0]", "loc[length 1]"]
    np.testing.assert_allclose(table["weights"], tree["posterior"]["weights"].values[0, 0])
    assert others.index.tolist() == [
        "covariance[length 0, length 0]", "covariance[length 1, length 0]",
        "covariance[length 1, length 1]",
    ]  # fmt: skip


def test_next_tokens_are_the_most_probable(fits):
    tree = fits.markov_fit(("ab", "ab", "abb"))
    table = next_tokens(tree)
    assert table.index.tolist() == ["<start>", "a", "b"]
    assert table.loc["a"].iloc[0].startswith("b (")
    assert table.loc["<start>"].iloc[0].startswith("a (")


def test_data_and_time_are_described(fits):
    tree = fits.gaussian_fit(rows=40, features=3)
    tree["observed_data"]["x"].values[:6, 0] = np.nan
    assert describe_data(tree) == "40 rows × 3 features, 5.0% of the cells missing"
    assert describe_data(fits.markov_fit(("ab", "bab"))).startswith("2 sequences of 2 to 3 tokens")
    assert describe_time(7.26) == "7.3 seconds"


def test_khat_shows_what_arviz_estimates_or_is_given(fits):
    tree = fits.gaussian_fit(draws=160)
    made = plot_khat(tree)
    assert made.viz["plot"].item().get_ylabel() == "Pareto k"
    close(made)


def test_normal_radius_of_the_fakes_is_the_chi_square(fits):
    assert fits.normal_quantile_radius(0.5) == pytest.approx(stats.chi2(2).ppf(0.5))
