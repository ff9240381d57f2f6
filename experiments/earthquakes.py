"""Earthquakes: how many states has the earth, and when was it in which?

Question
    Every year from 1900 to 2006 some six to forty earthquakes of magnitude 7 or more were counted.
    If years were alike and independent, counts would be Poisson, their variance equal to their
    mean; it is far larger, and high counts come in runs. How many levels of activity explain that,
    in which years was each of them, and what do they say about years that nobody looked at?

Model
    A hidden Markov chain over the years, with Poisson counts: `transition[s] ~ Dirichlet(1)`,
    the first year from the chain's own long-run distribution, `x_t | z_t = s ~ Poisson(rate[s])`.
    The path z is summed out. EM with flat priors gives maximum likelihood; Gibbs sampling, with
    `rate[s] ~ Gamma(1.5, 1.5 / mean)`, the posterior. States are numbered by their rates, in every
    draw: without that, draws that number them differently would have been mixed up.

What would count as an answer
    Maximum likelihood must reach the published values for one, two and three states. AIC and BIC
    put a price on parameters: m states have m² of them here, and BIC counts 107 years.

    Leave-one-out is of no use: the unit that could be left out is a whole sequence, and there is
    one. Instead a stated number of years is hidden at random, the posterior is found from the
    others, and the hidden counts are judged by their joint log predictive density,
    log E[p(all years | θ) / p(years shown | θ)] over the draws of θ. It costs nothing extra: a
    hidden year is a missing cell. One state is what independent years are worth.

    Intervals for the hidden years must hold about as many of the true counts as they claim.
    Forecasts go on from a last state drawn for every draw of the posterior, so that they carry
    what is unknown of parameters, state and chance.

References
    - Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time Series,
      2nd edition. CRC Press. Sections 1.4, 3.1 and 6.1.
    - Frühwirth-Schnatter, S. (2006). Finite Mixture and Markov Switching Models. Springer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import logsumexp

from experiments._page import Outcome, command, publish, stage
from ppl_models import (
    best_paths,
    choose_clusters,
    fit,
    forecast,
    impute,
    log_density,
    state_probabilities,
)
from ppl_models.data import earthquakes
from ppl_models.plots import PALETTE, cluster_colors, house_style, plot_state_paths
from ppl_models.report import Block

#: −log-likelihood at the maximum, by number of states; Zucchini, MacDonald and Langrock, §6.1
PUBLISHED = {1: 391.9189, 2: 342.3183, 3: 329.4603, 4: 327.8316}


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        states: numbers of states.
        starts: of EM.
        draws: draws a chain.
        warmup: sweeps a chain that are not kept.
        searches: starts of EM that look for where chains begin; 0: they begin at random.
        hidden: years that are hidden.
        again: sample once more, with all years shown; else the draws without them stand for it.
        fillings: of the hidden years, and continuations.
        ahead: years of a continuation.
    """

    states: tuple[int, ...] = (1, 2, 3, 4)
    starts: int = 40
    draws: int = 1000
    warmup: int = 1000
    searches: int = 8
    hidden: int = 20
    again: bool = True
    fillings: int = 2000
    ahead: int = 10


FULL = Size()
DEMO = Size(states=(1, 2, 3), starts=16, draws=500, warmup=500, searches=4)
SMOKE = Size(states=(1, 2), starts=4, draws=150, warmup=150, searches=0, again=False, fillings=300)
SEED = 1906
MODEL = {"emission": "poisson", "start": "stationary"}


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit one to four states, choose, read the path, fill years in, and look ahead.

    Args:
        folder: where the page goes.
        smoke: one and two states only, and short chains.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    counts = earthquakes()["count"]
    with stage(f"maximum likelihood of {counts.size} years"):
        table = comparison(counts, size)
    masked, years = hide(counts, size.hidden)
    with stage(f"posteriors without {len(years)} years"):
        partial = {m: sampled(masked, m, size) for m in size.states}
    table["hidden years"] = [hidden_density(partial[m], counts, masked) for m in size.states]
    best = int(table["BIC"].idxmin())
    filled = impute(partial[best], masked.to_frame(), draws=size.fillings, seed=SEED)
    with stage(f"posterior of {best} states on all years"):
        tree = ordered(sampled(counts, best, size) if size.again else partial[best])
    ahead = forecast(tree, size.ahead, draws=size.fillings, seed=SEED + 1)["x"].values[:, 0, :, 0]
    shares = state_probabilities(tree)
    inside = filled["x"].values[:, 0, years, 0]
    numbers = {
        "best": best, "table": {n: c.to_dict() for n, c in table.items()},
        "mean": float(counts.mean()), "variance": float(counts.var(ddof=1)),
        "states": state_table(tree, shares).reset_index().to_dict("list"),
        "agreement": agreement(tree, shares),
        "hidden": judged(inside, counts.to_numpy()[years], masked),
        "forecast": {"mean": ahead.mean(0), "low": np.quantile(ahead, 0.05, 0),
                     "high": np.quantile(ahead, 0.95, 0)},
    }  # fmt: skip
    return publish(_outcome(tree, counts, years, table, numbers, shares, inside, ahead), folder)


