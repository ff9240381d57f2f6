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

import arviz
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats
from scipy.special import betaln, gammaln, logsumexp

from experiments._page import Outcome, command, publish, stage
from ppl_models import choose_clusters, fit
from ppl_models.data import galaxies, latent_classes
from ppl_models.data.kinds import Reals
from ppl_models.distributions import InverseGammaScale, UnivariateGaussian
from ppl_models.plots import PALETTE, house_style, plot_comparison
from ppl_models.report import Block


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
SMOKE = Size(clusters=(2, 3), starts=4, most=8, rates=(1.2, 4.0), warmup=50, draws=50, others=(),
             equal=False, peak=False, penalties=7, classes=(2, 3), slides=False)  # fmt: skip
SEED = 82
SHAPE = 2.0  #: of the inverse gamma
FIXED_RATE = 1.2  #: C0 of the samplers that are run at one C0 only
#: p(K | x) for K = 1 to 9 as printed by telescope's vignette, to two digits.
PUBLISHED = (0.0, 0.0, 0.05, 0.15, 0.21, 0.20, 0.16, 0.11, 0.06)
#: poLCA's log-likelihoods and BIC of the slides.
POLCA = {"1": -524.4648, "2": -317.2568, "3": -293.7050, "4": -289.2858}
POLCA_BIC = {"2": 706.074, "3": 697.136, "4": 726.463}
SLIDES = Path(__file__).resolve().parents[2] / "shared/reference/latent_class/carcinoma.csv"
DYNAMIC, UNIFORM, PRINTED = "finite mixtures", "uniform K", "published"
ALPHAS = np.exp(np.linspace(np.log(0.02), np.log(100.0), 33))


def equal_variances(x: Annotated[Any, Reals] = None, *, clusters: int, rows: int = 1) -> Any:
    """A mixture of Gaussians in one dimension that share their scale."""
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(clusters)))
    scale = numpyro.sample("scale", InverseGammaScale(SHAPE, 1.0))
    with numpyro.plate("cluster", clusters):
        loc = numpyro.sample("loc", dist.Normal(20.0, 25.0))
    with numpyro.plate("row", rows if x is None else len(x)):
        z = numpyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
        return numpyro.sample("x", UnivariateGaussian(loc[z], scale), obs=x)


@dataclass(frozen=True)
class Drawn:
    """What a sampler says about the number of clusters.

    Attributes:
        tree: the fit.
        counts: rows of every cluster, largest first (chain, draw, cluster).
    """

    tree: xr.DataTree
    counts: np.ndarray

    @property
    def filled(self) -> np.ndarray:
        """Clusters that have rows (chain, draw)."""
        return (self.counts > 0).sum(-1)


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
        numbers = gather(x, criteria, told, others, staircase)
    numbers["latent"] = latent(classes, real)
    lines = densities(x, told, numbers["rate_posterior"][DYNAMIC])
    if size.peak:
        with stage("galaxies: em"):
            lines = lines.assign(**best_density(x, criteria, size, lines.index.to_numpy()))
    return publish(_outcome(x, lines, criteria, staircase, classes, numbers), folder)


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
               warmup=size.warmup, draws=size.draws, assignments=True, predictive=0, relabel=None,
               **priors(x, rate))  # fmt: skip
    return counted(tree)


