"""Where chains start: off the boundaries of supports, and nowhere else than at the mode."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints

from ppl_models.inference.initial.boundary import off_boundary
from ppl_models.program.trace.sites import Site


@pytest.mark.parametrize("support", [constraints.real, constraints.real_vector])
def test_real_numbers_have_no_boundary_however_large(support):
    value = jnp.array([3_000.0, -1e6])
    site = Site("loc", (), (2,), support)
    np.testing.assert_array_equal(off_boundary(site, value, jnp.zeros(2)), value)


def test_a_weight_of_zero_is_moved_inside():
    site = Site("weights", (), (2,), constraints.simplex)
    free = off_boundary(site, jnp.array([1.0, 0.0]), jnp.array([0.5, 0.5]))
    assert (0.99 < site.transform(free)[0] < 1) & np.isfinite(free).all()
