"""What the methods share that serve programs with one site ``tables`` and n-gram emissions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.sequences.ngram_chain import NgramChain
from ppl_models.distributions.sequences.ngrams import Ngrams
from ppl_models.distributions.sequences.table_counts import Tables
from ppl_models.errors import UnsupportedError
from ppl_models.inference.problem import Problem

SITES = ("discount", "concentration")


def need_franchise(problem: Problem, method: str) -> None:
    """Refuse programs other than sequences that back off by discounts and concentrations."""
    structure = problem.structure
    for name, emission in problem.example.emissions.items():
        if not isinstance(unwrap(emission), NgramChain):
            raise UnsupportedError(
                f"method='{method}' is for sparse n-grams alone, and site '{name}' emits from "
                f"{type(unwrap(emission)).__name__}: use method='nuts'"
            )
    known = {*structure.names, *problem.model.fixed}
    tables = [n for n, p in problem.example.priors.items() if isinstance(unwrap(p), Tables)]
    if tables != ["tables"] or not known <= {*SITES, "tables"} or not known >= set(SITES):
        raise UnsupportedError(
            f"method='{method}' serves programs whose global sites are {', '.join(SITES)} and "
            f"tables, and this one has {', '.join(sorted(known))}: give 'pitman_yor_chain'"
        )


def seen_of(problem: Problem) -> Ngrams:
    """The counts that the program predicts from, as NumPy arrays."""
    (emission,) = problem.example.emissions.values()
    return as_numpy(unwrap(emission).seen)


def as_numpy(seen: Any) -> Ngrams:
    """The same counts on the host."""
    import jax

    return jax.tree.map(np.asarray, seen)


def held(problem: Problem, site: str) -> np.ndarray | None:
    """The value that a site is held at, None if it is free."""
    value = problem.model.fixed.get(site)
    return None if value is None else np.asarray(value, np.float64)
