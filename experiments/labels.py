"""Label switching: what does it do to summaries by cluster, and does relabelling repair it?

Question
    Likelihood and posterior of a mixture do not change when its clusters are permuted. One chain
    may therefore label the left cluster 0 and another chain 2, and the labels may switch within a
    chain. What does this do to means, R-hat and plots by cluster, does relabelling restore them,
    and can relabelling hide real disagreement?

Model
    `gaussian_mixture` with K = 3 partly overlapping clusters in one dimension, 150 rows. Draws
    come from three samplers: NumPyro alone (its NUTS on the program as it stands, four chains from
    its own random starts), and `fit` by NUTS and by Gibbs with `relabel=None` and `starts=0`
    (random initial values instead of values near EM's best maximum).

    The draws of each are relabelled by every method. "ecr" permutes each draw to agree best with
    the assignments of the best draw, "ecr-iterative" with the most frequent assignments.
    "stephens" minimises the Kullback-Leibler divergence of the responsibilities from their mean.
    "order" sorts by location, which only works where locations are well separated.

    Relabelling must not hide real disagreement. In a second data set there are four groups of rows
    for K = 3: two groups must share a cluster, and each choice of the two is a genuine mode of its
    own, between which no chain moves. The fit is by Gibbs with random initial values, with a seed
    at which one of the four chains ends in the worst mode.

What would count as an answer
    R-hat of the component parameters before relabelling (above 1.5 where labels differ) and after
    (at most 1.01); R-hat of the log density, which is label-invariant, to tell whether the chains
    agreed all along; the effective sample size after; and the fraction of draws whose relabelling
    is ambiguous. Undoing a relabelling must restore every number exactly. `diagnose` must accept
    the relabelled draws, and must still reject the chain in another mode.

References
    - Stephens, M. (2000). Dealing with label switching in mixture models. Journal of the Royal
      Statistical Society B 62, 795-809.
    - Papastamoulis, P. and Iliopoulos, G. (2010). An artificial allocations based solution to the
      label switching problem in Bayesian analysis of mixtures of distributions. Journal of
      Computational and Graphical Statistics 19, 313-331.
    - Jasra, A., Holmes, C. C. and Stephens, D. A. (2005). Markov chain Monte Carlo methods and the
      label switching problem in Bayesian mixture modeling. Statistical Science 20, 50-67.
    - Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. and Buerkner, P.-C. (2021).
      Rank-normalization, folding, and localization: an improved R-hat. Bayesian Analysis 16,
      667-718.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import arviz
import jax
import numpy as np
import xarray as xr
from numpyro.infer import MCMC, NUTS
from scipy.special import logsumexp
from scipy.stats import norm

from experiments._labels_page import CLUSTERS, METHODS, answer, flat, outcome
from experiments._labels_page import answer_tables as answer_tables
from experiments._page import command, publish, stage
from ppl_models import diagnose, fit, relabel, unrelabel
from ppl_models.models.gaussian_mixture import gaussian_mixture

#: Location, scale and weight of the true clusters; of the four groups for three clusters.
OVERLAPPING = ((-2.6, 0.0, 2.6), (0.8, 0.7, 0.9), (0.45, 0.3, 0.25))
CLUMPS = ((-9.0, -3.0, 3.0, 9.0), (0.6, 0.6, 0.6, 0.6), (0.25, 0.25, 0.25, 0.25))
BARE = "NumPyro alone"
#: At this seed one chain of Gibbs ends in the worst mode of the four groups.
CLUMPS_SEED = 3
SEED = 5


@dataclass(frozen=True)
class Size:
    """How much is done."""

    samplers: tuple[str, ...] = (BARE, "nuts", "gibbs")
    rows: int = 150
    warmup: int = 500
    draws: int = 4000
    thinning: int = 10


FULL = Size()
DEMO = Size(samplers=(BARE, "gibbs"), draws=2000)
SMOKE = Size(samplers=(BARE,), warmup=100, draws=150, thinning=1)


@dataclass(frozen=True)
class Repair:
    """A tree relabelled by one method.

    Attributes:
        tree: the relabelled tree.
        seconds: wall time.
        undone: whether undoing it restored every number.
    """

    tree: xr.DataTree
    seconds: float
    undone: bool


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Draw, relabel by every method, diagnose.

    Args:
        folder: where the page goes.
        smoke: few draws, NumPyro alone.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    x = drawn(OVERLAPPING, size.rows, SEED)
    trees, repairs = {}, {}
    for name in size.samplers:
        with stage(f"draws by {name}"):
            trees[name] = by_numpyro(x, size) if name == BARE else by_fit(x, name, SEED, size)
        with stage(f"relabelling draws by {name}"):
            repairs[name] = {method: repaired(trees[name], method) for method in METHODS}
    with stage("four groups for three clusters"):
        stuck = by_fit(drawn(CLUMPS, size.rows, 6), "gibbs", CLUMPS_SEED, size)
        renamed = relabel(stuck, "ecr")
    numbers = gather(trees, repairs, stuck, renamed)
    by_ecr = {name: by_method["ecr"].tree for name, by_method in repairs.items()}
    made = outcome(__doc__ or "", answer(numbers), x, trees, by_ecr, stuck, renamed, numbers)
    return publish(made, folder)


def drawn(truth: tuple[tuple[float, ...], ...], rows: int, seed: int) -> np.ndarray:
    """Rows (row,) of a mixture with the given locations, scales and weights."""
    loc, scale, weights = map(np.array, truth)
    generator = np.random.default_rng(seed)
    which = generator.choice(len(weights), rows, p=weights)
    return generator.normal(loc[which], scale[which])


# ---- draws ---------------------------------------------------------------------------------------


def by_numpyro(x: np.ndarray, size: Size) -> xr.DataTree:
    """Four chains of NumPyro's NUTS on the program, without this package's inference."""
    with jax.enable_x64(True):
        sampler = MCMC(
            NUTS(gaussian_mixture), num_warmup=size.warmup, num_samples=size.draws, num_chains=4,
            chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        sampler.run(jax.random.key(SEED), x, clusters=CLUSTERS, extra_fields=("potential_energy",))
    samples = sampler.get_samples(group_by_chain=True)
    energy = sampler.get_extra_fields(group_by_chain=True)["potential_energy"]
    dims = ("chain", "draw", "cluster")  # the scales' rate has no clusters
    posterior = {n: (dims[: np.ndim(v)], np.asarray(v)) for n, v in samples.items()}
    coords = {"chain": range(4), "draw": range(size.draws)}
    groups = {
        "posterior": xr.Dataset(posterior, coords | {"cluster": range(CLUSTERS)}),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), -np.asarray(energy))}, coords),
        "observed_data": xr.Dataset({"x": ("row", x)}),
    }
    tree = xr.DataTree.from_dict(groups)
    # the facts of a tree describe its program, whichever sampler drew: copy them from a fit
    same = fit("gaussian_mixture", x, method="em", seed=SEED, clusters=CLUSTERS, starts=1,
               predictive=0)  # fmt: skip
    tree.attrs = {"facts": same.attrs["facts"], "kind": "draws"}
    return tree


def by_fit(x: np.ndarray, method: str, seed: int, size: Size) -> xr.DataTree:
    """Four chains from random initial values, not relabelled."""
    thinned: dict[str, Any] = {"thinning": size.thinning} if method == "gibbs" else {}
    return fit(
        "gaussian_mixture", x, method=method, seed=seed, clusters=CLUSTERS, starts=0,
        warmup=size.warmup, draws=size.draws, relabel=None, predictive=0, **thinned,
    )  # fmt: skip


def responsibilities(
    tree: xr.DataTree, rows: np.ndarray | None = None, draws: Any = None
) -> np.ndarray:
    """Responsibilities (draw, row, cluster), computed here for draws that are not from `fit`."""
    x = tree["observed_data"].to_dataset()["x"].values
    weights, loc, scale = flat(tree)
    chosen = slice(None) if draws is None else draws
    x = x if rows is None else x[rows]
    log = np.log(weights[chosen, None]) + norm.logpdf(
        x[None, :, None], loc[chosen, None], scale[chosen, None]
    )
    return np.exp(log - logsumexp(log, axis=-1, keepdims=True))


# ---- repair --------------------------------------------------------------------------------------


def repaired(tree: xr.DataTree, method: str) -> Repair:
    """Relabel, and undo it."""
    options: dict[str, Any] = {"variable": "loc"} if method == "order" else {}
    if "program" not in tree.attrs:
        options["responsibilities"] = responsibilities
    elif method == "ecr":
        relabel(tree, method, **options)  # compiles first: only the second call is timed
    started = time.perf_counter()
    result = relabel(tree, method, **options)
    seconds = time.perf_counter() - started
    return Repair(result, seconds, identical(tree, unrelabel(result)))


def identical(one: xr.DataTree, other: xr.DataTree) -> bool:
    """Whether two trees hold the same posterior, bit by bit."""
    before, after = (tree["posterior"].to_dataset() for tree in (one, other))
    return all(np.array_equal(before[n].values, after[n].values) for n in before.data_vars)


def extreme(tree: xr.DataTree, group: str) -> float:
    """The worst value of a group below `labels`: the largest R-hat or the smallest ESS."""
    values = tree[f"labels/{group}"].to_dataset().to_array()
    return float(values.min() if group.startswith("ess") else values.max())


def gather(
    trees: Mapping[str, xr.DataTree],
    repairs: Mapping[str, Mapping[str, Repair]],
    stuck: xr.DataTree,
    renamed: xr.DataTree,
) -> dict:
    """The numbers of the answer."""
    samplers = {}
    for name, tree in trees.items():
        by_method = repairs[name]
        pooled = [np.sort(flat(t)[1].mean(0)) for t in (tree, by_method["ecr"].tree)]
        samplers[name] = {
            "rhat_before": extreme(by_method["ecr"].tree, "rhat_before"),
            "rhat_lp": float(arviz.rhat(tree["sample_stats"].to_dataset()[["lp"]])["lp"]),
            "pooled_before": pooled[0], "pooled_after": pooled[1],
            "renamed": label_switches(by_method["ecr"].tree),
            "diagnosis_before": verdict(tree), "diagnosis_after": verdict(by_method["ecr"].tree),
            "methods": {method: figures(repair) for method, repair in by_method.items()},
        }  # fmt: skip
    return {
        "rows": trees[next(iter(trees))]["observed_data"].sizes["row"],
        "clusters": CLUSTERS, "samplers": samplers, "truth": OVERLAPPING[0],
        "other_mode": {
            "rhat_before": extreme(renamed, "rhat_before"),
            "rhat_after": extreme(renamed, "rhat_after"),
            "lp": stuck["sample_stats"]["lp"].mean("draw").values,
            "loc": np.sort(stuck["posterior"].to_dataset()["loc"].mean("draw").values, axis=-1),
            "share_unclear": float(renamed["labels"].attrs["share_unclear"]),
            "diagnosis": verdict(renamed),
        },
    }  # fmt: skip


def figures(repair: Repair) -> dict:
    """The numbers of one method."""
    return {
        "rhat_after": extreme(repair.tree, "rhat_after"),
        "ess_after": extreme(repair.tree, "ess_after"),
        "share_unclear": float(repair.tree["labels"].attrs["share_unclear"]),
        "seconds": repair.seconds,
        "undone": repair.undone,
    }


def label_switches(tree: xr.DataTree) -> int:
    """Number of draws, over all chains, whose labels differ from those of the draw before."""
    permutation = tree["labels"]["permutation"].transpose("chain", "draw", "cluster").values
    return int((permutation[:, 1:] != permutation[:, :-1]).any(-1).sum())


def verdict(tree: xr.DataTree) -> dict:
    """The result of `diagnose`: trustworthy or not, in one sentence and in full."""
    own = None if "program" in tree.attrs else responsibilities
    said = diagnose(tree, responsibilities=own)
    return {"trustworthy": said.trustworthy, "warnings": len(said.of("warning")),
            "verdict": said.verdict, "text": str(said)}  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
