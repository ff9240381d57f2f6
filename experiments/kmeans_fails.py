"""Where k-means fails: overlapping, unequal and oddly shaped clusters.

Question
    k-means assigns every row to the nearest centre, whatever the clusters' sizes and shapes. How
    much accuracy does this cost where clusters overlap, differ in size or are elongated, and does a
    mixture with scales, weights or covariances of its own recover it?

Model
    Gaussian mixtures by EM, all from the same program with different `covariance`: spherical (one
    scale per cluster), diagonal (one scale per cluster and feature), full (any ellipse); and
    k-means, the limit of the spherical one with equal weights as the common scale goes to zero.
    Rows are assigned to their most probable cluster. All methods are told the true number of
    clusters.

    Data are drawn afresh for every seed from four known mixtures of Gaussians. "Round" clusters of
    equal size, four standard deviations apart, suit k-means best; they show whether mixtures lose
    accuracy where they have nothing to gain.

What would count as an answer
    The adjusted Rand index between estimated and true clusters (1: identical, 0: chance), its mean
    and standard deviation over seeds, and for how many seeds the mixture with the right covariance
    (the simplest that holds the true clusters) beats k-means on the same data. No method can reach
    1 where clusters overlap: the column "oracle" is the index of a classifier that estimates one
    Gaussian per cluster from the true labels.

References
    - Hubert, L. and Arabie, P. (1985). Comparing partitions. Journal of Classification 2, 193-218.
    - Raykov, Y. P., Boukouvalas, A., Baig, F. and Little, M. A. (2016). What to do when K-means
      clustering fails. PLoS ONE 11, e0162259.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_normal
from sklearn.metrics import adjusted_rand_score

from experiments._page import Outcome, command, publish, stage
from ppl_models import fit
from ppl_models.data import blobs, oddly_shaped, overlapping, unequal
from ppl_models.plots import cluster_colors, house_style
from ppl_models.report import Block

Drawn = tuple[pd.DataFrame, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Known clusters, how many they are, and the simplest covariance that holds them."""

    draw: Callable[..., Drawn]
    clusters: int
    right: str


CASES = {
    "overlapping": Case(overlapping, 3, "full"),
    "unequal": Case(unequal, 3, "spherical"),
    "oddly shaped": Case(oddly_shaped, 3, "full"),
    "round": Case(partial(blobs, separation=4.0), 4, "spherical"),
}
METHODS = ("k-means", "spherical", "diagonal", "full")


@dataclass(frozen=True)
class Size:
    """How much is done."""

    seeds: int = 30
    rows: int = 600
    starts: int = 16
    cases: tuple[str, ...] = tuple(CASES)


FULL = Size()
DEMO = Size(seeds=5, starts=8, cases=("overlapping", "unequal", "oddly shaped"))
SMOKE = Size(seeds=2, rows=240, starts=4, cases=("unequal", "oddly shaped"))


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Cluster data of every case and seed by every method.

    Args:
        folder: where the page goes.
        smoke: few seeds, rows and cases.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    lines, shown = [], {}
    for name in size.cases:
        case = CASES[name]
        with stage(f"{name} clusters, {size.seeds} seeds by {len(METHODS)} methods"):
            for seed in range(size.seeds):
                x, truth = case.draw(seed, size.rows)
                trees = {method: cluster(x, case.clusters, method, seed, size)
                         for method in METHODS}  # fmt: skip
                by_method = {method: labels(tree) for method, tree in trees.items()}
                by_method["oracle"] = oracle(x.to_numpy(), truth)
                for method, label in by_method.items():
                    index = adjusted_rand_score(truth, label)
                    lines.append({"case": name, "seed": seed, "method": method, "index": index})
                if seed == 0:
                    shown[name] = (x, truth, trees)
    scores = pd.DataFrame(lines)
    numbers = {"seeds": size.seeds, "rows": size.rows,
               "cases": {name: summary(scores, name) for name in size.cases}}  # fmt: skip
    return publish(_outcome(scores, shown, numbers), folder)


def cluster(x: pd.DataFrame, clusters: int, method: str, seed: int, size: Size) -> xr.DataTree:
    """A fit by k-means, or by EM with the named covariance."""
    chosen = ({"method": "kmeans", "covariance": "spherical"} if method == "k-means"
              else {"method": "em", "covariance": method})  # fmt: skip
    return fit("gaussian_mixture", x, seed=seed, clusters=clusters, starts=size.starts,
               predictive=0, **chosen)  # fmt: skip


def labels(tree: xr.DataTree) -> np.ndarray:
    """The most probable cluster of every row (row,)."""
    return tree["responsibilities"]["responsibilities"].values.argmax(1)


