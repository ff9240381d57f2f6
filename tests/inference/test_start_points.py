"""Starts of hidden chains: states that last are told apart by what is near to each step."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ppl_models.inference.initial.points import window_means


def testwindow_means():
    points = np.random.default_rng(0).normal(size=(6 * 2, 3))  # six steps of two sequences
    for width in (0, 2, 9):
        actual = np.asarray(window_means(jnp.asarray(points), 2, jnp.asarray(width)))
        steps = points.reshape(6, 2, 3)
        expected = [steps[max(0, t - width) : t + width + 1].mean(0) for t in range(6)]
        np.testing.assert_allclose(actual.reshape(6, 2, 3), expected, atol=1e-5)
