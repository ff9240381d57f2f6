"""How many clusters are there, and who decides?

Question
    A clustering method is either told the number of clusters K or estimates it. Does the estimate
    come from the data or from prior assumptions? Two classic data sets: the velocities of 82
    galaxies, and the ratings of 118 slides by seven pathologists.

Model
    Galaxies: x_n ~ Normal(μ_k, σ_k²) in cluster k, μ_k ~ Normal(m, R²) with m the midpoint and R
    the range of the data, σ_k² ~ InverseGamma(2, C0). Six estimates of the number:

    - BIC at the maximum likelihood, with unequal variances (`gaussian_mixture`) or equal ones (the
      program below).
    - A mixture of finite mixtures: K has a prior and is sampled (`method="telescoping"`), with the
      dynamic prior K - 1 ~ BetaNegativeBinomial(1, 4, 3), weights ~ Dirichlet(α / K),
      α ~ F(6, 3).
    - The same with the prior of Richardson and Green: K uniform on 1 to 30, weights ~ Dirichlet(1).
    - A sparse overfitted mixture: K too large, weights ~ Dirichlet(0.01); the number of filled
      clusters.
    - A truncated stick-breaking Dirichlet process; the number of filled clusters.
    - DP-means: k-means with a penalty for every cluster.

    Richardson and Green's C0 has a prior, C0 ~ Gamma(0.2, 10 / R²). The telescoping sampler needs
    conjugate updates, so that it is run at a grid of fixed C0 and the runs are combined: the
    derivative d log p(x | C0) / d log C0 is the posterior mean of Σ_k (2 - C0 / σ_k²) over filled
    clusters, and its integral along the grid gives p(C0 | x). The prior of K and of the weights
    affects the posterior through the partition alone, so that the drawn partitions are reweighted
    to another prior:
    p(partition) = Σ_K p(K) K!/(K - K₊)! Γ(Ke)/Γ(N + Ke) Π_k Γ(n_k + e)/Γ(e), e the Dirichlet's
    parameter, n_k the sizes of the K₊ filled clusters.

    Slides: `categorical_mixture`, latent class analysis. The data are under the GPL and not part
    of this project; if they are not available, ratings are simulated from three known classes.

What would count as an answer
    The same prior must give the published posterior of K. How far does the number move with C0,
    with the prior of K and with the method? The latent classes must reach the published
    log-likelihoods and BIC, or the true number. Methods may disagree because they count different
    things: components of a density (BIC, K), filled clusters (K₊) or separated groups (DP-means).

References
    - Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and
      voids in the galaxies. Journal of the American Statistical Association 85, 617-624 (data).
    - Richardson, S. and Green, P. J. (1997). On Bayesian analysis of mixtures with an unknown
      number of components. Journal of the Royal Statistical Society B 59, 731-792.
    - Frühwirth-Schnatter, S., Malsiner-Walli, G. and Grün, B. (2021). Generalized mixtures of
      finite mixtures and telescoping sampling. Bayesian Analysis 16, 1279-1307; the posterior of K
      is from the vignette on univariate Gaussian mixtures of their R package telescope.
    - Malsiner-Walli, G., Frühwirth-Schnatter, S. and Grün, B. (2016). Model-based clustering based
      on sparse finite Gaussian mixtures. Statistics and Computing 26, 303-324.
    - Miller, J. W. and Harrison, M. T. (2014). Inconsistency of Pitman-Yor process mixtures for
      the number of components. Journal of Machine Learning Research 15, 3333-3370.
    - Kulis, B. and Jordan, M. I. (2012). Revisiting k-means: new algorithms via Bayesian
      nonparametrics. International Conference on Machine Learning.
    - Linzer, D. A. and Lewis, J. B. (2011). poLCA: an R package for polytomous variable latent
      class analysis. Journal of Statistical Software 42(10) (latent classes, log-likelihoods).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from experiments._how_many_numbers import (
    DYNAMIC,
    SHAPE,
    Drawn,
    densities,
    density,
    gather,
    latent,
)
from experiments._how_many_page import answer, outcome
from experiments._how_many_page import answer_tables as answer_tables
from experiments._page import command, publish, stage
from ppl_models import choose_clusters, fit
from ppl_models.data import galaxies, latent_classes
from ppl_models.data.kinds import Reals
from ppl_models.distributions import InverseGammaScale, UnivariateGaussian


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        clusters: candidates of BIC.
        starts: of EM.
        most: the largest K of the samplers.
        rates: values of C0.
        warmup: sweeps per chain that are discarded.
        draws: draws per chain.
        others: whether the other samplers run.
        equal: whether mixtures with equal variances are fitted too.
        peak: whether the density of the best candidate by BIC is drawn.
        penalties: number of penalties of DP-means.
        classes: numbers of latent classes.
        slides: whether the slides' data are looked for.
    """

    clusters: tuple[int, ...] = tuple(range(1, 10))
    starts: int = 32
    most: int = 30
    rates: tuple[float, ...] = (0.2, 0.4, 0.7, 1.2, 2.0, 4.0, 8.0, 16.0)
    warmup: int = 500
    draws: int = 8000
    others: tuple[str, ...] = ("sparse", "stick-breaking")
    equal: bool = True
    peak: bool = True
    penalties: int = 49
    classes: tuple[int, ...] = (1, 2, 3, 4)
    slides: bool = True


