"""Covariates: who cannot say which candidate is the liberal one?

Question
    Before the presidential election of 1996, voters in the United States placed Bill Clinton, Bob
    Dole and themselves on a scale from liberal to conservative. Is there a class of voters who do
    not tell the candidates apart, and which voters are in it: does membership depend on education,
    age, income, party or television news?

Model
    `latent_class_regression`: three answers of three levels each (liberal, moderate, conservative)
    depend on a hidden class, and the log-odds of the classes on five covariates of the voter. BIC
    chooses the number of classes, each fitted by EM with the covariates; NUTS draws from the
    posterior of the chosen model, classes summed out. The class in question is the one with the
    smallest probability of answers that put Clinton left of Dole. The effect of a covariate is the
    factor by which one standard deviation more of it multiplies the odds of that class against the
    geometric mean of the others.

What would count as an answer
    A class in which less than half of the answers put Clinton left of Dole, a covariate whose 94%
    interval excludes one, and no problem found by the diagnostics. Without a model, the share of
    voters who put Clinton left of Dole is shown by education. Classes and effects are estimated in
    one step: a regression on assigned classes would underestimate the effects.

References
    - Bandeen-Roche, K., Miglioretti, D. L., Zeger, S. L. and Rathouz, P. J. (1997). Latent variable
      regression for multiple discrete outcomes. Journal of the American Statistical Association
      92, 1375-1386.
    - Linzer, D. A. and Lewis, J. B. (2011). poLCA: an R package for polytomous variable latent
      class analysis. Journal of Statistical Software 42 (10).
    - Bolck, A., Croon, M. and Hagenaars, J. (2004). Estimating latent structure models with
      categorical variables: one-step versus three-step estimators. Political Analysis 12, 3-27.
    - The American National Election Study of 1996: 944 voters, in the data sets of statsmodels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import choose_clusters, diagnose, fit
from ppl_models.errors import InputError
from ppl_models.plots import house_style
from ppl_models.report import Block

LEVELS = ("liberal", "moderate", "conservative")
ANSWERS = {"selfLR": "oneself", "ClinLR": "Clinton", "DoleLR": "Dole"}
COVARIATES = {
    "educ": "education",
    "age": "age",
    "income": "income",
    "PID": "Republican party",
    "TVnews": "television news",
}
SEED = 5


@dataclass(frozen=True)
class Size:
    """How much is done."""

    every: int = 1
    classes: tuple[int, ...] = (1, 2, 3, 4, 5)
    starts: int = 8
    warmup: int = 300
    draws: int = 500


FULL = Size()
SMOKE = Size(every=4, classes=(1, 2), starts=2, warmup=20, draws=20)


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Choose the number of classes, draw, and compare the classes.

    Args:
        folder: where the page goes.
        smoke: few voters and draws.

    Returns:
        The page's path.

    Raises:
        InputError: the package of the data is not installed.
    """
    size = SMOKE if smoke else FULL
    data, right = voters(size)
    with stage(f"classes {size.classes[0]} to {size.classes[-1]} by EM"):
        table = choose_clusters(
            "latent_class_regression", data, list(size.classes), seed=SEED, starts=size.starts
        )
    classes = max(int(table.attrs["best"]["clusters"]), 2)
    with stage(f"draws of {classes} classes"):
        tree = fit(
            "latent_class_regression", data, method="nuts", seed=SEED, clusters=classes,
            chains=2, warmup=size.warmup, draws=size.draws, predictive=0,
        )  # fmt: skip
    numbers = gather(data, right, table, tree)
    return publish(
        Outcome(
            name="covariates",
            essay=__doc__ or "",
            answer=answer(numbers),
            numbers=numbers,
            key=effects(numbers),
            caption="Factor on the odds of the class in question for one standard deviation more "
            "of each covariate: posterior median and 94% interval.",
            evidence=[
                Block(
                    "The classes",
                    "Probability of each answer in each class.",
                    figures=(profiles(numbers),),
                    captions=("Posterior means.",),
                )
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


def voters(size: Size) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
    """Answers and covariates of every voter, and whether Clinton is put left of Dole.

    Raises:
        InputError: the package of the data is not installed.
    """
    try:
        from statsmodels.datasets import anes96
    except ImportError as error:
        raise InputError(
            "the voters come with the package statsmodels, which is not installed: pip install "
            "statsmodels"
        ) from error
    table = anes96.load_pandas().data.iloc[:: size.every].reset_index(drop=True)
    declared = pd.CategoricalDtype(list(LEVELS), ordered=True)
    answers = {
        name: pd.Series(np.array(LEVELS)[np.digitize(table[column], (4, 5))]).astype(declared)
        for column, name in ANSWERS.items()
    }
    covariates = table[list(COVARIATES)].rename(columns=COVARIATES)
    right = (table["ClinLR"] < table["DoleLR"]).to_numpy()
    return {"answers": pd.DataFrame(answers), "covariates": covariates}, right


def gather(
    data: Mapping[str, pd.DataFrame], right: np.ndarray, table: pd.DataFrame, tree: xr.DataTree
) -> dict[str, Any]:
    """All numbers of the page."""
    posterior = tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    probs = posterior["probs"].transpose("sample", "cluster", "level").values
    classes = probs.shape[1]
    by_answer = probs.reshape(*probs.shape[:2], len(ANSWERS), len(LEVELS))
    clinton, dole = (by_answer[:, :, list(ANSWERS).index(n)] for n in ("ClinLR", "DoleLR"))
    ordered = (clinton[..., :2] * np.flip(np.flip(dole, -1).cumsum(-1), -1)[..., 1:]).sum(-1)
    unsure = int(ordered.mean(0).argmin())
    slope = posterior["slope"].transpose("sample", "covariate", "cluster").values
    spread = data["covariates"].to_numpy().std(0)
    others = np.delete(slope, unsure, axis=2).mean(2)
    odds = np.exp((slope[:, :, unsure] - others) * spread)
    low, middle, high = np.quantile(odds, [0.03, 0.5, 0.97], axis=0)
    education = data["covariates"]["education"].to_numpy()
    shares = (
        tree["responsibilities"].to_dataset()["responsibilities"]
        if "responsibilities" in tree
        else None
    )
    diagnosis = diagnose(tree)
    return {
        "voters": len(right),
        "classes": classes,
        "bic": {
            str(int(k)): float(b) for k, b in zip(table["clusters"], table["bic"], strict=True)
        },
        "unsure": unsure,
        "share": np.nan if shares is None else float(shares.isel(cluster=unsure).mean()),
        "left of Dole": ordered.mean(0).tolist(),
        "odds": {
            name: {"low": low[i], "median": middle[i], "high": high[i]}
            for i, name in enumerate(COVARIATES.values())
        },
        "probs": by_answer.mean(0).tolist(),
        "right by education": {
            "up to high school": float(right[education <= 3].mean()),
            "college and more": float(right[education > 3].mean()),
        },
        "verdict": diagnosis.verdict,
        "problems": len(diagnosis.of("problem")),
    }


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    apart = numbers["left of Dole"][numbers["unsure"]]
    where = "In the class that tells the candidates apart least" if apart >= 0.5 else "In one class"
    off = {
        name: odds for name, odds in numbers["odds"].items() if not odds["low"] <= 1 <= odds["high"]
    }
    ranked = sorted(off, key=lambda name: -abs(np.log(off[name]["median"])))
    factors = [
        f"{name} ({off[name]['median']:.2f} per standard deviation, 94% interval "
        f"{off[name]['low']:.2f} to {off[name]['high']:.2f})"
        for name in ranked[:2]
    ]
    more = f", and on {', '.join(ranked[2:])}" if ranked[2:] else ""
    who = (
        f"Its odds depend on {' and on '.join(factors)}{more}."
        if factors
        else "No covariate's interval excludes one."
    )
    trust = "" if not numbers["problems"] else f"\n\nThe diagnostics object: {numbers['verdict']}"
    return (
        f"BIC chooses {numbers['classes']} classes. {where}, with {percent(numbers['share'])} of "
        f"the voters, {percent(apart)} of the answers put Clinton left of Dole.\n\n{who}{trust}"
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    odds = pd.DataFrame(
        {
            column: {n: f"{o[key]:.2f}" for n, o in numbers["odds"].items()}
            for column, key in {"3%": "low", "median": "median", "97%": "high"}.items()
        }
    )
    bic = pd.DataFrame(
        {"BIC": {k: f"{numbers['bic'][k]:,.1f}" for k in sorted(numbers["bic"], key=int)}}
    )
    raw = pd.DataFrame(
        {
            "put Clinton left of Dole": {
                k: percent(v) for k, v in numbers["right by education"].items()
            }
        }
    )
    return {
        "Factor on the odds of the class in question for one standard deviation more.": odds,
        "BIC by the number of classes.": bic,
        "Without a model: voters by education.": raw,
    }


@house_style()
def effects(numbers: Mapping[str, Any]) -> Figure:
    """Odds ratios with intervals."""
    figure, axes = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
    for place, (_name, interval) in enumerate(numbers["odds"].items()):
        axes.hlines(place, interval["low"], interval["high"], lw=4, color="C0")
        axes.plot(interval["median"], place, "o", color="C0", ms=7)
    axes.axvline(1.0, color="0.5", lw=1)
    axes.set(yticks=range(len(numbers["odds"])), yticklabels=list(numbers["odds"]), xscale="log",
             xlabel="factor on the odds of the class, one standard deviation more")  # fmt: skip
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in (0.125, 0.25, 0.5, 1, 2, 4, 8) if low <= tick <= high])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(numbers["odds"]) - 0.4, -0.6)
    return figure


@house_style()
def profiles(numbers: Mapping[str, Any]) -> Figure:
    """Shares of the answers, a panel a class."""
    probs = np.asarray(numbers["probs"])
    figure, panels = plt.subplots(
        1, len(probs), figsize=(2.6 * len(probs) + 1.2, 2.6), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for k, axes in enumerate(panels[0]):
        left = np.zeros(len(ANSWERS))
        for level, colour in zip(range(len(LEVELS)), ("C0", "0.8", "C1"), strict=True):
            axes.barh(range(len(ANSWERS)), probs[k, :, level], left=left, color=colour,
                      label=LEVELS[level] if k == 0 else None)  # fmt: skip
            left += probs[k, :, level]
        title = f"class {k}" + (" (in question)" if k == numbers["unsure"] else "")
        axes.set(title=title, xlim=(0, 1), xlabel="share", yticks=range(len(ANSWERS)),
                 yticklabels=list(ANSWERS.values()))  # fmt: skip
        axes.invert_yaxis() if k == 0 else None
    figure.legend(loc="outside right center")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
