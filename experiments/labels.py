"""Labels: what happens when chains swap the names of clusters, and can it be repaired?

Question
    A mixture does not know which of its clusters is the first: any renaming of the clusters
    leaves likelihood and posterior as they are. So one chain calls the left cluster 0, another
    calls it 2, and a chain may change its mind on the way. What is then left of means, R-hat and
    pictures by cluster, does relabelling bring all of it back, and is anything covered up by it?

Model
    `gaussian_mixture` with K = 3 clusters in one dimension that overlap in part, 150 rows. Draws
    are made in three ways. NumPyro alone: its NUTS on the program as it stands, four chains from
    its own random starts. `fit` by NUTS and by Gibbs, with `relabel=None`, `starts=0` (chains
    start at random, not near the best of EM's maxima).

    Each of these is relabelled by every method there is. "ecr" gives every draw the renaming
    that agrees best with the assignments of the best draw, "ecr-iterative" with the most frequent
    assignments; "stephens" brings the responsibilities of all draws together in Kullback-Leibler
    divergence; "order" sorts by location, which can only work where locations are far apart.

    Relabelling must not make good what is not good. So there is a second data set, four clumps
    for K = 3: two clumps have to share a cluster, and which ones do is a mode of its own, this
    time a real one. No chain moves from one to another. The fit is an ordinary one by Gibbs with
    random starts, its seed one at which a single chain of the four ends up in the worst mode.

What would count as an answer
    R-hat of the component parameters, before (above 1.5 where chains disagree on names) and
    after (at most 1.01); the R-hat of the log density, which has no labels, to tell whether the
    chains had agreed all along; effective draws after, and the share of draws whose relabelling
    is not clear-cut. Undone, relabelling must give back every number exactly. `diagnose` must
    let the repaired draws pass, and must still refuse the chain in another mode after it was
    relabelled.

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
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS
from scipy.special import logsumexp
from scipy.stats import norm

from experiments._page import Outcome, command, publish, stage
from ppl_models import diagnose, fit, relabel, unrelabel
from ppl_models.models.gaussian_mixture import gaussian_mixture
from ppl_models.plots import PALETTE, cluster_colors, house_style, plot_labels
from ppl_models.report import Block

CLUSTERS = 3
#: Location, scale and weight of the true clusters; of the four clumps for three clusters.
OVERLAPPING = ((-2.6, 0.0, 2.6), (0.8, 0.7, 0.9), (0.45, 0.3, 0.25))
CLUMPS = ((-9.0, -3.0, 3.0, 9.0), (0.6, 0.6, 0.6, 0.6), (0.25, 0.25, 0.25, 0.25))
METHODS = ("ecr", "ecr-iterative", "stephens", "order")
BARE = "NumPyro alone"
#: At this seed one chain of Gibbs ends up in the worst mode of the clumps.
CLUMPS_SEED = 3
SEED = 5
GOOD = 1.01


@dataclass(frozen=True)
class Size:
    """How much is done."""

    samplers: tuple[str, ...] = (BARE, "nuts", "gibbs")
    rows: int = 150
    warmup: int = 500
    draws: int = 2000
    thinning: int = 10


FULL = Size()
SMOKE = Size(samplers=(BARE,), warmup=300, draws=1000, thinning=2)


@dataclass(frozen=True)
class Repair:
    """A tree relabelled by one method.

    Attributes:
        tree: the relabelled tree.
        seconds: what it took.
        undone: whether taking it back gave every number of the original.
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
    with stage("four clumps for three clusters"):
        stuck = by_fit(drawn(CLUMPS, size.rows, 6), "gibbs", CLUMPS_SEED, size)
        renamed = relabel(stuck, "ecr")
    numbers = gather(trees, repairs, stuck, renamed)
    return publish(_outcome(x, trees, repairs, stuck, renamed, numbers), folder)


def drawn(truth: tuple[tuple[float, ...], ...], rows: int, seed: int) -> np.ndarray:
    """Rows (row,) of a mixture with the given locations, scales and weights."""
    loc, scale, weights = map(np.array, truth)
    generator = np.random.default_rng(seed)
    which = generator.choice(len(weights), rows, p=weights)
    return generator.normal(loc[which], scale[which])


