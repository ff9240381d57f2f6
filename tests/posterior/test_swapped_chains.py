"""What NumPyro alone reports of a mixture, and what is reported of the same posterior here."""

from __future__ import annotations

import arviz as az
import jax
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS, init_to_uniform

from ppl_models import diagnose, fit
from ppl_models.models.gaussian_mixture import gaussian_mixture

SITES = ["weights", "loc", "scale"]
SIZE = {"chains": 4, "warmup": 300, "draws": 600}


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(4)
    return np.concatenate([generator.normal(m, 1.0, 50) for m in (-4, 0, 5)])


@pytest.fixture(scope="module")
def repaired(rows):
    return fit(
        "gaussian_mixture", rows, method="nuts", seed=1, clusters=3, predictive=0, starts=8,
        dispersion=0.5, **SIZE,
    )  # fmt: skip


@pytest.mark.long
def test_chains_disagree_in_numpyro_alone_and_agree_here(rows, repaired):
    sampler = MCMC(
        NUTS(gaussian_mixture, init_strategy=init_to_uniform(radius=3)),
        num_warmup=200, num_samples=100, num_chains=SIZE["chains"],
        chain_method="vectorized", progress_bar=False,
    )  # fmt: skip
    with jax.enable_x64(True):
        sampler.run(jax.random.key(3), rows, clusters=3)
    alone = sampler.get_samples(group_by_chain=True)
    assert max(float(np.max(az.rhat(np.asarray(alone["loc"])[..., k]))) for k in range(3)) > 1.5
    rhat = az.rhat(repaired["posterior"].dataset[SITES])
    assert max(float(rhat[n].max()) for n in SITES) <= 1.01
    assert diagnose(repaired).trustworthy


@pytest.mark.long
def test_a_chain_in_another_mode_is_still_told(rows, repaired):
    """Its clusters are others whatever they are called: two share what is one, one has two."""
    held = {"loc": np.array([-2.0, 4.3, 5.7])}
    lesser = fit(
        "gaussian_mixture", rows, method="gibbs", seed=1, clusters=3, predictive=0, starts=0,
        fixed=held, **SIZE,
    )  # fmt: skip
    mixed = repaired.copy(deep=True)
    for name in ("weights", "scale"):
        values = mixed["posterior"][name].values
        values[3] = lesser["posterior"][name].values[3]
    mixed["posterior"]["loc"].values[3] = held["loc"]
    mixed["sample_stats"]["lp"].values[3] = lesser["sample_stats"]["lp"].values[3]
    mixed["log_likelihood"]["x"].values[3] = lesser["log_likelihood"]["x"].values[3]
    diagnosis = diagnose(mixed)
    assert not diagnosis.trustworthy
    wrong = " ".join(f.what for f in diagnosis.findings if f.severity == "problem")
    assert "chain" in wrong.lower()
