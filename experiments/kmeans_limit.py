"""The limit: does a Gaussian mixture become k-means as its scale goes to zero?

Question
    k-means has no program of its own here: it is the spherical Gaussian mixture with equal weights
    and one scale σ, in the limit σ → 0. Do the centres that EM finds converge to those of k-means,
    how fast, and what do they look like on the way?

Model
    `gaussian_mixture` with `covariance="spherical"`, its `weights` held at 1/K and its `scale`
    at σ for every cluster, so that only the centres μ are estimated. Data: 272 eruptions of Old
    Faithful, duration and waiting time, each scaled to standard deviation one. EM maximises the
    likelihood (flat priors) from many starts at each σ of a geometric grid.

    Let J(μ) = Σ_n min_k |x_n - μ_k|² be the objective of k-means, and
    F(μ) = -2σ² Σ_n log Σ_k exp(-|x_n - μ_k|² / 2σ²) the negative log-likelihood, scaled and without
    constants. The soft minimum is below the minimum by at most 2σ² log K per row, so that
    F ≤ J ≤ F + 2σ² N log K, and the global maximum μ_σ obeys J(μ_σ) - min J ≤ 2σ² N log K.

    For large σ all centres coincide. With flat priors the data's mean is a maximum of the
    likelihood as long as σ² is at least the largest eigenvalue of the data's covariance; below it a
    second centre splits off along the first principal axis. In deterministic annealing these splits
    are called phase transitions.

What would count as an answer
    J at EM's centres must converge to the best J of k-means (from many starts, by `kmeans`, hard
    assignment in the same program, and by scikit-learn) and stay within the bound. The largest
    distance between EM's centres and those of k-means must go to zero, and the first split must
    occur at the σ that theory predicts.

References
    - Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section 9.3.2. Springer.
    - Rose, K., Gurewitz, E. and Fox, G. C. (1990). Statistical mechanics and phase transitions in
      clustering. Physical Review Letters 65, 945-948.
    - Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
      Applied Statistics 39, 357-365 (data).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit
from ppl_models.data import old_faithful
from ppl_models.plots import PALETTE, cluster_colors, house_style, plot_path
from ppl_models.report import Block


@dataclass(frozen=True)
class Size:
    """How much is done."""

    clusters: int = 3
    scales: int = 33
    hottest: float = 2.5
    coldest: float = 0.02
    starts: int = 64
    every: int = 1


FULL = Size()
SMOKE = Size(clusters=2, scales=5, coldest=0.05, starts=6, every=3)
SEED = 3
#: Scales at which responsibilities are shown: the nearest ones on the grid.
SHOWN = (1.0, 0.4, 0.05)


@dataclass(frozen=True)
class Step:
    """The centres by EM at one scale.

    Attributes:
        scale: σ.
        centres: (cluster, feature).
        distance: J at the centres.
        soft_distance: F at the centres.
        responsibilities: (row, cluster).
    """

    scale: float
    centres: np.ndarray
    distance: float
    soft_distance: float
    responsibilities: np.ndarray


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit at every scale of the grid and compare with k-means.

    Args:
        folder: where the page goes.
        smoke: fewer rows, clusters and scales.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    x = scaled(old_faithful().iloc[:: size.every])
    with stage("k-means"):
        limit = fit("gaussian_mixture", x, method="kmeans", seed=SEED, clusters=size.clusters,
                    covariance="spherical", starts=size.starts, predictive=0)  # fmt: skip
    peer = KMeans(size.clusters, n_init=size.starts, random_state=SEED).fit(x)
    with stage(f"em at {size.scales} scales"):
        scales = np.geomspace(size.coldest, size.hottest, size.scales)
        centres = limit["posterior"]["loc"].values[0, 0]
        steps = []
        for scale in scales:  # from the smallest σ, so that clusters keep their colours
            steps.append(step(x, float(scale), centres, size))
            centres = steps[-1].centres
    inertia = float(limit["sample_stats"]["inertia"].values.item())
    table = path_table(steps, limit, inertia, len(x), size.clusters)
    numbers = gather(table, x, inertia, peer, limit, size)
    return publish(_outcome(table, steps, limit, x, numbers), folder)


def scaled(frame: pd.DataFrame) -> pd.DataFrame:
    """Every feature with mean zero and standard deviation one."""
    return (frame - frame.mean()) / frame.std(ddof=0)


def step(x: pd.DataFrame, scale: float, near: np.ndarray, size: Size) -> Step:
    """EM at one scale, its clusters matched to the given centres (cluster, feature)."""
    held = {"weights": np.full(size.clusters, 1 / size.clusters),
            "scale": np.full(size.clusters, scale)}  # fmt: skip
    tree = fit("gaussian_mixture", x, method="em", seed=SEED, clusters=size.clusters,
               covariance="spherical", fixed=held, priors="flat", starts=size.starts,
               tolerance=1e-12, iterations=5000, predictive=0)  # fmt: skip
    centres = tree["posterior"]["loc"].values[0, 0]
    order = linear_sum_assignment(((near[:, None] - centres) ** 2).sum(-1))[1]
    rows, features = x.shape
    log_likelihood = float(tree["log_likelihood"]["x"].sum())
    constant = rows * (np.log(size.clusters) + features / 2 * np.log(2 * np.pi * scale**2))
    return Step(
        scale, centres[order], hard_distance(x, centres),
        -2 * scale**2 * (log_likelihood + constant),
        tree["responsibilities"]["responsibilities"].values[:, order],
    )  # fmt: skip


def hard_distance(x: pd.DataFrame, centres: np.ndarray) -> float:
    """J: the sum of squared distances from the nearest centre (cluster, feature)."""
    return float(((x.to_numpy()[:, None] - centres) ** 2).sum(-1).min(1).sum())


def path_table(
    steps: list[Step], limit: xr.DataTree, inertia: float, rows: int, clusters: int
) -> pd.DataFrame:
    """One line a scale: J, F, the bound, and the distance of the centres from k-means."""
    goal = limit["posterior"]["loc"].values[0, 0]
    lines = []
    for one in steps:
        cost = np.sqrt(((goal[:, None] - one.centres) ** 2).sum(-1))
        lines.append({
            "scale": one.scale,
            "J": one.distance,
            "F": one.soft_distance,
            "J - min J": one.distance - inertia,
            "bound": 2 * one.scale**2 * rows * np.log(clusters),
            "centres off by": cost[linear_sum_assignment(cost)].max(),
            "distinct centres": distinct(one.centres),
            "certain rows": float((one.responsibilities.max(1) > 0.99).mean()),
        })  # fmt: skip
    return pd.DataFrame(lines).set_index("scale").sort_index(ascending=False)


def distinct(centres: np.ndarray, apart: float = 0.02) -> int:
    """Number of centres (cluster, feature), where coinciding ones count as one."""
    distinct: list[np.ndarray] = []
    for centre in centres:
        if all(np.linalg.norm(centre - other) > apart for other in distinct):
            distinct.append(centre)
    return len(distinct)


def gather(
    table: pd.DataFrame,
    x: pd.DataFrame,
    inertia: float,
    peer: KMeans,
    limit: xr.DataTree,
    size: Size,
) -> dict:
    """The numbers of the answer."""
    critical = float(np.sqrt(np.linalg.eigvalsh(np.cov(x.T, ddof=0)).max()))
    coldest, many = table.iloc[-1], table.index[table["distinct centres"] > 1]
    one = table.index[table["distinct centres"] == 1]
    goal = limit["posterior"]["loc"].values[0, 0]
    cost = np.sqrt(((goal[:, None] - peer.cluster_centers_) ** 2).sum(-1))
    splits = [
        {"centres": int(k), "scale": float(table.index[table["distinct centres"] >= k].max())}
        for k in range(2, int(table["distinct centres"].max()) + 1)
    ]
    return {
        "rows": len(x), "clusters": size.clusters, "starts": size.starts,
        "J_kmeans": inertia, "J_scikit_learn": float(peer.inertia_),
        "centres_off_scikit_learn": float(cost[linear_sum_assignment(cost)].max()),
        "coldest": float(table.index[-1]), "J_coldest": float(coldest["J"]),
        "J_best_of_em": float(table["J"].min()),
        "centres_off_coldest": float(coldest["centres off by"]),
        "certain_coldest": float(coldest["certain rows"]),
        "scales": table.index.tolist(), "J": table["J"].tolist(), "F": table["F"].tolist(),
        "bound": table["bound"].tolist(), "centres_off": table["centres off by"].tolist(),
        "within_bound": bool((table["J - min J"] <= table["bound"] + 1e-9).all()),
        "critical": critical, "coldest_single": float(one.min()) if len(one) else float("nan"),
        "hottest_split": float(many.max()), "splits": splits,
    }  # fmt: skip


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    excess = numbers["J_coldest"] / numbers["J_kmeans"] - 1
    yes = abs(excess) < 1e-3 and numbers["centres_off_coldest"] < 1e-2
    came = "converges to k-means" if yes else "has not converged to k-means at the smallest σ"
    theory = numbers["hottest_split"] <= numbers["critical"] <= numbers["coldest_single"]
    bound = (
        "J stays within the bound at every σ" if numbers["within_bound"]
        else "at some σ J is above the bound, so that EM missed the best centres there"
    )  # fmt: skip
    return (
        f"EM {came}. At σ = {numbers['coldest']:.3g} (in standard deviations of the data) every "
        f"centre is within {numbers['centres_off_coldest']:.1e} of its counterpart, and {bound}. "
        f"The {numbers['clusters']} centres coincide at large σ and split one after another, first "
        f"at σ = {numbers['hottest_split']:.3f}, "
        f"{'in agreement with' if theory else 'which contradicts'} the theory "
        f"({numbers['critical']:.3f}).\n\n"
        "The scale thus determines the number of distinct clusters, whatever K is. k-means is the "
        "limit in which every centre is used and every assignment is certain, even where the data "
        "leave it open."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer: J of three programs, and the splits."""
    sums = pd.DataFrame(
        {
            "J": [f"{numbers[f'J_{name}']:.6f}" for name in ("coldest", "kmeans", "scikit_learn")],
        },
        index=pd.Index(["EM at the smallest σ", "k-means", "scikit-learn"], name="method"),
    )
    splits = pd.DataFrame(
        [{"distinct centres": s["centres"], "σ at most": f"{s['scale']:.3g}"}
         for s in numbers["splits"]]
    )  # fmt: skip
    certain = percent(numbers["certain_coldest"])
    return {
        f"J, the sum of squared distances. At the smallest σ {certain} of the rows are assigned "
        "with a probability of more than 99%.": sums,
        f"Splits of the centres; at σ = {numbers['coldest_single']:.3f} they coincide.": splits,
    }


