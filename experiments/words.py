"""Words: which smoothing of n-grams predicts the next word of a text best?

Question
    How well can the next word of a text be predicted from the previous ones? Longer contexts help,
    but most contexts of four words occur once or never. Which way of smoothing long contexts by
    shorter ones predicts held-out sentences best?

Model
    Sentences are chains of order 1 to 5 over words that occur at least twice; all others are
    `<unk>`, and a sentence ends with `<end>`. The distribution after a context is a Pitman-Yor
    process whose base measure is the distribution after the context without its first word, down to
    the empty context and the uniform distribution (Teh 2006). Discounts and concentrations, one of
    each per length of context, have flat and exponential priors; `method="pitman_yor_gibbs"` draws
    them together with the Chinese restaurant franchise of all words.

    Two limits are compared with it. With discounts fixed at zero the model is the hierarchical
    Dirichlet process (MacKay and Peto 1995), in which the probability of a new word decreases in
    inverse proportion to the count of the context. With one table per distinct word and no
    concentration it is interpolated Kneser-Ney smoothing; with three discounts, modified Kneser-Ney
    (Chen and Goodman 1999), for decades the strongest baseline.

What would count as an answer
    Perplexity of a random fraction of held-out sentences: two to the power of bits per word,
    `<end>` counted as a word. Lower is better; a uniform distribution has the vocabulary's size.
    Probabilities of sentences are averaged over draws. All methods see the same words and the same
    vocabulary. Generated sentences are shown as well.

References
    - Chen, S. F. and Goodman, J. (1999). An empirical study of smoothing techniques for language
      modeling. Computer Speech and Language 13, 359-394.
    - Heafield, K., Pouzyrevsky, I., Clark, J. H. and Koehn, P. (2013). Scalable modified
      Kneser-Ney language model estimation. ACL, 690-696.
    - MacKay, D. J. C. and Peto, L. C. (1995). A hierarchical Dirichlet language model. Natural
      Language Engineering 1, 289-308.
    - Teh, Y. W. (2006). A hierarchical Bayesian language model based on Pitman-Yor processes.
      ACL, 985-992.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from experiments._page import Outcome, command, publish, stage
from ppl_models import fit, generate, log_density
from ppl_models.data import decode, words
from ppl_models.plots import PALETTE, house_style
from ppl_models.report import Block

SEED = 2006
UNKNOWN = "<unk>"
LONGEST = 40  #: words per sentence; longer ones are split
KNESER_NEY, MODIFIED = "interpolated Kneser-Ney", "modified Kneser-Ney"
PITMAN_YOR, DIRICHLET = "hierarchical Pitman-Yor", "hierarchical Dirichlet"
#: arguments of fit
METHODS: dict[str, dict[str, Any]] = {
    PITMAN_YOR: {"method": "pitman_yor_gibbs"},
    DIRICHLET: {"method": "pitman_yor_gibbs", "fixed": {"discount": 0.0}},
    MODIFIED: {"method": "kneser_ney", "discounts": 3},
    KNESER_NEY: {"method": "kneser_ney"},
}


@dataclass(frozen=True)
class Size:
    """How much is done; the methods in `written` generate sentences."""

    sentences: int | None = None
    orders: tuple[int, ...] = (1, 2, 3, 4, 5)
    held_out: float = 0.1
    vocabulary: int = 10_000
    warmup: int = 40
    draws: int = 6
    thinning: int = 5
    shown: int = 6
    written: tuple[str, ...] = tuple(METHODS)


FULL = Size()
#: Half is held out: arrays of one size share compiled functions.
SMOKE = Size(sentences=1000, orders=(1, 3), held_out=0.5, vocabulary=500, warmup=6, draws=2,
             thinning=1,
             shown=3, written=(PITMAN_YOR,))  # fmt: skip


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit every method at every order, score held-out sentences, generate sentences.

    Args:
        folder: where the page goes.
        smoke: a few hundred sentences and two orders only.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    train, test = split(manual(), size)
    table, trees = ladder(train, test, size.orders, size)
    longest = max(size.orders)
    made = {name: invented(trees[name, longest], size.shown) for name in size.written}
    numbers = {
        "train": len(train), "test": len(test), "orders": list(size.orders),
        "train_words": sum(len(s) + 1 for s in train), "test_words": sum(len(s) + 1 for s in test),
        "vocabulary": len({w for s in train for w in s}),
        "unknown": float(np.mean([w == UNKNOWN for s in test for w in s])),
        "perplexity": {name: table[name].to_dict() for name in METHODS},
        "discount": trees[PITMAN_YOR, longest]["posterior/discount"].mean(("chain", "draw")).values,
    }  # fmt: skip
    return publish(_outcome(table, numbers, made), folder)


def manual() -> list[list[str]]:
    """Sentences of the reference pages that Python's standard library ships, as words.

    Source: ``pydoc_data.topics``, the text of Python's language reference (PSF licence).
    """
    from pydoc_data.topics import topics

    pieces = re.split(r"(?<=[.!?:;])\s+|\n\s*\n", "\n\n".join(topics[t] for t in sorted(topics)))
    spoken = [words(piece.lower()) for piece in pieces]
    cut = [s[i : i + LONGEST] for s in spoken for i in range(0, len(s), LONGEST)]
    return list(dict.fromkeys(map(tuple, cut)))  # type: ignore[arg-type]


def split(sentences: list, size: Size) -> tuple[list[list[str]], list[list[str]]]:
    """Training and held-out sentences, at random with the experiment's seed."""
    order = np.random.default_rng(SEED).permutation(len(sentences))[: size.sentences]
    aside = round(size.held_out * len(order))
    train = [list(sentences[i]) for i in order[aside:]]
    test = [list(sentences[i]) for i in order[:aside]]
    return ready(train, test, size.vocabulary)


