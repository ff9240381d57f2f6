"""Click-streams: can kinds of visitors be told apart by the order of their clicks alone?

Question
    Visits to a web shop are sequences of pages. Do they fall into clusters, how many are there, and
    do the clicks of a visit reveal its cluster? Do clusters help to predict the next click?

Model
    A mixture of Markov chains (`chain_mixture`): every kind of visitor has its own chain, with the
    probabilities of the first page, of each transition, and of the end of a visit. The kind of a
    visit is hidden. BIC chooses the number of kinds; Gibbs sampling draws from the posterior given
    that number.

    The visits are simulated: 2,000 of four kinds with known chains, where each click is random with
    probability 0.1. Two of the four kinds, "compare" and "read", visit the same pages equally often
    and make equally long visits. They differ in order alone: "compare" alternates between products
    and reviews, "read" stays with either. The true kinds are therefore known.

    The same program is then fitted to real data: the 4,832 first names of the US census of 1990
    that only women or only men had. Do two clusters of names correspond to the sexes?

What would count as an answer
    The adjusted Rand index between the most probable kinds and the true ones (1: the same
    partition, 0: chance). The index under the true chains is the highest that can be expected,
    since short visits stay ambiguous. Two baselines: hard assignment (every visit in its most
    probable chain, as in k-means), and a mixture that sees only how often each page was visited
    (`poisson_mixture` on counts).

    Also bits per click on held-out visits, the end of a visit counted as a click: the mixture
    against one chain of order 1, one of order 2, and the true chains. The mixture learns the kind
    of a visit from its first clicks, so that its advantage should grow with the position; bits are
    given by position.

References
    - Cadez, I., Heckerman, D., Meek, C., Smyth, P. and White, S. (2003). Model-based clustering
      and visualization of navigation patterns on a web site. Data Mining and Knowledge Discovery
      7, 399-424.
    - Hubert, L. and Arabie, P. (1985). Comparing partitions. Journal of Classification 2, 193-218.
    - Scherer, S. (2001). Early career patterns: a comparison of Great Britain and West Germany.
      European Sociological Review 17, 119-144.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

from experiments._page import Outcome, command, criteria_table, publish, stage
from ppl_models import choose_clusters, fit, perplexity, predict, token_probabilities
from ppl_models.data import Vocabulary, click_streams, first_names_by_sex
from ppl_models.data.examples.click_streams import KINDS, PAGES, SHARES, chain
from ppl_models.plots import (
    PALETTE,
    house_style,
    plot_sequence_index,
    plot_transition_graph,
    plot_transitions,
)
from ppl_models.report import Block

CHOSEN = "mixture of chains"
HARD = "hard assignment"
COUNTS = "counts of pages"
TRUTH = "the true chains"


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        visits: visits fitted.
        aside: held-out visits.
        min_clusters: smallest number of kinds.
        max_clusters: largest number of kinds.
        drawn: draw the posterior of the mixture; else find its mode.
        draws: draws a chain.
        warmup: sweeps a chain that are not kept.
        starts: of EM.
        hard: compare with hard assignment.
        names: first names (None: all; 0: leave them out).
        positions: clicks shown.
    """

    visits: int = 2000
    aside: int = 500
    min_clusters: int = 1
    max_clusters: int = 7
    drawn: bool = True
    draws: int = 300
    warmup: int = 200
    starts: int = 8
    hard: bool = True
    names: int | None = None
    positions: int = 12


FULL = Size()
DEMO = Size(visits=1000, aside=300, min_clusters=2, max_clusters=5, draws=200, starts=5, names=3000)
SMOKE = Size(visits=1000, aside=200, min_clusters=3, max_clusters=5, drawn=False, draws=25,
             starts=3, hard=False, names=0, positions=8)  # fmt: skip
