"""Are the posteriors right? Simulation-based calibration, and two samplers that must fail it.

Question
    A sampler prints draws whatever they are worth. R-hat tells that chains agree, not that they
    agree on the posterior of the program that was written. Are the draws of Gibbs from a mixture,
    and those of a closed form from a Markov chain, draws from the posterior? And would one notice
    if they were not?

Model
    Parameters θ* are drawn from the prior, data x from the program at θ*, and draws θ_1 … θ_L from
    the sampler given x. Then θ* is itself one draw from the posterior given x, so that its rank
    among the θ_l must be uniform, over many such simulations, for every function of θ and x. A
    sampler whose draws are too narrow sends ranks to both ends, one whose draws are too wide to
    the middle, one that is biased to one end.

    `gaussian_mixture` with K = 3 clusters in one dimension and 60 rows, by Gibbs; `markov_chain`
    with three tokens and 10 sequences, whose posterior is a product of Dirichlets that
    `method="exact"` draws from. For the mixture the ranked quantities do not depend on labels:
    parameters with the clusters in order of location, the log-likelihood and the log-density of
    the first row, both with the data in them.

    Two samplers are broken on purpose, as mistakes in a program would break them: one believes
    that locations have a third of their true prior standard deviation (a wrong scale), one does
    without the prior of the locations (their standard deviation a hundred times as large, which
    is next to none). Their Gibbs steps are right, for another model than the data come from.

What would count as an answer
    The p-value of uniformity of every quantity (chi-squared, twenty bins) and the largest distance
    between the distribution function of the ranks and that of the uniform. A sampler passes if no
    p-value is below 0.01 divided by the number of quantities. The two right ones have to pass,
    the two broken ones to fail. That a test passes means little where it never fails.

References
    - Cook, S. R., Gelman, A. and Rubin, D. B. (2006). Validation of software for Bayesian models
      using posterior quantiles. Journal of Computational and Graphical Statistics 15, 675-692.
    - Talts, S., Betancourt, M., Simpson, D., Vehtari, A. and Gelman, A. (2018). Validating
      Bayesian inference algorithms with simulation-based calibration. arXiv:1804.06788.
    - Säilynoja, T., Bürkner, P.-C. and Vehtari, A. (2022). Graphical test for discrete uniformity
      and its applications in goodness-of-fit evaluation and multiple sample comparison. Statistics
      and Computing 32, 32.
    - Modrák, M., Moon, A. H., Kim, S., Bürkner, P., Huurre, N., Faltejsková, K., Gelman, A. and
      Vehtari, A. (2023). Simulation-based calibration checking for Bayesian computation: the
      choice of test quantities shapes sensitivity. Bayesian Analysis.
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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import kstwo

from experiments._page import Outcome, command, publish, stage
from ppl_models import calibrate
from ppl_models.plots import PALETTE, house_style
from ppl_models.report import Block

#: The scale that is judged is an array: one compiled program serves its right and wrong values.
MIXTURE: dict[str, Any] = {
    "program": "gaussian_mixture", "method": "gibbs", "loc_mean": 0.0, "loc_scale": np.array(3.0),
    "scale_rate": 1.0, "scale_concentration": 3.0,
}  # fmt: skip
CHAIN: dict[str, Any] = {
    "program": "markov_chain", "method": "exact", "rows": 10, "vocabulary": 3,
    "sizes": {"positions": 30},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A sampler that is judged: how it is called, whether it is broken, and how."""

    arguments: Mapping[str, Any]
    broken: bool = False


CASES = {
    "mixture, Gibbs": Case(MIXTURE),
    "Markov chain, exact": Case(CHAIN),
    "BROKEN: wrong scale": Case(MIXTURE | {"assumed": {"loc_scale": np.array(1.0)}}, broken=True),
    "BROKEN: prior dropped": Case(
        MIXTURE | {"assumed": {"loc_scale": np.array(300.0)}}, broken=True
    ),
}


