"""Every experiment runs, and its small version already gives the answer that it should.

The numbers are checked against closed forms, published values and brute force, not against
earlier runs.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import maximum_filter
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from experiments import (
    clickstreams,
    demo,
    digits,
    earthquakes,
    images,
    kmeans_fails,
    kmeans_limit,
    names,
    old_faithful,
    words,
)
from experiments._modes import climb, count_modes, distinct
from experiments._page import command, essay_blocks, plain
from ppl_models.cli import experiments as found_experiments
from ppl_models.data import click_streams, first_names, unequal

#: All there are: a new file is found by itself.
EXPERIMENTS = {
    name: importlib.import_module(f"experiments.{name}")
    for name in found_experiments.names()
    if name != "demo"  # shows the others
}
PARTS = ["Question", "Model", "What would count as an answer", "References"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """The smoke run of an experiment, run once: its page and what its JSON file holds."""
    folder, found = tmp_path_factory.mktemp("out"), {}

    def of(name: str) -> SimpleNamespace:
        if name not in found:
            page = EXPERIMENTS[name].run(folder, smoke=True)
            text = (folder / f"{name}.json").read_text(encoding="utf-8")
            found[name] = SimpleNamespace(page=page, folder=folder, **json.loads(text))
        return found[name]

    return of


class Page(HTMLParser):
    """Headings, images and links of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [found[attribute] for name, found in self.tags if name == tag and attribute in found]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_page_holds_answer_pictures_and_essay(name: str, outcome: Callable) -> None:
    found = outcome(name)
    page = Page(found.page)
    assert found.page == found.folder / f"{name}.html"
    pictures = page.all("img", "src")
    assert len(pictures) >= 2 and all(p.startswith("data:image/png;base64,") for p in pictures)
    assert all(link.startswith("#") for link in page.all("a", "href"))  # complete in itself
    assert [block.heading for block in essay_blocks(EXPERIMENTS[name].__doc__)] == PARTS
    words = " ".join(page.text.split())
    for paragraph in found.answer.split("\n\n"):
        assert " ".join(paragraph.split()) in words
    assert (found.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_answers_are_computed_from_the_numbers(name: str, outcome: Callable) -> None:
    found = outcome(name)
    assert EXPERIMENTS[name].answer(found.numbers) == found.answer
    assert len(re.findall(r"\d+[.]\d+|\d+%", found.answer)) >= 5


# ---- earthquakes --------------------------------------------------------------------------------


def test_earthquakes_reach_the_published_maxima(outcome: Callable) -> None:
    numbers = outcome("earthquakes").numbers
    table = numbers["table"]
    for states, published in earthquakes.PUBLISHED.items():
        if str(states) in table["published"]:
            assert table["−log-likelihood"][str(states)] < published + 1e-3
    found, price = table["−log-likelihood"]["2"], table["parameters"]["2"]
    assert table["BIC"]["2"] == pytest.approx(2 * found + price * np.log(107))
    assert numbers["best"] == 2  # of one and two
    low, high = numbers["states"]["earthquakes a year"]
    assert abs(low - 15.5) < 2 and abs(high - 26.1) < 3


def test_hidden_earthquakes_are_better_known_with_states(outcome: Callable) -> None:
    numbers = outcome("earthquakes").numbers
    assert numbers["table"]["hidden years"]["2"] > numbers["table"]["hidden years"]["1"]
    counts = earthquakes.earthquakes()["count"]
    masked, years = earthquakes.hide(counts, earthquakes.SMOKE.hidden)
    assert masked.isna().sum() == len(years) == numbers["hidden"]["years"]
    # independent years: the predictive density of the posterior Gamma, in closed form
    shown = masked.dropna()
    a, b = 1.5 + shown.sum(), 1.5 / shown.mean() + len(shown)
    hidden = counts.iloc[years]
    exact = gammaln(a + hidden.sum()) - gammaln(a) - gammaln(hidden + 1).sum()
    exact += a * np.log(b) - (a + hidden.sum()) * np.log(b + len(hidden))
    assert numbers["table"]["hidden years"]["1"] == pytest.approx(exact, abs=0.15)


# ---- clickstreams --------------------------------------------------------------------------------


def test_clickstreams_finds_the_kinds_that_differ_in_order_alone(outcome: Callable) -> None:
    numbers = outcome("clickstreams").numbers
    assert numbers["clusters"] == numbers["kinds"] == 4
    for where in ("fitted", "kept aside"):
        rand = numbers["rand"][where]
        assert rand[clickstreams.COUNTS] + 0.05 < rand[clickstreams.CHOSEN]
        # a thousand visits do not tell the chains as the true ones do
        assert rand[clickstreams.CHOSEN] > rand[clickstreams.TRUTH] - 0.25
    bits = numbers["bits"]
    assert bits[clickstreams.TRUTH] < bits[clickstreams.CHOSEN] < bits["one chain"] - 0.2
    first, later = (numbers["by_position"][n] for n in (clickstreams.CHOSEN, "one chain"))
    assert abs(first[0] - later[0]) < 0.1 and np.mean(first[4:]) < np.mean(later[4:]) - 0.2
    fitted, aside = clickstreams.SMOKE.visits, clickstreams.SMOKE.aside
    visits, kind = click_streams(clickstreams.SEED, fitted + aside)
    best = clickstreams.true_logits(visits[fitted:]).argmax(1)
    assert numbers["rand"]["kept aside"][clickstreams.TRUTH] == pytest.approx(
        adjusted_rand_score(kind[fitted:], best)
    )


# ---- names ---------------------------------------------------------------------------------------


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


def test_names_draws_are_the_closed_form_posterior(outcome: Callable) -> None:
    numbers = outcome("names").numbers
    # mean square of about 600 standardised deviations, nearly independent: 1 ± 0.06
    assert 0.7 < numbers["mean_square_standardised"] < 1.3
    assert numbers["largest_standardised"] < 6


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


# ---- words ---------------------------------------------------------------------------------------


def test_words_perplexity_of_single_words_is_counting(outcome: Callable) -> None:
    found = outcome("words").numbers
    train, test = words.split(words.manual(), words.SMOKE)
    everything = list(map(tuple, words.manual()))
    assert len(set(everything)) == len(everything)  # no sentence on both sides
    assert len(train) + len(test) == words.SMOKE.sentences
    counts = Counter(w for s in train for w in [*s, "<end>"])
    often = Counter(counts.values())
    few = often[1] + 2 * often[2]
    discount = often[1] / few if few else 0.5  # the stand-in where nothing occurs once or twice
    total, size = sum(counts.values()), len(counts)  # every word of the vocabulary was seen
    share = {w: (c - discount + discount * len(counts) / size) / total for w, c in counts.items()}
    logs = [np.log(share[w]) for s in test for w in [*s, "<end>"]]
    one = found["perplexity"][words.KNESER_NEY]["1"]
    assert one == pytest.approx(np.exp(-np.mean(logs)), rel=1e-9)


def test_words_need_contexts_and_discounts(outcome: Callable) -> None:
    perplexity = outcome("words").numbers["perplexity"]
    for by_order in perplexity.values():
        assert by_order["3"] < by_order["1"] / 2
    ours = perplexity[words.PITMAN_YOR]["3"]
    assert ours < perplexity[words.DIRICHLET]["3"] / 1.05
    assert ours < perplexity[words.MODIFIED]["3"] * 1.02  # short runs on few words


# ---- digits --------------------------------------------------------------------------------------


def test_product_of_bernoullis_by_its_formula(outcome: Callable) -> None:
    numbers = outcome("digits").numbers
    parts = digits.split(digits.SMOKE.rows)
    bits, test = parts["fitted"].bits, parts["judged by"].bits
    average = (bits.sum(0) + 1) / (len(bits) + 2)
    share = (bits.sum(0) + average) / (len(bits) + 1)  # the mode of Beta(1 + a + n₁, 2 - a + n₀)
    cell = np.where(test == 1, np.log(share), np.log1p(-share))
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


def test_right_mixture_beats_kmeans(outcome: Callable) -> None:
    numbers = outcome("kmeans_fails").numbers
    for name in kmeans_fails.SMOKE.cases:
        found = numbers["cases"][name]
        mean = found["mean"]
        assert mean[found["right"]] > mean["k-means"] + 0.1
        assert found["wins"] == numbers["seeds"] and found["losses"] == 0
        assert abs(mean["told"] - mean[found["right"]]) < 0.1
    assert numbers["cases"]["oddly shaped"]["mean"]["diagonal"] < 0.7  # the wrong shape


def test_told_labels_and_matching() -> None:
    x, truth = unequal(5, 400)
    assert (kmeans_fails.told(x.to_numpy(), truth) == truth).mean() > 0.97
    renamed = np.array([2, 0, 1])[truth]
    assert (kmeans_fails.matched(truth, renamed)[renamed] == truth).all()


# ---- Old Faithful --------------------------------------------------------------------------------


def test_old_faithful_reaches_published_values(outcome: Callable) -> None:
    found = outcome("old_faithful").numbers
    for (covariance, clusters), value in (
        old_faithful.PUBLISHED | old_faithful.INDEPENDENT
    ).items():
        line = found["em"].get(old_faithful.label((covariance, clusters)))
        if line is not None:
            assert line["log_likelihood"] >= value - 1e-3
    three = found["em"]["3 tied"]
    assert three["bic"] >= old_faithful.PRINTED["bic"] - 1e-2
    assert three["icl"] == pytest.approx(old_faithful.PRINTED["icl"], abs=1.0)
    assert three["bic"] == pytest.approx(2 * three["log_likelihood"] - 11 * np.log(272))
    assert found["best_bic"] == "3 tied" and found["best_icl"] == "2 tied"


def test_three_components_are_two_regimes(outcome: Callable) -> None:
    found = outcome("old_faithful").numbers
    assert found["em"]["3 tied"]["modes"] == found["em"]["2 tied"]["modes"] == 2
    sampled = found["loo"]["3 tied"]
    assert sampled["two modes"] > 0.75
    assert sampled["one mode"] + sampled["two modes"] + sampled["three modes"] == pytest.approx(1)
    assert sampled["largest Pareto k"] < 0.7
    # a mixture of three loses its own penalty out of sample, not more than a few nats
    assert -1150 < sampled["elpd"] < found["em"]["3 tied"]["log_likelihood"]


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
    shares = weights + 0.01 * rng.standard_normal((4, 50, 1)) * [1, -1]
    draws = {
        "weights": (("chain", "draw", "cluster"), shares),
        "loc": (("chain", "draw", "cluster", "feature"), loc),
        "scale": (("chain", "draw", "cluster"), np.ones((4, 50, 2))),
    }
    stats = {
        "lp": (("chain", "draw"), likelihood.sum(-1)),
        "diverging": (("chain", "draw"), np.zeros((4, 50), bool)),
    }
    coords = {"chain": range(4), "draw": range(50)}
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(draws, coords),
            "sample_stats": xr.Dataset(stats, coords),
            "log_likelihood": xr.Dataset({"x": (("chain", "draw", "row"), likelihood)}, coords),
        }
    )