def sampled(counts: pd.Series, states: int, size: Size) -> xr.DataTree:
    """Draws of the posterior."""
    return fit("hidden_markov", counts.to_frame(), method="gibbs", seed=SEED, states=states,
               **MODEL, draws=size.draws, warmup=size.warmup, starts=size.searches,
               predictive=0)  # fmt: skip


def comparison(counts: pd.Series, size: Size) -> pd.DataFrame:
    """−log-likelihood beside the published one, AIC and BIC, by number of states."""
    found = choose_clusters("hidden_markov", counts.to_frame(), size.states, seed=SEED,
                            starts=size.starts, **MODEL)  # fmt: skip
    found = found.set_index("states").sort_index()
    return pd.DataFrame(
        {
            "−log-likelihood": -found["log_likelihood"],
            "published": {m: PUBLISHED[m] for m in size.states},
            "parameters": found["parameters"],  # m rates, and m (m - 1) transitions
            "AIC": found["aic"],
            "BIC": found["bic"],
        }
    )


def hide(counts: pd.Series, number: int) -> tuple[pd.Series, np.ndarray]:
    """The counts with so many years missing, and their places; the first and last are kept."""
    inner = np.arange(1, counts.size - 1)
    years = np.sort(np.random.default_rng(SEED).choice(inner, number, replace=False))
    masked = counts.astype(float)
    masked.iloc[years] = np.nan
    return masked, years


def hidden_density(tree: xr.DataTree, counts: pd.Series, masked: pd.Series) -> float:
    """Log predictive density of the hidden years given the others, over draws of the latter."""
    whole, shown = (
        log_density(tree, series.astype(float).to_frame(), by_draw=True).values.ravel()
        for series in (counts, masked)
    )
    return float(logsumexp(whole - shown) - np.log(len(whole)))


def ordered(tree: xr.DataTree) -> xr.DataTree:
    """The fit with the states of every draw numbered by their rates, quiet ones first."""
    posterior = tree["posterior"].to_dataset()
    order = posterior["rate"].isel(feature=0, drop=True).argsort(-1)
    order = order.transpose("chain", "draw", "state").drop_vars("state", errors="ignore")
    moved = {}
    for name, values in posterior.data_vars.items():
        for dim in ("state", "next_state"):
            if dim in values.dims:
                plain = values.drop_vars(dim, errors="ignore")
                values = plain.isel({dim: order.rename(state=dim)})
        moved[name] = values.transpose(*posterior[name].dims).assign_coords(posterior[name].coords)
    groups = {n: g.to_dataset() for n, g in tree.children.items()}
    made = xr.DataTree.from_dict(groups | {"posterior": xr.Dataset(moved)})
    made.attrs = dict(tree.attrs)
    return made


def state_table(tree: xr.DataTree, shares: xr.DataArray) -> pd.DataFrame:
    """Each state's rate, how long it lasts on average, and the share of the years spent in it."""
    posterior = tree["posterior"].to_dataset()
    rate = posterior["rate"].isel(feature=0)
    stay = posterior["transition"].values
    stay = np.diagonal(stay.reshape(-1, *stay.shape[2:]), axis1=1, axis2=2)
    low, high = rate.quantile([0.05, 0.95], ["chain", "draw"]).values
    return pd.DataFrame(
        {
            "earthquakes a year": rate.mean(["chain", "draw"]).values, "5%": low, "95%": high,
            "years it lasts (median)": np.median(1 / np.clip(1 - stay, 1e-12, None), axis=0),
            "share of the years": shares.mean(["sequence", "position"]).values,
        }
    ).rename_axis("state")  # fmt: skip


def agreement(tree: xr.DataTree, shares: xr.DataArray) -> dict[str, float]:
    """How sure years are of their state, and how often the best path agrees with them."""
    table = shares.values[0]
    path = best_paths(tree).values[0]
    return {
        "sure": float((table.max(1) > 0.9).mean()),
        "best_path": float((table.argmax(1) == path).mean()),
    }


