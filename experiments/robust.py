"""Robust: how many outliers does a mixture bear?

Question
    Measurements hold rows that belong to no cluster: slips of the pen, other species. A Gaussian
    cluster that stretches towards them no longer tells its neighbours apart. How many of them does
    a Gaussian mixture bear, and do heavy tails (Student's t) or a component for noise bear more?

Model
    Iris: 150 flowers of three species, four lengths each, whose species no model is told. To these
    come rows that are drawn evenly from a box twice as wide as the data in every direction. Three
    programs find three clusters by EM, each with a covariance of its own: `gaussian_mixture`;
    `student_t_mixture`, whose clusters have degrees of freedom that are estimated; and
    `gaussian_noise_mixture`, which has a fourth component spread evenly over the data.

What would count as an answer
    The adjusted Rand index between the species and the clusters of the flowers (outliers are left
    out of it), its mean and standard deviation over draws of the outliers, by their share; of the
    noise component, how many of the outliers and how many of the flowers it takes. And the number
    of clusters that BIC chooses for each program: outliers that are taken for clusters show there.

References
    - Peel, D. and McLachlan, G. J. (2000). Robust mixture modelling using the t distribution.
      Statistics and Computing 10, 339-348.
    - Banfield, J. D. and Raftery, A. E. (1993). Model-based Gaussian and non-Gaussian clustering.
      Biometrics 49, 803-821.
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
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import choose_clusters, fit, predict
from ppl_models.report import Block

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "Gaussian": ("gaussian_mixture", {"covariance": "full"}),
    "Student's t": ("student_t_mixture", {}),
    "Gaussian with noise": ("gaussian_noise_mixture", {"covariance": "full"}),
}
NOISE = "Gaussian with noise"
SPECIES = 3
BREAKS = 0.8  #: of the index without outliers: below it a program has failed
WIDER = 0.5  #: ranges of the data by which the box is wider on either side


@dataclass(frozen=True)
class Size:
    """How much is done."""

    shares: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.4)
    draws: int = 5
    starts: int = 16
    clusters: tuple[int, ...] = (1, 2, 3, 4, 5, 6)


FULL = Size()
SMOKE = Size(shares=(0.0, 0.2), draws=1, starts=4, clusters=(2, 3))


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
                    "How many clusters",
                    "The number of clusters that BIC chooses, the noise component not counted. "
                    "There are three species.",
                    table=chosen_table(numbers),
                )
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


def with_outliers(share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The flowers and so many outliers for each of them, and the species, -1 of outliers."""
    flowers, species = load_iris(return_X_y=True)
    generator = np.random.default_rng(seed)
    low, high = flowers.min(0), flowers.max(0)
    width = high - low
    count = round(share * len(flowers))
    outliers = generator.uniform(
        low - WIDER * width, high + WIDER * width, (count, flowers.shape[1])
    )
    return np.concatenate([flowers, outliers]), np.append(species, np.full(count, -1))


