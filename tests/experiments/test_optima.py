"""What the comparison of optima prints."""

from __future__ import annotations

import pytest

from experiments.optima import kmeans
from experiments.optima.__main__ import Outcome, row


def test_a_row_counts_sets_at_the_bar_and_starts_at_the_best():
    outcomes = [
        Outcome(reached=-10.0, bar=-10.05, at_best=3, starts=4, seconds=1.0),
        Outcome(reached=-12.5, bar=-10.0, at_best=0, starts=4, seconds=3.0),
        Outcome(reached=-8.0, bar=-9.0, at_best=1, starts=4, seconds=2.0),
    ]
    assert row("case", outcomes) == "| case | 2 of 3 | 2.5 | 1 of 3 | 33% | 2.0 |"


# (the same on fewer sets: inference/test_kmeans_search.py)
@pytest.mark.long
def test_default_k_means_is_no_worse_than_ten_starts_of_scikit_learn():
    line, ratio, *_ = kmeans.compare(4)
    assert ratio <= 1 + 1e-6
    assert line.startswith("| 4 | 3,900 × 8 | 39 | ")
