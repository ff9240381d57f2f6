"""Starts that are too long to be moved side by side: the best of short runs go on."""

from __future__ import annotations

import numpy as np
import pytest

from ppl_models import fit, memory

CLASSES, ANNOTATORS, ITEMS, EACH = 4, 6, 60, 5


@pytest.fixture(scope="module")
def labels():
    generator = np.random.default_rng(3)
    truth = generator.integers(0, CLASSES, ITEMS)
    item = np.repeat(np.arange(ITEMS), EACH)
    right = generator.random(len(item)) < 0.7
    return {
        "item": item,
        "annotator": generator.integers(0, ANNOTATORS, len(item)),
        "label": np.where(right, truth[item], generator.integers(0, CLASSES, len(item))),
    }


def _fitted(labels, starts):
    return fit("dawid_skene", labels, method="em", seed=0, starts=starts, predictive=0)


def test_a_quarter_of_long_starts_goes_on_to_the_same_optimum(labels, monkeypatch):
    every = _fitted(labels, 8)
    assert every["starts"].sizes["start"] == 8
    numbers = 8 * CLASSES * len(labels["item"])
    monkeypatch.setattr(memory, "STARTS_NUMBERS", numbers)
    assert _fitted(labels, 8)["starts"].sizes["start"] == 8  # they just fit
    monkeypatch.setattr(memory, "STARTS_NUMBERS", numbers - 1)
    best = _fitted(labels, 8)
    assert best["starts"].sizes["start"] == 2
    for tree in (every, best):
        assert tree["starts"]["converged"][tree["starts"]["best"]].all()
    np.testing.assert_allclose(
        best["sample_stats"]["lp"].item(), every["sample_stats"]["lp"].item(), rtol=1e-8
    )
    np.testing.assert_allclose(
        best["posterior"]["weights"], every["posterior"]["weights"], atol=1e-3
    )
    # fewer starts all go on
    assert _fitted(labels, 7)["starts"].sizes["start"] == 7