FULL = Size()
DEMO = Size(rates=(0.4, 1.2, 4.0, 16.0), draws=2000, others=("sparse",), penalties=25)
SMOKE = Size(clusters=(2, 3), starts=4, most=8, rates=(1.2, 4.0), warmup=50, draws=50, others=(),
             equal=False, peak=False, penalties=2, classes=(2, 3), slides=False)  # fmt: skip
SEED = 82
FIXED_RATE = 1.2  #: C0 of the samplers that run at a single C0
SLIDES = Path(__file__).resolve().parents[2] / "shared/reference/latent_class/carcinoma.csv"


def equal_variances(x: Annotated[Any, Reals] = None, *, clusters: int, rows: int = 1) -> Any:
    """A mixture of Gaussians in one dimension with a common scale."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    scale = numpyro.sample("scale", InverseGammaScale(SHAPE, 1.0))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(20.0, 25.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("x", UnivariateGaussian(loc[z], scale), obs=x)


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Estimate the number of clusters by every method.

    Args:
        folder: where the page goes.
        smoke: few methods, candidates and draws.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    x = galaxies()
    with stage("galaxies: bic"):
        criteria = galaxy_criteria(x, size)
    with stage(f"galaxies: telescoping at {len(size.rates)} values of C0"):
        told = {rate: telescoped(x, rate, size) for rate in size.rates}
    others = {}
    for name in size.others:
        with stage(f"galaxies: {name}"):
            others[name] = OTHERS[name](x, size)
    with stage("galaxies: dp-means"):
        staircase = penalties(x, size.penalties)
    with stage("latent classes"):
        answers, real = slides(size)
        classes = choose_clusters("categorical_mixture", answers, size.classes, seed=SEED,
                                  starts=size.starts)  # fmt: skip
    with stage("galaxies: other prior of K"):
        spread = priors(x, 1.0)["loc_scale"]
        numbers = gather(len(x), spread, criteria, told, others, staircase)
    numbers["latent"] = latent(classes, real)
    lines = densities(x, told, numbers["rate_posterior"][DYNAMIC])
    if size.peak:
        with stage("galaxies: em"):
            lines = lines.assign(**best_density(x, criteria, size, lines.index.to_numpy()))
    published = outcome(
        __doc__ or "", answer(numbers), x, lines, criteria, staircase, classes, numbers
    )
    return publish(published, folder)


# ---- methods -------------------------------------------------------------------------------------


def galaxy_criteria(x: pd.DataFrame, size: Size) -> pd.DataFrame:
    """BIC, AIC and ICL of every candidate, with unequal and with equal variances."""
    programs: dict[str, Any] = {"unequal": "gaussian_mixture"}
    if size.equal:
        programs["equal"] = equal_variances
    tables = [
        choose_clusters(program, x, size.clusters, seed=SEED, starts=size.starts).assign(
            variances=name
        )
        for name, program in programs.items()
    ]
    return pd.concat(tables, ignore_index=True)


def priors(x: pd.DataFrame, rate: float) -> dict[str, Any]:
    """Richardson and Green's priors of centres and variances, at a fixed C0.

    C0 is an array, so that another value needs no recompilation.
    """
    low, high = float(x.min().iloc[0]), float(x.max().iloc[0])
    return {"loc_mean": (low + high) / 2, "loc_scale": high - low, "scale_concentration": SHAPE,
            "scale_rate": np.array(rate)}  # fmt: skip


def telescoped(x: pd.DataFrame, rate: float, size: Size) -> Drawn:
    """The posterior of K at a fixed C0."""
    tree = fit("gaussian_mixture", x, method="telescoping", seed=SEED, clusters=size.most,
               warmup=size.warmup, draws=size.draws, keep_assignments=True, predictive=0,
               relabel=None, **priors(x, rate))  # fmt: skip
    return Drawn.of(tree)


def sparse(x: pd.DataFrame, size: Size) -> Drawn:
    """Ten clusters, with a prior that favours few filled ones."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=10, concentration=0.01,
               warmup=size.warmup, draws=size.draws, keep_assignments=True, predictive=0,
               relabel=None, **priors(x, FIXED_RATE))  # fmt: skip
    return Drawn.of(tree)


