"""Digits: can a mixture of Bernoullis see the other half of a handwritten digit?

Question
    How many clusters describe 1,797 pictures of handwritten digits, 8 × 8 black or white pixels
    without labels? And does such a mixture predict the erased half of a picture?

Model
    A Bernoulli mixture: `z ~ Categorical(weights)` is the cluster of a picture, and given z every
    pixel is black with its own probability, `x_d | z = k ~ Bernoulli(probs_kd)`. The prior is
    `probs_kd ~ Beta(1 + m_d, 2 - m_d)`, where m_d is the fraction of training pictures in which
    pixel d is black. It adds one average picture to each cluster, so that no pixel is impossible.
    EM finds the mode of the posterior from many starts. With one cluster the model is a product of
    independent Bernoullis, the baseline here.

    An erased pixel is a missing cell. It is summed out of the density, which leaves the posterior
    of the cluster given the visible half; it is then imputed by draws of the cluster and of the
    pixels given the cluster.

What would count as an answer
    The pictures are split at random into a training, a validation (for the number of clusters) and
    a test set. On the test set: nats per picture, with the standard error of the difference to the
    product of Bernoullis; for each erased half the exact conditional log-probability
    log p(picture) - log p(visible half); and the accuracy of erased pixels when each is set to its
    more probable colour. Also the accuracy of classifying digits by the most frequent digit of
    their cluster.

References
    - Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section 9.3.3. Springer.
    - Alpaydin, E. and Kaynak, C. (1998). Cascading classifiers. Kybernetika 34, 369-374 (data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit, generate, impute, log_density, predict
from ppl_models.data import digits
from ppl_models.plots import PALETTE, house_style, plot_images, plot_prototypes
from ppl_models.report import Block


@dataclass(frozen=True)
class Size:
    """How much is done."""

    clusters: tuple[int, ...] = (10, 20, 40, 80, 160)
    starts: int = 12
    rows: int | None = None
    fillings: int = 200
    generated: int = 40


FULL = Size()
DEMO = Size(clusters=(20, 40), starts=4, fillings=100, generated=30)
SMOKE = Size(clusters=(4,), starts=2, rows=300, fillings=20, generated=10)
SEED = 8
PARTS = {"training": 0.6, "validation": 0.2, "test": 0.2}
EYE = 20  #: as many clusters as a sheet of prototypes should show
#: Which pixels are erased, by name of the half.
HALVES = {"lower half": np.arange(64) >= 32, "right half": np.arange(64) % 8 >= 4}


@dataclass(frozen=True)
class Pictures:
    """Bits (picture, pixel) and what digit each picture is, for one part of the data."""

    bits: np.ndarray
    digit: np.ndarray


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit mixtures of several sizes, choose one, evaluate it, and impute erased halves.

    Args:
        folder: where the page goes.
        smoke: few pictures and clusters.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    parts = split(size.rows)
    bits = parts["training"].bits
    average = (bits.sum(0) + 1) / (len(bits) + 2)
    fits = {}
    for clusters in (1, *size.clusters):
        with stage(f"em with {clusters} clusters"):
            fits[clusters] = fit(
                "bernoulli_mixture", bits, method="em", seed=SEED, clusters=clusters,
                ones=1 + average, zeros=2 - average, starts=size.starts, predictive=0,
            )  # fmt: skip
    table = held_out(fits, parts)
    best = int(table.loc[table.index > 1, "held_out"].idxmax())
    tree, alone, test = fits[best], fits[1], parts["test"]
    with stage("imputation of erased halves"):
        filled = {
            half: impute(tree, erased(test.bits, mask), draws=size.fillings, seed=SEED + 1)["x"]
            for half, mask in HALVES.items()
        }
    halves = half_table(tree, alone, test.bits, filled)
    density = log_density(tree, test.bits).values
    gain = density - log_density(alone, test.bits).values
    numbers = {
        "fitted": len(bits), "judged": len(test.bits), "kinds": best,
        "nats": {str(k): -float(v) for k, v in table["judged"].items()},
        "gain": float(gain.mean()), "gain_error": standard_error(gain),
        "better_pictures": float((gain > 0).mean()),
        "halves": halves.to_dict("index"), **purity(tree, parts["training"], test),
    }  # fmt: skip
    few = fits[min(size.clusters, key=lambda k: abs(k - EYE))]
    drawn = generate(tree, size.generated, seed=SEED + 2)["x"].values
    sheets = [half_sheet(test, filled[half], mask) for half, mask in HALVES.items()]
    return publish(_outcome(few, numbers, table, halves, drawn, sheets, size), folder)


def split(rows: int | None) -> dict[str, Pictures]:
    """The pictures in parts, at random with the experiment's seed."""
    frame, label = digits()
    bits = frame.to_numpy(dtype=float)
    order = np.random.default_rng(SEED).permutation(len(bits))[:rows]
    ends = np.round(np.cumsum(list(PARTS.values())) * len(order)).astype(int)[:-1]
    pieces = np.split(order, ends)
    return {name: Pictures(bits[piece], label[piece])
            for name, piece in zip(PARTS, pieces, strict=True)}  # fmt: skip


