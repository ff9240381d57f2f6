"""Visits are drawn from the chains that the module states."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models.data import click_streams
from ppl_models.data.examples.click_streams import KINDS, PAGES, SHARES, chain
from ppl_models.errors import InputError


def test_click_streams_are_drawn_from_their_chains() -> None:
    visits, kind = click_streams(1, 3000)
    for k, name in enumerate(KINDS):
        initial, transition = chain(name)
        mine = [[PAGES.index(p) for p in v] for v, z in zip(visits, kind, strict=True) if z == k]
        assert abs(len(mine) / 3000 - SHARES[k]) < 5 * np.sqrt(SHARES[k] / 3000)
        first = np.bincount([v[0] for v in mine], minlength=9) / len(mine)
        assert (np.abs(first - initial) < 5 * np.sqrt(initial / len(mine)) + 1e-9).all()
        counts = np.zeros((9, 10))
        for visit in mine:
            np.add.at(counts, (visit, [*visit[1:], 9]), 1)
        expected = counts.sum(1, keepdims=True) * transition
        often = expected >= 10  # where the normal approximation holds
        assert often.sum() >= 10
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected))[often].all()


def test_comparing_and_reading_differ_in_order_alone() -> None:
    chains = [chain(name) for name in KINDS[:2]]
    visits = [np.linalg.solve(np.eye(9) - t[:, :9].T, i) for i, t in chains]
    np.testing.assert_allclose(*visits)
    assert np.abs(chains[0][1] - chains[1][1]).max() > 0.5


def test_no_visits_are_refused() -> None:
    with pytest.raises(InputError, match="visits is 0: give a whole number from 1 up"):
        click_streams(0, 0)
