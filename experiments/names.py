"""Names: how well does a first-order Markov chain of letters describe first names?

Question
    How well can the next letter of a first name be predicted from the previous letter alone? And
    what do generated names look like?

Model
    A first-order Markov chain over letters: `initial ~ Dirichlet(1)` is the distribution of the
    first letter, `transition[v] ~ Dirichlet(1)` that of what follows letter `v`, a letter or
    `<end>`. Nothing is hidden, so that the posterior is in closed form: every row is a Dirichlet
    whose parameters are the counts plus one. `method="exact"` draws from it directly.

    The names are the 5,163 distinct first names of the US census of 1990. A random fraction is held
    out; all statements about prediction refer to held-out names.

What would count as an answer
    Bits per letter on held-out names: minus the base-two logarithm of the posterior predictive
    probability of the name, `<end>` included, divided by its number of letters. Also nats per
    transition, the unit usual for language models (a name of L letters has L + 1 transitions, with
    the first letter and `<end>`). Baselines: all letters equally likely, and independent letters.

    The draws must agree with the closed form: the posterior mean of a transition is
    (count + 1) / (total + V + 1), of a first letter (count + 1) / (names + V). The largest
    deviation is given in Monte Carlo standard errors, which are known exactly here.

    Further models have a longer memory: Dirichlet rows of order 2, sparse n-grams of orders 1 to 5
    (Pitman-Yor, hierarchical Dirichlet, Kneser-Ney), a hidden Markov model of letters, and a
    recurrent network. All are scored in bits per letter on the same names.

    The chain has no parameter for length. The lengths of generated names therefore test the
    assumption that the next letter depends on the previous one alone.

References
    - Shannon, C. E. (1951). Prediction and entropy of printed English. Bell System Technical
      Journal 30, 50-64.
    - MacKay, D. J. C. and Peto, L. C. (1995). A hierarchical Dirichlet language model. Natural
      Language Engineering 1, 289-308.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from experiments import _names_ladder as ladder
from experiments._page import Outcome, command, percent, publish, stage
from ppl_models import fit, generate, log_density
from ppl_models.data import decode, first_names
from ppl_models.plots import PALETTE, house_style, plot_predictive, plot_transitions
from ppl_models.report import Block


@dataclass(frozen=True)
class Size:
    """How much is done."""

    names: int | None = None
    held_out: float = 0.2
    draws: int = 500
    generated: int = 4000
    predictive: int = 40
    shown: int = 60
    rungs: ladder.Rungs | None = ladder.FULL


FULL = Size()
DEMO = Size(draws=250, generated=2000, predictive=8, shown=40, rungs=None)
SMOKE = Size(names=400, draws=100, generated=200, predictive=5, shown=12,
             rungs=ladder.SMOKE)  # fmt: skip
SEED = 1990


def run(folder: Path, *, smoke: bool = False, size: Size | None = None) -> Path:
    """Fit, evaluate on held-out names, generate.

    Args:
        folder: where the page goes.
        smoke: a few hundred names only.
        size: another size altogether.

    Returns:
        The page's path.
    """
    size = size or (SMOKE if smoke else FULL)
    train, test = split(first_names(), size)
    with stage(f"exact posterior of {len(train):,} names"):
        tree = fit("markov_chain", train, method="exact", seed=SEED, draws=size.draws,
                   initial_concentration=1.0, concentration=1.0,
                   predictive=size.predictive)  # fmt: skip
    with stage(f"log density of {len(test):,} held-out names"):
        chain = log_density(tree, test).values
    with stage(f"{size.generated:,} new names"):
        drawn = generate(tree, size.generated, seed=SEED + 1)
    made = decode(drawn["tokens"].values, [str(t) for t in tree["posterior"]["token"].values])
    invented = ["".join(letters) for letters in made]
    scores = score_table(train, test, chain, tree["posterior"].sizes["token"])
    numbers = {
        "train": len(train), "test": len(test), "alphabet": tree["posterior"].sizes["token"],
        "bits_per_letter": scores["bits per letter"].to_dict(),
        "nats_per_transition": scores["nats per transition"].to_dict(),
        **closed_form(tree, train, test), **novelty(invented, train, test),
        "length": lengths(test, invented),
        "examples": [n for n in dict.fromkeys(invented) if n not in {*train, *test}][: size.shown],
    }  # fmt: skip
    climbed = None if size.rungs is None else ladder.run_em(train, test, size.rungs, SEED)
    if climbed is not None:
        numbers["ladder"] = climbed.table.to_dict()
    return publish(_outcome(tree, train, numbers, scores, invented, climbed), folder)


def split(names: list[str], size: Size) -> tuple[list[str], list[str]]:
    """Training and held-out names, at random with the experiment's seed.

    A held-out name with a letter that no training name has would have no probability, and is moved
    to the training names (with all names there is none).
    """
    order = np.random.default_rng(SEED).permutation(len(names))[: size.names]
    aside = round(size.held_out * len(order))
    train, test = [names[i] for i in order[aside:]], [names[i] for i in order[:aside]]
    known = set("".join(train))
    strange = [name for name in test if not known.issuperset(name)]
    return train + strange, [name for name in test if known.issuperset(name)]


def score_table(
    train: list[str], test: list[str], chain: np.ndarray, alphabet: int
) -> pd.DataFrame:
    """Bits per letter and nats per transition of the held-out names, by model.

    Args:
        train: training names.
        test: held-out names.
        chain: log probability of each held-out name under the chain.
        alphabet: number of letters.
    """
    totals = {
        "all letters alike": alike(test, alphabet).sum(),
        "independent letters": independent(train, test, alphabet).sum(),
        "Markov chain": chain.sum(),
    }
    letters = sum(map(len, test))
    return pd.DataFrame(
        {
            "bits per letter": {n: -t / np.log(2) / letters for n, t in totals.items()},
            "nats per transition": {n: -t / (letters + len(test)) for n, t in totals.items()},
        }
    ).rename_axis("model")


def alike(test: list[str], alphabet: int) -> np.ndarray:
    """Log probability of each name under uniform letters, and `<end>` after the first."""
    length = np.array([len(name) for name in test])
    return -np.log(alphabet) - length * np.log(alphabet + 1)


def independent(train: list[str], test: list[str], alphabet: int) -> np.ndarray:
    """Log probability of each name under independent letters.

    Letters and ``<end>`` have their frequencies in the training names, with one added to each
    count; no name is empty, as in the chain.
    """
    counts = np.zeros(0x110000)
    for name in train:
        np.add.at(counts, [ord(letter) for letter in name], 1)
    total = counts.sum() + len(train) + alphabet + 1
    end = (len(train) + 1) / total
    frequencies = (counts + 1) / total
    return np.array(
        [np.log(frequencies[[ord(letter) for letter in name]]).sum() + np.log(end) - np.log1p(-end)
         for name in test]
    )  # fmt: skip


def counted(place: dict[str, int], train: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The posterior's Dirichlet parameters, counts plus one: first letters, then transitions."""
    first = np.ones(len(place))
    following = np.ones((len(place), len(place) + 1))
    for name in train:
        codes = [place[letter] for letter in name]
        first[codes[0]] += 1
        np.add.at(following, (codes, [*codes[1:], len(place)]), 1)
    return first, following