# ---- draws ---------------------------------------------------------------------------------------


def by_numpyro(x: np.ndarray, size: Size) -> xr.DataTree:
    """Four chains of NumPyro's NUTS on the program; nothing of ours but the program."""
    with jax.enable_x64(True):
        sampler = MCMC(
            NUTS(gaussian_mixture), num_warmup=size.warmup, num_samples=size.draws, num_chains=4,
            chain_method="vectorized", progress_bar=False,
        )  # fmt: skip
        sampler.run(jax.random.key(SEED), x, clusters=CLUSTERS, extra_fields=("potential_energy",))
    samples = sampler.get_samples(group_by_chain=True)
    energy = sampler.get_extra_fields(group_by_chain=True)["potential_energy"]
    posterior = {n: (("chain", "draw", "cluster"), np.asarray(v)) for n, v in samples.items()}
    coords = {"chain": range(4), "draw": range(size.draws)}
    groups = {
        "posterior": xr.Dataset(posterior, coords | {"cluster": range(CLUSTERS)}),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), -np.asarray(energy))}, coords),
        "observed_data": xr.Dataset({"x": ("row", x)}),
    }
    return xr.DataTree.from_dict(groups)


def by_fit(x: np.ndarray, method: str, seed: int, size: Size) -> xr.DataTree:
    """Four chains from random starts, the labels as they came."""
    thinned: dict[str, Any] = {"thinning": size.thinning} if method == "gibbs" else {}
    return fit(
        "gaussian_mixture", x, method=method, seed=seed, clusters=CLUSTERS, starts=0,
        warmup=size.warmup, draws=size.draws, relabel=None, predictive=0, **thinned,
    )  # fmt: skip


def responsibilities(
    tree: xr.DataTree, rows: np.ndarray | None = None, draws: Any = None
) -> np.ndarray:
    """Responsibilities (draw, row, cluster) by hand, for draws that `fit` knows nothing of."""
    x = tree["observed_data"].to_dataset()["x"].values
    weights, loc, scale = flat(tree)
    chosen = slice(None) if draws is None else draws
    x = x if rows is None else x[rows]
    log = np.log(weights[chosen, None]) + norm.logpdf(
        x[None, :, None], loc[chosen, None], scale[chosen, None]
    )
    return np.exp(log - logsumexp(log, axis=-1, keepdims=True))


def flat(tree: xr.DataTree) -> list[np.ndarray]:
    """Weights, locations and scales, each (draw, cluster), chains one after another."""
    posterior = tree["posterior"]
    return [
        posterior[name].transpose("chain", "draw", "cluster").values.reshape(-1, CLUSTERS)
        for name in ("weights", "loc", "scale")
    ]


# ---- repair --------------------------------------------------------------------------------------


def repaired(tree: xr.DataTree, method: str) -> Repair:
    """Relabel, and take it back."""
    options: dict[str, Any] = {"variable": "loc"} if method == "order" else {}
    if "program" not in tree.attrs:
        options["responsibilities"] = responsibilities
    elif method == "ecr":
        relabel(tree, method, **options)  # compiles, which is not to be timed
    started = time.perf_counter()
    result = relabel(tree, method, **options)
    seconds = time.perf_counter() - started
    return Repair(result, seconds, identical(tree, unrelabel(result)))


def identical(one: xr.DataTree, other: xr.DataTree) -> bool:
    """Whether two trees hold the same posterior, bit by bit."""
    before, after = (tree["posterior"].to_dataset() for tree in (one, other))
    return all(np.array_equal(before[n].values, after[n].values) for n in before.data_vars)


