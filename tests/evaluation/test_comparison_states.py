"""Choosing the number of hidden states: likelihoods, counted parameters, and what is left out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ppl_models.data import earthquakes
from ppl_models.errors import InputError
from ppl_models.evaluation.choose_clusters import choose_clusters
from ppl_models.evaluation.choose_states import notes
from ppl_models.plots import plot_comparison

STEPS = 4


@pytest.fixture(scope="module")
def counts() -> list[list[float]]:
    """Short sequences of two states, and one step that is missing."""
    generator = np.random.default_rng(0)
    rows = [
        generator.poisson(9.0 * (generator.random(STEPS) < 0.5) + 1).tolist() for _ in range(12)
    ]
    rows[3][1] = float("nan")
    return rows


@pytest.fixture(scope="module")
def table(counts) -> pd.DataFrame:
    return choose_clusters(
        "hidden_markov", counts, (1, 2), seed=0, emission="poisson", starts=3, heldout=0.25,
        over={"order": (1,)},
    )  # fmt: skip


@pytest.mark.long
def test_two_states_are_found_and_their_parameters_counted(table):
    assert table.attrs["best"] == {"order": 1, "states": 2}
    assert table.attrs["notes"] == [] and np.isfinite(table["heldout"]).all()
    by_states = table.set_index("states")
    # a rate a state; with two, a share of the first state and a share in each row
    assert by_states["parameters"].to_dict() == {1: 1, 2: 5}
    assert table["converged"].all() and not table["collapsed"].any()


def test_criteria_count_observed_steps(table):
    """Nine of twelve sequences are fitted, with or without the one that lacks a step."""
    price = (table["bic"] + 2 * table["log_likelihood"]) / table["parameters"]
    steps = np.exp(price)
    np.testing.assert_allclose(steps, round(steps[0]))
    assert round(steps[0]) in (9 * STEPS, 9 * STEPS - 1)
    np.testing.assert_allclose(table["aic"], 2 * table["parameters"] - 2 * table["log_likelihood"])
    alone = table.set_index("states").loc[1]
    assert alone["icl"] == pytest.approx(alone["bic"])  # one path alone is possible
    two = table.set_index("states").loc[2]
    assert two["icl"] > two["bic"]


def test_one_state_is_independent_counts(table, counts):
    """In closed form, for the three sequences that were kept out and those that were not."""
    row = table.set_index("states").loc[1]
    actual = row[["log_likelihood", "heldout"]].to_numpy(float)
    expected = []
    for out in combinations(counts, 3):
        selected = np.concatenate([c for c in counts if c not in out])
        mean = np.nanmean(selected)
        complete, rest = (
            np.nansum(stats.poisson.logpmf(x, mean)) for x in (selected, np.ravel(out))
        )
        expected.append((complete, rest / 3))
    assert np.isclose(expected, actual, rtol=1e-8).all(1).any()


def test_a_single_sequence_cannot_be_left_out():
    """The table says so, and criteria that need it are refused."""
    series = earthquakes()["count"].to_frame()
    for more, what in (
        ({"criterion": "loo", "method": "gibbs"}, "leave-one-out"),
        ({"criterion": "heldout", "heldout": 0.2}, "heldout="),
    ):
        with pytest.raises(InputError, match=f"the data are one sequence, and {what} leaves out"):
            choose_clusters("hidden_markov", series, (1, 2), seed=0, emission="poisson", **more)
    assert "the data are one sequence" in notes(1)[0]
    assert "there are 4 sequences" in notes(4)[0] and notes(10) == []


def test_a_program_without_a_number_to_choose_is_refused():
    with pytest.raises(InputError, match="markov_chain has neither an argument 'clusters' nor"):
        choose_clusters("markov_chain", ["ab", "ba"], (1, 2), seed=0)


def test_the_table_is_drawn_by_states(table):
    picture = plot_comparison(table, criteria=["bic"])
    axes = picture.viz["plot"].item()
    assert axes.get_xlabel() == "states"
    (ring,) = [line for line in axes.lines if line.get_markersize() == 12]
    assert ring.get_xdata()[0] == 2