def sparse(x: pd.DataFrame, size: Size) -> Drawn:
    """Ten clusters, of which the prior wants few."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=10, concentration=0.01,
               warmup=size.warmup, draws=size.draws, assignments=True, predictive=0, relabel=None,
               **priors(x, FIXED_RATE))  # fmt: skip
    return counted(tree)


def sticks(x: pd.DataFrame, size: Size) -> Drawn:
    """A Dirichlet process with concentration one, cut off at fifteen clusters."""
    tree = fit("gaussian_mixture", x, method="gibbs", seed=SEED, clusters=15,
               weights="stick_breaking", warmup=size.warmup, draws=size.draws // 4,
               assignments=True, predictive=0, relabel=None, **priors(x, FIXED_RATE))  # fmt: skip
    return counted(tree)


OTHERS = {"sparse": sparse, "stick-breaking": sticks}


def counted(tree: xr.DataTree) -> Drawn:
    """A fit with the sizes of its clusters."""
    posterior = tree["posterior"].dataset
    assignment = posterior["assignment"].transpose("chain", "draw", "row").values
    sizes = (assignment[..., None] == np.arange(posterior.sizes["cluster"])).sum(-2)
    return Drawn(tree, sizes)


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


# ---- from draws to the posterior of K ------------------------------------------------------------


def log_partition(counts: np.ndarray, components: int, parameter: float) -> np.ndarray:
    """log p(partition | K, e) of the sizes of clusters (draw, cluster).

    >>> both = np.array([[2, 0], [1, 1]])  # two rows together, or apart
    >>> np.exp(log_partition(both, 2, 1.0)).round(4).tolist()
    [0.6667, 0.3333]
    """
    filled, total = (counts > 0).sum(-1), counts.sum(-1)
    blocks = np.where(counts > 0, gammaln(counts + parameter) - gammaln(parameter), 0).sum(-1)
    empty = np.where(filled > components, -np.inf, -gammaln(np.maximum(components - filled, 0) + 1))
    whole = components * parameter
    return gammaln(components + 1) + empty + gammaln(whole) - gammaln(total + whole) + blocks


def log_uniform(counts: np.ndarray, most: int) -> np.ndarray:
    """log p(partition, K), K uniform and weights ~ Dirichlet(1) (draw, K)."""
    each = [log_partition(counts, k, 1.0) - np.log(most) for k in range(1, most + 1)]
    return np.stack(each, -1)


def log_dynamic(counts: np.ndarray, most: int) -> np.ndarray:
    """log p(partition) under the sampler's own prior, α summed over a grid (draw,)."""
    log_alpha = stats.f(6, 3).logpdf(ALPHAS) + np.log(ALPHAS)
    log_alpha -= logsumexp(log_alpha)
    log_k = betaln(5.0, np.arange(most) + 3.0) - betaln(4.0, 3.0)
    total = np.full(len(counts), -np.inf)
    for k in range(1, most + 1):
        for alpha, weight in zip(ALPHAS, log_alpha, strict=True):
            step = log_k[k - 1] + weight + log_partition(counts, k, alpha / k)
            total = np.logaddexp(total, step)
    return total