@dataclass(frozen=True)
class Size:
    """How much is done."""

    cases: tuple[str, ...] = tuple(CASES)
    simulations: int = 1000
    clusters: int = 3
    rows: int = 60
    draws: int = 50
    warmup: int = 200
    thinning: int = 10


FULL = Size()
SMOKE = Size(cases=("mixture, Gibbs", "BROKEN: wrong scale"), simulations=200, clusters=2,
             rows=30, draws=20, warmup=50, thinning=5)  # fmt: skip
SEED = 1
COLORS = {
    "loc": PALETTE[0], "scale": PALETTE[1], "weights": PALETTE[2], "initial": PALETTE[0],
    "transition": PALETTE[1], "log_likelihood": "#222222", "log_density_of_first_row": "#8A8A8A",
}  # fmt: skip


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Calibrate every sampler.

    Args:
        folder: where the page goes.
        smoke: one right and one broken sampler, few simulations.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    trees, seconds = {}, {}
    for name in size.cases:
        started = time.perf_counter()
        with stage(f"{name}, {size.simulations} simulations"):
            trees[name] = judged(CASES[name], size)
        seconds[name] = time.perf_counter() - started
    numbers = gather(trees, seconds, size)
    return publish(_outcome(trees, numbers), folder)


def judged(case: Case, size: Size) -> xr.DataTree:
    """Ranks and tests of one sampler."""
    sizes: dict[str, Any] = {"clusters": size.clusters, "rows": size.rows}
    arguments = (sizes if case.arguments["method"] == "gibbs" else {}) | dict(case.arguments)
    return calibrate(
        seed=SEED, simulations=size.simulations, draws=size.draws, warmup=size.warmup,
        thinning=size.thinning, **arguments,
    )  # fmt: skip


# ---- numbers -------------------------------------------------------------------------------------


