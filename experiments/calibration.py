"""Are the posteriors right? Simulation-based calibration, and two samplers that must fail it.

Question
    R-hat tells whether chains agree, not whether they agree on the posterior of the program as
    written. Does the Gibbs sampler of a mixture, and the closed form of a Markov chain, draw from
    the posterior? And would a fault be noticed?

Model
    Parameters θ* are drawn from the prior, data x from the program at θ*, and draws θ_1 … θ_L from
    the sampler given x. Then θ* is itself a draw from the posterior given x. Over many simulations
    the rank of f(θ*, x) among the f(θ_l, x) is therefore uniform, for every function f. Draws that
    are too narrow put ranks at both ends, draws that are too wide in the middle, and biased draws
    at one end.

    `gaussian_mixture` with K = 3 clusters in one dimension and 60 rows, by Gibbs; `markov_chain`
    with three tokens and 10 sequences, whose posterior is a product of Dirichlets
    (`method="exact"`). The ranked quantities of the mixture are label-invariant: parameters with
    the clusters ordered by location, the log-likelihood, and the log-density of the first row. The
    last two depend on the data as well.

    Two samplers are broken on purpose, as a mistake in a program would break them. One assumes a
    third of the locations' true prior standard deviation (a wrong scale), the other a hundred times
    as much (almost no prior). Their Gibbs steps are correct for a model other than the one that
    the data come from.

What would count as an answer
    For every quantity, the p-value of uniformity (chi-squared, twenty bins) and the largest
    distance between the distribution function of the ranks and the uniform one. A sampler passes if
    no p-value is below 0.01 divided by the number of quantities. The two correct samplers must
    pass; the two broken ones must fail, since a test that never fails shows nothing.

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
    columns = {}
    for name, variable in tree["prior_sbc"].data_vars.items():
        values = variable.values.reshape(variable.sizes["draw"], -1).T
        for place, column in enumerate(values):
            columns[f"{name}[{place}]" if variable.ndim > 2 else str(name)] = column
    return columns


def uniformity(tree: xr.DataTree) -> dict[str, float]:
    """Every single quantity's p-value of uniformity."""
    p_values = {}
    for name, variable in tree["sbc_test"].data_vars.items():
        for place, value in enumerate(variable.values.reshape(-1)):
            p_values[f"{name}[{place}]" if variable.ndim else str(name)] = float(value)
    return p_values


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


def farthest(case: Mapping[str, Any]) -> float:
    """The largest distance of a case."""
    return max(line["distance"] for line in case["quantities"].values())


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    cases = numbers["cases"]
    right = {name: case for name, case in cases.items() if not case["broken"]}
    broken = {name: case for name, case in cases.items() if case["broken"]}
    passed = [name for name, case in right.items() if case["passed"]]
    caught = [name for name, case in broken.items() if not case["passed"]]
    every = len(passed) == len(right) and len(caught) == len(broken)
    first = (
        f"{'Yes, as far as this test can see' if every else 'Not every result is as expected'}: in "
        f"{numbers['simulations']} simulations, {len(passed)} of {len(right)} correct samplers "
        f"pass and {len(caught)} of {len(broken)} broken ones fail."
    )
    faults = [
        f"{name}: {_fault(case['worst'], case['quantities'][case['worst']])}"
        for name, case in cases.items()
        if not case["passed"]
    ]
    return "\n\n".join([first, *faults])


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """One line a sampler."""
    caption = (
        "A sampler fails if its smallest p-value is below the threshold (0.01 divided by the "
        "number of quantities). Distances are from the uniform distribution function."
    )
    return {caption: verdict_table(numbers)}


def _fault(name: str, line: Mapping[str, float]) -> str:
    """What is wrong with a quantity that failed: its bias, and the width of its intervals."""
    held, mean = 1 - line["at_the_ends"], line["mean_rank"]
    lie = "too high" if mean < 0.45 else "too low" if mean > 0.55 else "about right"
    width = "too narrow" if held < 0.75 else "too wide" if held > 0.85 else "about right"
    return (
        f"The central 80% interval of {name} covers the true value in {held:.0%} of the "
        f"simulations, and its mean rank is {mean:.2f} instead of 0.50. Its draws are {lie}, and "
        f"its intervals are {width}."
    )


# ---- page ----------------------------------------------------------------------------------------