#: Away from probabilities of zero, which a mode under flat priors has for what it has not seen.
INSIDE = {"concentration": 2.0, "initial_concentration": 1.5, "transition_concentration": 1.5}
SEED = 2003


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Draw visits, choose the number of kinds, cluster, predict; then names.

    Args:
        folder: where the page goes.
        smoke: fewer visits, no draws, no names.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    visits, kind = click_streams(SEED, size.visits + size.aside)
    train, test = visits[: size.visits], visits[size.visits :]
    pages = Vocabulary(PAGES)
    with stage(f"number of kinds, {size.min_clusters} to {size.max_clusters}"):
        counts = range(size.min_clusters, size.max_clusters + 1)
        table = choose_clusters("chain_mixture", train, counts, seed=SEED,
                                starts=size.starts, vocabulary=pages)  # fmt: skip
    clusters = table.attrs["best"]["clusters"]
    with stage(f"posterior of {clusters} kinds, {len(train):,} visits"):
        sampler = {"method": "gibbs", "draws": size.draws, "warmup": size.warmup, "chains": 2}
        tree = fit("chain_mixture", train, seed=SEED, clusters=clusters, vocabulary=pages,
                   starts=size.starts, predictive=0,
                   **(sampler if size.drawn else {"method": "em", **INSIDE}))  # fmt: skip
    with stage("hard assignment, counts of pages, one chain, two clicks back"):
        fits = others(train, pages, clusters, size)
    numbers = {
        "visits": len(train), "aside": len(test), "clusters": clusters, "kinds": len(KINDS),
        "bic": dict(zip(table["clusters"].tolist(), table["bic"].tolist(), strict=True)),
        "rand": partitions(tree, fits, train, test, kind, pages),
        "bits": bits(tree, fits, test, pages),
        "by_position": by_position(tree, fits["one chain"], test, size.positions),
    }  # fmt: skip
    named = None
    if size.names != 0:
        with stage("first names"):
            numbers["names"], named = first_names(size)
    return publish(_outcome(tree, named, table, numbers), folder)


def others(
    train: list[list[str]], pages: Vocabulary, clusters: int, size: Size
) -> dict[str, xr.DataTree]:
    """The models that the mixture is compared with."""
    options = {"seed": SEED, "vocabulary": pages, "predictive": 0}
    fits = {}
    if size.hard:
        fits[HARD] = fit("chain_mixture", train, method="hard", clusters=clusters,
                          starts=size.starts, **INSIDE, **options)  # fmt: skip
    return fits | {
        COUNTS: fit("poisson_mixture", counts(train), method="em", clusters=clusters,
                    starts=size.starts, seed=SEED, predictive=0),
        "one chain": fit("markov_chain", train, method="exact", draws=size.draws, **options),
        "two clicks back": fit("ordered_chain", train, method="exact", order=2, draws=size.draws,
                               **options),
    }  # fmt: skip


def counts(visits: list[list[str]]) -> np.ndarray:
    """Number of times that each page was visited, (visit, page)."""
    return np.array([[visit.count(page) for page in PAGES] for visit in visits])


def true_logits(visits: list[list[str]]) -> np.ndarray:
    """log P(kind) P(visit | kind) under the chains that the visits were drawn from."""
    place = {page: code for code, page in enumerate(PAGES)}
    logits = np.tile(np.log(SHARES), (len(visits), 1))
    for k, name in enumerate(KINDS):
        initial, transition = (np.log(part) for part in chain(name))
        for n, visit in enumerate(visits):
            codes = [place[page] for page in visit]
            logits[n, k] += initial[codes[0]] + transition[codes, [*codes[1:], len(PAGES)]].sum()
    return logits


def partitions(
    tree: xr.DataTree,
    fits: dict[str, xr.DataTree],
    train: list[list[str]],
    test: list[list[str]],
    kind: np.ndarray,
    pages: Vocabulary,
) -> dict[str, dict[str, float]]:
    """Adjusted Rand indices against the true kinds, of fitted and of held-out visits."""
    indices: dict[str, dict[str, float]] = {}
    for where, visits, true in (("fitted", train, kind[: len(train)]),
                                ("held out", test, kind[len(train):])):  # fmt: skip
        best = {
            CHOSEN: predict(tree, visits).values.argmax(1),
            **{n: predict(fits[n], visits).values.argmax(1) for n in (HARD,) if n in fits},
            COUNTS: predict(fits[COUNTS], counts(visits)).values.argmax(1),
            TRUTH: true_logits(visits).argmax(1),
        }
        indices[where] = {n: float(adjusted_rand_score(true, b)) for n, b in best.items()}
    return indices


