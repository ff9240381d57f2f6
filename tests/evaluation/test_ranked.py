"""What calibration ranks is the same whatever clusters are called and factors are turned."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ppl_models import catalogue
from ppl_models.evaluation.ranked import Ranked, ranked_quantities
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Globals, Model
from ppl_models.program.reading import read_data, read_program

_g = np.random.default_rng(0)
PLANE = np.concatenate([_g.normal(0, 1, (8, 2)), _g.normal(6, 1, (8, 2)), [[20.0, -9.0]]])
NETWORK = (_g.random((6, 6)) < 0.4).astype(int)


def ranked(name: str, data: Any, **arguments: Any) -> tuple[Ranked, Model, Globals]:
    """The quantities of a built-in program, and values of its sites."""
    function = catalogue.program(name)
    model, structure = read_program(function, read_data(function, data), arguments, {}, "float64")
    values = structure.initial(jax.random.key(2), radius=1.0)
    return ranked_quantities(Problem(model, structure)), model, values


def same(quantities: Ranked, model: Model, one: Globals, other: Globals) -> None:
    """Both values have equal quantities, and are not equal themselves."""
    here, there = (jax.jit(quantities)(model, values) for values in (one, other))
    assert any(not np.allclose(one[n], other[n]) for n in one)
    for name, value in here.items():
        np.testing.assert_allclose(there[name], value, rtol=1e-9)


@pytest.mark.usefixtures("double_precision")
def test_clusters_beside_noise_change_places_and_the_noise_does_not() -> None:
    quantities, model, values = ranked("gaussian_noise_mixture", PLANE, clusters=2)
    assert quantities.classes == ((0, 1),) and quantities.components == 3
    moved = {n: v[jnp.array([1, 0])] if len(v) == 2 else v for n, v in values.items()}
    moved |= {"weights": values["weights"][jnp.array([1, 0, 2])]}
    moved |= {"scale_diagonal": values["scale_diagonal"]}  # an entry a feature
    same(quantities, model, values, moved)
    noise = {**values, "weights": values["weights"][jnp.array([2, 1, 0])]}
    before, after = (jax.jit(quantities)(model, v)["weights"] for v in (values, noise))
    assert not np.allclose(before, after)


@pytest.mark.usefixtures("double_precision")
def test_factors_may_be_turned_and_mirrored() -> None:
    quantities, model, values = ranked("factor_analysis_mixture", PLANE, clusters=2, factors=1)
    assert quantities.rotated == ("loadings",)
    same(quantities, model, values, {**values, "loadings": -values["loadings"]})


@pytest.mark.usefixtures("double_precision")
def test_blocks_of_a_network_change_places_in_both_axes_of_their_table() -> None:
    quantities, model, values = ranked("stochastic_block_model", NETWORK, clusters=3)
    assert [len(places) for places in quantities.axes.values()] == [2, 1]
    order = jnp.array([2, 0, 1])
    moved = {"weights": values["weights"][order], "probs": values["probs"][order][:, order]}
    free = {n: v for n, v in jax.jit(quantities)(model, values).items() if n in moved}
    again = {n: v for n, v in jax.jit(quantities)(model, moved).items() if n in moved}
    for name, value in free.items():  # (the density of a network is approximated from a start)
        np.testing.assert_allclose(again[name], value, rtol=1e-12)