def exact_log_density(
    place: dict[str, int], first: np.ndarray, following: np.ndarray, name: str
) -> float:
    """Log posterior predictive probability of a name: each step updates the counts."""
    codes, seen = [place[letter] for letter in name], following.copy()
    total = np.log(first[codes[0]] / first.sum())
    for before, after in zip(codes, [*codes[1:], len(place)], strict=True):
        total += np.log(seen[before, after] / seen[before].sum())
        seen[before, after] += 1
    return float(total)


def closed_form(tree: xr.DataTree, train: list[str], test: list[str]) -> dict[str, float]:
    """Deviation of the draws' means from the exact ones, in standard errors and absolute."""
    posterior = tree["posterior"]
    place = {str(token): i for i, token in enumerate(posterior["token"].values)}
    first, following = counted(place, train)
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    predictive = sum(exact_log_density(place, first, following, name) for name in test)
    deviations, errors = [], []
    for site, parameters in (("initial", first), ("transition", following)):
        total = parameters.sum(-1, keepdims=True)
        mean = parameters / total
        error = np.sqrt(mean * (1 - mean) / (total + 1) / draws)
        sampled = posterior[site].mean(["chain", "draw"]).values
        deviations.append((sampled - mean).ravel())
        errors.append(error.ravel())
    deviation, error = np.concatenate(deviations), np.concatenate(errors)
    return {
        "largest_deviation": float(np.abs(deviation).max()),
        "largest_standardised": float(np.abs(deviation / error).max()),
        "mean_square_standardised": float(((deviation / error) ** 2).mean()),
        "probabilities": int(deviation.size),
        "closed_form_nats": -predictive / sum(len(name) + 1 for name in test),
    }