def extreme(tree: xr.DataTree, group: str) -> float:
    """The worst number of a group below `labels`: the largest R-hat, the smallest ESS."""
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
        found = repairs[name]
        pooled = [np.sort(flat(t)[1].mean(0)) for t in (tree, found["ecr"].tree)]
        samplers[name] = {
            "rhat_before": extreme(found["ecr"].tree, "rhat_before"),
            "rhat_lp": float(arviz.rhat(tree["sample_stats"].to_dataset()[["lp"]])["lp"]),
            "pooled_before": pooled[0], "pooled_after": pooled[1],
            "renamed": changed_mind(found["ecr"].tree),
            "diagnosis_before": verdict(tree), "diagnosis_after": verdict(found["ecr"].tree),
            "methods": {method: figures(repair) for method, repair in found.items()},
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
    """What is told of one method."""
    return {
        "rhat_after": extreme(repair.tree, "rhat_after"),
        "ess_after": extreme(repair.tree, "ess_after"),
        "share_unclear": float(repair.tree["labels"].attrs["share_unclear"]),
        "seconds": repair.seconds,
        "undone": repair.undone,
    }


def changed_mind(tree: xr.DataTree) -> int:
    """How often, in all chains, a draw was named otherwise than the one before it."""
    permutation = tree["labels"]["permutation"].transpose("chain", "draw", "cluster").values
    return int((permutation[:, 1:] != permutation[:, :-1]).any(-1).sum())


def verdict(tree: xr.DataTree) -> dict:
    """What `diagnose` says: whether to trust, in a sentence and in full."""
    own = None if "program" in tree.attrs else responsibilities
    said = diagnose(tree, responsibilities=own)
    return {"trustworthy": said.trustworthy, "warnings": len(said.of("warning")),
            "verdict": said.verdict, "text": str(said)}  # fmt: skip


# ---- answer --------------------------------------------------------------------------------------


def answer(numbers: dict) -> str:
    """The numbers in words."""
    samplers = numbers["samplers"]
    every = [line for found in samplers.values() for line in found["methods"].values()]
    worst = max(line["rhat_after"] for line in every)
    all_good, undone = worst <= GOOD, all(line["undone"] for line in every)
    before = "; ".join(
        f"{name}: {found['rhat_before']:.2f} (log density: {found['rhat_lp']:.3f})"
        for name, found in samplers.items()
    )
    lost = max(samplers.values(), key=lambda found: found["rhat_before"])
    first = (
        f"{'Yes, by every method' if all_good else 'Not to the last'}. The largest R-hat of a "
        f"component parameter was {before}. After relabelling it is at most {worst:.4f}, "
        f"{'within' if all_good else 'above'} {GOOD}, and the smallest number of effective draws "
        f"is {min(line['ess_after'] for line in every):.0f}. {_agreed(samplers)} While names "
        "differ, an average by cluster is of nothing: the pooled locations are "
        f"{listed(lost['pooled_before'])} before and {listed(lost['pooled_after'])} after "
        f"(truth: {listed(numbers['truth'])})."
    )
    return "\n\n".join([first, _methods(samplers, undone), _diagnoses(numbers)])


def _agreed(samplers: dict) -> str:
    """Whether the log density, which has no labels, says that the chains had agreed."""
    if max(found["rhat_lp"] for found in samplers.values()) <= 1.02:
        return "The chains had found the same posterior and differed in names alone."
    return "The chains had not agreed on the log density either: more draws are needed."


def listed(values: list[float]) -> str:
    """Numbers apart by commas.

    >>> listed([-1.234, 2])
    '-1.23, 2.00'
    """
    return ", ".join(f"{value:.2f}" for value in values)


def _methods(samplers: dict, undone: bool) -> str:
    """How the methods compare, and whether the original comes back."""
    shares = {
        method: max(found["methods"][method]["share_unclear"] for found in samplers.values())
        for method in METHODS
    }
    told = ", ".join(f"{method} {share:.1%}" for method, share in shares.items())
    slowest = max(line["seconds"] for found in samplers.values()
                  for line in found["methods"].values())  # fmt: skip
    within = {name: found["renamed"] for name, found in samplers.items()}
    moves = ", ".join(f"{name} {count}" for name, count in within.items())
    return (
        f"Within chains names changed so often: {moves} times. Draws whose relabelling is not "
        f"clear-cut by the method's own measure, at most: {told}. No method took longer than "
        f"{slowest:.2f} s. Taken back, relabelling "
        + ("gave every original number exactly." if undone else "did NOT give the original back.")
    )


def _diagnoses(numbers: dict) -> str:
    """Whether diagnose tells renaming from modes."""
    samplers, other = numbers["samplers"], numbers["other_mode"]
    said = "; ".join(
        f"{name}: “{found['diagnosis_after']['verdict']}”" for name, found in samplers.items()
    )
    fine = f"diagnose says of the relabelled draws: {said}"
    lp = ", ".join(f"{value:.1f}" for value in other["lp"])
    found = (
        "and is told so, for diagnose still refuses"
        if not other["diagnosis"]["trustworthy"] else "but diagnose does NOT find it"
    )  # fmt: skip
    return (
        f"{fine} Where one chain sits in a real mode of its own (mean log density by chain: {lp}) "
        f"relabelling brings R-hat from {other['rhat_before']:.2f} to {other['rhat_after']:.2f} "
        f"only, {found}: “{other['diagnosis']['verdict']}” The share of draws that are not "
        f"clear-cut, {other['share_unclear']:.1%} there, "
        f"{'does not tell' if other['share_unclear'] < 0.1 else 'tells too'}."
    )


# ---- page ----------------------------------------------------------------------------------------


def _outcome(
    x: np.ndarray,
    trees: Mapping[str, xr.DataTree],
    repairs: Mapping[str, Mapping[str, Repair]],
    stuck: xr.DataTree,
    renamed: xr.DataTree,
    numbers: dict,
) -> Outcome:
    first, *others = trees
    evidence = [
        Block("Every sampler and method", "Largest R-hat and smallest ESS are over all component "
              "parameters. Seconds are without compilation.", table=repair_table(numbers),
              figures=(rhat_picture(numbers),)),
        Block("What is lost and what is not", "The average over draws of each component's density, "
              "weighted, by label. Their sum, the mixture's density, is the same on both sides.",
              figures=(density_picture(x, trees[first], repairs[first]["ecr"].tree),)),
        *(Block(f"The draws by {name}, before and after",
                figures=(plot_labels(trees[name], repairs[name]["ecr"].tree, "loc"),))
          for name in others),
        Block("A chain in another mode", "Relabelled, this chain still is elsewhere: one of its "
              "clusters covers other clumps than in the other chains.",
              figures=(clump_picture(stuck, renamed), plot_labels(stuck, renamed, "loc")),
              captions=("The clumps, and where each chain has its clusters: mean location and the "
                        "range of ± two scales.", "")),
        *diagnosis_blocks(numbers, first),
    ]  # fmt: skip
    caption = (
        f"Locations drawn by {first}: one colour a label, the four chains side by side, before "
        "and after relabelling by ECR; below, the rank curves, which stay near zero for chains "
        "that agree."
    )
    key = plot_labels(trees[first], repairs[first]["ecr"].tree, "loc")
    return Outcome("labels", __doc__ or "", answer(numbers), numbers, key, caption, evidence)


def diagnosis_blocks(numbers: dict, name: str) -> list[Block]:
    """What diagnose says, in full: before, after, and of the chain in another mode."""
    found = numbers["samplers"][name]
    said = {
        f"diagnose: {name}, as drawn": found["diagnosis_before"],
        f"diagnose: {name}, relabelled": found["diagnosis_after"],
        "diagnose: a chain in another mode, relabelled": numbers["other_mode"]["diagnosis"],
    }
    return [Block(heading, code=one["text"]) for heading, one in said.items()]


def repair_table(numbers: dict) -> pd.DataFrame:
    """One line a sampler and method."""
    lines = [
        {
            "draws by": name,
            "relabelled by": method,
            "R-hat before": found["rhat_before"],
            "R-hat after": line["rhat_after"],
            "smallest ESS after": round(line["ess_after"]),
            "not clear-cut": f"{line['share_unclear']:.2%}",
            "seconds": round(line["seconds"], 2),
            "undone exactly": "yes" if line["undone"] else "NO",
        }
        for name, found in numbers["samplers"].items()
        for method, line in found["methods"].items()
    ]
    return pd.DataFrame(lines).set_index(["draws by", "relabelled by"])


def rhat_picture(numbers: dict) -> Figure:
    """The excess of R-hat over one, before and after, on a logarithmic axis."""
    lines = [
        (f"{name}, {method}", found["rhat_before"], line["rhat_after"])
        for name, found in numbers["samplers"].items()
        for method, line in found["methods"].items()
    ]
    before, after = (np.array([line[i] for line in lines]) - 1 for i in (1, 2))
    place = -np.arange(len(lines))
    with house_style():
        figure = Figure(figsize=(8.5, 1.4 + 0.28 * len(lines)))
        axes = figure.subplots()
        axes.hlines(place, after, before, color="#D9D9D9", linewidth=2)
        axes.plot(before, place, "o", color=PALETTE[1], label="before")
        axes.plot(after, place, "o", color=PALETTE[0], label="after")
        axes.axvline(GOOD - 1, color="#8A8A8A", linestyle=":", label="1.01")
        axes.set(xscale="log", xlabel="largest R-hat of a component parameter, minus 1")
        axes.set_yticks(place, [line[0] for line in lines])
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def density_picture(x: np.ndarray, before: xr.DataTree, after: xr.DataTree) -> Figure:
    """Average component densities over the data, before and after."""
    grid = np.linspace(x.min() - 1, x.max() + 1, 300)
    with house_style():
        figure = Figure(figsize=(11.0, 3.6))
        for axes, tree, when in zip(
            figure.subplots(1, 2, sharey=True), (before, after), ("Before", "After"), strict=True
        ):
            axes.hist(x, bins=30, density=True, color="#E4E4E4")
            parts = average_densities(tree, grid)
            for k, color in enumerate(cluster_colors(CLUSTERS)):
                axes.plot(grid, parts[:, k], color=color, linewidth=2, label=f"label {k}")
            axes.plot(grid, parts.sum(1), color="#222222", linewidth=1, linestyle="--", label="sum")
            axes.set(title=f"{when} relabelling", xlabel="x")
            axes.legend()
        figure.axes[0].set_ylabel("density")
    return figure


def average_densities(tree: xr.DataTree, grid: np.ndarray, at_most: int = 1000) -> np.ndarray:
    """Weighted component densities (grid, cluster), averaged over evenly spaced draws."""
    weights, loc, scale = flat(tree)
    step = max(1, len(loc) // at_most)
    each = norm.pdf(grid[None, :, None], loc[::step, None], scale[::step, None])
    return (weights[::step, None] * each).mean(0)


def clump_picture(stuck: xr.DataTree, renamed: xr.DataTree) -> Figure:
    """The four clumps and every chain's clusters, relabelled."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.6))
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
        top.hist(stuck["observed_data"]["x"].values, bins=60, color="#BDBDBD")
        top.set(title="Four clumps, three clusters", ylabel="rows")
        draw_chains(below, renamed)
    return figure


def draw_chains(axes: Axes, tree: xr.DataTree) -> None:
    """One line a chain: its clusters' mean locations and their reach."""
    posterior = tree["posterior"].to_dataset().mean("draw")
    loc, scale = posterior["loc"].values, posterior["scale"].values
    lp = tree["sample_stats"].to_dataset()["lp"].mean("draw").values
    place = -np.arange(len(loc))
    for k, color in enumerate(cluster_colors(CLUSTERS)):
        axes.hlines(place, loc[:, k] - 2 * scale[:, k], loc[:, k] + 2 * scale[:, k], color=color,
                    linewidth=3, alpha=0.6)  # fmt: skip
        axes.plot(loc[:, k], place, "o", color=color)
    axes.set_yticks(place, [f"chain {c}, lp {value:.1f}" for c, value in enumerate(lp)])
    axes.set(xlabel="x", ylim=(0.5 - len(loc), 0.5))


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
