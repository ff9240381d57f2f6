"""Pages whose plots answer to the mouse: complete in themselves, one plotly.js, rows by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ppl_models.errors import InputError
from ppl_models.plots import choose_plots, plot_clusters, plot_forest
from ppl_models.plots.declaration import registered_plots
from ppl_models.posterior.labels.names import name_clusters
from ppl_models.report import write_report

pytest.importorskip("arviz_plots.backend.plotly")


@pytest.fixture(scope="module")
def tree(fits):
    tree = fits.as_point(fits.gaussian_fit(rows=60, draws=60, clusters=2))
    return name_clusters(tree, ["brief", "lasting"])


def test_a_page_is_complete_and_names_rows_and_clusters(tree, diagnosed, tmp_path: Path) -> None:
    page = write_report(tree, tmp_path / "page.html", interactive=True).read_text("utf-8")
    assert page.count("<script>/**") == 1 and 'src="http' not in page and "src='http" not in page
    assert "cdn.plot.ly" not in page.partition("</head>")[2]
    assert page.count("<figure class='interactive'>") == 1
    assert "data:image/png;base64" in page  # plots that are not interactive are there too
    assert "row 7\\u003cbr\\u003e" in page or "row 7<br>" in page
    assert "brief" in page.partition("</head>")[2]
    plain = write_report(tree, tmp_path / "plain.html").read_text("utf-8")
    assert "<script" not in plain


def test_plots_that_say_so_are_drawn_by_plotly(fits) -> None:
    drawn = fits.gaussian_fit(covariance="univariate", rows=60, draws=60, clusters=2)
    lively = {chosen.name for chosen in choose_plots(drawn) if chosen.interactive}
    assert lively >= {"trace", "rank", "forest", "khat"}
    assert registered_plots()["clusters"].interactive
    made = plot_forest(drawn, backend="plotly")
    assert made.backend == "plotly" and len(made.viz["figure"].item().data)
    with pytest.raises(InputError, match="two features: use backend='matplotlib'"):
        plot_clusters(drawn, backend="plotly")
    plot_clusters(drawn, backend="matplotlib")  # the way out
    with pytest.raises(InputError, match="matplotlib or plotly"):
        plot_forest(drawn, backend="bokeh")
    import matplotlib.pyplot as plt

    plt.close("all")


def test_what_is_not_installed_is_named(tree, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz_plots.backend.plotly", None)
    with pytest.raises(InputError, match=r"pip install 'ppl-models\[plotly\]'"):
        write_report(tree, tmp_path / "page.html", interactive=True)
    assert not list(tmp_path.iterdir())
