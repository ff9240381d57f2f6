"""Sequences token by token: predicted, written and filled in, against enumeration by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp

from ppl_models import fit, generate, impute, log_density, perplexity, token_probabilities
from ppl_models.data import Vocabulary
from ppl_models.errors import InputError

LETTERS = "abc"


@pytest.fixture(scope="module")
def drawn(built_ins, trees):
    """A mixture of two chains with draws, few enough to go through by hand."""
    return trees(built_ins["chain_mixture"], "gibbs", chains=2, warmup=1, draws=4, starts=0,
                 relabel=None, predictive=0)  # fmt: skip


def _draws(tree):
    posterior = tree["posterior"].dataset.stack(sample=("chain", "draw"))
    return {n: posterior[n].transpose("sample", ...).values for n in posterior.data_vars}


def _joint(tree, sequence, end):
    """log P(draw's cluster) P(sequence), by draw and cluster; with or without its ``<end>``."""
    actual = _draws(tree)
    codes = [LETTERS.index(letter) for letter in sequence]
    total = np.log(actual["weights"]) + np.log(actual["initial"][:, :, codes[0]])
    for before, after in zip(codes, [*codes[1:], *([3] if end else [])], strict=False):
        total = total + np.log(actual["transition"][:, :, before, after])
    return total


def test_probabilities_weigh_draws_and_clusters_by_what_was_read(drawn):
    sequences = ["abca", "b", "ccb"]
    probabilities = token_probabilities(drawn, sequences)
    assert probabilities.dims == ("sequence", "position")
    for row, sequence in zip(probabilities.values, sequences, strict=True):
        ways = [(sequence[:n], False) for n in range(1, len(sequence) + 1)] + [(sequence, True)]
        totals = [logsumexp(_joint(drawn, *way)) - np.log(8) for way in ways]
        expected = np.exp(np.diff(totals, prepend=0.0))
        np.testing.assert_allclose(row[: len(expected)], expected, rtol=1e-10)
        assert np.isnan(row[len(expected) :]).all()
    each = log_density(drawn, sequences).values
    np.testing.assert_allclose(np.log(probabilities).sum("position"), each, rtol=1e-10)


def test_the_table_holds_every_token_that_might_have_come(drawn):
    sequences = ["ab", "cab"]
    one = token_probabilities(drawn, sequences)
    every = token_probabilities(drawn, sequences, every=True)
    assert every.dims == ("sequence", "position", "next_token")
    assert every["next_token"].values.tolist() == ["a", "b", "c", "<end>"]
    np.testing.assert_allclose(every.sel(next_token="b")[:, 1][0], one[0, 1], rtol=1e-10)
    np.testing.assert_allclose(every.sel(next_token="<end>")[0, 2], one[0, 2], rtol=1e-10)
    inside = ~np.isnan(one.values)
    np.testing.assert_allclose(every.sum("next_token").values[inside], 1, rtol=1e-10)
    assert np.isnan(every.values[~inside]).all()


def test_perplexity_counts_the_end_and_averages_draws_before_the_logarithm(drawn):
    actual = perplexity(drawn, ["abca", "b"])
    assert int(actual["tokens"]) == 7
    nats = -log_density(drawn, ["abca", "b"]).values.sum() / 7
    np.testing.assert_allclose(actual["nats_per_token"], nats, rtol=1e-10)
    np.testing.assert_allclose(actual["bits_per_token"], nats / np.log(2), rtol=1e-10)
    np.testing.assert_allclose(actual["perplexity"], np.exp(nats), rtol=1e-10)


def test_what_cannot_be_predicted_is_refused(drawn, built_ins, trees):
    for predict in (perplexity, token_probabilities):
        with pytest.raises(InputError, match="sequence 1 of tokens has tokens that are not known"):
            predict(drawn, [["a"], ["a", None]])
        with pytest.raises(InputError, match="gaussian_mixture does not write sequences"):
            predict(trees(built_ins["gaussian_mixture full"]))


def _shares(made):
    codes, counts = np.unique(made["tokens"].values, axis=0, return_counts=True)
    return {tuple(c): n / counts.sum() for c, n in zip(codes.tolist(), counts, strict=True)}


def test_what_goes_on_from_given_tokens_has_its_probability_given_them(drawn):
    """Draws and clusters that make the prefix likely are chosen more often."""
    count = 4000
    with pytest.warns(UserWarning, match="were cut at 4 positions"):
        made = generate(drawn, count, seed=1, length=4, prefix="ca")
    proportions, begun = _shares(made), logsumexp(_joint(drawn, "ca", False))
    for rest in [(t, u) for t in range(4) for u in range(4) if t < 3 or u == 3]:
        tail = "".join(LETTERS[t] for t in rest if t < 3)
        p = np.exp(logsumexp(_joint(drawn, f"ca{tail}", rest[-1] == 3)) - begun)
        seen = proportions.get((2, 0, *rest), 0.0)
        assert abs(seen - p) < 5 * np.sqrt(p * (1 - p) / count) + 1e-9
    assert sum(n for c, n in proportions.items() if c[:2] == (2, 0)) == pytest.approx(1)
    np.testing.assert_array_equal(made["cut"].values, made["tokens"].values[:, -1] != 3)


def test_tokens_are_chosen_as_asked(built_ins, trees):
    tree = trees(built_ins["markov_chain"])
    transition = tree["posterior"]["transition"].values[0, 0]
    options = {"seed": 0, "length": 30, "prefix": ["b"]}
    sharp = generate(tree, 3000, temperature=0.5, **options)["tokens"].values
    expected = transition[1] ** 2 / (transition[1] ** 2).sum()
    seen = np.bincount(sharp[:, 1], minlength=4) / 3000
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected * (1 - expected) / 3000)).all()
    for choice in ({"top_k": 2}, {"top_p": 0.5}):
        some = generate(tree, 300, **choice, **options)["tokens"].values[:, 1]
        ranked = np.argsort(-transition[1])
        enough = int((np.cumsum(transition[1][ranked]) < 0.5).sum()) + 1
        selected = 2 if "top_k" in choice else enough
        assert set(some.tolist()) == set(ranked[:selected].tolist())