def judged(drawn: np.ndarray, true: np.ndarray, masked: pd.Series) -> dict[str, float]:
    """Fillings ``(draw, year)`` of hidden years against what was counted there."""
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    apart = np.abs(drawn.mean(0) - true)
    overall = np.abs(float(masked.mean()) - true)
    return {"years": len(true), "covered": float(((low <= true) & (true <= high)).mean()),
            "error": float(apart.mean()), "error_of_the_mean": float(overall.mean()),
            "width": float((high - low).mean())}  # fmt: skip


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    of = {name: {int(m): v for m, v in column.items()} for name, column in numbers["table"].items()}
    best, hidden, ahead = numbers["best"], numbers["hidden"], numbers["forecast"]
    predicted = max(of["hidden years"], key=lambda m: of["hidden years"][m])
    agree = "so do the years that were hidden" if predicted == best else (
        f"the years that were hidden are predicted best by {predicted}")  # fmt: skip
    return (
        f"Years are not alike: their counts have mean {numbers['mean']:.1f} and variance "
        f"{numbers['variance']:.1f}. BIC chooses {best} states, and {agree}. "
        f"{numbers['agreement']['sure']:.0%} of the years are at least 90% sure of their state.\n\n"
        f"Hidden counts were filled in with a mean error of {hidden['error']:.1f} (the mean of the "
        f"years shown: {hidden['error_of_the_mean']:.1f}), and 90% intervals held "
        f"{hidden['covered']:.0%} of them. The forecast begins at {ahead['mean'][0]:.1f} "
        f"earthquakes and goes to the long-run mean, {ahead['mean'][-1]:.1f} after "
        f"{len(ahead['mean'])} years."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers of states compared."""
    table = {name: {int(m): v for m, v in column.items()}
             for name, column in numbers["table"].items()}  # fmt: skip
    compared = pd.DataFrame(table).rename_axis("states")
    return {
        "Numbers of states. Lower AIC and BIC are better, and so is a higher log density of the "
        "hidden years; published values are maxima found by others.": compared,
    }


def _outcome(
    tree: xr.DataTree,
    counts: pd.Series,
    years: np.ndarray,
    table: pd.DataFrame,
    numbers: dict,
    shares: xr.DataArray,
    inside: np.ndarray,
    ahead: np.ndarray,
) -> Outcome:
    key = plot_state_paths(tree, labels=list(counts.index), probabilities=shares)
    evidence = [
        Block("The states", table=state_table(tree, shares)),
        Block("Years that were hidden", "Each hidden year knows its neighbours, and nothing else.",
              figures=(hidden_picture(counts, years, inside),),
              captions=("Counts of all years; bars are 90% intervals for the hidden ones.",)),
        Block("The years after", "Nothing after 2006 was shown to the fit.",
              figures=(ahead_picture(counts, ahead),),
              captions=("Half of the continuations lie in the dark band, 90% in the light one.",)),
    ]  # fmt: skip
    caption = ("Yearly counts in the colours of their most probable state, the states' rates with "
               "94% intervals, and how probable each state was.")  # fmt: skip
    return Outcome("earthquakes", __doc__ or "", answer(numbers), numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def hidden_picture(counts: pd.Series, years: np.ndarray, drawn: np.ndarray) -> Figure:
    """Counts by year, and intervals for those that were hidden."""
    low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0)
    shown = counts.astype(float)
    shown.iloc[years] = np.nan
    with house_style():
        figure = Figure(figsize=(9.6, 3.4))
        axes = figure.subplots()
        axes.plot(counts.index, shown, "o-", color="#8A8A8A", markersize=3, linewidth=0.8,
                  label="counted, and shown to the fit")  # fmt: skip
        across = counts.index.to_numpy()[years]
        axes.vlines(across, low, high, color=PALETTE[0], linewidth=2.2, alpha=0.6)
        axes.plot(across, middle, "_", color=PALETTE[0], markersize=8, label="filled in")
        axes.plot(across, counts.iloc[years], "o", color=PALETTE[1], markersize=5,
                  label="counted, but hidden from the fit")  # fmt: skip
        axes.set(ylabel="earthquakes", xlim=(counts.index[0] - 1, counts.index[-1] + 1))
        axes.legend(loc="upper right", ncols=3)
        axes.set_title("Hidden years, filled in from the others")
        axes.set_ylim(top=1.18 * float(max(counts.max(), high.max())))
    return figure


def ahead_picture(counts: pd.Series, ahead: np.ndarray) -> Figure:
    """The last forty years, and a fan for those that follow."""
    across = counts.index[-1] + np.arange(1, ahead.shape[1] + 1)
    bands = np.quantile(ahead, [0.05, 0.25, 0.75, 0.95], axis=0)
    with house_style():
        figure = Figure(figsize=(9.6, 3.4))
        axes = figure.subplots()
        recent = counts.iloc[-40:]
        axes.plot(recent.index, recent, "o-", color="#8A8A8A", markersize=3, linewidth=0.8)
        color = cluster_colors(1)[0]
        axes.fill_between(across, bands[0], bands[3], color=color, alpha=0.2, linewidth=0)
        axes.fill_between(across, bands[1], bands[2], color=color, alpha=0.35, linewidth=0)
        axes.plot(across, ahead.mean(0), color=color, label="mean of the continuations")
        axes.axhline(counts.mean(), color="#8A8A8A", linewidth=0.8, linestyle=":",
                     label="mean of all years")  # fmt: skip
        axes.set(ylabel="earthquakes", ylim=(0, None))
        axes.set_title("The years after 2006, as the fit sees them")
        axes.legend(loc="upper center")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
