"""Idle and equal components are named; components that the data tell apart are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import diagnose, fit

OPTIONS = {"method": "em", "seed": 0, "starts": 1, "iterations": 1, "priors": "flat"}


@pytest.fixture(scope="module")
def steps():
    """Two states far apart, that last."""
    generator = np.random.default_rng(0)
    path = np.cumsum(generator.random((8, 40)) < 0.1, 1) % 2
    return 6.0 * path[..., None] + generator.normal(size=(8, 40, 1))


def held(steps, transition, loc):
    """A fit of which all but the first states is given."""
    states = len(loc)
    arguments = {
        "scale": np.ones((states, 1)),
        "transition": np.array(transition),
        "loc": np.array(loc)[:, None],
    }
    return diagnose(fit("hidden_markov", steps, states=states, fixed=arguments, **OPTIONS))


def said(diagnosis, words):
    return [f.severity for f in diagnosis.findings if words in f.what]


def test_states_in_use_are_left_alone(steps):
    diagnosis = held(steps, [[0.9, 0.1], [0.1, 0.9]], [0.0, 6.0])
    assert said(diagnosis, "All 2 hidden states are in use") == ["ok"]
    assert not said(diagnosis, "tell apart")


def test_an_idle_state_is_named(steps):
    table = [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.4, 0.4, 0.2]]
    diagnosis = held(steps, table, [0.0, 6.0, 500.0])
    assert said(diagnosis, "1 of 3 hidden states (2) is idle") == ["warning"]


def test_equal_states_are_named(steps):
    table = [[0.45, 0.1, 0.45], [0.05, 0.9, 0.05], [0.45, 0.1, 0.45]]
    diagnosis = held(steps, table, [0.0, 6.0, 0.0])
    assert said(diagnosis, "The data do not distinguish states 0 and 2") == ["warning"]


def test_states_that_differ_in_what_follows_are_named(steps):
    table = [[0.95, 0.05, 0.0], [0.0, 0.9, 0.1], [0.0, 0.95, 0.05]]
    diagnosis = held(steps, table, [0.0, 6.0, 0.0])
    assert said(diagnosis, "The emissions of states 0 and 2 do not differ") == ["warning"]


@pytest.mark.parametrize(("apart", "severities"), [(0.0, ["warning"]), (4.0, [])])
def test_equal_clusters_are_named(apart, severities):
    x = np.random.default_rng(1).normal(size=(60, 2))
    x[30:] += apart
    arguments = {"loc": np.array([[0.0, 0.0], [apart, apart]])}
    tree = fit(
        "gaussian_mixture", x, clusters=2, covariance="spherical", fixed=arguments, **OPTIONS
    )
    assert said(diagnose(tree), "The data do not distinguish clusters 0 and 1") == severities
