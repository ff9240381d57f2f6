"""Annotators: whom does one believe, where nobody knows the truth?

Question
    Handwritten digits are labelled by annotators some of whom can hardly read. Every digit gets a
    few labels, nobody knows the right one, and no annotator has been tested. How much better than
    the vote of the majority is a model that learns from the labels alone who confuses what, and
    does it know how good each annotator is?

Model
    `dawid_skene`: a digit has a hidden class, and every annotator a confusion matrix, which is
    estimated with the classes. A line of data is one label: which digit, by whom, as what. EM.
    Annotators are decision trees that have learned from few of the digits of scikit-learn, from 20
    to 400 each, from a random half of the pixels, so that their errors are those that readers of
    blurred digits make, and are not independent of each other as the model has it. They label
    digits that none of them has learned from.

What would count as an answer
    The share of digits whose class is right, by the model and by the majority (ties are broken at
    random), by the number of labels a digit; the share of right labels of each annotator as the
    model estimates it, beside the true one; and whether a digit is right as often as its
    probability says.

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
from ppl_models.report import Block

LEARNED = 600  #: digits that annotators learn from; the others are labelled
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
            caption="The share of right labels of each annotator: as the model estimates it, who "
            "is told no truth, and as it is.",
            evidence=[
                Block(
                    "Is the probability right?",
                    "Digits by the probability of their most probable class, and how many of them "
                    "are right.",
                    table=calibration_table(numbers),
                )
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


def labelled(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The true digits, and what every annotator takes each for, ``(item, annotator)``."""
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
    """All numbers that the page tells."""
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
    where = "more than" if estimated.mean() > true.mean() else "less than"
    verdict = (
        f"The model is right more often than the majority with every number of labels; with "
        f"{numbers['labels'][best]} a digit it calls {percent(numbers['right']['model'][best], 1)} "
        f"of the digits rightly, the majority {percent(numbers['right']['majority'][best], 1)}."
        if (gains > 0).all()
        else "The model is not right more often than the majority with every number of labels: its "
        f"gains are {', '.join(f'{100 * gain:+.1f}' for gain in gains)} points with "
        f"{', '.join(map(str, numbers['labels']))} labels a digit."
    )
    sure = numbers["bins"]["above"]
    honest = (
        ""
        if not sure["digits"]
        else f"\n\nOf the {sure['digits']:,} digits of which it is surest (above 99.9%) "
        f"{percent(sure['right'], 1)} are right"
        + (
            ": it takes errors for independent, and annotators err on the same digits."
            if sure["right"] < 0.99
            else "."
        )
    )
    return (
        f"{verdict}\n\nWithout one true digit it tells how good the annotators are: its estimates "
        f"are {100 * off:.1f} points off on average, and say {where} is true in the mean. The "
        f"correlation of estimates and truth is {np.corrcoef(estimated, true)[0, 1]:.2f}.{honest}"
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    columns = [f"{count} labels" for count in numbers["labels"]]
    rows = {name: [percent(v, 1) for v in numbers["right"][name]] for name in numbers["right"]}
    said = f"Digits called rightly, of {numbers['items']:,}, by labels a digit."
    return {said: pd.DataFrame(rows, index=columns).T.rename_axis("by")}


def calibration_table(numbers: Mapping[str, Any]) -> pd.DataFrame:
    """Digits by the probability of their class."""
    rows = {
        name: {
            "digits": found["digits"],
            "probability": "" if found["said"] is None else percent(found["said"], 1),
            "right": "" if found["right"] is None else percent(found["right"], 1),
        }
        for name, found in numbers["bins"].items()
    }
    return pd.DataFrame(rows).T.rename_axis("probability of the class")


def known(numbers: Mapping[str, Any]) -> Figure:
    """Estimated and true shares of right labels, a point an annotator."""
    figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    shares = [*numbers["true"], *numbers["estimated"]]
    ends = (min(shares) - 0.05, max(shares) + 0.05)  # a line through (0, 0) would show from there
    axes.plot(ends, ends, color="0.7", lw=1)
    axes.plot(numbers["true"], numbers["estimated"], "o", color="C0")
    axes.set(xlabel="labels that are right", ylabel="as the model estimates it")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_aspect("equal", adjustable="datalim")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
