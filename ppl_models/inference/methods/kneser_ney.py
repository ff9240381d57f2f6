"""Kneser-Ney smoothing: one table for every entry, discounts in closed form from the counts.

Interpolated Kneser-Ney smoothing is the hierarchical Pitman-Yor process with concentration zero
and one table wherever a token follows a context (Teh 2006, Goldwater, Griffiths and Johnson 2006).
Chen and Goodman (1999) estimate the discounts by leaving one out: with t_k entries of k customers
and Y = t₁ / (t₁ + 2 t₂), d = Y, or D_k = k - (k + 1) Y t_{k+1} / t_k for k = 1, 2, 3 and more.
Sequences begin with one mark, whose contexts keep their occurrences, as in Heafield et al. (2013).
"""

from __future__ import annotations

import numpy as np
from jax import Array

from ppl_models.distributions.sequences.ngrams import Ngrams
from ppl_models.inference.capabilities import PLAIN_PRIORS, UNSCALED
from ppl_models.inference.method import Method
from ppl_models.inference.pitman_yor.counts import FRANCHISE, NGRAM_COUNTS, held, seen_of
from ppl_models.inference.problem import Problem
from ppl_models.inference.result import Result

FALLBACK = (0.5, 1.0, 1.5)  #: KenLM's discounts where the counts give none

METHOD = Method("point", needs=(NGRAM_COUNTS, FRANCHISE, UNSCALED, PLAIN_PRIORS))


def kneser_ney(problem: Problem, key: Array) -> Result:
    """Set discounts by the counts, concentrations to zero, tables to one.

    Args:
        problem: program and data.
        key: not used, for nothing is random.

    Returns:
        One point; sites that are held keep their values.
    """
    seen = seen_of(problem)
    site = next((s for s in problem.structure.sites if s.name == "discount"), None)
    values: dict[str, np.ndarray] = {}
    notes: list[str] = []
    if site is not None:
        levels = [closed_form(t, site.shape[1:], notes, m) for m, t in enumerate(frequencies(seen))]
        values["discount"] = np.stack(levels)
    if held(problem, "concentration") is None:
        values["concentration"] = np.zeros(seen.order)
    values["tables"] = np.ones(len(seen.repeated), np.int32)
    return Result(
        {n: v[None, None] for n, v in values.items()},
        METHOD,
        {"lp": np.full((1, 1), np.nan)},
        exchangeable=False,
        notes=notes,
    )


def frequencies(seen: Ngrams) -> np.ndarray:
    """Entries of 1, 2, 3 and 4 customers at one table each, by length of context ``(order, 4)``."""
    length = np.asarray(seen.length)[seen.within].astype(np.int64)
    longer = np.bincount(np.asarray(seen.shorter)[length > 0], minlength=len(length))
    customers = np.asarray(seen.direct) + longer
    few = customers <= 4
    cell = length[few] * 5 + customers[few]
    return np.bincount(cell, minlength=seen.order * 5).reshape(seen.order, 5)[:, 1:]


def closed_form(
    counts: np.ndarray, shape: tuple[int, ...], notes: list[str], length: int
) -> np.ndarray:
    """One discount, or one for entries of 1, 2, and more customers.

    Args:
        counts: entries of 1, 2, 3 and 4 customers.
        shape: () or (3,).
        notes: a sentence is added where the counts give no discount.
        length: of the contexts.

    >>> closed_form(np.array([6, 2, 1, 1]), (), [], 0)
    array(0.6)
    >>> closed_form(np.array([6, 2, 1, 1]), (3,), [], 0).round(2)
    array([0.6, 1.1, 0.6])
    """
    most = np.arange(1, 4) if shape else np.ones(())
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = counts[0] / (counts[0] + 2 * counts[1])
        discounts = np.asarray(fraction)
        if shape:
            step = np.arange(1, 4)
            discounts = step - (step + 1) * fraction * counts[1:] / counts[:-1]
    if np.isfinite(discounts).all() and (discounts >= 0).all() and (discounts <= most).all():
        return discounts
    notes.append(
        f"too few n-grams of length {length + 1} occur once to four times to set discounts by: "
        f"{FALLBACK if shape else FALLBACK[0]} stand in"
    )
    return np.array(FALLBACK) if shape else np.array(FALLBACK[0])
