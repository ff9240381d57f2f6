"""Loadings of draws that were rotated, permuted and signed at random are brought into line."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models.models._loadings import aligned, varimax

SIMPLE = np.array([[2.0, 0, 0], [1.8, 0, 0], [1.9, 0, 0], [0, 1.2, 0], [0, 1.0, 0], [0, 1.1, 0],
                   [0, 0, 0.5], [0, 0, 0.6], [0, 0, 0.7]])  # fmt: skip


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_draws_in_any_rotation_are_those_of_one_structure(factors):
    generator = np.random.default_rng(0)
    simple = SIMPLE[: 3 * factors, :factors]
    noisy = simple + generator.normal(0, 0.02, (200, *simple.shape))
    rotations, _ = np.linalg.qr(generator.normal(size=(200, factors, factors)))
    turned = noisy @ rotations * generator.choice([-1.0, 1.0], (200, 1, factors))
    assert np.abs(turned.mean(0) - simple).max() > 0.3  # a mean over rotations misleads
    alike = aligned(turned)
    # the error of a mean of 200 draws with a standard deviation of 0.02 is 0.0014
    np.testing.assert_allclose(alike.mean(0), simple, atol=0.02)
    assert alike.std(0).max() < 0.06
    product, expected = alike @ alike.swapaxes(1, 2), noisy @ noisy.swapaxes(1, 2)
    np.testing.assert_allclose(product, expected, atol=1e-9)


def test_varimax_leaves_the_product_and_simple_structure_as_they_are():
    turned = varimax(SIMPLE[None])
    np.testing.assert_allclose(turned @ turned.swapaxes(1, 2), [SIMPLE @ SIMPLE.T], atol=1e-12)
    np.testing.assert_allclose(np.abs(turned[0]), SIMPLE, atol=1e-6)
