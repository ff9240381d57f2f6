"""Default priors and EM's starts follow the units of the data: a fit means the same in any."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from ppl_models import fit, log_density
from ppl_models.inference.newton import FARTHEST, minimise

ROWS = 60
UNIT, OFFSET = 1e5, 3e7
EM = {"method": "em", "seed": 0, "clusters": 2, "predictive": 0, "starts": 2}
GENERATOR = np.random.default_rng(0)
GROUP = np.repeat([0, 1], ROWS // 2)
NUMBERS = GENERATOR.normal(size=(ROWS, 3)) * (1 + GROUP[:, None]) + 4 * GROUP[:, None]
SHAPE = np.array([[0.0, 0.5, 1.0], [5.0, 4.0, 3.0]])
GROWTH = SHAPE[GROUP] + GENERATOR.normal(size=(ROWS, 1)) + 0.3 * GENERATOR.normal(size=(ROWS, 3))
CENSORED = (NUMBERS[:, 0] > 5).astype(int)
ERRORS = np.full((ROWS, 3), 0.1)
TIMES = GENERATOR.normal(size=ROWS)
PRICES = np.where(GROUP, 4e5 - 5e4 * TIMES, 2e5 + 3e4 * TIMES)
PRICES = PRICES + 1e4 * GENERATOR.normal(size=ROWS)


def test_steps_reach_numbers_of_any_unit():
    far = jnp.array([3e7, 2.0])

    def loss(v):
        return (((v - far) / jnp.array([1e5, 1.0])) ** 2).sum()

    with jax.enable_x64(True):
        minimum = minimise(loss, jnp.zeros(2), 3, None, jnp.array([1e8, FARTHEST]))
    np.testing.assert_allclose(minimum, far, rtol=1e-6)


def lines(x=None, t=None, *, clusters):
    """A person's own program, whose priors are in the unit of the prices."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    with numpyro.plate("cluster", clusters):
        level = numpyro.sample("level", dist.Normal(3e5, 2e5))
        slope = numpyro.sample("slope", dist.Normal(0.0, 1e5))
        noise = numpyro.sample("noise", dist.HalfNormal(1e5))
    with numpyro.plate("row", len(t)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(level[z] + slope[z] * t, noise[z]), obs=x)


def test_em_of_an_own_program_finds_lines_of_prices():
    tree = fit(lines, {"x": PRICES, "t": TIMES}, **EM)
    fitted = tree["posterior"].isel(chain=0, draw=0)
    order = np.argsort(fitted["level"].values)
    np.testing.assert_allclose(fitted["level"].values[order], [2e5, 4e5], rtol=0.05)
    np.testing.assert_allclose(fitted["slope"].values[order], [3e4, -5e4], rtol=0.2)
    np.testing.assert_allclose(fitted["noise"].values[order], 1e4, rtol=0.3)


@pytest.mark.parametrize(
    ("name", "data", "cells"),
    [
        # (5 to 10 seconds of compilation each; steps in any unit and an own program: above)
        pytest.param("growth_mixture", {"x": GROWTH}, 3 * ROWS, marks=pytest.mark.long),
        pytest.param(
            "censored_mixture",
            {"x": NUMBERS[:, 0], "censored": CENSORED},
            ROWS - CENSORED.sum(),
            marks=pytest.mark.long,
        ),
        pytest.param(
            "extreme_deconvolution",
            {"x": NUMBERS, "errors": ERRORS},
            3 * ROWS,
            marks=pytest.mark.long,
        ),
        pytest.param("student_t_mixture", {"x": NUMBERS}, 3 * ROWS, marks=pytest.mark.long),
        pytest.param("factor_analysis_mixture", {"x": NUMBERS}, 3 * ROWS, marks=pytest.mark.long),
    ],
)
def test_default_fits_in_another_unit_are_the_same(name, data, cells):
    other = {n: UNIT * v + OFFSET if n == "x" else v for n, v in data.items()}
    if "errors" in other:
        other["errors"] = UNIT**2 * ERRORS
    one, two = (float(log_density(fit(name, d, **EM)).sum()) for d in (data, other))
    # what is left: EM stops where a step gains less than its tolerance
    assert abs(two + cells * np.log(UNIT) - one) < 0.05
