"""Where point methods start."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import random

from ppl_models.inference.initial.starts import starting_values
from ppl_models.inference.problem import Problem
from ppl_models.inference.statistics.m_step import conjugate_sites
from ppl_models.models.categorical_mixture import categorical_mixture
from ppl_models.program.model import Model
from ppl_models.program.runtime.precision import scope

LEVELS = (2, 3)
STARTS = 80


def test_answers_in_categories_start_from_drawn_probabilities():
    rows = np.array([[0, 0], [1, 2], [0, 1], [1, 0]] * 3)
    with scope("float64"):
        model = Model(categorical_mixture, {"x": rows}, {"clusters": 3, "levels": LEVELS}, {})
        problem = Problem(model, model.structure())
        links, free = conjugate_sites(
            model, problem.structure, problem.parameter_map, problem.chunks
        )
        active = jnp.arange(3) < jnp.array([[2]] * STARTS)
        values, gradient_starts = starting_values(
            problem, links, free, random.key(0), STARTS, flat=True, active=active
        )
    drawn = np.array(gradient_starts) == "random"
    assert drawn.sum() == STARTS * 3 // 4
    probs = np.asarray(values["probs"])
    np.testing.assert_allclose([probs[..., :2].sum(-1), probs[..., 2:].sum(-1)], 1)
    # a flat Dirichlet of L has variance (L - 1) / (L^2 (L + 1))
    for block, levels in ((probs[drawn][..., :2], 2), (probs[drawn][..., 2:], 3)):
        count = block[..., 0].size
        assert count > 150
        variance = (levels - 1) / (levels**2 * (levels + 1))
        assert abs(block[..., 0].mean() - 1 / levels) < 5 * np.sqrt(variance / count)
        assert abs(block[..., 0].var() / variance - 1) < 5 * np.sqrt(1.0 / count)
    # what clusters a start may use, and no other, has a share
    np.testing.assert_array_equal(np.asarray(values["weights"])[drawn], [[0.5, 0.5, 0.0]] * 60)
