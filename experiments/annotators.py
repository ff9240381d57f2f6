"""Annotators: how reliable is each one, if no true label is known?

Question
    Handwritten digits are labelled by annotators, some of whom read badly. Every digit gets a few
    labels; its true class is unknown, and no annotator has been tested. A model estimates from the
    labels alone which classes each annotator confuses. How much more accurate is it than a majority
    vote, and does it recover the accuracy of each annotator?

Model
    `dawid_skene`: every digit has a hidden class, and every annotator a confusion matrix; EM
    estimates both. A row of the data is one label: the digit, the annotator and the class given.
    Annotators are decision trees, each trained on 20 to 400 of scikit-learn's digits and on a
    random half of the pixels. Their errors are those of readers of blurred digits, and are not
    independent as the model assumes. They label digits that none of them was trained on.

What would count as an answer
    The accuracy of the model and of the majority vote (ties are broken at random) for each number
    of labels per digit; the estimated accuracy of each annotator beside the true one; and whether
    the class probabilities are calibrated.

References
    - Dawid, A. P. and Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates
      using the EM algorithm. Applied Statistics 28, 20-28.
    - Paun, S. et al. (2018). Comparing Bayesian models of annotation. TACL 6, 571-585.
    - Alpaydin, E. and Kaynak, C. (1998). Optical recognition of handwritten digits. UCI Machine
      Learning Repository.
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
from sklearn.datasets import load_digits
from sklearn.tree import DecisionTreeClassifier

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit, predict
from ppl_models.plots import house_style
from ppl_models.report import Block

LEARNED = 600  #: digits for training annotators; the others are labelled
SEED = 3
DIGITS = 10


@dataclass(frozen=True)
class Size:
    """How much is done."""

    items: int = 1197
    annotators: int = 20
    labels: tuple[int, ...] = (3, 5, 10, 20)
    starts: int = 4


FULL = Size()
SMOKE = Size(items=120, annotators=6, labels=(3,), starts=1)


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Label, fit, and compare with the truth.

    Args:
        folder: where the page goes.
        smoke: few digits and annotators.

    Returns:
        The page's path.
    """
    size = SMOKE if smoke else FULL
    numbers = gather(size)
    return publish(
        Outcome(
            name="annotators",
            essay=__doc__ or "",
            answer=answer(numbers),
            numbers=numbers,
            key=known(numbers),
            caption="Accuracy of each annotator: estimated without a single true label, against "
            "the true accuracy.",
            evidence=[
                Block(
                    "Are the probabilities calibrated?",
                    "Digits grouped by the probability of their most probable class, and the "
                    "accuracy in each group.",
                    table=calibration_table(numbers),
                    figures=(calibrated(numbers),),
                    captions=("Accuracy in each group against the mean probability.",),
                )
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


def labelled(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The true digits, and the label of every annotator for each, ``(item, annotator)``."""
    pixels, digits = load_digits(return_X_y=True)
    generator = np.random.default_rng(SEED)
    order = generator.permutation(len(digits))
    learned, shown = order[:LEARNED], order[LEARNED : LEARNED + size.items]
    columns = []
    for rows in np.geomspace(20, 400, size.annotators).astype(int):
        seen = generator.choice(pixels.shape[1], pixels.shape[1] // 2, replace=False)
        own = generator.choice(learned, rows, replace=False)
        tree = DecisionTreeClassifier(random_state=0).fit(pixels[np.ix_(own, seen)], digits[own])
        columns.append(tree.predict(pixels[np.ix_(shown, seen)]))
    return digits[shown], np.stack(columns, 1)


def gather(size: Size) -> dict[str, Any]:
    """All numbers of the page."""
    truth, table = labelled(size)
    generator = np.random.default_rng(SEED + 1)
    places = generator.permuted(np.tile(np.arange(size.annotators), (len(truth), 1)), axis=1)
    right: dict[str, list[float]] = {"majority": [], "model": []}
    for count in size.labels:
        annotator = places[:, :count]
        labels = np.take_along_axis(table, annotator, 1)
        votes = np.stack([(labels == digit).sum(1) for digit in range(DIGITS)], 1)
        called = (votes + generator.random(votes.shape)).argmax(1)
        right["majority"].append(float((called == truth).mean()))
        lines = {
            "item": np.repeat(np.arange(len(truth)), count),
            "annotator": annotator.ravel(),
            "label": labels.ravel(),
        }
        with stage(f"{count} labels a digit"):
            tree = fit(
                "dawid_skene", lines, method="em", seed=SEED, starts=size.starts, predictive=0,
                levels=DIGITS,
            )  # fmt: skip
        probability = predict(tree).values
        right["model"].append(float((probability.argmax(1) == truth).mean()))
    confusion = tree["posterior"]["confusion"].values[0, 0]
    shares = tree["posterior"]["weights"].values[0, 0]
    estimated = (np.diagonal(confusion, axis1=1, axis2=2) * shares).sum(1)
    top = probability.max(1)
    edges = [0.0, 0.9, 0.99, 0.999, 1.1]
    bins = [
        {
            "digits": int(here.sum()),
            "said": float(top[here].mean()) if here.any() else None,
            "right": float((probability.argmax(1) == truth)[here].mean()) if here.any() else None,
        }
        for low, high in zip(edges[:-1], edges[1:], strict=True)
        for here in [(top >= low) & (top < high)]
    ]
    return {
        "items": len(truth),
        "annotators": size.annotators,
        "labels": list(size.labels),
        "right": right,
        "estimated": estimated.tolist(),
        "true": (table == truth[:, None]).mean(0).tolist(),
        "bins": dict(zip(["below 90%", "90 to 99%", "99 to 99.9%", "above"], bins, strict=True)),
    }


# ---- page ----------------------------------------------------------------------------------------


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    gains = np.subtract(numbers["right"]["model"], numbers["right"]["majority"])
    estimated, true = np.array(numbers["estimated"]), np.array(numbers["true"])
    best = int(gains.argmax())
    off = np.abs(estimated - true).mean()
    where = "above" if estimated.mean() > true.mean() else "below"
    verdict = (
        f"The model is more accurate than the majority vote for every number of labels. With "
        f"{numbers['labels'][best]} labels per digit its accuracy is "
        f"{percent(numbers['right']['model'][best], 1)}, that of the vote "
        f"{percent(numbers['right']['majority'][best], 1)}."
        if (gains > 0).all()
        else "The model is not more accurate than the majority vote for every number of labels: it "
        f"gains {', '.join(f'{100 * gain:+.1f}' for gain in gains)} percentage points with "
        f"{', '.join(map(str, numbers['labels']))} labels per digit."
    )
    sure = numbers["bins"]["above"]
    honest = (
        ""
        if not sure["digits"]
        else f"\n\nOf the {sure['digits']:,} digits with a class probability above 99.9%, "
        f"{percent(sure['right'], 1)} are classified correctly"
        + (
            ": the model assumes independent errors, but annotators err on the same digits."
            if sure["right"] < 0.99
            else "."
        )
    )
    return (
        f"{verdict}\n\nIt estimates the annotators' accuracies without a single true label: the "
        f"mean absolute error is {100 * off:.1f} percentage points, the estimates are {where} the "
        f"true accuracies on average, and their correlation with these is "
        f"{np.corrcoef(estimated, true)[0, 1]:.2f}.{honest}"
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    columns = [f"{count} labels" for count in numbers["labels"]]
    rows = {name: [percent(v, 1) for v in numbers["right"][name]] for name in numbers["right"]}
    caption = f"Accuracy on {numbers['items']:,} digits, by the number of labels per digit."
    return {caption: pd.DataFrame(rows, index=columns).T.rename_axis("by")}


def calibration_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    """Mean probability and accuracy, a row a group of digits."""
    rows = {
        name: {
            "digits": group["digits"],
            "mean probability": "" if group["said"] is None else percent(group["said"], 1),
            "accuracy": "" if group["right"] is None else percent(group["right"], 1),
        }
        for name, group in numbers["bins"].items()
    }
    return pd.DataFrame(rows).T.rename_axis("probability of the class")


@house_style()
def known(numbers: Mapping[str, Any]) -> Figure:
    """Estimated against true accuracy, a point an annotator."""
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    shares = [*numbers["true"], *numbers["estimated"]]
    ends = (min(shares) - 0.05, max(shares) + 0.05)  # a line through (0, 0) would show from there
    axes.plot(ends, ends, color="0.7", lw=1)
    axes.plot(numbers["true"], numbers["estimated"], "o", color="C0")
    axes.set(xlabel="true accuracy", ylabel="estimated accuracy")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_aspect("equal", adjustable="datalim")
    return figure


@house_style()
def calibrated(numbers: Mapping[str, Any]) -> Figure:
    """Accuracy against the mean probability, a point a group, as large as the group."""
    groups = [group for group in numbers["bins"].values() if group["digits"]]
    said, right = ([group[name] for group in groups] for name in ("said", "right"))
    ends = (min([*said, *right]) - 0.05, 1.02)
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    axes.plot(ends, ends, color="0.7", lw=1)
    sizes = [20 + 180 * group["digits"] / numbers["items"] for group in groups]
    axes.scatter(said, right, sizes, color="C0")
    axes.set(xlabel="mean probability of the class", ylabel="accuracy", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