def ranks(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Every single quantity's ranks (simulation,), as shares of one.

    >>> pit = xr.Dataset({"loc": (("chain", "draw", "i"), np.ones((1, 5, 2)))})
    >>> sorted(ranks(xr.DataTree.from_dict({"prior_sbc": pit})))
    ['loc[0]', 'loc[1]']
    """
    found = {}
    for name, variable in tree["prior_sbc"].data_vars.items():
        values = variable.values.reshape(variable.sizes["draw"], -1).T
        for place, column in enumerate(values):
            found[f"{name}[{place}]" if variable.ndim > 2 else str(name)] = column
    return found


def uniformity(tree: xr.DataTree) -> dict[str, float]:
    """Every single quantity's p-value of uniformity."""
    found = {}
    for name, variable in tree["sbc_test"].data_vars.items():
        for place, value in enumerate(variable.values.reshape(-1)):
            found[f"{name}[{place}]" if variable.ndim else str(name)] = float(value)
    return found


def distance(shares: np.ndarray) -> float:
    """The largest distance between the distribution function of the ranks and the uniform's.

    >>> round(distance(np.array([0.25, 0.75])), 2)
    0.25
    """
    ordered, count = np.sort(shares), len(shares)
    return float(np.maximum(np.arange(1, count + 1) / count - ordered,
                            ordered - np.arange(count) / count).max())  # fmt: skip


def half_width(simulations: int, quantities: int) -> float:
    """The distance that one of so many quantities exceeds with probability 1% at most."""
    return float(kstwo.ppf(1 - 0.01 / quantities, simulations))


def gather(
    trees: Mapping[str, xr.DataTree], seconds: Mapping[str, float], size: Size
) -> dict[str, Any]:
    """The numbers of the answer."""
    cases = {}
    for name, tree in trees.items():
        p_values, shares = uniformity(tree), ranks(tree)
        cases[name] = {
            "broken": CASES[name].broken,
            "passed": bool(tree.attrs["calibrated"]),
            "smallest_p": float(tree.attrs["worst"]),
            "threshold": 0.01 / int(tree.attrs["quantities"]),
            "worst": min(p_values, key=lambda key: p_values[key]),
            "seconds": seconds[name],
            "allowed_distance": half_width(size.simulations, len(shares)),
            "quantities": {
                key: {
                    "p": p_values[key],
                    "distance": distance(column),
                    "mean_rank": float(column.mean()),
                    "at_the_ends": float((np.abs(column - 0.5) > 0.4).mean()),
                }
                for key, column in shares.items()
            },
        }
    return {"simulations": size.simulations, "draws": size.draws, "cases": cases}


def farthest(found: Mapping[str, Any]) -> float:
    """The largest distance of a case."""
    return max(line["distance"] for line in found["quantities"].values())


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    cases = numbers["cases"]
    right = {name: found for name, found in cases.items() if not found["broken"]}
    broken = {name: found for name, found in cases.items() if found["broken"]}
    sound = [name for name, found in right.items() if found["passed"]]
    caught = [name for name, found in broken.items() if not found["passed"]]
    every = len(sound) == len(right) and len(caught) == len(broken)
    first = (
        f"{'Yes, as far as this test can see' if every else 'Not all is as it should be'}: in "
        f"{numbers['simulations']} simulations {len(sound)} of {len(right)} right samplers "
        f"pass{'es' if len(right) == 1 else ''} and {len(caught)} of {len(broken)} broken ones "
        f"{'is' if len(broken) == 1 else 'are'} found out."
    )
    faults = [
        f"{name}: {_fault(found['worst'], found['quantities'][found['worst']])}"
        for name, found in cases.items()
        if not found["passed"]
    ]
    return "\n\n".join([first, *faults])


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """One line a sampler."""
    said = (
        "A sampler fails where its smallest p-value is below the threshold, which allows for the "
        "number of quantities. Distances are from the uniform distribution function."
    )
    return {said: verdict_table(numbers)}


def _fault(name: str, line: Mapping[str, float]) -> str:
    """What is wrong with a quantity that failed: where its draws lie, what its intervals hold."""
    held, mean = 1 - line["at_the_ends"], line["mean_rank"]
    lie = "too high" if mean < 0.45 else "too low" if mean > 0.55 else "about right"
    hold = "too little" if held < 0.75 else "too much" if held > 0.85 else "about what they should"
    return (
        f"The central 80% interval of {name} holds the truth in {held:.0%} of the simulations, and "
        f"its mean rank is {mean:.2f} where 0.50 belongs: its draws lie {lie}, its intervals hold "
        f"{hold}."
    )


# ---- page ----------------------------------------------------------------------------------------


def _outcome(trees: Mapping[str, xr.DataTree], numbers: dict) -> Outcome:
    evidence = [
        Block("The p-values", "A sampler passes if its smallest p-value is above the threshold, "
              "0.01 divided by the number of quantities. Seconds include compilation.",
              figures=(p_picture(numbers),),
              captions=("The p-value of every quantity; ticks are the thresholds.",)),
        Block("How wide the draws are", "How often a central interval of the draws holds the "
              "truth, beyond how often it should. Above zero: too wide. Below: too narrow.",
              figures=(panels(trees, numbers, draw_coverage),)),
        *(Block(name, table=quantity_table(found)) for name, found in numbers["cases"].items()),
    ]  # fmt: skip
    caption = (
        "The distribution function of the ranks minus that of the uniform, one line a quantity. "
        "In the grey band, 99% of the time, stay all lines of a sampler that is right."
    )
    key = panels(trees, numbers, draw_ranks)
    return Outcome("calibration", __doc__ or "", answer(numbers), numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def verdict_table(numbers: dict) -> pd.DataFrame:
    """One line a sampler."""
    lines = {
        name: {
            "smallest p-value": f"{found['smallest_p']:.2g}",
            "threshold": f"{found['threshold']:.2g}",
            "of": found["worst"],
            "largest distance": round(farthest(found), 3),
            "allowed": round(found["allowed_distance"], 3),
            "verdict": "passes" if found["passed"] else "FAILS",
            "should": "fail" if found["broken"] else "pass",
            "seconds": round(found["seconds"], 1),
        }
        for name, found in numbers["cases"].items()
    }
    return pd.DataFrame(lines).T.rename_axis("sampler")


def quantity_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """One line a quantity of a sampler."""
    lines = {
        name: {
            "p-value": f"{line['p']:.2g}",
            "distance": round(line["distance"], 3),
            "mean rank": round(line["mean_rank"], 3),
            "in the outer tenths": f"{line['at_the_ends']:.1%}",
            "verdict": "passes" if line["p"] > found["threshold"] else "FAILS",
        }
        for name, line in found["quantities"].items()
    }
    return pd.DataFrame(lines).T.rename_axis("quantity")


def panels(trees: Mapping[str, xr.DataTree], numbers: dict, draw: Any) -> Figure:
    """One panel a sampler, drawn by the given function, its limits its own."""
    lines = -(-len(trees) // 2)
    with house_style():
        figure = Figure(figsize=(11.0, 3.4 * lines))
        for axes, (name, tree) in zip(
            figure.subplots(lines, 2, squeeze=False).flat, trees.items(), strict=True
        ):
            found = numbers["cases"][name]
            draw(axes, tree, found)
            axes.axhline(0.0, color="#8A8A8A", linewidth=0.8)
            axes.set_title(f"{name} ({'passes' if found['passed'] else 'FAILS'})")
            axes.margins(x=0.0)
            handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            axes.legend(handles.values(), handles.keys(), fontsize=8, ncols=3, loc="upper left")
    return figure


def draw_ranks(axes: Axes, tree: xr.DataTree, found: Mapping[str, Any]) -> None:
    """Every quantity's distribution function of ranks, minus the uniform's, and the band."""
    allowed = found["allowed_distance"]
    axes.axhspan(-allowed, allowed, color="#E9E9E9", zorder=0)
    for name, shares in ranks(tree).items():
        draw_excess(axes, name, shares)
    low, high = axes.get_ylim()
    reach = max(1.6 * allowed, -low, high)
    axes.set(ylim=(-reach, 1.5 * reach), xlabel="rank, as a share", ylabel="ECDF minus uniform")


def draw_coverage(axes: Axes, tree: xr.DataTree, found: Mapping[str, Any]) -> None:
    """Every quantity's coverage of central intervals, minus what they should cover."""
    allowed = found["allowed_distance"]
    axes.axhspan(-allowed, allowed, color="#E9E9E9", zorder=0)
    for name, shares in ranks(tree).items():
        draw_excess(axes, name, 2 * np.abs(shares - 0.5))
    low, high = axes.get_ylim()
    reach = max(1.6 * allowed, -low, high)
    axes.set(
        ylim=(-reach, 1.5 * reach), xlabel="probability of the interval", ylabel="coverage minus it"
    )


def draw_excess(axes: Axes, name: str, shares: np.ndarray) -> None:
    """A distribution function minus the uniform's."""
    ordered, count = np.sort(shares), len(shares)
    x = np.concatenate([[0.0], ordered, [1.0]])
    y = np.concatenate([[0.0], np.arange(1, count + 1) / count, [1.0]]) - x
    site = name.partition("[")[0]
    axes.plot(x, y, color=COLORS[site], linewidth=1.1, label=site.replace("_", " "))


def p_picture(numbers: dict) -> Figure:
    """The p-values of all quantities on a logarithmic axis, cut off where nobody looks."""
    cases = numbers["cases"]
    with house_style():
        figure = Figure(figsize=(9.0, 1.0 + 0.55 * len(cases)))
        axes = figure.subplots()
        for place, found in enumerate(cases.values()):
            p = np.maximum([line["p"] for line in found["quantities"].values()], 1e-20)
            jitter = np.linspace(-0.2, 0.2, len(p))
            color = PALETTE[0] if found["passed"] else PALETTE[1]
            axes.plot(p, -place + jitter, "o", color=color, markersize=5, alpha=0.8)
            axes.plot([found["threshold"]] * 2, [-place - 0.4, -place + 0.4], color="#222222")
        axes.set(xscale="log", xlabel="p-value of uniformity (those below 1e-20 are put there)")
        axes.set_yticks(-np.arange(len(cases)), list(cases))
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
