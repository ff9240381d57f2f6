"""Images: mixture or autoregressive model, which describes pictures of digits better?

Question
    In a mixture the pixels of a picture are independent given its cluster. An autoregressive model
    predicts every pixel from all previous ones, row by row from the upper left corner. Which has
    the higher log-density on held-out digits, which completes a digit whose lower half is missing,
    and which generates digits that look real?

Model
    The pictures are the 1,797 digits of 8 × 8 pixels that come with scikit-learn, black where
    the ink covers more than half. There are four programs. `bernoulli_mixture`, by EM, with the
    number of clusters chosen on a validation set. `pixel_logistic`: every pixel is a logistic
    regression on the previous ones. `nade`: the same with a layer of hidden units, whose weights
    all pixels share. `pixel_recurrent`: a recurrent network that reads the pixels in order, and
    knows the position only as far as its state counts. The autoregressive models are fitted by
    `method="map"`, stochastic gradients on the log joint density. Their probabilities sum to one
    over all 2^64 pictures, so that log-densities of all four programs are comparable.

    In an autoregressive model the upper half of a picture is a prefix, so that the lower half is
    drawn exactly from its conditional distribution.

What would count as an answer
    The pictures are split at random into a training, a validation and a test set. On the test set:
    nats per picture with standard errors, and the paired difference to the mixture. For lower
    halves: whether the nearest training picture (by differing pixels) of the completed picture is
    of the right digit, beside the same for the true picture. For generated pictures: the distance
    to the nearest training picture, beside that of real held-out pictures. A model that copies is
    too near, one that blurs too far.

References
    - Frey, B. J. (1998). Graphical Models for Machine Learning and Digital Communication. MIT.
    - Larochelle, H. and Murray, I. (2011). The neural autoregressive distribution estimator.
      Proceedings of Machine Learning Research 15, 29-37.
    - Alpaydin, E. and Kaynak, C. (1998). Cascading classifiers. Kybernetika 34, 369-374 (data).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from experiments._page import Outcome, command, percent, publish, stage
from experiments.digits import HALVES, Pictures, erased, split, standard_error
from ppl_models import fit, generate, impute, log_density
from ppl_models.plots import plot_images
from ppl_models.report import Block


@dataclass(frozen=True)
class Size:
    """How much is done."""

    clusters: tuple[int, ...] = (40, 80, 160)
    starts: int = 8
    steps: int = 2000
    recurrent_steps: int = 400
    hidden: int = 96
    recurrent_hidden: int = 64
    programs: tuple[str, ...] = ("pixel_logistic", "nade", "pixel_recurrent")
    rows: int | None = None
    fillings: int = 20
    generated: int = 300


FULL = Size()
DEMO = Size(clusters=(40, 80), starts=2, steps=1200, recurrent_steps=150, hidden=64,
            recurrent_hidden=32, fillings=5, generated=100)  # fmt: skip
SMOKE = Size(clusters=(4,), starts=2, steps=60, hidden=8, programs=("nade",),
             rows=300, fillings=2, generated=30)  # fmt: skip
SEED = 8
MIXTURE = "mixture"
LOWER = HALVES["lower half"]
SHOWN = 40  #: pictures of a sheet


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit all programs, evaluate them, complete halves, generate pictures.

    Args:
        folder: where the page goes.
        smoke: few pictures, small models.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    parts = split(size.rows)
    fits, seconds = fitted(parts, size)
    train, test = parts["training"], parts["test"]
    table = scores(fits, seconds, parts)
    scans = table.drop(MIXTURE)
    best = str(scans["validation"].idxmin())
    halves, sheets = {}, {}
    for name in (MIXTURE, best):
        with stage(f"lower halves by {name}"):
            filled = impute(fits[name], erased(test.bits, LOWER), draws=size.fillings,
                            seed=SEED + 1)["x"].values  # fmt: skip
        halves[name] = right_digit(filled, train, test)
        sheets[name] = filled
    drawn = {}
    for name in (MIXTURE, best):
        with stage(f"{size.generated} pictures by {name}"):
            drawn[name] = generate(fits[name], size.generated, seed=SEED + 2)["x"].values
    gain = (log_density(fits[best], test.bits) - log_density(fits[MIXTURE], test.bits)).values
    numbers = {
        "fitted": len(train.bits), "judged": len(test.bits), "best": best,
        "kinds": int(fits[MIXTURE].attrs["clusters"]),
        "nats": table["test"].to_dict(), "nats_error": table["standard error"].to_dict(),
        "seconds": table["seconds"].to_dict(),
        "gain": float(gain.mean()), "gain_error": standard_error(gain),
        "right_digit": halves, "right_digit_whole": right_digit(test.bits[None], train, test),
        "distance": {name: nearest(d, train.bits).min(1).mean() for name, d in drawn.items()},
        "distance_real": nearest(test.bits, train.bits).min(1).mean(),
        "copied": {n: float((nearest(d, train.bits).min(1) == 0).mean()) for n, d in drawn.items()},
        "copied_real": float((nearest(test.bits, train.bits).min(1) == 0).mean()),
    }  # fmt: skip
    return publish(_outcome(numbers, table, sheets, drawn, test), folder)


def fitted(
    parts: Mapping[str, Pictures], size: Size
) -> tuple[dict[str, xr.DataTree], dict[str, float]]:
    """Fits of all programs, and the seconds of each; the mixture's size is chosen."""
    bits = parts["training"].bits
    average = (bits.sum(0) + 1) / (len(bits) + 2)
    trained = {"method": "map", "precision": "float32"}
    plans: dict[str, dict[str, Any]] = {
        "pixel_logistic": {"steps": size.steps, "learning_rate": 0.02},
        "nade": {"steps": size.steps, "learning_rate": 0.02, "hidden": size.hidden},
        "pixel_recurrent": {"steps": size.recurrent_steps, "learning_rate": 0.01,
                            "prior_scale": 2.0, "hidden": size.recurrent_hidden},
    }  # fmt: skip
    fits, seconds = {}, {}
    mixtures = []
    started = time.perf_counter()
    for clusters in size.clusters:
        with stage(f"mixture of {clusters} clusters"):
            mixtures.append(
                fit("bernoulli_mixture", bits, method="em", seed=SEED, clusters=clusters,
                    ones=1 + average, zeros=2 - average, starts=size.starts, predictive=0)
            )  # fmt: skip
    chosen = parts["validation"].bits
    fits[MIXTURE] = max(mixtures, key=lambda tree: float(log_density(tree, chosen).mean()))
    seconds[MIXTURE] = time.perf_counter() - started
    for program in size.programs:
        plan, started = plans[program], time.perf_counter()
        with stage(program):
            fits[program] = fit(program, bits, seed=SEED, predictive=0, **trained, **plan)
        seconds[program] = time.perf_counter() - started
    return fits, seconds