def ready(
    train: list, test: list, vocabulary: int, min_count: int = 2
) -> tuple[list[list[str]], list[list[str]]]:
    """The sentences with rare words replaced by ``<unk>``.

    Args:
        train: sentences that define the vocabulary.
        test: other sentences.
        vocabulary: the largest number of known words.
        min_count: smallest count of a known word.
    """
    counts = Counter(word for sentence in train for word in sentence)
    known = {w for w, n in counts.most_common(vocabulary - 1) if n >= min_count}
    both = [[[w if w in known else UNKNOWN for w in s] for s in part] for part in (train, test)]
    return both[0], both[1]


def ladder(
    train: list,
    test: list,
    orders: tuple[int, ...],
    size: Size,
    methods: tuple[str, ...] = tuple(METHODS),
) -> tuple[pd.DataFrame, dict[tuple[str, int], xr.DataTree]]:
    """Perplexity of held-out sequences, by order and method, and the fits.

    Args:
        train: training sequences.
        test: held-out sequences, of the same tokens.
        orders: of the chains.
        size: of the sampler's runs.
        methods: to fit.
    """
    steps = sum(len(s) + 1 for s in test)
    rows: dict[int, dict[str, float]] = {}
    trees = {}
    for order in orders:
        for name in methods:
            options = METHODS[name]
            sampler = {
                "chains": 1,
                "warmup": size.warmup,
                "draws": size.draws,
                "thinning": size.thinning,
            }
            chosen = {**options, **(sampler if options["method"] == "pitman_yor_gibbs" else {})}
            with stage(f"{name}, order {order}"):
                tree = fit(
                    "pitman_yor_chain", train, seed=SEED, predictive=0, order=order, **chosen
                )
                total = float(log_density(tree, test).sum())
            rows.setdefault(order, {})[name] = float(np.exp(-total / steps))
            trees[name, order] = tree
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("order"), trees


def letters(
    train: list[str], test: list[str], orders: tuple[int, ...] = (1, 2, 3, 4, 5)
) -> pd.DataFrame:
    """Bits per letter on held-out names, by order and method: the same models for letters.

    Args:
        train: training names (default of the experiment `names`: its own split).
        test: held-out names, whose letters all occur in the training names.
        orders: of the chains.
    """
    table, _ = ladder(train, test, orders, FULL)
    steps, count = sum(len(n) + 1 for n in test), sum(len(n) for n in test)
    return np.log2(table) * steps / count


