"""Digits: can a mixture of Bernoullis see the other half of a handwritten digit?

Question
    How many kinds of pictures are there among 1,797 handwritten digits of 8 × 8 black or white
    pixels, if nobody says which digit is which? And does knowing the kinds tell what is in the
    half of a picture that has been erased?

Model
    A Bernoulli mixture: `z ~ Categorical(weights)` is the kind of a picture, and given its kind
    every pixel is black with a probability of its own, `x_d | z = k ~ Bernoulli(probs_kd)`. The
    prior `probs_kd ~ Beta(1 + m_d, 2 - m_d)`, m_d being the share of fitted pictures with a black
    pixel there, adds one average picture to each kind, so that no pixel is impossible. EM finds
    the mode of the posterior from many starts. With one kind this is a product of independent
    Bernoullis, the least that a model can do, and the yardstick here.

    An erased pixel is a missing cell. It is summed out of the density of what is left, which
    says how likely each kind is, and then filled in by draws: the kind given the half that is
    seen, then the pixels given the kind.

What would count as an answer
    The pictures are split at random into ones to fit, ones to choose the number of kinds by
    their log density, and ones to be judged by. On the last: nats per picture, with the standard
    error of the difference to the product of Bernoullis; for each erased half the exact log
    probability of what was erased, log p(whole) - log p(seen half); and the share of erased
    pixels that are right when each is set to its more probable colour. And, as an aside, how
    many digits are told right if each kind is named by the digit most frequent in it.

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
PARTS = {"fitted": 0.6, "chosen by": 0.2, "judged by": 0.2}
EYE = 20  #: as many kinds as a sheet of prototypes should show
#: Which pixels are erased, by name of the half.
HALVES = {"lower half": np.arange(64) >= 32, "right half": np.arange(64) % 8 >= 4}


@dataclass(frozen=True)
class Pictures:
    """Bits (picture, pixel) and what digit each picture is, for one part of the data."""

    bits: np.ndarray
    digit: np.ndarray


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit mixtures of several sizes, choose one, judge it, erase and fill in.

    Args:
        folder: where the page goes.
        smoke: few pictures and kinds.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    parts = split(size.rows)
    bits = parts["fitted"].bits
    average = (bits.sum(0) + 1) / (len(bits) + 2)
    fits = {}
    for clusters in (1, *size.clusters):
        with stage(f"em with {clusters} kinds of pictures"):
            fits[clusters] = fit(
                "bernoulli_mixture", bits, method="em", seed=SEED, clusters=clusters,
                ones=1 + average, zeros=2 - average, starts=size.starts, predictive=0,
            )  # fmt: skip
    table = held_out(fits, parts)
    best = int(table.loc[table.index > 1, "held_out"].idxmax())
    tree, alone, test = fits[best], fits[1], parts["judged by"]
    with stage("erased halves filled in"):
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
        "halves": halves.to_dict("index"), **purity(tree, parts["fitted"], test),
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
    """Mean log density of a picture by number of kinds, on all three parts."""
    lines = {}
    for clusters, tree in fits.items():
        density = {name: log_density(tree, part.bits).values for name, part in parts.items()}
        lines[clusters] = {
            "fitted": density["fitted"].mean(),
            "held_out": density["chosen by"].mean(),
            "held_out_se": standard_error(density["chosen by"]),
            "judged": density["judged by"].mean(),
            "judged_se": standard_error(density["judged by"]),
        }
    return pd.DataFrame(lines).T.rename_axis("clusters")


def half_table(
    tree: xr.DataTree, alone: xr.DataTree, bits: np.ndarray, filled: Mapping[str, xr.DataArray]
) -> pd.DataFrame:
    """How well the erased halves are known: exact log probabilities and pixels that are right."""
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
    """How well a picture's digit is told by its kind, kinds being named by the fitted pictures."""
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
    kinds, tried = numbers["kinds"], sorted(int(k) for k in numbers["nats"])[1:]
    sure = numbers["gain"] > 3 * numbers["gain_error"]
    verdict = "is far better described" if sure else "is not surely better described"
    yes = all(half["saved"] > 3 * half["saved_error"] for half in halves)
    most = (
        " More kinds might do better still: this is the largest number that was tried."
        if kinds == tried[-1] else ""
    )  # fmt: skip
    return (
        f"{'Yes' if yes else 'Not surely'}: a mixture of {kinds} kinds fills in erased halves of "
        f"unseen pictures {'better' if yes else 'no better'} than independent pixels do. A whole "
        f"picture {verdict} too, by {numbers['gain']:.2f} ± {numbers['gain_error']:.2f} nats, and "
        f"{numbers['better_pictures']:.0%} of the pictures gain.{most}\n\n"
        f"Nobody told the mixture what a digit is: naming each kind by its most frequent digit "
        f"tells {numbers['told_by_kind']:.0%} of the unseen pictures right."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """What the answer rests on: the mixture beside independent pixels."""
    nats, kinds = {int(k): value for k, value in numbers["nats"].items()}, numbers["kinds"]
    rows = {"nats a picture": {"mixture": f"{nats[kinds]:.2f}", "independent": f"{nats[1]:.2f}"}}
    for name, half in numbers["halves"].items():
        rows[f"{name}: nats a pixel"] = {
            "mixture": f"{half['nats per pixel, mixture']:.3f}",
            "independent": f"{half['nats per pixel, product']:.3f}",
        }
        rows[f"{name}: right pixels"] = {
            "mixture": percent(half["right pixels, mixture"], 1),
            "independent": percent(half["right pixels, product"], 1),
        }
    said = (
        f"{numbers['judged']:,} unseen pictures, and their halves given the other half. A pixel is "
        f"right at its more probable colour. Numbers of kinds tried: {', '.join(map(str, nats))}."
    )
    return {said: pd.DataFrame(rows).T.rename_axis("what")}


def half_sheet(
    test: Pictures, filled: xr.DataArray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pictures of a sheet line by line, what of them was erased, and the names of the lines."""
    chosen = np.concatenate([np.flatnonzero(test.digit == d)[:1] for d in range(10)])
    seen, draws = erased(test.bits[chosen], mask), filled.values[:, chosen]
    lines = [seen, draws.mean(0), *draws[:3], test.bits[chosen]]
    names = ["seen", "mean filling", "draw 1", "draw 2", "draw 3", "the truth"]
    hidden = np.broadcast_to(mask, seen.shape)
    masks = [hidden] * (len(lines) - 1) + [np.zeros_like(hidden)]
    return np.concatenate(lines), np.concatenate(masks), names


def size_picture(table: pd.DataFrame) -> Figure:
    """Mean log density by number of kinds, one line a part of the data."""
    with house_style():
        figure = Figure(figsize=(7.6, 4.0))
        axes = figure.subplots()
        lines = {"fitted": "fitted", "held_out": "chosen by", "judged": "judged by"}
        for (column, label), color in zip(lines.items(), PALETTE, strict=False):
            axes.plot(table.index, table[column], "o-", color=color, label=label)
        axes.set_xscale("log")
        axes.set_xticks(table.index, [str(k) for k in table.index])
        axes.minorticks_off()
        axes.set(xlabel="kinds of pictures", ylabel="mean log density of a picture, nats")
        axes.set_title("What more kinds are worth")
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
        "fitted": "fitted",
        "held_out": "chosen by",
        "held_out_se": "standard error",
        "judged": "judged by",
        "judged_se": "standard error ",
    }
    evidence = [
        Block("The right half erased",
              table=halves.rename(columns={"saved_error": "standard error"}),
              figures=(pictures[1],),
              captions=("The same pictures with the other half missing.",)),
        Block("The kinds", "The probability of every pixel in each kind, and how common the kind "
              f"is, in the fit with {few['posterior'].sizes['cluster']} kinds, which the eye can "
              "take in.", figures=(plot_prototypes(few),)),
        Block("Pictures that nobody drew", "Bits drawn from the fitted mixture: pixels are "
              "independent given the kind, so that strokes are frayed.",
              figures=(plot_images(drawn, columns=10),)),
        Block("How many kinds", "Mean log density of a picture, higher is better, by number of "
              "kinds; the first line is the product of Bernoullis.",
              table=table.rename(columns=labels),
              figures=(size_picture(table),)),
    ]  # fmt: skip
    caption = ("Unseen pictures without their lower half (outlined), filled in: the mean of "
               f"{size.fillings} fillings, three of them, and what was erased.")  # fmt: skip
    return Outcome("digits", __doc__ or "", answer(numbers), numbers, pictures[0], caption,
                   evidence,
                   tables=answer_tables(numbers))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
