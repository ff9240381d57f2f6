"""Effective draws a second: Gibbs on statistics against NumPyro's NUTS, enumerated, float32.

The peer is the same prior with NumPyro's own distributions. Both are timed after warm-up and
compilation; the figure is the bulk effective sample size of the worst label-free quantity (sorted
weights, and the log-density of a few rows) for every second of drawing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import random
from jax.scipy.special import logsumexp
from numpyro.infer import MCMC, NUTS, init_to_value

from ppl_models.distributions import InverseGammaScale, SphericalGaussian
from ppl_models.inference.mcmc.gibbs_kernel import StatisticsGibbs
from ppl_models.inference.problem import Problem
from ppl_models.program.model import Model

from .timing import Row

ROWS, FEATURES, CLUSTERS = 20_000, 16, 8
FIXED_ROWS = 5


def data() -> tuple[np.ndarray, dict[str, Any]]:
    """Clusters that overlap somewhat, and the values that both sides start from."""
    generator = np.random.default_rng(0)
    loc = generator.normal(size=(CLUSTERS, FEATURES)) * 1.2
    labels = generator.integers(0, CLUSTERS, ROWS)
    x = loc[labels] + generator.normal(size=(ROWS, FEATURES))
    start = {"weights": np.full(CLUSTERS, 1 / CLUSTERS), "loc": loc, "scale": np.ones(CLUSTERS)}
    return x.astype(np.float32), {n: jnp.asarray(v, jnp.float32) for n, v in start.items()}


def program(x: Any = None, *, ours: bool = True) -> None:
    """A spherical mixture; ``ours`` chooses the emission alone."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(CLUSTERS)))
    with numpyro.plate("cluster", CLUSTERS):
        loc = numpyro.sample("loc", dist.Normal(jnp.zeros(FEATURES), 3.0).to_event(1))
        scale = numpyro.sample("scale", InverseGammaScale(2.0, 1.0))
    with numpyro.plate("row", ROWS):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        emission = (
            SphericalGaussian(loc[z], scale[z])
            if ours
            else dist.Normal(loc[z], scale[z][..., None]).to_event(1)
        )
        numpyro.sample("x", emission, obs=x)


def worst_ess(samples: dict[str, Any], x: np.ndarray) -> float:
    """Bulk ESS of the worst label-free quantity; samples are ``(chain, draw, ...)``."""
    quantities = [np.sort(np.asarray(samples["weights"]), axis=-1)]
    rows = jnp.asarray(x[:FIXED_ROWS])

    def density(weights: Any, loc: Any, scale: Any) -> Any:
        emission = SphericalGaussian(loc[:, None], scale[:, None])
        return logsumexp(jnp.log(weights)[:, None] + emission.log_prob(rows), axis=0)

    log_densities = jax.vmap(jax.vmap(density))(*(samples[n] for n in ("weights", "loc", "scale")))
    quantities.append(np.asarray(log_densities))
    table = np.concatenate(quantities, -1)
    return min(float(az.ess(table[..., i])) for i in range(table.shape[-1]))


def gibbs(x: np.ndarray, start: dict[str, Any], chains: int = 4, draws: int = 500) -> Callable:
    """Ours: effective draws a second."""
    model = Model(program, {"x": x}, {}, {})
    sampler = MCMC(
        StatisticsGibbs(Problem(model, model.structure())),
        num_warmup=50,
        num_samples=draws,
        num_chains=chains,
        chain_method=jax.vmap,
        progress_bar=False,
    )
    initial = {n: jnp.stack([v] * chains) for n, v in start.items()}
    sampler.warmup(random.key(0), init_params=initial)
    sampler.run(random.key(1))

    def run() -> tuple[float, dict[str, Any]]:
        started = time.perf_counter()
        sampler.run(random.key(2))
        samples = jax.block_until_ready(sampler.get_samples(group_by_chain=True))
        return worst_ess(samples, x) / (time.perf_counter() - started), samples

    return run


def nuts(x: np.ndarray, start: dict[str, Any], warmup: int = 150, draws: int = 100) -> Callable:
    """The peer's."""
    kernel = NUTS(lambda x: program(x, ours=False), init_strategy=init_to_value(values=start))
    sampler = MCMC(kernel, num_warmup=warmup, num_samples=draws, progress_bar=False)
    sampler.warmup(random.key(0), x)
    sampler.run(random.key(1), x)

    def run() -> tuple[float, dict[str, Any]]:
        started = time.perf_counter()
        sampler.run(random.key(2), x)
        samples = jax.block_until_ready(sampler.get_samples(group_by_chain=True))
        return worst_ess(samples, x) / (time.perf_counter() - started), samples

    return run


def run() -> list[Row]:
    """One comparison; refuses to report where the two posteriors differ."""
    x, start = data()
    ours, mine = gibbs(x, start)()
    theirs, peers = nuts(x, start)()
    for name in ("weights", "scale"):
        a = np.sort(np.asarray(mine[name]), -1).reshape(-1, CLUSTERS)
        b = np.sort(np.asarray(peers[name]), -1).reshape(-1, CLUSTERS)
        assert (np.abs(a.mean(0) - b.mean(0)) < 0.5 * a.std(0) + 1e-4).all(), name
    ratio = ours / theirs
    what = (
        f"milliseconds for an effective draw, {ROWS:,} × {FEATURES}, K={CLUSTERS}: Gibbs on "
        "statistics against NUTS"
    )
    return [Row(what, 1 / ours, 1 / theirs, ratio, ratio, ratio, "≥ 50")]
