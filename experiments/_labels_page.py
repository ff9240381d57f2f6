"""Answer, tables and figures of ``labels``."""

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
    """Weights, locations and scales, each (draw, cluster), with the chains concatenated."""
    posterior = tree["posterior"]
    return [
        posterior[name].transpose("chain", "draw", "cluster").values.reshape(-1, CLUSTERS)
        for name in ("weights", "loc", "scale")
    ]


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``, more words in ``details``."""
    samplers = numbers["samplers"]
    every = [line for sampler in samplers.values() for line in sampler["methods"].values()]
    worst = max(line["rhat_after"] for line in every)
    all_good = worst <= GOOD
    before = max(sampler["rhat_before"] for sampler in samplers.values())
    return (
        f"{'Every method repairs it' if all_good else 'Not completely'}: relabelling reduces the "
        f"largest R-hat of a component parameter from {before:.2f} to {worst:.4f}, "
        f"{'within' if all_good else 'above'} the limit of {GOOD}. {_agreed(samplers)} Averages by "
        "cluster mean nothing before relabelling, as the pooled locations in the table show."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """R-hat and pooled locations, before and after."""
    rows = {}
    for name, sampler in numbers["samplers"].items():
        after = sampler["methods"].values()
        rows[name] = {
            "R-hat before": f"{sampler['rhat_before']:.2f}",
            "of the log density": f"{sampler['rhat_lp']:.3f}",
            "R-hat after, at most": f"{max(line['rhat_after'] for line in after):.4f}",
            "ESS after, at least": f"{min(line['ess_after'] for line in after):.0f}",
            "locations before": listed(sampler["pooled_before"]),
            "locations after": listed(sampler["pooled_after"]),
        }
    caption = f"Over all methods of relabelling; the true locations are {listed(numbers['truth'])}."
    return {caption: pd.DataFrame(rows).T.rename_axis("sampler")}


def details(numbers: dict) -> str:
    """The methods of relabelling compared, and the results of diagnose."""
    samplers = numbers["samplers"]
    every = [line for sampler in samplers.values() for line in sampler["methods"].values()]
    undone = all(line["undone"] for line in every)
    return "\n\n".join([_methods(samplers, undone), _diagnoses(numbers)])


def _agreed(samplers: dict) -> str:
    """Whether the chains agreed on the log density, which is label-invariant."""
    if max(sampler["rhat_lp"] for sampler in samplers.values()) <= 1.02:
        return "The chains agreed on the log density all along and differed in labels alone."
    return "The chains did not agree on the log density either: more draws are needed."


def listed(values: list[float]) -> str:
    """Numbers separated by commas.

    >>> listed([-1.234, 2])
    '-1.23, 2.00'
    """
    return ", ".join(f"{value:.2f}" for value in values)


def _methods(samplers: dict, undone: bool) -> str:
    """The methods compared, and whether undoing restores the original."""
    shares = {
        method: max(sampler["methods"][method]["share_unclear"] for sampler in samplers.values())
        for method in METHODS
    }
    ambiguous = ", ".join(f"{method} {fraction:.1%}" for method, fraction in shares.items())
    slowest = max(line["seconds"] for sampler in samplers.values()
                  for line in sampler["methods"].values())  # fmt: skip
    within = {name: sampler["renamed"] for name, sampler in samplers.items()}
    switches = ", ".join(f"{name} {count}" for name, count in within.items())
    return (
        f"Label switches within chains: {switches}. Largest fraction of draws whose relabelling is "
        f"ambiguous by the method's own measure: {ambiguous}. The slowest method took "
        f"{slowest:.2f} s. Undoing the relabelling "
        + ("restored every number exactly." if undone else "did NOT restore the original.")
    )


def _diagnoses(numbers: dict) -> str:
    """Whether diagnose tells label switching from different modes."""
    samplers, other = numbers["samplers"], numbers["other_mode"]
    verdicts = "; ".join(
        f"{name}: “{sampler['diagnosis_after']['verdict']}”" for name, sampler in samplers.items()
    )
    lp = ", ".join(f"{value:.1f}" for value in other["lp"])
    rejected = "still rejects" if not other["diagnosis"]["trustworthy"] else "does NOT reject"
    return (
        f"Verdicts of diagnose on the relabelled draws: {verdicts}. Where one chain is in a mode "
        f"of its own (mean log density by chain: {lp}), relabelling only reduces R-hat from "
        f"{other['rhat_before']:.2f} to {other['rhat_after']:.2f}, and diagnose {rejected} the "
        f"fit: “{other['diagnosis']['verdict']}” The fraction of ambiguous draws there is "
        f"{other['share_unclear']:.1%}, which "
        f"{'does not reveal' if other['share_unclear'] < 0.1 else 'also reveals'} the problem."
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
        stuck: draws with one chain in another mode.
        renamed: the same, relabelled.
        numbers: of the answer.
    """
    first, *others = trees
    evidence = [
        Block("In detail", details(numbers)),
        Block("Every sampler and method", "Largest R-hat and smallest ESS are over all component "
              "parameters. Seconds are without compilation.", table=repair_table(numbers),
              figures=(rhat_picture(numbers),)),
        Block("Component densities", "The weighted density of each component, averaged over draws "
              "by label. Their sum, the density of the mixture, is the same on both sides.",
              figures=(density_picture(x, trees[first], repaired[first]),)),
        *(Block(f"The draws by {name}, before and after",
                figures=(plot_labels(trees[name], repaired[name], "loc"),))
          for name in others),
        Block("A chain in another mode", "Relabelling does not make this chain agree: one of its "
              "clusters covers other groups of rows than in the other chains.",
              figures=(clump_picture(stuck, renamed), plot_labels(stuck, renamed, "loc")),
              captions=("The groups of rows, and the clusters of each chain: mean location ± two "
                        "scales.", "")),
        *diagnosis_blocks(numbers, first),
    ]  # fmt: skip
    caption = (
        f"Locations drawn by {first}, four chains side by side, one colour per label, before and "
        "after relabelling by ECR. Below, the rank curves, which stay near zero where chains agree."
    )
    key = plot_labels(trees[first], repaired[first], "loc")
    return Outcome("labels", essay, said, numbers, key, caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def diagnosis_blocks(numbers: dict, name: str) -> list[Block]:
    """The full diagnoses: before, after, and of the chain in another mode."""
    sampler = numbers["samplers"][name]
    said = {
        f"diagnose: {name}, as drawn": sampler["diagnosis_before"],
        f"diagnose: {name}, relabelled": sampler["diagnosis_after"],
        "diagnose: a chain in another mode, relabelled": numbers["other_mode"]["diagnosis"],
    }
    return [Block(heading, code=one["text"]) for heading, one in said.items()]


def repair_table(numbers: dict) -> pd.DataFrame:
    """One line a sampler and method."""
    lines = [
        {
            "draws by": name,
            "relabelled by": method,
            "R-hat before": sampler["rhat_before"],
            "R-hat after": line["rhat_after"],
            "smallest ESS after": round(line["ess_after"]),
            "ambiguous": f"{line['share_unclear']:.2%}",
            "seconds": round(line["seconds"], 2),
            "undone exactly": "yes" if line["undone"] else "NO",
        }
        for name, sampler in numbers["samplers"].items()
        for method, line in sampler["methods"].items()
    ]
    return pd.DataFrame(lines).set_index(["draws by", "relabelled by"])


def rhat_picture(numbers: dict) -> Figure:
    """The excess of R-hat over one, before and after, on a logarithmic axis."""
    lines = [
        (f"{name}, {method}", sampler["rhat_before"], line["rhat_after"])
        for name, sampler in numbers["samplers"].items()
        for method, line in sampler["methods"].items()
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
    """The four groups of rows and every chain's clusters, relabelled."""
    with house_style():
        figure = Figure(figsize=(11.0, 3.6))
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.4])
        top.hist(stuck["observed_data"]["x"].values, bins=60, color="#BDBDBD")
        top.set(title="Four groups, three clusters", ylabel="rows")
        draw_chains(below, renamed)
    return figure


def draw_chains(axes: Axes, tree: xr.DataTree) -> None:
    """One line a chain: its clusters' mean locations ± two scales."""
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