def _outcome(trees: Mapping[str, xr.DataTree], numbers: dict) -> Outcome:
    evidence = [
        Block("The p-values", "A sampler passes if its smallest p-value is above the threshold, "
              "0.01 divided by the number of quantities. Seconds include compilation.",
              figures=(p_picture(numbers),),
              captions=("The p-value of every quantity; ticks are the thresholds.",)),
        Block("Coverage", "Observed minus nominal coverage of the central intervals. Above zero "
              "the draws are too wide, below zero too narrow.",
              figures=(panels(trees, numbers, draw_coverage),)),
        *(Block(name, table=quantity_table(case)) for name, case in numbers["cases"].items()),
    ]  # fmt: skip
    caption = (
        "The distribution function of the ranks minus the uniform one, a line for each quantity. "
        "All lines of a correct sampler stay in the grey band with probability 99%."
    )
    key = panels(trees, numbers, draw_ranks)
    return Outcome("calibration", __doc__ or "", answer(numbers), numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def verdict_table(numbers: dict) -> pd.DataFrame:
    """One line a sampler."""
    lines = {
        name: {
            "smallest p-value": f"{case['smallest_p']:.2g}",
            "threshold": f"{case['threshold']:.2g}",
            "quantity": case["worst"],
            "largest distance": round(farthest(case), 3),
            "allowed": round(case["allowed_distance"], 3),
            "result": "pass" if case["passed"] else "FAIL",
            "expected": "fail" if case["broken"] else "pass",
            "seconds": round(case["seconds"], 1),
        }
        for name, case in numbers["cases"].items()
    }
    return pd.DataFrame(lines).T.rename_axis("sampler")


def quantity_table(case: Mapping[str, Any]) -> pd.DataFrame:
    """One line a quantity of a sampler."""
    lines = {
        name: {
            "p-value": f"{line['p']:.2g}",
            "distance": round(line["distance"], 3),
            "mean rank": round(line["mean_rank"], 3),
            "in the outer tenths": f"{line['at_the_ends']:.1%}",
            "result": "pass" if line["p"] > case["threshold"] else "FAIL",
        }
        for name, line in case["quantities"].items()
    }
    return pd.DataFrame(lines).T.rename_axis("quantity")


def panels(trees: Mapping[str, xr.DataTree], numbers: dict, draw: Any) -> Figure:
    """One panel a sampler, drawn by the given function, each with its own axis limits."""
    lines = -(-len(trees) // 2)
    with house_style():
        figure = Figure(figsize=(11.0, 3.4 * lines))
        for axes, (name, tree) in zip(
            figure.subplots(lines, 2, squeeze=False).flat, trees.items(), strict=True
        ):
            case = numbers["cases"][name]
            draw(axes, tree, case)
            axes.axhline(0.0, color="#8A8A8A", linewidth=0.8)
            axes.set_title(f"{name} ({'pass' if case['passed'] else 'FAIL'})")
            axes.margins(x=0.0)
            handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            axes.legend(handles.values(), handles.keys(), fontsize=8, ncols=3, loc="upper left")
    return figure


def draw_ranks(axes: Axes, tree: xr.DataTree, case: Mapping[str, Any]) -> None:
    """Every quantity's distribution function of ranks, minus the uniform's, and the band."""
    allowed = case["allowed_distance"]
    axes.axhspan(-allowed, allowed, color="#E9E9E9", zorder=0)
    for name, shares in ranks(tree).items():
        draw_excess(axes, name, shares)
    low, high = axes.get_ylim()
    reach = max(1.6 * allowed, -low, high)
    axes.set(ylim=(-reach, 1.5 * reach), xlabel="rank, as a share", ylabel="ECDF minus uniform")


def draw_coverage(axes: Axes, tree: xr.DataTree, case: Mapping[str, Any]) -> None:
    """Every quantity's coverage of central intervals, minus what they should cover."""
    allowed = case["allowed_distance"]
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
        for place, case in enumerate(cases.values()):
            p = np.maximum([line["p"] for line in case["quantities"].values()], 1e-20)
            jitter = np.linspace(-0.2, 0.2, len(p))
            color = PALETTE[0] if case["passed"] else PALETTE[1]
            axes.plot(p, -place + jitter, "o", color=color, markersize=5, alpha=0.8)
            axes.plot([case["threshold"]] * 2, [-place - 0.4, -place + 0.4], color="#222222")
        axes.set(xscale="log", xlabel="p-value of uniformity (those below 1e-20 are put there)")
        axes.set_yticks(-np.arange(len(cases)), list(cases))
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
