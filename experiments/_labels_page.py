"""The words and pictures of ``labels``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from experiments._page import Outcome
from ppl_models.plots import PALETTE, cluster_colors, house_style, plot_labels
from ppl_models.report import Block

CLUSTERS = 3
METHODS = ("ecr", "ecr-iterative", "stephens", "order")
GOOD = 1.01


def flat(tree: xr.DataTree) -> list[np.ndarray]:
    """Weights, locations and scales, each (draw, cluster), chains one after another."""
    posterior = tree["posterior"]
    return [
        posterior[name].transpose("chain", "draw", "cluster").values.reshape(-1, CLUSTERS)
        for name in ("weights", "loc", "scale")
    ]


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``, more words in ``details``."""
    samplers = numbers["samplers"]
    every = [line for found in samplers.values() for line in found["methods"].values()]
    worst = max(line["rhat_after"] for line in every)
    all_good = worst <= GOOD
    before = max(found["rhat_before"] for found in samplers.values())
    return (
        f"{'Yes, by every method' if all_good else 'Not to the last'}: relabelling takes the "
        f"largest R-hat of a component parameter from {before:.2f} to {worst:.4f}, "
        f"{'within' if all_good else 'above'} {GOOD}. {_agreed(samplers)} While names differ, an "
        "average by cluster is of nothing, as the pooled locations show."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """R-hat and pooled locations, before and after."""
    rows = {}
    for name, found in numbers["samplers"].items():
        after = found["methods"].values()
        rows[name] = {
            "R-hat before": f"{found['rhat_before']:.2f}",
            "of the log density": f"{found['rhat_lp']:.3f}",
            "R-hat after, at most": f"{max(line['rhat_after'] for line in after):.4f}",
            "ESS after, at least": f"{min(line['ess_after'] for line in after):.0f}",
            "locations before": listed(found["pooled_before"]),
            "locations after": listed(found["pooled_after"]),
        }
    said = f"Over all methods of relabelling; the true locations are {listed(numbers['truth'])}."
    return {said: pd.DataFrame(rows).T.rename_axis("sampler")}


def details(numbers: dict) -> str:
    """How the methods compare, and what diagnose says."""
    samplers = numbers["samplers"]
    every = [line for found in samplers.values() for line in found["methods"].values()]
    undone = all(line["undone"] for line in every)
    return "\n\n".join([_methods(samplers, undone), _diagnoses(numbers)])


def _agreed(samplers: dict) -> str:
    """Whether the log density, which has no labels, says that the chains had agreed."""
    if max(found["rhat_lp"] for found in samplers.values()) <= 1.02:
        return "The chains had found the same posterior and differed in names alone."
    return "The chains had not agreed on the log density either: more draws are needed."


def listed(values: list[float]) -> str:
    """Numbers apart by commas.

    >>> listed([-1.234, 2])
    '-1.23, 2.00'
    """
    return ", ".join(f"{value:.2f}" for value in values)


def _methods(samplers: dict, undone: bool) -> str:
    """How the methods compare, and whether the original comes back."""
    shares = {
        method: max(found["methods"][method]["share_unclear"] for found in samplers.values())
        for method in METHODS
    }
    told = ", ".join(f"{method} {share:.1%}" for method, share in shares.items())
    slowest = max(line["seconds"] for found in samplers.values()
                  for line in found["methods"].values())  # fmt: skip
    within = {name: found["renamed"] for name, found in samplers.items()}
    moves = ", ".join(f"{name} {count}" for name, count in within.items())
    return (
        f"Within chains names changed so often: {moves} times. Draws whose relabelling is not "
        f"clear-cut by the method's own measure, at most: {told}. No method took longer than "
        f"{slowest:.2f} s. Taken back, relabelling "
        + ("gave every original number exactly." if undone else "did NOT give the original back.")
    )


def _diagnoses(numbers: dict) -> str:
    """Whether diagnose tells renaming from modes."""
    samplers, other = numbers["samplers"], numbers["other_mode"]
    said = "; ".join(
        f"{name}: “{found['diagnosis_after']['verdict']}”" for name, found in samplers.items()
    )
    fine = f"diagnose says of the relabelled draws: {said}"
    lp = ", ".join(f"{value:.1f}" for value in other["lp"])
    found = (
        "and is told so, for diagnose still refuses"
        if not other["diagnosis"]["trustworthy"] else "but diagnose does NOT find it"
    )  # fmt: skip
    return (
        f"{fine} Where one chain sits in a real mode of its own (mean log density by chain: {lp}) "
        f"relabelling brings R-hat from {other['rhat_before']:.2f} to {other['rhat_after']:.2f} "
        f"only, {found}: “{other['diagnosis']['verdict']}” The share of draws that are not "
        f"clear-cut, {other['share_unclear']:.1%} there, "
        f"{'does not tell' if other['share_unclear'] < 0.1 else 'tells too'}."
    )


def outcome(
    essay: str,
    said: str,
    x: np.ndarray,
    trees: Mapping[str, xr.DataTree],
    repaired: Mapping[str, xr.DataTree],
    stuck: xr.DataTree,
    renamed: xr.DataTree,
    numbers: dict,
) -> Outcome:
    """The page.

    Args:
        essay: the experiment's docstring.
        said: the answer.
        x: the rows.
        trees: draws by sampler.
        repaired: the same, relabelled by ECR.
        stuck: draws of which one chain is in another mode.
        renamed: the same, relabelled.
        numbers: of the answer.
    """
    first, *others = trees
    evidence = [
        Block("In detail", details(numbers)),
        Block("Every sampler and method", "Largest R-hat and smallest ESS are over all component "
              "parameters. Seconds are without compilation.", table=repair_table(numbers),
              figures=(rhat_picture(numbers),)),
        Block("What is lost and what is not", "The average over draws of each component's density, "
              "weighted, by label. Their sum, the mixture's density, is the same on both sides.",
              figures=(density_picture(x, trees[first], repaired[first]),)),
        *(Block(f"The draws by {name}, before and after",
                figures=(plot_labels(trees[name], repaired[name], "loc"),))
          for name in others),
        Block("A chain in another mode", "Relabelled, this chain still is elsewhere: one of its "
              "clusters covers other clumps than in the other chains.",
              figures=(clump_picture(stuck, renamed), plot_labels(stuck, renamed, "loc")),
              captions=("The clumps, and where each chain has its clusters: mean location and the "
                        "range of ± two scales.", "")),
        *diagnosis_blocks(numbers, first),
    ]  # fmt: skip
    caption = (
        f"Locations drawn by {first}: one colour a label, the four chains side by side, before "
        "and after relabelling by ECR; below, the rank curves, which stay near zero for chains "
        "that agree."
    )
    key = plot_labels(trees[first], repaired[first], "loc")
    return Outcome("labels", essay, said, numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def diagnosis_blocks(numbers: dict, name: str) -> list[Block]:
    """What diagnose says, in full: before, after, and of the chain in another mode."""
    found = numbers["samplers"][name]
    said = {
        f"diagnose: {name}, as drawn": found["diagnosis_before"],
        f"diagnose: {name}, relabelled": found["diagnosis_after"],
        "diagnose: a chain in another mode, relabelled": numbers["other_mode"]["diagnosis"],
    }
    return [Block(heading, code=one["text"]) for heading, one in said.items()]


def repair_table(numbers: dict) -> pd.DataFrame:
    """One line a sampler and method."""
    lines = [
        {
            "draws by": name,
            "relabelled by": method,
            "R-hat before": found["rhat_before"],
            "R-hat after": line["rhat_after"],
            "smallest ESS after": round(line["ess_after"]),
            "not clear-cut": f"{line['share_unclear']:.2%}",
            "seconds": round(line["seconds"], 2),
            "undone exactly": "yes" if line["undone"] else "NO",
        }
        for name, found in numbers["samplers"].items()
        for method, line in found["methods"].items()
    ]
    return pd.DataFrame(lines).set_index(["draws by", "relabelled by"])


def rhat_picture(numbers: dict) -> Figure:
    """The excess of R-hat over one, before and after, on a logarithmic axis."""
    lines = [
        (f"{name}, {method}", found["rhat_before"], line["rhat_after"])
        for name, found in numbers["samplers"].items()
        for method, line in found["methods"].items()
    ]
    before, after = (np.array([line[i] for line in lines]) - 1 for i in (1, 2))
    place = -np.arange(len(lines))
    with house_style():
        figure = Figure(figsize=(8.5, 1.4 + 0.28 * len(lines)))
        axes = figure.subplots()
        axes.hlines(place, after, before, color="#D9D9D9", linewidth=2)
        axes.plot(before, place, "o", color=PALETTE[1], label="before")
        axes.plot(after, place, "o", color=PALETTE[0], label="after")
        axes.axvline(GOOD - 1, color="#8A8A8A", linestyle=":", label="1.01")
        axes.set(xscale="log", xlabel="largest R-hat of a component parameter, minus 1")
        axes.set_yticks(place, [line[0] for line in lines])
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def density_picture(x: np.ndarray, before: xr.DataTree, after: xr.DataTree) -> Figure:
    """Average component densities over the data, before and after."""
    grid = np.linspace(x.min() - 1, x.max() + 1, 300)
    with house_style():
        figure = Figure(figsize=(11.0, 3.6))
        for axes, tree, when in zip(
            figure.subplots(1, 2, sharey=True), (before, after), ("Before", "After"), strict=True
        ):
            axes.hist(x, bins=30, density=True, color="#E4E4E4")
            parts = average_densities(tree, grid)
            for k, color in enumerate(cluster_colors(CLUSTERS)):
                axes.plot(grid, parts[:, k], color=color, linewidth=2, label=f"label {k}")
            axes.plot(grid, parts.sum(1), color="#222222", linewidth=1, linestyle="--", label="sum")
            axes.set(title=f"{when} relabelling", xlabel="x")
            axes.legend()
        figure.axes[0].set_ylabel("density")
    return figure


def average_densities(tree: xr.DataTree, grid: np.ndarray, at_most: int = 1000) -> np.ndarray:
    """Weighted component densities (grid, cluster), averaged over evenly spaced draws."""
    weights, loc, scale = flat(tree)
    step = max(1, len(loc) // at_most)
    each = norm.pdf(grid[None, :, None], loc[::step, None], scale[::step, None])
    return (weights[::step, None] * each).mean(0)


def clump_picture(stuck: xr.DataTree, renamed: xr.DataTree) -> Figure:
    """The four clumps and every chain's clusters, relabelled."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.6))
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
        top.hist(stuck["observed_data"]["x"].values, bins=60, color="#BDBDBD")
        top.set(title="Four clumps, three clusters", ylabel="rows")
        draw_chains(below, renamed)
    return figure


def draw_chains(axes: Axes, tree: xr.DataTree) -> None:
    """One line a chain: its clusters' mean locations and their reach."""
    posterior = tree["posterior"].to_dataset().mean("draw")
    loc, scale = posterior["loc"].values, posterior["scale"].values
    lp = tree["sample_stats"].to_dataset()["lp"].mean("draw").values
    place = -np.arange(len(loc))
    for k, color in enumerate(cluster_colors(CLUSTERS)):
        axes.hlines(place, loc[:, k] - 2 * scale[:, k], loc[:, k] + 2 * scale[:, k], color=color,
                    linewidth=3, alpha=0.6)  # fmt: skip
        axes.plot(loc[:, k], place, "o", color=color)
    axes.set_yticks(place, [f"chain {c}, lp {value:.1f}" for c, value in enumerate(lp)])
    axes.set(xlabel="x", ylim=(0.5 - len(loc), 0.5))
