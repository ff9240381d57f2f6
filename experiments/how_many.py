"""How many clusters are there, and who decides?

Question
    Every method that finds clusters either is told their number K or has an opinion about it.
    Where do the opinions come from: the data, or what was put in beforehand? Two data sets that
    have been asked often: the velocities of 82 galaxies, and the answers of seven pathologists
    about 118 slides.

Model
    Galaxies: x_n ~ Normal(μ_k, σ_k²) in cluster k, μ_k ~ Normal(m, R²) with m the midpoint and R
    the range of the data, σ_k² ~ InverseGamma(2, C0). Six ways to a number:

    - BIC of the maximum likelihood, variances unequal (`gaussian_mixture`) or equal (a program of
      its own below).
    - A mixture of finite mixtures: K has a prior and is drawn (`method="telescoping"`). Its prior
      is the dynamic one: K - 1 ~ BetaNegativeBinomial(1, 4, 3), weights ~ Dirichlet(α / K),
      α ~ F(6, 3).
    - The same with the prior of Richardson and Green: K uniform on 1 to 30, weights ~ Dirichlet(1).
    - A sparse overfitted mixture: K too large, weights ~ Dirichlet(0.01), clusters that keep a row
      are counted.
    - A Dirichlet process by stick-breaking, cut off, its filled clusters counted.
    - DP-means: k-means that pays a penalty for every cluster.

    Richardson and Green's C0 is itself unknown, C0 ~ Gamma(0.2, 10 / R²). The telescoping sampler
    serves closed forms only, so that it runs at a grid of fixed C0, and these are joined
    afterwards: d log p(x | C0) / d log C0 is the posterior mean of Σ_k (2 - C0 / σ_k²) over filled
    clusters, which summed up along the grid gives p(C0 | x). The prior of K and of the weights is
    exchanged by weighting the drawn partitions, since it enters through the partition alone:
    p(partition) = Σ_K p(K) K!/(K - K₊)! Γ(Ke)/Γ(N + Ke) Π_k Γ(n_k + e)/Γ(e), e the Dirichlet's
    parameter, n_k the sizes of the K₊ filled clusters.

    Slides: `categorical_mixture`, latent class analysis. The slides' data are under the GPL and
    not part of this project; where they are not at hand, answers of three known classes stand in.

What would count as an answer
    That the same prior gives the published posterior of K; how far the number moves with C0, with
    the prior of K and with the method; for the latent classes the published log-likelihoods and
    BIC, or the true number. If methods disagree, what they count tells why: components of a
    density (BIC, K), clusters that have rows (K₊), or groups apart (DP-means).

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
        clusters: numbers of clusters that BIC is asked about.
        starts: of EM.
        most: the largest K of the samplers.
        rates: values of C0.
        warmup: sweeps a chain that are not kept.
        draws: draws a chain.
        others: the other samplers.
        equal: mixtures with equal variances, too.
        peak: draw the density of the best by BIC.
        penalties: of DP-means.
        classes: numbers of latent classes.
        slides: look for the slides' data.
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
FIXED_RATE = 1.2  #: C0 of the samplers that are run at one C0 only
SLIDES = Path(__file__).resolve().parents[2] / "shared/reference/latent_class/carcinoma.csv"


def equal_variances(x: Annotated[Any, Reals] = None, *, clusters: int, rows: int = 1) -> Any:
    """A mixture of Gaussians in one dimension that share their scale."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    scale = numpyro.sample("scale", InverseGammaScale(SHAPE, 1.0))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(20.0, 25.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("x", UnivariateGaussian(loc[z], scale), obs=x)


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Ask every method for the number of clusters.

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
    with stage("galaxies: exchange of the prior"):
        spread = priors(x, 1.0)["loc_scale"]
        numbers = gather(len(x), spread, criteria, told, others, staircase)
    numbers["latent"] = latent(classes, real)
    lines = densities(x, told, numbers["rate_posterior"][DYNAMIC])
    if size.peak:
        with stage("galaxies: em"):
            lines = lines.assign(**best_density(x, criteria, size, lines.index.to_numpy()))
    found = outcome(__doc__ or "", answer(numbers), x, lines, criteria, staircase, classes, numbers)
    return publish(found, folder)


# ---- methods -------------------------------------------------------------------------------------


def galaxy_criteria(x: pd.DataFrame, size: Size) -> pd.DataFrame:
    """BIC and its kin of every candidate, variances unequal and equal."""
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

    C0 is an array, so that another value needs no other compilation.
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
    """Ten clusters, of which the prior wants few."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=10, concentration=0.01,
               warmup=size.warmup, draws=size.draws, keep_assignments=True, predictive=0,
               relabel=None, **priors(x, FIXED_RATE))  # fmt: skip
    return Drawn.of(tree)


def sticks(x: pd.DataFrame, size: Size) -> Drawn:
    """A Dirichlet process with concentration one, cut off at fifteen clusters."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=15,
               weight_prior="stick_breaking", warmup=size.warmup, draws=size.draws // 4,
               keep_assignments=True, predictive=0, relabel=None,
               **priors(x, FIXED_RATE))  # fmt: skip
    return Drawn.of(tree)


OTHERS = {"sparse": sparse, "stick-breaking": sticks}


def penalties(x: pd.DataFrame, number: int) -> pd.DataFrame:
    """DP-means' number of clusters by the distance at which a row is worth a cluster."""
    lines = []
    for distance in np.geomspace(1.0, 16.0, number):
        tree = fit("gaussian_mixture", x, method="dp_means", seed=SEED, clusters=30,
                   covariance="spherical", penalty=float(distance**2), predictive=0)  # fmt: skip
        lines.append(
            (float(distance), int(tree["sample_stats"].dataset["components"].values.item()))
        )
    return pd.DataFrame(lines, columns=["distance", "clusters"])


def slides(size: Size) -> tuple[pd.DataFrame, bool]:
    """The slides' answers if they are at hand, else answers of three classes; and which it is."""
    if size.slides and SLIDES.is_file():
        return pd.read_csv(SLIDES), True
    yes = np.array([[0.05] * 7, [0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9], [0.95] * 7])
    probs = [np.stack([1 - item, item], -1) for item in yes.T]
    return latent_classes(SEED, 118, weights=[0.4, 0.2, 0.4], probs=probs)[0], False


def best_density(
    x: pd.DataFrame, criteria: pd.DataFrame, size: Size, grid: np.ndarray
) -> dict[str, np.ndarray]:
    """The density that BIC chooses among those of unequal variances."""
    unequal = criteria[criteria["variances"] == "unequal"]
    best = int(unequal.loc[unequal["bic"].idxmin(), "clusters"])
    tree = fit("gaussian_mixture", x, method="em", seed=SEED, clusters=best, priors="flat",
               starts=size.starts, predictive=0)  # fmt: skip
    return {f"maximum likelihood, {best} clusters": density(tree, grid)}


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