def exchanged(drawn: Drawn, most: int, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of every so many-th draw under the uniform prior, and p(K | x) under it.

    Returns:
        Weights (draw,), mean one, and p(K | x) (K,).
    """
    counts = -np.sort(-drawn.counts[:, ::every].reshape(-1, drawn.counts.shape[-1]), -1)
    unique, inverse = np.unique(counts[:, : (counts > 0).sum(-1).max()], axis=0,
                                return_inverse=True)  # fmt: skip
    joint = log_uniform(unique, most)
    marginal = logsumexp(joint, axis=1)
    ratio = (marginal - log_dynamic(unique, most))[inverse.ravel()]
    weights = np.exp(ratio - ratio.max())
    weights /= weights.mean()
    given = np.exp(joint - marginal[:, None])[inverse.ravel()]
    return weights, (weights[:, None] * given).mean(0)


def slope(drawn: Drawn, rate: float, every: int) -> np.ndarray:
    """Σ_k (2 - C0 / σ_k²) over filled clusters, of every so many-th draw (draw,)."""
    scale = drawn.tree["posterior"].dataset["scale"].transpose("chain", "draw", "cluster").values
    terms = np.where(drawn.counts > 0, SHAPE - rate / scale**2, 0.0).sum(-1)
    return terms[:, ::every].ravel()


def rate_posterior(rates: np.ndarray, slopes: np.ndarray, spread: float) -> np.ndarray:
    """p(C0 | x) on the grid, from the slopes of log p(x | C0) in log C0 (rate,)."""
    step = np.diff(np.log(rates))
    climbed = np.concatenate([[0.0], np.cumsum(step * (slopes[1:] + slopes[:-1]) / 2)])
    prior = stats.gamma(0.2, scale=spread**2 / 10).logpdf(rates) + np.log(rates)
    width = np.gradient(np.log(rates)) if len(rates) > 1 else np.ones(1)
    score = climbed + prior + np.log(width)
    return np.exp(score - logsumexp(score))


def shares(values: np.ndarray, most: int) -> np.ndarray:
    """How often every number from 1 occurs (K,)."""
    return np.bincount(values.ravel(), minlength=most + 1)[1 : most + 1] / values.size


def mixing(drawn: Drawn) -> dict[str, float]:
    """ESS and R-hat of the number of filled clusters."""
    judged = xr.Dataset({"filled": (("chain", "draw"), drawn.filled.astype(float))})
    return {"ess": float(arviz.ess(judged)["filled"]), "rhat": float(arviz.rhat(judged)["filled"])}


# ---- numbers -------------------------------------------------------------------------------------


def gather(
    x: pd.DataFrame,
    criteria: pd.DataFrame,
    told: dict[float, Drawn],
    others: dict[str, Drawn],
    staircase: pd.DataFrame,
) -> dict:
    """The numbers of the answer about the galaxies."""
    rates, most = np.array(list(told)), next(iter(told.values())).counts.shape[-1]
    every = max(1, next(iter(told.values())).counts.shape[1] // 1500)
    by_rate = np.stack([shares(d.tree["sample_stats"].dataset["components"].values, most)
                        for d in told.values()])  # fmt: skip
    filled = np.stack([shares(d.filled, most) for d in told.values()])
    swapped = [exchanged(drawn, most, every) for drawn in told.values()]
    slopes = [slope(drawn, rate, every) for rate, drawn in told.items()]
    spread = priors(x, 1.0)["loc_scale"]
    plain = rate_posterior(rates, np.array([s.mean() for s in slopes]), spread)
    pulled = np.array([(w * s).mean() for (w, _), s in zip(swapped, slopes, strict=True)])
    other = rate_posterior(rates, pulled, spread)
    uniform = other @ np.stack([p for _, p in swapped])
    per_k = {
        str(name): {str(k): float(v) for k, v in zip(t["clusters"], t["bic"], strict=True)}
        for name, t in criteria.sort_values("clusters").groupby("variances")
    }
    return {
        "rows": len(x), "most": most, "bic": per_k,
        "best_bic": {name: int(min(line, key=line.__getitem__)) for name, line in per_k.items()},
        "rates": rates, "by_rate": by_rate, "filled_by_rate": filled,
        "mode_by_rate": by_rate.argmax(1) + 1,
        "rate_posterior": {DYNAMIC: plain, UNIFORM: other},
        "posterior": {DYNAMIC: plain @ by_rate, UNIFORM: uniform, PRINTED: np.array(PUBLISHED)},
        "filled": {DYNAMIC: plain @ filled}
        | {name: shares(drawn.filled, most) for name, drawn in others.items()},
        "mixing": {f"C0 = {rate:g}": mixing(drawn) for rate, drawn in told.items()}
        | {name: mixing(drawn) for name, drawn in others.items()},
        "share_of_draws_that_weigh": [float(1 / (w**2).mean()) for w, _ in swapped],
        "off_published": float(np.abs(_first(uniform, 9) - PUBLISHED).max()),
        "dp_means": {"distance": staircase["distance"].to_numpy(),
                     "clusters": staircase["clusters"].to_numpy()},
    }  # fmt: skip


def _first(values: np.ndarray, number: int) -> np.ndarray:
    """So many values, zeros where there are fewer."""
    return np.pad(values[:number], (0, max(0, number - len(values))))


def latent(classes: pd.DataFrame, real: bool) -> dict:
    """The numbers of the answer about the latent classes."""
    by_k = classes.set_index(classes["clusters"].astype(str))
    columns = ("log_likelihood", "bic", "aic", "icl")
    found = {name: {k: float(v) for k, v in by_k[name].items()} for name in columns}
    best = {name: int(by_k[name].idxmin()) for name in columns[1:]}
    off = {k: abs(found["log_likelihood"][k] - v) for k, v in POLCA.items() if k in by_k.index}
    off_bic = {k: abs(found["bic"][k] - v) for k, v in POLCA_BIC.items() if k in by_k.index}
    return found | {
        "real": real, "best": best,
        "off_log_likelihood": max(off.values()) if real else None,
        "off_bic": max(off_bic.values()) if real else None,
    }  # fmt: skip


# ---- words ---------------------------------------------------------------------------------------


def answer(numbers: dict) -> str:
    """The numbers in words."""
    modes = {name: top(p) for name, p in numbers["posterior"].items()}
    said = [*numbers["best_bic"].values(), modes[DYNAMIC], modes[UNIFORM],
            *(top(p) for p in numbers["filled"].values())]  # fmt: skip
    verdict = (
        f"All ways lead to {said[0]} clusters of galaxies" if min(said) == max(said)
        else f"The galaxies do not say: the best numbers run from {min(said)} to {max(said)}"
    )  # fmt: skip
    bic = " and ".join(
        f"{k} with {name} variances (BIC {numbers['bic'][name][str(k)]:.1f})"
        for name, k in numbers["best_bic"].items()
    )
    return "\n\n".join([
        f"{verdict}. BIC takes {bic}. The posterior of K peaks at {modes[DYNAMIC]} "
        f"({chance(numbers['posterior'][DYNAMIC], modes[DYNAMIC])}) when large K are thought "
        f"unlikely beforehand, and at {modes[UNIFORM]} "
        f"({chance(numbers['posterior'][UNIFORM], modes[UNIFORM])}) when K is uniform.",
        _published(numbers), _sensitivity(numbers), _filled(numbers), _distances(numbers),
        _trust(numbers), _latent(numbers["latent"]),
    ])  # fmt: skip


def top(posterior: Any) -> int:
    """The most probable number.

    >>> top([0.1, 0.7, 0.2])
    2
    """
    return int(np.argmax(posterior)) + 1


def chance(posterior: Any, number: int) -> str:
    """The probability of a number, in words."""
    return f"probability {posterior[number - 1]:.2f}"


def _published(numbers: dict) -> str:
    """Ours beside the published posterior."""
    off = numbers["off_published"]
    ours = " ".join(f"{p:.2f}" for p in numbers["posterior"][UNIFORM][:9])
    same = "agrees with the published one" if off < 0.05 else "is not the published one"
    return (
        f"With Richardson and Green's prior the posterior of K {same}: for K from 1 up {ours}, "
        f"published {' '.join(f'{p:.2f}' for p in PUBLISHED)}; they are {off:.3f} apart at most."
    )


def _sensitivity(numbers: dict) -> str:
    """How K moves with C0, and what the data say about C0."""
    rates, modes = numbers["rates"], numbers["mode_by_rate"]
    weight = numbers["rate_posterior"][DYNAMIC]
    likely = [r for r, w in zip(rates, weight, strict=True) if w > 0.05]
    mean = np.array(numbers["by_rate"]) @ np.arange(1, numbers["most"] + 1)
    return (
        f"It hangs on the scatter that a cluster is expected to have: at C0 = {rates[0]:g} the "
        f"posterior of K peaks at {modes[0]} (mean {mean[0]:.1f}), at C0 = {rates[-1]:g} at "
        f"{modes[-1]} (mean {mean[-1]:.1f}). The data prefer C0 between {min(likely):g} and "
        f"{max(likely):g} (values on the grid with a posterior probability above 5%)."
    )


def _filled(numbers: dict) -> str:
    """Clusters that have rows."""
    counts = ", ".join(
        f"{name} {top(p)} ({chance(p, top(p))}{rough(numbers, name)})"
        for name, p in numbers["filled"].items()
    )
    return f"Clusters that hold a galaxy, which are K or fewer, most probably are: {counts}."


def rough(numbers: dict, name: str) -> str:
    """A warning where a sampler's number rests on few independent draws."""
    ess = numbers["mixing"].get(name, {}).get("ess", np.inf)
    return f", but rough: effective sample size {ess:.0f}" if ess < 100 else ""


def _distances(numbers: dict) -> str:
    """DP-means in words."""
    path = pd.DataFrame(numbers["dp_means"])
    spans = path.groupby("clusters")["distance"].agg(lambda d: np.log(d.max() / d.min()))
    many = spans[spans.index > 1]
    longest = int(many.idxmax())
    kept = path["distance"][path["clusters"] == longest]
    return (
        f"DP-means says {path['clusters'].max()} to {path['clusters'].min()}, by its penalty; of "
        f"the numbers above one, {longest} lasts longest, while a new cluster costs the square of "
        f"a distance of {kept.min():.1f} to {kept.max():.1f}: what the penalty is, the user says."
    )


def _trust(numbers: dict) -> str:
    """Whether the chains agree, in words."""
    least = min(numbers["mixing"], key=lambda name: numbers["mixing"][name]["ess"])
    worst = max(numbers["mixing"], key=lambda name: numbers["mixing"][name]["rhat"])
    ess, rhat = numbers["mixing"][least]["ess"], numbers["mixing"][worst]["rhat"]
    fine = "The chains agree" if rhat < 1.02 and ess > 200 else "The chains move slowly"
    return (
        f"{fine}: of the number of filled clusters the effective sample size is {ess:.0f} at "
        f"least ({least}) and R-hat {rhat:.3f} at most ({worst}). After the exchange of the "
        f"prior {min(numbers['share_of_draws_that_weigh']):.0%} of the draws weigh, at least."
    )


def _latent(found: dict) -> str:
    """The latent classes in words."""
    best = ", ".join(f"{name.upper()} takes {k}" for name, k in found["best"].items())
    k = found["best"]["bic"]
    if not found["real"]:
        right = "the true number" if k == 3 else "not the true number, which is 3"
        return (
            "The slides' data are not at hand; of answers drawn from 3 known classes, "
            f"{best} ({right} by BIC, {found['bic'][str(k)]:.1f})."
        )
    return (
        f"For the slides {best}; BIC is {found['bic'][str(k)]:.3f} there. The log-likelihoods are "
        f"within {found['off_log_likelihood']:.4f} of poLCA's, BIC within {found['off_bic']:.4f}."
    )


# ---- pictures ------------------------------------------------------------------------------------


def densities(x: pd.DataFrame, told: dict[float, Drawn], weight: np.ndarray) -> pd.DataFrame:
    """The density's posterior mean on a grid, under the sampler's own prior."""
    low, high = float(x.min().iloc[0]), float(x.max().iloc[0])
    grid = np.linspace(low - 2, high + 2, 400)
    mean = sum(w * density(d.tree, grid) for w, d in zip(weight, told.values(), strict=True))
    return pd.DataFrame({"posterior mean, finite mixtures": mean}, index=grid)


def best_density(
    x: pd.DataFrame, criteria: pd.DataFrame, size: Size, grid: np.ndarray
) -> dict[str, np.ndarray]:
    """The density that BIC chooses among those of unequal variances."""
    unequal = criteria[criteria["variances"] == "unequal"]
    best = int(unequal.loc[unequal["bic"].idxmin(), "clusters"])
    tree = fit("gaussian_mixture", x, method="em", seed=SEED, clusters=best, priors="flat",
               starts=size.starts, predictive=0)  # fmt: skip
    return {f"maximum likelihood, {best} clusters": density(tree, grid)}


def density(tree: xr.DataTree, grid: np.ndarray, draws: int = 300) -> np.ndarray:
    """The mean of the mixture's density over so many draws (grid,)."""
    posterior = tree["posterior"].dataset[["weights", "loc", "scale"]].stack(s=("chain", "draw"))
    chosen = np.linspace(0, posterior.sizes["s"] - 1, min(draws, posterior.sizes["s"])).astype(int)
    posterior = posterior.isel(s=chosen).transpose("s", "cluster")
    weights, loc, scale = (posterior[n].values[..., None] for n in ("weights", "loc", "scale"))
    shape = np.exp(-0.5 * ((grid - loc) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
    return (weights * shape).sum(1).mean(0)


def _outcome(
    x: pd.DataFrame,
    lines: pd.DataFrame,
    criteria: pd.DataFrame,
    staircase: pd.DataFrame,
    classes: pd.DataFrame,
    numbers: dict,
) -> Outcome:
    real = numbers["latent"]["real"]
    about = (
        "118 slides judged by seven pathologists."
        if real
        else (
            "The slides' data are not at hand: 118 rows of seven answers, drawn from three classes."
        )
    )
    evidence = [
        Block("The posterior of K and the prior", "Left: at fixed C0. Right: clusters that have "
              "rows, by every sampler; the number of filled clusters is not K.",
              figures=(sensitivity_picture(numbers),), table=posterior_table(numbers)),
        Block("BIC and the penalty of DP-means", figures=(choice_picture(criteria, staircase),),
              table=criteria.set_index(["variances", "clusters"]).sort_index()),
        Block("Latent classes", about + " Less is better.", table=latent_table(classes, real),
              figures=(plot_comparison(classes.sort_values("clusters"),
                                       criteria=["bic", "aic", "icl"]),)),
    ]  # fmt: skip
    caption = (
        "Left: the velocities, and the densities found. Right: the posterior of K under two "
        "priors, and as published for the second of them."
    )
    return Outcome("how_many", __doc__ or "", answer(numbers), numbers,
                   key_picture(x, lines, numbers), caption, evidence)  # fmt: skip


def key_picture(x: pd.DataFrame, lines: pd.DataFrame, numbers: dict) -> Figure:
    """Histogram with densities, and p(K | x) by prior."""
    with house_style():
        figure = Figure(figsize=(11.0, 4.4))
        left, right = figure.subplots(1, 2)
        left.hist(x.iloc[:, 0], bins=np.arange(8, 36, 0.75), density=True, color="#D9D9D9")
        left.plot(x.iloc[:, 0], np.full(len(x), -0.005), "|", color="#222222", markersize=6)
        for name, color in zip(lines.columns, PALETTE, strict=False):
            left.plot(lines.index, lines[name], color=color, label=name)
        left.set(xlabel="velocity in 1,000 km/s", ylabel="density")
        left.set_title("82 galaxies")
        left.legend()
        draw_bars(right, numbers["posterior"], 12)
        right.set_title("How many clusters: p(K | x)")
    return figure


def draw_bars(axes: Axes, posterior: dict[str, Any], most: int) -> None:
    """Bars side by side for every K."""
    width = 0.8 / len(posterior)
    colors = [*PALETTE[:5]]
    for i, (name, values) in enumerate(posterior.items()):
        values = np.asarray(values)[:most]
        place = np.arange(1, len(values) + 1) + (i - (len(posterior) - 1) / 2) * width
        color = "#222222" if name == PRINTED else colors[i]
        axes.bar(place, values, width, color=color, label=LABELS.get(name, name))
    axes.set(xlabel="K", ylabel="probability", xticks=range(1, most + 1))
    axes.legend()


LABELS = {
    DYNAMIC: "mixture of finite mixtures",
    UNIFORM: "Richardson and Green's prior",
    PRINTED: "the same, published (K ≤ 9)",
}


def sensitivity_picture(numbers: dict) -> Figure:
    """p(K | x) at every C0, and filled clusters by sampler."""
    with house_style():
        figure = Figure(figsize=(11.0, 4.4))
        left, right = figure.subplots(1, 2)
        most = min(12, numbers["most"])
        table = np.asarray(numbers["by_rate"])[:, :most]
        image = left.imshow(table, cmap="YlGnBu", aspect="auto", origin="lower", vmin=0)
        for i, row in enumerate(table):
            for j, p in enumerate(row):
                if p >= 0.005:
                    left.text(j, i, f"{p:.2f}", ha="center", va="center", fontsize=8,
                              color="white" if p > 0.6 * table.max() else "#222222")  # fmt: skip
        weight = numbers["rate_posterior"][DYNAMIC]
        names = [f"{r:g}  ({w:.2f})" for r, w in zip(numbers["rates"], weight, strict=True)]
        left.set(xlabel="K", ylabel="C0 (its posterior probability)", yticks=range(len(names)))
        left.set_xticks(range(most), [str(k + 1) for k in range(most)])
        left.set_yticklabels(names)
        left.grid(False)
        left.set_title("p(K | x, C0), finite mixtures")
        figure.colorbar(image, ax=left, label="probability", shrink=0.8)
        draw_bars(right, numbers["filled"], 10)
        right.set(xlabel="clusters that have rows")
        right.set_title("Filled clusters")
    return figure


def choice_picture(criteria: pd.DataFrame, staircase: pd.DataFrame) -> Figure:
    """BIC by K, and DP-means' number by its penalty."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.8))
        left, right = figure.subplots(1, 2)
        for (name, part), color in zip(criteria.groupby("variances"), PALETTE, strict=False):
            part = part.sort_values("clusters")
            left.plot(part["clusters"], part["bic"], ".-", color=color, label=f"{name} variances")
            best = part.loc[part["bic"].idxmin()]
            left.plot(best["clusters"], best["bic"], "o", markersize=10, markerfacecolor="none",
                      markeredgecolor=color)  # fmt: skip
        left.set(xlabel="K", ylabel="BIC (less is better)")
        left.set_xticks(sorted(criteria["clusters"].unique()))
        left.set_title("BIC by maximum likelihood")
        left.legend()
        right.step(staircase["distance"], staircase["clusters"], where="mid", color=PALETTE[2])
        right.set(
            xscale="log",
            ylabel="clusters",
            ylim=(0, None),
            xlabel="distance that is worth a cluster, 1,000 km/s (square root of λ)",
        )
        right.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        right.minorticks_off()
        right.set_title("DP-means by its penalty")
    return figure


def posterior_table(numbers: dict) -> pd.DataFrame:
    """Every posterior of K and of the filled clusters, with how well its chains mixed."""
    lines = {f"K, {LABELS[name]}": p for name, p in numbers["posterior"].items()}
    lines |= {f"filled, {LABELS.get(name, name)}": p for name, p in numbers["filled"].items()}
    named = zip(numbers["rates"], numbers["by_rate"], strict=True)
    lines |= {f"K, C0 = {rate:g}": p for rate, p in named}
    table = pd.DataFrame({n: _first(np.asarray(p), 12) for n, p in lines.items()},
                         index=range(1, 13)).T.round(3)  # fmt: skip
    for column in ("ess", "rhat"):
        table[column] = [numbers["mixing"].get(n.partition(", ")[2], {}).get(column, np.nan)
                         for n in table.index]  # fmt: skip
    return table.rename(columns={"ess": "ESS of filled", "rhat": "R-hat of filled"})


def latent_table(classes: pd.DataFrame, real: bool) -> pd.DataFrame:
    """All criteria by the number of classes, with poLCA's where they are for these data."""
    table = classes.set_index("clusters").sort_index()
    if real:
        table["log-likelihood, poLCA"] = [POLCA.get(str(k), np.nan) for k in table.index]
        table["BIC, poLCA"] = [POLCA_BIC.get(str(k), np.nan) for k in table.index]
    return table.rename(columns={"log_likelihood": "log-likelihood"})


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