@pytest.mark.parametrize(("distance", "modes"), [(1.9, 1), (2.1, 2), (6.0, 2)])
def test_two_equal_gaussians_part_at_two_deviations(distance: float, modes: int) -> None:
    loc = np.array([[[-distance / 2], [distance / 2]]])
    ends = climb(np.array([[0.5, 0.5]]), loc, np.ones((1, 2, 1, 1)))[0]
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
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})
        density = sum(
            w * multivariate_normal(m, np.diag(s**2)).pdf(grid)
            for w, m, s in zip(weights, loc, scale, strict=True)
        )
        brute = int((density == maximum_filter(density, 3)).sum())
        assert count_modes(tree, np.ones(2))[0] == brute


# ---- pages, demo and command line ----------------------------------------------------------------


def test_plain_numbers() -> None:
    given = {"a": np.float32(0.5), 2: [np.int64(3), float("inf")], "c": {"d": np.ones(2)}}
    assert json.loads(json.dumps(plain(given), allow_nan=False)) == {
        "a": 0.5, "2": [3, None], "c": {"d": [1.0, 1.0]},
    }  # fmt: skip


def test_demo_index_shows_every_answer(outcome: Callable, tmp_path: Path) -> None:
    found = {name: outcome(name) for name in demo.SELECTION}
    folder = next(iter(found.values())).folder
    (tmp_path / "index.html").write_text(demo.index_page(folder, list(found), 1.0), "utf-8")
    page = Page(tmp_path / "index.html")
    assert len(page.all("img", "src")) == len(found)
    assert all(source.startswith("data:") for source in page.all("img", "src"))
    assert set(page.all("a", "href")) == {f"{name}.html" for name in found}
    for name, one in found.items():
        assert (folder / f"{name}.html").is_file()
        assert one.answer.split("\n\n")[0] in page.text


