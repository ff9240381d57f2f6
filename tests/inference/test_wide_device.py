"""A GPU's layouts find what a processor's find: large chunks, sums in pieces, loops written out."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from ppl_models import catalogue, device, memory
from ppl_models.distributions import FullGaussian
from ppl_models.distributions.contraction import sum_over_rows
from ppl_models.inference.gradient.steps import row_log_densities
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.e_step import e_step
from ppl_models.inference.statistics.m_step import conjugate_sites, maximise
from ppl_models.program.model import Model


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def layouts(monkeypatch):
    """``layouts(look)``: what a function finds on a processor, and as if on a GPU."""

    def both(look):
        actual = []
        for wide in (False, True):
            monkeypatch.setattr(device, "is_wide", lambda wide=wide: wide)
            monkeypatch.setattr(device, "BLOCK_STEPS", 2)
            monkeypatch.setattr(memory, "WIDE_ROWS", 4)
            jax.clear_caches()  # what was traced before has the other layout
            actual.append(jax.tree.map(np.asarray, look()))
        jax.clear_caches()
        return actual

    return both


#: one of each kind of pass over the rows
KINDS = ("gaussian_mixture full", "categorical_mixture", "hidden_markov", "markov_chain")


@pytest.mark.parametrize("label", KINDS)
def test_an_iteration_of_em_is_the_same(label, built_ins, layouts):
    _same_iteration(built_ins[label], layouts)


@pytest.mark.long
def test_an_iteration_of_em_is_the_same_of_every_program(em_program, layouts):
    _same_iteration(em_program, layouts)


def _same_iteration(em_program, layouts):
    def look():
        model = Model(
            catalogue.program(em_program.name),
            {em_program.site: em_program.data},
            em_program.arguments,
            {},
        )
        structure = model.structure()
        problem = Problem(model, structure)
        chunks = problem.chunks
        links, free = conjugate_sites(model, structure, problem.parameter_map, chunks)

        @jax.jit
        def iteration(values, chunks):
            expected = e_step(model.pieces(values, structure), structure, chunks)
            moved = maximise(model, structure, links, free, values, expected, chunks)
            return expected, moved

        return iteration(structure.initial(random.key(0)), chunks)

    narrow, wide = layouts(look)
    assert jax.tree.structure(narrow) == jax.tree.structure(wide)
    for one, other in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("features", [3, 5, 40])
def test_statistics_of_correlated_features_are_the_same(features, layouts):
    generator = np.random.default_rng(0)
    x, weights = generator.normal(size=(21, features)), generator.dirichlet(np.ones(3), 21).T

    def look():
        family = FullGaussian(jnp.zeros((3, features)), jnp.tile(jnp.eye(features), (3, 1, 1)))
        return family.expected_statistics(
            jnp.asarray(weights), jnp.asarray(x), missing=False, centre=jnp.zeros(features)
        )

    for actual in layouts(look):
        np.testing.assert_allclose(
            actual["second"], np.einsum("kn,ni,nj->kij", weights, x, x), rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.long)])
def test_a_recurrent_chain_and_its_gradient_are_the_same(cell, layouts, built_ins):
    row = built_ins[f"recurrent_chain {cell}"]

    def look():
        model = Model(catalogue.program(row.name), {row.site: row.data}, row.arguments, {})
        structure = model.structure()
        data = {row.site: jnp.asarray(row.data)}

        def loss(values):
            return row_log_densities(model, structure, values, data).sum()

        return jax.jit(jax.value_and_grad(loss))(structure.initial(random.key(0)))

    narrow, wide = layouts(look)
    for one, other in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [3, 8, 11])
def test_sums_over_rows_in_pieces(rows, layouts):
    generator = np.random.default_rng(1)
    left, right = generator.normal(size=(2, rows)), generator.normal(size=(3, rows))
    for actual in layouts(lambda: sum_over_rows(jnp.asarray(left), jnp.asarray(right))):
        np.testing.assert_allclose(actual, left @ right.T, rtol=1e-12, atol=1e-12)


def test_chunks_are_as_large_as_the_devices_memory_allows(monkeypatch):
    from ppl_models.distributions import DiagonalGaussian
    from ppl_models.inference.statistics.chunks import cut

    families = {"x": DiagonalGaussian(jnp.zeros((2, 1)), jnp.ones((2, 1)))}
    data = {"x": np.arange(20_000.0)[:, None]}
    assert cut(data, families).count > 1
    monkeypatch.setattr(device, "is_wide", lambda: True)
    assert cut(data, families).count == 1
    memories = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 16 * 400_000})
    monkeypatch.setattr(jax, "local_devices", lambda: [memories])
    assert device.chunk_bytes() == 400_000
    chunks = cut(data, families)
    assert chunks.count > 1
    assert chunks.parts[0].present.shape[1] % memory.WIDE_ROWS == 0


def test_a_device_that_was_chosen_is_asked():
    assert not device.is_wide()
    with jax.default_device(jax.devices("cpu")[0]):
        assert not device.is_wide()
