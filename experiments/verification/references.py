"""Posteriors that others have drawn too: the mixtures of posteriordb, by NUTS and by Gibbs.

`low_dim_gauss_mix` comes with 10,000 reference draws; `normal_2` and `normal_5` come with none,
because their labels switch. What does not depend on labels has a posterior all the same, and is
written here as references: `normal_5.json`, in posteriordb's own measure of 10 chains of 1,000
draws, with Monte Carlo errors.

Magnusson, M. et al. (2025). posteriordb: Testing, benchmarking and developing Bayesian inference
algorithms. AISTATS.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arviz as az
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import xarray as xr
from scipy.stats import norm

from ppl_models import fit, relabel

FOLDER = Path(__file__).parents[3] / "shared" / "reference" / "posteriordb"
HERE = Path(__file__).parent
#: Where the density of the mixture is looked at.
POINTS = {"normal_2": (-12.0, -10.0, -8.0, 8.0, 10.0), "normal_5": (-6.0, -3.0, 0.0, 3.0, 6.0)}
HEADER = (
    "| posterior | method | quantities | largest error, in standard errors | smallest ESS |\n"
    "|---|---|---:|---:|---:|"
)


def low_dim_gauss_mix(x=None, *, rows=None):
    """posteriordb's `low_dim_gauss_mix`, unordered: its priors do not tell the two apart."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.full(2, 5.0)))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0, 2))
        scale = numpyro.sample("scale", dist.HalfNormal(2))
    with numpyro.plate("row", rows if x is None else x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)


def normal_2(x=None, *, rows=None):
    """posteriordb's `normal_mixture`: two normals of scale one."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0, 10))
    with numpyro.plate("row", rows if x is None else x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], 1.0), obs=x)


def normal_5(x=None, *, rows=None):
    """posteriordb's `normal_mixture_k` with five normals."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(5)))
    with numpyro.plate("cluster", 5):
        loc = numpyro.sample("loc", dist.Normal(0, 10))
        scale = numpyro.sample("scale", dist.Uniform(0, 10))
    with numpyro.plate("row", rows if x is None else x.shape[0]):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], scale[z]), obs=x)


@dataclass(frozen=True)
class Posterior:
    """A program of posteriordb and where its data are."""

    program: Callable[..., Any]
    folder: str

    @property
    def data(self) -> np.ndarray:
        """The observations, ``(row,)``."""
        return np.asarray(json.loads((FOLDER / self.folder / "data.json").read_text())["y"])


POSTERIORS = {
    "low_dim_gauss_mix": Posterior(low_dim_gauss_mix, "low_dim_gauss_mix-low_dim_gauss_mix"),
    "normal_2": Posterior(normal_2, "normal_2-normal_mixture"),
    "normal_5": Posterior(normal_5, "normal_5-normal_mixture_k"),
}


def invariants(posterior: xr.Dataset, points: tuple[float, ...]) -> xr.Dataset:
    """What does not depend on labels, ``(chain, draw)`` each.

    Args:
        posterior: ``weights``, ``loc`` and (else one) ``scale``.
        points: where the mixture's density is looked at.
    """
    weights, loc = posterior["weights"], posterior["loc"]
    scale = posterior["scale"] if "scale" in posterior else xr.ones_like(loc)
    mean = (weights * loc).sum("cluster")
    quantities = {
        "mean of the mixture": mean,
        "variance of the mixture": (weights * (scale**2 + loc**2)).sum("cluster") - mean**2,
        "entropy of the weights": -(weights * np.log(weights)).sum("cluster"),
        "largest weight": weights.max("cluster"),
        "smallest weight": weights.min("cluster"),
        "smallest location": loc.min("cluster"),
        "largest location": loc.max("cluster"),
        "smallest scale": scale.min("cluster"),
        "largest scale": scale.max("cluster"),
    }
    for point in points:
        density = xr.apply_ufunc(norm.pdf, point, loc, scale)
        quantities[f"log density at {point:g}"] = np.log((weights * density).sum("cluster"))
    return xr.Dataset({n: v for n, v in quantities.items() if float(v.std()) > 0})