def _outcome(
    table: pd.DataFrame, steps: list[Step], limit: xr.DataTree, x: pd.DataFrame, numbers: dict
) -> Outcome:
    evidence = [
        Block("Responsibilities at three scales",
              "Every row has the clusters' colours mixed by its responsibilities. At large σ all "
              "colours mix; at small σ each row has one colour.",
              figures=(responsibility_picture(x, steps),)),
        Block("k-means", "Hard assignment in the same program, from its own starts.",
              figures=(plot_path(limit),)),
        Block("All numbers", "`F` is the negative log-likelihood on the scale of J; `bound` is the "
              "largest possible excess of J over its minimum.", table=table),
    ]  # fmt: skip
    caption = (
        "Left: J at EM's centres and their distance from those of k-means, by σ. Right: EM's "
        "centres as σ decreases, from the mean (ring) to k-means (cross)."
    )
    return Outcome("kmeans_limit", __doc__ or "", answer(numbers), numbers,
                   path_picture(table, steps, limit, x, numbers), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def path_picture(
    table: pd.DataFrame, steps: list[Step], limit: xr.DataTree, x: pd.DataFrame, numbers: dict
) -> Figure:
    """J and the centres' distance by scale, and the path of the centres over the data."""
    with house_style():
        figure = Figure(figsize=(11.0, 5.2))
        grid = figure.subplot_mosaic([["J", "way"], ["off", "way"]], width_ratios=[1.0, 1.15])
        draw_distance(grid["J"], table, numbers)
        grid["off"].plot(table.index, table["centres off by"], ".-", color=PALETTE[1])
        grid["off"].axvline(numbers["critical"], color="#8A8A8A", linestyle=":")
        grid["off"].set(xscale="log", yscale="log", xlabel="scale σ", ylabel="distance")
        grid["off"].set_title("Largest distance from k-means' centres")
        grid["off"].invert_xaxis()
        draw_way(grid["way"], steps, limit, x)
        for axes in (grid["J"], grid["off"]):
            axes.xaxis.set_major_formatter("{x:g}")
    return figure


def draw_distance(axes: Axes, table: pd.DataFrame, numbers: dict) -> None:
    """J and F against the scale, and the minimum of J."""
    axes.plot(table.index, table["J"], ".-", color=PALETTE[0], label="J at EM's centres")
    axes.plot(table.index, table["F"], color=PALETTE[0], alpha=0.5, linestyle="--",
              label="F, minimised by EM")  # fmt: skip
    axes.axhline(numbers["J_kmeans"], color="#222222", linewidth=1.0, label="J of k-means")
    axes.axvline(numbers["critical"], color="#8A8A8A", linestyle=":", label="first split, theory")
    low = min(0.0, table["F"][table.index < 1.0].min())
    axes.set(xscale="log", ylabel="J", ylim=(low, 1.1 * table["J"].max()))
    axes.invert_xaxis()
    axes.set_title("The objective of k-means")
    axes.legend(fontsize=8)


def draw_way(axes: Axes, steps: list[Step], limit: xr.DataTree, x: pd.DataFrame) -> None:
    """The centres at all scales over the data."""
    axes.scatter(*x.to_numpy().T, s=9, color="#D9D9D9", linewidths=0)
    ways = np.stack([one.centres for one in steps], axis=1)
    for way, color in zip(ways, cluster_colors(len(ways)), strict=True):
        axes.plot(*way.T, ".-", color=color, linewidth=1.4)
        axes.plot(*way[-1], "o", markerfacecolor="white", markeredgecolor=color, markersize=8)
    goal = limit["posterior"]["loc"].values[0, 0]
    axes.plot(*goal.T, "x", color="#222222", markersize=11, markeredgewidth=2, label="k-means")
    axes.set(xlabel=f"{x.columns[0]} (scaled)", ylabel=f"{x.columns[1]} (scaled)")
    axes.set_title("The centres as σ decreases")
    axes.legend(loc="lower right")


def responsibility_picture(x: pd.DataFrame, steps: list[Step]) -> Figure:
    """Rows coloured by their responsibilities at three scales."""
    scales = np.array([one.scale for one in steps])
    with house_style():
        figure = Figure(figsize=(11.0, 3.9))
        panels = figure.subplots(1, len(SHOWN), sharex=True, sharey=True)
        for axes, wanted in zip(panels, SHOWN, strict=True):
            one = steps[int(np.abs(np.log(scales / wanted)).argmin())]
            palette = np.array([to_rgb(c) for c in cluster_colors(len(one.centres))])
            axes.scatter(*x.to_numpy().T, s=13, color=one.responsibilities @ palette, linewidths=0)
            axes.scatter(*one.centres.T, s=70, color=palette, edgecolor="#222222", zorder=3)
            certain = (one.responsibilities.max(1) > 0.99).mean()
            axes.set_title(f"σ = {one.scale:.2g}, rows that are certain: {certain:.0%}")
            axes.set_xlabel(f"{x.columns[0]} (scaled)")
        panels[0].set_ylabel(f"{x.columns[1]} (scaled)")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