def invented(tree: xr.DataTree, count: int) -> list[list[str]]:
    """Sentences generated by a chain."""
    drawn = generate(tree, count, seed=SEED + 1, length=4 * LONGEST)
    made = decode(drawn["tokens"].values, drawn.attrs["token"])
    return [list(sentence) for sentence in made]


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    orders = numbers["orders"]
    first, last = str(orders[0]), str(orders[-1])
    table = {n: {str(k): v for k, v in by.items()} for n, by in numbers["perplexity"].items()}
    ours, peer = table[PITMAN_YOR], table[MODIFIED]
    gap = 1 - ours[last] / peer[last]
    relation = "lower" if gap > 0 else "higher"
    better = sum(ours[str(k)] <= peer[str(k)] for k in orders)
    return (
        f"A context of {orders[-1] - 1} words instead of {orders[0] - 1} changes the perplexity of "
        f"held-out sentences from {ours[first]:.1f} to {ours[last]:.1f}. At order {last} the "
        f"perplexity of the hierarchical Pitman-Yor process is {abs(gap):.1%} {relation} than that "
        f"of modified Kneser-Ney smoothing; it is no higher at {better} of {len(orders)} orders. "
        f"With the discount fixed at zero, perplexity changes by "
        f"{table[DIRICHLET][last] / ours[last] - 1:+.1%}."
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """Perplexities by program and order, and the discounts."""
    orders = [str(k) for k in numbers["orders"]]
    rows = {
        name: {f"order {k}": f"{({str(o): v for o, v in by.items()})[k]:.2f}" for k in orders}
        for name, by in numbers["perplexity"].items()
    }
    discounts = {f"{k} words": f"{d:.2f}" for k, d in enumerate(numbers["discount"])}
    return {
        f"Perplexity of {numbers['test']:,} held-out sentences ({numbers['test_words']:,} words "
        f"with ends, {numbers['unknown']:.1%} of them unknown), from {numbers['train']:,} training "
        f"sentences ({numbers['train_words']:,} words). Uniform: {numbers['vocabulary'] + 1:,}.":
            pd.DataFrame(rows).T.rename_axis("program"),
        "Posterior mean of the discount, by length of context.": pd.DataFrame(
            {"discount": discounts}
        ).rename_axis("context"),
    }  # fmt: skip


def _outcome(table: pd.DataFrame, numbers: dict, made: dict[str, list[list[str]]]) -> Outcome:
    longest = max(numbers["orders"])
    evidence = [
        Block(
            f"Generated sentences, order {longest}",
            "\n\n".join(
                f"{name}: " + " / ".join(sentence_text(s) for s in sentences)
                for name, sentences in made.items()
            ),
        ),
        Block(
            "Ratio to modified Kneser-Ney",
            "The same numbers as ratios to modified Kneser-Ney of the same order; below one is "
            "better.",
            figures=(ratio_picture(table),),
            captions=("Perplexity divided by that of modified Kneser-Ney.",),
        ),
    ]
    caption = "Perplexity of held-out sentences by the order of the chain."
    return Outcome("words", __doc__ or "", answer(numbers), numbers, ladder_picture(table),
                   caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def sentence_text(sentence: list[str]) -> str:
    """Words joined to a line, without a space before punctuation.

    >>> sentence_text(["a", "comma", ",", "here", "."])
    'a comma, here.'
    """
    return re.sub(r" ([.,;:!?)\]])", r"\1", " ".join(sentence)) or "(nothing)"


STYLES = {PITMAN_YOR: ("o-", 0), DIRICHLET: ("s--", 1), MODIFIED: ("^-", 2), KNESER_NEY: ("v:", 3)}


def ladder_picture(table: pd.DataFrame) -> Figure:
    """Perplexity by order, a line for each method."""
    return _lines(table, "perplexity (log scale)", log=True)


def ratio_picture(table: pd.DataFrame) -> Figure:
    """Perplexity divided by that of modified Kneser-Ney."""
    return _lines(table.div(table[MODIFIED], axis=0), "times modified Kneser-Ney's", log=False)


def _lines(table: pd.DataFrame, label: str, *, log: bool) -> Figure:
    with house_style():
        figure = Figure(figsize=(7.6, 4.0))
        axes = figure.subplots()
        for name in table:
            style, colour = STYLES[str(name)]
            axes.plot(table.index, table[name], style, color=PALETTE[colour], label=name)
        if log:
            from matplotlib.ticker import ScalarFormatter

            axes.set_yscale("log", base=2)
            axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.set(xlabel="order: length of context, plus one", ylabel=label)
        axes.set_xticks(list(table.index))
        axes.legend()
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