def summary(draws: xr.Dataset) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, Monte Carlo error of both, and effective sample sizes."""
    bulk, sd_error = az.ess(draws, method="mean"), az.mcse(draws, method="sd")
    lines = {}
    for name, values in draws.items():
        sd, ess = float(values.std(ddof=1)), float(bulk[name])
        lines[str(name)] = {
            "mean": float(values.mean()), "sd": sd, "mcse_mean": sd / ess**0.5,
            "mcse_sd": float(sd_error[name]), "ess": ess, "rhat": float(az.rhat(values)),
        }  # fmt: skip
    return lines


def reference_draws() -> xr.Dataset:
    """posteriordb's draws of `low_dim_gauss_mix`, ordered by location and named as ours."""
    path = FOLDER / POSTERIORS["low_dim_gauss_mix"].folder / "reference_draws.json"
    chains = json.loads(path.read_text())
    table = {name: np.array([chain[name] for chain in chains]) for name in chains[0]}
    dims = ("chain", "draw")
    return xr.Dataset({
        "loc 0": (dims, table["mu[1]"]), "loc 1": (dims, table["mu[2]"]),
        "scale 0": (dims, table["sigma[1]"]), "scale 1": (dims, table["sigma[2]"]),
        "weight 0": (dims, table["theta"]),
    })  # fmt: skip


def ordered(tree: xr.DataTree) -> xr.Dataset:
    """Draws of two clusters in the order of their locations, named as :func:`reference_draws`."""
    posterior = relabel(tree, "order", variable="loc")["posterior"].to_dataset()
    parts = {"loc": "loc", "scale": "scale", "weight": "weights"}
    quantities = {
        f"{n} {k}": posterior[v].isel(cluster=k) for n, v in parts.items() for k in (0, 1)
    }
    quantities.pop("weight 1")
    return xr.Dataset({n: v.drop_vars("cluster", errors="ignore") for n, v in quantities.items()})


def draw(name: str, method: str, *, chains: int, draws: int, warmup: int = 1000) -> xr.DataTree:
    """Fit one of the posteriors."""
    one = POSTERIORS[name]
    return fit(one.program, one.data, method=method, seed=5, chains=chains, draws=draws,
               warmup=warmup, starts=20, predictive=0, relabel=None)  # fmt: skip


def errors(estimated: dict, expected: dict) -> np.ndarray:
    """Differences of means and of standard deviations in standard errors of both sides."""
    return np.array([
        abs(estimated[n][what] - expected[n][what])
        / np.hypot(estimated[n][f"mcse_{what}"], expected[n][f"mcse_{what}"])
        for n in expected for what in ("mean", "sd")
    ])  # fmt: skip


def compare(name: str, method: str, **size: int) -> tuple[np.ndarray, dict]:
    """Errors against the reference of a posterior, and the summary that they are of."""
    tree = draw(name, method, **size)
    if name == "low_dim_gauss_mix":
        estimated, expected = summary(ordered(tree)), summary(reference_draws())
    else:
        estimated = summary(invariants(tree["posterior"].to_dataset(), POINTS[name]))
        expected = json.loads((HERE / f"{name}.json").read_text())["quantities"]
    return errors(estimated, expected), estimated


def publish(name: str) -> None:
    """Write references of what does not depend on labels: 10 chains of 1,000 thinned draws."""
    tree = draw(name, "nuts", chains=10, draws=1000)
    quantities = summary(invariants(tree["posterior"].to_dataset(), POINTS[name]))
    text = {
        "posterior": POSTERIORS[name].folder,
        "made by": "python -m experiments.verification references: NUTS, 10 chains of 1,000 draws "
                   "after 1,000 of warm-up, started about the best of 20 starts of EM",
        "divergences": int(tree["sample_stats/diverging"].sum()),
        "quantities": quantities,
    }  # fmt: skip
    (HERE / f"{name}.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def table() -> list[str]:
    """References anew, then every posterior by both samplers; lines of the table."""
    lines = []
    for name in ("normal_2", "normal_5"):
        publish(name)
    for name in POSTERIORS:
        for method, draws in (("nuts", 1000), ("gibbs", 4000)):
            off, estimated = compare(name, method, chains=4, draws=draws)
            least = min(v["ess"] for v in estimated.values())
            lines.append(f"| {name} | {method} | {len(off)} | {off.max():.1f} | {least:.0f} |")
            print(lines[-1], flush=True)
    return lines
