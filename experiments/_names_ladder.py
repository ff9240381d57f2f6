"""The ladder of `names`: chains of growing memory, hidden states and a network, on one split."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from experiments import words
from experiments._page import stage
from experiments._recurrent import recurrent_writer
from ppl_models import fit, generate, perplexity
from ppl_models.data import decode
from ppl_models.plots import PALETTE, house_style

DIRICHLET, HIDDEN, RECURRENT = "Dirichlet rows", "hidden Markov", "recurrent (GRU)"


@dataclass(frozen=True)
class Rungs:
    """How far up is climbed."""

    dirichlet: tuple[int, ...] = (1, 2)
    sparse: tuple[int, ...] = (1, 2, 3, 4, 5)
    methods: tuple[str, ...] = tuple(words.METHODS)  #: of the sparse ones; names by the first
    states: int = 40
    starts: int = 4
    iterations: int = 300
    hidden: int = 128
    steps: int = 3000
    draws: int = 50
    shown: int = 8
    sampler: words.Size = words.FULL  #: its warmup, draws and thinning


FULL = Rungs()
SMOKE = Rungs((), (2,), (words.KNESER_NEY,), states=2, starts=1, iterations=5, hidden=4, steps=20,
              draws=5, shown=3, sampler=words.SMOKE)  # fmt: skip


@dataclass(frozen=True)
class Ladder:
    """What was found.

    Attributes:
        table: a row a rung: bits per letter and nats per transition of names kept aside.
        names: names of each rung's making.
    """

    table: pd.DataFrame
    names: dict[str, list[str]]


def run_em(train: list[str], test: list[str], rungs: Rungs, seed: int) -> Ladder:
    """Fit every rung to the same names and judge it on the same others.

    Args:
        train: names fitted.
        test: names kept aside, of the same letters.
        rungs: what is fitted.
        seed: of everything.
    """
    nats: dict[str, float] = {}
    made: dict[str, list[str]] = {}
    for order in rungs.dirichlet:
        with stage(f"{DIRICHLET}, order {order}"):
            tree = fit("ordered_chain", train, method="exact", seed=seed, order=order, chains=1,
                       draws=rungs.draws, predictive=0)  # fmt: skip
        _judge(f"{DIRICHLET}, {order} back", tree, test, rungs, seed, nats, made)
    table, trees = words.ladder(train, test, rungs.sparse, rungs.sampler, rungs.methods)
    for order in rungs.sparse:
        for name in rungs.methods:
            nats[f"{name}, {order - 1} back"] = float(np.log(table.loc[order, name]))
    last = f"{rungs.methods[0]}, {rungs.sparse[-1] - 1} back"
    made[last] = _written(trees[rungs.methods[0], rungs.sparse[-1]], rungs.shown, seed)
    with stage(f"hidden Markov chain of {rungs.states} states"):
        tree = fit("hidden_token_chain", train, method="em", seed=seed, states=rungs.states,
                   starts=rungs.starts, iterations=rungs.iterations, concentration=1.1,
                   transition_concentration=1.1, predictive=0)  # fmt: skip
    _judge(f"{HIDDEN}, {rungs.states} states", tree, test, rungs, seed, nats, made)
    with stage(f"recurrent chain of {rungs.hidden} units"):
        writer = recurrent_writer(train, test, seed=seed, hidden=rungs.hidden, steps=rungs.steps,
                                  generated=rungs.shown)  # fmt: skip
    nats[f"{RECURRENT}, {rungs.hidden} units"] = writer.nats_per_transition
    made[f"{RECURRENT}, {rungs.hidden} units"] = writer.names
    letters, steps = sum(map(len, test)), sum(len(name) + 1 for name in test)
    bits = {name: value * steps / letters / np.log(2) for name, value in nats.items()}
    found = pd.DataFrame({"bits per letter": bits, "nats per transition": nats})
    return Ladder(found.rename_axis("model"), made)


def _judge(
    name: str,
    tree: xr.DataTree,
    test: list[str],
    rungs: Rungs,
    seed: int,
    nats: dict[str, float],
    made: dict[str, list[str]],
) -> None:
    nats[name] = float(perplexity(tree, test)["nats_per_token"])
    made[name] = _written(tree, rungs.shown, seed)


def _written(tree: xr.DataTree, count: int, seed: int) -> list[str]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "[^\n]* sequences were cut")
        drawn = generate(tree, count, seed=seed + 1, length=30)
    return ["".join(letters) for letters in decode(drawn["tokens"].values, drawn.attrs["token"])]


def picture(table: pd.DataFrame) -> Figure:
    """Bits per letter by the order of the chain, and what has no order as lines across."""
    bits = table["bits per letter"]
    with house_style():
        figure = Figure(figsize=(7.6, 4.4))
        axes = figure.subplots()
        families: dict[str, dict[int, float]] = {}
        for name, value in bits.items():
            family, _, back = str(name).removesuffix(" back").rpartition(", ")
            if str(name).endswith(" back"):
                families.setdefault(family, {})[int(back)] = value
        for color, (family, by_order) in zip(PALETTE, families.items(), strict=False):
            axes.plot(list(by_order), list(by_order.values()), "o-", color=color, label=family)
        across = [n for n in bits.index if not n.endswith(" back")]
        for name, style in zip(across, ("--", ":", "-."), strict=False):
            axes.axhline(bits[name], color="#444444", linestyle=style, label=name)
        axes.set(xlabel="letters that a chain looks back", ylabel="bits")
        axes.set_xticks(sorted({order for by in families.values() for order in by}))
        axes.set_title("Bits per letter of names kept aside")
        axes.legend(fontsize=8)
    return figure
