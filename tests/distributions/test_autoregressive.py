"""The contract of everything that is written token by token, kept by every distribution here.

A new subclass of ``Autoregressive`` needs one row in ``CASES``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

import ppl_models.distributions as package
from ppl_models.distributions import (
    Autoregressive,
    HiddenTokenChain,
    LogisticScan,
    Nade,
    RecurrentChain,
    TokenChain,
)
from ppl_models.distributions.exponential.family import ExponentialFamily
from ppl_models.distributions.sequences.autoregressive import steps_taken, tempered
from ppl_models.errors import InputError

_generator = np.random.default_rng(7)


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Args:
        name: of the row.
        kind: the class.
        build: the distribution without a batch: few tokens, few positions.
    """

    name: str
    kind: type
    build: Callable[[], Any]


def _chain(tokens: int, order: int, positions: int) -> Callable[[], TokenChain]:
    contexts = sum(tokens**length for length in range(1, order + 1))
    initial = _generator.dirichlet(np.ones(tokens))
    transition = _generator.dirichlet(np.ones(tokens + 1), contexts)
    return lambda: TokenChain(initial, transition, positions=positions, order=order)


def _hidden() -> HiddenTokenChain:
    generator = np.random.default_rng(8)
    initial, transition, probs = (
        generator.dirichlet(np.ones(n), k) for n, k in ((2, None), (3, 2), (3, 2))
    )
    return HiddenTokenChain(initial, transition, probs, positions=4)


def _hidden_pairs() -> HiddenTokenChain:
    generator = np.random.default_rng(3)
    initial, second, transition, probs = (
        generator.dirichlet(np.ones(n), k) for n, k in ((2, None), (3, 2), (3, (2, 2)), (2, 2))
    )
    return HiddenTokenChain(initial, transition, probs, positions=4, initial_transition=second)


