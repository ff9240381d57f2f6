"""Sparse n-gram chains: counts, properness, and smoothing by its published formulas."""

from __future__ import annotations

from collections import Counter
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from nltk.lm import KneserNeyInterpolated
from nltk.util import everygrams

from ppl_models.distributions.sequences.autoregressive import Autoregressive
from ppl_models.distributions.sequences.ngram_chain import NgramChain, smoothed
from ppl_models.distributions.sequences.ngrams import count_ngrams
from ppl_models.errors import InputError
from ppl_models.inference.methods.kneser_ney import closed_form, frequencies

V, ORDER = 4, 3
END, START = V, "<start>"
_generator = np.random.default_rng(3)
SEQUENCES = [
    _generator.choice(V - 1, size=length, p=[0.6, 0.3, 0.1]).tolist()
    for length in _generator.integers(1, 7, 25)
]  # token 3 is never seen


def rows(sequences, positions):
    table = np.full((len(sequences), positions), END)
    for row, sequence in zip(table, sequences, strict=True):
        row[: len(sequence)] = sequence
    return table


CODES = rows(SEQUENCES, 8)


def grams(sequences=SEQUENCES, order=ORDER):
    """All (context, token) with the longest context, which stops at the start."""
    for sequence in sequences:
        line = [START, *sequence, END]
        for place in range(1, len(line)):
            yield tuple(line[max(0, place - order + 1) : place]), line[place]


def customers(order=ORDER):
    """Customers by context and token where every entry has one table."""
    levels = [Counter() for _ in range(order)]
    for context, token in grams(order=order):
        levels[len(context)][context, token] += 1
    for length in range(order - 1, 0, -1):
        for context, token in levels[length]:
            levels[length - 1][context[1:], token] += 1
    return levels


@pytest.fixture(scope="module")
def seen():
    return count_ngrams(CODES, vocabulary=V, order=ORDER)


def chain_of(seen, discount, concentration=None, tables=None):
    tables = np.ones(len(seen.repeated)) if tables is None else tables
    concentration = np.zeros(seen.order) if concentration is None else concentration
    return NgramChain(seen, *smoothed(seen, tables, discount, concentration), positions=8)


def drawn_chain(seen):
    """Some hierarchical Pitman-Yor chain: as many tables as there can be."""
    tables = np.where(np.asarray(seen.length)[seen.within[seen.repeated]] < ORDER - 1, 1, 2)
    return chain_of(seen, [0.4, 0.6, 0.8], [0.7, 0.2, 1.5], tables)


def test_counts_are_those_of_a_dictionary(seen):
    parent = np.zeros(len(seen.back), int)
    for context in range(len(seen.back)):
        parent[seen.children[context] : seen.children[context + 1]] = context

    def name(context):
        words = []
        while context:
            back = int(seen.back[context])
            words.append(START if back == V else back)
            context = parent[context]
        return tuple(words)

    actual = np.asarray(seen.customers(jnp.ones(len(seen.token), int)))
    wanted = {key: count for level in customers() for key, count in level.items()}
    entries = [(name(c), int(t)) for c, t in zip(seen.within, seen.token, strict=True)]
    assert dict(zip(entries, actual.tolist(), strict=True)) == wanted
    assert [len(name(c)) for c in range(len(seen.back))] == seen.length.tolist()
    every = Counter()
    for context, token in grams():
        for cut in range(len(context) + 1):
            every[context[cut:], token] += 1
    assert {entries[e] for e in seen.repeated} == {key for key, n in every.items() if n > 1}
    for entry, (context, token) in enumerate(entries):
        if context:
            assert entries[seen.shorter[entry]] == (context[1:], token)


@pytest.fixture(scope="module")
def everywhere(seen):
    """Every state that there is, seen or not: the probabilities of all that may follow."""
    with jax.enable_x64(True):
        chain = drawn_chain(seen)
        states = [s for s in product(range(-1, V + 1), repeat=ORDER - 1) if proper(s)]
        return states, np.exp(jax.jit(chain.following)(jnp.array(states)))


def proper(recent):
    """The nearest token first; before the start there is nothing."""
    return recent[0] >= 0 and (recent[1] >= 0) == (recent[0] < V)


def test_every_context_seen_or_not_adds_up_to_one(everywhere):
    states, actual = everywhere
    assert len(states) == V * (V + 1) + 1
    assert (actual > 0).all()
    np.testing.assert_allclose(actual.sum(-1), 1, rtol=1e-12)


def test_probabilities_of_rows_need_no_table_of_all_tokens(seen):
    """What perplexity asks for: arrays as large as the rows, whatever the vocabulary."""
    many = 2000
    large = count_ngrams(np.where(CODES == V, many, CODES), vocabulary=many, order=ORDER)
    value = jnp.asarray(np.where(CODES == V, many, CODES))
    chain = chain_of(large, [0.4, 0.6, 0.8])
    equations = jax.make_jaxpr(chain.taken_each)(value).jaxpr.eqns
    largest = max(v.aval.size for equation in equations for v in equation.outvars)
    assert largest <= value.size * ORDER < many
    expected = Autoregressive.taken_each(chain, value)
    np.testing.assert_allclose(chain.taken_each(value), expected, rtol=1e-10)


def test_tokens_of_rows_have_the_probabilities_that_follow(seen, everywhere):
    states, actual = everywhere
    place = {state: i for i, state in enumerate(states)}
    value = rows([[3, 3, 0], [0, 1, 2, 3], [1], []], 8)
    steps = np.exp(jax.jit(drawn_chain(seen).steps)(value))
    for row, step in zip(value, steps, strict=True):
        line = [-1, V, *row]
        for at, token in enumerate(row):
            expected = (
                actual[place[line[at + 1], line[at]]][token] if line[at + 1] < V or not at else 1
            )
            assert step[at] == pytest.approx(expected, rel=1e-12)
            if token == END:
                break
        assert (step[at + 1 :] == 1).all()


