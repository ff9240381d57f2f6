"""Newton's method leaves saddles, and says whether it came to a minimum."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ppl_models.inference.newton import minimise_and_tell, promised_fall


def _saddle(v):
    """Minima at ``(±1000, 5)``, and a saddle between them."""
    u = v[0] / 1000
    return (u**2 - 1) ** 2 + (v[1] - 5.0) ** 2


def test_a_saddle_is_left_whatever_the_units():
    with jax.enable_x64(True):
        for start in ([0.0, 5.0], [1e-9, 5.0], [0.0, -40.0]):
            place, there, _ = minimise_and_tell(
                _saddle, jnp.array(start), 30, farthest=jnp.array([1e4, 10.0])
            )
            np.testing.assert_allclose(np.abs(place), [1000.0, 5.0], rtol=1e-6)
            assert there


def test_an_end_short_of_a_minimum_is_told():
    with jax.enable_x64(True):
        at_saddle, on_slope, at_minimum = (
            minimise_and_tell(_saddle, jnp.array(v), 1, farthest=1e4)[1]
            for v in ([0.0, 5.0], [700.0, 5.0], [1000.0, 5.0])
        )
    assert not at_saddle
    assert not on_slope
    assert at_minimum


def test_a_fall_that_does_not_matter_is_let_pass():
    with jax.enable_x64(True):
        near = jnp.array([1000.0, 5.01])
        fall = promised_fall(_saddle, near, farthest=1e4)
        assert minimise_and_tell(_saddle, near, 1, farthest=1e4, enough=2 * fall)[1]
        assert not minimise_and_tell(_saddle, near, 1, farthest=1e4, enough=0.5 * fall)[1]


def test_flat_directions_are_no_saddles():
    """A coordinate far down an exponential tail has a curvature of rounding, of either sign."""
    with jax.enable_x64(False):

        def loss(v):
            return 8.0 + jnp.exp(2 * v[0]) - 1e-9 * v[0] ** 2 + (v[1] - 1) ** 2

        place, there, _ = minimise_and_tell(loss, jnp.array([-12.0, 1.0]), 20)
    assert there
    assert place[1] == 1.0


def _clamped(v):
    """Slopes everywhere, and no second derivative: 0 · ∞ where a probability of 0 is clamped."""
    never = jnp.clip(0.0 * v[0], jnp.finfo(v.dtype).tiny, 1.0)
    return (v[0] - 3) ** 2 + jnp.log(never) + (v[1] * v[0]) ** 2


def test_a_hessian_that_is_no_number_is_told_and_replaced_by_differences():
    for precise in (False, True):
        with jax.enable_x64(precise):
            start = jnp.array([1.0, 2.0])
            assert np.isfinite(jax.grad(_clamped)(start)).all()
            stands = minimise_and_tell(_clamped, start, 30)
            assert not stands.there and not stands.bends
            assert promised_fall(_clamped, start) == jnp.inf
            moves = minimise_and_tell(_clamped, start, 60, differences=True)
            assert moves.there and moves.bends
            np.testing.assert_allclose(moves.place, [3.0, 0.0], atol=1e-7 if precise else 1e-2)


def test_many_numbers_end_at_a_minimum_or_tell_that_they_do_not():
    """L-BFGS, of a valley whose curvatures differ a thousandfold."""
    with jax.enable_x64(True):
        curvature = jnp.logspace(-1, 2, 80)

        def loss(v):
            return 0.5 * (curvature * (v - 1) ** 2).sum()

        there = minimise_and_tell(loss, jnp.zeros(80), 60, enough=1e-4)
        assert there.there
        assert loss(there.place) < 1e-3
        short = minimise_and_tell(loss, jnp.zeros(80), 2, enough=1e-4)
        assert not short.there
        assert loss(short.place) > 1e-3
        assert not minimise_and_tell(loss, jnp.zeros(80), 0).there