def sticks(x: pd.DataFrame, size: Size) -> Drawn:
    """A Dirichlet process with concentration one, truncated at fifteen clusters."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=15,
               weight_prior="stick_breaking", warmup=size.warmup, draws=size.draws // 4,
               keep_assignments=True, predictive=0, relabel=None,
               **priors(x, FIXED_RATE))  # fmt: skip
    return Drawn.of(tree)


OTHERS = {"sparse": sparse, "stick-breaking": sticks}


def penalties(x: pd.DataFrame, number: int) -> pd.DataFrame:
    """DP-means' number of clusters, by the distance at which a row opens a cluster."""
    lines = []
    for distance in np.geomspace(1.0, 16.0, number):
        tree = fit("gaussian_mixture", x, method="dp_means", seed=SEED, clusters=30,
                   covariance="spherical", penalty=float(distance**2), predictive=0)  # fmt: skip
        lines.append(
            (float(distance), int(tree["sample_stats"].dataset["components"].values.item()))
        )
    return pd.DataFrame(lines, columns=["distance", "clusters"])


def slides(size: Size) -> tuple[pd.DataFrame, bool]:
    """The ratings of the slides, or simulated ones; and whether they are real."""
    if size.slides and SLIDES.is_file():
        return pd.read_csv(SLIDES), True
    yes = np.array([[0.05] * 7, [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9], [0.95] * 7])
    probs = [np.stack([1 - item, item], -1) for item in yes.T]
    return latent_classes(SEED, 118, weights=[0.4, 0.2, 0.4], probs=probs)[0], False


def best_density(
    x: pd.DataFrame, criteria: pd.DataFrame, size: Size, grid: np.ndarray
) -> dict[str, np.ndarray]:
    """The density of the candidate that BIC chooses, with unequal variances."""
    unequal = criteria[criteria["variances"] == "unequal"]
    best = int(unequal.loc[unequal["bic"].idxmin(), "clusters"])
    tree = fit("gaussian_mixture", x, method="em", seed=SEED, clusters=best, priors="flat",
               starts=size.starts, predictive=0)  # fmt: skip
    return {f"maximum likelihood, {best} clusters": density(tree, grid)}


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