def _weights(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    generator = np.random.default_rng(9)
    return [generator.normal(size=shape) for shape in shapes]


def _recurrent() -> RecurrentChain:
    shapes = [(2, 2), (2,), (2, 3, 2), (2, 3, 2), (3, 2), (2, 3), (3,)]
    return RecurrentChain(*_weights(*shapes), positions=4)


CASES = [
    Case("chain of order 1", TokenChain, _chain(3, 1, 4)),
    Case("chain of order 2", TokenChain, _chain(2, 2, 5)),
    Case("chain of order 3, shorter rows", TokenChain, _chain(2, 3, 2)),
    Case("hidden chain", HiddenTokenChain, _hidden),
    Case("hidden chain of order 2", HiddenTokenChain, _hidden_pairs),
    Case("recurrent chain", RecurrentChain, _recurrent),
    Case("pixels, logistic", LogisticScan, lambda: LogisticScan(*_weights((4, 4), (4,)))),
    Case("pixels, network", Nade, lambda: Nade(*_weights((4, 2), (2,), (4, 2), (4,)))),
]
#: What two classes of their kind have in common.
ABSTRACT = {"GraphRows", "PixelScan"}
#: Rows that are no sequence have no probability, or empty ones have some: files of their own.
ELSEWHERE = {
    "GraphChain": "models/test_graph_programs.py",
    "LogisticGraphChain": "models/test_graph_programs.py",
    "RecurrentGraphChain": "models/test_graph_programs.py",
    "NgramChain": "distributions/test_ngram_chain.py",
}


#: a further order of a class that is there already
LONG = ("chain of order 3, shorter rows", "hidden chain of order 2")


@pytest.fixture(
    params=[
        pytest.param(case, id=case.name, marks=pytest.mark.long if case.name in LONG else ())
        for case in CASES
    ]
)
def family(request: pytest.FixtureRequest) -> Any:
    return request.param.build()


def rows_of(family: Any) -> tuple[np.ndarray, np.ndarray]:
    """Every row of codes: sequences that end in time, and those that are cut."""
    v, positions = family.tokens, family.positions
    cut = np.array(list(product(range(v), repeat=positions)))
    ended = [
        [*sequence, *[v] * (positions - length)]
        for length in range(positions if family.ends else 0)
        for sequence in product(range(v), repeat=length)
    ]
    return np.array(ended, int).reshape(-1, positions), cut


def _subclasses(kind: type) -> set[type]:
    return {kind}.union(*(_subclasses(s) for s in kind.__subclasses__()))


def test_every_sequence_distribution_has_a_row():
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    here = {
        s for s in _subclasses(Autoregressive) if s.__module__.startswith(f"{package.__name__}.")
    }
    named = {case.kind.__name__ for case in CASES}
    assert {s.__name__ for s in here} - ABSTRACT - {"Autoregressive"} == named | set(ELSEWHERE)
    for name, file in ELSEWHERE.items():
        text = (Path(__file__).parent.parent / file).read_text(encoding="utf-8")
        assert name in text and "add up to one" in text.replace("_", " ")


def test_every_sequence_has_its_probability_and_all_add_up_to_one(family):
    ended, cut = rows_of(family)
    every = jnp.asarray(np.concatenate([ended, cut]))

    @jax.jit
    def look():
        table = family.following_each(every)
        step_by_step = Autoregressive.following_each(family, every)
        steps = steps_taken(table, every, family.tokens)
        return table, family.taken_each(every), steps, family.log_prob(every), step_by_step

    table, taken, steps, log_prob, step_by_step = look()
    np.testing.assert_allclose(taken, steps, rtol=1e-12)
    probability = np.exp(np.asarray(taken).sum(1))
    # sequences that were cut have the probability of all that begin so
    np.testing.assert_allclose(probability.sum(), 1, rtol=1e-10)
    np.testing.assert_allclose(np.exp(log_prob), probability, rtol=1e-10, atol=1e-290)
    np.testing.assert_allclose(np.exp(table), np.exp(step_by_step), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.exp(table).sum(-1), 1, rtol=1e-10)
    if family.ends:
        assert table.shape[-1] == family.tokens + 1
        assert (np.exp(table[:, 0, -1]) == 0).all()  # no sequence is empty


def test_what_is_written_has_the_distribution_of_the_log_probabilities(family):
    draws = 20_000
    every = np.concatenate(rows_of(family))

    @jax.jit
    def look(key):
        return family.sample_sequences(key, (draws,)), family.log_prob(jnp.asarray(every))

    drawn, log_prob = map(np.asarray, look(random.key(3)))
    assert drawn.shape == (draws, family.positions) and drawn.dtype == np.int32
    probability = np.exp(log_prob)
    base = (family.tokens + 1) ** np.arange(family.positions)
    seen = np.array([(drawn @ base == row @ base).mean() for row in every])
    assert seen.sum() == pytest.approx(1)
    error = np.sqrt(probability * (1 - probability) / draws)
    assert (np.abs(seen - probability) < 5 * error + 1e-9).all()


def test_given_tokens_stay_and_zero_temperature_takes_the_best(family):
    prefix = jnp.array([family.tokens - 1])

    @jax.jit
    def look(key):
        greedy = family.sample_sequences(key, (3,), tempered(0.0, None, None), prefix)
        return greedy, family.following_each(greedy)

    greedy, table = look(random.key(0))
    assert (greedy == greedy[0]).all() and (greedy[:, 0] == prefix[0]).all()
    table = np.asarray(table)[0]
    end = family.tokens if family.ends else family.tokens + 1
    row = np.asarray(greedy)[0]
    for place in range(1, family.positions):
        over = (row[:place] == end).any()
        assert row[place] == (end if over else table[place].argmax())


def test_gaps_are_filled_as_all_fillings_are_probable(family):
    """The most probable one, and draws; with parameters for all rows, or for each its own."""
    draws, ended = 4_000, rows_of(family)[0 if family.ends else 1]
    length = family.positions - 1 if family.ends else family.positions
    complete = ended[(ended < family.tokens).sum(1) == length][1]
    row = complete.copy()
    row[[0, length - 1]] = -1  # the first and the last token
    every = product(*(range(family.tokens) if token < 0 else [token] for token in row))
    fillings = np.array(list(every))

    @jax.jit
    def look(key):
        rows = jnp.tile(jnp.asarray(row), (draws, 1))
        return family.log_prob(jnp.asarray(fillings)), family.complete(key, rows)

    log_prob, drawn = map(np.asarray, look(random.key(4)))
    best = np.asarray(family.most_probable(jnp.asarray(row)[None]))[0]
    np.testing.assert_array_equal(best, fillings[log_prob.argmax()])
    expected = np.exp(log_prob - np.logaddexp.reduce(log_prob))
    proportion = np.array([(drawn == filling).all(1).mean() for filling in fillings])
    assert proportion.sum() == pytest.approx(1)
    assert (np.abs(proportion - expected) < 5 * np.sqrt(expected / draws) + 1e-3).all()
    if isinstance(family, ExponentialFamily):
        parts = {n: np.asarray(getattr(family, n)) for n in family.parameter_dims}
        two = family.replace(**{n: np.stack([p, p[::-1]]) for n, p in parts.items()})
        other = family.replace(**{n: p[::-1] for n, p in parts.items()})
        each = [w.most_probable(jnp.asarray(row)[None])[0] for w in (family, other)]
        np.testing.assert_array_equal(two.most_probable(jnp.asarray([row, row])), each)


def test_gaps_that_are_too_many_have_particles_and_no_best(monkeypatch):
    network = _recurrent()
    monkeypatch.setattr(RecurrentChain, "most_combinations", 3)
    row = jnp.array([[-1, 1, -1, network.tokens]])
    with pytest.raises(InputError, match=r"2 gaps that RecurrentChain remembers together have 2"):
        network.most_probable(row)
    assert (
        np.asarray(network.complete(random.key(0), row))[0, [1, 3]] == [1, network.tokens]
    ).all()


def test_a_batch_of_chains_is_as_many_chains():
    """Parameters ``(cluster, 1)``, as enumeration has them, and one chain a sequence."""
    initial = _generator.dirichlet(np.ones(2), (3, 1))
    transition = _generator.dirichlet(np.ones(3), (3, 1, 6))
    several = TokenChain(initial, transition, positions=5, order=2)
    alone = [
        TokenChain(i, t, positions=5, order=2)
        for i, t in zip(initial[:, 0], transition[:, 0], strict=True)
    ]
    rows = jnp.asarray(np.concatenate(rows_of(several))[::11])
    by_row = TokenChain(initial[[0, 1, 2], 0], transition[[0, 1, 2], 0], positions=5, order=2)

    def both(rows):
        for name in ("following_each", "taken_each"):
            yield getattr(several, name)(rows), [getattr(c, name)(rows) for c in alone]
        state = several.read(several.begin((4, 3, 1)), jnp.ones((4, 3, 1), int))
        expected = [c.following(c.read(c.begin(()), jnp.ones((), int))) for c in alone]
        yield several.following(state)[2, :, 0], expected
        expected = [c.following_each(r[None])[0] for c, r in zip(alone, rows[:3], strict=True)]
        yield by_row.following_each(rows[:3]), expected

    for actual, expected in jax.jit(lambda rows: list(both(rows)))(rows):
        np.testing.assert_allclose(actual, np.stack(expected), rtol=1e-12)


PROBS = jnp.array([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1.0, None, None), PROBS),
        ((1.0, 2, None), [[5 / 8, 3 / 8, 0, 0], [0, 0, 3 / 7, 4 / 7]]),
        ((1.0, 9, None), PROBS),
        ((1.0, None, 0.75), [[5 / 8, 3 / 8, 0, 0], [0, 2 / 9, 3 / 9, 4 / 9]]),
        ((1.0, None, 0.5), [[1, 0, 0, 0], [0, 0, 3 / 7, 4 / 7]]),
        ((1.0, None, 1.0), PROBS),
        ((0.0, None, None), [[1, 0, 0, 0], [0, 0, 0, 1]]),
        ((0.5, None, None), PROBS**2 / (PROBS**2).sum(-1, keepdims=True)),
        ((1e9, None, None), np.full((2, 4), 0.25)),
        ((1.0, 3, 0.6), [[5 / 8, 3 / 8, 0, 0], [0, 0, 3 / 7, 4 / 7]]),
    ],
)
def test_tails_are_cut_and_the_rest_keeps_its_proportions(arguments, expected):
    actual = np.asarray(jnp.exp(tempered(*arguments)(jnp.log(PROBS))))
    expected = np.asarray(expected, float)
    actual = actual / actual.sum(-1, keepdims=True)
    np.testing.assert_allclose(actual, expected / expected.sum(-1, keepdims=True), atol=1e-8)


def test_of_equally_probable_tokens_no_more_are_kept_than_asked():
    even = jnp.zeros(4)
    for arguments in ((1.0, 2, None), (1.0, None, 0.5)):
        assert np.isfinite(tempered(*arguments)(even)).tolist() == [True, True, False, False]


def test_impossible_tokens_stay_impossible_at_any_temperature():
    log_probs = jnp.log(jnp.array([0.0, 0.4, 0.6]))
    for arguments in ((0.0, None, None), (100.0, None, None), (1.0, 3, None), (1.0, None, 1.0)):
        assert tempered(*arguments)(log_probs)[0] == -jnp.inf
