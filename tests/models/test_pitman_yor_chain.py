"""The Pitman-Yor chain is plain NumPyro: it runs there as it is, and means what it says."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer import Predictive

from ppl_models import catalogue
from ppl_models.distributions.sequences.ngrams import count_ngrams
from ppl_models.errors import InputError
from ppl_models.inference.capabilities import refusal
from ppl_models.inference.problem import Problem
from ppl_models.models.pitman_yor_chain import pitman_yor_chain
from ppl_models.program.arguments.signature import data_parameters
from ppl_models.program.model import Model

CODES = np.array([[0, 0, 1, 2, 2], [0, 0, 2, 2, 2], [1, 0, 0, 2, 2]])
V, ORDER = 2, 2
DISCOUNT, CONCENTRATION = np.array([0.5, 0.3]), np.array([1.0, 0.7])


def _oracle():
    name = "franchise_oracle"
    if name not in sys.modules:
        path = Path(__file__).parents[1] / "inference" / f"{name}.py"
        specification = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def franchise():
    seen = count_ngrams(CODES, vocabulary=V, order=ORDER)
    return Model(
        pitman_yor_chain, {"tokens": CODES}, {"vocabulary": V, "order": ORDER, "seen": seen}, {}
    )


def test_docstring_tells_the_generative_story_and_every_argument():
    text = inspect.getdoc(pitman_yor_chain)
    assert len([line for line in text.splitlines() if "~" in line]) >= 3
    assert all(f"{name}:" in text for name in inspect.signature(pitman_yor_chain).parameters)
    assert list(data_parameters(pitman_yor_chain)) == ["tokens"]


def test_sites_and_plates_are_read_off_the_trace(franchise):
    structure = franchise.structure()
    assert {site.name: site.dims for site in structure.sites} == {
        "discount": ("order",), "concentration": ("order",), "tables": ("repeated",),
    }  # fmt: skip
    assert structure.assignment is None and structure.plate == "sequence"
    assert structure.rows == len(CODES) and structure.emissions == ("tokens",)
    assert {site.name: site.freedom for site in structure.sites}["tables"] == 0


def test_density_is_that_of_the_recursion_over_dictionaries(franchise):
    """New sequences under every possible seating of the seen ones."""
    oracle = _oracle()
    sequences = [[0, 0, 1], [0, 0], [1, 0, 0]]
    actual = oracle.occurrences(sequences, ORDER, V)
    weighed = list(oracle.seatings(actual, ORDER, DISCOUNT, CONCENTRATION, V + 1))
    seen = franchise.arguments["seen"]
    names = [((), t) for t in range(3)]
    names += [((oracle.START if b == V else int(b),), int(t)) for b, t in _pairs(seen)]
    structure = franchise.structure()

    @jax.jit
    def log_density(tables):
        values = {"discount": DISCOUNT, "concentration": CONCENTRATION, "tables": tables}
        return franchise.logits(values, structure)[0]

    for _, customers, tables in weighed[:: len(weighed) // 5]:
        chosen = np.array([tables[names[e]] for e in seen.repeated])
        for row, value in zip(np.asarray(log_density(chosen)), CODES, strict=True):
            line = [oracle.START, *value[value < V].tolist(), V]
            expected = sum(
                np.log(oracle.probability(
                    line[at], (line[at - 1],), customers, tables, DISCOUNT, CONCENTRATION, V + 1
                ))
                for at in range(1, len(line))
            )  # fmt: skip
            assert row == pytest.approx(expected, rel=1e-12)


def _pairs(seen):
    alone = seen.alone
    return zip(seen.back[seen.within[alone:]], seen.token[alone:], strict=True)


def test_predictive_without_data_generates(franchise):
    predictive = Predictive(pitman_yor_chain, num_samples=3)
    arguments = {**franchise.arguments, "sequences": 5, "positions": 9}
    drawn = jax.jit(lambda key: predictive(key, **arguments))(random.key(0))
    assert drawn["tokens"].shape == (3, 5, 9) and drawn["tokens"].dtype.kind == "i"
    assert {"discount", "concentration", "tables"} <= set(drawn)
    with pytest.raises(InputError, match="give tokens= or seen="):
        handlers.seed(pitman_yor_chain, 0)(vocabulary=2)


def test_every_prior_is_an_argument(franchise):
    wanted = {
        n: p.default + 0.5
        for n, p in inspect.signature(pitman_yor_chain).parameters.items()
        if isinstance(p.default, float)
    }
    assert len(wanted) == 4
    tables = np.ones(len(franchise.arguments["seen"].repeated), int)
    at = {"discount": DISCOUNT, "concentration": CONCENTRATION, "tables": tables}

    def prior(**changed):
        changed = Model(franchise.function, franchise.data, {**franchise.arguments, **changed}, {})
        return float(changed.pieces(at, changed.structure()).log_prior)

    actual = {n: prior(**{n: v}) for n, v in wanted.items()}
    assert all(abs(value - prior()) > 1e-3 for value in actual.values())


def test_methods_that_cannot_draw_tables_say_what_can(franchise):
    problem, served = Problem(franchise, franchise.structure()), []
    for name in catalogue.method_names():
        said = refusal(name, problem)
        if said is None:
            served.append(name)
            continue
        assert "site 'tables'" in said and "'pitman_yor_gibbs'" in said and "\n" not in said
    assert served == ["kneser_ney", "pitman_yor_gibbs"]
