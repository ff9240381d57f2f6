"""Survival times and detection limits: closed forms, and what may not be given."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from ppl_models import fit
from ppl_models.errors import InputError

TIMES = np.array([1.0, 2.0, 2.5, 4.0, 4.0, 4.0, 0.5, 3.0])
UNSEEN = np.array([0, 0, 0, 1, 1, 1, 0, 0])
LIFE = {"x": TIMES, "censored": UNSEEN}


def test_the_mode_of_an_exponential_is_total_time_over_events():
    """With log σ spread widely: σ = T / (d + 1), the prior of σ being flat in log σ."""
    tree = fit("censored_mixture", LIFE, clusters=1, family="exponential", scale_spread=1e3,
               method="em", seed=0, starts=1, predictive=0)  # fmt: skip
    assert "3 of 8 numbers are bounds (3 more than x, 0 less, 0 between)" in tree.attrs["notes"]
    events = (UNSEEN == 0).sum()
    np.testing.assert_allclose(
        tree["posterior"]["scale"].values.item(), TIMES.sum() / (events + 1), rtol=1e-4
    )
    with pytest.raises(InputError, match="row 3 is 4"):
        fit("censored_mixture", {"x": TIMES, "censored": UNSEEN + np.arange(8)}, clusters=1,
            method="em", seed=0)  # fmt: skip


def test_the_mode_of_intervals_is_that_of_their_probabilities():
    """Exponential times, seen at visits 1 apart: exp(-1 / σ) = T / (T + rows), T whole visits."""
    visits = np.array([0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 1.0, 0.0])
    data = {"x": visits + 1e-12, "censored": np.full(8, 2), "until": visits + 1}
    tree = fit("censored_mixture", data, clusters=1, family="exponential", method="em", seed=0,
               starts=1, priors="flat", predictive=0)  # fmt: skip
    assert "8 of 8 numbers are bounds (0 more than x, 0 less, 8 between)" in tree.attrs["notes"]
    expected = -1 / np.log(visits.sum() / (visits.sum() + 8))
    np.testing.assert_allclose(tree["posterior"]["scale"].values.item(), expected, rtol=1e-4)


def test_what_has_no_density_is_refused():
    arguments = {"clusters": 1, "method": "em", "seed": 0}
    for data, options, said in (
        ({"x": -TIMES}, {"family": "weibull"}, "emits values in Positive.*row 0 is -1"),
        ({"x": TIMES}, {"above": 1.0}, "row 6 is 0.5, and above says that none is below 1"),
        ({"x": TIMES}, {"below": 3.5}, "row 3 is 4, and below says"),
        ({"x": TIMES}, {"above": 5.0, "below": 3.5}, "give a window"),
        ({"x": TIMES, "censored": 2 * UNSEEN}, {}, "censored of row 3 is 2.*give until"),
        ({"x": TIMES, "until": TIMES + 1}, {}, "until is given without censored"),
        ({"x": TIMES, "censored": 2 * UNSEEN, "until": TIMES}, {}, "row 3 begins at x = 4 and"),
        ({"x": TIMES, "censored": 2 * UNSEEN, "until": TIMES + 1}, {"below": 4.5}, "row 3 is 5"),
        ({"x": TIMES}, {"family": "gamma"}, "choose one of normal, lognormal"),
    ):
        with pytest.raises(InputError, match=said):
            fit("censored_mixture", data, **arguments, **options)


@pytest.mark.long
def test_em_finds_the_maximum_that_an_optimiser_finds():
    """Two lognormal clusters, a detection limit below: the log posterior by SciPy's functions."""
    g = np.random.default_rng(0)
    truth = np.exp(np.concatenate([g.normal(0, 0.4, 150), g.normal(3, 0.4, 100)]))
    below = truth < 1.0
    x, side = np.where(below, 1.0, truth), -1.0 * below
    tree = fit("censored_mixture", {"x": x, "censored": side}, clusters=2, family="lognormal",
               method="em", seed=0, starts=3, predictive=0)  # fmt: skip
    loc = np.sort(tree["posterior"]["loc"].values.ravel())
    np.testing.assert_allclose(loc, [0, 3], atol=0.15)  # 0.4 higher if limits counted as values

    def loss(v):
        proportion, locs, scales = 1 / (1 + np.exp(-v[0])), v[1:3], np.exp(v[3:])
        terms = [
            np.log(w) + np.where(below, stats.norm(m, s).logcdf(np.log(x)),
                                 stats.lognorm(s, scale=np.exp(m)).logpdf(x))
            for w, m, s in zip((proportion, 1 - proportion), locs, scales, strict=True)
        ]  # fmt: skip
        return -np.logaddexp(*terms).sum()

    best = -optimize.minimize(loss, [0, 0, 3, -1, -1], method="Nelder-Mead",
                              options={"maxiter": 4000, "fatol": 1e-8}).fun  # fmt: skip
    ours = float(tree["log_likelihood"]["x"].sum())
    assert best - 0.5 < ours <= best + 1e-6  # the prior's pull


@pytest.mark.long
def test_nuts_draws_the_posterior_of_censored_times():
    tree = fit("censored_mixture", LIFE, clusters=1, family="exponential", method="nuts", seed=0,
               chains=2, warmup=300, draws=1000, predictive=0)  # fmt: skip
    drawn = np.log(tree["posterior"]["scale"].values).ravel()
    events, middle = (UNSEEN == 0).sum(), np.log(TIMES.mean())

    def density(u):
        return np.exp(-events * u - TIMES.sum() / np.exp(u) - 0.5 * ((u - middle) / 1.5) ** 2)

    total, mean = (integrate.quad(lambda u, p=p: u**p * density(u), -3, 6)[0] for p in (0, 1))
    assert abs(drawn.mean() - mean / total) < 5 * drawn.std() / np.sqrt(200)