def test_all_sequences_add_up_to_one(seen):
    """Sequences of up to five tokens end in time; the others are still alive there."""
    ended = rows([s for n in range(5) for s in product(range(V), repeat=n)], 5)
    alive = np.array(list(product(range(V), repeat=5)))
    log_prob = jax.jit(drawn_chain(seen).log_prob)(np.concatenate([ended, alive]))
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-12)


def test_draws_have_the_probabilities(seen):
    chain, count = drawn_chain(seen), 40_000
    drawn = np.asarray(jax.jit(lambda key: chain.sample(key, (count,)))(random.key(0)))
    assert drawn.shape == (count, 8)
    common = Counter(map(tuple, drawn.tolist())).most_common(40)
    expected = np.exp(chain.log_prob(jnp.array([row for row, _ in common])))
    for (_, seen_times), p in zip(common, expected, strict=True):
        assert abs(seen_times / count - p) < 5 * np.sqrt(p * (1 - p) / count)


@pytest.mark.parametrize("order", [2, 3])
def test_interpolated_kneser_ney_is_that_of_nltk(order):
    """Where NLTK's convention agrees: contexts that are as long as the order asks for."""
    discount = 0.1
    text = [[START, *map(str, s), "e"] for s in SEQUENCES]
    peer = KneserNeyInterpolated(order, discount=discount)
    peer.fit([list(everygrams(x, max_len=order)) for x in text], [w for x in text for w in x])
    seen = count_ngrams(CODES, vocabulary=V, order=order)
    discounts = [0.0, *[discount] * (order - 1)]  # NLTK's unigrams are not discounted
    actual = np.exp(jax.jit(chain_of(seen, discounts).steps)(CODES))
    for line, steps in zip(text, actual, strict=True):
        for at in range(order - 1, len(line)):
            expected = peer.score(line[at], line[at - order + 1 : at])
            assert steps[at - 1] == pytest.approx(expected, rel=1e-12)


def modified(token, context, levels, discounts):
    """Chen and Goodman (1999), equations of section 4.1.6, over Heafield's adjusted counts."""
    shorter = 1 / (V + 1)
    for cut in range(len(context), -1, -1):
        u = context[cut:]
        here = {t: c for (v, t), c in levels[len(u)].items() if v == u}
        if not here:
            continue
        d = discounts[len(u)]
        lost = sum(d[min(c, 3) - 1] for c in here.values())
        count = here.get(token, 0)
        selected = count - d[min(count, 3) - 1] if count else 0
        shorter = (selected + lost * shorter) / sum(here.values())
    return shorter


def test_modified_kneser_ney_is_the_published_formula(seen):
    levels = customers()
    frequency = [Counter(level.values()) for level in levels]
    assert frequencies(seen).tolist() == [[f[k] for k in (1, 2, 3, 4)] for f in frequency]
    discounts = []
    for f in frequency:
        y = f[1] / (f[1] + 2 * f[2]) if f[1] else np.nan
        three = [k - (k + 1) * y * f[k + 1] / f[k] if f[k] else np.nan for k in (1, 2, 3)]
        usable = all(0 <= d <= k for k, d in enumerate(three, start=1))
        discounts.append(three if usable else [0.5, 1.0, 1.5])
    notes: list[str] = []
    ours = [closed_form(f, (3,), notes, m) for m, f in enumerate(frequencies(seen))]
    np.testing.assert_allclose(ours, discounts, rtol=1e-12)
    assert len(notes) == sum(d == [0.5, 1.0, 1.5] for d in discounts) < ORDER
    value = rows([[0, 1, 2, 0], [3, 0, 0, 2], [2, 2, 1]], 8)
    actual = np.exp(jax.jit(chain_of(seen, np.array(discounts)).steps)(value))
    for row, steps in zip(value, actual, strict=True):
        line = [START, *row[: row.tolist().index(END)].tolist(), END]
        for at in range(1, len(line)):
            expected = modified(line[at], tuple(line[max(0, at - 2) : at]), levels, discounts)
            assert steps[at - 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_without_discounts_the_likelihood_is_that_of_shares(order):
    pairs = Counter(grams(order=order))
    contexts = Counter(context for context, _ in grams(order=order))
    expected = sum(n * np.log(n / contexts[u]) for (u, _), n in pairs.items())
    seen = count_ngrams(CODES, vocabulary=V, order=order)
    assert float(chain_of(seen, np.zeros(order)).log_prob(jnp.array(CODES)).sum()) == pytest.approx(
        expected, rel=1e-12
    )


def test_single_precision_loses_digits_only(seen):
    exact = jax.jit(drawn_chain(seen).log_prob)(CODES)
    with jax.enable_x64(False):
        rough = drawn_chain(seen).log_prob(jnp.array(CODES))
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, exact, rtol=1e-5)


def test_missing_tokens_are_refused_and_never_made_up(seen):
    gap = np.where(CODES == 1, -1, CODES)
    with pytest.raises(InputError, match="sequence 0 of the tokens has a token that is not known"):
        count_ngrams(gap[(gap < 0).any(1)], vocabulary=V, order=2)
    assert np.isnan(drawn_chain(seen).log_prob(jnp.array([0, -1, END])))
    for order in (0, 1.5, True):
        with pytest.raises(InputError, match="order is"):
            count_ngrams(CODES, vocabulary=V, order=order)
