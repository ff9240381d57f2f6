"""EM of densities that NumPyro clamps: slopes, but no second derivative."""

from __future__ import annotations

import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from ppl_models import fit
from ppl_models.inference.em import driver

SITES, VISITS = 60, 4


def occupancy(x, y=None):
    """Is a species there, and is it seen? Never where it is not (MacKenzie et al. 2002)."""
    level = numpyro.sample("level", dist.Normal(0, 2))
    slope = numpyro.sample("slope", dist.Normal(0, 2))
    seen = numpyro.sample("seen", dist.Beta(1, 1))
    with numpyro.plate("site", len(x), dim=-1):
        there = numpyro.sample(
            "there", dist.Bernoulli(logits=level + slope * x), infer={"enumerate": "parallel"}
        )
        with numpyro.plate("visit", VISITS, dim=-2):
            numpyro.sample("y", dist.Bernoulli(there * seen), obs=y)


def _data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=SITES)
    there = draw.random(SITES) < expit(0.3 + 1.2 * x)
    return {"x": x, "y": ((draw.random((VISITS, SITES)) < 0.6) & there).astype(int)}


def _minus_log_posterior(point, x, y):
    level, slope, logit = point
    seen, there = expit(logit), expit(level + slope * x)
    once = np.log(there) + y.sum(0) * np.log(seen) + (VISITS - y.sum(0)) * np.log1p(-seen)
    never = np.where(y.any(0), -np.inf, np.log1p(-there))
    return -(np.logaddexp(once, never).sum() + norm.logpdf([level, slope], 0, 2).sum())


@pytest.mark.parametrize("method", ["em", "hard"])
def test_em_moves(method):
    data = _data()
    best = minimize(_minus_log_posterior, np.zeros(3), args=(data["x"], data["y"])).x
    tree = fit(occupancy, data, method=method, seed=0, starts=3, predictive=0, precision="float64")
    estimates = [tree["posterior"][n].item() for n in ("level", "slope", "seen")]
    assert tree["starts/converged"].values.all()
    if method == "em":
        np.testing.assert_allclose(estimates, [*best[:2], expit(best[2])], atol=1e-4)
        return
    # the best assignments: a site is empty where nothing was seen, and where that is likelier
    _, slope, seen = estimates
    assert abs(slope) > 0.3 and 0.3 < seen < 0.9


def test_starts_that_are_run_again_keep_their_kinds(monkeypatch):
    """Long starts are thinned out by short runs; without a Hessian all of them begin anew."""
    monkeypatch.setattr(driver, "_is_long", lambda *_: True)
    tree = fit(occupancy, _data(), method="em", seed=0, starts=8, predictive=0)
    assert tree["starts"].sizes["start"] == 8
    assert tree["starts/converged"].values.all()
    assert set(tree["starts/initialization"].values) > {"random", "partition"}


def test_site_wide_weights_are_no_weights_of_clusters():
    """Probabilities of a Bernoulli site, one a row, are not those of clusters."""
    data = _data()

    def wide(x, y=None):
        level = numpyro.sample("level", dist.Normal(0, 2))
        seen = numpyro.sample("seen", dist.Beta(1, 1))
        with numpyro.plate("site", len(x)):
            there = numpyro.sample(
                "there", dist.Bernoulli(logits=level + x), infer={"enumerate": "parallel"}
            )
            chance = there[..., None] * seen * np.ones(VISITS)
            numpyro.sample("y", dist.Bernoulli(chance).to_event(1), obs=y)

    rows = {"x": data["x"], "y": data["y"].T}
    tree = fit(wide, rows, method="em", seed=0, starts=2, predictive=0)
    assert tree["starts/converged"].values.all()
    assert "there.probs" not in tree.get("parameters", {})