def novelty(invented: list[str], train: list[str], test: list[str]) -> dict[str, float]:
    """Fractions of generated names that are training names, held-out names, or neither."""
    seen, unseen = set(train), set(test)
    count = len(invented)
    return {
        "generated": count,
        "generated_fitted": sum(name in seen for name in invented) / count,
        "generated_kept_aside": sum(name in unseen for name in invented) / count,
    }


def lengths(test: list[str], invented: list[str]) -> dict[str, float]:
    """Mean and standard deviation of the length of real and of generated names."""
    real, made = (np.array([len(n) for n in names]) for names in (test, invented))
    return {"real_mean": float(real.mean()), "real_sd": float(real.std()),
            "made_mean": float(made.mean()), "made_sd": float(made.std()),
            "real_two_or_less": float((real <= 2).mean()),
            "made_two_or_less": float((made <= 2).mean()),
            "real_ten_or_more": float((real >= 10).mean()),
            "made_ten_or_more": float((made >= 10).mean())}  # fmt: skip


def answer(numbers: dict) -> str:
    """The finding in words; the numbers are in ``answer_tables``."""
    bits, length = numbers["bits_per_letter"], numbers["length"]
    saved = 1 - bits["Markov chain"] / bits["independent letters"]
    verdict = "wider than" if length["made_sd"] > 1.1 * length["real_sd"] else "about as wide as"
    # a mean of squares of standard normals: it has the variance 2 / n
    allowed = 5 * np.sqrt(2 / numbers["probabilities"])
    right = abs(numbers["mean_square_standardised"] - 1) < allowed
    agree = "agree" if right else "DO NOT AGREE"
    return (
        f"Knowing the previous letter saves {saved:.0%} of the bits per letter of held-out names. "
        f"Generated names resemble real ones ({', '.join(numbers['examples'][:8])}), and "
        f"{numbers['generated_kept_aside']:.1%} of them are held-out names. The distribution of "
        f"their length is {verdict} that of real names.\n\n"
        f"The draws {agree} with the closed form: of {numbers['probabilities']} posterior means "
        f"the worst is {numbers['largest_standardised']:.1f} standard errors off, and the mean "
        f"squared deviation is {numbers['mean_square_standardised']:.2f} (expected: 1)."
        + ladder_answer(numbers)
    )


def answer_tables(numbers: dict) -> dict[str, pd.DataFrame]:
    """The numbers behind the answer: bits per letter, and lengths."""
    length = numbers["length"]
    both = ("made", "real")
    shown = {
        "letters on average": [f"{length[f'{who}_mean']:.1f}" for who in both],
        "standard deviation": [f"{length[f'{who}_sd']:.1f}" for who in both],
        "one or two letters": [
            percent(length[f"{who}_two_or_less"], 1) for who in ("made", "real")
        ],
        "ten or more": [percent(length[f"{who}_ten_or_more"], 1) for who in both],
    }
    bits = pd.DataFrame({"bits": {n: f"{v:.2f}" for n, v in numbers["bits_per_letter"].items()}})
    nats = numbers["nats_per_transition"]["Markov chain"]
    return {
        f"Bits per letter on {numbers['test']:,} held-out names, from {numbers['train']:,} "
        f"training names. The chain takes {nats:.3f} nats per transition, in closed form "
        f"{numbers['closed_form_nats']:.4f}.": bits.rename_axis("program"),
        f"Lengths of {numbers['generated']:,} generated names (of which "
        f"{numbers['generated_fitted']:.1%} are training names) and of real ones.": pd.DataFrame(
            shown, index=["generated", "real"]
        ),
    }