def test_demo_ends_with_the_path_of_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--smoke", "--out", str(tmp_path / "d")])
    assert demo.main() == 0
    said = capsys.readouterr()
    index = Path(said.out.splitlines()[-1])
    assert index == (tmp_path / "d" / "index.html").resolve() and index.is_file()
    assert "[1/1] names" in said.err


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_command_line_refuses_a_file_as_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("mine", "utf-8")
    monkeypatch.setattr(sys, "argv", [name, "--smoke", "--out", str(tmp_path / "taken")])
    assert command(EXPERIMENTS[name].run, EXPERIMENTS[name].__doc__) == 2
    said = capsys.readouterr()
    assert "is a file" in said.err and not said.out
    assert (tmp_path / "taken").read_text("utf-8") == "mine"


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


def test_images_compare_probabilities(outcome: Callable) -> None:
    """All programs beat a coin for every pixel; a difference is that of the table."""
    numbers = outcome("images").numbers
    nats, best = numbers["nats"], numbers["best"]
    assert set(nats) == {"mixture", *images.SMOKE.programs}
    assert all(0 < value < 64 * np.log(2) for value in nats.values())
    assert numbers["gain"] == pytest.approx(nats["mixture"] - nats[best], abs=1e-3)
    assert numbers["right_digit_whole"] > max(numbers["right_digit"].values())
