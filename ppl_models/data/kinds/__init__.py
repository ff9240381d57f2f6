"""The data kinds by name: what a program may annotate a data parameter with."""

from __future__ import annotations

from ppl_models.data.kinds.categories import Categories
from ppl_models.data.kinds.graphs import Graphs
from ppl_models.data.kinds.numeric import Bits, Counts, Reals
from ppl_models.data.kinds.observed import BY_TYPE, FEATURE_AXIS, Kind, Observed
from ppl_models.data.kinds.series import Series
from ppl_models.data.kinds.tokens import Tokens

KINDS: tuple[type[Kind], ...] = (Reals, Bits, Counts, Categories, Tokens, Series, Graphs)

__all__ = [
    "BY_TYPE",
    "FEATURE_AXIS",
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
