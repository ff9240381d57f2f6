"""Answer, tables and figures of ``how_many``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments._how_many_numbers import (
    DYNAMIC,
    POLCA,
    POLCA_BIC,
    PRINTED,
    PUBLISHED,
    UNIFORM,
    padded,
)
from experiments._page import Outcome, criteria_table
from ppl_models.plots import PALETTE, house_style, plot_comparison
from ppl_models.report import Block

LABELS = {
    DYNAMIC: "mixture of finite mixtures",
    UNIFORM: "Richardson and Green's prior",
    PRINTED: "the same, published (K ≤ 9)",
}


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``, more words in ``details``."""
    modes = {name: top(p) for name, p in numbers["posterior"].items()}
    estimates = [*numbers["best_bic"].values(), modes[DYNAMIC], modes[UNIFORM],
                 *(top(p) for p in numbers["filled"].values())]  # fmt: skip
    low, high = min(estimates), max(estimates)
    verdict = (
        f"All methods estimate {low} clusters of galaxies" if low == high
        else f"The galaxies do not determine the number: estimates range from {low} to {high}"
    )  # fmt: skip
    bic = " and ".join(f"{k} with {name} variances" for name, k in numbers["best_bic"].items())
    return (
        f"{verdict}. BIC chooses {bic}. The posterior of K peaks at {modes[DYNAMIC]} "
        f"({chance(numbers['posterior'][DYNAMIC], modes[DYNAMIC])}) under a prior that disfavours "
        f"large K, and at {modes[UNIFORM]} "
        f"({chance(numbers['posterior'][UNIFORM], modes[UNIFORM])}) under a uniform one."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The estimate of every method, a row each."""
    rows = {
        f"BIC, {name} variances": {
            "clusters": k,
            "evidence": f"BIC {numbers['bic'][name][str(k)]:.1f}",
        }
        for name, k in numbers["best_bic"].items()
    }
    for name, posterior in numbers["posterior"].items():
        rows[f"posterior of K, {LABELS.get(name, name)}"] = {
            "clusters": top(posterior), "evidence": chance(posterior, top(posterior))
        }  # fmt: skip
    for name, posterior in numbers["filled"].items():
        rows[f"filled clusters, {name}"] = {
            "clusters": top(posterior),
            "evidence": f"{chance(posterior, top(posterior))}{rough(numbers, name)}",
        }
    caption = "The number of clusters of galaxies, by method."
    return {caption: pd.DataFrame(rows).T.rename_axis("method")}


def details(numbers: dict) -> str:
    """The details of every method in words."""
    parts = [_published(numbers), _sensitivity(numbers), _distances(numbers), _trust(numbers)]
    return "\n\n".join([*parts, _latent(numbers["latent"])])


def top(posterior: Any) -> int:
    """The most probable number.

    >>> top([0.1, 0.7, 0.2])
    2
    """
    return int(np.argmax(posterior)) + 1


def chance(posterior: Any, number: int) -> str:
    """The probability of a number, in words."""
    return f"probability {posterior[number - 1]:.2f}"


def _published(numbers: dict) -> str:
    """The posterior of K beside the published one."""
    off = numbers["off_published"]
    ours = " ".join(f"{p:.2f}" for p in numbers["posterior"][UNIFORM][:9])
    same = "agrees with" if off < 0.05 else "differs from"
    return (
        f"Under Richardson and Green's prior the posterior of K {same} the published one. For K = "
        f"1, 2, … it is {ours}; published are {' '.join(f'{p:.2f}' for p in PUBLISHED)}. The "
        f"largest difference is {off:.3f}."
    )


def _sensitivity(numbers: dict) -> str:
    """Sensitivity of K to C0, and the posterior of C0."""
    rates, modes = numbers["rates"], numbers["mode_by_rate"]
    weight = numbers["rate_posterior"][DYNAMIC]
    likely = [r for r, w in zip(rates, weight, strict=True) if w > 0.05]
    mean = np.array(numbers["by_rate"]) @ np.arange(1, numbers["most"] + 1)
    return (
        f"The number depends on the prior of the clusters' variances: at C0 = {rates[0]:g} the "
        f"posterior of K peaks at {modes[0]} (mean {mean[0]:.1f}), at C0 = {rates[-1]:g} at "
        f"{modes[-1]} (mean {mean[-1]:.1f}). Values of C0 with a posterior probability above 5% on "
        f"the grid are {min(likely):g} to {max(likely):g}."
    )


def rough(numbers: dict, name: str) -> str:
    """A warning where a sampler's effective sample size is small."""
    ess = numbers["mixing"].get(name, {}).get("ess", np.inf)
    return f" (imprecise: effective sample size {ess:.0f})" if ess < 100 else ""


def _distances(numbers: dict) -> str:
    """DP-means in words."""
    path = pd.DataFrame(numbers["dp_means"])
    spans = path.groupby("clusters")["distance"].agg(lambda d: np.log(d.max() / d.min()))
    many = spans[spans.index > 1]
    longest = int(many.idxmax())
    stable = path["distance"][path["clusters"] == longest]
    return (
        f"DP-means gives {path['clusters'].min()} to {path['clusters'].max()} clusters, depending "
        f"on its penalty, which the user chooses. Of the numbers above one, {longest} holds over "
        "the longest range of penalties: squares of distances from "
        f"{stable.min():.1f} to {stable.max():.1f}."
    )


def _trust(numbers: dict) -> str:
    """Whether the chains agree, in words."""
    least = min(numbers["mixing"], key=lambda name: numbers["mixing"][name]["ess"])
    worst = max(numbers["mixing"], key=lambda name: numbers["mixing"][name]["rhat"])
    ess, rhat = numbers["mixing"][least]["ess"], numbers["mixing"][worst]["rhat"]
    fine = "The chains agree" if rhat < 1.02 and ess > 200 else "The chains mix slowly"
    return (
        f"{fine}. For the number of filled clusters the smallest effective sample size is "
        f"{ess:.0f} ({least}) and the largest R-hat {rhat:.3f} ({worst}). Importance weights for "
        f"the other prior of K leave an effective {min(numbers['share_of_draws_that_weigh']):.0%} "
        "of the draws or more."
    )


def _latent(classes: dict) -> str:
    """The latent classes in words."""
    best = ", ".join(f"{name.upper()} chooses {k}" for name, k in classes["best"].items())
    k = classes["best"]["bic"]
    if not classes["real"]:
        right = "the true number" if k == 3 else "not the true number, which is 3"
        return (
            "The slides' data are not available. For ratings simulated from 3 known classes, "
            f"{best} (by BIC {right}; it is {classes['bic'][str(k)]:.1f})."
        )
    return (
        f"For the slides {best}; BIC there is {classes['bic'][str(k)]:.3f}. Log-likelihoods are "
        f"within {classes['off_log_likelihood']:.4f} of poLCA's, BIC within "
        f"{classes['off_bic']:.4f}."
    )


def outcome(
    essay: str,
    said: str,
    x: pd.DataFrame,
    lines: pd.DataFrame,
    criteria: pd.DataFrame,
    staircase: pd.DataFrame,
    classes: pd.DataFrame,
    numbers: dict,
) -> Outcome:
    """The page.

    Args:
        essay: the experiment's docstring.
        said: the answer.
        x: the galaxies.
        lines: densities on a grid, a column each.
        criteria: BIC, AIC and ICL of every candidate.
        staircase: the number of clusters of DP-means, by its penalty.
        classes: criteria of the latent classes.
        numbers: of the answer.
    """
    real = numbers["latent"]["real"]
    about = (
        "118 slides rated by seven pathologists."
        if real
        else ("The slides' data are not available: these are 118 simulated rows of three classes.")
    )
    evidence = [
        Block("In detail", details(numbers)),
        Block("The posterior of K and the prior", "Left: K at fixed C0. Right: the number of "
              "filled clusters, which is not K, by every sampler.",
              figures=(sensitivity_picture(numbers),), table=posterior_table(numbers)),
        Block("BIC and the penalty of DP-means", figures=(choice_picture(criteria, staircase),),
              table=criteria_table(criteria).set_index(["variances", "clusters"]).sort_index()),
        Block("Latent classes", about + " Lower is better.", table=latent_table(classes, real),
              figures=(plot_comparison(classes.sort_values("clusters"),
                                       criteria=["bic", "aic", "icl"]),)),
    ]  # fmt: skip
    caption = (
        "Left: the velocities and estimated densities. Right: the posterior of K under two priors, "
        "and the published one under the second."
    )
    return Outcome("how_many", essay, said, numbers,
                   key_picture(x, lines, numbers), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def key_picture(x: pd.DataFrame, lines: pd.DataFrame, numbers: dict) -> Figure:
    """Histogram with densities, and p(K | x) by prior."""
    with house_style():
        figure = Figure(figsize=(11.0, 4.4))
        left, right = figure.subplots(1, 2)
        left.hist(x.iloc[:, 0], bins=np.arange(8, 36, 0.75), density=True, color="#D9D9D9")
        left.plot(x.iloc[:, 0], np.full(len(x), -0.005), "|", color="#222222", markersize=6)
        for name, color in zip(lines.columns, PALETTE, strict=False):
            left.plot(lines.index, lines[name], color=color, label=name)
        left.set(xlabel="velocity in 1,000 km/s", ylabel="density")
        left.set_title("82 galaxies")
        left.legend()
        draw_bars(right, numbers["posterior"], 12)
        right.set_title("Number of clusters: p(K | x)")
    return figure


def draw_bars(axes: Axes, posterior: dict[str, Any], most: int) -> None:
    """Grouped bars, a group for every K."""
    width = 0.8 / len(posterior)
    colors = [*PALETTE[:5]]
    for i, (name, values) in enumerate(posterior.items()):
        values = np.asarray(values)[:most]
        place = np.arange(1, len(values) + 1) + (i - (len(posterior) - 1) / 2) * width
        color = "#222222" if name == PRINTED else colors[i]
        axes.bar(place, values, width, color=color, label=LABELS.get(name, name))
    axes.set(xlabel="K", ylabel="probability", xticks=range(1, most + 1))
    axes.legend()


def sensitivity_picture(numbers: dict) -> Figure:
    """p(K | x) at every C0, and the number of filled clusters by sampler."""
    with house_style():
        figure = Figure(figsize=(11.0, 4.4))
        left, right = figure.subplots(1, 2)
        most = min(12, numbers["most"])
        table = np.asarray(numbers["by_rate"])[:, :most]
        image = left.imshow(table, cmap="YlGnBu", aspect="auto", origin="lower", vmin=0)
        for i, row in enumerate(table):
            for j, p in enumerate(row):
                if p >= 0.005:
                    left.text(j, i, f"{p:.2f}", ha="center", va="center", fontsize=8,
                              color="white" if p > 0.6 * table.max() else "#222222")  # fmt: skip
        weight = numbers["rate_posterior"][DYNAMIC]
        names = [f"{r:g}  ({w:.2f})" for r, w in zip(numbers["rates"], weight, strict=True)]
        left.set(xlabel="K", ylabel="C0 (its posterior probability)", yticks=range(len(names)))
        left.set_xticks(range(most), [str(k + 1) for k in range(most)])
        left.set_yticklabels(names)
        left.grid(False)
        left.set_title("p(K | x, C0), finite mixtures")
        figure.colorbar(image, ax=left, label="probability", shrink=0.8)
        draw_bars(right, numbers["filled"], 10)
        right.set(xlabel="filled clusters")
        right.set_title("Filled clusters")
    return figure


def choice_picture(criteria: pd.DataFrame, staircase: pd.DataFrame) -> Figure:
    """BIC by K, and the number of clusters of DP-means by its penalty."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.8))
        left, right = figure.subplots(1, 2)
        for (name, part), color in zip(criteria.groupby("variances"), PALETTE, strict=False):
            part = part.sort_values("clusters")
            left.plot(part["clusters"], part["bic"], ".-", color=color, label=f"{name} variances")
            best = part.loc[part["bic"].idxmin()]
            left.plot(best["clusters"], best["bic"], "o", markersize=10, markerfacecolor="none",
                      markeredgecolor=color)  # fmt: skip
        left.set(xlabel="K", ylabel="BIC (lower is better)")
        left.set_xticks(sorted(criteria["clusters"].unique()))
        left.set_title("BIC by maximum likelihood")
        left.legend()
        right.step(staircase["distance"], staircase["clusters"], where="mid", color=PALETTE[2])
        right.set(
            xscale="log",
            ylabel="clusters",
            ylim=(0, None),
            xlabel="square root of the penalty λ, 1,000 km/s",
        )
        right.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        right.minorticks_off()
        right.set_title("DP-means by its penalty")
    return figure


def posterior_table(numbers: dict) -> pd.DataFrame:
    """Every posterior of K and of the filled clusters, with ESS and R-hat."""
    lines = {f"K, {LABELS[name]}": p for name, p in numbers["posterior"].items()}
    lines |= {f"filled, {LABELS.get(name, name)}": p for name, p in numbers["filled"].items()}
    named = zip(numbers["rates"], numbers["by_rate"], strict=True)
    lines |= {f"K, C0 = {rate:g}": p for rate, p in named}
    shown = {
        n: [f"{probability:.3f}" for probability in padded(np.asarray(p), 12)]
        for n, p in lines.items()
    }
    if (printed := f"K, {LABELS[PRINTED]}") in shown:
        shown[printed][9:] = ["–"] * 3
    table = pd.DataFrame(shown, index=range(1, 13)).T
    for column in ("ess", "rhat"):
        table[column] = [numbers["mixing"].get(n.partition(", ")[2], {}).get(column, np.nan)
                         for n in table.index]  # fmt: skip
    return table.rename(columns={"ess": "ESS of filled", "rhat": "R-hat of filled"})


def latent_table(classes: pd.DataFrame, real: bool) -> pd.DataFrame:
    """All criteria by the number of classes, beside poLCA's for the real data."""
    table = criteria_table(classes).set_index("clusters").sort_index()
    if real:
        table["log-likelihood, poLCA"] = [POLCA.get(str(k), np.nan) for k in table.index]
        table["BIC, poLCA"] = [POLCA_BIC.get(str(k), np.nan) for k in table.index]
    return table