def bits(
    tree: xr.DataTree, fits: dict[str, xr.DataTree], test: list[list[str]], pages: Vocabulary
) -> dict[str, float]:
    """Bits per click of the held-out visits, <end> counted as one."""
    models = {
        "one chain": fits["one chain"],
        "two clicks back": fits["two clicks back"],
        **{name: fits[name] for name in (HARD,) if name in fits},
        CHOSEN: tree,
    }
    per_click = {n: float(perplexity(t, test).bits_per_token) for n, t in models.items()}
    clicks = sum(len(visit) + 1 for visit in test)
    per_click[TRUTH] = float(-logsumexp(true_logits(test), axis=1).sum() / np.log(2) / clicks)
    return per_click


def by_position(
    tree: xr.DataTree, single: xr.DataTree, test: list[list[str]], positions: int
) -> dict[str, list[float]]:
    """Mean bits of the first, second, ... click, by model."""
    curves = {}
    for name, model in (("one chain", single), (CHOSEN, tree)):
        probability = token_probabilities(model, test)
        curves[name] = [
            float(b) for b in (-np.log2(probability)).mean("sequence").values[:positions]
        ]
    return curves


def first_names(size: Size) -> tuple[dict, xr.DataTree]:
    """The same program on the letters of names: the numbers, and the fit."""
    names, sex = first_names_by_sex()
    order = np.random.default_rng(SEED).permutation(len(names))[: size.names]
    aside = len(order) // 5
    letters = Vocabulary.from_sequences(names)
    train, test = [names[i] for i in order[aside:]], [names[i] for i in order[:aside]]
    options = {"seed": SEED, "vocabulary": letters, "predictive": 0}
    mixture = fit("chain_mixture", train, method="em", clusters=2, starts=size.starts,
                  **INSIDE, **options)  # fmt: skip
    single = fit("markov_chain", train, method="em", initial_concentration=1.5, concentration=1.5,
                 **options)  # fmt: skip
    best, true = predict(mixture, train).values.argmax(1), sex[order[aside:]]
    female = true == "female"
    female_fraction = [float(female[best == k].mean() if (best == k).any() else female.mean())
                       for k in range(2)]  # fmt: skip
    return {
        "train": len(train), "test": len(test),
        "rand": float(adjusted_rand_score(true, best)),
        "female": float((true == "female").mean()), "female_by_cluster": female_fraction,
        "examples": [[train[i] for i in np.flatnonzero(best == k)[:8]] for k in range(2)],
        "bits_mixture": float(perplexity(mixture, test).bits_per_token),
        "bits_chain": float(perplexity(single, test).bits_per_token),
    }, mixture  # fmt: skip


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    rand, cost = numbers["rand"]["held out"], numbers["bits"]
    true = numbers["clusters"] == numbers["kinds"]
    right = "the true number" if true else f"not the true number, {numbers['kinds']}"
    finding = (
        f"BIC chooses {numbers['clusters']} kinds, {right}. On held-out visits the adjusted Rand "
        f"index of the mixture of chains is {rand[CHOSEN]:.2f}; the true chains reach "
        f"{rand[TRUTH]:.2f}, and a mixture that only counts pages {rand[COUNTS]:.2f}. The mixture "
        f"predicts clicks at {cost[CHOSEN]:.3f} bits each, a single chain at "
        f"{cost['one chain']:.3f}."
    )
    return f"{finding}\n\n{names_answer(numbers['names'])}" if "names" in numbers else finding


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer, a row a program."""
    rand, bits, later = numbers["rand"]["held out"], numbers["bits"], numbers["by_position"]
    rows = {
        name: {
            "adjusted Rand index": f"{rand[name]:.2f}" if name in rand else "–",
            "bits per click": f"{bits[name]:.3f}" if name in bits else "–",
            "first click": f"{later[name][0]:.2f}" if name in later else "–",
            "sixth click": f"{later[name][5]:.2f}" if name in later else "–",
        }
        for name in dict.fromkeys([*rand, *bits])
    }
    caption = (
        f"{numbers['aside']:,} held-out visits. By the sixth click the mixture has learned the "
        "kind of most visits; short visits stay ambiguous even under the true chains."
    )
    return {caption: pd.DataFrame(rows).T.rename_axis("program")}


def names_answer(named: dict) -> str:
    """The finding about first names in words."""
    low, high = sorted(named["female_by_cluster"])
    agree = "hardly agree" if named["rand"] < 0.2 else "largely agree"
    return (
        f"Two clusters of first names, found from the letters alone, {agree} with the sexes "
        f"(adjusted Rand index {named['rand']:.2f}): {low:.0%} of one cluster and {high:.0%} of "
        f"the other are women's names, of all names {named['female']:.0%}. On {named['test']:,} "
        f"held-out names, two chains take {named['bits_mixture']:.3f} bits per letter and one "
        f"chain {named['bits_chain']:.3f}."
    )


def _outcome(
    tree: xr.DataTree, named: xr.DataTree | None, table: pd.DataFrame, numbers: dict
) -> Outcome:
    rand = pd.DataFrame(numbers["rand"]).rename_axis("adjusted Rand index")
    cost = pd.DataFrame({"bits per click": numbers["bits"]}).rename_axis("model")
    columns = ["clusters", "log_likelihood", "parameters", "bic", "icl"]
    choice = criteria_table(table[columns]).set_index("clusters").sort_index()
    evidence = [
        Block("The visits", "Simulated from known chains.",
              figures=(plot_sequence_index(tree),),
              captions=("Each line is a visit, in the panel of its most probable kind.",)),
        Block("The number of kinds", table=choice),
        Block("Agreement with the true kinds", table=rand),
        Block("Prediction of clicks", table=cost,
              figures=(position_picture(numbers["by_position"]),),
              captions=("Mean bits per click by position, over held-out visits that have it.",)),
        Block("Transitions between pages", figures=(plot_transitions(tree),),
              captions=("Posterior mean of the transition probabilities, by kind.",)),
    ]  # fmt: skip
    if named is not None:
        evidence.append(
            Block("Two kinds of first names", names_text(numbers["names"]),
                  figures=(plot_transitions(named),),
                  captions=("Transitions between letters, by cluster of names.",))
        )  # fmt: skip
    caption = ("The chain of each kind. Wider arrows are more frequent transitions (a ring is a "
               "transition to the same page), larger discs more frequent pages; visits begin on "
               "pages with a black rim.")  # fmt: skip
    return Outcome("clickstreams", __doc__ or "", answer(numbers), numbers,
                   plot_transition_graph(tree), caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def names_text(named: dict) -> str:
    """Examples of each kind."""
    return "\n\n".join(
        f"Kind {k}, {named['female_by_cluster'][k]:.0%} women's names: {', '.join(examples)}."
        for k, examples in enumerate(named["examples"])
    )


def position_picture(curves: dict[str, list[float]]) -> Figure:
    """Bits by position in the visit, a line a model."""
    with house_style():
        figure = Figure(figsize=(7.2, 3.4))
        axes = figure.subplots()
        for color, (name, values) in zip(("#8A8A8A", PALETTE[0]), curves.items(), strict=True):
            axes.plot(np.arange(1, len(values) + 1), values, "o-", color=color, label=name)
        axes.set(xlabel="click", ylabel="bits", ylim=(0, None))
        axes.set_title("Bits of the next click, by its position in the visit")
        axes.legend()
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
