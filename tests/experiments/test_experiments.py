"""Every experiment runs, and its small version already gives the answer that it should.

The numbers are checked against closed forms, published values and brute force, not against
earlier runs.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hand_made import as_fit, rows
from scipy.ndimage import maximum_filter
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from experiments import demo, digits, images, kmeans_fails, kmeans_limit, names, old_faithful
from experiments._modes import count_modes, distinct, run_em
from experiments._page import command, plain
from ppl_models.data import first_names, unequal


def test_page_holds_answer_pictures_and_essay(name: str, page_is_whole: Callable) -> None:
    page_is_whole(name)


def test_answers_are_computed_from_the_numbers(name: str, answer_is_computed: Callable) -> None:
    answer_is_computed(name)


# ---- names ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_names_agree_with_counting(outcome: Callable) -> None:
    numbers = outcome("names").numbers
    train, test = names.split(first_names(), names.SMOKE)
    assert not set(train) & set(test) and len(train) + len(test) == names.SMOKE.names
    letters = sorted(set("".join(train)))
    pairs = Counter(pair for n in train for pair in zip(n, [*n[1:], ">"], strict=True))
    first = Counter(n[0] for n in train)
    before = Counter("".join(train))
    total = 0.0
    for name in test:
        total += np.log((first[name[0]] + 1) / (len(train) + len(letters)))
        inside: Counter = Counter()
        for pair in zip(name, [*name[1:], ">"], strict=True):
            already = sum(n for (a, _), n in inside.items() if a == pair[0])
            count = pairs[pair] + inside[pair] + 1
            total += np.log(count / (before[pair[0]] + already + len(letters) + 1))
            inside[pair] += 1
    steps = sum(len(n) + 1 for n in test)
    assert numbers["closed_form_nats"] == pytest.approx(-total / steps, abs=1e-9)
    drawn = numbers["nats_per_transition"]["Markov chain"]
    assert drawn == pytest.approx(-total / steps, abs=0.01)
    assert numbers["bits_per_letter"]["Markov chain"] == pytest.approx(
        drawn * steps / sum(map(len, test)) / np.log(2)
    )


@pytest.mark.long
def test_names_draws_are_the_closed_form_posterior(outcome: Callable) -> None:
    numbers = outcome("names").numbers
    # mean square of about 600 standardised deviations, nearly independent: 1 ± 0.06
    assert 0.7 < numbers["mean_square_standardised"] < 1.3
    assert numbers["largest_standardised"] < 6


@pytest.mark.long
def test_names_know_more_with_the_letter_before(outcome: Callable) -> None:
    numbers = outcome("names").numbers
    bits = numbers["bits_per_letter"]
    assert bits["Markov chain"] < bits["independent letters"] - 0.3
    assert bits["independent letters"] < bits["all letters alike"] - 0.3
    assert numbers["length"]["made_sd"] > 1.5 * numbers["length"]["real_sd"]
    train, test = names.split(first_names(), names.SMOKE)
    assert not {*train, *test} & set(numbers["examples"])
    assert all(re.fullmatch("[a-z]+", name) for name in numbers["examples"])


def test_baselines_are_distributions() -> None:
    train = ["a", "ab", "bba"]
    every = [x for n in range(1, 13) for x in _words("ab", n)]
    for total in (
        np.exp(names.alike(every, 2)).sum(),
        np.exp(names.independent(train, every, 2)).sum(),
    ):
        assert 0.95 < total < 1.0


def _words(alphabet: str, length: int) -> list[str]:
    words = [""]
    for _ in range(length):
        words = [word + letter for word in words for letter in alphabet]
    return words


# ---- digits --------------------------------------------------------------------------------------


def test_product_of_bernoullis_by_its_formula(outcome: Callable) -> None:
    numbers = outcome("digits").numbers
    parts = digits.split(digits.SMOKE.rows)
    bits, test = parts["training"].bits, parts["test"].bits
    average = (bits.sum(0) + 1) / (len(bits) + 2)
    proportion = (bits.sum(0) + average) / (
        len(bits) + 1
    )  # the mode of Beta(1 + a + n₁, 2 - a + n₀)
    cell = np.where(test == 1, np.log(proportion), np.log1p(-proportion))
    assert numbers["nats"]["1"] == pytest.approx(-cell.sum(1).mean(), rel=1e-6)
    for half, mask in digits.HALVES.items():
        product = numbers["halves"][half]["nats per pixel, product"]
        assert product == pytest.approx(-cell[:, mask].mean(), rel=1e-6)


def test_mixture_knows_the_other_half(outcome: Callable) -> None:
    numbers = outcome("digits").numbers
    assert numbers["gain"] > 4 * numbers["gain_error"] > 0
    assert numbers["nats"][str(numbers["kinds"])] == pytest.approx(
        numbers["nats"]["1"] - numbers["gain"]
    )
    for half in numbers["halves"].values():
        assert half["saved"] > 3 * half["saved_error"]
        assert half["right pixels, mixture"] > half["right pixels, product"]
    assert numbers["told_by_kind"] > 0.2  # by chance: 0.1


def test_parts_of_the_digits_are_apart() -> None:
    parts = digits.split(None)
    assert sum(len(part.bits) for part in parts.values()) == 1797
    assert [len(part.digit) for part in parts.values()] == [1078, 360, 359]


# ---- images --------------------------------------------------------------------------------------


def test_images_are_told_by_the_nearest_fitted_one() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (6, 64))
    brute = [[(a != b).sum() for b in bits] for a in bits[:3]]
    np.testing.assert_array_equal(images.nearest(bits[:3], bits), brute)
    fitted = digits.Pictures(bits[:3], np.array([7, 1, 4]))
    close = bits[[2, 0]].copy()
    close[:, 0] ^= 1
    asked = digits.Pictures(close, np.array([4, 1]))
    assert images.right_digit(np.stack([close, close]), fitted, asked) == 0.5


def test_images_have_a_line_for_programs_that_draw_nothing(outcome: Callable) -> None:
    numbers = dict(outcome("images").numbers)
    for name in ("nats", "nats_error"):
        numbers[name] = numbers[name] | {"pixel_logistic": 99.0}  # the worst of three
    (table,) = images.answer_tables(numbers).values()
    assert table.loc["pixel_logistic"].tolist() == ["99.00 ± 99.00", "", "", ""]
    assert "" not in table.loc["mixture"].tolist()


def test_images_compare_probabilities(outcome: Callable) -> None:
    """All programs beat a coin for every pixel; a difference is that of the table."""
    numbers = outcome("images").numbers
    nats, best = numbers["nats"], numbers["best"]
    assert set(nats) == {"mixture", *images.SMOKE.programs}
    assert all(0 < value < 64 * np.log(2) for value in nats.values())
    assert numbers["gain"] == pytest.approx(nats["mixture"] - nats[best], abs=1e-3)
    assert numbers["right_digit_whole"] > max(numbers["right_digit"].values())


# ---- k-means -------------------------------------------------------------------------------------


def test_mixture_walks_to_kmeans(outcome: Callable) -> None:
    numbers = outcome("kmeans_limit").numbers
    assert numbers["J_kmeans"] <= numbers["J_scikit_learn"] * (1 + 1e-9)
    assert numbers["J_coldest"] == pytest.approx(numbers["J_kmeans"], rel=1e-6)
    assert numbers["centres_off_coldest"] < 1e-3 < numbers["centres_off"][0]
    assert numbers["within_bound"]
    assert (np.array(numbers["F"]) <= np.array(numbers["J"]) + 1e-9).all()
    gap = np.array(numbers["J"]) - np.array(numbers["F"])
    assert (gap <= np.array(numbers["bound"]) + 1e-9).all()


def test_first_split_is_where_theory_puts_it(outcome: Callable) -> None:
    numbers = outcome("kmeans_limit").numbers
    x = kmeans_limit.scaled(kmeans_limit.old_faithful().iloc[:: kmeans_limit.SMOKE.every])
    largest = np.linalg.svd(x.to_numpy(), compute_uv=False)[0] / np.sqrt(len(x))
    assert numbers["critical"] == pytest.approx(largest)
    assert numbers["hottest_split"] <= largest <= numbers["coldest_single"]


@pytest.mark.long
def test_right_mixture_beats_kmeans(outcome: Callable) -> None:
    numbers = outcome("kmeans_fails").numbers
    for name in kmeans_fails.SMOKE.cases:
        actual = numbers["cases"][name]
        mean = actual["mean"]
        assert mean[actual["right"]] > mean["k-means"] + 0.1
        assert actual["wins"] == numbers["seeds"] and actual["losses"] == 0
        assert abs(mean["oracle"] - mean[actual["right"]]) < 0.1
    assert numbers["cases"]["oddly shaped"]["mean"]["diagonal"] < 0.7  # the wrong shape


def test_oracle_labels_and_matching() -> None:
    x, truth = unequal(5, 400)
    assert (kmeans_fails.oracle(x.to_numpy(), truth) == truth).mean() > 0.97
    renamed = np.array([2, 0, 1])[truth]
    assert (kmeans_fails.matched(truth, renamed)[renamed] == truth).all()


# ---- Old Faithful --------------------------------------------------------------------------------


@pytest.mark.long
def test_old_faithful_reaches_published_values(outcome: Callable) -> None:
    actual = outcome("old_faithful").numbers
    for (covariance, clusters), value in (
        old_faithful.PUBLISHED | old_faithful.INDEPENDENT
    ).items():
        line = actual["em"].get(old_faithful.label((covariance, clusters)))
        if line is not None:
            assert line["log_likelihood"] >= value - 1e-3
    three = actual["em"]["3 tied"]
    assert three["bic"] >= old_faithful.PRINTED["bic"] - 1e-2
    assert three["icl"] == pytest.approx(old_faithful.PRINTED["icl"], abs=1.0)
    assert three["bic"] == pytest.approx(2 * three["log_likelihood"] - 11 * np.log(272))
    assert actual["best_bic"] == "3 tied" and actual["best_icl"] == "2 tied"


@pytest.mark.long
def test_three_components_are_two_regimes(outcome: Callable) -> None:
    actual = outcome("old_faithful").numbers
    assert actual["em"]["3 tied"]["modes"] == actual["em"]["2 tied"]["modes"] == 2
    sampled = actual["loo"]["3 tied"]
    assert sampled["two modes"] > 0.75
    assert sampled["one mode"] + sampled["two modes"] + sampled["three modes"] == pytest.approx(1)
    assert sampled["largest Pareto k"] < 0.7
    # a mixture of three loses its own penalty out of sample, not more than a few nats
    assert -1150 < sampled["elpd"] < actual["em"]["3 tied"]["log_likelihood"]


def test_loo_ranks_the_generating_mixture_first() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-3, 1, (80, 2)), rng.normal(3, 1, (80, 2))])
    right = _drawn(x, np.array([0.5, 0.5]), np.array([[-3.0, -3.0], [3.0, 3.0]]), rng)
    wrong = _drawn(x, np.array([0.5, 0.5]), np.array([[-1.0, -1.0], [1.0, 1.0]]), rng)
    table = old_faithful.cross_validation({("tied", 2): wrong, ("full", 3): right}, x.std(0))
    assert list(table.index) == ["3 full", "2 tied"]
    gap = table.loc["2 tied", "elpd_diff"]
    assert gap == pytest.approx(table.loc["2 tied", "elpd"] - table.loc["3 full", "elpd"])
    assert gap < -3 * table.loc["2 tied", "dse"] < 0
    assert table.loc["3 full", "two modes"] == 1
    assert old_faithful.within_error(table.to_dict("index"), "3 full") == []


def test_chains_in_different_modes_are_told() -> None:
    rng = np.random.default_rng(2)
    tree = _drawn(rng.standard_normal((60, 2)), np.array([0.3, 0.7]), np.zeros((2, 2)), rng)
    agreed = old_faithful.cross_validation({("tied", 2): tree}, np.ones(2))
    tree["posterior"]["weights"][0] = [0.45, 0.55]  # one chain somewhere else
    parted = old_faithful.cross_validation({("tied", 2): tree}, np.ones(2))
    rhat = [float(t["R-hat of least weight"].iloc[0]) for t in (agreed, parted)]
    assert rhat[0] < 1.1 < 1.5 < rhat[1]
    assert agreed["R-hat of lp"].iloc[0] == parted["R-hat of lp"].iloc[0]


def _drawn(
    x: np.ndarray, weights: np.ndarray, centres: np.ndarray, rng: np.random.Generator
) -> xr.DataTree:
    """Draws of a mixture of unit spheres whose centres shake a little, and their likelihoods."""
    loc = centres + 0.02 * rng.standard_normal((4, 50, *centres.shape))
    density = [
        np.log(weights[k]) - 0.5 * ((x - loc[:, :, None, k]) ** 2).sum(-1) - np.log(2 * np.pi)
        for k in range(2)
    ]
    likelihood = logsumexp(density, axis=0)
    proportions = weights + 0.01 * rng.standard_normal((4, 50, 1)) * [1, -1]
    draws = {
        "weights": (("chain", "draw", "cluster"), proportions),
        "loc": (("chain", "draw", "cluster", "feature"), loc),
        "scale": (("chain", "draw", "cluster"), np.ones((4, 50, 2))),
    }
    stats = {
        "lp": (("chain", "draw"), likelihood.sum(-1)),
        "diverging": (("chain", "draw"), np.zeros((4, 50), bool)),
    }
    coords = {"chain": range(4), "draw": range(50)}
    return as_fit(
        {
            "posterior": xr.Dataset(draws, coords),
            "sample_stats": xr.Dataset(stats, coords),
            "log_likelihood": xr.Dataset({"x": (("chain", "draw", "row"), likelihood)}, coords),
            "observed_data": xr.Dataset({"x": (("row", "feature"), x)}),
        },
        clusters=2,
    )


@pytest.mark.parametrize(("distance", "modes"), [(1.9, 1), (2.1, 2), (6.0, 2)])
def test_two_equal_gaussians_part_at_two_deviations(distance: float, modes: int) -> None:
    loc = np.array([[[-distance / 2], [distance / 2]]])
    ends = run_em(np.array([[0.5, 0.5]]), loc, np.ones((1, 2, 1, 1)))[0]
    assert distinct(np.abs(ends - ends.T)) == modes


def test_modes_are_those_of_a_grid() -> None:
    rng = np.random.default_rng(3)
    step = np.linspace(-6, 6, 481)
    grid = np.stack(np.meshgrid(step, step, indexing="ij"), -1)
    for _ in range(4):
        weights, loc = rng.dirichlet(np.ones(3)), rng.uniform(-3, 3, (3, 2))
        scale = rng.uniform(0.5, 1.2, (3, 2))
        posterior = {
            "weights": (("chain", "draw", "cluster"), weights[None, None]),
            "loc": (("chain", "draw", "cluster", "feature"), loc[None, None]),
            "scale": (("chain", "draw", "cluster", "feature"), scale[None, None]),
        }
        groups = {"posterior": xr.Dataset(posterior), "observed_data": rows(5, features=2)}
        tree = as_fit(groups, clusters=3, kind="point", method="em")
        density = sum(
            w * multivariate_normal(m, np.diag(s**2)).pdf(grid)
            for w, m, s in zip(weights, loc, scale, strict=True)
        )
        brute = int((density == maximum_filter(density, 3)).sum())
        assert count_modes(tree, np.ones(2))[0] == brute


# ---- pages, demo and command line ----------------------------------------------------------------


def test_plain_numbers() -> None:
    arguments = {"a": np.float32(0.5), 2: [np.int64(3), float("inf")], "c": {"d": np.ones(2)}}
    assert json.loads(json.dumps(plain(arguments), allow_nan=False)) == {
        "a": 0.5, "2": [3, None], "c": {"d": [1.0, 1.0]},
    }  # fmt: skip


def test_demo_index_shows_every_answer(outcome: Callable, parsed: Callable, tmp_path: Path) -> None:
    actual = {name: outcome(name) for name in ("digits", "images", "kmeans_limit")}
    folder = next(iter(actual.values())).folder
    (tmp_path / "index.html").write_text(demo.index_page(folder, list(actual), 1.0), "utf-8")
    page = parsed(tmp_path / "index.html")
    assert len(page.all("img", "src")) == len(actual)
    assert all(source.startswith("data:") for source in page.all("img", "src"))
    assert set(page.all("a", "href")) == {f"{name}.html" for name in actual}
    for name, one in actual.items():
        assert (folder / f"{name}.html").is_file()
        assert one.answer.split("\n\n")[0] in page.text


def test_demo_ends_with_the_path_of_its_index(
    outcome: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [run.func for run in demo.SMOKE.values()] == [names.run]
    assert demo.SMOKE["names"].keywords == {"smoke": True}
    folder = outcome("digits").folder  # what such a run has left there
    copied = partial(shutil.copytree, folder, dirs_exist_ok=True)
    monkeypatch.setattr(demo, "SMOKE", {"digits": copied})
    monkeypatch.setattr(sys, "argv", ["demo", "--smoke", "--out", str(tmp_path / "d")])
    assert demo.main() == 0
    said = capsys.readouterr()
    index = Path(said.out.splitlines()[-1])
    assert index == (tmp_path / "d" / "index.html").resolve() and index.is_file()
    assert "[1/1] digits" in said.err


def test_command_line_refuses_a_file_as_folder(
    every: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine", "utf-8")
    monkeypatch.setattr(sys, "argv", [every, "--smoke", "--out", str(tmp_path / "taken")])
    experiment = importlib.import_module(f"experiments.{every}")
    assert command(experiment.run, experiment.__doc__) == 2
    said = capsys.readouterr()
    assert "is a file" in said.err and not said.out
    assert (tmp_path / "taken").read_text("utf-8") == "mine"
