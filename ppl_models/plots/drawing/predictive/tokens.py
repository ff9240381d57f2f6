"""Lengths of sequences and frequencies of tokens, replicated against observed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ppl_models.plots.drawing.heat import turn_long_labels
from ppl_models.plots.drawing.predictive.counts import draw_intervals
from ppl_models.plots.drawing.style import PALE, headline, readable, shorten


def sequence_lengths(codes: np.ndarray, end: int) -> np.ndarray:
    """The number of tokens before the code of "<end>".

    Args:
        codes: integer codes (..., position), padded at the end with `end`.
        end: the code of "<end>".

    >>> sequence_lengths(np.array([[0, 1, 2], [2, 2, 2]]), end=2)
    array([2, 0])
    """
    return np.cumprod(codes < end, axis=-1).sum(-1)


def token_frequencies(codes: np.ndarray, end: int) -> np.ndarray:
    """How often each token occurs among all tokens of `codes` (sequence, position): (token)."""
    inside = np.cumprod(codes < end, axis=-1).astype(bool)
    counts = np.bincount(codes[inside].astype(int), minlength=end)[:end]
    return counts / max(1, int(counts.sum()))


def draw_lengths(
    target: Axes, codes: np.ndarray, replicated: dict[str, np.ndarray], *, end: int
) -> None:
    """The fraction of sequences of every length."""
    observed = sequence_lengths(codes, end)
    drawn = {which: sequence_lengths(values, end) for which, values in replicated.items()}
    top = int(observed.max())
    if "posterior" in drawn:
        top = max(top, int(np.quantile(drawn["posterior"], 0.995)))
    step = max(1, -(-(top + 1) // 40))
    edges = np.arange(0, top + step + 1, step) - 0.5
    x = (edges[:-1] + edges[1:]) / 2.0
    target.bar(x, _frequencies(observed, edges), width=0.85 * step, color=PALE, label="data")
    frequencies = {
        which: np.stack([_frequencies(row, edges) for row in lengths])
        for which, lengths in drawn.items()
    }
    draw_intervals(target, x, frequencies)
    target.set(xlabel="tokens before the end", ylabel="fraction of sequences")
    shown = [_frequencies(observed, edges), *frequencies.get("posterior", [])]
    target.set_ylim(0.0, 1.15 * float(np.max(shown)))
    longest = codes.shape[-1]
    cut = any((lengths == longest).any() for lengths in drawn.values())
    headline(target, "Lengths of sequences", f"predictions end at {longest} tokens" if cut else "")


def _frequencies(lengths: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.histogram(lengths, edges)[0] / len(lengths)


def draw_tokens(
    target: Axes, codes: np.ndarray, replicated: dict[str, np.ndarray], names: list[str]
) -> None:
    """The fraction of every token; of more than 60 tokens, the most frequent in the data."""
    end = len(names)
    observed = token_frequencies(codes, end)
    frequent = np.sort(np.argsort(-observed, kind="stable")[:60])
    x = np.arange(len(frequent), dtype=float)
    target.bar(x, observed[frequent], width=0.85, color=PALE, label="data")
    frequencies = {
        which: np.stack([token_frequencies(sample, end)[frequent] for sample in samples])
        for which, samples in replicated.items()
    }
    draw_intervals(target, x, frequencies, width=2.2 if len(frequent) <= 30 else 1.4)
    target.set_xticks(x, [shorten(readable(names[k]), 10) for k in frequent])
    turn_long_labels(target)
    target.set(xlim=(-0.7, len(frequent) - 0.3), xlabel="token", ylabel="fraction of tokens")
    target.set_ylim(bottom=0.0)
    headline(target, "Frequencies of tokens", "" if len(frequent) == end else "the most frequent")
