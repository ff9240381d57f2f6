"""Expectations that families state for variational Bayes, against averages over draws."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models.inference.statistics.m_step import plain_prior
from ppl_models.inference.variational.divergence import drawn

DRAWS = 3000


@pytest.fixture(scope="module")
def stated():
    """``stated(case, shared)``: a family, statistics of its rows, and a q of every parameter."""

    def of(case, shared):
        rows, family = jnp.asarray(case.data), case.build()
        centre = family.centre(rows)
        weights = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(3), len(rows)).T)
        statistics = family.expected_statistics(weights, rows, missing=False, centre=centre)
        posterior = {}
        for name in family.plug_in_parameters:
            one = np.shape(case.component(0)[name])
            of_all = shared or case.shared(name)
            prior = plain_prior(case.priors[name](), one if of_all else (3, *one))
            posterior[name] = family.conditional(name, prior, statistics, centre, shared=of_all)
        return family, statistics, posterior, rows, centre

    return of


def _value(case, name, value):
    """A parameter of all components, of which ``value`` may be the one that they share."""
    one = np.shape(case.component(0)[name])
    return value if case.shared(name) else jnp.broadcast_to(value, (3, *one))


def _draws(case, posterior, names):
    """Parameters ``(draw, component, ...)``."""
    keys = random.split(random.key(2), DRAWS)
    own = {n: random.fold_in(random.key(3), i) for i, n in enumerate(names)}

    def one(key):
        data = random.key_data(key)[-1]
        return {
            n: _value(case, n, drawn(posterior[n], random.fold_in(k, data))) for n, k in own.items()
        }

    return jax.lax.map(one, keys)


def _agree(draws, expected, name):
    error = np.asarray(draws).std(0) / DRAWS**0.5
    assert error.max() < 0.5, name
    assert (np.abs(np.asarray(draws).mean(0) - expected) < 5 * error + 1e-9).all(), name


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_expected_log_densities_are_at_plug_in_values_but_for_the_jensen_gap(cases, stated, shared):
    served = [c for c in cases if {*c.parameters} == {*c.family.plug_in_parameters}]
    assert len(served) > 5
    for case in served:
        family, _, posterior, rows, centre = stated(case, shared)
        names = list(case.parameters)
        values = {n: _value(case, n, family.plug_in(n, posterior[n])) for n in names}
        contracted = partial(_contracted, family, rows, centre)
        draws = jax.lax.map(contracted, _draws(case, posterior, names))
        gap = family.replace(**values).jensen_gap(posterior)
        _agree(draws, contracted(values) + gap[:, None], case.name)


def _contracted(family, rows, centre, parameters):
    return family.replace(**parameters).contract(rows, missing=False, centre=centre)


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
def test_statistics_under_an_uncertain_location_are_expected_ones(cases, stated, shared):
    served = [case for case in cases if "loc" in case.family.plug_in_parameters]
    assert len(served) > 3
    for case in served:
        family, statistics, posterior, _, centre = stated(case, shared)
        summed = partial(_summed, family, statistics, centre)
        draws = jax.lax.map(summed, _draws(case, posterior, ["loc"]))
        own = family.statistics_under({"loc": posterior["loc"]}, statistics)
        middle = {"loc": _value(case, "loc", family.plug_in("loc", posterior["loc"]))}
        expected = _summed(family, own, centre, middle)
        _agree(draws[:, None], np.asarray(expected)[None], case.name)


def _summed(family, statistics, centre, parameters):
    return family.replace(**parameters).expected_log_density(statistics, centre).sum()
