"""Seating in restaurants, against every seating that there is; and what a fit of it can do."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import arviz as az
import numpy as np
import pytest

from ppl_models import fit, generate, load, log_density, loo, save
from ppl_models.distributions.sequences.ngrams import count_ngrams
from ppl_models.errors import InputError, UnsupportedError
from ppl_models.inference.pitman_yor.franchise import Franchise


def _oracle():
    name = "franchise_oracle"
    if name not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def rows(sequences, vocabulary):
    table = np.full((len(sequences), max(map(len, sequences)) + 1), vocabulary)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence)] = sequence
    return table


def names_of(seen):
    """(context, token) of every entry."""
    oracle, parent = _oracle(), np.zeros(len(seen.back), int)
    for context in range(len(seen.back)):
        parent[seen.children[context] : seen.children[context + 1]] = context

    def name(context):
        words = []
        while context:
            back = int(seen.back[context])
            words.append(oracle.START if back == seen.vocabulary else back)
            context = parent[context]
        return tuple(words)

    return [(name(c), int(t)) for c, t in zip(seen.within, seen.token, strict=True)]


#: order, sequences, discounts, concentrations
CASES = [
    (2, [[0, 0, 1], [0, 0], [1, 0, 0]], (0.5, 0.3), (1.0, 0.7)),
    (2, [[0, 0, 1], [0, 0], [1, 0, 0]], (0.0, 0.0), (1.0, 0.7)),
    (3, [[0, 0, 0], [0, 0, 0]], (0.4, 0.6, 0.3), (0.8, 0.5, 1.2)),
]


@pytest.mark.parametrize("case", CASES, ids=["Pitman-Yor", "Dirichlet", "three lengths"])
def test_tables_and_predictions_are_those_of_all_seatings(case):
    order, sequences, discount, concentration = case
    oracle, vocabulary = _oracle(), 2
    actual = oracle.occurrences(sequences, order, vocabulary)
    seen = count_ngrams(rows(sequences, vocabulary), vocabulary=vocabulary, order=order)
    entries = names_of(seen)
    asked = [(u, w) for u in {u for u, _ in entries} for w in range(vocabulary + 1)]

    def quantities(customers, tables):
        told = [tables[e] for e in entries]
        return [*told, *(
            oracle.probability(w, u, customers, tables, discount, concentration, vocabulary + 1)
            for u, w in asked
        )]  # fmt: skip

    everything = oracle.seatings(actual, order, discount, concentration, vocabulary + 1)
    weights, values = zip(*((w, quantities(c, t)) for w, c, t in everything), strict=True)
    expected = np.average(values, axis=0, weights=weights)
    franchise = Franchise(seen, np.random.default_rng(0))
    draws = []
    for _ in range(2000):
        franchise.move_customers(np.array(discount), np.array(concentration))
        tables = np.concatenate([level.tables_per_entry() for level in franchise.levels])
        served = np.asarray(seen.direct).copy()
        longer = np.asarray(seen.length)[seen.within] > 0
        np.add.at(served, seen.shorter[longer], tables[longer])
        named = dict(zip(entries, served.tolist(), strict=True))
        draws.append(quantities(named, dict(zip(entries, tables.tolist(), strict=True))))
    for found_values, wanted in zip(np.array(draws, float).T, expected, strict=True):
        if np.ptp(found_values) < 1e-12:
            assert found_values[0] == pytest.approx(wanted, rel=1e-9)
            continue
        ess = float(az.ess(found_values[None], method="mean"))
        assert ess > 150
        assert abs(found_values.mean() - wanted) < 5 * found_values.std() / np.sqrt(ess)


def test_parameters_given_a_seating_are_those_of_a_grid():
    sequences = np.random.default_rng(0).choice(6, (12, 3), p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    seen = count_ngrams(rows(sequences.tolist(), 6), vocabulary=6, order=2)
    franchise = Franchise(seen, np.random.default_rng(1))
    for _ in range(20):
        franchise.move_customers(np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    prior = (1.5, 2.0, 2.0, 1.5)  # Beta(1.5, 2), Gamma(2, 1.5)
    d, theta, draws = 0.5, 1.0, []
    for _ in range(4000):
        d, theta = franchise.draw_parameters(1, d, theta, *prior)
        draws.append((d, theta))
    grid_d, grid_theta = np.linspace(0.005, 0.995, 100), np.linspace(0.025, 8, 160)
    log = np.array(
        [[franchise.log_probability(np.array([0.5, x]), np.array([1.0, y])) for y in grid_theta]
         for x in grid_d]
    )  # fmt: skip
    log += (0.5 * np.log(grid_d) + np.log1p(-grid_d))[:, None]
    log += np.log(grid_theta) - 1.5 * grid_theta
    weight = np.exp(log - log.max())
    for values, actual in zip((grid_d[:, None], grid_theta), np.array(draws).T, strict=True):
        for power in (1, 2):
            expected = (weight * values**power).sum() / weight.sum()
            moved = actual**power
            ess = float(az.ess(moved[None], method="mean"))
            assert ess > 300
            # the grid's own error is below a thousandth
            assert abs(moved.mean() - expected) < 5 * moved.std() / np.sqrt(ess) + 1e-3 * expected


TEXT = [list(w) for w in ["abc", "abb", "bca", "a", "cab", "abca", "ab", "bcab"] * 3]
OPTIONS = {"order": 3, "chains": 2, "warmup": 5, "draws": 4, "thinning": 1}


@pytest.fixture(scope="module")
def tree():
    return fit("pitman_yor_chain", TEXT, method="pitman_yor_gibbs", seed=0, predictive=2, **OPTIONS)


def test_a_fit_names_its_parts_and_keeps_tables_apart(tree):
    posterior = tree["posterior"]
    assert posterior["discount"].dims == ("chain", "draw", "order")
    assert posterior["concentration"].dims == ("chain", "draw", "order")
    assert set(posterior.data_vars) == {"discount", "concentration"}
    assert (tree["hidden/tables"].values >= 1).all()
    assert "log_likelihood" not in tree.children  # sequences sit in the draws themselves
    with pytest.raises(InputError, match="none can be left out: compare log_density"):
        loo(tree)
    assert tree["posterior_predictive/tokens"].sizes["sequence"] == len(TEXT)
    assert np.isfinite(tree["sample_stats/lp"].values).all()
    assert "seen" not in tree.attrs["arguments"]


def test_a_loaded_fit_knows_new_sequences_as_before(tree, tmp_path):
    new = ["ac", "cccc", "b"]
    again = load(save(tree, tmp_path / "fit.nc"))
    before = log_density(tree, new)
    np.testing.assert_array_equal(log_density(again, new), before)
    by_draw = log_density(tree, new, by_draw=True)
    mean = np.log(np.exp(by_draw.values).mean((0, 1)))
    np.testing.assert_allclose(mean, before, rtol=1e-12)
    drawn = generate(again, 5, seed=1, length=30)
    assert drawn["tokens"].shape == (5, 30)


def test_one_table_and_no_concentration_is_kneser_ney(tree):
    """The same formula for both: with the discounts of closed form and nothing to seat."""
    point = fit("pitman_yor_chain", TEXT, method="kneser_ney", seed=0, predictive=2, order=3)
    assert point.attrs["kind"] == "point"
    assert (point["hidden/tables"].values == 1).all()
    assert (point["posterior/concentration"].values == 0).all()
    d = point["posterior/discount"].values[0, 0]
    words, levels = [w + "." for w in map("".join, TEXT)], [Counter() for _ in range(3)]
    for word in words:
        line = "^" + word
        for at in range(1, len(line)):
            context = line[max(0, at - 2) : at]
            levels[len(context)][context, line[at]] += 1
    for length in (2, 1):
        for context, token in levels[length]:
            levels[length - 1][context[1:], token] += 1

    def probability(token, context):
        shorter = probability(token, context[1:]) if context else 1 / 4
        here = {t: c for (u, t), c in levels[len(context)].items() if u == context}
        if not here:
            return shorter
        selected = max(here.get(token, 0) - d[len(context)], 0)
        return (selected + d[len(context)] * len(here) * shorter) / sum(here.values())

    for text in ("ab", "cc", "bacab"):
        line = "^" + text + "."
        expected = sum(
            np.log(probability(line[at], line[max(0, at - 2) : at])) for at in range(1, len(line))
        )
        assert float(log_density(point, [text])[0]) == pytest.approx(expected, rel=1e-12)


def test_discounts_can_be_held_at_zero():
    tree = fit("pitman_yor_chain", TEXT, method="pitman_yor_gibbs", seed=0, predictive=0,
               fixed={"discount": 0.0}, **OPTIONS)  # fmt: skip
    assert set(tree["posterior"].data_vars) == {"concentration"}
    assert np.isfinite(log_density(tree, ["abc", "cc"])).all()


def test_three_discounts_have_no_seating():
    with pytest.raises(
        UnsupportedError,
        match="'discount' has 3 for every length.*give discounts=1, or use method='kneser_ney'",
    ):
        fit("pitman_yor_chain", TEXT, method="pitman_yor_gibbs", seed=0, discounts=3)
    with pytest.raises(UnsupportedError, match="site 'tokens' emits from TokenChain"):
        fit("markov_chain", TEXT, method="pitman_yor_gibbs", seed=0)
