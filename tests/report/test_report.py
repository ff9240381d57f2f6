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
from ppl_models.plots import close, plot_predictive
from ppl_models.plots.choose import choose_plots
from ppl_models.report import write_report
from ppl_models.report.clusters import (
    doubtful_table,
    how_many,
    partition_table,
    size_table,
    weight_table,
    who_where,
)
from ppl_models.report.numbers import free_parameters, point_numbers
from ppl_models.report.parameters import cluster_values, next_tokens, other_values, summary_table
from ppl_models.report.sampling import generated_sequences
from ppl_models.report.trust import describe_data, describe_time, facts, final_objective, trust

OF_ALL = ("What was fitted", "Can it be trusted?", "What would new data look like?",
          "Numbers for comparison", "How to reproduce it")  # fmt: skip
OF_CLUSTERS = ("How many clusters?", "Who is in which?", "What are they like?")


@pytest.fixture
def only(monkeypatch):
    """Pages of one section, where nothing else is asked about: pictures take long to draw."""
    return lambda section: monkeypatch.setattr("ppl_models.report.write.SECTIONS", (section,))


def headings(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [html.unescape(found) for found in re.findall(r"<h2[^>]*>([^<]+)", text)]


def test_the_report_of_draws_has_every_section_in_the_readers_order(fits, diagnosed, tmp_path):
    tree = fits.trees.with_nuts_statistics(fits.gaussian_fit(draws=160), diverging=2)
    path = write_report(tree, tmp_path / "r.html")
    assert headings(path) == [
        "What was fitted", "Can it be trusted?", *OF_CLUSTERS, "What would new data look like?",
        "How it was sampled", "Numbers for comparison", "How to reproduce it",
    ]  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert text.count("<img") == 7  # assignments, clusters, predictions, trace, rank, forest, khat
    assert "This fit can be trusted." in text and "few &lt;draws&gt;" in text
    assert text.index(">worse<") < text.index(">fine<")
    assert "2 divergent transitions" in text
    assert "160 draws in 4 chains" in text
    assert "://" not in text and "<script" not in text


@pytest.mark.parametrize("method", ["em", "kmeans"])
def test_the_report_of_a_point_has_starts_and_a_path_but_no_r_hat(
    fits, diagnosed, tmp_path, method
):
    tree = fits.as_point(fits.gaussian_fit(), method, starts=6)
    path = write_report(tree, tmp_path / "r.html")
    assert {*OF_ALL, *OF_CLUSTERS, "How it was found"} == set(headings(path))
    text = path.read_text(encoding="utf-8")
    assert "R-hat" not in text and "r_hat" not in text
    final = final_objective(tree["starts"].to_dataset())
    reached = int((final >= final.max() - 1e-6 * abs(final.max())).sum())
    assert f"Of 6 starts, {reached} reached the best objective" in text
    assert "one point, the best of 6 starts" in text
    assert (">BIC<" in text) == (method == "em")


@pytest.mark.parametrize(
    ("maker", "arguments"),
    [("count_fit", {"family": "bernoulli", "features": 64}), ("count_fit", {"family": "poisson"}),
     ("categorical_fit", {}), ("gaussian_fit", {"covariance": "univariate"})],
)  # fmt: skip
def test_every_family_has_a_report(fits, diagnosed, tmp_path, maker, arguments):
    tree = fits.as_point(getattr(fits, maker)(**arguments))
    path = write_report(tree, tmp_path / "r.html")
    assert {*OF_ALL, *OF_CLUSTERS} < set(headings(path))


def test_a_chain_has_names_in_place_of_clusters(fits, diagnosed, tmp_path):
    tree = fits.markov_fit(draws=120)
    path = write_report(tree, tmp_path / "r.html")
    assert {*OF_ALL, "What is it like?", "How it was sampled"} == set(headings(path))
    generated = generated_sequences(tree, tree["posterior_predictive"]["tokens"].stack(
        sample=("chain", "draw")))  # fmt: skip
    text = path.read_text(encoding="utf-8")
    assert len(generated) == 20
    assert all(f"<li><code>{name}</code></li>" in text for name in generated)


def test_tokens_have_their_names_where_no_site_is_over_tokens(fits):
    tree = fits.markov_fit(("abab", "ab", "b"))
    drawn = tree["posterior_predictive"]["tokens"].stack(sample=("chain", "draw"))
    tree["posterior"] = xr.Dataset({"discount": (("chain", "draw"), np.ones((4, 50)))})
    assert set("".join(generated_sequences(tree, drawn))) <= set("01…")
    tree.attrs["coordinate_labels"] = json.dumps({"token": ["a", "b"]})
    assert set("".join(generated_sequences(tree, drawn))) <= set("ab…")
    made = plot_predictive(tree)
    shares = made.viz["plot"].sel(panel="tokens").item()
    assert [label.get_text() for label in shares.get_xticklabels()] == ["a", "b"]
    assert describe_data(tree).endswith("2 distinct tokens")
    close(made)


def test_a_fit_that_cannot_be_trusted_says_so_in_red(fits, diagnosed, only, tmp_path):
    only(trust)
    diagnosed(trustworthy=False, verdict="Do not trust this fit: chains disagree.")
    tree = fits.as_point(fits.gaussian_fit())
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<div class='note problem'><p>Do not trust this fit: chains disagree.</p></div>" in text


def test_the_real_diagnosis_is_asked(fits, only, tmp_path):
    only(trust)
    tree = fits.as_point(fits.gaussian_fit())
    del tree.attrs["program"]
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    from ppl_models.diagnostics.diagnose import diagnose

    found = diagnose(tree)
    assert html.escape(found.verdict) in text
    assert all(html.escape(finding.what) in text for finding in found.findings)


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
    monkeypatch.setattr("ppl_models.report.write.SECTIONS", (lambda tree: 1 / 0,))
    with pytest.raises(InputError, match="kept"):
        write_report(fits.gaussian_fit(), path)
    assert path.read_text() == "mine"


def test_a_tree_without_posterior_has_no_report(tmp_path):
    with pytest.raises(InputError, match="'posterior'"):
        write_report(xr.DataTree(), tmp_path / "r.html")


def test_a_title_can_be_given(fits, diagnosed, only, tmp_path):
    only(facts)
    tree = fits.as_point(fits.gaussian_fit())
    text = write_report(tree, tmp_path / "a.html", title="Geysers").read_text(encoding="utf-8")
    assert "<title>Geysers</title>" in text
    text = write_report(tree, tmp_path / "b.html").read_text(encoding="utf-8")
    assert "<h1>gaussian_mixture, fitted by em</h1>" in text


def test_a_comparison_in_the_tree_answers_how_many(fits, diagnosed, only, tmp_path):
    only(how_many)
    tree = fits.as_point(fits.gaussian_fit())
    comparison = xr.Dataset({"bic": ("clusters", [30.0, 10.0, 20.0])}, {"clusters": [1, 2, 3]})
    tree["comparison"] = xr.DataTree(comparison)
    text = write_report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "the best is ringed" in text


def test_a_partition_and_a_similarity_in_the_tree_are_shown(fits, diagnosed, only, tmp_path):
    only(who_where)
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
    assert "One partition for all draws" in text and "Which rows belong together" in text


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


@pytest.mark.parametrize(
    ("covariance", "free"), [("full", 2 + 6 + 9), ("tied", 2 + 6 + 3), ("diagonal", 2 + 6 + 6),
                             ("spherical", 2 + 6 + 3), ("univariate", 2 + 3 + 3)],
)  # fmt: skip
def test_free_parameters_of_gaussian_mixtures(fits, covariance, free):
    assert free_parameters(fits.gaussian_fit(covariance=covariance, clusters=3)) == free


def test_free_parameters_of_the_other_families(fits):
    assert free_parameters(fits.count_fit("bernoulli", features=6)) == 2 + 3 * 6
    assert free_parameters(fits.count_fit("poisson", features=6)) == 2 + 3 * 6
    assert free_parameters(fits.categorical_fit(levels=(2, 3, 4))) == 1 + 2 * (1 + 2 + 3)
    assert free_parameters(fits.markov_fit(("ab", "ba"))) == 1 + 2 * 2


def test_aic_and_bic_follow_from_the_likelihood(fits):
    tree = fits.as_point(fits.gaussian_fit(covariance="spherical", clusters=2, rows=100))
    total = float(tree["log_likelihood"]["x"].sum())
    numbers = point_numbers(tree)["value"].str.replace("−", "-").str.replace(",", "").astype(float)
    free = 1 + 4 + 2
    assert numbers["AIC"] == pytest.approx(2 * free - 2 * total, abs=1e-3)
    assert numbers["BIC"] == pytest.approx(free * np.log(100) - 2 * total, abs=1e-3)


def test_a_program_of_the_users_own_gets_no_invented_bic(fits):
    tree = fits.as_point(fits.gaussian_fit())
    tree["posterior"] = tree["posterior"].to_dataset().rename(loc="own")
    assert free_parameters(tree) is None
    assert "BIC" not in point_numbers(tree).index


def test_values_of_a_point_stand_by_cluster(fits):
    tree = fits.as_point(fits.gaussian_fit(covariance="tied", clusters=2))
    table, others = cluster_values(tree), other_values(tree)
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


def test_khat_reads_the_same_loo_as_arviz(fits):
    tree = fits.gaussian_fit(draws=160)
    made = dict(choose_plots(tree))["khat"](tree)
    assert made.viz["plot"].item().get_ylabel() == "Pareto k"
    import matplotlib.pyplot as plt

    plt.close("all")


def test_normal_radius_of_the_fakes_is_the_chi_square(fits):
    assert fits.normal_quantile_radius(0.5) == pytest.approx(stats.chi2(2).ppf(0.5))