def oracle(x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Labels by one Gaussian per cluster, estimated from the true labels."""
    density = [
        multivariate_normal(x[truth == k].mean(0), np.cov(x[truth == k].T)).logpdf(x)
        + np.log((truth == k).mean())
        for k in np.unique(truth)
    ]
    return np.argmax(density, axis=0)


def summary(scores: pd.DataFrame, name: str) -> dict:
    """Mean and standard deviation over seeds by method, and how often the right mixture wins."""
    table = scores[scores["case"] == name].pivot(index="seed", columns="method", values="index")
    right = CASES[name].right
    gain = table[right] - table["k-means"]
    return {
        "right": right,
        "mean": table.mean().to_dict(),
        "sd": table.std(ddof=1).to_dict(),
        "wins": int((gain > 0).sum()),
        "losses": int((gain < 0).sum()),
        "gain": float(gain.mean()),
        "gain_error": float(gain.std(ddof=1) / np.sqrt(len(gain))),
    }


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    cases = numbers["cases"]
    better = [n for n, f in cases.items() if f["gain"] > 3 * f["gain_error"]]
    if not better:
        return (
            "In no case is the mixture with the right covariance better than k-means by more than "
            "three standard errors. The table has the adjusted Rand indices."
        )
    gains = [cases[name]["mean"][cases[name]["right"]] - cases[name]["mean"]["k-means"]
             for name in better]  # fmt: skip
    wrong = [
        f"{method} on {name} clusters"
        for name, case in cases.items()
        for method in METHODS[1:]
        if method != case["right"] and case["mean"][method] < case["mean"]["k-means"] - 0.02
    ]
    shapes = " or ".join([", ".join(better[:-1]), better[-1]][len(better) < 2 :])
    low, high = f"{min(gains):.2f}", f"{max(gains):.2f}"
    return (
        f"Where clusters are {shapes}, the mixture with the right covariance is more accurate than "
        f"k-means: its adjusted Rand index is higher by "
        f"{low if low == high else f'{low} to {high}'}. "
        + (
            "A wrong covariance can be worse than k-means: the index is lower for "
            f"{', '.join(wrong)}."
            if wrong
            else "No covariance is worse than k-means."
        )  # fmt: skip
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """Adjusted Rand indices, a row a case."""
    rows = {
        name: {
            "right mixture": case["right"],
            **{method: f"{case['mean'][method]:.2f}" for method in (*METHODS, "oracle")},
            "wins": case["wins"],
            "losses": case["losses"],
        }
        for name, case in numbers["cases"].items()
    }
    caption = (
        f'Mean adjusted Rand index over {numbers["seeds"]} data sets; "oracle" estimates the '
        "clusters from the true labels. Wins and losses: right mixture against k-means."
    )
    return {caption: pd.DataFrame(rows).T.rename_axis("case")}


def score_table(numbers: dict) -> pd.DataFrame:
    """Mean ± standard deviation, one line a case, the right covariance marked."""
    lines = {}
    for name, case in numbers["cases"].items():
        lines[name] = {
            method: f"{case['mean'][method]:.3f} ± {case['sd'][method]:.3f}"
            + (" ← right" if method == case["right"] else "")
            for method in (*METHODS, "oracle")
        } | {"right wins": f"{case['wins']} of {numbers['seeds']}"}
    return pd.DataFrame(lines).T


def _outcome(scores: pd.DataFrame, shown: dict[str, tuple], numbers: dict) -> Outcome:
    evidence = [
        Block("Adjusted Rand index", f"Mean ± standard deviation over {numbers['seeds']} data sets "
              f"of {numbers['rows']} rows.", table=score_table(numbers),
              figures=(score_picture(scores, numbers),)),
    ]  # fmt: skip
    caption = (
        "The first data set of each case: true clusters, k-means (with its Voronoi cells), and the "
        "mixture with the right covariance (ellipses hold 95% of a cluster). Colours are matched "
        "to the true clusters."
    )
    return Outcome("kmeans_fails", __doc__ or "", answer(numbers), numbers,
                   side_by_side(shown), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def side_by_side(shown: dict[str, tuple]) -> Figure:
    """Truth, k-means and the right mixture, one line a case."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.5 * len(shown)))
        grid = figure.subplots(len(shown), 3, squeeze=False)
        for line, (name, (x, truth, trees)) in zip(grid, shown.items(), strict=True):
            right = CASES[name].right
            draw_rows(line[0], x, truth)
            line[0].set_title(f"{name.capitalize()}: the truth")
            for axes, method in zip(line[1:], ("k-means", right), strict=True):
                order = matched(truth, labels(trees[method]))
                draw_rows(axes, x, order[labels(trees[method])])
                index = adjusted_rand_score(truth, labels(trees[method]))
                title = method if method == "k-means" else f"{method} mixture"
                axes.set_title(f"{title}: index {index:.2f}")
                axes.set(xlim=line[0].get_xlim(), ylim=line[0].get_ylim())
                if method == "k-means":
                    draw_cells(axes, trees[method], order)
                else:
                    draw_ellipses(axes, trees[method], order)
    return figure


def matched(truth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The true cluster of every estimated one, matched one to one by the rows in common."""
    clusters = max(truth.max(), label.max()) + 1
    shared = np.zeros((clusters, clusters))
    np.add.at(shared, (label, truth), 1)
    return linear_sum_assignment(-shared)[1]


def draw_rows(axes: Axes, x: pd.DataFrame, label: np.ndarray) -> None:
    """Rows in the colours of their clusters."""
    palette = np.array(cluster_colors(int(label.max()) + 1))
    axes.scatter(*x.to_numpy().T, s=9, color=palette[label], linewidths=0, alpha=0.85)
    axes.set_aspect("equal", adjustable="box")


def draw_cells(axes: Axes, tree: xr.DataTree, order: np.ndarray) -> None:
    """Tint the plane by nearest centre, and mark the centres."""
    centres = tree["posterior"]["loc"].values[0, 0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    grid = np.stack(np.meshgrid(np.linspace(left, right, 250), np.linspace(bottom, top, 250)), -1)
    nearest = ((grid[:, :, None] - centres) ** 2).sum(-1).argmin(-1)
    for k, color in enumerate(cluster_colors(len(centres))):
        inside = np.where(order[nearest] == k, 1.0, np.nan)
        axes.contourf(grid[..., 0], grid[..., 1], np.nan_to_num(inside), levels=[0.5, 1.5],
                      colors=[color], alpha=0.13, zorder=0)  # fmt: skip
    axes.plot(*centres.T, "x", color="#222222", markersize=8, markeredgewidth=2)


def draw_ellipses(axes: Axes, tree: xr.DataTree, order: np.ndarray) -> None:
    """The ellipse of every cluster that holds 95% of it."""
    posterior = tree["posterior"].isel(chain=0, draw=0)
    colors = cluster_colors(len(order))
    for k, centre in enumerate(posterior["loc"].values):
        values, vectors = np.linalg.eigh(covariance_of(posterior, k))
        width, height = 2 * np.sqrt(5.991 * values)  # the 95% point of χ² with two degrees
        angle = np.rad2deg(np.arctan2(vectors[1, 0], vectors[0, 0]))
        axes.add_patch(Ellipse(centre, width, height, angle=angle, fill=False, linewidth=1.8,
                               edgecolor=colors[order[k]]))  # fmt: skip


def covariance_of(posterior: xr.Dataset, cluster: int) -> np.ndarray:
    """Covariance (feature, feature) of one cluster of a spherical, diagonal or full mixture."""
    if "covariance" in posterior:
        return posterior["covariance"].values[cluster]
    scale = np.atleast_1d(posterior["scale"].values[cluster])
    return np.diag(np.broadcast_to(scale, posterior.sizes["feature"]) ** 2)


def score_picture(scores: pd.DataFrame, numbers: dict) -> Figure:
    """Every data set's index as a dot, by case and method; the right covariance is named."""
    with house_style():
        cases = list(numbers["cases"])
        figure = Figure(figsize=(2.9 * len(cases), 3.6))
        panels = np.atleast_1d(figure.subplots(1, len(cases), sharey=True))
        jitter = np.random.default_rng(0)
        for axes, name in zip(panels, cases, strict=True):
            of_case = scores[scores["case"] == name]
            for place, (method, color) in enumerate(
                zip((*METHODS, "oracle"), ["#222222", *cluster_colors(3), "#8A8A8A"], strict=True)
            ):
                index = of_case.loc[of_case["method"] == method, "index"].to_numpy()
                offset = jitter.uniform(-0.18, 0.18, len(index))
                axes.scatter(place + offset, index, s=14, color=color, alpha=0.6, linewidths=0)
                axes.hlines(index.mean(), place - 0.32, place + 0.32, color=color, linewidth=2)
            names = [f"{m} (right)" if m == CASES[name].right else m for m in (*METHODS, "oracle")]
            axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
            axes.set_title(name.capitalize())
        panels[0].set_ylabel("adjusted Rand index")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