def scores(
    fits: Mapping[str, xr.DataTree], seconds: Mapping[str, float], parts: Mapping[str, Pictures]
) -> pd.DataFrame:
    """Nats per picture, by program and part of the data."""
    lines = {}
    for name, tree in fits.items():
        density = {part: log_density(tree, held.bits).values for part, held in parts.items()}
        lines[name] = {part: -values.mean() for part, values in density.items()}
        lines[name]["standard error"] = standard_error(density["test"])
        lines[name]["parameters"] = tree.attrs["parameters"]
        lines[name]["seconds"] = seconds[name]
    return pd.DataFrame(lines).T.rename_axis("program")


def nearest(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Number of differing pixels, ``(picture, other)``."""
    a, b = np.asarray(pictures, float), np.asarray(others, float)
    return a.sum(1)[:, None] + b.sum(1)[None] - 2 * a @ b.T


def right_digit(filled: np.ndarray, train: Pictures, test: Pictures) -> float:
    """Fraction of pictures ``(draw, picture, pixel)`` nearest to a training one of their digit."""
    told = [train.digit[nearest(pictures, train.bits).argmin(1)] for pictures in filled]
    return float(np.mean([digit == test.digit for digit in told]))


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    best, told = numbers["best"], numbers["right_digit"]
    sure = abs(numbers["gain"]) > 3 * numbers["gain_error"]
    better = "better" if numbers["gain"] > 0 else "worse"
    verdict = better if sure else "not clearly better or worse"
    return (
        f"On held-out pictures the best autoregressive model, {best}, is {verdict} than the "
        f"mixture: the log-density differs by {numbers['gain']:.2f} ± {numbers['gain_error']:.2f} "
        f"nats per picture. Given the upper half, it draws a lower half of the right digit in "
        f"{told[best]:.0%} of the draws, the mixture in {told[MIXTURE]:.0%}. The table shows how "
        "far its pictures are from the training pictures, and thus whether it copies them."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer, a row a program."""
    nats, error = numbers["nats"], numbers["nats_error"]
    rows = {name: {"nats per picture": f"{nats[name]:.2f} ± {error[name]:.2f}"}
            for name in sorted(nats, key=nats.__getitem__)}  # fmt: skip
    for name, accuracy in numbers["right_digit"].items():  # those that drew pictures
        rows[name] |= {
            "right digit, lower half drawn": percent(accuracy),
            "pixels to nearest training picture": f"{numbers['distance'][name]:.1f}",
            "exact copies": percent(numbers["copied"][name], 1),
        }
    rows["real pictures"] = {
        "right digit, lower half drawn": percent(numbers["right_digit_whole"]),
        "pixels to nearest training picture": f"{numbers['distance_real']:.1f}",
        "exact copies": percent(numbers["copied_real"], 1),
    }
    said = (
        f"{numbers['fitted']:,} training and {numbers['judged']:,} test pictures; the mixture has "
        f"{numbers['kinds']} clusters. Many upper halves fit several digits, so that even a "
        "perfect model would not reach the right digit as often as real pictures do."
    )
    return {said: pd.DataFrame(rows).T.fillna("").rename_axis("program")}


def completion_sheet(filled: np.ndarray, test: Pictures) -> Any:
    """One picture a digit: the visible half, four completions, the true picture."""
    chosen = np.concatenate([np.flatnonzero(test.digit == d)[:1] for d in range(10)])
    draws = [filled[i % len(filled), chosen] for i in range(min(4, len(filled)))]
    lines = [erased(test.bits[chosen], LOWER), *draws, test.bits[chosen]]
    names = ["visible", *(f"draw {i + 1}" for i in range(len(draws))), "true picture"]
    hidden = np.broadcast_to(LOWER, lines[0].shape)
    masks = [hidden] * (len(lines) - 1) + [np.zeros_like(hidden)]
    return plot_images(np.concatenate(lines), missing=np.concatenate(masks), columns=len(chosen),
                       titles=names)  # fmt: skip


def _outcome(
    numbers: dict,
    table: pd.DataFrame,
    sheets: Mapping[str, np.ndarray],
    drawn: Mapping[str, np.ndarray],
    test: Pictures,
) -> Outcome:
    best = numbers["best"]
    evidence = [
        Block("Log-density of held-out pictures",
              "Nats per picture (lower is better); the standard error is that of the test set. "
              "Seconds include compilation, and for the mixture all sizes tried.",
              table=table),
        Block("The same halves by the mixture",
              "Pixels are independent given the cluster: strokes fray, but each draw is of one "
              "cluster.", figures=(completion_sheet(sheets[MIXTURE], test),)),
        Block("Generated pictures",
              figures=(plot_images(drawn[best][:SHOWN], columns=10),
                       plot_images(drawn[MIXTURE][:SHOWN], columns=10),
                       plot_images(test.bits[:SHOWN], columns=10)),
              captions=(f"By {best}.", "By the mixture.", "Real held-out pictures.")),
    ]  # fmt: skip
    caption = (f"Held-out pictures whose lower half (outlined) was drawn by {best} given the upper "
               "half, four times, and the true picture.")  # fmt: skip
    return Outcome("images", __doc__ or "", answer(numbers), numbers,
                   completion_sheet(sheets[best], test), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
