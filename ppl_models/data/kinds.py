"""The data kinds by name: what a program may annotate a data parameter with."""

from __future__ import annotations

from ppl_models.data.categories import Categories
from ppl_models.data.graph_kind import Graphs
from ppl_models.data.numeric import Bits, Counts, Reals
from ppl_models.data.observed import Kind, Observed
from ppl_models.data.sequences import Tokens
from ppl_models.data.series import Series

KINDS: tuple[type[Kind], ...] = (Reals, Bits, Counts, Categories, Tokens, Series, Graphs)

__all__ = [
    "KINDS",
    "Bits",
    "Categories",
    "Counts",
    "Graphs",
    "Kind",
    "Observed",
    "Reals",
    "Series",
    "Tokens",
]
