"""Programs of hidden chains of second order: their labels, their start, and other orders."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpyro import handlers

from ppl_models.errors import InputError
from ppl_models.inference.problem import Problem
from ppl_models.models.hidden_markov import hidden_markov, stationary_pairs
from ppl_models.models.hidden_token_chain import hidden_token_chain
from ppl_models.posterior.labels.apply import permute_variable
from ppl_models.program.model import Model
from ppl_models.program.parameters.axes import state_axes


def test_states_change_places_in_all_axes():
    """Priors and every parameter of the chain go with them: draws can be relabelled."""
    data = {"x": np.random.default_rng(2).normal(size=(3, 5, 1))}
    model = Model(hidden_markov, data, {"states": 3, "order": 2}, {})
    problem = Problem(model, model.structure())
    assert problem.states == 3 and problem.exchangeable
    actual = state_axes(problem.structure, problem.parameter_map, 3)
    assert actual["transition"] == ((0, 1, 2), ("previous_state", "state", "next_state"))
    assert actual["initial_transition"] == ((0, 1), ("state", "next_state"))


def test_relabelling_permutes_every_axis_of_states_and_leaves_the_end_last():
    generator = np.random.default_rng(0)
    values = generator.dirichlet(np.ones(4), (1, 2, 3, 3))
    dims = ("chain", "draw", "previous_state", "state", "next_state")
    order = np.array([[[2, 0, 1], [0, 2, 1]]])
    moved = permute_variable(
        xr.DataArray(values, dims=dims), xr.DataArray(order, dims=("chain", "draw", "cluster"))
    )
    for draw in range(2):
        own = order[0, draw]
        expected = values[0, draw][np.ix_(own, own, [*own, 3])]
        np.testing.assert_array_equal(moved.values[0, draw], expected)


def test_stationary_pairs_are_left_as_they_are():
    table = np.random.default_rng(7).dirichlet(np.ones(3), (3, 3))
    first, then = stationary_pairs(jnp.asarray(table))
    pairs = np.asarray(first)[:, None] * np.asarray(then)
    np.testing.assert_allclose(pairs.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(np.einsum("rs,rst->st", pairs, table), pairs, atol=1e-6)


@pytest.mark.parametrize("order", [0, 3, 1.5, "two"])
@pytest.mark.parametrize(
    ("program", "options"), [(hidden_markov, {}), (hidden_token_chain, {"vocabulary": 2})]
)
def test_other_orders_are_refused(program, options, order):
    with pytest.raises(
        InputError, match=r"order is .*: a chain of hidden states is .* choose 1 or 2"
    ):
        handlers.seed(program, 0)(states=2, order=order, sequences=3, positions=4, **options)
