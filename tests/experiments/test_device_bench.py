"""``ppl-models bench --device``: what it prints, and what it refuses."""

from __future__ import annotations

import re

import jax
import pytest

from experiments.benchmarks import device
from ppl_models.cli import main


def test_bench_asks_what_is_to_be_timed(capsys):
    assert main(["bench"]) == 2
    assert "bench needs --device" in capsys.readouterr().err


def test_single_precision_is_as_exact_as_its_numbers():
    """A table of families; log-densities are less than one in a million off."""
    lines = list(device.exactness(60))
    assert len(lines) > 12
    for line in lines:
        *_, of_sum, worst = (part.strip() for part in line.strip("| ").split("|"))
        assert float(of_sum) < 1e-6 and float(worst) < 1e-6, line


def test_the_table_tells_when_products_have_fewer_bits(monkeypatch):
    """As a GPU's TF32 has: 10 bits of fraction."""
    from ppl_models.distributions import contraction

    exact = contraction.matmul

    def rounded(left, right):
        if left.dtype == jax.numpy.float32:
            left, right = (jax.lax.reduce_precision(v, 8, 10) for v in (left, right))
        return exact(left, right)

    monkeypatch.setattr("ppl_models.distributions.exponential.stacked.matmul", rounded)
    line = next(line for line in device.exactness(60) if "spherical" in line)
    assert float(line.split("|")[3]) > 1e-6


@pytest.mark.long
def test_bench_prints_both_tables(capsys):
    assert main(["bench", "--device", "--small"]) == 0
    printed = capsys.readouterr().out
    for what in ("EM iteration, full", "hidden Markov", "GRU", "Gibbs sweep", "NUTS", "NADE"):
        assert what in printed
    assert re.search(r"\| EM iteration, spherical[^|]*\| [\d.,]+ \|", printed)


def test_a_step_of_training_is_timed():
    line = next(device.network((4, 4, 3), aims=True))
    assert re.match(
        r"\| GRU training step, 4 × 3 letters, 4 units \| [\d.,]+ \| ≤ PyTorch's \|", line
    )
