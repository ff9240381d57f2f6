"""Robust: how many outliers does a mixture bear?

Question
    Measurements hold rows that belong to no cluster: slips of the pen, other species. A Gaussian
    cluster that stretches towards them no longer tells its neighbours apart. How many of them does
    a Gaussian mixture bear, and do heavy tails (Student's t) or a component for noise bear more?

Model
    Iris: 150 flowers of three species, four lengths each; no model is told the species. The
    outliers are drawn, so that their number is known: uniformly from a box twice as wide as the
    data in every direction. Three programs find three clusters by EM, each cluster with a
    covariance of its own: `gaussian_mixture`; `student_t_mixture`, which estimates the degrees of
    freedom of each cluster; and `gaussian_noise_mixture`, which has a further component, uniform
    over the range of the data. The same programs find two clusters in data whose extreme rows
    nobody drew: 569 breast tumours by area, smoothness and texture, benign or malignant.

What would count as an answer
    The adjusted Rand index between the species and the clusters of the flowers (outliers do not
    enter it), its mean and standard deviation over draws of the outliers, by their share; and what
    share of the outliers, and of the flowers, is assigned to the noise component. The number of
    clusters that BIC chooses shows whether outliers are taken for clusters. Of the tumours, the
    same index between the clusters and the diagnosis.

References
    - Peel, D. and McLachlan, G. J. (2000). Robust mixture modelling using the t distribution.
      Statistics and Computing 10, 339-348.
    - Banfield, J. D. and Raftery, A. E. (1993). Model-based Gaussian and non-Gaussian clustering.
      Biometrics 49, 803-821.
    - Street, W. N., Wolberg, W. H. and Mangasarian, O. L. (1993). Nuclear feature extraction for
      breast tumor diagnosis. SPIE 1905, 861-870. The tumours come with scikit-learn, as iris does.
    - Fisher, R. A. (1936). The use of multiple measurements in taxonomic problems. Annals of
      Eugenics 7, 179-188.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import adjusted_rand_score

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import choose_clusters, fit, predict
from ppl_models.plots import house_style
from ppl_models.report import Block

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gaussian": ("gaussian_mixture", {"covariance": "full"}),
    "Student's t": ("student_t_mixture", {}),
    "Gaussian with noise": ("gaussian_noise_mixture", {"covariance": "full"}),
}
NOISE = "Gaussian with noise"
SPECIES = 3
#: of the tumours: those of the example of Fraley and Raftery (2002) that mclust made known
MEASURED = ("worst area", "worst smoothness", "mean texture")
BREAKS = 0.8  #: of the index without outliers: below it a program has failed
WIDER = 0.5  #: ranges of the data by which the box is wider on either side


@dataclass(frozen=True)
class Size:
    """How much is done."""

    shares: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4)
    draws: int = 5
    starts: int = 8
    clusters: tuple[int, ...] = (1, 2, 3, 4, 5)
    chosen_at: tuple[float, ...] = (0.0, 0.2)
    tumours: int | None = None


FULL = Size()
SMOKE = Size((0.0, 0.2), draws=1, starts=2, clusters=(2, 3), chosen_at=(0.2,), tumours=150)


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Add outliers, fit, and compare clusters with species.

    Args:
        folder: where the page goes.
        smoke: few outliers, draws and starts.

    Returns:
        The page's path.
    """
    size = SMOKE if smoke else FULL
    numbers = gather(size)
    return publish(
        Outcome(
            name="robust",
            essay=__doc__ or "",
            answer=answer(numbers),
            numbers=numbers,
            key=curves(numbers),
            caption="Adjusted Rand index of clusters and species by the share of outliers: mean "
            "and standard deviation over draws of the outliers.",
            evidence=[
                Block(
                    "The clusters",
                    f"Petals with {percent(numbers['shown']['share'], 0)} outliers (crosses), "
                    "coloured by the most probable component; of the noise component grey.",
                    figures=(components(numbers),),
                    captions=("One draw of the outliers.",),
                ),
                Block(
                    "How many clusters",
                    "The number of clusters that BIC chooses, the noise component not counted. "
                    "There are three species.",
                    table=chosen_table(numbers),
                ),
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


def with_outliers(fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The flowers and so many outliers for each of them, and the species, -1 of outliers."""
    flowers, species = load_iris(return_X_y=True)
    generator = np.random.default_rng(seed)
    low, high = flowers.min(0), flowers.max(0)
    width = high - low
    count = round(fraction * len(flowers))
    outliers = generator.uniform(
        low - WIDER * width, high + WIDER * width, (count, flowers.shape[1])
    )
    return np.concatenate([flowers, outliers]), np.append(species, np.full(count, -1))


def tumours(rows: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Three measurements of every tumour, and its diagnosis."""
    data = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in MEASURED]
    return data.data[:rows, columns], data.target[:rows]


def clusters_of(called: str, x: np.ndarray, clusters: int, size: Size, seed: int) -> np.ndarray:
    """The most probable component of every row; the noise component comes last."""
    program, options = PROGRAMS[called]
    tree = fit(program, x, method="em", seed=seed, clusters=clusters, starts=size.starts,
               predictive=0, **options)  # fmt: skip
    return predict(tree).values.argmax(1)


def gather(size: Size) -> dict[str, Any]:
    """All numbers of the page."""
    scores, shown = [], {}
    for fraction in size.shares:
        for called in PROGRAMS:
            with stage(f"{called}, {percent(fraction, 0)} outliers"):
                for draw in range(size.draws if fraction else 1):
                    line, cluster = scored(called, fraction, draw, size)
                    scores.append(line)
                    if draw == 0 and fraction == size.chosen_at[-1]:
                        shown[called] = cluster
    x, species = with_outliers(size.chosen_at[-1], 0)
    example = {"share": size.chosen_at[-1], "petals": x[:, 2:], "outlier": species < 0,
               "cluster": shown}  # fmt: skip
    chosen: dict[str, list[int]] = {}
    for called, (program, options) in PROGRAMS.items():
        for fraction in size.chosen_at:
            with stage(f"number of clusters, {called}, {percent(fraction, 0)} outliers"):
                table = choose_clusters(
                    program, with_outliers(fraction, 0)[0], list(size.clusters), seed=0,
                    starts=size.starts, **options,
                )  # fmt: skip
            chosen.setdefault(called, []).append(int(table.attrs["best"]["clusters"]))
    x, diagnosis = tumours(size.tumours)
    real = {}
    for called in PROGRAMS:
        with stage(f"{called}, tumours"):
            cluster = clusters_of(called, x, 2, size, 0)
        real[called] = {"index": float(adjusted_rand_score(diagnosis, cluster))}
        if called == NOISE:
            real[called]["noise"] = float((cluster == 2).mean())
    frame = pd.DataFrame(scores)
    by = frame.groupby(["program", "share"])["index"]
    mean, sd = by.mean(), by.std(ddof=0)
    taken = frame[frame["program"] == NOISE].groupby("share")[["outliers", "flowers"]].mean()
    return {
        "flowers": len(load_iris().data),
        "shares": list(size.shares),
        "draws": size.draws,
        "index": {
            called: [{"mean": mean[called, s], "sd": sd[called, s]} for s in size.shares]
            for called in PROGRAMS
        },
        "taken": {name: [plain_number(v) for v in taken[name]] for name in taken},
        "chosen_at": list(size.chosen_at),
        "clusters": chosen,
        "tumours": len(x),
        "real": real,
        "shown": example,
    }


def scored(
    called: str, fraction: float, draw: int, size: Size
) -> tuple[dict[str, Any], np.ndarray]:
    """The index of one fit with what its noise component takes, and the components of its rows."""
    x, species = with_outliers(fraction, draw)
    cluster = clusters_of(called, x, SPECIES, size, draw)
    flower = species >= 0
    line = {
        "program": called,
        "share": fraction,
        "index": adjusted_rand_score(species[flower], cluster[flower]),
    }
    if called == NOISE:
        noise = cluster == SPECIES
        line |= {
            "outliers": noise[~flower].mean() if fraction else np.nan,
            "flowers": noise[flower].mean(),
        }
    return line, cluster


def plain_number(value: float) -> float | None:
    """The number, or None for none."""
    return None if np.isnan(value) else float(value)


# ---- page ----------------------------------------------------------------------------------------


def bears(numbers: Mapping[str, Any], called: str) -> float | None:
    """The largest share up to which a program's index stays near to that without outliers."""
    means = [score["mean"] for score in numbers["index"][called]]
    held = [m >= BREAKS * means[0] for m in means]
    first = held.index(False) if False in held else len(held)
    return numbers["shares"][first - 1] if first > 1 else None


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    bearing = [
        f"{called} {'none of the shares' if fraction is None else percent(fraction, 0)}"
        for called in PROGRAMS
        for fraction in [bears(numbers, called)]
    ]
    last = numbers["shares"][-1]
    ends = {called: numbers["index"][called][-1]["mean"] for called in PROGRAMS}
    best = max(ends, key=lambda called: ends[called])
    caught, lost = numbers["taken"]["outliers"][-1], numbers["taken"]["flowers"][-1]
    real = {called: of["index"] for called, of in numbers["real"].items()}
    first = max(real, key=lambda called: real[called])
    return (
        f"The adjusted Rand index keeps {percent(BREAKS, 0)} of its value without outliers up to "
        f"these shares of outliers: {'; '.join(bearing)}.\n\n"
        f"With {percent(last, 0)} outliers {best} has the highest index, {ends[best]:.2f}; the "
        f"Gaussian mixture has {ends['Gaussian']:.2f}. The noise component then takes "
        f"{percent(caught, 0)} of the outliers and {percent(lost, 0)} of the flowers.\n\n"
        f"Of the tumours, {first} agrees best with the diagnosis: index {real[first]:.2f}, the "
        f"Gaussian mixture {real['Gaussian']:.2f}."
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    columns = [percent(fraction, 0) for fraction in numbers["shares"]]
    rows = {
        called: [f"{score['mean']:.2f} ± {score['sd']:.2f}" for score in of_share]
        for called, of_share in numbers["index"].items()
    }
    rows |= {
        f"{name} assigned to noise": [
            "" if v is None else percent(v, 0) for v in numbers["taken"][name]
        ]
        for name in ("outliers", "flowers")
    }
    caption = (
        f"Adjusted Rand index by outliers per flower ({numbers['flowers']} flowers), mean and "
        f"standard deviation over {numbers['draws']} draws."
    )
    real = {
        called: {
            "adjusted Rand index": f"{of['index']:.2f}",
            "assigned to noise": percent(of["noise"], 0) if "noise" in of else "",
        }
        for called, of in numbers["real"].items()
    }
    return {
        caption: pd.DataFrame(rows, index=columns).T.rename_axis("program"),
        f"{numbers['tumours']} tumours, two clusters against the diagnosis.": pd.DataFrame(
            real
        ).T.rename_axis("program"),
    }


def chosen_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    """The number of clusters by program and share."""
    columns = [f"{percent(fraction, 0)} outliers" for fraction in numbers["chosen_at"]]
    return pd.DataFrame(numbers["clusters"], index=columns).T.rename_axis("program")


@house_style()
def curves(numbers: Mapping[str, Any]) -> Figure:
    """The index by the share of outliers, a line a program."""
    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    for place, (called, scores) in enumerate(numbers["index"].items()):
        mean, sd = (np.array([each[key] for each in scores]) for key in ("mean", "sd"))
        axes.errorbar(
            numbers["shares"], mean, sd, marker="o", capsize=3, color=f"C{place}", label=called
        )
    axes.set(xlabel="outliers, as a share of the flowers", ylabel="adjusted Rand index",
             ylim=(0, 1.02))  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower left")
    return figure


@house_style()
def components(numbers: Mapping[str, Any]) -> Figure:
    """Petals of flowers and outliers in the colours of their components, a panel a program."""
    shown = numbers["shown"]
    petals, outlier = np.asarray(shown["petals"]), np.asarray(shown["outlier"])
    colours = np.array(["C0", "C1", "C2", "0.6"])
    figure, panels = plt.subplots(1, len(PROGRAMS), figsize=(8.5, 3.0), sharey=True,
                                  layout="constrained")  # fmt: skip
    for axes, called in zip(panels, PROGRAMS, strict=True):
        colour = colours[np.asarray(shown["cluster"][called])]
        for mark, rows in (("o", ~outlier), ("x", outlier)):
            axes.scatter(*petals[rows].T, c=colour[rows], marker=mark, s=14, linewidths=0.9)
        axes.set(title=called, xlabel="petal length, cm")
    panels[0].set_ylabel("petal width, cm")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