def gather(size: Size) -> dict[str, Any]:
    """All numbers that the page tells."""
    scores = []
    for share in size.shares:
        for draw in range(size.draws if share else 1):
            x, species = with_outliers(share, draw)
            for called, (program, options) in PROGRAMS.items():
                with stage(f"{called}, {percent(share, 0)} outliers, draw {draw + 1}"):
                    tree = fit(
                        program, x, method="em", seed=draw, clusters=SPECIES,
                        starts=size.starts, predictive=0, **options,
                    )  # fmt: skip
                cluster = predict(tree).values.argmax(1)
                flower = species >= 0
                index = adjusted_rand_score(species[flower], cluster[flower])
                line = {"program": called, "share": share, "index": index}
                if called == NOISE:
                    noise = cluster == SPECIES
                    line["outliers"] = noise[~flower].mean() if share else None
                    line["flowers"] = noise[flower].mean()
                scores.append(line)
    chosen: dict[str, list[int]] = {}
    for called, (program, options) in PROGRAMS.items():
        for share in size.shares:
            x, _ = with_outliers(share, 0)
            with stage(f"number of clusters, {called}, {percent(share, 0)} outliers"):
                table = choose_clusters(
                    program, x, list(size.clusters), seed=0, starts=size.starts, **options
                )
            chosen.setdefault(called, []).append(int(table.attrs["best"]["clusters"]))
    frame = pd.DataFrame(scores)
    by = frame.groupby(["program", "share"])["index"]
    mean, sd = by.mean(), by.std(ddof=0)
    taken = frame[frame["program"] == NOISE].groupby("share")[["outliers", "flowers"]].mean()
    return {
        "flowers": int((with_outliers(0.0, 0)[1] >= 0).sum()),
        "shares": list(size.shares),
        "draws": size.draws,
        "index": {
            called: [{"mean": mean[called, s], "sd": sd[called, s]} for s in size.shares]
            for called in PROGRAMS
        },
        "taken": {
            name: [None if np.isnan(v) else float(v) for v in taken[name].astype(float)]
            for name in taken
        },
        "clusters": chosen,
    }


# ---- page ----------------------------------------------------------------------------------------


def bears(numbers: Mapping[str, Any], called: str) -> float | None:
    """The largest share up to which a program's index stays near to that without outliers."""
    means = [found["mean"] for found in numbers["index"][called]]
    held = [m >= BREAKS * means[0] for m in means]
    first = held.index(False) if False in held else len(held)
    return numbers["shares"][first - 1] if first > 1 else None


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    parts = []
    for called in PROGRAMS:
        share = bears(numbers, called)
        parts.append(
            f"{called}: {'none of the shares tried' if share is None else percent(share, 0)}"
        )
    last = numbers["shares"][-1]
    ends = {called: numbers["index"][called][-1]["mean"] for called in PROGRAMS}
    best = max(ends, key=lambda called: ends[called])
    found, lost = numbers["taken"]["outliers"][-1], numbers["taken"]["flowers"][-1]
    return (
        f"The largest share of outliers at which the adjusted Rand index stays above "
        f"{percent(BREAKS, 0)} of that without them is, by program, {'; '.join(parts)}."
        f"\n\nWith {percent(last, 0)} outliers the index is highest with {best} "
        f"({ends[best]:.2f}, where the Gaussian mixture has {ends['Gaussian']:.2f}). The noise "
        f"component takes {percent(found, 0)} of the outliers there, and {percent(lost, 0)} of the "
        "flowers."
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    columns = [percent(share, 0) for share in numbers["shares"]]
    rows = {
        called: [f"{found['mean']:.2f} ± {found['sd']:.2f}" for found in of_share]
        for called, of_share in numbers["index"].items()
    }
    rows |= {
        f"{name} that the noise component takes": [
            "" if v is None else percent(v, 0) for v in numbers["taken"][name]
        ]
        for name in ("outliers", "flowers")
    }
    said = (
        f"Adjusted Rand index by the share of outliers for each of the {numbers['flowers']} "
        f"flowers, mean and standard deviation over {numbers['draws']} draws."
    )
    return {said: pd.DataFrame(rows, index=columns).T.rename_axis("program")}


def chosen_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    """The number of clusters by program and share."""
    columns = [percent(share, 0) for share in numbers["shares"]]
    return pd.DataFrame(numbers["clusters"], index=columns).T.rename_axis("program")


def curves(numbers: Mapping[str, Any]) -> Figure:
    """The index by the share of outliers, a line a program."""
    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    for place, (called, found) in enumerate(numbers["index"].items()):
        mean, sd = (np.array([each[key] for each in found]) for key in ("mean", "sd"))
        axes.errorbar(
            numbers["shares"], mean, sd, marker="o", capsize=3, color=f"C{place}", label=called
        )
    axes.set(xlabel="outliers, as a share of the flowers", ylabel="adjusted Rand index",
             ylim=(0, 1.02))  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