def ladder_answer(numbers: dict) -> str:
    """The models of longer memory, in words."""
    if "ladder" not in numbers:
        return ""
    nats = numbers["ladder"]["nats per transition"]
    bits = numbers["ladder"]["bits per letter"]
    ranked = sorted(nats, key=nats.get)
    return (
        f"\n\nOf the models with a longer memory, on the same names, {ranked[0]} is best with "
        f"{bits[ranked[0]]:.2f} bits per letter ({nats[ranked[0]]:.3f} nats per transition), "
        f"followed by {ranked[1]} ({bits[ranked[1]]:.2f}) and {ranked[2]} ({bits[ranked[2]]:.2f}); "
        f"{ranked[-1]} is worst ({bits[ranked[-1]]:.2f})."
    )


def _outcome(
    tree: xr.DataTree,
    train: list[str],
    numbers: dict,
    scores: pd.DataFrame,
    invented: list[str],
    climbed: Any,
) -> Outcome:
    evidence = [
        Block("Prediction of held-out names", table=scores),
        Block("Generated names", ", ".join(numbers["examples"]) + "."),
        Block(
            "Lengths",
            "The chain may end after any letter, so that its lengths are nearly geometric; those "
            "of real names are concentrated.",
            figures=(length_picture(train, invented),),
            captions=("Lengths of real and of generated names.",),
        ),
        Block(
            "Posterior and prior predictive checks",
            figures=(plot_predictive(tree, draws=40),),
            captions=("Lengths and letters of replicated lists of names against the real list.",),
        ),
    ]
    if climbed is not None:
        side_by_side = pd.DataFrame(
            {"generated names": {n: ", ".join(made) for n, made in climbed.names.items()}}
        )
        evidence[1:1] = [
            Block(
                "Models with a longer memory",
                "Every model on the same names. Held-out names score point estimates and networks "
                "too, for which there is no leave-one-out.",
                table=climbed.table.sort_values("bits per letter"),
                figures=(ladder.picture(climbed.table),),
                captions=("Bits per letter on held-out names, by the order of the chain.",),
            ),
            Block("Names side by side", table=side_by_side.rename_axis("model")),
        ]
    caption = "Posterior mean of the transitions; rows are the previous letter, first <start>."
    return Outcome("names", __doc__ or "", answer(numbers), numbers, plot_transitions(tree),
                   caption, evidence,
                   tables=answer_tables(numbers))  # fmt: skip


def length_picture(real: list[str], made: list[str]) -> Figure:
    """Distribution of lengths, real names as bars and generated ones as a line."""
    top = max(len(name) for name in real) + 6
    edges = np.arange(0.5, top + 1)
    with house_style():
        figure = Figure(figsize=(7.6, 3.6))
        axes = figure.subplots()
        fractions = [np.histogram([len(n) for n in names], edges)[0] / len(names)
                 for names in (real, made)]  # fmt: skip
        axes.bar(edges[:-1] + 0.5, fractions[0], color="#D9D9D9", width=0.85, label="real names")
        axes.plot(edges[:-1] + 0.5, fractions[1], "o-", color=PALETTE[0], label="generated names")
        beyond = np.mean([len(n) > top for n in made])
        axes.set(xlabel="letters", ylabel="fraction of names", xlim=(0.3, top + 0.5))
        axes.set_title(f"Length of names ({beyond:.1%} of the generated ones are longer)")
        axes.legend()
    return figure


if __name__ == "__main__":
    raise SystemExit(command(run, __doc__ or ""))
