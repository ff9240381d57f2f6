"""What the methods share that serve programs with one site ``tables`` and n-gram emissions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl_models.distributions.convert import unwrap
from ppl_models.distributions.sequences.ngrams import Ngrams
from ppl_models.distributions.sequences.table_counts import Tables
from ppl_models.inference.method import Capability, Lack
from ppl_models.inference.problem import Problem

SITES = ("discount", "concentration")


def _no_ngrams(problem: Problem) -> Lack | None:
    for name, emission in problem.example.emissions.items():
        chain = problem.autoregressive.get(name)
        if chain is None or chain.seen is None:
            return Lack(f"site '{name}' emits from {type(unwrap(emission)).__name__}")
    return None


def _other_sites(problem: Problem) -> Lack | None:
    known = {*problem.structure.names, *problem.model.fixed}
    tables = [n for n, p in problem.example.priors.items() if isinstance(unwrap(p), Tables)]
    if tables == ["tables"] and set(SITES) <= known <= {*SITES, "tables"}:
        return None
    return Lack(f"the sites are {', '.join(sorted(known))}", "give the program 'pitman_yor_chain'")


NGRAM_COUNTS = Capability("sparse counts of n-grams", _no_ngrams)
FRANCHISE = Capability(f"global sites that are {', '.join(SITES)} and tables", _other_sites)


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
