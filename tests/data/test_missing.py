"""One predicate says which cells are missing, of whichever kind and library."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ppl_models
from ppl_models import fit
from ppl_models.data import Tokens
from ppl_models.data.missing import has_missing, missing_cells
from ppl_models.report.sections.overview import _missing

#: NaN that is no missing cell: a number that is not known on a page, an objective, a draw
OTHER_NANS = {
    "inference/gradient/training.py",
    "inference/missing_cells.py",
    "posterior/build/tree.py",
    "posterior/labels/ordering.py",
    "program/densities/local_integrals.py",
    "program/reading.py",
    "program/trace/data_refusals.py",
    "report/tables.py",
}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1.0, np.nan, -1.0], [False, True, False]),
        (np.array([2, -1, 0], np.int16), [False, True, False]),
        (np.array([0, 1], np.uint8), [False, False]),
        ([True, False], [False, False]),
    ],
)
def test_cells_by_kind_and_library(cells: object, expected: list[bool]) -> None:
    array = np.asarray(cells)
    assert missing_cells(array).tolist() == expected and has_missing(cells) == any(expected)
    assert jax.jit(missing_cells)(jnp.asarray(array)).tolist() == expected


def test_nobody_else_asks_for_nan() -> None:
    root = Path(ppl_models.__file__).parent
    asking = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"\bisnan\(", path.read_text(encoding="utf-8"))
    }
    assert asking == {"data/missing.py"} | OTHER_NANS


def test_tokens_that_are_not_known_are_missing_cells() -> None:
    """The report said nothing of them, for they are -1 and not NaN."""
    assert Tokens.read([["a", None, "b"], ["b"]]).has_missing
    options = {"method": "em", "seed": 0, "predictive": 0}
    tree = fit("markov_chain", [["a", None, "b"], ["b", "a", "b"]], **options)
    assert _missing(tree["observed_data"]["tokens"]) == ", 12.5% of the cells missing"
