"""Chains whose data have other lengths than their steps: lags, and lengths of series."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.contrib.control_flow import scan

from ppl_models import fit, generate, impute, load, log_density, predict, save
from ppl_models.errors import UnsupportedError
from ppl_models.evaluation import loo
from ppl_models.inference.gradient.batches import make_batches
from ppl_models.inference.problem import Problem
from ppl_models.plots.choose import choose_plots
from ppl_models.program.reading import read_data, read_program

HIDDEN = {"enumerate": "parallel"}
STATE = (np.arange(40) // 10) % 2


def switching(y):
    """Every step looks back at the last value, so that there is one value more than steps."""
    stay = numpyro.sample("stay", dist.Dirichlet(jnp.ones((2, 2))).to_event(1))
    slope = numpyro.sample("slope", dist.Normal(0, 1).expand([2]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1).expand([2]).to_event(1))

    def step(state, values):
        last, now = values
        state = numpyro.sample("state", dist.Categorical(stay[state]), infer=HIDDEN)
        numpyro.sample("y", dist.Normal(slope[state] * last, noise[state]), obs=now)
        return state, None

    scan(step, 0, (y[:-1], y[1:]))


def ragged(y, lengths):
    """Series of unequal lengths, a number of steps a series."""
    series, steps = y.shape
    stay = numpyro.sample("stay", dist.Dirichlet(jnp.ones((2, 2))).to_event(1))
    rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5).expand([2]).to_event(1))

    def step(carry, now):
        state, time = carry
        inside = numpyro.handlers.mask(mask=time < lengths)
        with numpyro.plate("series", series, dim=-1), inside:
            state = numpyro.sample("state", dist.Categorical(stay[state]), infer=HIDDEN)
            numpyro.sample("y", dist.Poisson(rate[state]), obs=now)
        return (state, time + 1), None

    scan(step, (jnp.zeros(series, int), 0), y.T)


@pytest.mark.parametrize(
    ("program", "data", "own", "rows"),
    [
        (switching, {"y": np.arange(6.0)}, ("y", "y_dim_0", 6), 5),
        (ragged, {"y": np.ones((3, 4), int), "lengths": np.array([4, 2, 3])},
         ("lengths", "series", 3), 12),
    ],
)  # fmt: skip
def test_data_keep_their_own_axes_and_are_never_cut_into_rows(program, data, own, rows):
    observed = read_data(program, data, arguments={})
    problem = Problem(*read_program(program, observed, {}, {}, "float32"))
    assert problem.structure.rows == rows and own in problem.structure.lines
    (bucket,) = make_batches(problem, np.arange(rows), 2, 0).buckets
    assert {n: bucket.data[n].shape for n in data} == {n: v.shape for n, v in data.items()}


def test_one_value_more_than_steps(tmp_path):
    noise = np.random.default_rng(0).normal(size=40) * np.where(STATE, 0.1, 1.0)
    y = np.concatenate([[0.0], np.cumsum(noise)])
    tree = fit(switching, {"y": y}, method="map", seed=0, steps=20, predictive=0)
    assert predict(tree).sizes == {"step": 40, "cluster": 2}
    assert predict(tree, {"y": y[:12]}).sizes["step"] == 11
    full, part = float(log_density(tree).sum()), float(log_density(tree, {"y": y[:12]}).sum())
    assert np.isfinite([full, part]).all() and full != part
    assert generate(tree, 40, seed=1).sizes["step"] == 40
    assert impute(tree, seed=1, draws=2).sizes["step"] == 40
    save(tree, tmp_path / "fit.nc")
    np.testing.assert_allclose(predict(load(tmp_path / "fit.nc")), predict(tree), atol=1e-6)


@pytest.mark.parametrize("method", ["map", "svi"])
def test_lengths_of_series(method):
    draw = np.random.default_rng(1)
    lengths = np.array([8, 5, 6, 8, 3])
    y = draw.poisson(np.where(draw.random((5, 8)) < 0.5, 2, 9))
    data = {"y": y, "lengths": lengths}
    tree = fit(ragged, data, method=method, seed=0, steps=20, predictive=0)
    probabilities = predict(tree)
    inside = np.arange(8) < lengths[:, None]
    np.testing.assert_allclose(probabilities.values[inside].sum(-1), 1, atol=1e-5)
    assert np.isnan(probabilities.values[~inside]).all()
    # the parameters of the states are known by no name: no picture needs them
    assert not [p.name for p in choose_plots(tree) if "profile" in p.name]


def test_series_that_are_no_first_axis_are_not_left_out_by_refits():
    """Folds cut the first axis, which would be steps of all series."""

    def by_step(y):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.5).expand([2]).to_event(1))

        def step(state, now):
            with numpyro.plate("series", y.shape[1], dim=-1):
                stay = jnp.array([[0.8, 0.2], [0.3, 0.7]])[state]
                state = numpyro.sample("state", dist.Categorical(stay), infer=HIDDEN)
                numpyro.sample("y", dist.Poisson(rate[state]), obs=now)
            return state, None

        scan(step, jnp.zeros(y.shape[1], int), y)

    y = np.random.default_rng(2).poisson(4, size=(6, 4))
    tree = fit(by_step, {"y": y}, method="map", seed=0, steps=5, predictive=0)
    with pytest.raises(UnsupportedError, match="not the first axis of 'y': call loo without refit"):
        loo._refit(tree, None, np.zeros(4, bool))
