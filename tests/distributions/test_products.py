"""Every product that enters a density has all the bits of its numbers, also under bare NumPyro.

On a GPU and a TPU products in single precision have fewer bits unless they ask for more. This is
read off the traced programs, so that it is seen without such a device.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from traced_products import products_of

from ppl_models.distributions import LogisticScan, Nade, RecurrentChain
from ppl_models.distributions.conditionals import (
    InverseWishartConditional,
    MultivariateNormalConditional,
)
from ppl_models.distributions.sequences.recurrent_cells import CELLS


@pytest.fixture(autouse=True)
def single_precision(double_precision) -> Iterator[None]:
    """What a GPU is used for."""
    with jax.enable_x64(False):
        yield


def test_the_search_finds_a_product_wherever_it_is():
    def loops(x):
        def step(carry, _):
            return jax.lax.cond(carry.sum() > 0, lambda c: c @ c, lambda c: c, carry), None

        return jax.lax.scan(jax.jit(step), x, None, length=3)[0]

    actual, short = products_of(loops, jnp.eye(2))
    assert actual == len(short) == 1
    with jax.default_matmul_precision("highest"):
        actual, short = products_of(jax.grad(lambda x: loops(x).sum()), jnp.eye(2))
    assert actual > 1 and not short


@pytest.mark.parametrize("gaps", [False, True], ids=["complete", "gaps"])
def test_products_of_a_family_have_all_bits(case, gaps):
    if gaps and case.complete:
        pytest.skip(case.complete)
    value = jnp.asarray(case.gaps if gaps else case.data)
    parameters = {n: jnp.asarray(v, jnp.float32) for n, v in case.parameters.items()}
    weights = jnp.ones((3, len(value)), jnp.float32)
    key = random.key(0)

    def density(parameters):
        emission = case.enumerated(parameters)
        return emission.log_prob(value).sum()

    def statistics(parameters):
        emission = case.build(parameters)
        centre = emission.centre(value)
        actual = emission.expected_statistics(weights, value, missing=gaps, centre=centre)
        impossible = emission.impossible(
            emission.prepare(value, missing=gaps, centre=centre), missing=gaps, centre=centre
        )
        return actual, impossible

    def updates(parameters):
        emission = case.build(parameters)
        centre = emission.centre(value)
        actual = emission.expected_statistics(weights, value, missing=gaps, centre=centre)
        density = jax.value_and_grad(
            lambda p: case.build(p).expected_log_density(actual, centre).sum()
        )(parameters)
        posteriors = [
            emission.conditional(n, None, actual, centre, shared=n in emission.shared_parameters)
            for n in parameters
        ]
        moves = [(p.mode(), p.sample(key)) for p in posteriors if p is not None]
        return density, moves

    def draws(parameters):
        rows = case.by_row(len(value)) if len(case.data) == len(value) else case.build(parameters)
        return rows.sample(key)

    total = 0
    for function in (jax.value_and_grad(density), statistics, updates, draws):
        actual, short = products_of(function, parameters)
        assert not short, "\n".join(short)
        total += actual
    assert total


def test_products_of_a_hidden_chain_have_all_bits(emission, hidden):
    made = hidden.chain(emission)
    value = jnp.asarray(emission.data, jnp.float32)
    made = jax.tree.map(lambda v: v.astype(jnp.float32), made)

    def everything(chain):
        density = jax.value_and_grad(lambda c: c.log_prob(value).sum())(chain)
        flat = chain.components()
        centre = flat.centre(value)
        prepared = flat.prepare(value, missing=False, centre=centre)
        passed = [
            flat.infer_latents(prepared, missing=False, centre=centre, how=how, key=random.key(0))
            for how in ("mean", "best", "draw")
        ]
        weights = jnp.ones((1, len(value)))
        statistics = [
            flat.chunk_statistics(weights, actual, missing=False, centre=centre)
            for _, actual in passed
        ]
        return density, statistics, chain.complete(random.key(1), value)

    actual, short = products_of(everything, made)
    assert actual and not short, "\n".join(short)


@pytest.mark.parametrize("cell", CELLS)
def test_products_of_a_recurrent_chain_have_all_bits(cell):
    gates, v, e, h = CELLS[cell].gates, 2, 2, 3
    shapes = [(v, e), (h,), (e, gates, h), (h, gates, h), (gates, h), (h, v + 1), (v + 1,)]
    weights = [jnp.ones(s) for s in shapes]
    value = jnp.array([[0, 1, 2], [1, 0, 1]])

    def density(weights):
        return RecurrentChain(*weights, cell=cell, positions=3).log_prob(value).sum()

    def draw(weights):
        return RecurrentChain(*weights, cell=cell, positions=3).sample(random.key(0), (2,))

    for function in (jax.value_and_grad(density), draw):
        actual, short = products_of(function, weights)
        assert actual and not short, "\n".join(short)


@pytest.mark.parametrize(
    "scan, shapes",
    [(LogisticScan, [(5, 5), (5,)]), (Nade, [(5, 2), (2,), (5, 2), (5,)])],
    ids=["logistic", "nade"],
)
def test_products_of_a_pixel_scan_have_all_bits(scan, shapes):
    value = jnp.asarray(np.eye(5, dtype=int))
    weights = [jnp.ones(s) for s in shapes]
    actual, short = products_of(
        jax.value_and_grad(lambda w: scan(*w).log_prob(value).sum()), weights
    )
    assert actual and not short, "\n".join(short)


def test_products_of_draws_of_matrices_have_all_bits():
    def draws(matrix):
        wishart = InverseWishartConditional(jnp.array(9.0), matrix)
        normal = MultivariateNormalConditional(matrix[0], matrix, jnp.zeros(3))
        return wishart.sample(random.key(0)), normal.sample(random.key(1)), normal.mode()

    actual, short = products_of(draws, jnp.eye(3))
    assert actual and not short, "\n".join(short)
