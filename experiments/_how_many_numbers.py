"""From draws to the posterior of K: what ``how_many`` computes between its fits and its page.

The formulas are explained there.
"""

from __future__ import annotations

from dataclasses import dataclass

import arviz
import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.special import betaln, gammaln, logsumexp

SHAPE = 2.0  #: of the inverse gamma
#: p(K | x) for K = 1 to 9 as printed by telescope's vignette, to two digits.
PUBLISHED = (0.0, 0.0, 0.05, 0.15, 0.21, 0.20, 0.16, 0.11, 0.06)
#: poLCA's log-likelihoods and BIC of the slides.
POLCA = {"1": -524.4648, "2": -317.2568, "3": -293.7050, "4": -289.2858}
POLCA_BIC = {"2": 706.074, "3": 697.136, "4": 726.463}
DYNAMIC, UNIFORM, PRINTED = "finite mixtures", "uniform K", "published"
ALPHAS = np.exp(np.linspace(np.log(0.02), np.log(100.0), 33))


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

    @classmethod
    def of(cls, tree: xr.DataTree) -> Drawn:
        """A fit with the sizes of its clusters."""
        posterior = tree["posterior"].dataset
        assignment = posterior["assignment"].transpose("chain", "draw", "row").values
        sizes = (assignment[..., None] == np.arange(posterior.sizes["cluster"])).sum(-2)
        return cls(tree, sizes)


def log_partition(counts: np.ndarray, components: int, parameter: float) -> np.ndarray:
    """log p(partition | K, e) of the sizes of clusters (draw, cluster).

    >>> both = np.array([[2, 0], [1, 1]])  # two rows together, or apart
    >>> np.exp(log_partition(both, 2, 1.0)).round(4).tolist()
    [0.6667, 0.3333]
    """
    filled, total = (counts > 0).sum(-1), counts.sum(-1)
    blocks = np.where(counts > 0, gammaln(counts + parameter) - gammaln(parameter), 0).sum(-1)
    empty = np.where(filled > components, -np.inf, -gammaln(np.maximum(components - filled, 0) + 1))
    total_concentration = components * parameter
    return (
        gammaln(components + 1)
        + empty
        + gammaln(total_concentration)
        - gammaln(total + total_concentration)
        + blocks
    )


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
    responsibilities = np.exp(joint - marginal[:, None])[inverse.ravel()]
    return weights, (weights[:, None] * responsibilities).mean(0)


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


def gather(
    rows: int,
    spread: float,
    criteria: pd.DataFrame,
    told: dict[float, Drawn],
    others: dict[str, Drawn],
    staircase: pd.DataFrame,
) -> dict:
    """The numbers of the answer about the galaxies.

    Args:
        rows: how many galaxies there are.
        spread: the range of the data.
        criteria: BIC and its kin of every candidate.
        told: what the telescoping sampler says, by C0.
        others: what the other samplers say.
        staircase: what DP-means says, by its penalty.
    """
    rates, most = np.array(list(told)), next(iter(told.values())).counts.shape[-1]
    every = max(1, next(iter(told.values())).counts.shape[1] // 1500)
    by_rate = np.stack([shares(d.tree["sample_stats"].dataset["components"].values, most)
                        for d in told.values()])  # fmt: skip
    filled = np.stack([shares(d.filled, most) for d in told.values()])
    swapped = [exchanged(drawn, most, every) for drawn in told.values()]
    slopes = [slope(drawn, rate, every) for rate, drawn in told.items()]
    plain = rate_posterior(rates, np.array([s.mean() for s in slopes]), spread)
    pulled = np.array([(w * s).mean() for (w, _), s in zip(swapped, slopes, strict=True)])
    other = rate_posterior(rates, pulled, spread)
    uniform = other @ np.stack([p for _, p in swapped])
    per_k = {
        str(name): {str(k): float(v) for k, v in zip(t["clusters"], t["bic"], strict=True)}
        for name, t in criteria.sort_values("clusters").groupby("variances")
    }
    return {
        "rows": rows, "most": most, "bic": per_k,
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
        "off_published": float(np.abs(padded(uniform, 9) - PUBLISHED).max()),
        "dp_means": {"distance": staircase["distance"].to_numpy(),
                     "clusters": staircase["clusters"].to_numpy()},
    }  # fmt: skip


def padded(values: np.ndarray, number: int) -> np.ndarray:
    """So many values, zeros where there are fewer."""
    return np.pad(values[:number], (0, max(0, number - len(values))))


def latent(classes: pd.DataFrame, real: bool) -> dict:
    """The numbers of the answer about the latent classes."""
    by_k = classes.set_index(classes["clusters"].astype(str))
    columns = ("log_likelihood", "bic", "aic", "icl")
    criteria = {name: {k: float(v) for k, v in by_k[name].items()} for name in columns}
    best = {name: int(by_k[name].idxmin()) for name in columns[1:]}
    off = {k: abs(criteria["log_likelihood"][k] - v) for k, v in POLCA.items() if k in by_k.index}
    off_bic = {k: abs(criteria["bic"][k] - v) for k, v in POLCA_BIC.items() if k in by_k.index}
    return criteria | {
        "real": real, "best": best,
        "off_log_likelihood": max(off.values()) if real else None,
        "off_bic": max(off_bic.values()) if real else None,
    }  # fmt: skip


def densities(x: pd.DataFrame, told: dict[float, Drawn], weight: np.ndarray) -> pd.DataFrame:
    """The density's posterior mean on a grid, under the sampler's own prior."""
    low, high = float(x.min().iloc[0]), float(x.max().iloc[0])
    grid = np.linspace(low - 2, high + 2, 400)
    mean = sum(w * density(d.tree, grid) for w, d in zip(weight, told.values(), strict=True))
    return pd.DataFrame({"posterior mean, finite mixtures": mean}, index=grid)


def density(tree: xr.DataTree, grid: np.ndarray, draws: int = 300) -> np.ndarray:
    """The mean of the mixture's density over so many draws (grid,)."""
    posterior = tree["posterior"].dataset[["weights", "loc", "scale"]].stack(s=("chain", "draw"))
    chosen = np.linspace(0, posterior.sizes["s"] - 1, min(draws, posterior.sizes["s"])).astype(int)
    posterior = posterior.isel(s=chosen).transpose("s", "cluster")
    weights, loc, scale = (posterior[n].values[..., None] for n in ("weights", "loc", "scale"))
    shape = np.exp(-0.5 * ((grid - loc) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
    return (weights * shape).sum(1).mean(0)
