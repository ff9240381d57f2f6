"""The other half of the experiments: apart, so that two processes share the smoke runs.

The numbers are checked against closed forms, published values and brute force, not against
earlier runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import gammaln
from sklearn.metrics import adjusted_rand_score

from experiments import clickstreams, earthquakes, words
from ppl_models.data import click_streams


def test_page_holds_answer_pictures_and_essay(name: str, page_is_whole: Callable) -> None:
    page_is_whole(name)


def test_answers_are_computed_from_the_numbers(name: str, answer_is_computed: Callable) -> None:
    answer_is_computed(name)


# ---- clickstreams --------------------------------------------------------------------------------


@pytest.mark.long
def test_clickstreams_finds_the_kinds_that_differ_in_order_alone(outcome: Callable) -> None:
    numbers = outcome("clickstreams").numbers
    assert numbers["clusters"] == numbers["kinds"] == 4
    for where in ("fitted", "held out"):
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
    assert numbers["rand"]["held out"][clickstreams.TRUTH] == pytest.approx(
        adjusted_rand_score(kind[fitted:], best)
    )


# ---- earthquakes --------------------------------------------------------------------------------


@pytest.mark.long
def test_earthquakes_reach_the_published_maxima(outcome: Callable) -> None:
    numbers = outcome("earthquakes").numbers
    table = numbers["table"]
    for states, published in earthquakes.PUBLISHED.items():
        if str(states) in table["published"]:
            assert table["−log-likelihood"][str(states)] < published + 1e-3
    actual, price = table["−log-likelihood"]["2"], table["parameters"]["2"]
    assert table["BIC"]["2"] == pytest.approx(2 * actual + price * np.log(107))
    assert numbers["best"] == 2  # of one and two
    low, high = numbers["states"]["earthquakes a year"]
    assert abs(low - 15.5) < 2 and abs(high - 26.1) < 3


@pytest.mark.long
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


# ---- words ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_words_perplexity_of_single_words_is_counting(outcome: Callable) -> None:
    actual = outcome("words").numbers
    train, test = words.split(words.manual(), words.SMOKE)
    everything = list(map(tuple, words.manual()))
    assert len(set(everything)) == len(everything)  # no sentence on both sides
    assert len(train) + len(test) == words.SMOKE.sentences
    counts = Counter(w for s in train for w in [*s, "<end>"])
    often = Counter(counts.values())
    few = often[1] + 2 * often[2]
    discount = often[1] / few if few else 0.5  # the stand-in where nothing occurs once or twice
    total, size = sum(counts.values()), len(counts)  # every word of the vocabulary was seen
    proportion = {
        w: (c - discount + discount * len(counts) / size) / total for w, c in counts.items()
    }
    logs = [np.log(proportion[w]) for s in test for w in [*s, "<end>"]]
    one = actual["perplexity"][words.KNESER_NEY]["1"]
    assert one == pytest.approx(np.exp(-np.mean(logs)), rel=1e-9)


@pytest.mark.long
def test_words_need_contexts_and_discounts(outcome: Callable) -> None:
    perplexity = outcome("words").numbers["perplexity"]
    for by_order in perplexity.values():
        assert by_order["3"] < by_order["1"] / 2
    ours = perplexity[words.PITMAN_YOR]["3"]
    assert ours < perplexity[words.DIRICHLET]["3"] / 1.05
    assert ours < perplexity[words.MODIFIED]["3"] * 1.02  # short runs on few words