@pytest.mark.filterwarnings("ignore:.*sequences were cut")
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": -1.0}, "temperature is -1.0: give a number from 0 up"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0: give a whole number from 1 up"),
        ({"top_p": 0.0}, "top_p is 0.0: give a probability above 0"),
        ({"prefix": "ax"}, "holds the unknown token 'x': the known ones are 'a', 'b', 'c'"),
        ({"prefix": ["a", None]}, "prefix holds None at position 1: give known tokens only"),
        ({"prefix": "aaa", "length": 3}, "prefix has 3 tokens and length is 3: raise length"),
        ({"length": 1}, "length is 1: a token and <end> need at least 2"),
    ],
)
def test_choices_that_make_no_sense_are_refused(built_ins, trees, wrong, words):
    with pytest.raises(InputError, match=words):
        generate(trees(built_ins["markov_chain"]), 2, seed=0, **wrong)


def test_rows_that_are_no_sequences_are_not_written(built_ins, trees):
    with pytest.raises(InputError, match="gaussian_mixture does not write sequences"):
        generate(trees(built_ins["gaussian_mixture full"]), 2, seed=0, temperature=0.5)


def test_the_most_probable_filling_is_the_best_of_all_with_its_cluster(built_ins, trees):
    tree = trees(built_ins["chain_mixture"])
    gaps = [["a", None, None, "b"], [None, "c"], ["b", "a"]]
    made = impute(tree, gaps, seed=0, most_probable=True)["tokens"]
    assert made.shape == (1, 3, 5)
    for row, gap in zip(made.values[0], gaps, strict=True):
        choices = [LETTERS if token is None else token for token in gap]
        best = max(product(*choices), key=lambda s: _joint(tree, s, True).max())
        assert row.tolist()[: len(gap)] == [LETTERS.index(letter) for letter in best]
        assert (row[len(gap) :] == 3).all()
    with pytest.raises(InputError, match="FullGaussian have no most probable filling"):
        full = built_ins["gaussian_mixture full"]
        impute(trees(full), full.data, seed=0, most_probable=True)


def test_fits_are_read_in_a_given_vocabulary_and_remember_it():
    vocabulary = Vocabulary.from_sequences(["abba", "ac"], unknown="<unk>", min_count=2)
    tree = fit("markov_chain", ["abba", "acxb"], method="em", seed=0, vocabulary=vocabulary,
               predictive=0)  # fmt: skip
    assert tree["posterior"]["token"].values.tolist() == ["a", "b", "<unk>"]
    assert tree["observed_data"]["tokens"].values.tolist() == [[0, 1, 1, 0, 3], [0, 2, 2, 1, 3]]
    same = log_density(tree, ["az", "ay"]).values
    assert same[0] == same[1]
    with pytest.raises(InputError, match="unknown token 'q': the known ones are 'a', 'z'"):
        fit("markov_chain", ["aq"], method="em", seed=0, vocabulary=Vocabulary(("a", "z")))


def test_missing_tokens_of_a_mixture_are_expected_by_em():
    """EM climbs the likelihood with gaps summed out: its mode has no slope left."""
    sequences = [["a", None, "b"], ["b", "b"], [None, "a", "a"], ["a", "b", None, "b"], ["b", "a"]]
    tree = fit("chain_mixture", sequences, method="em", seed=0, clusters=2, predictive=0, starts=2,
               tolerance=1e-13, concentration=2.0, initial_concentration=1.5,
               transition_concentration=1.5)  # fmt: skip
    objective = tree["path"]["objective"].values
    assert (np.diff(objective) > -1e-9).all() and tree["starts"]["converged"].values.all()
    point = {n: v.values[0, 0] for n, v in tree["posterior"].data_vars.items()}

    def density(moved):
        total = np.log(moved["weights"]).sum() + 0.5 * sum(
            np.log(moved[n]).sum() for n in ("initial", "transition")
        )
        for sequence in sequences:
            choices = [range(2) if t is None else ["ab".index(t)] for t in sequence]
            logs = []
            for codes in product(*choices):
                each = np.log(moved["weights"]) + np.log(moved["initial"][:, codes[0]])
                for before, after in zip(codes, [*codes[1:], 2], strict=True):
                    each = each + np.log(moved["transition"][:, before, after])
                logs.append(each)
            total += logsumexp(logs)
        return total

    here, generator = density(point), np.random.default_rng(0)
    for _ in range(40):
        moved = {n: np.exp(np.log(v) + 1e-3 * generator.normal(size=v.shape))
                 for n, v in point.items()}  # fmt: skip
        moved = {n: v / v.sum(-1, keepdims=True) for n, v in moved.items()}
        assert density(moved) < here