def erased(bits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The pictures with the masked pixels missing."""
    return np.where(mask, np.nan, bits)


def standard_error(values: np.ndarray) -> float:
    """Of their mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def held_out(fits: Mapping[int, xr.DataTree], parts: Mapping[str, Pictures]) -> pd.DataFrame:
    """Mean log density of a picture by number of clusters, on all three parts."""
    lines = {}
    for clusters, tree in fits.items():
        density = {name: log_density(tree, part.bits).values for name, part in parts.items()}
        lines[clusters] = {
            "fitted": density["training"].mean(),
            "held_out": density["validation"].mean(),
            "held_out_se": standard_error(density["validation"]),
            "judged": density["test"].mean(),
            "judged_se": standard_error(density["test"]),
        }
    return pd.DataFrame(lines).T.rename_axis("clusters")


def half_table(
    tree: xr.DataTree, alone: xr.DataTree, bits: np.ndarray, filled: Mapping[str, xr.DataArray]
) -> pd.DataFrame:
    """Prediction of the erased halves: exact log-probabilities, and accuracy of the pixels."""
    lines = {}
    for half, mask in HALVES.items():
        seen, truth = erased(bits, mask), bits[:, mask]
        nats = [(log_density(t, seen).values - log_density(t, bits).values) / mask.sum()
                for t in (tree, alone)]  # fmt: skip
        mean = filled[half].mean("draw").values[:, mask]
        base = alone["posterior"]["probs"].values.reshape(-1)[mask]
        lines[half] = {
            "nats per pixel, mixture": nats[0].mean(),
            "nats per pixel, product": nats[1].mean(),
            "saved": (nats[1] - nats[0]).mean(),
            "saved_error": standard_error(nats[1] - nats[0]),
            "right pixels, mixture": float(((mean > 0.5) == truth).mean()),
            "right pixels, product": float(((base > 0.5) == truth).mean()),
        }
    return pd.DataFrame(lines).T


def purity(tree: xr.DataTree, train: Pictures, test: Pictures) -> dict[str, float]:
    """Accuracy of a digit given as the most frequent one of its cluster in the training set."""
    kind = predict(tree, train.bits).values.argmax(1)
    name = np.array(
        [np.bincount(train.digit[kind == k], minlength=10).argmax()
         for k in range(tree["posterior"].sizes["cluster"])]
    )  # fmt: skip
    told = name[predict(tree, test.bits).values.argmax(1)]
    return {"told_by_kind": float((told == test.digit).mean()), "digits_named": len(set(name))}


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    halves = numbers["halves"].values()
    clusters, tried = numbers["kinds"], sorted(int(k) for k in numbers["nats"])[1:]
    sure = numbers["gain"] > 3 * numbers["gain_error"]
    verdict = "is higher" if sure else "is not clearly higher"
    yes = all(half["saved"] > 3 * half["saved_error"] for half in halves)
    most = (
        " More clusters might be better still: this is the largest number tried."
        if clusters == tried[-1] else ""
    )  # fmt: skip
    return (
        f"{'Yes' if yes else 'Not clearly'}: a mixture of {clusters} clusters predicts erased "
        f"halves of held-out pictures {'better' if yes else 'no better'} than independent pixels. "
        f"The log-density of complete pictures {verdict} too, by {numbers['gain']:.2f} ± "
        f"{numbers['gain_error']:.2f} nats per picture, and {numbers['better_pictures']:.0%} of "
        f"the pictures gain.{most}\n\n"
        "The mixture has never seen a label. Classifying each picture by the most frequent digit "
        f"of its cluster is correct for {numbers['told_by_kind']:.0%} of the held-out pictures."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer: the mixture beside independent pixels."""
    nats, best = {int(k): value for k, value in numbers["nats"].items()}, numbers["kinds"]
    rows = {"nats per picture": {"mixture": f"{nats[best]:.2f}", "independent": f"{nats[1]:.2f}"}}
    for name, half in numbers["halves"].items():
        rows[f"{name}: nats per pixel"] = {
            "mixture": f"{half['nats per pixel, mixture']:.3f}",
            "independent": f"{half['nats per pixel, product']:.3f}",
        }
        rows[f"{name}: pixel accuracy"] = {
            "mixture": percent(half["right pixels, mixture"], 1),
            "independent": percent(half["right pixels, product"], 1),
        }
    caption = (
        f"{numbers['judged']:,} held-out pictures, and each half given the other half. Pixel "
        "accuracy is that of the more probable colour. Numbers of clusters tried: "
        f"{', '.join(map(str, nats))}."
    )
    return {caption: pd.DataFrame(rows).T.rename_axis("measure")}


def half_sheet(
    test: Pictures, filled: xr.DataArray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pictures of a sheet row by row, their erased pixels, and the names of the rows."""
    chosen = np.concatenate([np.flatnonzero(test.digit == d)[:1] for d in range(10)])
    seen, draws = erased(test.bits[chosen], mask), filled.values[:, chosen]
    lines = [seen, draws.mean(0), *draws[:3], test.bits[chosen]]
    names = ["visible", "mean imputation", "draw 1", "draw 2", "draw 3", "true picture"]
    hidden = np.broadcast_to(mask, seen.shape)
    masks = [hidden] * (len(lines) - 1) + [np.zeros_like(hidden)]
    return np.concatenate(lines), np.concatenate(masks), names


def size_picture(table: pd.DataFrame) -> Figure:
    """Mean log density by number of clusters, a line for each part of the data."""
    with house_style():
        figure = Figure(figsize=(7.6, 4.0))
        axes = figure.subplots()
        lines = {"fitted": "training", "held_out": "validation", "judged": "test"}
        for (column, label), color in zip(lines.items(), PALETTE, strict=False):
            axes.plot(table.index, table[column], "o-", color=color, label=label)
        axes.set_xscale("log")
        axes.set_xticks(table.index, [str(k) for k in table.index])
        axes.minorticks_off()
        axes.set(xlabel="clusters", ylabel="mean log density per picture, nats")
        axes.set_title("Log density by number of clusters")
        axes.legend()
    return figure


def _outcome(
    few: xr.DataTree,
    numbers: dict,
    table: pd.DataFrame,
    halves: pd.DataFrame,
    drawn: np.ndarray,
    sheets: list[tuple[np.ndarray, np.ndarray, list[str]]],
    size: Size,
) -> Outcome:
    shown = len(sheets[0][0]) // len(sheets[0][2])
    pictures = [
        plot_images(images, missing=mask, columns=shown, titles=names, title=f"The {half} erased")
        for (images, mask, names), half in zip(sheets, HALVES, strict=True)
    ]
    labels = {
        "fitted": "training",
        "held_out": "validation",
        "held_out_se": "standard error",
        "judged": "test",
        "judged_se": "standard error ",
    }
    evidence = [
        Block("The right half erased",
              table=halves.rename(columns={"saved_error": "standard error"}),
              figures=(pictures[1],),
              captions=("The same pictures with the other half missing.",)),
        Block("The clusters", "The probability of every pixel in each cluster, and the cluster's "
              f"weight, in the fit with {few['posterior'].sizes['cluster']} clusters (few enough "
              "to look at).", figures=(plot_prototypes(few),)),
        Block("Generated pictures", "Draws from the fitted mixture. Pixels are independent given "
              "the cluster, so that strokes are frayed.",
              figures=(plot_images(drawn, columns=10),)),
        Block("Number of clusters", "Mean log density per picture (higher is better) by number of "
              "clusters; one cluster is the product of Bernoullis.",
              table=table.rename(columns=labels),
              figures=(size_picture(table),)),
    ]  # fmt: skip
    caption = ("Held-out pictures whose lower half (outlined) was erased and imputed: the mean of "
               f"{size.fillings} imputations, three of them, and the true picture.")  # fmt: skip
    return Outcome("digits", __doc__ or "", answer(numbers), numbers, pictures[0], caption,
                   evidence,
                   tables=answer_tables(numbers))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
