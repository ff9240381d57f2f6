"""Click-streams: which kinds of visitors are there, if only the order of their clicks tells?

Question
    Visits to a shop on the web are sequences of pages. Do they fall into kinds, how many, and is
    the kind of a visit known from its clicks? Does it help to predict the next click?

Model
    A mixture of Markov chains (`chain_mixture`): every kind of visitor has a chain of its own,
    which says where visits begin, which page follows which, and when they end. The kind of a
    visit is hidden. The number of kinds is chosen by BIC; the posterior given that number is
    drawn by Gibbs sampling.

    The visits are drawn, not recorded: 2,000 of four kinds with known chains, each click going
    astray with probability 0.1. Two of the four kinds, those who compare and those who read, see
    the same pages equally often and make equally long visits. They differ in the order alone: who
    compares goes to and fro between products and reviews, who reads stays with either. What was
    drawn is known, and so is what the answer should be.

    Then the same program on something real: 4,832 first names of the US census of 1990 that only
    women or only men had. Is the sex of a name among the kinds that a mixture of chains over its
    letters finds, without having been told that there are sexes?

What would count as an answer
    The adjusted Rand index between the most probable kinds and the true ones (1: the same
    partition, 0: as alike as by chance). The best that anybody could do is given beside it: the
    same with the true chains, for short visits remain doubtful whatever one knows. Beside them:
    hard assignment (every visit wholly in its best chain, the way of k-means), and a mixture that
    sees only how often a page was visited (`poisson_mixture` on counts).

    And bits per click, the end of a visit counted as one, of visits that were kept aside: the
    mixture against one chain, one chain that looks two clicks back, and the true chains. The
    mixture learns during a visit whose it is, so that its advantage should grow from click to
    click; the bits are given by position.

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

from experiments._page import Outcome, command, publish, stage
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
        aside: visits kept aside.
        least: smallest number of kinds.
        most: largest number of kinds.
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
    least: int = 1
    most: int = 7
    drawn: bool = True
    draws: int = 300
    warmup: int = 200
    starts: int = 8
    hard: bool = True
    names: int | None = None
    positions: int = 12


FULL = Size()
DEMO = Size(visits=1000, aside=300, least=2, most=5, draws=200, starts=5, names=3000)
SMOKE = Size(visits=1000, aside=200, least=3, most=5, drawn=False, draws=25, starts=3,
             hard=False, names=0, positions=8)  # fmt: skip
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
    with stage(f"number of kinds, {size.least} to {size.most}"):
        table = choose_clusters("chain_mixture", train, range(size.least, size.most + 1), seed=SEED,
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
    found = {}
    if size.hard:
        found[HARD] = fit("chain_mixture", train, method="hard", clusters=clusters,
                          starts=size.starts, **INSIDE, **options)  # fmt: skip
    return found | {
        COUNTS: fit("poisson_mixture", counts(train), method="em", clusters=clusters,
                    starts=size.starts, seed=SEED, predictive=0),
        "one chain": fit("markov_chain", train, method="exact", draws=size.draws, **options),
        "two clicks back": fit("ordered_chain", train, method="exact", order=2, draws=size.draws,
                               **options),
    }  # fmt: skip


def counts(visits: list[list[str]]) -> np.ndarray:
    """How often each page is seen in each visit, (visit, page)."""
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
    """Adjusted Rand indices against the true kinds, of fitted visits and of those kept aside."""
    found: dict[str, dict[str, float]] = {}
    for where, visits, true in (("fitted", train, kind[: len(train)]),
                                ("kept aside", test, kind[len(train):])):  # fmt: skip
        best = {
            CHOSEN: predict(tree, visits).values.argmax(1),
            **{n: predict(fits[n], visits).values.argmax(1) for n in (HARD,) if n in fits},
            COUNTS: predict(fits[COUNTS], counts(visits)).values.argmax(1),
            TRUTH: true_logits(visits).argmax(1),
        }
        found[where] = {n: float(adjusted_rand_score(true, b)) for n, b in best.items()}
    return found


def bits(
    tree: xr.DataTree, fits: dict[str, xr.DataTree], test: list[list[str]], pages: Vocabulary
) -> dict[str, float]:
    """Bits per click of the visits kept aside, <end> counted as one."""
    models = {
        "one chain": fits["one chain"],
        "two clicks back": fits["two clicks back"],
        **{name: fits[name] for name in (HARD,) if name in fits},
        CHOSEN: tree,
    }
    found = {n: float(perplexity(t, test).bits_per_token) for n, t in models.items()}
    clicks = sum(len(visit) + 1 for visit in test)
    found[TRUTH] = float(-logsumexp(true_logits(test), axis=1).sum() / np.log(2) / clicks)
    return found


def by_position(
    tree: xr.DataTree, single: xr.DataTree, test: list[list[str]], positions: int
) -> dict[str, list[float]]:
    """Mean bits of the first, second, ... click, by model."""
    found = {}
    for name, model in (("one chain", single), (CHOSEN, tree)):
        probability = token_probabilities(model, test)
        found[name] = [
            float(b) for b in (-np.log2(probability)).mean("sequence").values[:positions]
        ]
    return found


def first_names(size: Size) -> tuple[dict, xr.DataTree]:
    """The same program on letters of names: numbers, and the fit."""
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
    share = [float(female[best == k].mean() if (best == k).any() else female.mean())
             for k in range(2)]  # fmt: skip
    return {
        "train": len(train), "test": len(test),
        "rand": float(adjusted_rand_score(true, best)),
        "female": float((true == "female").mean()), "female_by_cluster": share,
        "examples": [[train[i] for i in np.flatnonzero(best == k)[:8]] for k in range(2)],
        "bits_mixture": float(perplexity(mixture, test).bits_per_token),
        "bits_chain": float(perplexity(single, test).bits_per_token),
    }, mixture  # fmt: skip


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    rand, cost = numbers["rand"]["kept aside"], numbers["bits"]
    true = numbers["clusters"] == numbers["kinds"]
    right = "the number that they were drawn from" if true else f"not the {numbers['kinds']} drawn"
    said = (
        f"BIC chooses {numbers['clusters']} kinds, {right}. The mixture of chains finds the kinds "
        f"of visits that were kept aside with an adjusted Rand index of {rand[CHOSEN]:.2f}, where "
        f"the true chains would reach {rand[TRUTH]:.2f} and a mixture that only counts pages "
        f"{rand[COUNTS]:.2f}: the order of the clicks is what tells those who compare from those "
        f"who read. A click costs {cost[CHOSEN]:.3f} bits, {cost['one chain']:.3f} with one chain "
        "for everybody."
    )
    return f"{said}\n\n{names_answer(numbers['names'])}" if "names" in numbers else said


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """What the answer rests on, a row a program."""
    rand, bits, later = numbers["rand"]["kept aside"], numbers["bits"], numbers["by_position"]
    rows = {
        name: {
            "adjusted Rand index": f"{rand[name]:.2f}" if name in rand else "–",
            "bits a click": f"{bits[name]:.3f}" if name in bits else "–",
            "first click": f"{later[name][0]:.2f}" if name in later else "–",
            "sixth click": f"{later[name][5]:.2f}" if name in later else "–",
        }
        for name in dict.fromkeys([*rand, *bits])
    }
    said = (
        f"{numbers['aside']:,} visits that were kept aside. By the sixth click a mixture has seen "
        "whose visit it is; short visits stay doubtful even to the true chains."
    )
    return {said: pd.DataFrame(rows).T.rename_axis("program")}


def names_answer(named: dict) -> str:
    """The numbers of the names in words."""
    low, high = sorted(named["female_by_cluster"])
    sexes = "The two kinds that it finds are hardly the sexes" if named["rand"] < 0.2 else (
        "The two kinds that it finds are much like the sexes")  # fmt: skip
    return (
        f"Of first names it is told nothing but the letters. {sexes}: women's names are "
        f"{low:.0%} of one kind and {high:.0%} of the other, {named['female']:.0%} of all; the "
        f"adjusted Rand index is {named['rand']:.2f}. Letters cost {named['bits_mixture']:.3f} "
        f"bits with two chains and {named['bits_chain']:.3f} with one ({named['test']:,} names "
        "kept aside)."
    )


def _outcome(
    tree: xr.DataTree, named: xr.DataTree | None, table: pd.DataFrame, numbers: dict
) -> Outcome:
    rand = pd.DataFrame(numbers["rand"]).rename_axis("adjusted Rand index")
    cost = pd.DataFrame({"bits per click": numbers["bits"]}).rename_axis("model")
    columns = ["clusters", "log_likelihood", "parameters", "bic", "icl"]
    evidence = [
        Block("The visits", "Drawn from known chains, not recorded.",
              figures=(plot_sequence_index(tree),),
              captions=("Each line is a visit, in the panel of its most probable kind.",)),
        Block("How many kinds", table=table[columns].set_index("clusters").sort_index()),
        Block("How well the kinds are found", table=rand),
        Block("How well clicks are predicted", table=cost,
              figures=(position_picture(numbers["by_position"]),),
              captions=("Mean bits of each click of the visits kept aside that have one.",)),
        Block("Which page follows which", figures=(plot_transitions(tree),),
              captions=("Posterior mean of the transitions by kind.",)),
    ]  # fmt: skip
    if named is not None:
        evidence.append(
            Block("Two kinds of first names", names_text(numbers["names"]),
                  figures=(plot_transitions(named),),
                  captions=("Which letter follows which, by kind of name.",))
        )  # fmt: skip
    caption = ("The chains of the kinds: wide arrows are frequent steps (a ring: from a page to "
               "itself), large discs pages that are often seen, black rims pages on which visits "
               "begin.")  # fmt: skip
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
        axes.set_title("What the next click costs, by its place in the visit")
        axes.legend()
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
