"""Chains of any order: order 1 is the Markov chain; published and re-derived numbers of names."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import gammaln

from ppl_models import fit, memory, perplexity
from ppl_models.errors import InputError
from ppl_models.models.markov_chain import markov_chain
from ppl_models.models.ordered_chain import ordered_chain
from ppl_models.program.model import Model

NAMES = Path(__file__).parents[3] / "shared" / "reference" / "tokens" / "names.txt"
SEQUENCES = ["abc", "bb", "caab", "a", "ccb", "ba", "aacb", "c"]


@pytest.fixture(scope="module")
def names():
    if not NAMES.is_file():
        pytest.skip("the list of 32,033 names is not there")
    return NAMES.read_text().split()


def test_order_one_is_the_markov_chain(programs):
    row = next(r for r in programs if r.name == "markov_chain")
    models = [
        Model(f, {"tokens": row.data}, {"vocabulary": 3, **more}, {})
        for f, more in ((markov_chain, {}), (ordered_chain, {"order": 1}))
    ]
    structures = [m.structure() for m in models]
    assert structures[0] == structures[1]
    values = structures[0].initial(jax.random.key(0))
    pairs = [(m.logits(values, s), m.pieces(values, s).log_prior)
             for m, s in zip(models, structures, strict=True)]  # fmt: skip
    jax.tree.map(np.testing.assert_array_equal, *pairs)


def _evidence(sequences, order):
    """log P(sequences), each predicted from those before it, token by token (Polya urns)."""
    letters = sorted(set("".join(sequences)))
    seen, total = {}, 0.0
    for sequence in sequences:
        for place, token in enumerate([*sequence, None]):
            context = sequence[max(0, place - order) : place]
            urn = seen.setdefault(context, {})
            choices = len(letters) + (place > 0)  # <end> is never first
            own = urn.get(token, 0) + 1 + 1 / choices
            total += np.log(own / (sum(urn.values()) + choices + 1))
            urn[token] = urn.get(token, 0) + 1
    return total


@pytest.mark.parametrize("order", [1, 2])
def test_log_evidence_is_that_of_predicting_one_after_the_other(order):
    tree = fit("ordered_chain", SEQUENCES, method="exact", seed=0, order=order, draws=2, chains=1,
               predictive=0)  # fmt: skip
    assert tree.attrs["log_evidence"] == pytest.approx(_evidence(SEQUENCES, order), abs=1e-9)
    if order == 2:
        contexts = tree["posterior"]["context"].values.tolist()
        assert contexts[:5] == ["a", "b", "c", "aa", "ab"] and len(contexts) == 12


@pytest.mark.long
def test_orders_of_the_published_names(names):
    """Maximum likelihood by counting; the evidence with <end> among the first letters too."""
    fits = {
        order: fit("ordered_chain", names, method="em", priors="flat", seed=0, order=order,
                   predictive=0)
        for order in (1, 2)
    }  # fmt: skip
    assert int(perplexity(fits[1])["tokens"]) == 228_146
    for order, published in ((1, 2.454014), (2, 2.185743)):
        actual = float(perplexity(fits[order])["nats_per_token"])
        assert actual == pytest.approx(published, abs=1e-6)
    exact = fit("markov_chain", names, method="exact", seed=0, draws=1, chains=1, predictive=0)
    wider = gammaln([27, len(names) + 26]).sum() - gammaln([26, len(names) + 27]).sum()
    assert exact.attrs["log_evidence"] + wider == pytest.approx(-562431.8585, abs=1e-4)


def test_orders_that_no_table_holds_are_refused():
    with pytest.raises(InputError, match="order 5 over 26 tokens .* pitman_yor_chain"):
        ordered_chain(vocabulary=26, order=5, sequences=1)
    with pytest.raises(InputError, match="order is 0: give a whole number from 1 up"):
        ordered_chain(vocabulary=3, order=0, sequences=1)
    with pytest.raises(InputError, match="order 1000000 over 3"):
        ordered_chain(vocabulary=3, order=1_000_000, sequences=1)


def test_more_draws_than_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "KEPT_EXACT_DRAWS", 1000)
    with pytest.raises(InputError, match="2 × 100 draws of 15 numbers are too many .* 33 draws"):
        fit("markov_chain", SEQUENCES, method="exact", seed=0, chains=2, draws=100)


def test_one_long_text_is_one_sequence():
    text = "abracadabra" * 3000
    tree = fit("ordered_chain", [text], method="em", priors="flat", seed=0, order=2, predictive=0)
    pairs, triples = {}, {}
    for first, second, third in zip(text, text[1:], [*text[2:], "<end>"], strict=False):
        pairs[first + second] = pairs.get(first + second, 0) + 1
        triples[first + second, third] = triples.get((first + second, third), 0) + 1
    total = sum(n * np.log(n / pairs[pair]) for (pair, _), n in triples.items())
    actual = perplexity(tree)
    assert int(actual["tokens"]) == len(text) + 1
    assert float(actual["nats_per_token"]) == pytest.approx(-total / (len(text) + 1), abs=1e-9)
