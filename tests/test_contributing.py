"""The skeletons of CONTRIBUTING.md run as they stand there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from scipy import stats

import ppl_models.inference.methods
import ppl_models.plots
from ppl_models import catalogue, fit, generate, predict, write_report
from ppl_models.errors import UnsupportedError
from ppl_models.plots import choose_plots
from ppl_models.plots.declaration import forget_plot

GUIDE = Path(__file__).parent.parent / "CONTRIBUTING.md"


def skeleton(name: str) -> str:
    """The code block below the marker of that name."""
    pattern = rf"<!-- skeleton: {name} -->\n```python\n(.*?)```"
    (code,) = re.findall(pattern, GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return code


def test_the_model_is_fitted_and_generates(tmp_path: Path) -> None:
    path = tmp_path / "coins.py"
    path.write_text(skeleton("model"), encoding="utf-8")
    rows = np.repeat([[1, 1, 1], [0, 0, 0]], 10, axis=0)
    tree = fit(f"{path}:coins", rows, method="em", seed=0, clusters=2, predictive=0)
    probabilities = predict(tree).values
    assert (probabilities[:10].argmax(1) == probabilities[0].argmax()).all()
    assert (probabilities[10:].argmax(1) != probabilities[0].argmax()).all()
    assert generate(tree, 4, seed=0)["x"].shape == (4, 3)


def test_the_experiment_leaves_its_page(tmp_path: Path) -> None:
    names = {"__name__": "skeleton"}
    exec(compile(skeleton("experiment"), "experiment.py", "exec"), names)
    page = names["run"](tmp_path, smoke=True)
    text = page.read_text(encoding="utf-8")
    assert "BIC prefers 2 cluster(s)." in text and "What would count as an answer" in text
    assert (tmp_path / "regimes.json").is_file()


def test_the_emission_has_the_density_and_the_draws_that_it_states() -> None:
    names = {"__name__": "skeleton"}
    exec(compile(skeleton("emission"), "waiting_times.py", "exec"), names)
    rates = np.array([[1.0, 0.5], [3.0, 2.0]])
    family = names["WaitingTimes"](jnp.array(rates)[:, None])
    x = np.array([[0.2, 1.0], [1.5, np.nan], [0.7, 0.1]])
    cells = stats.expon.logpdf(x, scale=1 / rates[:, None])
    np.testing.assert_allclose(family.log_prob(jnp.array(x)), np.nansum(cells, axis=-1), rtol=1e-5)
    drawn = np.asarray(names["WaitingTimes"](jnp.array(rates)).sample(random.key(0), (4000,)))
    error = 1 / rates / np.sqrt(4000)
    assert (np.abs(drawn.mean(0) - 1 / rates) < 5 * error).all()


@pytest.fixture
def metropolis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The method, as one more file of the folder of methods."""
    (tmp_path / "metropolis.py").write_text(skeleton("method"), encoding="utf-8")
    there = [*catalogue.method_names(), "metropolis"]
    folders = [*ppl_models.inference.methods.__path__, str(tmp_path)]
    monkeypatch.setattr(ppl_models.inference.methods, "__path__", folders)
    monkeypatch.setattr(catalogue, "method_names", lambda: there)
    yield catalogue.method("metropolis")
    del sys.modules["ppl_models.inference.methods.metropolis"]
    del ppl_models.inference.methods.metropolis


def test_the_method_draws_from_the_posterior(metropolis: ModuleType, tmp_path: Path) -> None:
    """Throws of one kind of coin: the posterior is a beta distribution."""
    path = tmp_path / "coins.py"
    path.write_text(skeleton("model"), encoding="utf-8")
    rows = np.repeat([[1], [0]], [14, 6], axis=0)
    options = {"clusters": 1, "fixed": {"weights": [1.0]}, "predictive": 0}
    program = f"{path}:coins"
    tree = fit(program, rows, method="metropolis", seed=0, scale=0.8, **options)
    draws = tree["posterior"]["probs"].values.ravel()
    exact = stats.beta(16, 8)
    # a random walk is worth about a tenth of its length
    error = exact.std() / np.sqrt(len(draws) / 10)
    assert abs(draws.mean() - exact.mean()) < 5 * error
    assert abs(draws.std() - exact.std()) < 5 * error
    assert tree.attrs["kind"] == "draws" and (tree["sample_stats"]["acceptance_rate"] <= 1).all()


def test_what_the_method_declares_is_refused_in_a_sentence(metropolis: ModuleType) -> None:
    with pytest.raises(UnsupportedError, match="metropolis' needs global sites that are all cont"):
        fit("pitman_yor_chain", ["ab", "ba"], method="metropolis", seed=0)


def test_the_plot_is_chosen_reported_and_a_function_of_the_room(tmp_path: Path) -> None:
    exec(compile(skeleton("plot"), "shares.py", "exec"), {"__name__": "skeleton"})
    try:
        rows = [1, 2, 1, 9, 8, 9, 1]
        tree = fit("poisson_mixture", rows, method="em", seed=0, clusters=2, predictive=0)
        (picture,) = [plot for plot in choose_plots(tree) if plot.name == "shares"]
        heights = picture.draw().viz["plot"].item().lines[0].get_ydata()
        np.testing.assert_allclose(heights, tree["posterior"]["weights"].values[0, 0])
        assert ppl_models.plots.plot_shares is picture.plot.draw
        page = write_report(tree, tmp_path / "page.html").read_text(encoding="utf-8")
        assert "central 94 % of its draws" in page
        other = fit("markov_chain", ["ab", "b"], method="em", seed=0, predictive=0)
        assert "shares" not in [plot.name for plot in choose_plots(other)]
    finally:
        forget_plot("shares")


@pytest.mark.parametrize("name", ["model", "emission", "method", "plot"])
def test_the_table_counts_the_lines_of_the_skeletons(name: str) -> None:
    (row,) = re.findall(rf"^\| an? {name} \|.*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert f"1 file, {len(skeleton(name).splitlines())} lines" in row.split("|")[3]
