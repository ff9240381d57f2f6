"""A million words: seconds of counting all 5-grams and of smoothing them, both ways.

The text is drawn from a chain of order 3 that was fitted to the manual pages of Python's standard
library, so that anybody can have it; one sentence in twenty-one is kept aside. The perplexity that
stands with the seconds is that of the kept ones, and says whether the sweeps were enough.
"""

from __future__ import annotations

import time

import jax
import numpy as np
from jax import Array, random

from experiments.words import manual, ready
from ppl_models.data import Vocabulary
from ppl_models.distributions.sequences.ngram_chain import NgramChain, smoothed
from ppl_models.distributions.sequences.ngrams import Ngrams, count_ngrams
from ppl_models.inference.methods.kneser_ney import closed_form, frequencies
from ppl_models.inference.pitman_yor.franchise import Franchise

from .timing import Timed

TOKENS, ORDER, SWEEPS, POSITIONS = 1_000_000, 5, 5, 40


def discounts(seen: Ngrams, how_many: int) -> np.ndarray:
    """Of interpolated (1) or modified (3) Kneser-Ney smoothing."""
    shape = () if how_many == 1 else (how_many,)
    return np.stack([closed_form(t, shape, [], m) for m, t in enumerate(frequencies(seen))])


def text(tokens: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes of sentences to fit and kept aside, and the size of the vocabulary."""
    sentences, _ = ready(manual(), [], vocabulary=10_000, min_count=1)
    vocabulary = Vocabulary.from_sequences(sentences)
    seen = count_ngrams(vocabulary.encode(sentences), vocabulary=len(vocabulary), order=3)
    probabilities = smoothed(seen, np.ones(len(seen.repeated)), discounts(seen, 1), np.zeros(3))
    chain = NgramChain(seen, *probabilities, positions=POSITIONS)
    each = np.mean([len(s) + 1 for s in sentences])
    count = int(1.8 * tokens / each)  # long sentences are dropped
    rows = np.asarray(jax.jit(lambda key: chain.sample(key, (count,)))(random.key(0)))
    rows = rows[(rows[:, -1] == len(vocabulary)) & (rows[:, 0] < len(vocabulary))]
    upto = np.cumsum((rows < len(vocabulary)).sum(1) + 1)
    fitted = int(np.searchsorted(upto, tokens))
    return rows[:fitted], rows[fitted : fitted + fitted // 20], len(vocabulary)


@jax.jit
def log_probability(
    seen: Ngrams, tables: Array, discount: Array, concentration: Array, rows: Array
) -> Array:
    """Of every row."""
    probabilities = smoothed(seen, tables, discount, concentration)
    return NgramChain(seen, *probabilities, positions=rows.shape[1]).log_prob(rows)


def run() -> list[Timed]:
    """Counting, Kneser-Ney, hierarchical Pitman-Yor."""
    fitted, aside, vocabulary = text(TOKENS)
    tokens = int((aside < vocabulary).sum() + len(aside))

    def perplexity(*parameters: np.ndarray) -> float:
        total = np.asarray(log_probability(seen, *parameters, aside), np.float64).sum()
        return float(np.exp(-total / tokens))

    def since(what: str, parameters: tuple[np.ndarray, ...], begun: float) -> Timed:
        seconds = time.perf_counter() - begun
        what = f"{what}, {TOKENS:,} words, order {ORDER}; perplexity {perplexity(*parameters):.1f}"
        return Timed(what, seconds, "< 10")

    with jax.enable_x64(True):
        begun = time.perf_counter()
        seen = count_ngrams(fitted, vocabulary=vocabulary, order=ORDER)
        counted = time.perf_counter() - begun
        one, zero = np.ones(len(seen.repeated)), np.zeros(ORDER)
        rows = [Timed(f"counting {TOKENS:,} words, order {ORDER}: {len(seen.token):,} n-grams",
                      counted, "")]  # fmt: skip
        for how_many, name in ((1, "interpolated"), (3, "modified")):
            begun = time.perf_counter() - counted
            parameters = (one, discounts(seen, how_many), zero)
            jax.block_until_ready(jax.jit(smoothed)(seen, *parameters))
            rows.append(since(f"counting and {name} Kneser-Ney smoothing", parameters, begun))
        begun = time.perf_counter() - counted
        franchise = Franchise(seen, np.random.default_rng(0))
        d, theta = np.full(ORDER, 0.7), np.ones(ORDER)
        for _ in range(SWEEPS):
            franchise.move_customers(d, theta)
            for at in range(ORDER):
                d[at], theta[at] = franchise.draw_parameters(at, d[at], theta[at], 1, 1, 1, 1)
        parameters = (franchise.repeated_tables(), d, theta)
        jax.block_until_ready(jax.jit(smoothed)(seen, *parameters))
        name = f"counting and {SWEEPS} sweeps of hierarchical Pitman-Yor seating"
        rows.append(since(name, parameters, begun))
    return rows
