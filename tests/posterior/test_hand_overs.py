"""How often a question to a fit hands over from one file of the package to another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import ppl_models
from ppl_models import fit, impute, predict

PACKAGE = str(Path(ppl_models.__file__).parent)


def hand_overs(call: Callable[[], object]) -> Counter[tuple[str, str]]:
    """Direct calls from a file of the package into another one, ``(caller, called)``."""
    counted: Counter[tuple[str, str]] = Counter()

    def look(frame: FrameType, event: str, _: Any) -> None:
        caller = frame.f_back.f_code.co_filename if frame.f_back else ""
        called = frame.f_code.co_filename
        if event == "call" and caller != called and caller.startswith(PACKAGE):
            if called.startswith(PACKAGE):
                counted[caller, called] += 1

    sys.setprofile(look)
    try:
        call()
    finally:
        sys.setprofile(None)
    return counted


@pytest.fixture(scope="module")
def tree() -> Any:
    rows = [[0.1, 0.2], [0.3, np.nan], [9.1, 9.3], [9.2, 8.9], [0.2, 0.1], [9.0, 9.1]]
    return fit("gaussian_mixture", rows, method="em", seed=0, clusters=2, starts=1, predictive=0)


@pytest.mark.parametrize(
    ("question", "pairs", "calls"),
    [
        (lambda tree: predict(tree), 8, 13),
        (lambda tree: impute(tree, seed=1, draws=5), 9, 13),
    ],
    ids=["predict", "impute"],
)
def test_a_question_hands_over_rarely(tree: Any, question: Any, pairs: int, calls: int) -> None:
    """What is compiled and read in the first call is not counted."""
    question(tree)
    counted = hand_overs(lambda: question(tree))
    assert 0 < len(counted) <= pairs, counted
    assert counted.total() <= calls, counted
