"""Earthquakes: how many levels of activity are there, and which years were in which?

Question
    From 1900 to 2006, six to forty earthquakes of magnitude 7 or more were counted every year. If
    years were independent and identically distributed, counts would be Poisson, with equal mean
    and variance; but the variance is far larger, and high counts come in runs. How many hidden
    states explain this, which years belong to each, and how well do they predict hidden years?

Model
    A hidden Markov model over the years, with Poisson counts: `transition[s] ~ Dirichlet(1)`, the
    first state from the stationary distribution, `x_t | z_t = s ~ Poisson(rate[s])`. The state
    sequence z is summed out. EM with flat priors gives maximum likelihood; Gibbs sampling, with
    `rate[s] ~ Gamma(1.5, 1.5 / mean)`, draws from the posterior. The states of every draw are
    ordered by rate, since draws that number them differently cannot be averaged.

What would count as an answer
    Maximum likelihood must reach the published values for one, two and three states. AIC and BIC
    penalise parameters: m states have m² of them here, and BIC counts 107 years.

    Leave-one-out does not apply: the unit to leave out is a whole sequence, and there is only one.
    Instead, some years are hidden at random and the posterior is computed from the others. The
    score is the joint log predictive density of the hidden counts,
    log E[p(all years | θ) / p(visible years | θ)] over draws of θ. It needs no further code, since
    a hidden year is a missing cell. One state is the baseline of independent years.

    Predictive intervals for the hidden years must have about their nominal coverage. Forecasts
    start from a last state drawn for every posterior draw, so that they carry the uncertainty of
    the parameters and of the state as well as the randomness of future counts.

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
        warmup: sweeps per chain that are discarded.
        searches: EM runs for the initial values of chains; 0: random initial values.
        hidden: number of hidden years.
        again: sample again from all years; otherwise the draws without the hidden years are used.
        fillings: draws of the hidden years, and of the forecast.
        ahead: years of the forecast.
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
    """Fit one to four states, choose, decode the states, impute hidden years, and forecast.

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
    criteria = choose_clusters("hidden_markov", counts.to_frame(), size.states, seed=SEED,
                               starts=size.starts, **MODEL)  # fmt: skip
    criteria = criteria.set_index("states").sort_index()
    return pd.DataFrame(
        {
            "−log-likelihood": -criteria["log_likelihood"],
            "published": {m: PUBLISHED[m] for m in size.states},
            "parameters": criteria["parameters"],  # m rates, and m (m - 1) transitions
            "AIC": criteria["aic"],
            "BIC": criteria["bic"],
        }
    )


def hide(counts: pd.Series, number: int) -> tuple[pd.Series, np.ndarray]:
    """The counts with ``number`` years missing, and their indices; the ends stay visible."""
    inner = np.arange(1, counts.size - 1)
    years = np.sort(np.random.default_rng(SEED).choice(inner, number, replace=False))
    masked = counts.astype(float)
    masked.iloc[years] = np.nan
    return masked, years


def hidden_density(tree: xr.DataTree, counts: pd.Series, masked: pd.Series) -> float:
    """Log predictive density of the hidden years given the visible ones, over draws."""
    every, visible = (
        log_density(tree, series.astype(float).to_frame(), by_draw=True).values.ravel()
        for series in (counts, masked)
    )
    return float(logsumexp(every - visible) - np.log(len(every)))


def ordered(tree: xr.DataTree) -> xr.DataTree:
    """The fit with the states of every draw ordered by increasing rate."""
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
    """Rate, expected duration and share of the years of every state."""
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
    """Fraction of years with a certain state, and agreement with the Viterbi path."""
    table = shares.values[0]
    path = best_paths(tree).values[0]
    return {
        "sure": float((table.max(1) > 0.9).mean()),
        "best_path": float((table.argmax(1) == path).mean()),
    }


def judged(drawn: np.ndarray, true: np.ndarray, masked: pd.Series) -> dict[str, float]:
    """Imputations ``(draw, year)`` of hidden years against the true counts."""
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
    agree = "so does the log density of the hidden years" if predicted == best else (
        f"the log density of the hidden years is highest for {predicted}")  # fmt: skip
    return (
        f"Counts have mean {numbers['mean']:.1f} but variance {numbers['variance']:.1f}, so that "
        f"years are not identically Poisson. BIC chooses {best} states, and {agree}. For "
        f"{numbers['agreement']['sure']:.0%} of the years, one state has a probability above "
        "90%.\n\n"
        f"Hidden counts are imputed with a mean absolute error of {hidden['error']:.1f} (by the "
        f"mean of the visible years: {hidden['error_of_the_mean']:.1f}); 90% intervals cover "
        f"{hidden['covered']:.0%} of them. The forecast starts at {ahead['mean'][0]:.1f} "
        f"earthquakes a year and reaches {ahead['mean'][-1]:.1f} after {len(ahead['mean'])} years, "
        "close to the long-run mean."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """Criteria by number of states."""
    table = {name: {int(m): v for m, v in column.items()}
             for name, column in numbers["table"].items()}  # fmt: skip
    compared = pd.DataFrame(table).rename_axis("states")
    return {
        "Criteria by number of states. Lower AIC and BIC and a higher log density of the hidden "
        "years are better; published values are the maxima in the literature.": compared,
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
        Block("Hidden years", "Each hidden count is imputed from the visible years.",
              figures=(hidden_picture(counts, years, inside),),
              captions=("Counts of all years; bars are 90% intervals for the hidden ones.",)),
        Block("Forecast", "The data of the fit end in 2006.",
              figures=(ahead_picture(counts, ahead),),
              captions=("Central 50% (dark) and 90% (light) predictive intervals.",)),
    ]  # fmt: skip
    caption = ("Yearly counts in the colour of their most probable state, the states' rates with "
               "94% intervals, and the probability of each state.")  # fmt: skip
    return Outcome("earthquakes", __doc__ or "", answer(numbers), numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def hidden_picture(counts: pd.Series, years: np.ndarray, drawn: np.ndarray) -> Figure:
    """Counts by year, and intervals for the hidden ones."""
    low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0)
    shown = counts.astype(float)
    shown.iloc[years] = np.nan
    with house_style():
        figure = Figure(figsize=(9.6, 3.4))
        axes = figure.subplots()
        axes.plot(counts.index, shown, "o-", color="#8A8A8A", markersize=3, linewidth=0.8,
                  label="visible count")  # fmt: skip
        across = counts.index.to_numpy()[years]
        axes.vlines(across, low, high, color=PALETTE[0], linewidth=2.2, alpha=0.6)
        axes.plot(across, middle, "_", color=PALETTE[0], markersize=8, label="imputed")
        axes.plot(across, counts.iloc[years], "o", color=PALETTE[1], markersize=5,
                  label="hidden count")  # fmt: skip
        axes.set(ylabel="earthquakes", xlim=(counts.index[0] - 1, counts.index[-1] + 1))
        axes.legend(loc="upper right", ncols=3)
        axes.set_title("Hidden years, imputed from the visible ones")
        axes.set_ylim(top=1.18 * float(max(counts.max(), high.max())))
    return figure


def ahead_picture(counts: pd.Series, ahead: np.ndarray) -> Figure:
    """The last forty years, and a fan chart of the forecast."""
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
        axes.plot(across, ahead.mean(0), color=color, label="mean of the forecast")
        axes.axhline(counts.mean(), color="#8A8A8A", linewidth=0.8, linestyle=":",
                     label="mean of all years")  # fmt: skip
        axes.set(ylabel="earthquakes", ylim=(0, None))
        axes.set_title("Forecast of the years after 2006")
        axes.legend(loc="upper center")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
