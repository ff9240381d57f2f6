"""Seconds from a new process to its answer: imports, compilation and all, Old Faithful (272 × 2).

Every line is a process of its own, with a cache of compiled programs that is empty or that one
process before it has filled; the interpreter's start counts. Medians of three.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from ppl_models.data import old_faithful

from .timing import Timed

TIMES = 3  #: processes a line
PEER = "no aim"

FIT = """
from ppl_models import fit
from ppl_models.data import old_faithful
x = old_faithful()
"""
EM = FIT + "print(fit('gaussian_mixture', x, method='em', seed=0, clusters=2)['posterior/loc'])"
GIBBS = EM.replace("'em'", "'gibbs'")
OTHER_ROWS = """
import time
fit('gaussian_mixture', x, method='em', seed=0, clusters=2)
started = time.perf_counter()
fit('gaussian_mixture', x[:250], method='em', seed=1, clusters=2)
print(time.perf_counter() - started)
"""
#: as one writes it in NumPyro
PROGRAM = """
import jax.numpy as jnp, numpyro, numpyro.distributions as dist
def program(x=None):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(2)))
    with numpyro.plate("cluster", 2):
        loc = numpyro.sample("loc", dist.Normal(0, 10).expand([2]).to_event(1))
        scale = numpyro.sample("scale", dist.LogNormal(0, 1).expand([2]).to_event(1))
    with numpyro.plate("rows", 272):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.Normal(loc[z], scale[z]).to_event(1), obs=x)
"""
STANDARD = "x = (x - x.mean()) / x.std()\n"
NUTS = FIT + PROGRAM + STANDARD + "print(fit(program, x, method='nuts', seed=0)['posterior/loc'])"
BARE = (
    FIT
    + PROGRAM
    + STANDARD
    + """
import jax
from numpyro.infer import MCMC, NUTS
mcmc = MCMC(NUTS(program), num_warmup=1000, num_samples=1000, num_chains=4,
            chain_method="vectorized", progress_bar=False)
mcmc.run(jax.random.key(0), jnp.asarray(x.to_numpy(), float))
print(mcmc.get_samples()["loc"].mean())
"""
)
SKLEARN = """
import pandas as pd, sys
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
x = pd.read_csv(sys.argv[1]).to_numpy()
print(KMeans(2, n_init=10, random_state=0).fit(x).inertia_)
print(GaussianMixture(2, n_init=10, random_state=0).fit(x).means_)
"""
CHOICE = """
from ppl_models import choose_clusters
from ppl_models.data import old_faithful
for covariance in ("spherical", "diagonal", "tied", "full"):
    print(choose_clusters("gaussian_mixture", old_faithful(), range(1, 11), seed=0,
                          covariance=covariance))
"""
CODE = [sys.executable, "-c"]


def run() -> Iterator[Timed]:
    """Every line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "faithful.csv")
        old_faithful().to_csv(table, index=False)
        cold = [_seconds([*CODE, EM], Path(folder, f"cold {i}")) for i in range(TIMES)]
        yield Timed("new process to EM's answer, nothing cached", median(cold), "≤ 4")
        yield _second("new process to EM's answer", [*CODE, EM], folder, "≤ 1.5")
        yield _second(
            "scikit-learn, KMeans and GaussianMixture, ten starts each",
            [*CODE, SKLEARN, str(table)],
            folder,
            PEER,
        )
        words = [*CODE, FIT + OTHER_ROWS]
        _seconds(words, Path(folder, "kept"))
        again = [_printed(words, Path(folder, "kept")) for _ in range(TIMES)]
        yield Timed(
            "a second fit by EM in the process, another number of rows", median(again), "≤ 0.05"
        )
        draws = "4 × 1,000 draws"
        yield _second(f"Gibbs sampling, {draws}", [*CODE, GIBBS], folder, "≤ 3")
        yield _second(f"NUTS, {draws}, a user's program", [*CODE, NUTS], folder, "≤ 4")
        yield _second(f"NumPyro's NUTS, {draws}, the same program", [*CODE, BARE], folder, PEER)
        yield _second(
            "choose_clusters by EM, K = 1 … 10, four covariances", [*CODE, CHOICE], folder, "≤ 3"
        )
        program = [sys.executable, "-m", "ppl_models"]
        tree, page = str(Path(folder, "fit.nc")), str(Path(folder, "page.html"))
        both = [
            [*program, "fit", "gaussian_mixture", str(table), "--method", "gibbs", "--seed", "0",
             "--clusters", "2", "--out", tree, "--overwrite"],
            [*program, "report", tree, "--out", page, "--overwrite"],
        ]  # fmt: skip
        times = [
            sum(_seconds(words, Path(folder, "kept")) for words in both) for _ in range(1 + TIMES)
        ]
        yield Timed("ppl-models fit --method gibbs and report", median(times[1:]), "≤ 8")


def _second(what: str, words: list[str], folder: str, aim: str) -> Timed:
    """Of processes after a first one, which has filled the cache."""
    cache = Path(folder, "kept")
    _seconds(words, cache)
    return Timed(
        f"{what}, second process", median(_seconds(words, cache) for _ in range(TIMES)), aim
    )


def _seconds(words: list[str], cache: Path) -> float:
    started = time.perf_counter()
    _printed_text(words, cache)
    return time.perf_counter() - started


def _printed(words: list[str], cache: Path) -> float:
    return float(_printed_text(words, cache).split()[-1])


def _printed_text(words: list[str], cache: Path) -> str:
    """What a process prints that keeps compiled programs in a folder, as a user's would."""
    dropped = ("JAX_", "XLA_", "PPL_MODELS_")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(dropped)}
    environment["PPL_MODELS_CACHE_DIR"] = str(cache)
    if words[-1] == BARE:  # NumPyro keeps nothing by itself: JAX's cache is on for both
        environment["JAX_COMPILATION_CACHE_DIR"] = str(cache / "bare")
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.run(
        words, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
