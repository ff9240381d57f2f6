"""Topics: what is Python's manual about, and do topics predict held-out words?

Question
    Python's own manual, which comes with every installation, is split into paragraphs. Which topics
    describe them, and do these topics predict held-out words?

Model
    `latent_dirichlet_allocation` with 20 topics by EM; equal words of a paragraph are one row,
    weighted by their number. Of every held-out paragraph, each second word is observed: its topic
    proportions are fitted with the topics held fixed, and the remaining words are predicted.
    scikit-learn's variational fit of the same counts is scored in the same way, and is given the
    best of three pairs of priors, since our concentrations are the better of two that were tried on
    these words.

What would count as an answer
    A perplexity of the held-out words no higher than scikit-learn's and far below that of the
    unigram model; topics whose most probable words belong together.

References
    - Blei, D. M., Ng, A. Y. and Jordan, M. I. (2003). Latent Dirichlet allocation. Journal of
      Machine Learning Research 3, 993-1022.
    - Asuncion, A., Welling, M., Smyth, P. and Teh, Y. W. (2009). On smoothing and inference for
      topic models. UAI.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data import topics as manual
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from experiments._page import Outcome, command, publish, stage
from ppl_models import fit
from ppl_models.plots import house_style
from ppl_models.report import Block

OURS, THEIRS, SINGLE = "EM", "scikit-learn", "unigrams"
SEED = 0
SHOWN = 6  #: words shown per topic
#: of scikit-learn, of the proportions and of the words: its defaults (1 / topics), and smaller ones
PRIORS = ((None, None), (0.1, 0.1), (0.1, 0.01))


@dataclass(frozen=True)
class Size:
    """How much is done."""

    topics: int = 20
    paragraphs: int | None = None
    passes: int = 50


FULL = Size()
SMOKE = Size(topics=4, paragraphs=80, passes=10)


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Fit, predict held-out words, write the page."""
    size = SMOKE if smoke else FULL
    texts, words = paragraphs(size)
    aside = set(np.random.default_rng(SEED).permutation(len(texts))[: len(texts) // 5].tolist())
    train = [t for i, t in enumerate(texts) if i not in aside]
    shown, hidden = zip(*((texts[i][::2], texts[i][1::2]) for i in sorted(aside)), strict=True)
    with stage("topics by EM"):
        started = time.perf_counter()
        topics = by_em(train, words, size)
        proportions = by_em(shown, words, size, topics)
        seconds = {OURS: time.perf_counter() - started}
    with stage("topics by scikit-learn"):
        started = time.perf_counter()
        by_prior = [by_scikit_learn(train, shown, len(words), size, *prior) for prior in PRIORS]
        seconds[THEIRS] = (time.perf_counter() - started) / len(PRIORS)
    single = 1 + np.bincount(np.concatenate(train), minlength=len(words))
    none = np.ones((len(shown), 1))
    scores = {
        OURS: perplexity(proportions, topics, hidden),
        THEIRS: min(perplexity(proportions, theirs, hidden) for theirs, proportions in by_prior),
        SINGLE: perplexity(none, (single / single.sum())[None], hidden),
    }
    best = np.argsort(-topics, axis=1)[:, :SHOWN]
    numbers = {
        "perplexity": scores,
        "seconds": seconds,
        "paragraphs": len(texts),
        "words": len(words),
        "topics": [", ".join(words[w] for w in row) for row in best],
        "probable": [[topics[k, w] for w in row] for k, row in enumerate(best)],
    }  # fmt: skip
    listed = Block(
        "The topics",
        "The most probable words of every topic: " + "; ".join(numbers["topics"]) + ".",
        figures=(first_topics(numbers),),
        captions=("Probabilities of the first words of four topics.",),
    )
    outcome = Outcome(
        name="topics",
        essay=__doc__ or "",
        answer=answer(numbers),
        numbers=numbers,
        key=bars(numbers),
        caption="Perplexity of the held-out words; lower is better.",
        evidence=[listed],
        tables=answer_tables(numbers),
    )
    return publish(outcome, Path(folder))


def paragraphs(size: Size) -> tuple[list[list[int]], list[str]]:
    """Codes of the words of every paragraph, and the words."""
    cut = dict.fromkeys(p for text in manual.topics.values() for p in text.split("\n\n"))
    texts = [
        [w for w in re.findall(r"[a-z]{3,}", p.lower()) if w not in ENGLISH_STOP_WORDS] for p in cut
    ]
    texts = [p for p in texts if len(p) >= 20][: size.paragraphs]
    often = Counter(w for p in texts for w in set(p))
    words = sorted(w for w, n in often.items() if n >= 5)
    code = {w: i for i, w in enumerate(words)}
    coded = [[code[w] for w in p if w in code] for p in texts]
    return [p for p in coded if len(p) >= 10], words


def by_em(
    texts: Sequence[list[int]], words: list[str], size: Size, known: np.ndarray | None = None
) -> np.ndarray:
    """Topics ``(topic, word)``; or, of known topics, proportions ``(paragraph, topic)``."""
    where = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    pairs = np.stack([where, np.concatenate(texts)], 1)
    rows, count = np.unique(pairs, axis=0, return_counts=True)
    declared = pd.CategoricalDtype(list(range(len(words))))
    tree = fit(
        "latent_dirichlet_allocation",
        {"document": rows[:, 0], "word": pd.Series(rows[:, 1]).astype(declared)},
        method="em", seed=SEED, topics=size.topics, words=len(words), weights=count, starts=1,
        tolerance=1e-5, predictive=0,
        fixed={} if known is None else {"word_probs": known},
    )  # fmt: skip
    name = "word_probs" if known is None else "proportions"
    estimate: np.ndarray = tree["posterior"][name].values[0, 0]
    return estimate


def by_scikit_learn(
    texts: Sequence[list[int]],
    shown: Sequence[list[int]],
    words: int,
    size: Size,
    share_prior: float | None,
    word_prior: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Topics ``(topic, word)`` and proportions of what is shown ``(paragraph, topic)``."""

    def counts(of: Sequence[list[int]]) -> np.ndarray:
        return np.stack([np.bincount(t, minlength=words) for t in of])

    fitted = LatentDirichletAllocation(
        size.topics,
        doc_topic_prior=share_prior,
        topic_word_prior=word_prior,
        max_iter=size.passes,
        learning_method="batch",
        random_state=SEED,
    ).fit(counts(texts))
    topics = fitted.components_ / fitted.components_.sum(1, keepdims=True)
    return topics, fitted.transform(counts(shown))


def perplexity(proportions: np.ndarray, topics: np.ndarray, hidden: Sequence[list[int]]) -> float:
    """Perplexity of hidden words."""
    logs = [np.log(row @ topics)[text] for row, text in zip(proportions, hidden, strict=True)]
    return float(np.exp(-np.concatenate(logs).mean()))


# ---- page ----------------------------------------------------------------------------------------


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    ours, theirs, single = (numbers["perplexity"][n] for n in (OURS, THEIRS, SINGLE))
    than = "no higher than" if ours <= theirs else "higher than"
    return (
        f"The perplexity of held-out words is {ours:.1f} by EM, {than} the {theirs:.1f} of "
        f"scikit-learn (the best of {len(PRIORS)} priors); the unigram model has {single:.1f}. On "
        f"{numbers['paragraphs']} paragraphs EM took {numbers['seconds'][OURS]:.1f} s, compilation "
        f"included, and scikit-learn {numbers['seconds'][THEIRS]:.1f} s."
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    table = pd.DataFrame({"perplexity": numbers["perplexity"]}).map("{:.1f}".format)
    return {"Perplexity of the held-out words.": table}


@house_style()
def bars(numbers: Mapping[str, Any]) -> Figure:
    """Perplexities."""
    figure, axes = plt.subplots(figsize=(6.0, 2.4), layout="constrained")
    names = list(numbers["perplexity"])
    axes.barh(names, [numbers["perplexity"][n] for n in names], color=["C0", "C1", "0.7"])
    axes.invert_yaxis()
    axes.set_xlabel("perplexity of held-out words")
    return figure


@house_style()
def first_topics(numbers: Mapping[str, Any]) -> Figure:
    """The first words of four topics."""
    figure, panels = plt.subplots(1, 4, figsize=(9.0, 2.4), layout="constrained")
    for axes, words, proportions in zip(
        panels, numbers["topics"], numbers["probable"], strict=False
    ):
        axes.barh(words.split(", "), proportions)
        axes.invert_yaxis()
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
